//! [`Error`]: what happened, whether bytes were written, and what to do next.

use std::fmt;
use std::sync::Arc;

/// The result of every fallible call of this project.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. New kinds may be added in a minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object, log or place does not exist.
    NotFound,
    /// A name is taken; of two racing creators this is the loser.
    AlreadyExists,
    /// In use by another process that did not agree to stop.
    Busy,
    /// Another primary has taken over; this writer must never acknowledge again.
    Fenced,
    /// The disk, quota or bucket is full.
    NoSpace,
    /// Not allowed by the storage.
    PermissionDenied,
    /// The caller passed something that can never work.
    InvalidInput,
    /// The storage can't do what was asked.
    Unsupported,
    /// The storage promises less than was required.
    ContractTooWeak,
    /// The place holds no journal.
    NotFormatted,
    /// The place holds the beginning of a journal: a format that did not end.
    HalfFormatted,
    /// Written by a newer version than this one reads.
    NewerFormat,
    /// Bytes that were durable are not what was written.
    Corrupt,
    /// An entry or batch is over the configured limit.
    TooLarge,
    /// No answer within the deadline.
    TimedOut,
    /// An earlier failure made this writer unusable (FC-4).
    Poisoned,
    /// The journal or store was closed by its owner.
    Closed,
    /// No room in the journal's queue at this moment.
    Full,
    /// The storage is not reachable.
    Unreachable,
    /// Any other failure of the storage.
    Io,
}

impl ErrorKind {
    /// The kind's name as it stands in `--json` and in docs.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "not-found",
            ErrorKind::AlreadyExists => "already-exists",
            ErrorKind::Busy => "busy",
            ErrorKind::Fenced => "fenced",
            ErrorKind::NoSpace => "no-space",
            ErrorKind::PermissionDenied => "permission-denied",
            ErrorKind::InvalidInput => "invalid-input",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::ContractTooWeak => "contract-too-weak",
            ErrorKind::NotFormatted => "not-formatted",
            ErrorKind::HalfFormatted => "half-formatted",
            ErrorKind::NewerFormat => "newer-format",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::TooLarge => "too-large",
            ErrorKind::TimedOut => "timed-out",
            ErrorKind::Poisoned => "poisoned",
            ErrorKind::Closed => "closed",
            ErrorKind::Full => "full",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Io => "io",
        }
    }

    /// What to do when nothing more is known.
    fn default_advice(self) -> Advice {
        match self {
            ErrorKind::Fenced => Advice::StandDown,
            ErrorKind::TimedOut | ErrorKind::Poisoned | ErrorKind::Unreachable => Advice::Reopen,
            ErrorKind::Full | ErrorKind::Busy => Advice::Retry,
            _ => Advice::Operator,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the bytes of a failed call may be on the storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Certainly not: nothing of the call will ever be seen.
    NotWritten,
    /// Perhaps: they may be there now, later, in part, or never.
    #[default]
    Unknown,
}

/// What the caller should do next. Take what you do not know for
/// [`Advice::Operator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// The same call may work later.
    Retry,
    /// Drop the writer; go on in a new log after a take-over from oneself.
    Reopen,
    /// Another primary serves; stop serving.
    StandDown,
    /// A human must look.
    Operator,
}

impl Advice {
    /// The name in `--json` and in docs.
    pub fn as_str(self) -> &'static str {
        match self {
            Advice::Retry => "retry",
            Advice::Reopen => "reopen",
            Advice::StandDown => "stand-down",
            Advice::Operator => "operator",
        }
    }
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    advice: Advice,
    text: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// An error. Cheap to clone: one failed flush has a thousand waiters.
///
/// The text says what happened, where, and what to do next.
#[derive(Clone, Debug)]
pub struct Error(Arc<Inner>);

impl Error {
    /// An error with the kind's usual advice and outcome [`Outcome::Unknown`].
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error(Arc::new(Inner {
            kind,
            outcome: Outcome::Unknown,
            advice: kind.default_advice(),
            text: text.into(),
            source: None,
        }))
    }

    /// An error of the operating system, its kind taken from the I/O error's.
    pub fn io(text: impl fmt::Display, source: std::io::Error) -> Error {
        use std::io::ErrorKind as K;
        let kind = match source.kind() {
            K::NotFound => ErrorKind::NotFound,
            K::AlreadyExists => ErrorKind::AlreadyExists,
            K::PermissionDenied | K::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => ErrorKind::NoSpace,
            K::TimedOut => ErrorKind::TimedOut,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("{text}: {source}")).with_source(source)
    }

    /// The same error with another outcome.
    #[must_use]
    pub fn with_outcome(self, outcome: Outcome) -> Error {
        self.change(|i| i.outcome = outcome)
    }

    /// The same error with other advice.
    #[must_use]
    pub fn with_advice(self, advice: Advice) -> Error {
        self.change(|i| i.advice = advice)
    }

    /// The same error, its text preceded by `what` and a colon.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Error {
        self.change(|i| i.text = format!("{what}: {}", i.text))
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.change(|i| i.source = Some(Arc::new(source)))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the bytes of the failed call may be on the storage.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// What the caller should do next.
    pub fn advice(&self) -> Advice {
        self.0.advice
    }

    fn change(self, f: impl FnOnce(&mut Inner)) -> Error {
        let mut inner = Inner {
            kind: self.0.kind,
            outcome: self.0.outcome,
            advice: self.0.advice,
            text: self.0.text.clone(),
            source: self.0.source.clone(),
        };
        f(&mut inner);
        Error(Arc::new(inner))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}
