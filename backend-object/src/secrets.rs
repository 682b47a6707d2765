//! Keeping secrets out of messages.

/// The secrets that this store was given, to be cut out of whatever a library
/// or a server says.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

/// Never shows one.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// The longest text of others in a message.
const LONGEST: usize = 400;

impl Secrets {
    pub fn new(secrets: Vec<String>) -> Secrets {
        // Shorter ones would cut holes into every word.
        let long = secrets.into_iter().filter(|s| s.len() >= 6);
        Secrets(long.collect())
    }

    /// The text of others, fit for a message: short, of one line, without secrets.
    pub fn clean(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.0 {
            out = out.replace(secret, "…");
        }
        let words: Vec<&str> = out.split_whitespace().collect();
        let line = words.join(" ");
        let plain = line.chars().filter(|c| !c.is_control());
        let mut short: String = plain.clone().take(LONGEST).collect();
        if plain.count() > LONGEST {
            short.push('…');
        }
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_11_secrets_and_strange_characters_are_cut_out() {
        let secrets = Secrets::new(vec!["hunter22".into(), "ab".into()]);
        let text = "key hunter22\n\tabout\u{7} it";
        assert_eq!(secrets.clean(text), "key … about it");
        assert!(secrets.clean(&"x".repeat(10_000)).len() < 500);
        assert!(!format!("{secrets:?}").contains("hunter22"));
    }
}
