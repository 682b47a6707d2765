//! What the traits are asked with, and what they answer.

use crate::StorePath;
use std::time::SystemTime;

/// What a store is opened for. A backend takes a mode that it does not know for
/// [`Mode::ReadOnly`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Never writes, not even a probe.
    ReadOnly,
    /// Reads and writes; may write probes and prepare files of its own.
    ReadWrite,
}

/// How [`JournalStore::host_lock`](crate::JournalStore::host_lock) is asked for. A
/// backend takes a way that it does not know for [`HostLock::Polite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostLock {
    /// A live holder refuses with `Busy`.
    Polite,
    /// The caller takes over: a live holder does not refuse, fencing decides.
    TakeOver,
}

/// From where a reader reads. A backend takes a source that it does not know for
/// [`Source::Medium`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// From the medium, past every cache that may hold what the medium lost.
    Medium,
    /// From wherever it is fastest.
    Any,
}

/// How an object is created. Each field is a wish that a store may ignore, for it
/// may be built against a version that did not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectOptions {
    /// Permission bits, where the storage has them (`0o600` for a backup).
    pub mode: Option<u32>,
    /// The expected length, where it is known.
    pub size_hint: Option<u64>,
}

impl ObjectOptions {
    /// The same options with permission bits.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> ObjectOptions {
        self.mode = Some(mode);
        self
    }

    /// The same options with the expected length.
    #[must_use]
    pub fn with_size_hint(mut self, len: u64) -> ObjectOptions {
        self.size_hint = Some(len);
        self
    }
}

/// How a log is created. Each field is a wish that a store may ignore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogOptions {
    /// The length that the log is expected to reach; a store may prepare it.
    pub size_hint: u64,
}

impl LogOptions {
    /// The same options with the expected length.
    #[must_use]
    pub fn with_size_hint(mut self, len: u64) -> LogOptions {
        self.size_hint = len;
        self
    }
}

/// What a listed name is. Leave alone what you do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListedKind {
    /// An object: whole and unchanging.
    Object,
    /// A log, fenced or not.
    Log,
    /// The fence of a log of that path; it may outlive the log.
    Fence,
}

/// One row of [`JournalStore::list`](crate::JournalStore::list).
///
/// ```
/// use flushproof_api::{Listed, ListedKind, StorePath};
/// let log = Listed::new(StorePath::new("log/1-0")?, ListedKind::Log, 64);
/// assert!(!log.sealed && log.modified.is_none());
/// assert!(log.with_sealed(true).sealed);
/// # Ok::<(), flushproof_api::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The path of the object, the log, or of the log that the fence stops.
    pub path: StorePath,
    /// What it is.
    pub kind: ListedKind,
    /// Its length; for a log that is not sealed an upper bound of the durable
    /// length (perhaps 0 on a store whose [`Visibility`](crate::Visibility) is `OnSeal`);
    /// for a fence the length found, where it is noted.
    pub len: u64,
    /// When it was last written, where the storage knows.
    pub modified: Option<SystemTime>,
    /// Whether a log was sealed; objects and fences are.
    pub sealed: bool,
}

impl Listed {
    /// A row of unknown time; sealed, unless it is a log's.
    pub fn new(path: StorePath, kind: ListedKind, len: u64) -> Listed {
        Listed {
            path,
            kind,
            len,
            modified: None,
            sealed: kind != ListedKind::Log,
        }
    }

    /// The same row with the time of the last write, where it is known.
    #[must_use]
    pub fn with_modified(mut self, modified: Option<SystemTime>) -> Listed {
        self.modified = modified;
        self
    }

    /// The same row, sealed or not.
    #[must_use]
    pub fn with_sealed(mut self, sealed: bool) -> Listed {
        self.sealed = sealed;
        self
    }
}

/// Room on the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// All of it, in bytes.
    pub total: u64,
    /// What this process may still use, in bytes.
    pub available: u64,
}

impl Space {
    /// Both in bytes.
    pub fn new(total: u64, available: u64) -> Space {
        Space { total, available }
    }
}
