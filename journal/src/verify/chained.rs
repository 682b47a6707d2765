//! The segments of the chain: their frames, and how they continue each other.

use super::objects::Start;
use super::report::unless_corrupt;
use super::{Finding, FindingKind, Verdict, Verifier, range};
use crate::SeqNo;
use crate::chain::{self, Opened, Segment};
use crate::format::object::StartObject;
use crate::format::{
    FRAME_HEADER, Prev, Scanned, Scanner, SegmentId, TailVerdict, names, parse_header,
};
use crate::objects::Starts;
use flushproof_api::{Epoch, Result, Source};

impl<P: FnMut(u64, u64)> Verifier<'_, P> {
    /// Reads a segment up to its end.
    pub(super) async fn read(&mut self, segment: &Segment) -> Result<()> {
        let path = names::log_path(segment.id())?;
        let Some(reader) = self.context.io().open(&path, segment.source).await? else {
            return Ok(());
        };
        let len = reader.len().await?;
        let end = segment.end.min(len);
        let mut scanner = Scanner::new(reader, segment.key, segment.grain, segment.body, end)
            .expecting(segment.first_seq);
        if let Some(finding) = self.contradiction(segment, &mut scanner).await? {
            self.report.add(finding);
            return Ok(());
        }
        let reached = scanner.next_seq().unwrap_or(segment.first_seq);
        let at = scanner.offset();
        if len < segment.end {
            self.too_short(segment, len, reached)?;
        } else if at < end {
            let why = match scanner.next().await? {
                Scanned::Bad { why, .. } => why.to_string(),
                _ => return Ok(()), // whole by now
            };
            let (from, to) = range(reached, segment.end_seq);
            let finding = self.bad(&segment.key, at, &why).await?.of(from, to);
            self.report.add(finding);
        } else if reached != segment.end_seq {
            let finding = numbers(segment.id(), segment.end, reached, segment.end_seq)?;
            self.report.add(finding);
        }
        Ok(())
    }

    /// Reads on to the first bad frame; the finding of a whole one that does not continue
    /// the one before.
    pub(super) async fn contradiction(
        &mut self,
        segment: &Segment,
        scanner: &mut Scanner,
    ) -> Result<Option<Finding>> {
        loop {
            match unless_corrupt(scanner.next().await)? {
                Ok(Scanned::Frame(frame)) => {
                    self.report.entries += u64::from(frame.header.count);
                    self.report.bytes += frame.end_offset - frame.offset;
                    (self.progress)(self.report.bytes.min(self.total), self.total);
                }
                Ok(Scanned::Bad { .. } | Scanned::End) => return Ok(None),
                Err(text) => {
                    let at = scanner.offset();
                    let path = names::log_path(segment.id())?;
                    let bytes = self.look(&path, at, FRAME_HEADER).await?;
                    let raw = bytes.first_chunk::<FRAME_HEADER>();
                    let header = raw.and_then(|raw| parse_header(raw, &segment.key, at).ok());
                    let expected = scanner.next_seq().unwrap_or(segment.first_seq);
                    let begins = header.map_or(expected, |h| h.first_seq);
                    let mut finding = numbers(segment.id(), at, expected, begins)?;
                    finding.text = text;
                    return Ok(Some(finding));
                }
            }
        }
    }

    /// Whether a segment is as long as its successor says, without reading it.
    pub(super) async fn measure(&mut self, segment: &Segment) -> Result<()> {
        let path = names::log_path(segment.id())?;
        let Some(reader) = self.context.io().open(&path, segment.source).await? else {
            return Ok(());
        };
        let len = reader.len().await?;
        if len < segment.end {
            self.too_short(segment, len, segment.first_seq)?;
        }
        Ok(())
    }

    fn too_short(&mut self, segment: &Segment, len: u64, reached: SeqNo) -> Result<()> {
        let (end, end_seq) = (segment.end, segment.end_seq);
        let text = format!(
            "the segment has {len} bytes, but entries up to {end_seq} ended at offset {end}"
        );
        let path = names::log_path(segment.id())?;
        let (from, to) = range(reached, end_seq);
        let gap = Finding::new(FindingKind::Gap, Verdict::Corrupt, path, text);
        self.report.add(gap.at(len).of(from, to));
        Ok(())
    }

    /// The segment before; where it can't be read, the one before that which can.
    pub(super) async fn older(
        &mut self,
        starts: &Starts,
        segment: &Segment,
    ) -> Result<Option<Segment>> {
        let older = chain::step_back(self.context, starts, segment, self.newest).await;
        let text = match unless_corrupt(older)? {
            Ok(older) => return Ok(older),
            Err(text) => text,
        };
        let (id, first) = (segment.id(), segment.first_seq);
        let Some(prev) = segment.prev else {
            let path = names::log_path(id)?;
            let gap = Finding::new(FindingKind::Gap, Verdict::Corrupt, path, text);
            self.report.add(gap.at(0).of(SeqNo::ZERO, first));
            return Ok(None);
        };
        if prev.segment >= id {
            let path = names::log_path(id)?;
            self.report
                .add(Finding::new(FindingKind::Damaged, Verdict::Corrupt, path, text).at(0));
            return Ok(None);
        }
        if prev.seq != first {
            let mut finding = numbers(id, 0, prev.seq, first)?;
            finding.text = text;
            self.report.add(finding);
        }
        self.predecessor(starts, prev).await
    }

    /// The segment that `prev` names, or a finding of what is wrong with it and the one
    /// before that can be read.
    pub(super) async fn predecessor(
        &mut self,
        starts: &Starts,
        prev: Prev,
    ) -> Result<Option<Segment>> {
        let found = chain::predecessor(self.context, starts, prev).await;
        let text = match unless_corrupt(found)? {
            Ok(Some(segment)) => return Ok(Some(segment)),
            // A primary may have trimmed meanwhile.
            _ if prev.seq <= self.newest.max(self.trimmed_below().await?) => return Ok(None),
            Ok(None) => "the segment is missing, and no checkpoint replaces it".to_owned(),
            Err(text) => text,
        };
        let (id, epoch) = (prev.segment, prev.segment.epoch);
        let finding = match self.starts.get(&epoch) {
            Some(Start::Good(start)) if self.is_listed(id) => {
                let key = self.key(start, id.index);
                self.seen.insert(id);
                self.bad(&key, 0, &text).await?
            }
            Some(Start::Good(_)) => {
                self.missing.insert(id);
                let path = names::log_path(id)?;
                Finding::new(FindingKind::Gap, Verdict::Corrupt, path, text)
            }
            Some(Start::Bad(kind)) => {
                let path = names::start_path(epoch)?;
                Finding::new(*kind, Verdict::Corrupt, path, unreadable(epoch))
            }
            Some(Start::Ignored) | None => {
                self.lost.insert(epoch);
                let path = names::start_path(epoch)?;
                Finding::new(FindingKind::Gap, Verdict::Corrupt, path, unreadable(epoch))
            }
        };
        let older = self.before(starts, prev).await?;
        let from = older.as_ref().map_or(SeqNo::ZERO, |o| o.end_seq);
        let from = from.max(self.newest).min(prev.seq);
        self.report.add(finding.of(from, prev.seq));
        Ok(older)
    }

    /// The last segment before `prev` that can be read, as far as its frames go.
    async fn before(&mut self, starts: &Starts, mut prev: Prev) -> Result<Option<Segment>> {
        loop {
            let Some(Start::Good(start)) = self.starts.get(&prev.segment.epoch).copied() else {
                return Ok(None);
            };
            if let Some(segment) = self.rolled_before(&start, prev.segment.index).await? {
                return Ok(Some(segment));
            }
            let older = start.prev.filter(|p| p.segment < prev.segment);
            let Some(older) = older.filter(|p| p.seq > self.newest) else {
                return Ok(None);
            };
            let found = chain::predecessor(self.context, starts, older).await;
            if let Ok(Some(segment)) = unless_corrupt(found)? {
                return Ok(Some(segment));
            }
            prev = older;
        }
    }

    /// Of the segments of an epoch before `index` the last that has a header.
    async fn rolled_before(&mut self, start: &StartObject, index: u64) -> Result<Option<Segment>> {
        let below = |id: &SegmentId| id.epoch == start.epoch && id.index < index;
        let ids = self.logs.iter().map(|(id, _)| *id).filter(below);
        let ids: Vec<_> = ids.collect();
        for id in ids.into_iter().rev() {
            let any = Source::Any;
            match chain::open_segment(self.context, start, id.index, None, any).await? {
                Opened::Missing => {}
                Opened::Segment(mut segment, reader) => {
                    let Ok(scan) = unless_corrupt(chain::scan_tail(&segment, reader).await)? else {
                        return Ok(Some(segment)); // reading it says what is wrong
                    };
                    (segment.end, segment.end_seq) = match scan.verdict {
                        TailVerdict::Corrupt { claim, .. } => (claim.durable_offset, claim.durable),
                        _ => (scan.end_offset, scan.end),
                    };
                    return Ok(Some(segment));
                }
                Opened::Unused(why, ..) => {
                    let text = format!("the segment's header is damaged: {why}");
                    let finding = self.bad(&self.key(start, id.index), 0, &text).await?;
                    self.report.add(finding);
                    self.seen.insert(id);
                }
            }
        }
        Ok(None)
    }
}

fn unreadable(epoch: Epoch) -> String {
    format!("missing or bad: without it no segment of epoch {epoch} can be read")
}

/// Entries that are missing between two numbers, or stand twice.
fn numbers(id: SegmentId, at: u64, expected: SeqNo, found: SeqNo) -> Result<Finding> {
    let path = names::log_path(id)?;
    let (kind, text) = match expected <= found {
        true => (FindingKind::Gap, "entries are missing here"),
        false => (
            FindingKind::Duplicate,
            "entries stand here and in the next segment",
        ),
    };
    let finding = Finding::new(kind, Verdict::Corrupt, path, text);
    Ok(finding.at(at).of(expected.min(found), expected.max(found)))
}
