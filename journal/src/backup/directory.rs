//! Where backups lie, and what they are called.

use crate::Config;
use crate::format::backup::clock;
use crate::objects::Bounded;
use flushproof_api::{
    Error, ErrorKind, JournalStore, ListedKind, Mode, Options, Result, StorePath, StoreUri,
    Survives,
};
use std::fmt;
use std::sync::Arc;

/// The default directory, beside the journal's folder.
const DEFAULT: &str = "journal_backups";

/// The URI of a directory that a configuration names: an absolute path on the
/// journal's store, a name beside the journal's folder, or a full URI.
///
/// # Errors
/// `InvalidInput`, also when it is the journal's own folder, or within it.
pub(crate) fn resolve(journal: &StoreUri, named: &str, key: &str) -> Result<StoreUri> {
    let uri = parsed(journal, named, key)?;
    let inside = |text: String| format!("{}/", text.trim_end_matches('/'));
    let (own, other) = (inside(journal.to_string()), inside(uri.to_string()));
    // Everything lies below a root: there only the root itself is refused.
    let within = match is_root(journal) {
        true => other == own,
        false => other.starts_with(&own),
    };
    if within {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{key}: {uri} lies in the journal's own folder; choose one beside it"),
        ));
    }
    Ok(uri)
}

fn parsed(journal: &StoreUri, named: &str, key: &str) -> Result<StoreUri> {
    let context = |e: Error| e.context(key);
    let uri = StoreUri::parse(named).map_err(context)?;
    let full = uri.scheme() != "file" || uri.to_string() != uri.path();
    if full {
        return Ok(uri);
    }
    let text = journal.to_string();
    let beside = if named.starts_with('/') {
        match text.find("://") {
            // Not of this store's path, but from its top.
            Some(at) => {
                let authority = &text[at + 3..];
                let end = authority.find('/').unwrap_or(authority.len());
                format!("{}{}{named}", &text[..at + 3], &authority[..end])
            }
            None => named.to_owned(),
        }
    } else if is_root(journal) {
        return Err(no_place(journal, key));
    } else {
        let folder = text.trim_end_matches('/');
        match folder.rfind('/') {
            Some(at) => format!("{}/{named}", &folder[..at]),
            None if journal.scheme() == "file" => named.to_owned(),
            _ => return Err(no_place(journal, key)),
        }
    };
    StoreUri::parse(&beside).map_err(context)
}

/// Whether nothing lies beside the journal's folder.
fn is_root(journal: &StoreUri) -> bool {
    let path = journal.path().trim_matches('/');
    path.is_empty() || (journal.scheme() == "memory" && !path.contains('/'))
}

fn no_place(journal: &StoreUri, key: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!(
            "the journal {journal} lies at the root of its store, so there is no place beside it: \
             name one by {key}, as a path on the store or as a full URI"
        ),
    )
}

/// The directory of backups: `named`, or the configured one, or the default.
pub(crate) fn of_backups(config: &Config, named: Option<&str>) -> Result<StoreUri> {
    let named = named.or(config.backup.directory.as_deref());
    let key = "backup.directory (--to)";
    resolve(&config.folder, named.unwrap_or(DEFAULT), key)
}

/// A directory on any store, opened.
#[derive(Debug)]
pub(crate) struct Directory {
    pub uri: StoreUri,
    pub io: Bounded,
    pub survives: Survives,
}

impl Directory {
    /// Opens it; `options` are those configured for it.
    pub(crate) async fn open(
        config: &Config,
        uri: StoreUri,
        options: Option<&Options>,
        mode: Mode,
    ) -> Result<Directory> {
        let store = open_store(config, &uri, options, mode).await?;
        Ok(Directory {
            survives: store.contract().survives,
            io: Bounded::new(store, config.store_timeout),
            uri,
        })
    }

    /// The full URI of a file in it.
    pub(crate) fn at(&self, path: &StorePath) -> String {
        format!("{}/{path}", self.uri.to_string().trim_end_matches('/'))
    }
}

/// Opens another store with the journal's limits in time.
pub(crate) async fn open_store(
    config: &Config,
    uri: &StoreUri,
    options: Option<&Options>,
    mode: Mode,
) -> Result<Arc<dyn JournalStore>> {
    let none = Options::new();
    let options = match options {
        Some(options) => options,
        None if uri.scheme() == config.folder.scheme() => &config.options,
        None => &none,
    };
    let open = config.registry.open(uri, options, mode);
    match tokio::time::timeout(config.store_timeout, open).await {
        Ok(store) => store,
        Err(_) => Err(Error::new(
            ErrorKind::TimedOut,
            format!(
                "{uri} did not answer within {:?}; is the store up? (store_timeout)",
                config.store_timeout
            ),
        )),
    }
}

/// The URI of a file: of its directory, and its name there.
///
/// # Errors
/// `InvalidInput` when the name is none that a store can have.
pub(crate) fn split_file(uri: &StoreUri) -> Result<(StoreUri, StorePath)> {
    let text = uri.to_string();
    let (folder, name) = match text.rsplit_once('/') {
        Some((folder, name)) if folder.ends_with(':') || folder.is_empty() => {
            (format!("{folder}/"), name)
        }
        Some((folder, name)) => (folder.to_owned(), name),
        None if uri.scheme() == "file" => (".".to_owned(), text.as_str()),
        None => (String::new(), text.as_str()),
    };
    let path = StorePath::new(name).ok().filter(|p| !p.as_str().is_empty());
    let path = path.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{uri}: {name:?} is no name of a backup; it has letters, digits, _ and - only, and \
                 .gz at its end: rename the file"
            ),
        )
    })?;
    Ok((StoreUri::parse(&folder)?, path))
}

