//! From an error of HDFS to an [`Error`] that says what to do next.
//!
//! The NameNode names each failure by its Java class; that decides the kind. Its
//! messages carry the server's call stack, which is cut off.

use flushproof_api::{Advice, Error, ErrorKind, Outcome};
use hdfs_native::HdfsError;
use std::time::Duration;

/// The longest piece of a server's message that is shown, in characters.
const LONGEST: usize = 400;

/// `what` failed at `at`.
pub(crate) fn fault(what: &str, at: &str, source: &HdfsError) -> Error {
    let kind = kind(source);
    let text = format!("{at}: {what}: {}{}", words(source), hint(source, kind));
    let error = Error::new(kind, text);
    match kind {
        ErrorKind::Unreachable | ErrorKind::TimedOut => error.with_advice(Advice::Retry),
        _ => error,
    }
}

/// An error without a call behind it, where nothing was changed.
pub(crate) fn refusal(kind: ErrorKind, at: &str, text: &str) -> Error {
    Error::new(kind, format!("{at}: {text}")).with_outcome(Outcome::NotWritten)
}

/// No answer in time.
pub(crate) fn late(what: &str, at: &str, limit: Duration, option: &str) -> Error {
    let text = format!(
        "{at}: {what}: no answer within {limit:?} (option {option}); look whether NameNode and \
         DataNodes are up, and whether this is the NameNode's RPC port"
    );
    Error::new(ErrorKind::TimedOut, text).with_advice(Advice::Retry)
}

/// Another primary fenced this log.
pub(crate) fn fenced(at: &str) -> Error {
    Error::new(
        ErrorKind::Fenced,
        format!(
            "{at}: another primary has taken over and fenced this log; this one must stand down"
        ),
    )
}

/// Whether there is no such name.
pub(crate) fn is_not_found(error: &HdfsError) -> bool {
    kind(error) == ErrorKind::NotFound
}

/// Whether a recovery is under way and has to be waited for.
pub(crate) fn is_recovering(error: &HdfsError) -> bool {
    class(error).is_some_and(|c| c == "RecoveryInProgressException")
}

/// The Java class without its package.
fn class(error: &HdfsError) -> Option<&str> {
    match error {
        HdfsError::RPCError(class, _) | HdfsError::FatalRPCError(class, _) => {
            class.rsplit(['.', '$']).next()
        }
        _ => None,
    }
}

fn kind(error: &HdfsError) -> ErrorKind {
    match error {
        HdfsError::AlreadyExists(_) => ErrorKind::AlreadyExists,
        HdfsError::FileNotFound(_) => ErrorKind::NotFound,
        HdfsError::IsADirectoryError(_)
        | HdfsError::InvalidPath(_)
        | HdfsError::InvalidArgument(_)
        | HdfsError::UrlParseError(_)
        | HdfsError::XmlParseError(_) => ErrorKind::InvalidInput,
        HdfsError::UnsupportedErasureCodingPolicy(_)
        | HdfsError::UnsupportedFeature(_)
        | HdfsError::ErasureCodingError(_) => ErrorKind::Unsupported,
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => {
            ErrorKind::PermissionDenied
        }
        HdfsError::IOError(e) => match e.kind() {
            std::io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            _ => ErrorKind::Unreachable,
        },
        HdfsError::InvalidRPCResponse(_) => ErrorKind::Unreachable,
        HdfsError::RPCError(_, message) | HdfsError::FatalRPCError(_, message) => {
            of_class(class(error).unwrap_or_default(), message)
        }
        _ => ErrorKind::Io,
    }
}

fn of_class(class: &str, message: &str) -> ErrorKind {
    match class {
        "AccessControlException" | "AuthorizationException" | "InvalidToken" => {
            ErrorKind::PermissionDenied
        }
        "DSQuotaExceededException"
        | "NSQuotaExceededException"
        | "QuotaExceededException"
        | "QuotaByStorageTypeExceededException"
        | "MaxDirectoryItemsExceededException" => ErrorKind::NoSpace,
        "SafeModeException" | "RetriableException" | "StandbyException" => ErrorKind::Unreachable,
        "FileNotFoundException" => ErrorKind::NotFound,
        "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => ErrorKind::AlreadyExists,
        "ParentNotDirectoryException"
        | "InvalidPathException"
        | "PathComponentTooLongException"
        | "HadoopIllegalArgumentException" => ErrorKind::InvalidInput,
        _ if no_datanode(message) => ErrorKind::Unreachable,
        _ => ErrorKind::Io,
    }
}

