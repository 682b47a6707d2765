//! The keeper: one thread of each serving journal, with a small runtime of its
//! own, so that the journal does not depend on the caller's runtime being polled.

use super::core::{Core, may_reopen};
use super::detached::{self, hung};
use super::off_thread::flush_off_thread;
use super::serving::{Body, Own, Unacknowledged};
use super::state::{ActiveLog, Prepared};
use crate::format::{self, FRAME_HEADER, FrameKind, SegmentId};
use crate::objects::list_epochs;
use flushproof_api::{Epoch, Error, ErrorKind, Result};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often the keeper looks while entries are on their way.
const TICK: Duration = Duration::from_millis(2);
/// How long it waits after a log could not be prepared.
const PREPARE_AGAIN: Duration = Duration::from_secs(1);

/// Up to this time the keeper sleeps without being woken by appends.
const SHORT: Duration = Duration::from_millis(20);

/// Starts the keeper's thread, and the flusher's for a blocking store.
pub(crate) fn start(core: &Arc<Core>) -> Result<()> {
    let failed = |e| Error::io("the journal's thread could not be started", e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    if core.blocking {
        start_flusher(core)?;
    }
    let core = core.clone();
    let body = move || {
        runtime.block_on(keep(core));
        // A hung call may hold a blocking thread for ever: do not wait for it.
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name("journal-keeper".into())
        .spawn(body)
        .map_err(failed)?;
    Ok(())
}

/// The thread that writes for callers who may not block. A new one is started
/// when a hung write has taken the old one away.
fn start_flusher(core: &Arc<Core>) -> Result<()> {
    let weak = Arc::downgrade(core);
    let number = core.flushers.fetch_add(1, SeqCst) + 1;
    let thread = std::thread::Builder::new()
        .name("journal-flusher".into())
        .spawn(move || flusher(&weak, number))
        .map_err(|e| Error::io("the journal's flusher could not be started", e))?;
    core.set_flusher_thread(thread.thread().clone());
    // Whoever called since it began to look may have woken the old one.
    thread.thread().unpark();
    Ok(())
}

fn flusher(core: &Weak<Core>, number: u64) {
    loop {
        let Some(core) = core.upgrade() else { return };
        let replaced = core.flushers.load(SeqCst) != number;
        if replaced || core.state().failure.is_some() || core.ended() {
            return;
        }
        // Before the look at the queue: whoever comes later calls again.
        core.flusher_called.store(false, SeqCst);
        core.lead_in_turn();
        drop(core);
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

/// What the keeper does next.
enum Next {
    /// Look again after this time.
    After(Duration),
    /// Sleep until an append wakes it, or until this time has passed.
    Idle(Option<Duration>),
    /// The journal has ended.
    End,
}

async fn keep(core: Arc<Core>) {
    let task = (!core.blocking).then(|| tokio::spawn(detached::run(core.clone())));
    tokio::spawn(sweep(core.clone()));
    let mut keeper = Keeper {
        core: core.clone(),
        seen: None,
        preparing: None,
    };
    loop {
        match keeper.look().await {
            Next::End => break,
            Next::After(time) => {
                let _ = tokio::time::timeout(time, core.keeper.notified()).await;
            }
            Next::Idle(most) => {
                core.keeper_idle.store(true, SeqCst);
                // An append before the flag was set did not wake anybody.
                if core.state().is_quiet() {
                    let woken = core.keeper.notified();
                    match most {
                        Some(time) => drop(tokio::time::timeout(time, woken).await),
                        None => woken.await,
                    }
                }
                core.keeper_idle.store(false, SeqCst);
            }
        }
    }
    if let Some(task) = task {
        core.flusher.notify_one();
        task.abort();
    }
    core.wake_flusher();
}

struct Keeper {
    core: Arc<Core>,
    /// The first entry of the oldest queued batch at the last look.
    seen: Option<u64>,
    /// The task that makes the next log.
    preparing: Option<tokio::task::JoinHandle<()>>,
}

impl Keeper {
    async fn look(&mut self) -> Next {
        let core = self.core.clone();
        if core.ended() || core.state().failure.is_some() {
            return Next::End;
        }
        if core.state().reopen.is_some() {
            self.reopen().await;
            return Next::After(Duration::ZERO);
        }
        self.abandon_hung();
        self.core.leave_late();
        self.flush_unawaited();
        self.prepare_next_log();
        let heartbeat = core.context.config.heartbeat;
        let (quiet, closing, due, seal) = {
            let mut state = core.state();
            let quiet = state.is_quiet();
            if quiet && state.orphaned {
                // A permit may be left: nobody would look after its entry.
                state.closing = true;
                return Next::End;
            }
            let wait = match heartbeat {
                _ if state.fill.attested < core.durable() => Some(core.context.config.idle_mark),
                other => other,
            };
            (
                quiet,
                state.closing,
                wait.map(|w| w.saturating_sub(state.last_flush.elapsed())),
                core.seal_in(&state),
            )
        };
        if quiet && closing {
            return self.close().await;
        }
        if quiet && seal == Some(Duration::ZERO) {
            self.roll_to_show().await;
            return Next::After(Duration::from_millis(1));
        }
        match (quiet, due.into_iter().chain(seal).min()) {
            (false, _) => Next::After(TICK),
            (true, Some(Duration::ZERO)) => {
                self.idle_mark().await;
                Next::After(Duration::from_millis(1))
            }
            // Not worth a wake-up by every append.
            (true, Some(wait)) if wait <= SHORT => Next::After(wait),
            (true, wait) => Next::Idle(wait),
        }
    }

    /// Ends the journal for its owner, who may have stopped waiting: the closing
    /// frame, the seal, the store.
    async fn close(&mut self) -> Next {
        let core = self.core.clone();
        if let Some(preparing) = self.preparing.take() {
            // Nothing appears in the store after it was closed.
            let _ = tokio::time::timeout(core.context.config.store_timeout, preparing).await;
        }
        let Some((mut log, _)) = core.take_log() else {
            return Next::After(Duration::from_millis(1)); // its holder is just giving it back
        };
        let limit = core.context.config.flush_timeout;
        let frame = core.control_frame(&mut log, FrameKind::Seal, &[]);
        let sealed = async {
            let (mut writer, _) = flush_off_thread(log.writer, frame, core.blocking, limit).await?;
            writer.seal().await.map(|_| ())
        };
        let sealed = match tokio::time::timeout(limit, sealed).await {
            Ok(sealed) => sealed,
            Err(_) => Err(hung(limit)),
        };
        if let Err(error) = &sealed {
            tracing::warn!(%error, "the journal's last log was not sealed");
        }
        let closed = core.context.io().close().await;
        let outcome = sealed.and(closed);
        let _ = core
            .closed
            .set(outcome.map_err(|e| e.context("closing the journal")));
        core.end();
        Next::End
    }

    /// A blocking write that does not return is abandoned: the waiters get
    /// their answer, and its late one is ignored.
    fn abandon_hung(&self) {
        let limit = self.core.context.config.flush_timeout;
        let generation = {
            let state = self.core.state();
            match state.busy_since {
                Some(began) if self.core.blocking && began.elapsed() > limit => state.generation,
                _ => return,
            }
        };
        self.core.fail(generation, hung(limit));
        if let Err(error) = start_flusher(&self.core) {
            // Nobody would flush for those who may not: they get an answer now.
            let state = self.core.state();
            if state.failure.is_none() {
                self.core.fail_all(state, error);
            }
        }
    }

    /// Entries whose acks nobody awaits become durable within two ticks.
    fn flush_unawaited(&mut self) {
        let waiting = self.core.state().queue.front().map(|b| b.first.0);
        if waiting.is_some() && waiting == self.seen {
            self.core.elected.store(0, SeqCst);
            self.core.wake_flusher();
            self.core.flusher.notify_one();
        }
        self.seen = waiting;
    }

    /// One frame that says that all before it is durable. In a full segment that
    /// is the header of the next one, if it is ready.
    async fn idle_mark(&self) {
        let Some((mut log, generation)) = self.core.take_quiet_log() else {
            return;
        };
        let full = log.offset + log.grain > log.limit;
        if let Some(prepared) = full.then(|| self.core.take_prepared(generation)).flatten() {
            self.roll(log, prepared, generation).await;
        } else if let Err(error) = self.core.may_outgrow(&log, log.grain) {
            self.core.fail(generation, error);
        } else {
            let frame = self.core.control_frame(&mut log, FrameKind::Mark, &[]);
            if self.flush_control(log, frame, generation).await {
                self.core.counters.marks.fetch_add(1, Relaxed);
            }
        }
    }

    /// Goes on in the next log of a quiet journal.
    async fn roll(&self, mut log: ActiveLog, prepared: Prepared, generation: u64) {
        if let Err(error) = self.core.seal_before_roll(&mut log).await {
            return self.core.fail(generation, error);
        }
        let (next, frame) = self.core.begin_log(&log, prepared);
        if self.flush_control(next, frame, generation).await {
            self.core.counters.rolls.fetch_add(1, Relaxed);
        }
    }

    /// Entries have waited long enough to be seen by others: ends the segment.
    async fn roll_to_show(&self) {
        let Some((log, generation)) = self.core.take_quiet_log() else {
            return;
        };
        match self.core.take_prepared(generation) {
            Some(prepared) => self.roll(log, prepared, generation).await,
            None => drop(self.core.return_log(log, generation)),
        }
    }

    /// Flushes a frame without entries, off this thread when the store blocks.
    async fn flush_control(&self, log: ActiveLog, frame: bytes::Bytes, generation: u64) -> bool {
        self.core.counters.flushes.fetch_add(1, Relaxed);
        let limit = self.core.context.config.flush_timeout;
        let ActiveLog { writer, .. } = log;
        match flush_off_thread(writer, frame, self.core.blocking, limit).await {
            Ok((writer, _)) => {
                let log = ActiveLog { writer, ..log };
                self.core.return_durable(log, generation)
            }
            Err(error) => {
                self.core.fail(generation, error);
                false
            }
        }
    }

    /// Begins to make the next log when the present one is half full. A task of
    /// its own, because zero-filling takes long and the keeper has more to do.
    fn prepare_next_log(&mut self) {
        if self.preparing.as_ref().is_some_and(|t| !t.is_finished()) {
            return;
        }
        let hides = self.core.hides();
        let (generation, index) = {
            let state = self.core.state();
            let hidden = hides && state.fill.hidden_since.is_some();
            let half = state.fill.offset > state.fill.limit / 2 || hidden;
            // During a roll the prepared log is taken and not yet the present one.
            let used = state.prepared.is_none() && state.prepared_through == state.fill.index;
            if !half || !used || state.reopen.is_some() {
                return;
            }
            (state.generation, state.prepared_through + 1)
        };
        let epoch = self.core.epoch();
        let task = prepare_ahead(self.core.clone(), generation, epoch, index);
        self.preparing = Some(tokio::spawn(task));
    }

    /// Takes over from oneself after a flush of unknown outcome; tries again
    /// while the store is away, up to `reopen_timeout`.
    async fn reopen(&self) {
        let mut un = loop {
            match self.gather() {
                Some(un) => break un,
                // Its builder only computes a checksum: it will be there soon.
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let began = Instant::now();
        let mut pause = Duration::from_millis(20);
        let error = loop {
            match crate::takeover::reopen(&self.core.context, &mut un).await {
                Ok(serving) => return self.core.resume(serving),
                Err(e) if !may_reopen(&e) || self.core.ended() => break e,
                Err(e) if began.elapsed() > self.core.context.config.reopen_timeout => break e,
                Err(error) => tracing::warn!(%error, "taking over from myself again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        };
        let error = error.context("the take-over from oneself failed");
        let state = self.core.state();
        self.core.fail_all(state, error);
    }

    /// All that is not acknowledged; `None` while a frame is still being built.
    fn gather(&self) -> Option<Unacknowledged> {
        let state = self.core.state();
        if state.inflight.iter().any(|job| job.frame.is_empty()) {
            return None;
        }
        let own = Own {
            epoch: self.core.epoch(),
            nonce: self.core.nonce(),
            cut: state.cut,
        };
        Some(Unacknowledged {
            own: vec![own],
            durable: self.core.durable(),
            bodies: state.inflight.iter().map(body_of).collect(),
        })
    }
}

fn body_of(job: &super::state::InFlight) -> Body {
    Body {
        first: job.first,
        count: job.count,
        bytes: job.frame.slice(FRAME_HEADER..FRAME_HEADER + job.body_len),
    }
}

/// Removes what an earlier process left half-made. Young leftovers may be
/// another process's work under way.
async fn sweep(core: Arc<Core>) {
    const OLD: Duration = Duration::from_secs(3600);
    match core.context.store.sweep(OLD).await {
        Ok(0) => {}
        Ok(swept) => tracing::info!(swept, "removed leftovers of the store"),
        Err(error) => tracing::warn!(%error, "the store's leftovers could not be removed"),
    }
}

/// Makes the next log; ends a moment later when it could not.
async fn prepare_ahead(core: Arc<Core>, generation: u64, epoch: Epoch, index: u64) {
    match prepare(&core, epoch, index).await {
        Ok(prepared) => {
            let mut state = core.state();
            if state.generation == generation {
                state.prepared = Some(prepared);
                state.prepared_through = index;
            }
            drop(state);
            core.keeper.notify_one(); // it may have waited for this to seal a log
        }
        Err(error) if error.kind() == ErrorKind::Fenced => core.fail(generation, error),
        Err(error) => {
            tracing::warn!(%error, "the next log could not be prepared; trying again");
            tokio::time::sleep(PREPARE_AGAIN).await;
            core.keeper.notify_one();
        }
    }
}

/// Creates log `index` of my epoch, *then* makes sure that mine is still the
/// highest. From then on it may be used without another listing.
async fn prepare(core: &Core, epoch: Epoch, index: u64) -> Result<Prepared> {
    let io = core.context.io();
    let path = format::names::log_path(SegmentId { epoch, index })?;
    let size_hint = core.context.segment_limit(index);
    let writer = match io.create_log(&path, size_hint).await {
        // Left by an attempt of my own whose answer was lost: nobody else makes
        // logs of my epoch, and one of this index was never used.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            io.delete(&path).await?;
            io.create_log(&path, size_hint).await?
        }
        other => other?,
    };
    match list_epochs(&io).await?.last() {
        Some(other) if *other > epoch => Err(Error::new(
            ErrorKind::Fenced,
            format!("epoch {other} was claimed; this primary of epoch {epoch} stands down"),
        )),
        _ => Ok(Prepared { writer, index }),
    }
}
