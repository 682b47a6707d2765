//! From a procedure that failed to an [`Error`] that says what to do next.

use crate::op::Fail;
use crate::rpc::{CallError, Refusal};
use flushproof_api::{Advice, Error, ErrorKind, Outcome};
use nfs3_types::nfs3::nfsstat3;

/// `what` failed at `at`.
pub(crate) fn fault(what: &str, at: &str, fail: &Fail) -> Error {
    match fail {
        Fail::Status(status) => of_status(what, at, *status),
        Fail::Call(e) => of_call(what, at, e),
    }
}

/// As [`fault`], where it is certain that nothing of the caller's was written.
pub(crate) fn refused(what: &str, at: &str, fail: &Fail) -> Error {
    fault(what, at, fail).with_outcome(Outcome::NotWritten)
}

/// An error without a call behind it, where nothing was written.
pub(crate) fn refusal(kind: ErrorKind, at: &str, text: &str) -> Error {
    Error::new(kind, format!("{at}: {text}")).with_outcome(Outcome::NotWritten)
}

/// Another primary fenced this log.
pub(crate) fn fenced(at: &str) -> Error {
    let text = "another primary has taken over and fenced this log; this one must stand down";
    Error::new(ErrorKind::Fenced, format!("{at}: {text}"))
}

fn of_status(what: &str, at: &str, status: nfsstat3) -> Error {
    use ErrorKind as K;
    use nfsstat3 as S;
    let (kind, says) = match status {
        S::NFS3ERR_NOENT => (K::NotFound, "there is no such file"),
        S::NFS3ERR_STALE => (
            K::NotFound,
            "the file is gone: it was deleted, or the server exports another folder now",
        ),
        S::NFS3ERR_EXIST => (K::AlreadyExists, "the name is taken"),
        S::NFS3ERR_PERM | S::NFS3ERR_ACCES => (
            K::PermissionDenied,
            "the server does not allow it. Check owner and mode of the exported folder and as \
             whom this process calls (options uid, gid, groups); for root, whether the export \
             squashes it (root_squash)",
        ),
        S::NFS3ERR_ROFS => (
            K::PermissionDenied,
            "the export or its file system is read-only: export it for writing (rw)",
        ),
        S::NFS3ERR_NOSPC => (
            K::NoSpace,
            "the server's disk is full: make room there, trim the journal or move it, then open \
             it again",
        ),
        S::NFS3ERR_DQUOT => (
            K::NoSpace,
            "the quota on the server is used up: raise it or make room, then open the journal \
             again",
        ),
        S::NFS3ERR_FBIG => (K::NoSpace, "the file may not grow further on the server"),
        S::NFS3ERR_NOTDIR => (K::InvalidInput, "a file stands where a folder should"),
        S::NFS3ERR_ISDIR => (K::InvalidInput, "a folder stands where a file should"),
        S::NFS3ERR_NAMETOOLONG => (K::InvalidInput, "the name is too long for the server"),
        S::NFS3ERR_NOTSUPP => (K::Unsupported, "the server can't do that"),
        S::NFS3ERR_XDEV => (
            K::Unsupported,
            "the folder lies on another file system than the journal's root",
        ),
        S::NFS3ERR_JUKEBOX => (
            K::TimedOut,
            "the server asked to wait until the time was over (NFS3ERR_JUKEBOX)",
        ),
        S::NFS3ERR_IO => (K::Io, "the server's disk reports an error; look at its log"),
        _ => (K::Io, "the server reports an error"),
    };
    Error::new(kind, format!("{at}: {what}: {says} ({status})"))
}

fn of_call(what: &str, at: &str, e: &CallError) -> Error {
    let text = format!("{at}: {what}: {e}");
    match e {
        CallError::NotSent(_) => Error::new(
            ErrorKind::Unreachable,
            format!("{text}; check that the server runs and that its address is right"),
        )
        .with_outcome(Outcome::NotWritten),
        CallError::Lost(_) => Error::new(ErrorKind::Unreachable, text),
        CallError::TimedOut(_) => Error::new(
            ErrorKind::TimedOut,
            format!("{text}; the server may be hung or slow (option timeout)"),
        ),
        CallError::Refused(refusal) => {
            let kind = match refusal {
                Refusal::Credentials(_) => ErrorKind::PermissionDenied,
                Refusal::NoProgram | Refusal::Versions(..) | Refusal::NoProcedure => {
                    ErrorKind::Unsupported
                }
                _ => ErrorKind::Io,
            };
            Error::new(kind, text).with_outcome(Outcome::NotWritten)
        }
        CallError::Malformed(_) => Error::new(ErrorKind::Io, text).with_advice(Advice::Reopen),
    }
}
