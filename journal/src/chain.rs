//! The chain: which segments hold the journal, in which order, and where it ends.
//!
//! The chain is found backwards: from the last used segment of the head epoch
//! along `prev` to the oldest segment that is needed. What is not on the chain
//! does not count, whatever its name.

use crate::commit::serving::Context;
use crate::format::names;
use crate::format::object::StartObject;
use crate::format::{
    FrameKind, HeaderVerdict, LastGood, Prev, Scanned, Scanner, SegmentId, SegmentKey, TailVerdict,
    classify_tail, read_segment_header,
};
use crate::objects::Starts;
use flushproof_api::{Epoch, Error, ErrorKind, Reader, Result, SeqNo, Source};
use std::collections::VecDeque;
use std::sync::Arc;

/// One segment of the chain.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub key: SegmentKey,
    pub grain: u64,
    /// The number of its first entry.
    pub first_seq: SeqNo,
    /// Behind its header frame.
    pub body: u64,
    /// Where the segment before it ends.
    pub prev: Option<Prev>,
    /// Entries between the segment before and this one were lost, and that was accepted.
    pub gap: bool,
    /// Where it ends, as its successor says; of the last one as recovery found.
    pub end: u64,
    /// The number after its last entry below `end`.
    pub end_seq: SeqNo,
    /// From where it is read: what decides recovery comes from the medium.
    pub source: Source,
}

impl Segment {
    pub(crate) fn id(&self) -> SegmentId {
        self.key.segment()
    }

    /// A scanner of its frames behind the header, and below `end`.
    pub(crate) async fn scanner(&self, context: &Context) -> Result<Option<Scanner>> {
        let path = names::log_path(self.id())?;
        let Some(reader) = context.io().open(&path, self.source).await? else {
            return Ok(None);
        };
        let len = reader.len().await?;
        if len < self.end {
            return Err(corrupt(
                self.id(),
                len,
                format!(
                    "the segment has {len} bytes, but entries up to {} ended at offset {}",
                    self.end_seq, self.end
                ),
            ));
        }
        let scanner = Scanner::new(reader, self.key, self.grain, self.body, self.end);
        Ok(Some(scanner.expecting(self.first_seq)))
    }
}

/// The error of damage at a place of a segment.
pub(crate) fn corrupt(segment: SegmentId, offset: u64, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "{}, offset {offset}: {what}. Nothing was changed. Run: journal verify, which lists all \
             damage",
            names::log_path(segment).map_or_else(|_| segment.to_string(), |p| p.to_string()),
        ),
    )
}

/// What stands at the beginning of a log.
pub(crate) enum Opened {
    /// A segment; its `end` is its length for now.
    Segment(Segment, Arc<dyn Reader>),
    /// No valid header: prepared, or begun and torn, or damaged.
    Unused(crate::format::BadFrame, Arc<dyn Reader>, u64),
    /// No such log.
    Missing,
}

/// Reads the header of a segment. `limit`: nothing from there on counts.
pub(crate) async fn open_segment(
    context: &Context,
    start: &StartObject,
    index: u64,
    limit: Option<u64>,
    source: Source,
) -> Result<Opened> {
    let key = SegmentKey {
        journal: context.journal,
        nonce: start.nonce,
        epoch: start.epoch,
        index,
    };
    let path = names::log_path(key.segment())?;
    let Some(reader) = context.io().open(&path, source).await? else {
        return Ok(Opened::Missing);
    };
    let len = reader.len().await?;
    let end = limit.map_or(len, |l| l.min(len));
    Ok(match read_segment_header(&*reader, &key, end).await? {
        HeaderVerdict::Good { end_offset, .. } if end_offset > end => {
            let cut = crate::format::BadFrame::Truncated {
                needs: end_offset,
                has: end,
            };
            Opened::Unused(cut, reader, end)
        }
        HeaderVerdict::Good {
            segment,
            frame,
            end_offset,
        } => Opened::Segment(
            Segment {
                key,
                grain: u64::from(segment.grain),
                first_seq: frame.first_seq,
                body: end_offset,
                prev: segment.prev,
                gap: segment.gap,
                end,
                end_seq: frame.first_seq,
                source,
            },
            reader,
        ),
        HeaderVerdict::Bad(why) => Opened::Unused(why, reader, end),
    })
}

