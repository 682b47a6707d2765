//! Appending: [`Permit`], [`Ack`], [`Receipt`].

use crate::commit::core::Core;
use crate::commit::group::{Done, Group};
use crate::commit::inline::{Place, place};
use crate::commit::state::encoded_len;
use flushproof_api::{Epoch, Error, ErrorKind, Outcome, Result, SeqNo, Survives};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::{Context, Poll};
use std::time::Instant;

/// Room in the journal's queue, taken before the entry is appended: the place
/// where an overloaded program waits. Dropping it gives the room back.
#[must_use = "a permit that is dropped gives its room back"]
pub struct Permit {
    core: Arc<Core>,
    encoded: usize,
    cost: usize,
    /// The room is the batch's now.
    spent: bool,
}

impl Permit {
    /// A permit whose room was taken from the core's semaphore and forgotten.
    pub(crate) fn new(core: Arc<Core>, encoded: usize, cost: usize) -> Permit {
        Permit {
            core,
            encoded,
            cost,
            spent: false,
        }
    }

    /// Appends one entry: gives it its sequence number at once. Neither waits
    /// nor does I/O, so it may be called under a lock: journal order is then
    /// state order.
    ///
    /// # Errors
    /// The entry is longer than was reserved (`TooLarge`); the journal has
    /// failed or was closed. Nothing is written then.
    pub fn append(self, entry: &[u8]) -> Result<Ack> {
        self.append_batch(&[entry])
    }

    /// Appends several entries atomically: after a crash all of them are there
    /// or none. They get consecutive numbers; the ack is of the last.
    ///
    /// # Errors
    /// As [`append`](Self::append); `InvalidInput` for no entries.
    pub fn append_batch(mut self, entries: &[&[u8]]) -> Result<Ack> {
        let encoded = encoded_batch(entries.iter().map(|e| e.len()));
        if entries.is_empty() || encoded > self.encoded {
            let kind = if entries.is_empty() {
                ErrorKind::InvalidInput
            } else {
                ErrorKind::TooLarge
            };
            return Err(Error::new(
                kind,
                format!(
                    "{encoded} bytes were appended where {} were reserved",
                    self.encoded
                ),
            )
            .with_outcome(Outcome::NotWritten));
        }
        let wait = Wait::accept(&self.core, entries, encoded, self.cost, false)?;
        self.spent = true;
        Ok(Ack {
            core: self.core.clone(),
            wait,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.spent {
            self.core.room.add_permits(self.cost);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("bytes", &self.encoded)
            .finish()
    }
}

/// The encoded length of a batch.
pub(crate) fn encoded_batch(lens: impl Iterator<Item = usize>) -> usize {
    lens.map(encoded_len).fold(0, usize::saturating_add)
}

/// What an acknowledged entry got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The entry's number (of a batch: the last one's).
    pub seq: SeqNo,
    /// The epoch in which it became durable.
    pub epoch: Epoch,
    /// What it survives: what *this* flush got.
    pub survives: Survives,
}

/// The acknowledgement of an appended entry: a future that resolves when the
/// entry is durable.
///
/// Acks resolve in order. Dropping one cancels nothing: the entry becomes
/// durable all the same.
///
/// # Errors
/// The journal failed: with outcome `NotWritten` the entry was never handed to
/// the store, with `Unknown` it may be found by the next primary or not.
pub struct Ack {
    core: Arc<Core>,
    wait: Wait,
}

impl Ack {
    /// The entry's number, known before it is durable.
    pub fn seq(&self) -> SeqNo {
        self.wait.seq
    }

    /// The number of the batch's first entry.
    pub fn first(&self) -> SeqNo {
        self.wait.first
    }

    /// Waits on a plain thread.
    ///
    /// # Errors
    /// As the future; `InvalidInput` inside an asynchronous runtime, where it
    /// would block a worker.
    pub fn wait(self) -> Result<Receipt> {
        if place() != Place::Plain {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "Ack::wait blocks its thread; inside a runtime await the ack instead",
            ));
        }
        crate::commit::block_on(self)
    }
}

impl Future for Ack {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.wait.poll(&this.core, cx)
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.wait.dropped(&self.core);
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").field("seq", &self.seq()).finish()
    }
}

/// An [`Ack`] that borrows the journal: what `append` awaits.
pub(crate) struct Appending<'a> {
    core: &'a Core,
    wait: Wait,
}

impl<'a> Appending<'a> {
    /// Appends entries for which `cost` of the queue's room was taken; gives it
    /// back when they are not accepted.
    pub(crate) fn accept(
        core: &'a Core,
        entries: &[&[u8]],
        encoded: usize,
        cost: usize,
    ) -> Result<Appending<'a>> {
        match Wait::accept(core, entries, encoded, cost, true) {
            Ok(wait) => Ok(Appending { core, wait }),
            Err(error) => {
                core.room.add_permits(cost);
                Err(error)
            }
        }
    }
}

impl Future for Appending<'_> {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let core = self.core;
        self.wait.poll(core, cx)
    }
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.wait.dropped(self.core);
    }
}

