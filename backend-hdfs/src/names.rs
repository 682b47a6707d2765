//! Which name in HDFS stands for what.
//!
//! | in HDFS | is |
//! | --- | --- |
//! | file `a/b` | the object `a/b` |
//! | file `a/b.log` | the log `a/b`; sealed when nobody may write it |
//! | folder `a/b.fence` | the fence of the log `a/b`; an empty folder in it is named like the length found |
//! | file `.tmp-…` | a temporary: an object or a probe on its way |
//!
//! A [`StorePath`] has no dot, unless `.gz` at its end, so the names can't meet. Fences are folders because
//! that takes the NameNode alone: they can be made while DataNodes hang.

use flushproof_api::{Error, ErrorKind, ListedKind, Result, StorePath};

const TEMPORARY: &str = ".tmp-";

/// Full paths below a root.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Without a slash at its end; empty for `/`.
    root: String,
}

impl Names {
    pub fn new(root: &str) -> Names {
        let root = root.trim_end_matches('/').to_owned();
        Names { root }
    }

    /// The root itself.
    pub fn root(&self) -> &str {
        if self.root.is_empty() {
            "/"
        } else {
            &self.root
        }
    }

    /// The file of an object; also the folder of that name.
    pub fn object(&self, path: &StorePath) -> String {
        match path.as_str() {
            "" => self.root().to_owned(),
            path => format!("{}/{path}", self.root),
        }
    }

    /// The file of a log.
    pub fn log(&self, path: &StorePath) -> String {
        format!("{}.log", self.object(path))
    }

    /// The folder that is a log's fence.
    pub fn fence(&self, path: &StorePath) -> String {
        format!("{}.fence", self.object(path))
    }

    /// The folder that notes a length in a fence.
    pub fn note(&self, path: &StorePath, len: u64) -> String {
        format!("{}/{len:020}", self.fence(path))
    }

    /// A name in the folder of `path` that nobody else uses.
    pub fn temporary(&self, path: &StorePath) -> Result<String> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)
            .map_err(|e| Error::new(ErrorKind::Io, format!("no random numbers: {e}")))?;
        let nonce = u128::from_le_bytes(nonce);
        let folder = self.object(&path.parent());
        let folder = folder.trim_end_matches('/');
        Ok(format!("{folder}/{TEMPORARY}{nonce:032x}"))
    }
}

/// Whether a name is one of those that `sweep` may remove.
pub(crate) fn is_leftover(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// The component of a path that a name stands for, and as what.
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

/// The length that a name in a fence notes.
pub(crate) fn noted(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    name.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_root_and_below_none() {
        let path = StorePath::new("log/1-0").unwrap();
        for (root, prefix) in [("/a/b/", "/a/b"), ("/", ""), ("", "")] {
            let names = Names::new(root);
            assert_eq!(names.log(&path), format!("{prefix}/log/1-0.log"));
            assert_eq!(
                names.note(&path, 7),
                format!("{prefix}/log/1-0.fence/{:020}", 7)
            );
            let top = StorePath::new("FORMAT").unwrap();
            let temporary = names.temporary(&top).unwrap();
            assert!(
                temporary.starts_with(&format!("{prefix}/.tmp-")),
                "{temporary}"
            );
        }
        assert_eq!(Names::new("/").root(), "/");
    }

    #[test]
    fn own_names_are_not_listed_and_listed_names_are_not_swept() {
        for name in [".tmp-1", "notes.txt", ".log", "a._COPYING_", ".gz", ""] {
            assert_eq!(parse(name), None, "{name}");
        }
        for name in ["a", "a.log", "a.fence", "a.gz"] {
            assert!(parse(name).is_some() && !is_leftover(name));
        }
        assert_eq!(noted("00000000000000000042"), Some(42));
        for wrong in ["42", "0000000000000000004x", "99999999999999999999", ""] {
            assert_eq!(noted(wrong), None);
        }
    }
}
