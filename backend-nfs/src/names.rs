//! Which file name stands for what.
//!
//! | on the server | is |
//! | --- | --- |
//! | `a/b` | the object `a/b` |
//! | `a/b.log` | the log `a/b`; sealed when nobody may write it |
//! | `a/b.fence`, `a/b.fence2` | the fence of the log `a/b`: two more links to its file |
//! | `a/b.fence-len` | the length of a fenced log that is being emptied |
//! | `.tmp-…` | a file on its way to a name, or a probe |
//!
//! A [`StorePath`] has no dot, unless `.gz` at its end, so the names can't meet.

use flushproof_api::{Error, ErrorKind, ListedKind, Result, StorePath};

const TEMPORARY: &str = ".tmp-";

/// The file of an object.
pub(crate) fn object(path: &StorePath) -> String {
    path.name().to_owned()
}

/// The file of a log.
pub(crate) fn log(path: &StorePath) -> String {
    format!("{}.log", path.name())
}

/// The names that are links to a fenced log, the one that is made first first.
pub(crate) fn fences(path: &StorePath) -> [String; 2] {
    let name = path.name();
    [format!("{name}.fence"), format!("{name}.fence2")]
}

/// Where the length of a fenced log is noted while it is being emptied.
pub(crate) fn length(path: &StorePath) -> String {
    format!("{}.fence-len", path.name())
}

/// A name that nobody else uses, for a file that is not published yet.
pub(crate) fn temporary() -> Result<String> {
    Ok(format!("{TEMPORARY}{:016x}{:016x}", random()?, random()?))
}

/// Whether a name is one of those that `sweep` may remove.
pub(crate) fn is_leftover(name: &str) -> bool {
    name.starts_with(TEMPORARY)
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
    .filter(|(component, _)| !component.is_empty() && StorePath::new(*component).is_ok())
}

/// 64 bits that nobody else draws.
pub(crate) fn random() -> Result<u64> {
    getrandom::u64().map_err(|e| {
        Error::new(
            ErrorKind::Io,
            format!("the system gives no random numbers: {e}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_not_listed_and_listed_names_are_not_swept() {
        let path = StorePath::new("log/1-0").unwrap();
        let second = &fences(&path)[1];
        let temporary = temporary().unwrap();
        for name in [
            &temporary,
            second,
            &length(&path),
            "notes.txt",
            ".log",
            ".hidden",
            ".gz",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
        for name in ["1-0", "1-0.log", "1-0.fence", "1-0.gz"] {
            assert!(parse(name).is_some() && !is_leftover(name));
        }
        assert!(is_leftover(&temporary));
    }
}
