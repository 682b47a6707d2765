//! Options of this backend: `method` and `trust_fsync`.

use crate::disk::How;
use flushproof_api::{Error, ErrorKind, Options, Result};
use std::fmt;

/// By which system calls a flush is made durable.
///
/// Measured on ext4 on a virtio disk, 4 KiB into zero-filled segments, median:
/// `Direct` 125 µs, `Dsync` 134 µs, `Fdatasync` 143 µs. The order differs
/// between devices, hence the probe at open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// One write with `O_DIRECT|O_DSYNC`.
    Direct,
    /// One write with `O_DSYNC`.
    Dsync,
    /// A write and an `fdatasync`.
    Fdatasync,
}

impl Method {
    /// All methods, the one that mostly wins first.
    pub const ALL: [Method; 3] = [Method::Direct, Method::Dsync, Method::Fdatasync];

    /// The name in options and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Direct => "direct",
            Method::Dsync => "dsync",
            Method::Fdatasync => "fdatasync",
        }
    }

    /// What it does, in words.
    pub(crate) fn calls(self) -> &'static str {
        match self {
            Method::Direct => "O_DIRECT|O_DSYNC write",
            Method::Dsync => "O_DSYNC write",
            Method::Fdatasync => "write + fdatasync",
        }
    }

    /// How a log is opened for writing with it.
    pub(crate) fn how(self) -> How {
        How {
            write: true,
            direct: self == Method::Direct,
            dsync: self != Method::Fdatasync,
        }
    }

    /// Whether a write has to be followed by a `sync_data`.
    pub(crate) fn syncs(self) -> bool {
        self == Method::Fdatasync
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The options, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `None`: the probe chooses.
    pub method: Option<Method>,
    /// The operator states that a flush reaches a disk, where that can't be seen.
    pub trust_fsync: bool,
}

impl Settings {
    pub fn read(options: &Options) -> Result<Settings> {
        options.check_known(&["method", "trust_fsync"])?;
        let method = match options.get("method").map(str::trim) {
            None | Some("auto") => None,
            Some(text) => match Method::ALL.into_iter().find(|m| m.as_str() == text) {
                Some(method) => Some(method),
                None => {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!(
                            "option method takes auto, direct, dsync or fdatasync, not {text:?}"
                        ),
                    ));
                }
            },
        };
        Ok(Settings {
            method,
            trust_fsync: options.bool("trust_fsync")?.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_name_that_is_read_back() {
        for method in Method::ALL {
            let options = Options::new().with("method", method.as_str());
            assert_eq!(Settings::read(&options).unwrap().method, Some(method));
        }
        let auto = Options::new().with("method", "auto");
        assert_eq!(Settings::read(&auto).unwrap(), Settings::default());
    }

    #[test]
    fn fc_11_wrong_options_say_what_is_right() {
        let e = Settings::read(&Options::new().with("mehtod", "x")).unwrap_err();
        assert!(e.to_string().contains("did you mean method"), "{e}");
        let e = Settings::read(&Options::new().with("method", "fsync")).unwrap_err();
        assert!(e.to_string().contains("fdatasync"), "{e}");
    }
}
