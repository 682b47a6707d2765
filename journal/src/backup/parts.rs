//! The entries that a journal and its archive hold, as one row.

use super::At;
use crate::archive::{Archive, Kept};
use crate::chain::{self, Segment};
use crate::checkpoint::{self, Found};
use crate::commit::serving::Context;
use crate::format::backup::{BackupReader, PieceEntries, PieceKind};
use crate::format::{FrameKind, Scanned, TailVerdict};
use crate::objects::Starts;
use crate::replay::{Entry, Item, Replay};
use crate::traces::lost_starts;
use crate::view::{View, settled};
use flushproof_api::{Epoch, Error, ErrorKind, Result, SeqNo, Source};
use std::collections::VecDeque;
use std::time::Duration;

/// Between two looks at an end that no durable mark covers: an idle primary has
/// written its mark by then.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// A row of entries, with the state that it builds on.
pub(crate) struct Rows {
    /// The checkpoint at `first`; none: from the journal's beginning.
    pub base: Option<Found>,
    pub first: SeqNo,
    pub end: SeqNo,
    /// The epoch that served last.
    pub epoch: Epoch,
    /// Whole entries behind the durable end that were left out.
    pub undecided: u64,
    /// About how many bytes there are to be read.
    pub bytes: u64,
    /// Archived files to be read first, the oldest first.
    kept: VecDeque<Kept>,
    archive: Option<Archive>,
    /// The archived file that is being read.
    file: Option<(BackupReader, Option<(PieceEntries, Epoch)>)>,
    replay: Replay,
    /// Lost entries, whose loss was accepted.
    gaps: Vec<(SeqNo, SeqNo)>,
    next: SeqNo,
}

/// A journal's chain as it is now.
struct Chain {
    checkpoints: Vec<Found>,
    segments: VecDeque<Segment>,
    epoch: Epoch,
    /// Everything below it is durable.
    durable: SeqNo,
    end: SeqNo,
}

