//! [`Core`]: what every handle of one journal shares; finishing and failing.

use super::alone::Slot;
use super::buffer::Pool;
use super::counters::Counters;
use super::group::{Done, Group};
use super::padded::Padded;
use super::serving::{Context, Serving};
use super::state::{ActiveLog, Batch, Prepared, State};
use crate::OnUnknown;
use crate::format::{Nonce, Prev};
use bytes::Bytes;
use flushproof_api::{Advice, Epoch, Error, ErrorKind, FlushCall, Flushed, Outcome, Result, SeqNo};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Instant;
use tokio::sync::{Notify, Semaphore};

/// The least that an entry costs of the queue's room; bounds their number.
fn least_cost(queue_bytes: usize, queue_entries: usize) -> usize {
    (queue_bytes / queue_entries).max(1)
}

/// One journal that serves.
pub(crate) struct Core {
    pub context: Context,
    pub pool: Arc<Pool>,
    pub blocking: bool,
    pub max_inflight: usize,
    least_cost: usize,
    state: Padded<Mutex<State>>,
    /// Whether nobody is flushing; a look without the lock.
    pub(super) free: Arc<AtomicBool>,
    /// Room in the queue, in cost units (bytes).
    pub room: Padded<Semaphore>,
    pub(super) accepted: Padded<AtomicU64>,
    submitted: AtomicU64,
    durable: AtomicU64,
    epoch: AtomicU64,
    nonce: Mutex<Nonce>,
    /// Every entry below it was taken out of the queue.
    pub(super) taken: Padded<AtomicU64>,
    /// The ack that gathers a group before it leads: its number + 1, or 0.
    pub elected: Padded<AtomicU64>,
    /// The last ack that asked for a flush may not write itself: the flusher goes on.
    pub elsewhere: AtomicBool,
    /// Groups in a row with one entry only.
    pub(super) lonely: AtomicU64,
    /// Entries the next group may hope for: of the last one, and of those behind it.
    pub(super) target: AtomicU64,
    /// How long flushes take, in ns (a moving average).
    pub(super) flush_ns: AtomicU64,
    /// Woken when there is work for the keeper.
    pub keeper: Notify,
    /// The keeper sleeps without a tick: the next append wakes it.
    pub keeper_idle: AtomicBool,
    /// Woken when `durable` moved or the journal failed.
    pub moved: Notify,
    /// The thread that writes for callers who may not block.
    flusher_thread: Mutex<Option<Thread>>,
    /// Somebody asked for it since it last began to look.
    pub flusher_called: Padded<AtomicBool>,
    /// How many such threads were started: an older one, back from a hung write, ends.
    pub flushers: AtomicU64,
    /// The journal was closed.
    ended: AtomicBool,
    /// How many backups are being taken: nothing is trimmed meanwhile.
    pub(super) trim_holds: AtomicUsize,
    /// How closing it went; set before `ended`.
    pub closed: OnceLock<Result<()>>,
    /// Work for the task that flushes a detached store.
    pub flusher: Notify,
    /// The flush of a lone appender there.
    pub(super) alone: Slot,
    pub counters: Counters,
}

impl Core {
    pub(crate) fn new(serving: Serving) -> Arc<Core> {
        let context = serving.context.clone();
        let contract = context.store.contract();
        let config = &context.config;
        let align = (contract.block.max(64)).max(serving.grain as usize);
        let limit = context.segment_limit(serving.index);
        let next = serving.next_seq.0;
        let (epoch, nonce) = (serving.epoch.0, serving.nonce);
        let state = State::new(serving, limit);
        Arc::new(Core {
            free: state.free(),
            pool: Pool::new(align),
            blocking: contract.flush_call == FlushCall::Blocking,
            max_inflight: contract.max_inflight,
            least_cost: least_cost(config.queue_bytes, config.queue_entries),
            room: Padded(Semaphore::new(config.queue_bytes)),
            accepted: Padded(next.into()),
            submitted: next.into(),
            durable: next.into(),
            epoch: epoch.into(),
            nonce: Mutex::new(nonce),
            taken: Padded(next.into()),
            elected: Padded(0.into()),
            elsewhere: false.into(),
            lonely: 0.into(),
            target: 1.into(),
            // Slow until it was measured: a store that hangs at once stops nobody else.
            flush_ns: 1_000_000.into(),
            keeper: Notify::new(),
            keeper_idle: false.into(),
            moved: Notify::new(),
            flusher: Notify::new(),
            alone: Slot::default(),
            flusher_thread: Mutex::new(None),
            flusher_called: Padded(false.into()),
            flushers: 0.into(),
            ended: false.into(),
            trim_holds: AtomicUsize::new(0),
            closed: OnceLock::new(),
            counters: Counters::default(),
            state: Padded(Mutex::new(state)),
            context,
        })
    }

