//! Copy: a journal, or its entries from a position on, to another place on any store.
//!
//! The other place is filled as by a restore: nothing of it counts before all is there.
//! What a copy wrote that was cut short is taken up by the next one.

use crate::Config;
use crate::backup::parts::{self, Rows};
use crate::backup::{Phase, Progress};
use crate::checkpoint::{self, CheckpointEntries, Found};
use crate::commit::serving::Context;
use crate::format::JournalId;
use crate::format::object::{Fill, FillKind};
use crate::restore::{Filling, Place};
use flushproof_api::{Error, ErrorKind, Mode, Result, SeqNo};

/// How a journal is copied.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Only entries from this number on, and the checkpoints behind it.
    pub from: Option<SeqNo>,
    /// Format the other place first, if it is no journal yet.
    pub format: bool,
}

/// A journal that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// The journal that was copied.
    pub source: JournalId,
    /// The number of the first entry.
    pub first: SeqNo,
    /// The number after the last entry.
    pub end: SeqNo,
    /// Entries below it were copied by an earlier attempt that was cut short.
    pub resumed: Option<SeqNo>,
    /// How many checkpoints were copied.
    pub checkpoints: u64,
}

/// How often a copy begins again because what it reads was trimmed meanwhile.
const ATTEMPTS: u32 = 5;

impl Config {
    /// Copies this journal, up to a durable position, to another place, which must be
    /// formatted and empty. Sequence numbers are kept; what is written is read back. A
    /// copy that was cut short is taken up.
    ///
    /// # Errors
    /// `AlreadyExists`: the other journal has entries; `InvalidInput`: `from` is not
    /// there; `Corrupt`; `Busy`; `ContractTooWeak`; the stores'.
    /// # Cancel safety
    /// The other journal is empty, or complete.
    pub async fn copy_to(
        &self,
        to: &Config,
        options: &CopyOptions,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Copied> {
        let (source, uri) = self.open_journal(Mode::ReadOnly).await?;
        let place = Place {
            format: options.format,
            force: false,
        };
        let copied = async {
            to.could_fill(place).await?;
            let target = to.make_ready(place).await?;
            let mut attempt = 0;
            let copied = loop {
                match copy(&source, &target, options.from, &mut progress).await {
                    Err(e) if e.kind() == ErrorKind::NotFound && attempt < ATTEMPTS => attempt += 1,
                    other => break other,
                }
            };
            let closed = target.io().close().await;
            copied.and_then(|copied| closed.map(|()| copied))
        };
        let copied = copied.await;
        let closed = source.io().close().await;
        let copied = copied.map_err(|e| e.context(format!("copying {uri} to {}", to.folder)))?;
        closed?;
        Ok(copied)
    }
}

async fn copy(
    source: &Context,
    target: &Context,
    from: Option<SeqNo>,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<Copied> {
    if source.journal == target.journal {
        let text = "both places are the same journal";
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    let (mut rows, found) = parts::from(source, from).await?;
    let checkpoints = whole(source, found).await?;
    if checkpoints.is_empty() && rows.first > SeqNo::ZERO && from.is_none() {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "entries below {} were trimmed, and no checkpoint is whole",
                rows.first
            ),
        ));
    }
    let fill = Fill {
        kind: FillKind::Copy,
        source: source.journal,
        first: rows.first,
        end: rows.end,
    };
    let gap = checkpoints.is_empty() && rows.first > SeqNo::ZERO;
    let (mut filling, resumed) = match Filling::resume(target, fill).await? {
        Some(filling) => {
            let next = filling.next_seq();
            rows = parts::from(source, Some(next)).await?.0.until(fill.end);
            (filling, Some(next))
        }
        None => (Filling::begin(target, fill, gap).await?, None),
    };
    for found in &checkpoints {
        copy_checkpoint(source, found, &mut filling).await?;
    }
    copy_entries(&mut rows, &mut filling, progress).await?;
    filling.publish().await?;
    Ok(Copied {
        source: source.journal,
        first: fill.first,
        end: fill.end,
        resumed,
        checkpoints: checkpoints.len() as u64,
    })
}

/// Those that are whole.
async fn whole(source: &Context, found: Vec<Found>) -> Result<Vec<Found>> {
    let mut whole = Vec::new();
    for found in found {
        match checkpoint::verify(source, &found).await {
            Ok(_) => whole.push(found),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                tracing::error!(error = %e, "a checkpoint is damaged; it is not copied");
            }
            Err(e) => return Err(e),
        }
    }
    Ok(whole)
}

async fn copy_checkpoint(source: &Context, found: &Found, filling: &mut Filling) -> Result<()> {
    let mut entries = CheckpointEntries::open(source, found).await?;
    let mut writer = filling.checkpoint(found.id.next_seq).await?;
    while let Some(entry) = entries.next().await? {
        writer.entry(&entry).await?;
    }
    writer.commit().await.map(|_| ())
}

async fn copy_entries(
    rows: &mut Rows,
    filling: &mut Filling,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<()> {
    let mut done = 0;
    let mut told = 0;
    while let Some(e) = rows.next().await? {
        if e.seq > filling.next_seq() {
            filling.gap(e.seq).await?;
        }
        filling.entry(e.seq, e.clock_ms, &e.bytes).await?;
        done += e.bytes.len() as u64;
        if done - told > 1 << 20 {
            told = done;
            progress(Progress {
                phase: Phase::Restoring,
                done: done.min(rows.bytes),
                total: rows.bytes,
            });
        }
    }
    Ok(())
}
