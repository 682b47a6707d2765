//! From a failed system call to an [`Error`] that says what to do next.

use flushproof_api::{Error, ErrorKind, Outcome};
use std::io;
use std::path::Path;

/// `what` failed at `path`.
pub(crate) fn fault(what: &str, path: &Path, source: io::Error) -> Error {
    use io::ErrorKind as K;
    let path = path.display();
    let hint = match source.kind() {
        K::StorageFull => {
            format!(
                "; make room on that file system (see: df {path}), trim the journal or move it, \
                 then open it again"
            )
        }
        K::QuotaExceeded => "; raise the quota or make room, then open the journal again".into(),
        K::ReadOnlyFilesystem => {
            "; the file system is mounted read-only (a disk error can cause it: see dmesg)".into()
        }
        K::PermissionDenied => {
            format!("; this process may not do that: check owner and mode (ls -ld {path})")
        }
        _ => match source.raw_os_error() {
            Some(5) => "; the device reports an error: see dmesg, and check the disk".into(),
            // ENOLCK
            Some(37) => {
                "; locks don't work on this mount: NFS version 3 needs rpc.statd on both sides, \
                 version 4 does not"
                    .into()
            }
            Some(24 | 23) => "; too many open files: raise ulimit -n".into(),
            _ => String::new(),
        },
    };
    let kind = source.kind();
    let error = Error::io(format!("{path}: {what}"), source);
    let error = match kind {
        K::NotADirectory => error_of_kind(ErrorKind::InvalidInput, &error),
        _ => error,
    };
    match hint.is_empty() {
        true => error,
        false => {
            let text = format!("{error}{hint}");
            Error::new(error.kind(), text).with_source(error)
        }
    }
}

/// The same text under another kind.
fn error_of_kind(kind: ErrorKind, error: &Error) -> Error {
    Error::new(kind, error.to_string()).with_source(error.clone())
}

/// As [`fault`], where it is certain that nothing was changed.
pub(crate) fn refused(what: &str, path: &Path, source: io::Error) -> Error {
    fault(what, path, source).with_outcome(Outcome::NotWritten)
}

/// An error without a system call behind it, where nothing was changed.
pub(crate) fn refusal(kind: ErrorKind, path: &Path, text: &str) -> Error {
    Error::new(kind, format!("{}: {text}", path.display())).with_outcome(Outcome::NotWritten)
}

/// Another primary fenced this log.
pub(crate) fn fenced(path: &Path) -> Error {
    Error::new(
        ErrorKind::Fenced,
        format!(
            "{}: another primary has taken over and fenced this log; this one must stand down",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn fc_11_kinds_and_hints() {
        let of = |errno: Errno| fault("write", Path::new("/j/log"), errno.into());
        for (errno, kind, says) in [
            (Errno::ENOSPC, ErrorKind::NoSpace, "df /j/log"),
            (Errno::EDQUOT, ErrorKind::NoSpace, "quota"),
            (Errno::EROFS, ErrorKind::PermissionDenied, "read-only"),
            (Errno::EACCES, ErrorKind::PermissionDenied, "ls -ld"),
            (Errno::EEXIST, ErrorKind::AlreadyExists, "/j/log"),
            (Errno::ENOTDIR, ErrorKind::InvalidInput, "/j/log"),
            (Errno::EIO, ErrorKind::Io, "dmesg"),
            (Errno::EMFILE, ErrorKind::Io, "ulimit"),
        ] {
            let e = of(errno);
            assert_eq!(e.kind(), kind);
            assert!(e.to_string().contains(says), "{e}");
        }
    }
}
