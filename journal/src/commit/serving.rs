//! [`Serving`]: what recovery hands to group commit, and a reopen hands again.

use crate::Config;
use crate::format::{MIN_GRAIN, Nonce, Prev, SegmentKey};
use crate::objects::Bounded;
use crate::unreadable::Unreadable;
use flushproof_api::{Epoch, FlushCall, JournalStore, LogWriter, SeqNo, Survives};
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
    /// Who looks for damage passes over what can't be read, and notes it here.
    pub around: Option<Arc<Unreadable>>,
}

impl Context {
    /// The store, every call bounded in time.
    pub(crate) fn io(&self) -> Bounded {
        Bounded::new(self.store.clone(), self.config.store_timeout).around(self.around.clone())
    }

    /// Whether the store writes on the calling thread.
    pub(crate) fn blocking(&self) -> bool {
        self.store.contract().flush_call == FlushCall::Blocking
    }

    /// Where segment `index` is full: 1 MiB for the first, doubling to the configured size.
    pub(crate) fn segment_limit(&self, index: u64) -> u64 {
        let doubled = (1u64 << 20)
            .checked_shl(index.min(32) as u32)
            .unwrap_or(u64::MAX);
        doubled
            .min(self.config.segment_size)
            .min(self.store.contract().max_log)
    }

    /// The grain of new segments.
    pub(crate) fn grain(&self) -> u64 {
        (self.store.contract().block as u64).max(MIN_GRAIN)
    }
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
    /// What its header and its carried entries survive.
    pub survives: Survives,
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

/// An epoch of this process, and where a take-over continues behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    /// The epoch.
    pub epoch: Epoch,
    /// Its nonce.
    pub nonce: Nonce,
    /// Right behind the last acknowledged entry.
    pub cut: Prev,
}

/// Entries that a reopen carries over: not acknowledged, in order.
pub(crate) struct Unacknowledged {
    /// The epoch served until now, then those of take-overs that failed half-way.
    pub own: Vec<Own>,
    /// Every entry below it is acknowledged.
    pub durable: SeqNo,
    /// The frames' bodies.
    pub bodies: Vec<Body>,
}

/// The body of a frame of entries that is carried over.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// The number of its first entry.
    pub first: SeqNo,
    /// How many entries.
    pub count: u32,
    /// The encoded entries.
    pub bytes: bytes::Bytes,
}
