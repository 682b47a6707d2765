//! [`StorePath`]: the name of an object or log inside a store.

use crate::{Error, ErrorKind, Result};
use std::fmt;

/// The longest component of a path, in bytes.
const MAX_COMPONENT: usize = 128;
/// The longest path, in bytes.
const MAX_PATH: usize = 512;

/// The name of an object or log, relative to the store's root.
///
/// Components are separated by `/` and hold `A-Z a-z 0-9 _ -` only. A dot is
/// never part of a path, so a backend may use names with a dot for its own
/// purposes (temporaries, fences, spares). The empty path is the root; it names
/// a folder to list, never an object.
///
/// ```
/// use flushproof_api::StorePath;
/// let p = StorePath::new("epoch/00000000000000000001")?;
/// assert_eq!(p.parent().as_str(), "epoch");
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
        let ok =
            path.len() <= MAX_PATH && (path.is_empty() || path.split('/').all(valid_component));
        if ok {
            return Ok(StorePath(path));
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{path:?} is not a path inside a store (A-Z a-z 0-9 _ - and / only)"),
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