/// The name of a backup: `journal-backup-2026-01-31-1769817600000.gz`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupName {
    /// When, in ms since 1970.
    pub created_ms: u64,
    prefix: String,
}

impl BackupName {
    /// The name of a backup of this moment, in ms since 1970.
    pub fn new(prefix: &str, created_ms: u64) -> BackupName {
        BackupName {
            created_ms,
            prefix: prefix.to_owned(),
        }
    }

    /// Reads a name with this prefix.
    pub fn parse(prefix: &str, name: &str) -> Option<BackupName> {
        let rest = name.strip_prefix(prefix)?.strip_prefix('-')?;
        let ms = rest.strip_suffix(".gz")?.get(11..)?;
        let parsed = BackupName::new(prefix, ms.parse().ok()?);
        (parsed.to_string() == name).then_some(parsed)
    }

    pub(crate) fn path(&self) -> Result<StorePath> {
        StorePath::new(self.to_string())
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = clock(self.created_ms);
        let date = date.get(..10).unwrap_or(&date);
        write!(f, "{}-{date}-{}.gz", self.prefix, self.created_ms)
    }
}

/// The backups in a directory by their names, the oldest first.
pub(crate) async fn list(directory: &Directory, prefix: &str) -> Result<Vec<BackupName>> {
    let rows = directory.io.list(&StorePath::root()).await;
    let rows = rows.map_err(|e| e.context(&directory.uri))?;
    let objects = rows.into_iter().filter(|r| r.kind == ListedKind::Object);
    let mut names: Vec<_> = objects
        .filter_map(|r| BackupName::parse(prefix, r.path.as_str()))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> StoreUri {
        StoreUri::parse(text).unwrap()
    }

    #[test]
    fn directories_beside_from_the_top_and_elsewhere() {
        for (journal, named, found) in [
            (
                "/var/lib/m/journal",
                "journal_backups",
                "/var/lib/m/journal_backups",
            ),
            ("/journal", "b", "/b"),
            ("journal", "b", "b"),
            ("m/journal/", "b", "m/b"),
            ("file:///m/journal", "b", "file:///m/b"),
            ("/m/journal", "/b", "/b"),
            ("file:///m/journal", "/b/c", "file:///b/c"),
            ("hdfs://nn:8020/m/journal", "b", "hdfs://nn:8020/m/b"),
            ("hdfs://nn:8020/journal", "/x/b", "hdfs://nn:8020/x/b"),
            ("hdfs://nn:8020/journal", "file:///b", "file:///b"),
            ("s3://bucket/journal", "b", "s3://bucket/b"),
            ("s3://bucket", "/b", "s3://bucket/b"),
            ("nfs:///mnt/m/journal", "/mnt/b", "nfs:///mnt/b"),
            ("/m/journal", "s3://bucket/b", "s3://bucket/b"),
            ("memory:a/b", "c", "memory:a/c"),
        ] {
            let got = resolve(&uri(journal), named, "k").unwrap();
            assert_eq!(got.to_string(), found, "{journal} {named}");
        }
        for journal in ["s3://bucket", "s3://bucket/", "hdfs://nn/", "memory:x", "/"] {
            let error = resolve(&uri(journal), "b", "backup.directory").unwrap_err();
            assert!(error.to_string().contains("backup.directory"), "{error}");
        }
        for inside in ["/m/journal", "/m/journal/b", "journal"] {
            assert!(
                resolve(&uri("/m/journal"), inside, "k").is_err(),
                "{inside}"
            );
        }
    }

    #[test]
    fn a_file_is_a_name_in_a_directory() {
        for (file, folder, name) in [
            ("/b/x.gz", "/b", "x.gz"),
            ("/x.gz", "/", "x.gz"),
            ("x.gz", ".", "x.gz"),
            ("s3://bucket/b/x.gz", "s3://bucket/b", "x.gz"),
            ("s3://bucket/x.gz", "s3://bucket", "x.gz"),
        ] {
            let (uri, path) = split_file(&uri(file)).unwrap();
            assert_eq!(
                (uri.to_string().as_str(), path.as_str()),
                (folder, name),
                "{file}"
            );
        }
        for wrong in ["/b/my backup (1).gz", "/b/", "memory:x y"] {
            assert!(split_file(&uri(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_say_date_and_time() {
        let name = BackupName::new("journal-backup", 1_769_860_800_123);
        let text = "journal-backup-2026-01-31-1769860800123.gz";
        assert_eq!(name.to_string(), text);
        assert_eq!(BackupName::parse("journal-backup", text), Some(name));
        for wrong in [
            "journal-backup-2026-01-30-1769860800123.gz",
            "journal-backup-2026-01-31-1769860800123",
            "journal-backup-2026-01-31-.gz",
            "journal-backup.gz",
            "other-2026-01-31-1769860800123.gz",
        ] {
            assert_eq!(BackupName::parse("journal-backup", wrong), None, "{wrong}");
        }
    }
}
