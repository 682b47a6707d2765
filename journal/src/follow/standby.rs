//! [`Standby`]: a follower that may take over.

use super::{Follow, FollowItem};
use crate::Config;
use crate::checkpoint::CheckpointWriter;
use crate::recovery::{Recovery, lock_host};
use flushproof_api::{Error, ErrorKind, Mode, Outcome, Result, SeqNo};
use std::fmt;
use std::sync::atomic::Ordering::SeqCst;

/// A follower that may become primary.
pub struct Standby {
    follow: Follow,
    take_over: bool,
}

impl Config {
    /// Opens the journal as a standby: first the checkpoint, then durable
    /// entries as they come.
    ///
    /// # Errors
    /// As [`primary`](Config::primary), but for `Busy`; `Unsupported` where one
    /// primary and no standbys are possible.
    /// # Cancel safety
    /// Safe.
    pub async fn standby(&self) -> Result<Standby> {
        let (context, uri) = self.open_journal(Mode::ReadWrite).await?;
        if context.store.contract().fencing == flushproof_api::Fencing::HostLock {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "{uri}: an old primary is stopped by a lock of its host there, so standbys \
                     can't take over; choose a store that fences"
                ),
            ));
        }
        let follow = Follow::begin(context, None)
            .await
            .map_err(|e| e.context(uri))?;
        Ok(Standby {
            follow,
            take_over: self.take_over,
        })
    }
}

impl Standby {
    /// The next item; waits for one.
    ///
    /// # Errors
    /// As [`Follow::next`].
    /// # Cancel safety
    /// Safe: no item is lost.
    pub async fn next(&mut self) -> Result<FollowItem> {
        self.follow.next().await
    }

    /// Every entry below it was returned.
    pub fn cursor(&self) -> SeqNo {
        self.follow.cursor()
    }

    /// Begins a checkpoint of the state made by all entries below `at`, all of
    /// which were returned and applied. It spares the primary the work; the
    /// primary trims.
    ///
    /// # Errors
    /// `InvalidInput` beyond the cursor, or before the journal was served; `Busy` while
    /// nothing was seen that the present primary wrote after its take-over (its idle mark
    /// comes at once): try again; the store's.
    /// # Cancel safety
    /// Safe: nothing is published.
    pub async fn checkpoint(&self, at: SeqNo) -> Result<CheckpointWriter> {
        let cursor = self.cursor();
        let Some(head) = self.follow.head.filter(|_| at <= cursor) else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a checkpoint at {at} is beyond what was applied ({cursor})"),
            ));
        };
        if !self.follow.head_serves {
            return Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "nothing was seen yet that epoch {} wrote since it serves; checkpoint again \
                     later",
                    head.epoch
                ),
            )
            .with_outcome(Outcome::NotWritten));
        }
        let durable = Box::pin(std::future::ready(Ok(())));
        let context = &self.follow.context;
        CheckpointWriter::begin(context, head.epoch, head.nonce, at, durable, None).await
    }

    /// Becomes a candidate: claims an epoch, fences the old primary, and gives
    /// what is still to be applied behind the cursor.
    ///
    /// # Errors
    /// As [`Config::primary`]; `Corrupt` when the journal ends before the cursor.
    /// # Cancel safety
    /// The old primary may be fenced afterwards; nothing else changes.
    pub async fn promote(self) -> Result<Recovery> {
        let context = self.follow.context;
        lock_host(&context, self.take_over).await?;
        // A checkpoint that was not read to its end is given again.
        let read = self.follow.checkpoint_read;
        let whole = read.is_none_or(|r| r.load(SeqCst)) && self.follow.checkpoint.is_none();
        let cursor = whole.then_some(self.follow.cursor);
        Recovery::begin(context, cursor).await
    }
}

impl fmt::Debug for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standby")
            .field("cursor", &self.cursor())
            .finish()
    }
}
