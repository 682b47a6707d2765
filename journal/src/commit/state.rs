//! The state of group commit, behind one short lock.

use super::buffer::{AlignedBuf, Pool};
use super::group::Group;
use super::serving::Serving;
use crate::format::{
    self, FRAME_HEADER, FrameHeader, FrameKind, MAX_FRAME, Prev, SegmentId, SegmentKey,
};
use bytes::Bytes;
use flushproof_api::{Error, LogWriter, SeqNo};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A group stops growing here, so that its flush stays short.
const GROUP_BYTES: usize = 4 << 20;

/// Everything that appenders, the leader and the keeper share.
pub(crate) struct State {
    /// The number of the next entry.
    pub next_seq: SeqNo,
    /// Batches that wait to be flushed; the last one may still grow.
    pub queue: VecDeque<Batch>,
    /// Batches on their way to the store, in order.
    pub inflight: VecDeque<InFlight>,
    /// The log, unless somebody is flushing. Changed only by [`State::take_log`],
    /// [`State::put_back`] and [`State::abandon_log`].
    log: Option<ActiveLog>,
    /// Whether `log` is here, for a look without the lock.
    free: Arc<AtomicBool>,
    /// When the present flush began.
    pub busy_since: Option<Instant>,
    /// Counts the logs' owners: a late answer of an abandoned writer is told by it.
    pub generation: u64,
    /// The next log, ready for use.
    pub prepared: Option<Prepared>,
    /// The highest index of this epoch that was ever prepared. A log of that
    /// index may be in use, whatever `fill` says during a roll.
    pub prepared_through: u64,
    /// Why nothing can be appended any more.
    pub failure: Option<Error>,
    /// An unknown outcome that a take-over from oneself is to mend.
    pub reopen: Option<Error>,
    /// `close` was called.
    pub closing: bool,
    /// Where the last acknowledged entry ends: the cut of a reopen.
    pub cut: Prev,
    /// How full the present segment is.
    pub fill: Fill,
    /// When the last flush began.
    pub last_flush: Instant,
    /// No handle is left: flush what is queued, then end.
    pub orphaned: bool,
}

/// How full a segment is, for the preparation of the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub index: u64,
    pub offset: u64,
    pub limit: u64,
    /// The durable cursor that the segment's last frame attests.
    pub attested: SeqNo,
    /// Since when it holds entries; of a new epoch's first log: since it is there.
    pub hidden_since: Option<Instant>,
}

/// Entries that will be one frame.
pub(crate) struct Batch {
    /// Room for the frame's header, then the encoded entries.
    pub buf: AlignedBuf,
    pub first: SeqNo,
    pub count: u32,
    /// What `reserve` took for them.
    pub cost: usize,
    pub group: Arc<Group>,
}

/// A batch on its way.
pub(crate) struct InFlight {
    pub first: SeqNo,
    pub count: u32,
    pub cost: usize,
    pub group: Arc<Group>,
    /// The whole frame; empty until it is built.
    pub frame: Bytes,
    /// The body's length within the frame.
    pub body_len: usize,
}

/// A log that may be used without asking anybody.
pub(crate) struct Prepared {
    pub writer: Box<dyn LogWriter>,
    pub index: u64,
}

/// The log that is written now. Whoever holds it is the only one who flushes.
pub(crate) struct ActiveLog {
    pub writer: Box<dyn LogWriter>,
    pub key: SegmentKey,
    pub grain: u64,
    /// Where the next frame begins.
    pub offset: u64,
    /// Every byte below it is durable.
    pub durable_offset: u64,
    /// What the last frame says is durable.
    pub attested: SeqNo,
    /// The segment is full here.
    pub limit: u64,
    /// Since when it holds entries, which a store may hide until it is sealed.
    pub hidden_since: Option<Instant>,
}

impl State {
    pub(crate) fn new(serving: Serving, limit: u64) -> State {
        let next_seq = serving.next_seq;
        let prepared_through = serving.index;
        let log = ActiveLog::new(serving, limit);
        State {
            next_seq,
            queue: VecDeque::new(),
            inflight: VecDeque::new(),
            cut: log.cut(next_seq),
            fill: log.fill(),
            last_flush: Instant::now(),
            orphaned: false,
            log: Some(log),
            free: Arc::new(AtomicBool::new(true)),
            busy_since: None,
            generation: 0,
            prepared: None,
            prepared_through,
            failure: None,
            reopen: None,
            closing: false,
        }
    }

    /// Adds entries as one batch that lies in one frame; says the first number
    /// and the group.
    pub(crate) fn push(
        &mut self,
        entries: &[&[u8]],
        encoded: usize,
        cost: usize,
        pool: &Pool,
    ) -> (SeqNo, Arc<Group>) {
        let fits = |b: &Batch| b.buf.len() + encoded <= GROUP_BYTES;
        if !self.queue.back().is_some_and(fits) {
            let mut buf = pool.take();
            buf.resize(FRAME_HEADER, 0);
            self.queue.push_back(Batch {
                buf,
                first: self.next_seq,
                count: 0,
                cost: 0,
                group: Arc::default(),
            });
        }
        let seq = self.next_seq;
        self.next_seq = SeqNo(seq.0 + entries.len() as u64);
        let Some(batch) = self.queue.back_mut() else {
            unreachable!("pushed above")
        };
        for entry in entries {
            put_entry(&mut batch.buf, entry);
        }
        batch.count += entries.len() as u32;
        batch.cost += cost;
        (seq, batch.group.clone())
    }

