//! [`Options`]: a backend's settings, as text.

use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings of one backend: keys and values as text, from configuration.
///
/// A backend first calls [`check_known`](Options::check_known), so that a
/// misspelt key is an error, then reads each key with a typed getter.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// No settings.
    pub fn new() -> Options {
        Options::default()
    }

    /// The same settings with one more.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Options {
        self.0.insert(key.into(), value.into());
        self
    }

    /// Sets a key.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Fails on a key that is not in `known`.
    ///
    /// # Errors
    /// `InvalidInput` that names the nearest known key.
    pub fn check_known(&self, known: &[&str]) -> Result<()> {
        match self.keys().find(|k| !known.contains(k)) {
            None => Ok(()),
            Some(key) => Err(Error::new(ErrorKind::InvalidInput, unknown_key(key, known))),
        }
    }

    /// A boolean: `true` or `false`.
    ///
    /// # Errors
    /// `InvalidInput` that names the key and what it takes.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, "true or false", |v| v.parse().ok())
    }

    /// A whole number.
    ///
    /// # Errors
    /// `InvalidInput` that names the key and what it takes.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, "a whole number", |v| v.parse().ok())
    }

    /// A time: a number with `ms`, `s` or `m` behind it.
    ///
    /// # Errors
    /// `InvalidInput` that names the key and what it takes.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.parsed(key, "a time such as 500ms, 10s or 2m", parse_duration)
    }

    fn parsed<T>(
        &self,
        key: &str,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match parse(value.trim()) {
            Some(v) => Ok(Some(v)),
            None => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("option {key} takes {takes}, not {value:?}"),
            )),
        }
    }
}

/// Values may be secrets: only the keys are shown.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let n: u64 = text[..split].parse().ok()?;
    match text[split..].trim() {
        "ms" => Some(Duration::from_millis(n)),
        "s" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_secs(n.checked_mul(60)?)),
        _ => None,
    }
}

/// "unknown option x; did you mean y?", or the list of all.
fn unknown_key(key: &str, known: &[&str]) -> String {
    let near = known.iter().map(|k| (distance(key, k), k)).min();
    match near {
        Some((d, k)) if d <= key.len() / 2 => {
            format!("unknown option {key}; did you mean {k}?")
        }
        _ => format!("unknown option {key}; known are: {}", known.join(", ")),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_11_unknown_key_names_the_nearest() {
        let o = Options::new().with("mehtod", "x");
        let e = o.check_known(&["method", "segment"]).unwrap_err();
        assert_eq!(e.to_string(), "unknown option mehtod; did you mean method?");
    }

    #[test]
    fn typed_getters_say_what_they_take() {
        let o = Options::new().with("a", "5s").with("b", "soon");
        assert_eq!(o.duration("a").unwrap(), Some(Duration::from_secs(5)));
        assert!(o.duration("b").unwrap_err().to_string().contains("500ms"));
        assert_eq!(o.u64("missing").unwrap(), None);
    }

    #[test]
    fn debug_hides_values() {
        let o = Options::new().with("secret_key", "hunter2");
        assert!(!format!("{o:?}").contains("hunter2"));
    }
}
