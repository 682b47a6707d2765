//! Which file name stands for what.
//!
//! | on the disk | is |
//! | --- | --- |
//! | `a/b` | the object `a/b` |
//! | `a/b.log` | the log `a/b`; sealed when nobody may write it |
//! | `a/b.fence` | the fence of the log `a/b`; holds the length found, twice |
//! | `.tmp-…` | a temporary: an object, log or probe on its way |
//! | `.spare-…` | a deleted log kept for reuse |
//! | `.lock` | the host lock, in the root |
//!
//! A [`StorePath`] has no dot, unless `.gz` at its end, so the names can't meet. A log and an object
//! differ by name, not by content or attributes, so that a copy of the folder
//! made with any tool is a copy of the journal.

use flushproof_api::{ListedKind, StorePath};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// The host lock's file, in the root.
pub(crate) const LOCK: &str = ".lock";
const TEMPORARY: &str = ".tmp-";
const SPARE: &str = ".spare-";

/// The file of an object.
pub(crate) fn object(path: &StorePath) -> String {
    path.name().to_owned()
}

/// The file of a log.
pub(crate) fn log(path: &StorePath) -> String {
    format!("{}.log", path.name())
}

/// The file of a log's fence.
pub(crate) fn fence(path: &StorePath) -> String {
    format!("{}.fence", path.name())
}

/// A name that nobody else uses, for a file that is not yet published.
pub(crate) fn temporary() -> String {
    unique(TEMPORARY)
}

/// A name that nobody else uses, for a deleted log that is kept.
pub(crate) fn spare() -> String {
    unique(SPARE)
}

/// Whether a name is one of those that `sweep` may remove.
pub(crate) fn is_leftover(name: &str) -> bool {
    name.starts_with(TEMPORARY) || name.starts_with(SPARE)
}

/// The component of a path that a file name stands for, and as what.
pub(crate) fn parse(name: &str) -> Option<(&str, ListedKind)> {
    if let Some(log) = name.strip_suffix(".log") {
        Some((log, ListedKind::Log))
    } else if let Some(log) = name.strip_suffix(".fence") {
        Some((log, ListedKind::Fence))
    } else {
        Some((name, ListedKind::Object))
    }
    .filter(|(component, _)| StorePath::new(*component).is_ok())
}

fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64);
    format!("{prefix}{}-{now:x}-{n}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_not_listed_and_listed_names_are_not_swept() {
        for name in [
            &temporary(),
            &spare(),
            LOCK,
            "notes.txt",
            ".log",
            ".hidden",
            ".gz",
        ] {
            let listed = parse(name).filter(|(c, _)| !c.is_empty());
            assert_eq!(listed, None, "{name}");
        }
        for name in ["a", "a.log", "a.fence", "a.gz"] {
            assert!(parse(name).is_some() && !is_leftover(name));
        }
    }

    #[test]
    fn unique_names_differ() {
        assert_ne!(temporary(), temporary());
    }
}
