//! [`JournalReader`]: looks at a journal without changing it.

use crate::chain;
use crate::commit::serving::Context;
use crate::format::JournalId;
use crate::format::object::FormatObject;
use crate::replay::Replay;
use crate::view::{View, settled};
use crate::{Config, Follow};
use flushproof_api::{Error, ErrorKind, FlushContract, Mode, Result, SeqNo};
use std::fmt;
use std::sync::Arc;

/// A journal opened for reading only: nothing is written, nobody is fenced, and
/// the journal may be in use.
pub struct JournalReader {
    pub(crate) context: Context,
    pub(crate) format: FormatObject,
}

impl Config {
    /// Opens the journal for reading only. What the store promises does not
    /// matter for this.
    ///
    /// # Errors
    /// `NotFormatted`, `HalfFormatted`, `NewerFormat`, `Corrupt`, the store's.
    /// # Cancel safety
    /// Safe.
    pub async fn reader(&self) -> Result<JournalReader> {
        let store = self.open_store(Mode::ReadOnly).await?;
        let io = crate::objects::Bounded::new(store.clone(), self.store_timeout);
        let (journal, format) = crate::objects::journal_id(&io, &self.folder).await?;
        Ok(JournalReader {
            context: Context {
                store,
                config: Arc::new(self.clone()),
                journal,
                around: None,
            },
            format,
        })
    }
}

impl JournalReader {
    /// The journal's identity.
    pub fn id(&self) -> JournalId {
        self.context.journal
    }

    /// What the store promises.
    pub fn contract(&self) -> &FlushContract {
        self.context.store.contract()
    }

    /// The entries that are there now, from `from` or the oldest on. The
    /// undecided ones at the end are included; [`Replay::durable`] says where
    /// they begin.
    ///
    /// # Errors
    /// `InvalidInput` when entries from `from` on were trimmed or are not there
    /// yet; `Corrupt`; the store's.
    /// # Cancel safety
    /// Safe.
    pub async fn entries(&self, from: Option<SeqNo>) -> Result<Replay> {
        settled(|| self.try_entries(from)).await
    }

    async fn try_entries(&self, from: Option<SeqNo>) -> Result<Replay> {
        let view = View::load(&self.context).await?;
        let newest = view.newest();
        let Some(tail) = view.tail else {
            self.check_range(from, newest, newest)?;
            let nothing = newest..newest;
            return Ok(
                Replay::new(self.context.clone(), None, Default::default(), nothing)
                    .durable_below(newest),
            );
        };
        if let crate::format::TailVerdict::Corrupt { at, why, .. } = &tail.scan.verdict {
            return Err(chain::corrupt(tail.segment.id(), *at, why));
        }
        let need = from.unwrap_or(SeqNo::ZERO);
        let (durable, end) = (tail.scan.durable, tail.scan.end);
        let segments =
            chain::walk_back(&self.context, &view.starts, tail.segment, need, newest).await?;
        let oldest = segments.front().map_or(end, |s| s.first_seq);
        self.check_range(from, oldest, end)?;
        let range = from.unwrap_or(oldest)..end;
        Ok(Replay::new(self.context.clone(), None, segments, range).durable_below(durable))
    }

    fn check_range(&self, from: Option<SeqNo>, oldest: SeqNo, end: SeqNo) -> Result<()> {
        let Some(from) = from else { return Ok(()) };
        let what = if from < oldest {
            format!("entries below {oldest} were trimmed, because a checkpoint replaces them")
        } else if from > end {
            format!("the journal ends at {end}")
        } else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{}: entry {from} can't be read: {what}",
                self.context.config.folder
            ),
        ))
    }

    /// Follows the journal as it grows, from `from` or the newest checkpoint
    /// (or the beginning) on: durable entries only.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    /// # Cancel safety
    /// Safe.
    pub async fn follow(&self, from: Option<SeqNo>) -> Result<Follow> {
        Follow::begin(self.context.clone(), from).await
    }
}

impl fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalReader")
            .field("folder", &self.context.config.folder)
            .field("id", &self.id())
            .finish()
    }
}
