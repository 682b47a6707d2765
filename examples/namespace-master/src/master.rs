//! State and journal, tied together. This is the part to copy.
//!
//! The rule: *journal order is state order*. So a change is checked, appended
//! and applied under one lock, and `append` is made for that: it neither waits
//! nor does I/O. What waits (for room, for durability) waits outside the lock.

use crate::namespace::{Change, Namespace};
use flushproof::{
    CheckpointEntries, Config, Error, ErrorKind, FollowItem, Item, Journal, Recovery, Result,
    SeqNo, Standby,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A primary: it answers requests.
pub struct Master {
    journal: Journal,
    state: Mutex<Namespace>,
    /// Write a checkpoint every so many entries.
    checkpoint_every: u64,
    last_checkpoint: AtomicU64,
    checkpointing: AtomicBool,
}

/// What a request gets: an answer, or the reason why it can't be done.
pub type Answer = std::result::Result<String, String>;

impl Master {
    /// Reads the recovery to its end onto `state`, then serves.
    pub async fn start(
        mut recovery: Recovery,
        mut state: Namespace,
        checkpoint_every: u64,
    ) -> Result<Arc<Master>> {
        while let Some(item) = recovery.next().await? {
            match item {
                Item::Checkpoint(entries) => state = restore(entries).await?,
                Item::Entry(entry) => apply(&mut state, &entry.bytes)?,
            }
        }
        let began = recovery.summary().checkpoint.unwrap_or(SeqNo::ZERO);
        let journal = recovery.start().await?;
        Ok(Arc::new(Master {
            journal,
            state: Mutex::new(state),
            checkpoint_every,
            last_checkpoint: began.0.into(),
            checkpointing: false.into(),
        }))
    }

    /// Nothing panics while it holds the lock, so a poisoned one is sound.
    fn state(&self) -> MutexGuard<'_, Namespace> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change. `Ok` means: it is durable. An `Err` of the outer result is
    /// the journal's failure: the process has to end, for its state may be ahead.
    pub async fn change(self: &Arc<Self>, change: Change) -> Result<Answer> {
        let bytes = change.to_string();
        // 1. Room, outside the lock: here an overloaded master makes its clients wait.
        let room = self.journal.reserve(bytes.len()).await?;
        // 2. Check, append, apply: under the lock, without waiting.
        let appended = {
            let mut state = self.state();
            match state.check(&change) {
                Ok(()) => {
                    let ack = room.append(bytes.as_bytes())?;
                    state.apply(&change);
                    Ok(ack)
                }
                Err(why) => Err((why, self.journal.accepted())),
            }
        };
        // 3. Answer only when it is durable. A refusal too: it tells of a state
        //    that others made and that may not be durable yet.
        match appended {
            Ok(ack) => {
                let receipt = ack.await?;
                self.checkpoint_when_due(receipt.seq.next());
                Ok(Ok(receipt.seq.to_string()))
            }
            Err((why, at)) => {
                self.journal.durable_through(at).await?;
                Ok(Err(why))
            }
        }
    }

    /// Lists a folder; waits until everything it shows is durable.
    ///
    /// A primary that was fenced and does not know it yet may show an old state.
    /// Who must never see one appends an entry before he reads.
    pub async fn list(&self, folder: &str) -> Result<Answer> {
        let (at, names) = {
            let state = self.state();
            (self.journal.accepted(), state.list(folder))
        };
        self.journal.durable_through(at).await?;
        Ok(names.map(|n| n.join(" ")))
    }

    pub fn status(&self) -> String {
        let (epoch, durable) = (self.journal.epoch(), self.journal.durable());
        let names = self.state().len();
        format!("primary epoch={epoch} durable={durable} names={names}")
    }

    /// Whether the journal still serves. An idle primary that was fenced learns
    /// it from its heartbeat; here it is asked for.
    pub fn check(&self) -> Result<()> {
        match self.journal.try_reserve(1) {
            Err(e) if e.kind() != ErrorKind::Full => Err(e),
            _ => Ok(()),
        }
    }

    /// Begins a checkpoint in the background, if one is due and none is under way.
    fn checkpoint_when_due(self: &Arc<Self>, at: SeqNo) {
        let last = self.last_checkpoint.load(Relaxed);
        if at.0 < last + self.checkpoint_every || self.checkpointing.swap(true, Relaxed) {
            return;
        }
        let master = self.clone();
        tokio::spawn(async move {
            // A failed checkpoint costs nothing but time: the journal serves on.
            match master.checkpoint().await {
                Ok(at) => master.last_checkpoint.store(at.0, Relaxed),
                Err(e) => eprintln!("checkpoint failed, trying again later: {e}"),
            }
            master.checkpointing.store(false, Relaxed);
        });
    }

    async fn checkpoint(&self) -> Result<SeqNo> {
        // The position and a copy of the state, under the same lock. A large state
        // needs a cheaper copy, such as a persistent map.
        let (at, copy) = {
            let state = self.state();
            (self.journal.accepted(), state.clone())
        };
        let mut checkpoint = self.journal.checkpoint(at).await?;
        for change in copy.changes() {
            checkpoint.entry(change.to_string().as_bytes()).await?;
        }
        checkpoint.commit().await?; // waits for durability, reads back, trims
        Ok(at)
    }

    /// Makes everything durable that was accepted, and ends the journal.
    pub async fn close(&self) -> Result<()> {
        self.journal.clone().close().await
    }
}

/// The state of a checkpoint.
async fn restore(mut entries: CheckpointEntries) -> Result<Namespace> {
    let mut state = Namespace::default();
    while let Some(entry) = entries.next().await? {
        apply(&mut state, &entry)?;
    }
    Ok(state)
}

/// Applies an entry of the journal. Each one was checked before it was
/// appended; one that does not fit means that journal and program disagree.
fn apply(state: &mut Namespace, entry: &[u8]) -> Result<()> {
    let change = std::str::from_utf8(entry)
        .map_err(|e| e.to_string())
        .and_then(Change::parse)
        .and_then(|change| state.check(&change).map(|()| change))
        .map_err(|why| Error::new(ErrorKind::Corrupt, format!("not this program's: {why}")))?;
    state.apply(&change);
    Ok(())
}

/// A standby and the state that it has applied.
pub struct Follower {
    standby: Standby,
    state: Namespace,
}

impl Follower {
    pub async fn open(config: &Config) -> Result<Follower> {
        Ok(Follower {
            standby: config.standby().await?,
            state: Namespace::default(),
        })
    }

    /// Applies the next item; waits for one. Only durable entries come here.
    /// Dropping the future loses the checkpoint that it may be reading, so it
    /// is given again when the standby is promoted.
    pub async fn step(&mut self) -> Result<()> {
        match self.standby.next().await? {
            FollowItem::Checkpoint(entries) => self.state = restore(entries).await?,
            FollowItem::Entry(entry) => apply(&mut self.state, &entry.bytes)?,
            FollowItem::CaughtUp => {}
        }
        Ok(())
    }

    pub fn applied(&self) -> SeqNo {
        self.standby.cursor()
    }

    /// Fences the primary, and serves what is left of its journal.
    pub async fn promote(self, checkpoint_every: u64) -> Result<Arc<Master>> {
        let recovery = self.standby.promote().await?;
        Master::start(recovery, self.state, checkpoint_every).await
    }
}
