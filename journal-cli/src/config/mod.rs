//! The configuration: one table of keys, read from `journal.toml`, from
//! `JOURNAL_…` variables and from flags, each over the one before.
//!
//! | module | is about |
//! | --- | --- |
//! | `keys` | the table: name, what it takes, where it goes |
//! | `flags` | a flag for each key |
//! | `file` | finding and reading `journal.toml` |
//! | `variables` | `JOURNAL_…` |

mod file;
mod flags;
mod keys;
mod variables;

use crate::failure::{Failure, Result};
use flushproof::{Config, Options, Registry, StoreUri};
use std::path::Path;

pub use flags::Flags;

/// One value, and where it was found.
#[derive(Clone, PartialEq, Eq)]
struct Value {
    /// As in `journal.toml`.
    section: &'static str,
    key: String,
    value: String,
    /// `journal.toml`, `the variable JOURNAL_REQUIRE`, `--require`.
    origin: String,
}

/// The settings of all sources, the weakest first.
#[derive(Default)]
struct Values(Vec<Value>);

impl Values {
    fn add(&mut self, section: &'static str, key: &str, value: String, origin: &str) {
        self.0.push(Value {
            section,
            key: key.to_owned(),
            value,
            origin: origin.to_owned(),
        });
    }
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<std::path::PathBuf>,
    /// The flags for single keys.
    pub flags: Flags,
    /// The journal's place as an argument.
    pub uri: Option<String>,
}

/// Reads the whole configuration. The journal's place must be known.
pub fn load(sources: &Sources) -> Result<Config> {
    build(&read_all(sources)?)
}

/// The values of all sources, the weakest first.
fn read_all(sources: &Sources) -> Result<Values> {
    let mut values = Values::default();
    let variables = variables::read(&mut values)?;
    let mut all = Values::default();
    if let Some(path) = file::find(sources.file.as_deref(), variables.config.as_deref())? {
        file::read(&path, &mut all)?;
    }
    all.0.append(&mut values.0);
    sources.flags.add_to(&mut all);
    if let Some(uri) = &sources.uri {
        all.add("journal", "folder", uri.clone(), "the command line");
    }
    Ok(all)
}

/// The configuration of another place, which `copy` and `repair` write to: the same,
/// with the options of `[to_backend]`; those of `[backend]`, where there are none and
/// the scheme is the same.
pub fn load_other(sources: &Sources, config: &Config, uri: &str) -> Result<Config> {
    let values = read_all(sources)?;
    let mut other = config.clone();
    other.folder =
        StoreUri::parse(uri).map_err(|e| Failure::Usage(format!("the other place: {e}")))?;
    let own = values.0.iter().filter(|v| v.section == "to_backend");
    let own: Vec<_> = own.collect();
    if !own.is_empty() || other.folder.scheme() != config.folder.scheme() {
        other.options = Options::new();
    }
    for value in own {
        other.options.set(value.key.as_str(), value.value.as_str());
    }
    Ok(other)
}

/// From values to a configuration.
fn build(values: &Values) -> Result<Config> {
    let folder = values
        .0
        .iter()
        .rev()
        .find(|v| v.key == "folder" && v.section == "journal");
    let Some(folder) = folder else {
        return Err(Failure::Usage(format!(
            "no journal is named: give its URI or path as an argument, or set journal.folder in \
             {} (or JOURNAL_FOLDER)",
            file::NAME
        )));
    };
    let uri = StoreUri::parse(&folder.value)
        .map_err(|e| Failure::Usage(format!("{} from {}: {e}", folder.key, folder.origin)))?;
    let mut config = Config::new(uri);
    config.registry = registry();
    for value in &values.0 {
        let (k, v) = (value.key.as_str(), value.value.as_str());
        match value.section {
            "backend" => config.options.set(k, v),
            "backup_backend" => config.backup.options.get_or_insert_default().set(k, v),
            "archive_backend" => config.archive.options.get_or_insert_default().set(k, v),
            _ => {}
        }
        let is = |key: &&keys::Key| key.section == value.section && key.name == k;
        if let Some(key) = keys::KEYS.iter().find(is) {
            (key.set)(&mut config, v.trim()).map_err(|why| {
                Failure::Usage(format!(
                    "{}.{k} from {}: {why}; it takes {}",
                    key.section, value.origin, key.takes
                ))
            })?;
        }
    }
    config
        .validate()
        .map_err(|e| Failure::Usage(format!("the configuration does not fit together: {e}")))?;
    Ok(config)
}

/// All backends that this program was built with.
fn registry() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "local")]
    let registry = registry.with(flushproof_backend_local::LocalFactory);
    #[cfg(feature = "nfs")]
    let registry = registry.with(flushproof_backend_nfs::NfsFactory);
    #[cfg(feature = "hdfs")]
    let registry = registry.with(flushproof_backend_hdfs::HdfsFactory);
    #[cfg(feature = "object")]
    let registry = registry.with(flushproof_backend_object::ObjectFactory);
    registry
}

/// The folder of a local journal; `None` for another store.
pub fn local_path(uri: &StoreUri) -> Option<&Path> {
    (uri.scheme() == "file").then(|| Path::new(uri.path()))
}

/// "unknown … x; did you mean y?", or the list of all.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = known
        .clone()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .min();
    match near {
        Some((distance, k)) if distance <= name.len().max(4) / 2 => {
            format!("unknown {what} {name}; did you mean {k}?")
        }
        _ => {
            let all: Vec<_> = known.collect();
            format!("unknown {what} {name}; known are: {}", all.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn values(rows: &[(&'static str, &str, &str)]) -> Values {
        let mut values = Values::default();
        for (section, key, value) in rows {
            values.add(section, key, (*value).to_owned(), "a test");
        }
        values
    }

    #[test]
    fn later_values_win_and_land_in_their_fields() {
        let config = build(&values(&[
            ("journal", "folder", "/a"),
            ("journal", "require", "store-power"),
            ("journal", "segment_size", "1MiB"),
            ("journal", "folder", "memory:x"),
            ("journal", "require", "nothing"),
            ("journal", "heartbeat", "1s"),
            ("journal", "on_unknown", "reopen"),
            ("backend", "method", "dsync"),
        ]))
        .unwrap();
        assert_eq!(config.folder.to_string(), "memory:x");
        assert_eq!(config.require.to_string(), "nothing");
        assert_eq!(config.segment_size, 1 << 20);
        assert_eq!(config.heartbeat, Some(Duration::from_secs(1)));
        assert_eq!(config.options.get("method"), Some("dsync"));
    }

    #[test]
    fn a_wrong_value_says_what_is_right_and_where_it_came_from() {
        let rows = [("journal", "folder", "/a"), ("journal", "max_entry", "big")];
        let Err(Failure::Usage(text)) = build(&values(&rows)) else {
            panic!("accepted");
        };
        assert!(
            text.contains("journal.max_entry") && text.contains("64MiB"),
            "{text}"
        );
        assert!(text.contains("a test"), "{text}");
    }

    #[test]
    fn no_place_says_how_to_name_one() {
        let Err(Failure::Usage(text)) = build(&Values::default()) else {
            panic!("accepted");
        };
        assert!(text.contains("JOURNAL_FOLDER"), "{text}");
    }

    #[test]
    fn unknown_names_the_nearest() {
        let known = ["require", "segment_size"];
        let text = |name| unknown("key", name, known.into_iter());
        assert_eq!(
            text("reqiure"),
            "unknown key reqiure; did you mean require?"
        );
        assert!(text("zzz").contains("known are: require, segment_size"));
    }
}
