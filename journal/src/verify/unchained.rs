//! Segments that are not on the chain: prepared, superseded, strange, or behind damage.

use super::objects::Start;
use super::report::unless_corrupt;
use super::{Finding, FindingKind, SECOND_LOOK, Verdict, Verifier, WRITING, range};
use crate::SeqNo;
use crate::chain::{self, Opened, Segment};
use crate::format::object::StartObject;
use crate::format::{
    FRAME_HEADER, LastGood, Nonce, Scanned, Scanner, SegmentId, SegmentKey, TailVerdict,
    classify_tail, names, parse_header,
};
use crate::view::settled;
use flushproof_api::{Reader, Result, Source};
use std::sync::Arc;

/// What a segment that is not on the chain is.
enum Loose {
    /// It went away meanwhile.
    Gone,
    /// A segment with a header, and the number after its last entry, as far as it was read.
    Whole(Segment, SeqNo),
    /// Zeros only.
    Empty,
    /// So many bytes of a header that is not whole.
    Torn(u64),
}

/// So far the fast look goes in a log that has no header.
const FAST_LOOK: u64 = 64 * 1024;

impl<P: FnMut(u64, u64)> Verifier<'_, P> {
    pub(super) async fn unchained(&mut self, id: SegmentId, len: u64) -> Result<()> {
        (self.progress)(self.report.bytes.min(self.total), self.total);
        let path = names::log_path(id)?;
        let start = match self.starts.get(&id.epoch) {
            Some(Start::Good(start)) => *start,
            Some(Start::Bad(kind)) => {
                let kind = *kind;
                self.blocked(&path, id.epoch, kind);
                return Ok(());
            }
            Some(Start::Ignored) | None => return self.never_served(id).await,
        };
        let looked = settled(|| self.look_unchained(&start, id)).await;
        let key = self.key(&start, id.index);
        match unless_corrupt(looked)? {
            Ok(Loose::Gone) => {}
            Ok(Loose::Whole(segment, end)) => self.loose(&segment, end)?,
            Ok(Loose::Empty) => {
                let text = format!("prepared, {len} bytes, not used");
                self.report.harmless(FindingKind::Prepared, path, text);
            }
            Ok(Loose::Torn(bytes)) => self.begun(&start, &key, len, bytes).await?,
            Err(text) => {
                let finding = self.bad(&key, 0, &text).await?;
                self.report.add(finding);
            }
        }
        Ok(())
    }

    /// A segment of an epoch without a start.
    async fn never_served(&mut self, id: SegmentId) -> Result<()> {
        let path = names::log_path(id)?;
        if self.lost.contains(&id.epoch) {
            let start = names::start_path(id.epoch)?;
            let text = format!("can't be read: {start} is missing");
            self.report.corrupt(FindingKind::Gap, path, text);
            return Ok(());
        }
        let key = SegmentKey {
            journal: self.context.journal,
            nonce: self.secrets.nonce(id.epoch).unwrap_or(Nonce([0; 16])),
            epoch: id.epoch,
            index: id.index,
        };
        let origin = self.origin(&key, 0).await?;
        let served = format!("of epoch {}, which never served; ignored", id.epoch);
        let (kind, text) = match (self.kind(&origin), &origin) {
            (FindingKind::Damaged, _) => (FindingKind::Superseded, served),
            (kind, origin) => (kind, format!("{served}: {origin}")),
        };
        self.report.harmless(kind, path, text);
        Ok(())
    }

    async fn look_unchained(&self, start: &StartObject, id: SegmentId) -> Result<Loose> {
        let opened = chain::open_segment(self.context, start, id.index, None, Source::Any).await?;
        let (reader, end) = match opened {
            Opened::Missing => return Ok(Loose::Gone),
            Opened::Segment(segment, reader) => {
                let end = self.entries_of(&segment, reader).await?;
                return Ok(Loose::Whole(segment, end));
            }
            Opened::Unused(_, reader, end) => (reader, end),
        };
        let key = self.key(start, id.index);
        let end = match self.fast {
            true => end.min(FAST_LOOK),
            false => end,
        };
        match classify_tail(&*reader, &key, 0, end, LastGood::Nothing).await? {
            TailVerdict::Corrupt { at, why, .. } => Err(chain::corrupt(id, at, why)),
            TailVerdict::Torn { bytes, .. } => Ok(Loose::Torn(bytes)),
            TailVerdict::Clean => Ok(Loose::Empty),
        }
    }

    /// The number after the last entry; only the first frame is looked at when it is to go
    /// fast.
    async fn entries_of(&self, segment: &Segment, reader: Arc<dyn Reader>) -> Result<SeqNo> {
        let first = segment.first_seq;
        if self.fast {
            let path = names::log_path(segment.id())?;
            let bytes = self.look(&path, segment.body, FRAME_HEADER).await?;
            let raw = bytes.first_chunk::<FRAME_HEADER>();
            let header = raw.and_then(|raw| parse_header(raw, &segment.key, segment.body).ok());
            return Ok(header.map_or(first, |h| h.end_seq()));
        }
        let mut scanner = Scanner::new(
            reader,
            segment.key,
            segment.grain,
            segment.body,
            segment.end,
        )
        .expecting(first);
        while let Ok(Scanned::Frame(_)) = unless_corrupt(scanner.next().await)? {}
        Ok(scanner.next_seq().unwrap_or(first))
    }

    /// A whole segment: who supersedes it?
    fn loose(&mut self, segment: &Segment, end: SeqNo) -> Result<()> {
        let (id, first) = (segment.id(), segment.first_seq);
        let path = names::log_path(id)?;
        let links = &self.links;
        let last = links.get(links.partition_point(|l| l.id.epoch > id.epoch));
        let last = last.filter(|l| l.id.epoch == id.epoch);
        let behind = last.is_none_or(|last| id > last.id);
        let newer = links.first().map(|l| l.id.epoch);
        let newer = newer.filter(|newer| *newer > id.epoch);
        let below = links.iter().skip(links.partition_point(|l| l.first >= end));
        let mut below = below.take_while(|l| l.end > first);
        let twice = below.find(|l| l.first < l.end);
        let text = format!("begins with entry {first}, but is not on the chain");
        if end <= self.newest || first == end {
            let text = format!("{text}; nothing in it is needed");
            self.report.harmless(FindingKind::Superseded, path, text);
        } else if last.is_some() && behind && newer.is_none() {
            let kind = FindingKind::InProgress;
            self.report
                .add(Finding::new(kind, Verdict::InProgress, path, WRITING));
        } else if let Some(newer) = newer.filter(|_| behind) {
            let text = format!("{text}: epoch {newer} goes on before it");
            self.report.harmless(FindingKind::Superseded, path, text);
        } else if let Some(link) = twice {
            let (from, to) = range(first.max(link.first), end.min(link.end));
            let text = format!("{text}: {} has the same numbers", names::log_path(link.id)?);
            let twice = Finding::new(FindingKind::Duplicate, Verdict::Corrupt, path, text);
            self.report.add(twice.at(0).of(from, to));
        } else {
            self.report.harmless(FindingKind::Superseded, path, text);
        }
        Ok(())
    }

    /// A segment whose header is not whole. In the head epoch, unless a seal stands before it,
    /// a primary may be rolling to it: it is looked at twice.
    async fn begun(
        &mut self,
        start: &StartObject,
        key: &SegmentKey,
        len: u64,
        bytes: u64,
    ) -> Result<()> {
        let path = names::log_path(key.segment())?;
        let of_head = self.head.is_some_and(|h| h.epoch == start.epoch);
        let mut verdict = Verdict::Clean;
        // Below the last segment none is being written.
        let behind = self.links.first().is_none_or(|l| key.segment() > l.id);
        if of_head && behind && !self.sealed {
            tokio::time::sleep(SECOND_LOOK).await;
            let opened = chain::open_segment(self.context, start, key.index, None, Source::Any);
            if !matches!(opened.await?, Opened::Unused(..)) {
                let kind = FindingKind::InProgress;
                self.report
                    .add(Finding::new(kind, Verdict::InProgress, path, WRITING));
                return Ok(());
            }
            verdict = Verdict::Torn;
        }
        let origin = self.origin(key, 0).await?;
        let (kind, text) = match self.kind(&origin) {
            FindingKind::Damaged if verdict == Verdict::Torn => (
                FindingKind::Torn,
                format!("{bytes} bytes of a header that was being written; nothing is in it"),
            ),
            FindingKind::Damaged => (
                FindingKind::Prepared,
                format!("prepared, {len} bytes, not used"),
            ),
            kind => (
                kind,
                format!("{len} bytes that no frame here uses: {origin}"),
            ),
        };
        self.report
            .add(Finding::new(kind, verdict, path, text).at(0));
        Ok(())
    }
}