/// What the last segment of the chain says.
#[derive(Clone, Debug)]
pub(crate) struct TailScan {
    /// Every entry below it is durable.
    pub durable: SeqNo,
    /// Right behind the last entry below `durable` in this segment.
    pub cut: Option<u64>,
    /// The number after the last whole entry.
    pub end: SeqNo,
    /// Behind the last good frame.
    pub end_offset: u64,
    /// Clean, torn or corrupt.
    pub verdict: TailVerdict,
    /// Whether the last good frame is a seal.
    pub sealed: bool,
    /// The clock of the last frame, in ms since 1970.
    pub clock_ms: u64,
}

/// Reads the last segment and classifies its end.
pub(crate) async fn scan_tail(segment: &Segment, reader: Arc<dyn Reader>) -> Result<TailScan> {
    let mut scanner = Scanner::new(reader.clone(), segment.key, segment.grain, 0, segment.end);
    let mut scan = TailScan {
        durable: segment.first_seq,
        cut: None,
        end: segment.first_seq,
        end_offset: segment.body,
        verdict: TailVerdict::Clean,
        sealed: false,
        clock_ms: 0,
    };
    let mut last = LastGood::Nothing;
    // Ends of frames that no later frame attests yet: few, because a writer
    // has few flushes under way.
    let mut undecided: VecDeque<(SeqNo, u64)> = VecDeque::new();
    let mut at = None;
    while let Scanned::Frame(frame) = scanner.next().await? {
        if frame.end_offset > segment.end {
            // Its flush did not land whole: the padding is missing.
            at = Some(frame.offset);
            break;
        }
        let header = &frame.header;
        last = LastGood::of(header, frame.offset);
        scan.durable = scan.durable.max(header.durable);
        scan.end = header.end_seq();
        scan.end_offset = frame.end_offset;
        scan.sealed = header.kind == FrameKind::Seal;
        scan.clock_ms = header.clock_ms;
        if header.kind == FrameKind::Entries {
            undecided.push_back((header.end_seq(), frame.end_offset));
        }
        while undecided.front().is_some_and(|(s, _)| *s <= scan.durable) {
            scan.cut = undecided.pop_front().map(|(_, offset)| offset);
        }
    }
    let at = at.unwrap_or(scanner.offset());
    if at < segment.end {
        scan.verdict = classify_tail(&*reader, &segment.key, at, segment.end, last).await?;
    }
    Ok(scan)
}

/// The head epoch's part of the chain: its last used segment.
pub(crate) struct Tail {
    pub segment: Segment,
    pub scan: TailScan,
    /// Bytes of a begun header in logs behind it.
    pub torn_behind: u64,
    /// The first log behind it that can't be seen before it is sealed.
    pub hidden: Option<SegmentId>,
}

/// Finds and reads the last used segment of the head epoch. `limits`: the
/// segments that are there, ascending, each with the L of its fence (or, on a
/// live journal, none). What decides recovery is read from the medium; who only
/// looks may read what a cache has.
pub(crate) async fn find_tail(
    context: &Context,
    head: &StartObject,
    limits: &[(u64, Option<u64>)],
    source: Source,
) -> Result<Tail> {
    let mut torn_behind = 0;
    for (index, limit) in limits.iter().rev() {
        match open_segment(context, head, *index, *limit, source).await? {
            Opened::Segment(mut segment, reader) => {
                check_gap(head, *index, limits)?;
                let scan = scan_tail(&segment, reader).await?;
                if scan.sealed {
                    // Nothing was begun behind a seal: what stands in a prepared
                    // log is left from before it was recycled.
                    torn_behind = 0;
                }
                segment.end = scan.end_offset;
                segment.end_seq = scan.end;
                return Ok(Tail {
                    segment,
                    scan,
                    torn_behind,
                    hidden: None,
                });
            }
            Opened::Unused(_, reader, len) => {
                let key = SegmentKey {
                    journal: context.journal,
                    nonce: head.nonce,
                    epoch: head.epoch,
                    index: *index,
                };
                match classify_tail(&*reader, &key, 0, len, LastGood::Nothing).await? {
                    TailVerdict::Clean => {}
                    TailVerdict::Torn { bytes, .. } => torn_behind += bytes,
                    TailVerdict::Corrupt { why, .. } => {
                        return Err(corrupt(key.segment(), 0, why));
                    }
                }
            }
            Opened::Missing => return Err(gone(key_of(head, *index))),
        }
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!(
            "epoch {} was served, but no segment of it has a header: its first log {} is missing \
             or damaged",
            head.epoch,
            names::log_path(head.first_log)?
        ),
    ))
}

