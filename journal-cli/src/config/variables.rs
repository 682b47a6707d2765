//! `JOURNAL_…` variables: `JOURNAL_REQUIRE` for `journal.require`,
//! `JOURNAL_BACKEND_METHOD` for `backend.method`.

use super::keys::{BACKENDS, KEYS};
use super::{Values, unknown};
use crate::failure::{Failure, Result};
use std::ffi::OsString;
use std::path::PathBuf;

const PREFIX: &str = "JOURNAL_";
/// Names the configuration's file.
const CONFIG: &str = "JOURNAL_CONFIG";
/// systemd sets it for every service; it is none of ours.
const FOREIGN: &str = "JOURNAL_STREAM";

/// What the variables say besides values.
#[derive(Debug, Default)]
pub struct Variables {
    /// `JOURNAL_CONFIG`.
    pub config: Option<PathBuf>,
}

/// Reads this process's variables.
pub fn read(values: &mut Values) -> Result<Variables> {
    read_from(std::env::vars_os(), values)
}

fn read_from(
    all: impl Iterator<Item = (OsString, OsString)>,
    values: &mut Values,
) -> Result<Variables> {
    let mut variables = Variables::default();
    for (name, value) in all {
        let Some(name) = name.to_str().filter(|n| n.starts_with(PREFIX)) else {
            continue;
        };
        if name == FOREIGN || value.is_empty() {
            continue;
        }
        if name == CONFIG {
            variables.config = Some(value.into());
            continue;
        }
        let value = value
            .into_string()
            .map_err(|_| Failure::Usage(format!("the variable {name} is not UTF-8")))?;
        let origin = format!("the variable {name}");
        let option = |section| {
            Some((
                section,
                name.strip_prefix(&format!("{}_", variable(section)))?,
            ))
        };
        if let Some((section, option)) = BACKENDS.into_iter().find_map(option) {
            values.add(section, &option.to_ascii_lowercase(), value, &origin);
            continue;
        }
        match KEYS.iter().find(|k| variable(&k.full()) == name) {
            Some(key) => values.add(key.section, key.name, value, &origin),
            None => return Err(unknown_variable(name)),
        }
    }
    Ok(variables)
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

fn unknown_variable(name: &str) -> Failure {
    let known: Vec<_> = KEYS.iter().map(|k| variable(&k.full())).collect();
    let known = known.iter().map(String::as_str).chain([CONFIG]);
    let text = unknown("variable", name, known);
    Failure::Usage(format!("{text} (unset it if it is another program's)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&str, &str)]) -> (Result<Variables>, Values) {
        let mut values = Values::default();
        let all = rows.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        (read_from(all, &mut values), values)
    }

    #[test]
    fn keys_options_and_foreign_ones() {
        let (variables, values) = of(&[
            ("JOURNAL_STREAM", "8:1234"),
            ("PATH", "/bin"),
            ("JOURNAL_CONFIG", "/c"),
            ("JOURNAL_SEGMENT_SIZE", "1MiB"),
            ("JOURNAL_REQUIRE", ""),
            ("JOURNAL_BACKEND_SECRET_KEY", "hunter2"),
        ]);
        assert_eq!(variables.unwrap().config, Some("/c".into()));
        let got: Vec<_> = values
            .0
            .iter()
            .map(|v| (v.section, v.key.as_str()))
            .collect();
        assert_eq!(
            got,
            [("journal", "segment_size"), ("backend", "secret_key")]
        );
    }

    #[test]
    fn an_unknown_variable_names_the_nearest() {
        let Err(Failure::Usage(text)) = of(&[("JOURNAL_REQIURE", "x")]).0 else {
            panic!("accepted");
        };
        assert!(text.contains("did you mean JOURNAL_REQUIRE?"), "{text}");
    }
}
