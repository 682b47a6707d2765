//! [`Counters`]: what a journal has done.

use std::sync::atomic::AtomicU64;

/// Counters for operators and tests.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub entries: AtomicU64,
    pub bytes: AtomicU64,
    pub groups: AtomicU64,
    pub flushes: AtomicU64,
    pub marks: AtomicU64,
    pub rolls: AtomicU64,
    pub reopens: AtomicU64,
    pub backups: AtomicU64,
    pub failed_backups: AtomicU64,
}