/// Finds the entries up to `at`, or up to the durable end, and the newest whole
/// checkpoint below. `durable`: what a primary knows to be durable.
///
/// # Errors
/// `InvalidInput` when `at` is out of range; `Corrupt`; the stores'.
pub(crate) async fn find(
    context: &Context,
    durable: Option<SeqNo>,
    at: Option<At>,
) -> Result<Rows> {
    let archive = Archive::open(&context.config, context.journal).await?;
    let chain = durable_chain(context, durable).await?;
    let kept = match &archive {
        Some(archive) => archive.list().await?,
        None => Vec::new(),
    };
    let end = match at {
        None => chain.durable,
        Some(At::Seq(seq)) if seq > chain.durable => {
            let text = format!(
                "entry {seq} is not there: the journal ends at {}",
                chain.durable
            );
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        Some(At::Seq(seq)) => seq,
        Some(At::Time(ms)) => at_time(context, archive.as_ref(), &kept, &chain, ms).await?,
    };
    let usable: Vec<_> = chain
        .checkpoints
        .iter()
        .filter(|c| c.id.next_seq <= end)
        .copied()
        .collect();
    let (base, _) = checkpoint::newest_whole(context, &usable).await?;
    let first = base.map_or(SeqNo::ZERO, |c| c.id.next_seq);
    rows(context, archive, kept, chain, base, first..end)
}

/// All entries from `from`, or the oldest in the journal, up to the durable end,
/// without a checkpoint; and the checkpoints at and behind the first one.
pub(crate) async fn from(context: &Context, from: Option<SeqNo>) -> Result<(Rows, Vec<Found>)> {
    let archive = Archive::open(&context.config, context.journal).await?;
    let chain = durable_chain(context, None).await?;
    let kept = match &archive {
        Some(archive) => archive.list().await?,
        None => Vec::new(),
    };
    let end = chain.durable;
    let from = from.unwrap_or_else(|| chain.oldest());
    if from > end {
        let text = format!("entry {from} is not there: the journal ends at {end}");
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    let within = |c: &&Found| c.id.next_seq >= from && c.id.next_seq <= end;
    let checkpoints = chain.checkpoints.iter().filter(within).copied().collect();
    let rows = rows(context, archive, kept, chain, None, from..end)?;
    Ok((rows, checkpoints))
}

impl Chain {
    /// The number of the oldest entry that is there; 0 where those before it are
    /// lost, and the loss was accepted.
    fn oldest(&self) -> SeqNo {
        match self.segments.front() {
            Some(first) if first.gap && first.prev.is_none() => SeqNo::ZERO,
            front => front.map_or(self.end, |s| s.first_seq),
        }
    }
}

fn rows(
    context: &Context,
    archive: Option<Archive>,
    kept: Vec<Kept>,
    chain: Chain,
    base: Option<Found>,
    range: std::ops::Range<SeqNo>,
) -> Result<Rows> {
    let oldest = chain.oldest();
    let kept = match range.start < oldest && range.start < range.end {
        true => crate::archive::covering(&kept, range.start..oldest.min(range.end))
            .ok_or_else(|| missing(context, range.start, oldest, archive.is_some()))?,
        false => VecDeque::new(),
    };
    let mut segments = chain.segments;
    while segments.len() > 1 && segments.front().is_some_and(|s| s.end_seq <= range.start) {
        segments.pop_front();
    }
    let bytes = segments.iter().map(|s| s.end - s.body).sum::<u64>()
        + kept.iter().map(|k| k.len).sum::<u64>();
    let gaps = segments.iter().filter(|s| s.gap);
    let gaps = gaps.map(|s| (s.prev.map_or(SeqNo::ZERO, |p| p.seq), s.first_seq));
    let gaps: Vec<_> = gaps.map(|(a, b)| (a.max(range.start), b)).collect();
    // What is lost at the very beginning was not trimmed.
    let from = range.start.max(oldest).min(range.end);
    Ok(Rows {
        base,
        first: range.start,
        end: range.end,
        epoch: chain.epoch,
        undecided: chain.end.0 - chain.durable.0,
        bytes,
        kept,
        archive,
        file: None,
        replay: Replay::new(context.clone(), None, segments, from..range.end),
        gaps,
        next: range.start,
    })
}

fn missing(context: &Context, first: SeqNo, oldest: SeqNo, archive: bool) -> Error {
    let known = match archive {
        true => "and the archive does not hold all of them",
        false => "and no archive.directory is configured",
    };
    Error::new(
        ErrorKind::InvalidInput,
        format!(
            "{}: entries from {first} up to {oldest} were trimmed, {known}; choose a later point",
            context.config.folder
        ),
    )
}

/// The chain, and up to where it is durable. Whole entries at the end that no mark
/// covers belong to it if nobody is writing: the next primary will keep them.
async fn durable_chain(context: &Context, durable: Option<SeqNo>) -> Result<Chain> {
    let mut chain = settled(|| load(context, Source::Any)).await?;
    if let Some(durable) = durable {
        chain.durable = chain.durable.max(durable.min(chain.end));
        return Ok(chain);
    }
    if chain.durable < chain.end {
        tokio::time::sleep(SECOND_LOOK).await;
        // What a cache shows may never have come to the medium.
        let again = settled(|| load(context, Source::Medium)).await?;
        let at_rest =
            again.end == chain.end && again.durable == chain.durable && again.epoch == chain.epoch;
        chain = again;
        if at_rest {
            chain.durable = chain.end;
        }
    }
    Ok(chain)
}

async fn load(context: &Context, source: Source) -> Result<Chain> {
    let view = View::load_from(context, source).await?;
    let newest = view.newest();
    let epoch = view.head.map_or(Epoch::NONE, |h| h.epoch);
    let Some(tail) = view.tail else {
        return Ok(Chain {
            checkpoints: view.checkpoints,
            segments: VecDeque::new(),
            epoch,
            durable: newest,
            end: newest,
        });
    };
    if let TailVerdict::Corrupt { at, why, .. } = &tail.scan.verdict {
        return Err(chain::corrupt(tail.segment.id(), *at, why));
    }
    // The newest group may not be attested by a frame yet, but by a checkpoint.
    let end = tail.scan.end;
    let durable = tail.scan.durable.max(newest.min(end));
    let starts: &Starts = &view.starts;
    let segments = chain::walk_back(context, starts, tail.segment, SeqNo::ZERO, newest).await?;
    Ok(Chain {
        checkpoints: view.checkpoints,
        segments,
        epoch,
        durable,
        end,
    })
}

/// The number of the first entry that was flushed after `ms`.
async fn at_time(
    context: &Context,
    archive: Option<&Archive>,
    kept: &[Kept],
    chain: &Chain,
    ms: u64,
) -> Result<SeqNo> {
    // From the newest part back to one that begins early enough, then forward.
    let mut segments = chain.segments.clone();
    let mut from = None;
    for segment in segments.iter().rev() {
        match first_clock(context, segment).await? {
            Some(clock) if clock <= ms => {
                from = Some(segment.first_seq);
                break;
            }
            _ => {}
        }
    }
    let oldest = chain.segments.front().map_or(chain.end, |s| s.first_seq);
    if from.is_none()
        && let Some(archive) = archive
    {
        for file in kept.iter().rev().filter(|k| k.first < oldest) {
            if archive.first_clock(file).await? <= ms {
                return archive.first_after(kept, file.first..oldest, ms).await;
            }
        }
    }
    let Some(from) = from else {
        return match oldest {
            SeqNo::ZERO => Ok(SeqNo::ZERO),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "what was there at {} was trimmed: the oldest entry left is {oldest}",
                    At::Time(ms)
                ),
            )),
        };
    };
    while segments.len() > 1 && segments.front().is_some_and(|s| s.end_seq <= from) {
        segments.pop_front();
    }
    let mut replay = Replay::new(context.clone(), None, segments, from..chain.durable);
    while let Some(item) = replay.next().await? {
        if let Item::Entry(entry) = item
            && entry.clock_ms > ms
        {
            return Ok(entry.seq);
        }
    }
    Ok(chain.durable)
}