/// An entry that waits to be durable.
struct Wait {
    group: Arc<Group>,
    first: SeqNo,
    seq: SeqNo,
    slot: Option<usize>,
    /// On a store that answers later: this ack has begun its flush itself.
    alone: bool,
    /// How many entries waited when this ack last yielded to gather more.
    gathered: u64,
    /// Since when this ack gathers.
    gathers_since: Option<Instant>,
}

enum Gather {
    Lead,
    Yield,
    Wait,
}

impl Wait {
    fn accept(
        core: &Core,
        entries: &[&[u8]],
        encoded: usize,
        cost: usize,
        awaited: bool,
    ) -> Result<Wait> {
        let (first, group) = core.accept(entries, encoded, cost, awaited)?;
        Ok(Wait {
            group,
            first,
            seq: SeqNo(first.0 + entries.len() as u64 - 1),
            slot: None,
            alone: false,
            gathered: 0,
            gathers_since: None,
        })
    }

    fn receipt(&self) -> Option<Result<Receipt>> {
        let receipt = |done: &Done| Receipt {
            seq: self.seq,
            epoch: done.epoch,
            survives: done.survives,
        };
        self.group.outcome().map(|outcome| match outcome {
            Ok(done) => Ok(receipt(done)),
            Err(error) => Err(error.clone()),
        })
    }

    fn poll(&mut self, core: &Core, cx: &mut Context<'_>) -> Poll<Result<Receipt>> {
        if let Some(receipt) = self.receipt() {
            self.gathers_no_more(core); // another flushed its group
            return Poll::Ready(receipt);
        }
        let yields = self.drive(core, cx);
        if let Some(receipt) = self.receipt() {
            return Poll::Ready(receipt);
        }
        self.group.register(&mut self.slot, cx.waker());
        if !yields && self.receipt().is_none() {
            // The leader may have finished between the look and the registration.
            self.drive(core, cx);
        }
        match self.receipt() {
            Some(receipt) => Poll::Ready(receipt),
            None => Poll::Pending,
        }
    }

    fn id(&self) -> u64 {
        self.seq.0 + 1
    }

    /// On a store in memory: whether to flush now, or to yield so that the tasks
    /// that can run now may join the group. One ack at a time gathers.
    fn gather(&mut self, core: &Core) -> Gather {
        let elected = core.elected.load(SeqCst);
        if elected == self.id() {
            let waiting = core.waiting();
            let grew = waiting > self.gathered;
            self.gathered = waiting;
            if (grew || waiting < core.target()) && self.is_patient(core) {
                return Gather::Yield;
            }
            core.elected.store(0, SeqCst);
            return Gather::Lead;
        }
        if elected != 0 {
            return Gather::Wait;
        }
        if !core.looks_for_company() {
            return Gather::Lead;
        }
        let won = core.elected.compare_exchange(0, self.id(), SeqCst, SeqCst);
        if won.is_err() {
            return Gather::Wait;
        }
        self.gathered = core.waiting().max(1);
        Gather::Yield
    }

    /// Leaves the gathering to others, if this ack ever gathered.
    fn gathers_no_more(&self, core: &Core) {
        if self.gathered > 0 {
            core.release_election(self.id());
        }
    }

    fn is_patient(&mut self, core: &Core) -> bool {
        let since = *self.gathers_since.get_or_insert_with(Instant::now);
        since.elapsed() < core.patience()
    }

    /// Writes on this thread if it may, else asks the one that may. `true`: the
    /// caller yields and is polled again at once.
    fn drive(&mut self, core: &Core, cx: &mut Context<'_>) -> bool {
        if !core.blocking {
            if !self.drive_alone(core, cx) {
                core.wake_flusher();
            }
            return false;
        }
        if !core.is_free() {
            // Whoever flushes goes on or hands over, perhaps to another ack.
            self.gathers_no_more(core);
            return false;
        }
        if !core.is_quick() {
            if core.has_company() {
                core.wake_flusher();
            } else {
                self.lead(core);
            }
            return false;
        }
        match self.gather(core) {
            Gather::Wait => false,
            Gather::Yield => {
                cx.waker().wake_by_ref();
                true
            }
            Gather::Lead => {
                self.lead(core);
                false
            }
        }
    }

    /// On a store that answers later: begins the flush and takes in its answer, if
    /// nobody else appends. Only within a runtime, as the journal's task would.
    fn drive_alone(&mut self, core: &Core, cx: &mut Context<'_>) -> bool {
        let entries = self.seq.0 - self.first.0 + 1;
        if !self.alone && core.may_be_alone(entries) && place() != Place::Plain {
            self.alone = core.begin_alone(entries);
        }
        self.alone && core.poll_alone(self.seq.next(), cx)
    }

    fn lead(&self, core: &Core) {
        let place = place();
        core.elsewhere.store(place == Place::Elsewhere, Relaxed);
        let lead = || core.lead(|| self.group.outcome().is_some());
        match place {
            Place::Elsewhere => core.wake_flusher(),
            Place::Worker if !core.is_quick() => tokio::task::block_in_place(lead),
            Place::Worker | Place::Plain => lead(),
        }
    }

    /// A dropped ack must leave no one waiting: if it gathered, another may.
    fn dropped(&self, core: &Core) {
        if !core.blocking {
            if self.group.outcome().is_none() {
                core.leave_alone();
            }
            return;
        }
        core.release_election(self.id());
    }
}
