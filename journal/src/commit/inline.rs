//! Flushing on the caller's thread: for stores that block.
//!
//! Whoever awaits an ack and finds the log free leads: it takes the oldest
//! batch, writes it and wakes the others. On a worker of a multi-thread runtime
//! the write runs under `block_in_place`; on a plain thread as it is; everywhere
//! else (current-thread runtimes, `LocalSet`, `block_on`) the keeper's thread
//! writes, because `block_in_place` may not be called there.

use super::core::Core;
use super::group::Group;
use super::state::{ActiveLog, Prepared};
use crate::format::{FRAME_HEADER, FrameKind, SegmentHeader, SegmentKey};
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Flushed, LogWriter, Result, SeqNo};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::runtime::{Handle, RuntimeFlavor, worker_index};

/// Where the calling thread may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A worker of a multi-thread runtime.
    Worker,
    /// No runtime here.
    Plain,
    /// The keeper must write.
    Elsewhere,
}

/// Finds out where the calling thread is. Inside a `LocalSet` on `block_on`'s
/// thread `worker_index` is `None`, so nothing is ever written there.
pub(crate) fn place() -> Place {
    match Handle::try_current() {
        Err(_) => Place::Plain,
        Ok(h) if h.runtime_flavor() == RuntimeFlavor::MultiThread && worker_index().is_some() => {
            Place::Worker
        }
        Ok(_) => Place::Elsewhere,
    }
}

impl Core {
    /// Flushes what waits, if the log is free: at least one batch, and on until
    /// `enough` says so or nothing waits. The calling thread may block.
    pub(crate) fn lead(&self, enough: impl Fn() -> bool) {
        while let Some((log, generation, len)) = self.take_busy_log() {
            self.flush_oldest(log, generation, len);
            if enough() {
                break;
            }
        }
        self.hand_over();
    }

    /// The flusher's turn: one group after the other while there is company, or
    /// while those who wait may not write themselves.
    pub(crate) fn lead_in_turn(&self) {
        loop {
            self.gather();
            let Some((log, generation, len)) = self.take_busy_log() else {
                break;
            };
            self.flush_oldest(log, generation, len);
            if !self.elsewhere.load(Relaxed) && self.target() <= 1 {
                break;
            }
        }
        self.hand_over();
    }

    /// Wakes one of those whose batch still waits, so that it leads.
    pub(crate) fn hand_over(&self) {
        let next = match self.state() {
            state if state.log_is_free() => state.queue.front().map(|b| b.group.clone()),
            _ => None,
        };
        if next.is_some_and(|group| !group.wake_one()) {
            self.keeper.notify_one();
        }
    }

    fn flush_oldest(&self, mut log: ActiveLog, generation: u64, len: usize) {
        let frame_len = (len as u64).next_multiple_of(log.grain);
        if let Err(error) = self.roll_if_full(&mut log, frame_len, generation) {
            return self.fail(generation, error);
        }
        let Some(batch) = self.take_batch(generation) else {
            self.return_log(log, generation);
            return;
        };
        let end = SeqNo(batch.first.0 + u64::from(batch.count));
        let frame = self.build(&mut log, batch, generation);
        self.counters.flushes.fetch_add(1, Relaxed);
        let began = Instant::now();
        let flushed = flush_now(&mut *log.writer, frame);
        self.note_flush_time(began.elapsed());
        match flushed {
            Ok(got) => {
                if let Some(group) = self.finish_job(log, end, got, generation) {
                    group.wake();
                }
            }
            Err(error) => self.fail(generation, error),
        }
    }

    /// The only flush under way is durable: acknowledges it and frees the log. Its
    /// group is to be woken.
    pub(super) fn finish_job(
        &self,
        mut log: ActiveLog,
        end: SeqNo,
        got: Flushed,
        generation: u64,
    ) -> Option<Arc<Group>> {
        log.durable_offset = log.offset;
        let cut = log.cut(end);
        let mut state = self.state();
        if state.generation != generation {
            return None; // abandoned: a late Ok is not an acknowledgement
        }
        let acknowledged = self.acknowledge(&mut state, cut, got);
        state.put_back(log);
        drop(state);
        self.moved.notify_waiters();
        acknowledged
    }

    /// Goes on in the next log when this one is full and the next is prepared.
    /// When it is not prepared yet, this one grows beyond its limit, up to the
    /// store's own.
    fn roll_if_full(&self, log: &mut ActiveLog, frame_len: u64, generation: u64) -> Result<()> {
        if log.offset + frame_len <= log.limit {
            return Ok(());
        }
        let Some(prepared) = self.take_prepared(generation) else {
            return self.may_outgrow(log, frame_len);
        };
        let (mut next, frame) = self.begin_log(log, prepared);
        self.counters.flushes.fetch_add(1, Relaxed);
        flush_now(&mut *next.writer, frame)?;
        next.durable_offset = next.offset;
        self.counters.rolls.fetch_add(1, Relaxed);
        *log = next;
        self.keeper.notify_one(); // prepares the next
        Ok(())
    }

    pub(crate) fn may_outgrow(&self, log: &ActiveLog, frame_len: u64) -> Result<()> {
        if log.offset + frame_len <= self.context.store.contract().max_log {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TimedOut,
            format!(
                "the next log was not ready when segment {:?} was full",
                log.segment()
            ),
        ))
    }

    /// The log after `log`, which is drained, and the frame that begins it.
    pub(crate) fn begin_log(&self, log: &ActiveLog, prepared: Prepared) -> (ActiveLog, Bytes) {
        let durable = self.durable();
        let header = SegmentHeader {
            nonce: log.key.nonce,
            grain: log.grain as u32,
            gap: false,
            prev: Some(log.cut(durable)),
            durable,
            created_ms: super::state::now_ms(),
        };
        let mut next = ActiveLog {
            writer: prepared.writer,
            key: SegmentKey {
                index: prepared.index,
                ..log.key
            },
            grain: log.grain,
            offset: 0,
            durable_offset: 0,
            attested: SeqNo::ZERO,
            limit: self.context.segment_limit(prepared.index),
            hidden_since: None,
        };
        let mut body = Vec::new();
        header.encode(&mut body);
        let frame = self.control_frame(&mut next, FrameKind::Header, &body);
        (next, frame)
    }

    /// A frame without entries: header, mark or seal.
    pub(crate) fn control_frame(&self, log: &mut ActiveLog, kind: FrameKind, body: &[u8]) -> Bytes {
        let mut buf = self.pool.take();
        buf.resize(FRAME_HEADER, 0);
        buf.extend_from_slice(body);
        let durable = self.durable();
        log.seal(&mut buf, kind, (durable, 0), durable);
        self.pool.freeze(buf)
    }
}

/// Flushes on this thread. A blocking store answers at once (the contract was
/// checked at open); any other answer is the backend's error.
pub(crate) fn flush_now(writer: &mut dyn LogWriter, frame: Bytes) -> Result<Flushed> {
    match writer.flush(frame).try_ready() {
        Ok(result) => result,
        Err(_) => Err(Error::new(
            ErrorKind::Unsupported,
            "the store calls its flush blocking but did not answer at once; report it to the backend",
        )),
    }
}