/// The clock of a segment's first entry; `None` when it has none.
async fn first_clock(context: &Context, segment: &Segment) -> Result<Option<u64>> {
    let Some(mut scanner) = segment.scanner(context).await? else {
        return Err(chain::gone(segment.id()));
    };
    loop {
        match scanner.next().await? {
            Scanned::Frame(f) if f.header.kind == FrameKind::Entries => {
                return Ok(Some(f.header.clock_ms));
            }
            Scanned::Frame(_) => {}
            Scanned::End => return Ok(None),
            Scanned::Bad { offset, why } => return Err(chain::damaged(segment, offset, &why)),
        }
    }
}

impl Rows {
    /// The same, ending at `end` at the latest.
    pub(crate) fn until(mut self, end: SeqNo) -> Rows {
        self.end = self.end.min(end);
        self
    }

    /// The next entry; `None` behind the last.
    ///
    /// # Errors
    /// `NotFound` when what is to be read was trimmed meanwhile; `Corrupt`; the stores'.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let entry = match self.archived().await? {
            Some(entry) => entry,
            None => loop {
                match self.replay.next().await? {
                    Some(Item::Entry(entry)) => break entry,
                    Some(Item::Checkpoint(_)) => {}
                    None => return Err(self.ends_early()),
                }
            },
        };
        if entry.seq != self.next && !self.gaps.contains(&(self.next, entry.seq)) {
            return Err(self.ends_early());
        }
        self.next = entry.seq.next();
        Ok(Some(entry))
    }

    fn ends_early(&self) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "entry {} is missing, though entries up to {} are there. Run: journal verify",
                self.next, self.end
            ),
        )
    }

    /// The next entry out of the archive, while it is needed.
    async fn archived(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some((reader, piece)) = &mut self.file {
                if let Some((entries, epoch)) = piece {
                    for (seq, clock_ms, bytes) in entries.by_ref() {
                        if seq >= self.next {
                            let epoch = *epoch;
                            return Ok(Some(Entry {
                                seq,
                                bytes,
                                epoch,
                                clock_ms,
                            }));
                        }
                    }
                }
                match reader.next().await? {
                    Some(p) if p.header.kind == PieceKind::Entries => {
                        *piece = Some((p.entries(), p.header.epoch));
                    }
                    Some(_) => {}
                    None => self.file = None,
                }
                continue;
            }
            let (Some(kept), Some(archive)) = (self.kept.pop_front(), &self.archive) else {
                return Ok(None);
            };
            self.file = Some((archive.read(&kept).await?, None));
        }
    }
}

/// Nothing is left of a journal that never served.
pub(crate) async fn is_empty(context: &Context) -> Result<bool> {
    let io = context.io();
    let starts = Starts::list(&io, context.journal).await?;
    settled(|| lost_starts(context)).await?;
    if starts.head().await?.is_none() {
        return Ok(true);
    }
    let chain = settled(|| load(context, Source::Any)).await?;
    Ok(chain.end == SeqNo::ZERO && chain.checkpoints.is_empty())
}
