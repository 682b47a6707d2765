//! Which key stands for what. All are relative to the root; a name of a journal
//! never has a dot, unless `.gz` at its end, so every other key with a dot is ours.
//!
//! | key | object |
//! | --- | --- |
//! | `.store` | the place itself |
//! | `PATH` | an object, or the name of a large one |
//! | `PATH.gz` | an object without a head: its bytes only, however long |
//! | `PATH.log` | the marker of a log; its nonce is the log's id |
//! | `PATH.fence-LENGTH` | a log of this path was fenced at this length |
//! | `.data/PATH/l.ID/SLOT` | the row of a log: its flushes, numbered from 0 without a gap, then a fence or a seal |
//! | `.data/PATH/l.ID/gone` | this log was deleted |
//! | `.data/PATH/o.ID/NUMBER` | the pieces of a large object |
//! | `.data/PATH/o.ID/end` | whether these pieces may be published or were given up |
//! | `.data/PATH.gz/claim` | somebody is publishing this object |
//! | `.trial/…` | trials at open |
//!
//! Flushes are numbered, not named by their offset, for the sake of the fence: a
//! fencer must be able to name a key that a living writer has not reached yet,
//! and offsets ahead are not known. Offsets are in the heads, and follow from
//! the lengths in a listing.

use crate::head::Id;
use flushproof_api::{ListedKind, StorePath};

/// The place itself.
pub(crate) const ROOT: &str = ".store";
/// What is not listed as names.
pub(crate) const DATA: &str = ".data/";
/// What ends the key of a claim.
const CLAIM: &str = "/claim";
/// Trials at open.
pub(crate) const TRIAL: &str = ".trial/";

/// An object, or the name of a large one.
pub(crate) fn object(path: &StorePath) -> String {
    path.to_string()
}

/// Whether an object of this path is stored as its bytes only, without a head.
pub(crate) fn is_plain(path: &StorePath) -> bool {
    path.as_str().ends_with(".gz")
}

/// The key of who publishes a plain object.
pub(crate) fn claim(path: &StorePath) -> String {
    format!("{DATA}{path}{CLAIM}")
}

/// Whether this is the key of a claim.
pub(crate) fn is_claim(key: &str) -> bool {
    let path = key.strip_prefix(DATA).and_then(|k| k.strip_suffix(CLAIM));
    path.and_then(|path| StorePath::new(path).ok())
        .is_some_and(|path| is_plain(&path))
}

/// The marker of a log.
pub(crate) fn marker(path: &StorePath) -> String {
    format!("{path}.log")
}

/// What begins the key of a fence's name.
pub(crate) fn fence_prefix(path: &StorePath) -> String {
    format!("{path}.fence-")
}

/// The name of a fence.
pub(crate) fn fence(path: &StorePath, len: u64) -> String {
    format!("{}{len:020}", fence_prefix(path))
}

/// The row of a log.
pub(crate) fn row(path: &StorePath, id: Id) -> String {
    format!("{DATA}{path}/l.{id}/")
}

/// The key that says that a log was deleted.
pub(crate) fn gone(row: &str) -> String {
    format!("{row}gone")
}

/// The pieces of an upload.
pub(crate) fn upload(path: &StorePath, id: Id) -> String {
    format!("{DATA}{path}/o.{id}/")
}

/// A numbered key in a row or an upload.
pub(crate) fn numbered(folder: &str, n: u64) -> String {
    format!("{folder}{n:020}")
}

/// The key that says whether an upload may be published.
pub(crate) fn end(upload: &str) -> String {
    format!("{upload}end")
}

/// The number in a key of the folder.
pub(crate) fn number(folder: &str, key: &str) -> Option<u64> {
    number20(key.strip_prefix(folder)?)
}

fn number20(text: &str) -> Option<u64> {
    let digits = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What a listed key stands for.
pub(crate) fn parse(key: &str) -> Option<(StorePath, ListedKind, u64)> {
    let (path, kind, len) = if let Some(path) = key.strip_suffix(".log") {
        (path, ListedKind::Log, 0)
    } else if let Some((path, len)) = key.rsplit_once(".fence-") {
        (path, ListedKind::Fence, number20(len)?)
    } else {
        (key, ListedKind::Object, 0)
    };
    let path = StorePath::new(path).ok()?;
    (!path.as_str().is_empty()).then_some((path, kind, len))
}

/// What a folder below [`DATA`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// Folders of longer paths.
    Path,
    /// The row of a log.
    Row(StorePath, Id),
    /// The pieces of an upload.
    Upload(StorePath, Id),
}

/// What the folder `key` (with its slash) below [`DATA`] is; `None`: not ours.
pub(crate) fn parse_folder(key: &str) -> Option<Folder> {
    let inner = key.strip_prefix(DATA)?.strip_suffix('/')?;
    let (path, last) = inner.rsplit_once('/').unwrap_or(("", inner));
    if StorePath::new(inner).is_ok() {
        return Some(Folder::Path);
    }
    let (kind, id) = last.split_once('.')?;
    let path = StorePath::new(path)
        .ok()
        .filter(|p| !p.as_str().is_empty())?;
    let id = Id::parse(id)?;
    match kind {
        "l" => Some(Folder::Row(path, id)),
        "o" => Some(Folder::Upload(path, id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> StorePath {
        StorePath::new(text).unwrap()
    }

    #[test]
    fn every_key_is_read_back() {
        let p = path("log/1-0");
        assert_eq!(parse(&object(&p)), Some((p.clone(), ListedKind::Object, 0)));
        assert_eq!(parse(&marker(&p)), Some((p.clone(), ListedKind::Log, 0)));
        let fenced = Some((p.clone(), ListedKind::Fence, 77));
        assert_eq!(parse(&fence(&p, 77)), fenced);
        let id = Id::random().unwrap();
        let row = row(&p, id);
        assert_eq!(parse_folder(&row), Some(Folder::Row(p.clone(), id)));
        assert_eq!(parse_folder(&upload(&p, id)), Some(Folder::Upload(p, id)));
        assert_eq!(parse_folder(".data/log/"), Some(Folder::Path));
        for backup in [path("b/x.gz"), path("o.gz")] {
            let object = Some((backup.clone(), ListedKind::Object, 0));
            assert_eq!(parse(&super::object(&backup)), object);
            let folder = format!(".data/{backup}/");
            assert_eq!(parse_folder(&folder), Some(Folder::Path));
            let pieces = upload(&backup, id);
            assert!(is_plain(&backup) && is_claim(&claim(&backup)));
            assert_eq!(parse_folder(&pieces), Some(Folder::Upload(backup, id)));
        }
        assert_eq!(number(&row, &numbered(&row, u64::MAX)), Some(u64::MAX));
    }

    #[test]
    fn fc_6_strays_are_nobodys() {
        for key in [
            "",
            ".log",
            "a/.log",
            "a.b/c.log",
            "a/ü",
            "notes.txt",
            "x.log.old",
            "x.fence-1",
            "x.fence-99999999999999999999",
            "x.fence-+0000000000000000001",
            ".store",
            "a//b",
        ] {
            assert_eq!(parse(key), None, "{key}");
        }
        for key in [
            ".data/",
            ".data/l.00/",
            ".data/a/x.00/",
            ".data/a/l./",
            "a/",
            "a.gz/claim",
            ".data/a.gz/claim/x",
        ] {
            assert_eq!(parse_folder(key), None, "{key}");
            assert!(!is_claim(key), "{key}");
        }
    }
}
