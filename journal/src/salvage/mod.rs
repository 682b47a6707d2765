//! [`Salvage`]: everything in a damaged journal that proves itself, and the exact numbers of
//! the entries that are lost. Reads only.
//!
//! * [`found`]: what the small objects still say;
//! * [`scan`]: the whole frames of one log;
//! * [`survey`]: all logs, epoch by epoch;
//! * [`decide`], [`pieces`]: which of them count, and what is missing;
//! * [`entries`]: what counts as a stream;
//! * [`notes`]: damaged places in words.

mod decide;
mod entries;
mod found;
mod notes;
mod pieces;
mod scan;
mod survey;

pub use entries::SalvagedEntries;

use crate::Config;
use crate::checkpoint::{self, CheckpointEntries, Found};
use crate::commit::serving::Context;
use crate::format::{CHECKPOINT_INDEX, JournalId, SegmentKey};
use crate::objects::Bounded;
use crate::unreadable::Unreadable;
use decide::{EpochFacts, decide, note_missing};
use flushproof_api::{Epoch, Mode, Result, SeqNo};
use found::{CheckpointName, read_objects};
use notes::Notes;
use pieces::Piece;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Entries that are lost: those from `first` on and below `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LostRange {
    /// The first that is lost.
    pub first: SeqNo,
    /// The number after the last.
    pub end: SeqNo,
}

/// What [`Config::salvage`] found.
pub struct Salvage {
    /// The identity of the damaged journal.
    pub id: JournalId,
    /// The newest whole checkpoint: the state of all entries below it.
    pub checkpoint: Option<SeqNo>,
    /// Entries that were durable, or may have been, and are nowhere whole: ascending, without
    /// an overlap. The last of them may lie behind [`end`](Salvage::end).
    pub lost: Vec<LostRange>,
    /// How many entries were found at or above the checkpoint.
    pub entries: u64,
    /// The number after the last entry that was found, or the checkpoint's if there is none.
    pub end: SeqNo,
    /// Damaged places, and what was decided about them, in words.
    pub notes: Vec<String>,
    /// Numbers below it were used: the journal goes on with it.
    pub(crate) next: SeqNo,
    context: Context,
    whole: Option<Found>,
    pieces: Arc<[Piece]>,
}

impl Config {
    /// Looks through a damaged journal for everything that proves itself, and says which
    /// entries are lost. Writes nothing, fences nobody; no primary may serve meanwhile. `progress`
    /// is called with the bytes of logs read so far and those to read.
    ///
    /// On a journal without damage it finds what a replay gives.
    ///
    /// Memory: some 500 bytes for each stretch of undamaged frames, and there may be at most
    /// 262,144 of them.
    ///
    /// # Errors
    /// `NotFormatted` when nothing says which journal this is, `NewerFormat`, `TooLarge` when the
    /// journal lies in too many pieces, `NotFound` when a log goes away meanwhile, the
    /// store's. Damage is not an error, and no more are bytes that the store can't read (`Io`): they
    /// are notes, and what lies there is lost. A read that fails but for now looks the same, so look
    /// at the notes before a loss is accepted.
    /// # Cancel safety
    /// Safe.
    pub async fn salvage(&self, progress: impl FnMut(u64, u64)) -> Result<Salvage> {
        let store = self.open_store(Mode::ReadOnly).await?;
        let unreadable = Arc::<Unreadable>::default();
        let io = Bounded::new(store.clone(), self.store_timeout).around(Some(unreadable.clone()));
        let mut notes = Notes::default();
        let objects = read_objects(&io, &self.folder, &mut notes).await?;
        let context = Context {
            store,
            config: Arc::new(self.clone()),
            journal: objects.id,
            around: Some(unreadable.clone()),
        };
        let mut epochs = survey::survey(&context, objects.epochs, &mut notes, progress).await?;
        forget_unfilled(&mut epochs);
        let counting = counting(&context, &mut epochs, &objects.checkpoints);
        let (whole, damaged) = checkpoint::newest_whole(&context, &counting).await?;
        damaged.into_iter().for_each(|text| notes.add(text));
        let base = whole.map_or(SeqNo::ZERO, |c| c.id.next_seq);
        note_missing(&epochs, base, &mut notes)?;
        let decision = decide(&epochs, base, &mut notes)?;
        let pieces = decision.pieces;
        entries::compare(&context, &pieces, decision.doubles, &mut notes).await?;
        for place in unreadable.places() {
            notes.add(format!(
                "{}, offset {}: {}",
                place.path, place.offset, place.text
            ));
        }
        let end = pieces.end().unwrap_or(base);
        let next = decision.attested.max(end);
        let accepted = accepted(&epochs);
        Ok(Salvage {
            id: context.journal,
            checkpoint: whole.map(|c| c.id.next_seq),
            lost: pieces.lost(base, next, &accepted),
            entries: pieces.entries(),
            end,
            notes: notes.into_lines(),
            next,
            // What was whole must be read now, or it is an error.
            context: Context {
                around: None,
                ..context
            },
            whole,
            pieces: pieces.into_vec().into(),
        })
    }
}

/// What a restore wrote that did not end is no copy of anything: other entries may have had the
/// same numbers. Its start is only lost, not missing, where a later epoch goes on behind it.
fn forget_unfilled(epochs: &mut BTreeMap<Epoch, EpochFacts>) {
    let named: BTreeSet<_> = epochs.values().flat_map(EpochFacts::prevs).collect();
    epochs.retain(|epoch, facts| {
        let objects = &facts.objects;
        let published = objects.start.is_some() || objects.damaged_start;
        !objects.filling || published || named.contains(epoch)
    });
}

/// The gaps that an earlier repair left, sorted.
fn accepted(epochs: &BTreeMap<Epoch, EpochFacts>) -> Vec<LostRange> {
    let logs = epochs.values().flat_map(|facts| &facts.logs);
    let gaps = logs.filter_map(|log| {
        let header = log.header.filter(|h| h.gap)?;
        Some(LostRange {
            first: header.prev.map_or(SeqNo::ZERO, |p| p.seq),
            end: log.first?,
        })
    });
    let mut gaps: Vec<_> = gaps.collect();
    gaps.sort();
    gaps
}

/// The checkpoints of epochs that served, the newest first. A head that is whole shows that its
/// epoch served; of one that is damaged the name says as much if the epoch is known to have.
fn counting(
    context: &Context,
    epochs: &mut BTreeMap<Epoch, EpochFacts>,
    names: &[CheckpointName],
) -> Vec<Found> {
    let mut found = Vec::new();
    for name in names {
        let facts = epochs.get_mut(&name.id.epoch);
        let Some((facts, nonce)) = facts.and_then(|f| f.objects.nonce.map(|n| (f, n))) else {
            continue;
        };
        if (!name.head || facts.objects.filling) && !facts.left_traces() {
            continue;
        }
        facts.checkpoint = facts.checkpoint.max(Some(name.id.next_seq));
        found.push(Found {
            id: name.id,
            key: SegmentKey {
                journal: context.journal,
                nonce,
                epoch: name.id.epoch,
                index: CHECKPOINT_INDEX,
            },
        });
    }
    found
}

impl Salvage {
    /// How many entries are lost.
    pub fn lost_entries(&self) -> u64 {
        let counts = self.lost.iter().map(|l| l.end.0 - l.first.0);
        counts.fold(0, u64::saturating_add)
    }

    /// The entries of the checkpoint, if there is one.
    ///
    /// # Errors
    /// The store's; `Corrupt` when it was damaged since.
    /// # Cancel safety
    /// Safe.
    pub async fn checkpoint_entries(&self) -> Result<Option<CheckpointEntries>> {
        match &self.whole {
            Some(found) => CheckpointEntries::open(&self.context, found)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// The entries at or above the checkpoint, in order of their numbers, with the
    /// [`lost`](Salvage::lost) ones left out.
    pub fn entries(&self) -> SalvagedEntries {
        SalvagedEntries::new(self.context.clone(), self.pieces.iter().copied())
    }
}

impl fmt::Debug for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salvage")
            .field("id", &self.id)
            .field("checkpoint", &self.checkpoint)
            .field("lost", &self.lost)
            .field("entries", &self.entries)
            .field("end", &self.end)
            .field("notes", &self.notes)
            .finish()
    }
}