    /// Whether no entry waits or is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.inflight.is_empty()
    }

    /// Moves the oldest batch from the queue to those in flight.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        let batch = self.queue.pop_front()?;
        self.inflight.push_back(InFlight {
            first: batch.first,
            count: batch.count,
            cost: batch.cost,
            group: batch.group.clone(),
            frame: Bytes::new(),
            body_len: batch.buf.len() - FRAME_HEADER,
        });
        Some(batch)
    }

    /// Tells without the lock whether the log is free.
    pub(crate) fn free(&self) -> Arc<AtomicBool> {
        self.free.clone()
    }

    /// Whether nobody is flushing.
    pub(crate) fn log_is_free(&self) -> bool {
        self.log.is_some()
    }

    /// The log, unless somebody is flushing.
    pub(crate) fn log(&self) -> Option<&ActiveLog> {
        self.log.as_ref()
    }

    /// Takes the log: whoever has it is the only one who flushes.
    pub(crate) fn take_log(&mut self) -> Option<ActiveLog> {
        let log = self.log.take()?;
        self.free.store(false, SeqCst);
        self.busy_since = Some(Instant::now());
        Some(log)
    }

    /// Forgets the log, whoever has it.
    pub(crate) fn abandon_log(&mut self) {
        self.log = None;
        self.busy_since = None;
        self.free.store(false, SeqCst);
    }

    /// The log is free again.
    pub(crate) fn put_back(&mut self, log: ActiveLog) {
        self.fill = log.fill();
        self.log = Some(log);
        self.free.store(true, SeqCst);
        if let Some(began) = self.busy_since.take() {
            self.last_flush = began;
        }
    }
}

impl ActiveLog {
    pub(crate) fn new(serving: Serving, limit: u64) -> ActiveLog {
        let key = serving.key(serving.index);
        ActiveLog {
            writer: serving.writer,
            key,
            grain: serving.grain,
            offset: serving.offset,
            durable_offset: serving.offset,
            attested: SeqNo::ZERO,
            limit,
            hidden_since: Some(Instant::now()),
        }
    }

    /// The log's place in the journal.
    pub(crate) fn segment(&self) -> SegmentId {
        SegmentId {
            epoch: self.key.epoch,
            index: self.key.index,
        }
    }

    /// Right behind the last entry flushed, which ends at `seq`.
    pub(crate) fn cut(&self, seq: SeqNo) -> Prev {
        Prev {
            segment: self.segment(),
            offset: self.offset,
            seq,
        }
    }

    /// How full it is.
    pub(crate) fn fill(&self) -> Fill {
        Fill {
            index: self.key.index,
            offset: self.offset,
            limit: self.limit,
            attested: self.attested,
            hidden_since: self.hidden_since,
        }
    }

    /// Completes the frame in `buf` (header room, then the body), pads it to the
    /// grain and counts it as submitted.
    pub(crate) fn seal(
        &mut self,
        buf: &mut AlignedBuf,
        kind: FrameKind,
        entries: (SeqNo, u32),
        durable: SeqNo,
    ) {
        let body_len = buf.len() - FRAME_HEADER;
        let header = FrameHeader {
            kind,
            body_len: body_len as u32,
            first_seq: entries.0,
            count: entries.1,
            epoch: self.key.epoch,
            durable,
            durable_offset: self.durable_offset,
            clock_ms: now_ms(),
        };
        format::seal_frame(buf.as_mut_slice(), &header, &self.key, self.offset);
        let padded = (buf.len() as u64).next_multiple_of(self.grain);
        buf.resize(padded as usize, 0);
        self.offset += padded;
        self.attested = durable;
    }
}

/// The wall clock in ms since 1970; 0 before it.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}

/// The length of an entry on storage: its varint length and its bytes.
pub(crate) fn encoded_len(entry: usize) -> usize {
    entry.saturating_add((64 - (entry as u64 | 1).leading_zeros() as usize).div_ceil(7))
}

/// The most that one batch may encode to, on every store.
pub(crate) const MAX_BATCH_BODY: usize = MAX_FRAME - FRAME_HEADER - (64 << 10);

/// Appends an entry: its length as a varint, then its bytes.
pub(crate) fn put_entry(buf: &mut AlignedBuf, entry: &[u8]) {
    let mut varint = [0u8; 10];
    let mut n = entry.len() as u64;
    let mut i = 0;
    while n >= 0x80 {
        varint[i] = n as u8 | 0x80;
        n >>= 7;
        i += 1;
    }
    varint[i] = n as u8;
    buf.extend_from_slice(&varint[..=i]);
    buf.extend_from_slice(entry);
}
