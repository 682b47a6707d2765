//! `journal.toml`: where it is looked for, and how it is read.

use super::keys::{BACKENDS, KEYS};
use super::{Values, unknown};
use crate::failure::{Failure, Result};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The file in the current folder.
pub const NAME: &str = "journal.toml";
/// The file of the machine.
const SYSTEM: &str = "/etc/flushproof/journal.toml";
const SECTIONS: [&str; 3] = ["journal", "backup", "archive"];

/// The one file that is read: the one that was named by flag or variable, else
/// `journal.toml` in the current folder, else the machine's.
pub fn find(flag: Option<&Path>, variable: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(named) = flag.or(variable) {
        return Ok(Some(named.to_owned()));
    }
    let places = [NAME, SYSTEM].map(PathBuf::from);
    Ok(places.into_iter().find(|p| p.exists()))
}

/// Reads a file. What it says of backends may be secret: no value and no
/// line of the file is ever repeated in a message.
pub fn read(path: &Path, values: &mut Values) -> Result<()> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Usage(format!("can't read the configuration {name}: {e}")))?;
    let table: Table = text.parse().map_err(|e| syntax(path, &text, &e))?;
    for (section, content) in &table {
        let known = sections().find(|s| s == section);
        let (Some(section), Value::Table(content)) = (known, content) else {
            return Err(Failure::Usage(match known {
                Some(_) => format!("{name}: {section} must be a table: write [{section}]"),
                None => format!("{name}: {}", unknown("section", section, sections())),
            }));
        };
        for (key, value) in content {
            if SECTIONS.contains(&section) {
                check_key(path, section, key)?;
            }
            let Some(value) = plain(value) else {
                return Err(Failure::Usage(format!(
                    "{name}: {section}.{key} must be a text, a number, true or false"
                )));
            };
            values.add(section, key, value, &name.to_string());
        }
    }
    Ok(())
}

fn sections() -> impl Iterator<Item = &'static str> + Clone {
    SECTIONS.into_iter().chain(BACKENDS)
}

fn check_key(path: &Path, section: &str, key: &str) -> Result<()> {
    let known = KEYS.iter().filter(|k| k.section == section).map(|k| k.name);
    match known.clone().any(|k| k == key) {
        true => Ok(()),
        false => {
            let text = unknown(&format!("key in [{section}]:"), key, known);
            Err(Failure::Usage(format!("{}: {text}", path.display())))
        }
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Boolean(b) => Some(b.to_string()),
        Value::Float(f) => Some(f.to_string()),
        _ => None,
    }
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let at = error.span().map_or(0, |s| s.start);
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    Failure::Usage(format!(
        "{}, line {line}: {}",
        path.display(),
        error.message()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> std::result::Result<Values, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        std::fs::write(&path, text).unwrap();
        let mut values = Values::default();
        match read(&path, &mut values) {
            Ok(()) => Ok(values),
            Err(Failure::Usage(text)) => Err(text),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_of_all_plain_kinds() {
        let values = of(
            "[journal]\nfolder='/a'\nkeep_checkpoints=3\naccept_slow_flush=true\n\
             [backend]\nregion='x'",
        )
        .unwrap_or_else(|e| panic!("{e}"));
        let got: Vec<_> = values
            .0
            .iter()
            .map(|v| (v.section, v.value.as_str()))
            .collect();
        assert!(got.contains(&("journal", "3")) && got.contains(&("journal", "true")));
        assert!(got.contains(&("backend", "x")));
    }

    #[test]
    fn wrong_files_say_what_and_where() {
        for (text, says) in [
            ("[journal]\nreqiure='x'", "did you mean require"),
            ("[jurnal]\nfolder='x'", "did you mean journal"),
            ("folder='x'", "unknown section folder"),
            ("journal=1", "write [journal]"),
            ("[journal]\nfolder=['a']", "journal.folder must be"),
            ("[journal]\nfolder=", "line 2"),
        ] {
            let error = of(text).err().unwrap_or_default();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_repeated() {
        for text in ["[backend]\nkey = hunter2", "[backend]\nkey = ['hunter2']"] {
            let error = of(text).err().unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("hunter2"), "{error}");
        }
    }
}