/// The NameNode found no DataNode for a block. It has no class of its own for
/// that, so here the text decides.
fn no_datanode(message: &str) -> bool {
    message.contains("could only be written to")
}

/// Whether a DataNode failed and not the NameNode: one of the next pipeline may be
/// another. (The NameNode may also be the one that a connection was refused by.)
pub(crate) fn is_pipeline(error: &HdfsError) -> bool {
    matches!(
        error,
        HdfsError::IOError(_) | HdfsError::DataTransferError(_)
    )
}

/// Whether no DataNode took a block: all down, or all full.
pub(crate) fn is_no_datanode(error: &HdfsError) -> bool {
    matches!(error, HdfsError::RPCError(_, message) if no_datanode(message))
}

fn hint(error: &HdfsError, kind: ErrorKind) -> &'static str {
    match (class(error).unwrap_or_default(), kind) {
        ("SafeModeException", _) => {
            "; the NameNode is in safe mode: wait until it leaves it, or see: hdfs dfsadmin \
             -safemode get"
        }
        ("DSQuotaExceededException" | "QuotaByStorageTypeExceededException", _) => {
            "; raise the space quota (hdfs dfsadmin -setSpaceQuota): each log that is being \
             written is charged log_size times its replication"
        }
        ("NSQuotaExceededException" | "QuotaExceededException", _) => {
            "; raise the quota (hdfs dfsadmin -setQuota), or trim the journal"
        }
        (_, ErrorKind::PermissionDenied) => {
            "; check owner and mode of the folder (hdfs dfs -ls -d) and who this process is \
             (option user, HADOOP_USER_NAME, Kerberos)"
        }
        (_, ErrorKind::Unreachable) if is_no_datanode(error) => {
            "; the DataNodes are down or full: see hdfs dfsadmin -report"
        }
        (_, ErrorKind::Unreachable) => {
            "; check host and port of the NameNode (its RPC port, often 8020) and whether it is up"
        }
        _ => "",
    }
}

/// The message without call stack, on one line, of bounded length.
pub(crate) fn words(error: &HdfsError) -> String {
    let text = match error {
        HdfsError::RPCError(_, message) | HdfsError::FatalRPCError(_, message) => {
            let class = class(error).unwrap_or_default();
            format!("{} ({class})", cut(message))
        }
        other => cut(&other.to_string()),
    };
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn cut(message: &str) -> String {
    let before = message.split("\n\tat").next().unwrap_or_default();
    before.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(class: &str, message: &str) -> Error {
        fault(
            "write",
            "/j/log",
            &HdfsError::RPCError(class.into(), message.into()),
        )
    }

    #[test]
    fn fc_11_kinds_and_hints() {
        for (class, kind, says) in [
            (
                "org.apache.hadoop.security.AccessControlException",
                ErrorKind::PermissionDenied,
                "-ls -d",
            ),
            (
                "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
                ErrorKind::NoSpace,
                "-setSpaceQuota",
            ),
            (
                "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException",
                ErrorKind::NoSpace,
                "-setQuota",
            ),
            (
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                ErrorKind::Unreachable,
                "safe mode",
            ),
            (
                "java.io.FileNotFoundException",
                ErrorKind::NotFound,
                "/j/log",
            ),
            ("java.io.IOException", ErrorKind::Io, "/j/log"),
            (
                "a.SecretManager$InvalidToken",
                ErrorKind::PermissionDenied,
                "Kerberos",
            ),
        ] {
            let e = rpc(class, "no");
            assert_eq!(e.kind(), kind, "{class}");
            assert!(e.to_string().contains(says), "{e}");
        }
        let full = "File /x could only be written to 0 of the 1 minReplication nodes.";
        assert_eq!(
            rpc("java.io.IOException", full).kind(),
            ErrorKind::Unreachable
        );
    }

    #[test]
    fn fc_11_call_stacks_are_cut() {
        let e = rpc(
            "java.io.IOException",
            "it\nfailed\n\tat a.b.C(D.java:1)\n\tat a.b.E(F.java:2)\n",
        );
        assert!(
            e.to_string().contains("write: it failed (IOException)"),
            "{e}"
        );
        let e = rpc("x", &"é".repeat(10_000));
        assert!(e.to_string().chars().count() < 600);
    }
}
