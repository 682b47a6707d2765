//! [`Serving`]: what recovery hands to group commit, and a reopen hands again.

use crate::Config;
use crate::format::{Nonce, Prev, SegmentKey};
use flushproof_api::{Epoch, JournalStore, LogWriter, SeqNo};
use std::sync::Arc;

/// The parts of a journal that stay the same from epoch to epoch.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The store.
    pub store: Arc<dyn JournalStore>,
    /// How the journal was opened.
    pub config: Arc<Config>,
    /// The journal's identity.
    pub journal: crate::format::JournalId,
}

/// A primary past step 7 of the protocol: it may append and acknowledge.
pub(crate) struct Serving {
    /// Store, configuration, identity.
    pub context: Context,
    /// The epoch served and its nonce.
    pub epoch: Epoch,
    /// The epoch's nonce.
    pub nonce: Nonce,
    /// The writer of segment `index`, its header and carried entries flushed.
    pub writer: Box<dyn LogWriter>,
    /// The index of that segment (0 right after a take-over).
    pub index: u64,
    /// Its grain.
    pub grain: u64,
    /// The end of what is flushed in it: where the next frame begins.
    pub offset: u64,
    /// The number of the next entry.
    pub next_seq: SeqNo,
}

impl Serving {
    /// The key of a segment of this epoch.
    pub(crate) fn key(&self, index: u64) -> SegmentKey {
        SegmentKey {
            journal: self.context.journal,
            nonce: self.nonce,
            epoch: self.epoch,
            index,
        }
    }
}

/// Entries that a reopen carries over: not acknowledged, in order.
pub(crate) struct Unacknowledged {
    /// The epoch that this process served until now, and its nonce.
    pub epoch: Epoch,
    /// The nonce of that epoch.
    pub nonce: Nonce,
    /// Every entry below it is acknowledged.
    pub durable: SeqNo,
    /// Where the last acknowledged entry ends: the `prev` of the new start.
    pub cut: Option<Prev>,
    /// The frames' bodies, each with its first number and its count of entries.
    pub bodies: Vec<(SeqNo, u32, bytes::Bytes)>,
}