/// A log is prepared only while the one right before it is written: two or more
/// logs behind the last used one mean that a used one is missing.
fn check_gap(head: &StartObject, last: u64, limits: &[(u64, Option<u64>)]) -> Result<()> {
    let highest = limits.last().map_or(last, |(index, _)| *index);
    if highest <= last + 1 {
        return Ok(());
    }
    Err(corrupt(
        key_of(head, last + 1),
        0,
        format!("the segment is missing or empty, but segment {highest} was prepared behind it"),
    ))
}

fn key_of(head: &StartObject, index: u64) -> SegmentId {
    SegmentId {
        epoch: head.epoch,
        index,
    }
}

/// A log that was listed is gone: it was trimmed meanwhile, begin again.
pub(crate) fn gone(segment: SegmentId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("segment {segment} went away while it was read"),
    )
}

/// The indexes of an epoch's logs, ascending.
pub(crate) fn indexes(
    logs: &[(SegmentId, flushproof_api::Listed)],
    epoch: Epoch,
) -> impl Iterator<Item = u64> {
    logs.iter()
        .filter(move |(id, _)| id.epoch == epoch)
        .map(|(id, _)| id.index)
}

/// Walks from the last segment back to the one that holds entry `need`.
///
/// Where a segment is missing the walk ends if all that it held lies below
/// `trimmed` (the next number of a checkpoint that counts): it was trimmed.
/// Returns the segments, the oldest first.
///
/// # Errors
/// `Corrupt` with the place; `NotFound` never.
pub(crate) async fn walk_back(
    context: &Context,
    starts: &Starts,
    tail: Segment,
    need: SeqNo,
    trimmed: SeqNo,
) -> Result<VecDeque<Segment>> {
    let mut chain = VecDeque::from([tail]);
    while let Some(oldest) = chain.front().filter(|s| s.first_seq > need) {
        match step_back(context, starts, oldest, trimmed).await? {
            Some(older) => chain.push_front(older),
            None => break,
        }
    }
    Ok(chain)
}

/// The segment before `segment` on the chain; `None` when there is none, or
/// when it was trimmed.
pub(crate) async fn step_back(
    context: &Context,
    starts: &Starts,
    segment: &Segment,
    trimmed: SeqNo,
) -> Result<Option<Segment>> {
    let first = segment.first_seq;
    let Some(prev) = segment.prev else {
        // A restored journal begins behind its checkpoint.
        if first <= trimmed || segment.gap {
            return Ok(None);
        }
        let what = format!("the journal's first segment begins with entry {first}");
        return Err(corrupt(segment.id(), 0, what));
    };
    // Names grow along the chain: so the walk ends, whatever the bytes say.
    let continues = prev.seq == first || (segment.gap && prev.seq < first);
    if !continues || prev.segment >= segment.id() {
        let what = format!(
            "it begins with entry {first} behind segment {}, which ends with {}",
            prev.segment, prev.seq
        );
        return Err(corrupt(segment.id(), 0, what));
    }
    let found = predecessor(context, starts, prev).await;
    match unless_trimmed(found, prev.seq, trimmed)? {
        Some(older) => Ok(Some(older)),
        None if prev.seq <= trimmed => Ok(None),
        None => {
            let known = match trimmed {
                SeqNo::ZERO => String::new(),
                _ => format!(" (the newest good one ends at {trimmed})"),
            };
            let what = format!(
                "the segment is missing; it held entries below {}, and no checkpoint replaces \
                 them{known}",
                prev.seq
            );
            Err(corrupt(prev.segment, 0, what))
        }
    }
}

