//! [`StoreUri`]: where a journal lives.

use crate::{Error, ErrorKind, Result};
use std::fmt;

/// The URI of a store: scheme, authority and path.
///
/// A bare path means `file`. Credentials have no place in a URI: user
/// information is refused, so that a URI may be logged.
///
/// ```
/// use flushproof_api::StoreUri;
/// let u = StoreUri::parse("hdfs://nn:8020/journal")?;
/// assert_eq!((u.scheme(), u.authority(), u.path()), ("hdfs", "nn:8020", "/journal"));
/// assert_eq!(StoreUri::parse("/var/lib/m")?.scheme(), "file");
/// assert_eq!(StoreUri::parse("memory:")?.scheme(), "memory");
/// # Ok::<(), flushproof_api::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreUri {
    scheme: String,
    authority: String,
    path: String,
    bare: bool,
}

impl StoreUri {
    /// Reads a URI or a bare path.
    ///
    /// # Errors
    /// `InvalidInput` for an empty text, user information, a query or a fragment,
    /// or a wrong percent sign.
    pub fn parse(text: &str) -> Result<StoreUri> {
        if text.is_empty() {
            return Err(invalid(
                "the journal's place is empty; give a path or a URI",
            ));
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return Ok(StoreUri {
                scheme: "file".into(),
                authority: String::new(),
                path: text.into(),
                bare: true,
            });
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        if authority.contains('@') {
            return Err(invalid(
                "a journal's URI must not hold credentials; give them by environment or options",
            ));
        }
        if path.contains(['?', '#']) {
            return Err(invalid(
                "a journal's URI has no query and no fragment; use options",
            ));
        }
        Ok(StoreUri {
            scheme: scheme.to_ascii_lowercase(),
            authority: authority.into(),
            path: percent_decode(path)?,
            bare: false,
        })
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Host and port, bucket or name service; may be empty.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, percent signs decoded; may be empty or relative.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

/// The scheme and what stands behind its colon. A single letter is no scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let ok = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    ok.then_some((scheme, rest))
}

fn percent_decode(text: &str) -> Result<String> {
    let wrong = || invalid("wrong percent sign in the journal's URI; write %25 for a bare one");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || {
            bytes
                .next()
                .and_then(|d| (d as char).to_digit(16))
                .ok_or_else(wrong)
        };
        out.push((digit()? * 16 + digit()?) as u8);
    }
    match String::from_utf8(out) {
        Ok(s) if !s.contains('\0') => Ok(s),
        _ => Err(wrong()),
    }
}

/// With a percent sign for what [`StoreUri::parse`] would not take as it is, and
/// for what would break a line of a log.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '%' | '?' | '#' => out.push_str(&format!("%{:02X}", c as u32)),
            c if c.is_ascii_control() => out.push_str(&format!("%{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// What [`StoreUri::parse`] reads as the same URI.
impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bare {
            return f.write_str(&self.path);
        }
        let slashes = if self.authority.is_empty() && !self.path.starts_with('/') {
            ""
        } else {
            "//"
        };
        write!(
            f,
            "{}:{slashes}{}{}",
            self.scheme,
            self.authority,
            encoded(&self.path)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in [
            "/a/b",
            "a/b",
            "file:///a",
            "s3://bucket/prefix",
            "memory:",
            "memory:x",
            "nfs:///mnt/a",
            "s3://b/50%25 of it",
            "s3://b/why%3F%23%0A",
        ] {
            let uri = StoreUri::parse(text).unwrap();
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        let e = StoreUri::parse("s3://key:hunter2@bucket/x").unwrap_err();
        assert!(!e.to_string().contains("hunter2"));
    }

    #[test]
    fn hostile_percent_signs() {
        for text in [
            "file:///a%",
            "file:///a%2",
            "file:///a%zz",
            "file:///%ff",
            "file:///%00",
        ] {
            assert!(StoreUri::parse(text).is_err(), "{text}");
        }
        assert_eq!(StoreUri::parse("file:///a%20b").unwrap().path(), "/a b");
    }
}
