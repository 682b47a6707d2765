//! The flush of a lone appender on a store that answers later: begun by whoever
//! awaits the ack, on its own thread, and taken in by the same.
//!
//! The journal's task would begin it, take the answer and wake the appender: two
//! more changes of thread, 25 to 75 µs where the cores are busy, which is a tenth of
//! a write over NFS. The task still adopts the flush as soon as something waits
//! behind it, when the ack is dropped, and when nobody has taken the answer for a
//! while: it keeps the deadline, and it does not depend on the ack's being polled.
//!
//! At most one flush is under way like this, and nothing else is then: the log
//! is in it. So acks stay in order.

use super::core::Core;
use super::state::{ActiveLog, Batch};
use flushproof_api::{Flush, Flushed, Result, SeqNo};
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// After this time the journal's task takes care of the flush.
const PATIENCE: Duration = Duration::from_millis(20);

/// Where a journal has that flush.
#[derive(Default)]
pub(crate) struct Slot {
    flush: Mutex<Option<Alone>>,
    /// The task is to take it in.
    left: AtomicBool,
}

/// A flush under way that its appender takes in.
pub(crate) struct Alone {
    pub log: ActiveLog,
    pub generation: u64,
    /// The cursor behind its last entry.
    pub end: SeqNo,
    pub flush: Flush,
    pub began: Instant,
}

impl Core {
    fn under_way(&self) -> MutexGuard<'_, Option<Alone>> {
        self.alone
            .flush
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an ack of so many entries may flush by itself; a look without locks.
    pub(crate) fn may_be_alone(&self, entries: u64) -> bool {
        self.is_free() && self.waiting() == entries && self.target() <= entries
    }

    /// Begins the flush of the only entries that wait, if there are `entries` of
    /// them and they need no roll. `false`: it is the task's work.
    pub(crate) fn begin_alone(&self, entries: u64) -> bool {
        if !self.may_be_alone(entries) || self.hides() {
            return false;
        }
        let mut alone = self.under_way();
        if alone.is_some() {
            return false;
        }
        let Some((mut log, generation, batch)) = self.take_only_batch(entries) else {
            return false;
        };
        let end = SeqNo(batch.first.0 + u64::from(batch.count));
        let frame = self.build(&mut log, batch, generation);
        self.counters.flushes.fetch_add(1, Relaxed);
        let began = Instant::now();
        let flush = log.writer.flush(frame);
        *alone = Some(Alone {
            log,
            generation,
            end,
            flush,
            began,
        });
        true
    }

    /// The log and the only batch that waits, both at once, so that no entry joins
    /// the batch in between: nobody else waits for its group.
    fn take_only_batch(&self, entries: u64) -> Option<(ActiveLog, u64, Batch)> {
        let mut state = self.state();
        let only = state.queue.len() == 1 && state.failure.is_none();
        let batch = state.queue.front().filter(|_| only)?;
        let (count, len) = (batch.count, batch.buf.len() as u64);
        let log = state.log()?;
        let full = log.offset + len.next_multiple_of(log.grain) > log.limit;
        if u64::from(count) != entries || full {
            return None;
        }
        let batch = state.take_batch()?;
        let end = batch.first.0 + u64::from(batch.count);
        self.taken.store(end, SeqCst);
        let generation = state.generation;
        state.take_log().map(|log| (log, generation, batch))
    }

    /// Takes in the flush that ends at `end`, if it is done. `false`: it is under way
    /// no more, or the task has it.
    pub(crate) fn poll_alone(&self, end: SeqNo, cx: &mut Context<'_>) -> bool {
        let mut alone = self.under_way();
        let Some(mine) = alone.as_mut().filter(|alone| alone.end == end) else {
            return false;
        };
        let Poll::Ready(result) = Pin::new(&mut mine.flush).poll(cx) else {
            return true;
        };
        let done = alone.take();
        drop(alone);
        if let Some(done) = done {
            self.land_alone(done, result);
        }
        true
    }

    fn land_alone(&self, done: Alone, result: Result<Flushed>) {
        match result {
            Ok(got) => {
                self.note_flush_time(done.began.elapsed());
                // Only the caller waits for this group.
                drop(self.finish_job(done.log, done.end, got, done.generation));
                if self.waiting() > 0 {
                    self.flusher.notify_one(); // it may have found the log away
                }
            }
            Err(error) => self.fail(done.generation, error),
        }
    }

    /// Nobody may be there to take in the flush: the task does.
    pub(crate) fn leave_alone(&self) {
        self.alone.left.store(true, SeqCst);
        self.flusher.notify_one();
    }

    /// As [`leave_alone`](Self::leave_alone), if the flush takes long.
    pub(crate) fn leave_late(&self) {
        let late = |alone: &Alone| alone.began.elapsed() > PATIENCE;
        if self.under_way().as_ref().is_some_and(late) {
            self.leave_alone();
        }
    }

    /// The flush for the journal's task, when something waits behind it or it was left.
    pub(crate) fn adopt(&self) -> Option<Alone> {
        let left = self.alone.left.swap(false, SeqCst);
        let wanted = left || self.waiting() > 0;
        if wanted {
            self.under_way().take()
        } else {
            None
        }
    }
}
