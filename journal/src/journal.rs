//! [`Journal`]: a primary that serves.

use crate::append::{Appending, Permit, encoded_batch};
use crate::checkpoint::CheckpointWriter;
use crate::commit::core::{Core, closed};
use crate::commit::inline::{Place, place};
use crate::commit::keeper;
use crate::commit::serving::Serving;
use crate::commit::state::{MAX_BATCH_BODY, encoded_len};
use crate::trim::{Trimmed, trim};
use crate::{Ack, Receipt};
use flushproof_api::{Epoch, Error, ErrorKind, FlushContract, Outcome, Result, SeqNo};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A journal that serves: appends, acknowledges, checkpoints. Cheap to clone.
///
/// When the last clone is dropped, what was accepted is still flushed; call
/// [`close`](Journal::close) to know that it was.
#[derive(Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

/// Tells the keeper when no handle is left.
struct Handle(Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.orphan();
    }
}

/// What a journal has done since it serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Acknowledged entries.
    pub entries: u64,
    /// Their encoded bytes.
    pub bytes: u64,
    /// Acknowledged groups.
    pub groups: u64,
    /// Calls of the store's `flush`: groups, marks, headers of rolled segments.
    pub flushes: u64,
    /// Marks flushed.
    pub marks: u64,
    /// Segments rolled to.
    pub rolls: u64,
    /// Take-overs from oneself.
    pub reopens: u64,
    /// Backups taken, as scheduled or when they were asked for.
    pub backups: u64,
    /// Backups that failed: watch it, for the journal serves on.
    pub failed_backups: u64,
}

impl Journal {
    /// Starts to serve: the protocol's steps are done.
    pub(crate) async fn serve(serving: Serving) -> Result<Journal> {
        let core = Core::new(serving);
        keeper::start(&core)?;
        crate::backup::start_schedule(&core)?;
        Ok(Journal {
            handle: Arc::new(Handle(core)),
        })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.handle.0
    }

    /// Takes room for one entry of at most `len` bytes; waits while the queue is full.
    ///
    /// # Errors
    /// `TooLarge` over `max_entry`; the journal failed or was closed.
    /// # Cancel safety
    /// Safe: no room is taken. The place in the waiting line is lost.
    pub async fn reserve(&self, len: usize) -> Result<Permit> {
        let (encoded, cost) = self.measure([len].into_iter())?;
        self.wait_for_room(encoded, cost).await
    }

    /// Takes room for a batch of entries of these lengths, to be appended at once.
    ///
    /// # Errors
    /// `TooLarge` when they do not fit in one frame (8 MiB, less some overhead).
    /// # Cancel safety
    /// As [`reserve`](Self::reserve).
    pub async fn reserve_batch(&self, lens: impl IntoIterator<Item = usize>) -> Result<Permit> {
        let (encoded, cost) = self.measure(lens.into_iter())?;
        self.wait_for_room(encoded, cost).await
    }

    /// Takes room for one entry if there is some now.
    ///
    /// # Errors
    /// `Full`; otherwise as [`reserve`](Self::reserve).
    pub fn try_reserve(&self, len: usize) -> Result<Permit> {
        let (encoded, cost) = self.measure([len].into_iter())?;
        match self.core().room.try_acquire_many(cost as u32) {
            Ok(room) => {
                room.forget();
                Ok(Permit::new(self.core().clone(), encoded, cost))
            }
            Err(tokio::sync::TryAcquireError::Closed) => Err(self.why_closed()),
            Err(tokio::sync::TryAcquireError::NoPermits) => Err(Error::new(
                ErrorKind::Full,
                "the journal's queue is full; wait, or raise queue_bytes or queue_entries",
            )
            .with_outcome(Outcome::NotWritten)),
        }
    }