    /// No code panics while it holds this lock, so a poisoned one is sound.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn accepted(&self) -> SeqNo {
        SeqNo(self.accepted.load(SeqCst))
    }

    pub(crate) fn submitted(&self) -> SeqNo {
        SeqNo(self.submitted.load(SeqCst))
    }

    pub(crate) fn durable(&self) -> SeqNo {
        SeqNo(self.durable.load(SeqCst))
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(SeqCst))
    }

    pub(crate) fn nonce(&self) -> Nonce {
        *self.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch served, its nonce and the index of a log whose header is
    /// durable; `None` while a take-over from oneself is under way.
    pub(crate) fn serving_now(&self) -> Option<(Epoch, Nonce, u64)> {
        let state = self.state();
        let serves = state.failure.is_none() && state.reopen.is_none();
        serves.then(|| (self.epoch(), self.nonce(), state.fill.index))
    }

    /// From now on this thread flushes for others.
    pub(crate) fn set_flusher_thread(&self, thread: Thread) {
        *self
            .flusher_thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    /// Asks whoever writes for others to look at the queue.
    pub(crate) fn wake_flusher(&self) {
        if !self.blocking {
            return self.flusher.notify_one();
        }
        if self.flusher_called.load(SeqCst) || self.flusher_called.swap(true, SeqCst) {
            return; // it will look after this
        }
        if let Some(thread) = &*self
            .flusher_thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            thread.unpark();
        }
    }

    /// Whether keeper and flusher are to end.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// No append is accepted any more.
    pub(crate) fn begin_close(&self) {
        self.state().closing = true;
    }

    /// Nothing is left to do: keeper and flusher end.
    pub(crate) fn end(&self) {
        let error = closed();
        let mut state = self.state();
        if state.failure.is_none() {
            state.failure = Some(error);
        }
        drop(state);
        self.room.close();
        self.ended.store(true, SeqCst);
        self.keeper.notify_one();
        self.moved.notify_waiters();
    }

    /// The last handle is gone: flush what was accepted, then end.
    pub(crate) fn orphan(&self) {
        self.state().orphaned = true;
        self.wake_flusher();
        self.keeper.notify_one();
    }

    /// Puts a log back whose last frame, without entries, is durable.
    pub(crate) fn return_durable(&self, mut log: ActiveLog, generation: u64) -> bool {
        log.durable_offset = log.offset;
        let returned = self.return_log(log, generation);
        if self.blocking && self.waiting() > 0 {
            self.hand_over();
        }
        self.moved.notify_waiters();
        self.flusher.notify_one();
        returned
    }

    /// What an entry of `encoded` bytes takes of the queue's room.
    pub(crate) fn cost(&self, encoded: usize) -> usize {
        encoded
            .max(self.least_cost)
            .min(self.context.config.queue_bytes)
    }

    /// Accepts entries: gives them numbers and puts them in the queue. `awaited`:
    /// the caller polls their ack at once.
    pub(crate) fn accept(
        &self,
        entries: &[&[u8]],
        encoded: usize,
        cost: usize,
        awaited: bool,
    ) -> Result<(SeqNo, Arc<Group>)> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone().with_outcome(Outcome::NotWritten));
        }
        if state.closing {
            return Err(closed());
        }
        let (seq, group) = state.push(entries, encoded, cost, &self.pool);
        self.accepted.store(state.next_seq.0, SeqCst);
        drop(state);
        if self.keeper_idle.load(SeqCst) && self.keeper_idle.swap(false, SeqCst) {
            self.keeper.notify_one();
        }
        if !self.blocking && !awaited {
            self.flusher.notify_one();
        }
        Ok((seq, group))
    }

    /// Takes the log alone when no entry waits: for a mark.
    pub(crate) fn take_quiet_log(&self) -> Option<(ActiveLog, u64)> {
        let state = self.state();
        if state.is_quiet() {
            Self::take_log_of(state)
        } else {
            None
        }
    }

    /// Takes the log alone: for a seal, or the task of a detached store.
    pub(crate) fn take_log(&self) -> Option<(ActiveLog, u64)> {
        Self::take_log_of(self.state())
    }

    fn take_log_of(mut state: MutexGuard<'_, State>) -> Option<(ActiveLog, u64)> {
        if state.failure.is_some() {
            return None;
        }
        let log = state.take_log()?;
        Some((log, state.generation))
    }

    /// Whether nobody is flushing.
    pub(crate) fn is_free(&self) -> bool {
        self.free.load(SeqCst)
    }

    /// How many entries wait in the queue.
    pub(crate) fn waiting(&self) -> u64 {
        let taken = self.taken.load(SeqCst);
        self.accepted.load(SeqCst).saturating_sub(taken)
    }

    /// Puts the log back. `false`: it was abandoned meanwhile.
    pub(crate) fn return_log(&self, log: ActiveLog, generation: u64) -> bool {
        let mut state = self.state();
        if state.generation != generation {
            return false;
        }
        state.put_back(log);
        true
    }

    /// Takes the log when something waits; says how long the oldest batch is.
    pub(crate) fn take_busy_log(&self) -> Option<(ActiveLog, u64, usize)> {
        let mut state = self.state();
        if state.failure.is_some() {
            return None;
        }
        let len = state.queue.front()?.buf.len();
        let log = state.take_log()?;
        Some((log, state.generation, len))
    }

    /// Takes the next log for whoever holds the present one of this generation.
    pub(crate) fn take_prepared(&self, generation: u64) -> Option<Prepared> {
        let mut state = self.state();
        if state.generation == generation {
            state.prepared.take()
        } else {
            None
        }
    }

    /// Takes the oldest batch for whoever holds the log of this generation.
    pub(crate) fn take_batch(&self, generation: u64) -> Option<Batch> {
        let mut state = self.state();
        if state.generation != generation {
            return None;
        }
        let batch = state.take_batch()?;
        let end = batch.first.0 + u64::from(batch.count);
        self.taken.store(end, SeqCst);
        Some(batch)
    }

    /// Builds the frame of a batch; keeps it for a reopen. The offset at which
    /// the frame begins is the log's before this call.
    pub(crate) fn build(&self, log: &mut ActiveLog, mut batch: Batch, generation: u64) -> Bytes {
        let entries = (batch.first, batch.count);
        log.hidden_since.get_or_insert_with(Instant::now);
        log.seal(
            &mut batch.buf,
            crate::format::FrameKind::Entries,
            entries,
            self.durable(),
        );
        let frame = self.pool.freeze(batch.buf);
        let mut state = self.state();
        // Also for an abandoned log: a reopen waits for the frames it carries over.
        if let Some(job) = state.inflight.iter_mut().find(|j| j.first == batch.first) {
            job.frame = frame.clone();
        }
        if state.generation == generation {
            self.submitted
                .store(batch.first.0 + u64::from(batch.count), SeqCst);
        }
        frame
    }

    /// Acknowledges the oldest batch in flight; its group is to be woken when the
    /// lock is free.
    pub(crate) fn acknowledge(
        &self,
        state: &mut State,
        cut: Prev,
        got: Flushed,
    ) -> Option<Arc<Group>> {
        let job = state.inflight.pop_front()?;
        let end = job.first.0 + u64::from(job.count);
        state.cut = cut;
        self.durable.store(end, SeqCst);
        let lonely = match job.count {
            1 => self.lonely.load(Relaxed) + 1,
            _ => 0,
        };
        self.lonely.store(lonely, Relaxed);
        let target = u64::from(job.count) + self.waiting();
        self.target.store(target, Relaxed);
        self.counters.groups.fetch_add(1, Relaxed);
        self.counters
            .entries
            .fetch_add(u64::from(job.count), Relaxed);
        self.counters.bytes.fetch_add(job.body_len as u64, Relaxed);
        self.room.add_permits(job.cost);
        job.group.decide(Ok(Done {
            epoch: self.epoch(),
            survives: got.survives,
        }));
        Some(job.group)
    }

    /// The single choke point of failure. The first failure is final, unless a
    /// take-over from oneself can mend it.
    pub(crate) fn fail(&self, generation: u64, error: Error) {
        let mut state = self.state();
        if state.generation != generation || state.failure.is_some() || state.reopen.is_some() {
            return;
        }
        state.generation += 1;
        state.abandon_log();
        state.prepared = None;
        if self.context.config.on_unknown == OnUnknown::Reopen && may_reopen(&error) {
            tracing::warn!(%error, "flush of unknown outcome; taking over from myself");
            state.reopen = Some(error);
            drop(state);
        } else {
            self.fail_all(state, error);
        }
        self.keeper.notify_one();
        self.flusher.notify_one();
    }

    /// Ends the journal: every waiting and every later append gets the error.
    pub(crate) fn fail_all(&self, mut state: MutexGuard<'_, State>, error: Error) {
        tracing::error!(%error, "the journal stops");
        state.reopen = None;
        state.failure = Some(error.clone());
        let not_written = error.clone().with_outcome(Outcome::NotWritten);
        let mut groups = Vec::new();
        for job in state.inflight.drain(..) {
            job.group.decide(Err(error.clone()));
            groups.push(job.group);
        }
        for batch in state.queue.drain(..) {
            batch.group.decide(Err(not_written.clone()));
            groups.push(batch.group);
        }
        drop(state);
        self.room.close();
        groups.iter().for_each(|group| group.wake());
        self.moved.notify_waiters();
    }

    /// Goes on in a new epoch: the entries in flight were carried over.
    pub(crate) fn resume(&self, serving: Serving) {
        let limit = self.context.segment_limit(serving.index);
        let survives = serving.survives;
        let done = Done {
            epoch: serving.epoch,
            survives,
        };
        let mut state = self.state();
        *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = serving.nonce;
        self.epoch.store(serving.epoch.0, SeqCst);
        let carried: Vec<_> = state.inflight.drain(..).collect();
        for job in &carried {
            job.group.decide(Ok(done));
        }
        let cut = Prev {
            segment: crate::format::SegmentId {
                epoch: serving.epoch,
                index: serving.index,
            },
            offset: serving.offset,
            seq: serving.next_seq,
        };
        self.durable.store(serving.next_seq.0, SeqCst);
        self.submitted.store(serving.next_seq.0, SeqCst);
        state.cut = cut;
        state.prepared_through = serving.index;
        state.put_back(ActiveLog::new(serving, limit));
        state.reopen = None;
        drop(state);
        self.counters.reopens.fetch_add(1, Relaxed);
        for job in carried {
            self.counters
                .entries
                .fetch_add(u64::from(job.count), Relaxed);
            self.room.add_permits(job.cost);
            job.group.wake();
        }
        if self.blocking {
            self.hand_over();
        }
        self.moved.notify_waiters();
        self.flusher.notify_one();
    }
}

/// The error of an append to a journal that was closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the journal was closed by its owner")
        .with_outcome(Outcome::NotWritten)
}

/// Whether a take-over from oneself can mend a failed flush: not when another
/// primary serves, and not when an operator must make room first.
pub(crate) fn may_reopen(error: &Error) -> bool {
    let hopeless = matches!(
        error.kind(),
        ErrorKind::Fenced
            | ErrorKind::NoSpace
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidInput
            | ErrorKind::TooLarge
    );
    !hopeless && error.advice() != Advice::StandDown
}
