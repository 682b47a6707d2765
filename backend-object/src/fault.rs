//! From a failed request to an [`Error`] that says what to do next.

use crate::secrets::Secrets;
use flushproof_api::{Error, ErrorKind, Outcome};
use opendal::ErrorKind as K;
use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

/// How the last try of a call ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library or the server said so.
    Said(opendal::Error),
    /// No answer within this time.
    Silent(Duration),
}

impl Failure {
    /// Whether the same request may work later.
    pub fn passes(&self) -> bool {
        match self {
            Failure::Silent(_) => true,
            Failure::Said(e) => {
                e.is_temporary() || matches!(e.kind(), K::RateLimited | K::Conflict)
            }
        }
    }

    /// The kind as OpenDAL has it.
    pub fn kind(&self) -> Option<K> {
        match self {
            Failure::Said(e) => Some(e.kind()),
            Failure::Silent(_) => None,
        }
    }

    /// Whether the object is not there, but the bucket is.
    pub fn is_missing(&self) -> bool {
        match self {
            Failure::Said(e) if e.kind() == K::NotFound => code(e) != Some("ContainerNotFound"),
            _ => false,
        }
    }

    /// The error: `what` was done with the object `at`.
    pub fn error(&self, what: &str, at: &str, secrets: &Secrets) -> Error {
        let e = match self {
            Failure::Said(e) => e,
            Failure::Silent(limit) => {
                let text = format!(
                    "{at}: {what}: no answer within {limit:.0?}; is the server up and reachable? \
                     (options timeout, request_timeout)"
                );
                return Error::new(ErrorKind::TimedOut, text);
            }
        };
        let code = code(e);
        let (kind, advice) = classify(e, code);
        let mut said = secrets.clean(e.message());
        for source in sources(e) {
            let _ = write!(said, ": {}", secrets.clean(&source));
        }
        Error::new(kind, format!("{at}: {what}: {said}{advice}"))
    }
}

const NO_CREDENTIALS: &str = "; no credentials were found, or they do not do for this account: \
     check or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AZURE_STORAGE_ACCOUNT and \
     AZURE_STORAGE_KEY, or GOOGLE_APPLICATION_CREDENTIALS, as the provider's own tools take them";

/// Kind and advice, from the provider's code, OpenDAL's kind and the connection.
fn classify(e: &opendal::Error, code: Option<&str>) -> (ErrorKind, &'static str) {
    if let Some(known) = code.and_then(by_code) {
        return known;
    }
    match e.kind() {
        K::NotFound => (ErrorKind::NotFound, ""),
        K::PermissionDenied => (
            ErrorKind::PermissionDenied,
            "; check the credentials, and that they may list, read, write and delete there",
        ),
        K::RateLimited => (ErrorKind::Unreachable, "; the server asks to slow down"),
        K::ConfigInvalid => (ErrorKind::InvalidInput, "; check the options"),
        K::Unsupported => (ErrorKind::Unsupported, ""),
        _ if missing_credentials(e) => (ErrorKind::PermissionDenied, NO_CREDENTIALS),
        _ => by_connection(e),
    }
}

/// From the code in the provider's answer.
fn by_code(code: &str) -> Option<(ErrorKind, &'static str)> {
    let known = match code {
        // Azurite's word also for a wrong key and for a request that was not signed.
        "AuthorizationFailure" => (
            ErrorKind::PermissionDenied,
            "; the credentials are wrong, missing, or not enough: check AZURE_STORAGE_ACCOUNT and \
             AZURE_STORAGE_KEY (or the connection string), and what the account's firewall and \
             roles allow",
        ),
        "NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName" => (
            ErrorKind::NotFound,
            "; the bucket or container does not exist: make it, or correct the journal's URI",
        ),
        "QuotaExceeded"
        | "InsufficientStorage"
        | "XMinioStorageFull"
        | "StorageFull"
        | "ServiceQuotaExceeded" => (
            ErrorKind::NoSpace,
            "; make room there or raise the quota, then open the journal again",
        ),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthenticationFailed" => (
            ErrorKind::PermissionDenied,
            "; the credentials are wrong: check key and secret, and the machine's clock",
        ),
        // Azure's words for a request that was not signed.
        "NoAuthenticationInformation" => (ErrorKind::PermissionDenied, NO_CREDENTIALS),
        "RequestTimeTooSkewed" => (
            ErrorKind::PermissionDenied,
            "; this machine's clock is wrong: set it, then open the journal again",
        ),
        "ExpiredToken" | "InvalidToken" => (
            ErrorKind::PermissionDenied,
            "; the session's credentials have expired or are not the server's: get new ones",
        ),
        _ => return None,
    };
    Some(known)
}

/// From how the connection failed, if it did.
fn by_connection(e: &opendal::Error) -> (ErrorKind, &'static str) {
    match connection(e) {
        Some(c) if c.is_timeout() => (
            ErrorKind::TimedOut,
            "; is the endpoint right and the server up?",
        ),
        Some(c) if c.is_connect() => (
            ErrorKind::Unreachable,
            "; is the endpoint right and the server up?",
        ),
        Some(_) => (ErrorKind::Unreachable, "; the connection broke"),
        None if e.is_temporary() => (
            ErrorKind::Unreachable,
            "; the server said so until the time was up (option timeout): it fails, is full or is \
             overloaded; see its own log",
        ),
        None => (ErrorKind::Io, ""),
    }
}

/// The failure of the connection, where there was one.
fn connection(e: &opendal::Error) -> Option<&reqwest::Error> {
    let mut source = e.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

fn missing_credentials(e: &opendal::Error) -> bool {
    let text = e.message();
    text.contains("signing http request") || text.contains("credential")
}

/// What lies behind an error, outermost first; a few are enough.
fn sources(e: &opendal::Error) -> Vec<String> {
    let mut all = Vec::new();
    let mut source = e.source();
    while let (Some(error), true) = (source, all.len() < 4) {
        all.push(error.to_string());
        source = error.source();
    }
    all
}

/// The provider's code, as OpenDAL prints it.
fn code(e: &opendal::Error) -> Option<&str> {
    let (_, rest) = e.message().split_once("code: \"")?;
    rest.split('"').next()
}

/// An error without a request behind it, where nothing was changed.
pub(crate) fn refusal(kind: ErrorKind, at: &str, text: &str) -> Error {
    Error::new(kind, format!("{at}: {text}")).with_outcome(Outcome::NotWritten)
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
