//! Repair: what is whole of a damaged journal becomes a new one, somewhere else. The
//! damaged one is only read.

use crate::Config;
use crate::backup::{Phase, Progress};
use crate::commit::serving::Context;
use crate::format::JournalId;
use crate::format::object::{Fill, FillKind};
use crate::restore::{Filling, Place};
use crate::salvage::{LostRange, Salvage};
use flushproof_api::{Error, ErrorKind, Outcome, Result, SeqNo};

/// How a journal is repaired.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RepairOptions {
    /// Write the new journal: the number of lost entries, as a repair without it said.
    /// None: only look.
    pub accept_loss: Option<u64>,
    /// Format the new place first, if it is no journal yet.
    pub format: bool,
}

/// What was salvaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// The damaged journal.
    pub source: JournalId,
    /// The newest whole checkpoint: the state of all entries below it.
    pub checkpoint: Option<SeqNo>,
    /// How many entries behind the checkpoint are whole.
    pub entries: u64,
    /// The number after the last whole entry.
    pub end: SeqNo,
    /// The entries that are lost.
    pub lost: Vec<LostRange>,
    /// How many these are.
    pub lost_entries: u64,
    /// Damaged places, in words.
    pub notes: Vec<String>,
    /// Whether the new journal was written.
    pub written: bool,
}

impl Config {
    /// Salvages what is whole of this journal, which no primary may be serving, and
    /// writes it into a new journal at another place, if the loss is accepted. Entries
    /// keep their numbers, and those of lost ones are not used again: readers of the
    /// new journal find gaps.
    ///
    /// # Errors
    /// `InvalidInput` when another number of entries is lost than was accepted: nothing
    /// was written; as [`salvage`](Config::salvage); of the other place as
    /// [`copy_to`](Config::copy_to).
    /// # Cancel safety
    /// The new journal is empty, or complete; the damaged one is not touched.
    pub async fn repair_to(
        &self,
        to: &Config,
        options: &RepairOptions,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Repaired> {
        let told = |done, total| {
            progress(Progress {
                phase: Phase::Checking,
                done,
                total,
            });
        };
        let salvage = self.salvage(told).await?;
        let mut repaired = Repaired {
            source: salvage.id,
            checkpoint: salvage.checkpoint,
            entries: salvage.entries,
            end: salvage.end,
            lost: salvage.lost.clone(),
            lost_entries: salvage.lost_entries(),
            notes: salvage.notes.clone(),
            written: false,
        };
        let Some(accepted) = options.accept_loss else {
            return Ok(repaired);
        };
        if accepted != repaired.lost_entries {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "{} entries of {} are lost, not {accepted}: look again without --accept-loss, \
                     and accept the number that is printed",
                    repaired.lost_entries, self.folder
                ),
            )
            .with_outcome(Outcome::NotWritten));
        }
        let place = Place {
            format: options.format,
            force: false,
        };
        to.could_fill(place).await?;
        let target = to.make_ready(place).await?;
        let written = write(&target, &salvage, &mut progress).await;
        let closed = target.io().close().await;
        written.map_err(|e| e.context(format!("repairing {} to {}", self.folder, to.folder)))?;
        closed?;
        repaired.written = true;
        Ok(repaired)
    }
}

/// Fills the new journal. What was written is removed when it fails.
async fn write(
    target: &Context,
    salvage: &Salvage,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<()> {
    if salvage.id == target.journal {
        let text = "both places are the same journal; a repair is never made in place";
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    let base = salvage.checkpoint.unwrap_or(SeqNo::ZERO);
    // Without a checkpoint the new journal begins behind what is lost.
    let lost_first = salvage.lost.first().filter(|l| l.first == base);
    let first = match (salvage.checkpoint, lost_first) {
        (None, Some(lost)) => lost.end,
        _ => base,
    };
    // Numbers that were used are not used again, whatever became of their entries.
    let end = salvage.next;
    let fill = Fill {
        kind: FillKind::Repair,
        source: salvage.id,
        first,
        end,
    };
    let mut filling = Filling::begin(target, fill, first > base).await?;
    let done = match copy(salvage, &mut filling, end, progress).await {
        Ok(()) => filling.publish().await,
        Err(e) => Err(e),
    };
    if done.is_err() {
        filling.discard().await;
    }
    done
}

async fn copy(
    salvage: &Salvage,
    filling: &mut Filling,
    end: SeqNo,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<()> {
    if let Some(mut state) = salvage.checkpoint_entries().await? {
        let mut writer = filling.checkpoint(state.next_seq()).await?;
        while let Some(entry) = state.next().await? {
            writer.entry(&entry).await?;
        }
        writer.commit().await?;
    }
    let mut entries = salvage.entries();
    let mut done = 0;
    while let Some(e) = entries.next().await? {
        if e.seq > filling.next_seq() {
            filling.gap(e.seq).await?;
        }
        filling.entry(e.seq, e.clock_ms, &e.bytes).await?;
        done += 1;
        if done % 4096 == 0 {
            progress(Progress {
                phase: Phase::Restoring,
                done,
                total: salvage.entries,
            });
        }
    }
    // What is lost at the end: these numbers are not used again.
    if filling.next_seq() < end {
        filling.gap(end).await?;
    }
    Ok(())
}
