//! [`StorePath`]: the name of an object or log inside a store.

use crate::{Error, ErrorKind, Result};
use std::fmt;

/// The longest component of a path, in bytes.
const MAX_COMPONENT: usize = 128;
/// How the last component may end.
const ENDING: &str = ".gz";
/// The longest path, in bytes.
const MAX_PATH: usize = 512;

/// The name of an object or log, relative to the store's root.
///
/// Components are separated by `/` and hold `A-Z a-z 0-9 _ -` only; the last one
/// may end in `.gz`, as the files of backups do. No other path has a dot, so a
/// backend may use all other names with a dot for its own purposes (temporaries,
/// fences, spares), except those that end in `.json`, `.txt` or `.zst`, which are
/// kept for later. The empty path is the root; it names a folder to list, never an
/// object.
///
/// One path is used for one thing: never for an object and a log, and never for
/// one of them and a folder. A store need not look for that.
///
/// ```
/// use flushproof_api::StorePath;
/// let p = StorePath::new("epoch/00000000000000000001")?;
/// assert_eq!(p.parent().as_str(), "epoch");
/// assert!(StorePath::new("journal-backup-2026-01-31.gz").is_ok());
/// assert!(StorePath::new("../etc/passwd").is_err());
/// # Ok::<(), flushproof_api::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

impl StorePath {
    /// Checks and wraps a path.
    ///
    /// # Errors
    /// `InvalidInput` when a component is empty, too long or holds another
    /// character than those named above.
    pub fn new(path: impl Into<String>) -> Result<StorePath> {
        let path = path.into();
        // Measured with its ending, which must not make a component too long.
        let stem = match path.strip_suffix(ENDING) {
            Some(stem) if path.len() - path.rfind('/').map_or(0, |i| i + 1) <= MAX_COMPONENT => {
                stem
            }
            _ => &path,
        };
        let ok =
            path.len() <= MAX_PATH && (path.is_empty() || stem.split('/').all(valid_component));
        if ok {
            return Ok(StorePath(path));
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{path:?} is not a path inside a store (A-Z a-z 0-9 _ - and / only, perhaps .gz at \
                 its end)"
            ),
        ))
    }

    /// The root of a store: the folder that holds everything.
    pub fn root() -> StorePath {
        StorePath(String::new())
    }

    /// The path as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or("")
    }

    /// The folder that holds this path; the root's parent is the root.
    pub fn parent(&self) -> StorePath {
        StorePath(
            self.0
                .rsplit_once('/')
                .map_or(String::new(), |(p, _)| p.to_owned()),
        )
    }

    /// Whether this path lies in the folder `prefix`, at any depth.
    pub fn is_under(&self, prefix: &StorePath) -> bool {
        prefix.0.is_empty()
            || self
                .0
                .strip_prefix(&prefix.0)
                .is_some_and(|rest| rest.starts_with('/'))
    }
}

fn valid_component(c: &str) -> bool {
    !c.is_empty()
        && c.len() <= MAX_COMPONENT
        && c.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ending_has_a_dot() {
        let longest = "x".repeat(MAX_COMPONENT - 3);
        for text in [
            "",
            "a",
            "a-b/C_9",
            "a.gz",
            "a/b.gz",
            &format!("{longest}.gz"),
        ] {
            assert_eq!(StorePath::new(text).unwrap().as_str(), text);
        }
        for text in [
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a.",
            ".gz",
            "a/.gz",
            "a.gz/b",
            "a.gz.gz",
            "a.log",
            "a.log.gz",
            "a.GZ",
            "a b",
            "ü",
            &format!("{longest}x.gz"),
            &"a/".repeat(300),
        ] {
            assert!(StorePath::new(text).is_err(), "{text}");
        }
    }
}