    /// Takes room for one entry on a plain thread; blocks while the queue is full.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve); `InvalidInput` inside a runtime.
    pub fn blocking_reserve(&self, len: usize) -> Result<Permit> {
        if place() != Place::Plain {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "blocking_reserve blocks its thread; inside a runtime use reserve",
            ));
        }
        futures_util::FutureExt::now_or_never(self.reserve(len))
            .unwrap_or_else(|| crate::commit::block_on(self.reserve(len)))
    }

    /// Appends one entry and waits until it is durable.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve) and [`Ack`].
    /// # Cancel safety
    /// Once the entry was accepted it becomes durable although the future is dropped.
    pub async fn append(&self, entry: &[u8]) -> Result<Receipt> {
        let (encoded, cost) = self.measure([entry.len()].into_iter())?;
        self.take_room(cost).await?;
        Appending::accept(self.core(), &[entry], encoded, cost)?.await
    }

    /// Appends several entries atomically and waits until they are durable.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    /// # Cancel safety
    /// As [`append`](Self::append).
    pub async fn append_batch(&self, entries: &[&[u8]]) -> Result<Receipt> {
        let permit = self.reserve_batch(entries.iter().map(|e| e.len())).await?;
        permit.append_batch(entries)?.await
    }

    /// Appends one entry and waits, on a plain thread.
    ///
    /// # Errors
    /// As [`append`](Self::append); `InvalidInput` inside a runtime.
    pub fn blocking_append(&self, entry: &[u8]) -> Result<Receipt> {
        self.blocking_reserve(entry.len())?
            .append(entry)
            .and_then(Ack::wait)
    }

    /// The number of the next entry: every entry below it was accepted.
    pub fn accepted(&self) -> SeqNo {
        self.core().accepted()
    }

    /// Every entry below it was handed to the store.
    pub fn submitted(&self) -> SeqNo {
        self.core().submitted()
    }

    /// Every entry below it is durable.
    pub fn durable(&self) -> SeqNo {
        self.core().durable()
    }

    /// The epoch served; a take-over from oneself raises it.
    pub fn epoch(&self) -> Epoch {
        self.core().epoch()
    }

    /// What the store promises.
    pub fn contract(&self) -> &FlushContract {
        self.core().context.store.contract()
    }

    /// What was done since this process serves.
    pub fn counts(&self) -> Counts {
        let c = &self.core().counters;
        Counts {
            entries: c.entries.load(Relaxed),
            bytes: c.bytes.load(Relaxed),
            groups: c.groups.load(Relaxed),
            flushes: c.flushes.load(Relaxed),
            marks: c.marks.load(Relaxed),
            rolls: c.rolls.load(Relaxed),
            reopens: c.reopens.load(Relaxed),
            backups: c.backups.load(Relaxed),
            failed_backups: c.failed_backups.load(Relaxed),
        }
    }

    /// Waits until every entry below `seq` is durable: a read barrier. State
    /// that was applied before its ack is visible but not yet durable.
    ///
    /// # Errors
    /// The journal's failure.
    /// # Cancel safety
    /// Safe.
    pub async fn durable_through(&self, seq: SeqNo) -> Result<()> {
        durable_through(self.core().clone(), seq).await
    }

    /// Waits until this primary serves no more, and says why: it was fenced, a
    /// flush failed, or it was closed (`Closed`). For programs that must stand
    /// down although nobody appends; with a heartbeat they learn it soon.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn failed(&self) -> Error {
        let core = self.core();
        loop {
            let moved = core.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if let Some(failure) = core.state().failure.clone() {
                return failure;
            }
            moved.await;
        }
    }

    /// Begins a checkpoint of the state made by all entries below `at`: take
    /// `at` from [`accepted`](Self::accepted) under the lock that guards the state.
    ///
    /// # Errors
    /// `InvalidInput` beyond `accepted`; the store's.
    /// # Cancel safety
    /// Safe: nothing is published.
    pub async fn checkpoint(&self, at: SeqNo) -> Result<CheckpointWriter> {
        if at > self.accepted() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "a checkpoint at {at} is beyond the accepted end {}",
                    self.accepted()
                ),
            ));
        }
        let core = self.core();
        let durable = Box::pin(durable_through(core.clone(), at));
        let primary = Some(core.clone());
        CheckpointWriter::begin(
            &core.context,
            core.epoch(),
            core.nonce(),
            at,
            durable,
            primary,
        )
        .await
    }

    /// Drops segments and checkpoints that no kept checkpoint needs.
    ///
    /// # Errors
    /// The store's; the journal serves on.
    /// # Cancel safety
    /// Finishes alone or not at all, name by name; repeat it.
    pub async fn trim(&self) -> Result<Trimmed> {
        trim(self.core(), None).await
    }

    /// Flushes what was accepted, ends the log with a seal and closes the store.
    /// Later appends fail with `Closed`.
    ///
    /// # Errors
    /// The journal's failure; `TimedOut` when the store hangs.
    /// # Cancel safety
    /// Safe: call it again.
    pub async fn close(self) -> Result<()> {
        let core = self.core();
        core.begin_close();
        durable_through(core.clone(), core.accepted()).await?;
        core.keeper.notify_one();
        loop {
            let moved = core.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            // In this order: the keeper says how closing went before it ends the journal.
            let failure = core.state().failure.clone();
            if let Some(closed) = core.closed.get() {
                return closed.clone();
            }
            if let Some(failure) = failure {
                return Err(failure.context("closing the journal"));
            }
            moved.await;
        }
    }

    /// The encoded length and the cost of a batch.
    fn measure(&self, lens: impl Iterator<Item = usize>) -> Result<(usize, usize)> {
        let max = self.core().context.config.max_entry;
        let mut too_long = None;
        let encoded = encoded_batch(lens.inspect(|len| {
            if *len > max {
                too_long = Some(*len);
            }
        }));
        let text = match too_long {
            Some(len) => format!("an entry of {len} bytes is over max_entry ({max})"),
            None if encoded > MAX_BATCH_BODY.max(encoded_len(max)) => {
                format!("a batch of {encoded} bytes does not fit in one frame")
            }
            None => return Ok((encoded, self.core().cost(encoded))),
        };
        Err(Error::new(ErrorKind::TooLarge, text).with_outcome(Outcome::NotWritten))
    }

    async fn wait_for_room(&self, encoded: usize, cost: usize) -> Result<Permit> {
        self.take_room(cost).await?;
        Ok(Permit::new(self.core().clone(), encoded, cost))
    }

    /// Takes room in the queue; whoever has it gives it back.
    async fn take_room(&self, cost: usize) -> Result<()> {
        match self.core().room.acquire_many(cost as u32).await {
            Ok(room) => {
                room.forget();
                Ok(())
            }
            Err(_) => Err(self.why_closed()),
        }
    }

    fn why_closed(&self) -> Error {
        let failure = self.core().state().failure.clone();
        failure.map_or_else(closed, |e| e.with_outcome(Outcome::NotWritten))
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("folder", &self.core().context.config.folder)
            .field("epoch", &self.epoch())
            .field("durable", &self.durable())
            .finish()
    }
}

async fn durable_through(core: Arc<Core>, seq: SeqNo) -> Result<()> {
    loop {
        let moved = core.moved.notified();
        tokio::pin!(moved);
        moved.as_mut().enable();
        // In this order: a journal that is closed became durable before.
        let failure = core.state().failure.clone();
        if core.durable() >= seq {
            return Ok(());
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        if core.blocking {
            core.wake_flusher();
        } else {
            core.leave_alone(); // whose ack may not be polled
        }
        moved.await;
    }
}