/// Damage of what ends at `end` is none when a checkpoint replaces all of it: the name
/// was trimmed, and has come back after a power cut without its bytes.
fn unless_trimmed<T>(found: Result<Option<T>>, end: SeqNo, trimmed: SeqNo) -> Result<Option<T>> {
    match found {
        Err(e) if e.kind() == ErrorKind::Corrupt && end <= trimmed => Ok(None),
        other => other,
    }
}

/// The segment that `prev` names, closed at its offset; `None` when it is gone.
pub(crate) async fn predecessor(
    context: &Context,
    starts: &Starts,
    prev: Prev,
) -> Result<Option<Segment>> {
    let Some(start) = starts.get(prev.segment.epoch).await? else {
        return Ok(None);
    };
    match open_segment(
        context,
        &start,
        prev.segment.index,
        Some(prev.offset),
        Source::Any,
    )
    .await?
    {
        Opened::Segment(mut segment, _) => {
            segment.end = prev.offset;
            segment.end_seq = prev.seq;
            Ok(Some(segment))
        }
        Opened::Unused(why, ..) => Err(corrupt(
            prev.segment,
            0,
            format!("the segment's header is damaged: {why}"),
        )),
        Opened::Missing => Ok(None),
    }
}

/// Where a new epoch continues: right behind the last entry below the durable
/// mark, or behind the header of the head epoch's oldest log if there is none;
/// never behind a mark, which may not be durable itself.
/// `trimmed`: a checkpoint that counts replaces all below.
pub(crate) async fn find_cut(
    context: &Context,
    starts: &Starts,
    tail: &Tail,
    trimmed: SeqNo,
) -> Result<Prev> {
    let durable = tail.scan.durable;
    let at = |segment: &Segment, offset| Prev {
        segment: segment.id(),
        offset,
        seq: durable,
    };
    if let Some(offset) = tail.scan.cut {
        return Ok(at(&tail.segment, offset));
    }
    let mut segment = tail.segment.clone();
    loop {
        let own = |p: &Prev| p.segment.epoch == segment.key.epoch;
        let Some(prev) = segment.prev.filter(own) else {
            return Ok(at(&segment, segment.body));
        };
        let found = predecessor(context, starts, prev).await;
        let Some(older) = unless_trimmed(found, prev.seq, trimmed)? else {
            return Ok(at(&segment, segment.body));
        };
        let last = last_entry(context, &older).await.map(Some);
        match unless_trimmed(last, prev.seq, trimmed)? {
            Some(Some(offset)) => return Ok(at(&older, offset)),
            Some(None) => segment = older,
            None => return Ok(at(&segment, segment.body)),
        }
    }
}

/// Right behind the last entry of a closed segment.
async fn last_entry(context: &Context, segment: &Segment) -> Result<Option<u64>> {
    let Some(mut scanner) = segment.scanner(context).await? else {
        return Err(gone(segment.id()));
    };
    let mut last = None;
    loop {
        match scanner.next().await? {
            Scanned::Frame(f) if f.header.kind == FrameKind::Entries => last = Some(f.end_offset),
            Scanned::Frame(_) => {}
            Scanned::End => return Ok(last),
            Scanned::Bad { offset, why } => return Err(damaged(segment, offset, &why)),
        }
    }
}

/// The error of a bad frame in a closed segment.
pub(crate) fn damaged(segment: &Segment, offset: u64, why: &crate::format::BadFrame) -> Error {
    corrupt(
        segment.id(),
        offset,
        format!(
            "{why}; the segment holds entries {} to {}, all acknowledged, and ends at offset {}",
            segment.first_seq, segment.end_seq, segment.end
        ),
    )
}
