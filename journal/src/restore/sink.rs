//! Writing entries that have numbers already into the logs of one epoch.

use crate::chain::{Opened, Segment, open_segment};
use crate::claim::Claim;
use crate::commit::buffer::AlignedBuf;
use crate::commit::off_thread::flush_off_thread;
use crate::commit::serving::Context;
use crate::commit::state::{encoded_len, now_ms, put_entry};
use crate::format::object::StartObject;
use crate::format::{
    FRAME_HEADER, FrameHeader, FrameKind, MAX_BODY, Prev, Scanned, SegmentHeader, SegmentId,
    SegmentKey, names, seal_frame,
};
use crate::objects::{bound, fence_epoch};
use flushproof_api::{Error, ErrorKind, LogWriter, Result, SeqNo, Source};

/// A frame is closed when its body is so long.
const FRAME: usize = 256 << 10;
/// A flush is made when so much has come together.
const FLUSH: usize = 4 << 20;
/// The most that one flush may be, on every store.
const MOST: u64 = 8 << 20;
/// Entries of one frame have one clock: the first one's. So they are no further apart.
const APART_MS: u64 = 1000;

/// The logs of one epoch in the making.
pub(super) struct Sink {
    context: Context,
    claim: Claim,
    /// None while a flush is under way, and after one that failed.
    writer: Option<Box<dyn LogWriter>>,
    index: u64,
    limit: u64,
    grain: u64,
    prev: Option<Prev>,
    first_seq: SeqNo,
    gap: bool,
    /// Behind the header frame.
    body: u64,
    /// Whole frames that wait to be flushed, and one in the making.
    buf: AlignedBuf,
    frame: Option<Open>,
    /// Where `buf` begins in the log: all before it is durable.
    flushed: u64,
    /// The number of the next entry.
    next: SeqNo,
    /// Every entry below it is flushed.
    durable: SeqNo,
    /// The segments that are complete.
    pub done: Vec<Segment>,
}

/// The frame in the making.
struct Open {
    at: usize,
    first: SeqNo,
    count: u32,
    clock_ms: u64,
}

impl Sink {
    /// Begins segment `index`. `gap`: entries before `first` are lost.
    pub(super) async fn begin(
        context: &Context,
        claim: Claim,
        index: u64,
        prev: Option<Prev>,
        first: SeqNo,
        gap: bool,
    ) -> Result<Sink> {
        let grain = context.grain();
        let mut sink = Sink {
            context: context.clone(),
            claim,
            writer: None,
            index,
            limit: 0,
            grain,
            prev,
            first_seq: first,
            gap,
            body: 0,
            buf: AlignedBuf::new(FLUSH + FRAME, grain as usize),
            frame: None,
            flushed: 0,
            next: first,
            durable: first,
            done: Vec::new(),
        };
        sink.open_log().await?;
        Ok(sink)
    }

    /// Goes on behind what an earlier attempt left: fences each log, and begins the next.
    /// `None` when there is nothing to go on from.
    pub(super) async fn resume(
        context: &Context,
        claim: Claim,
        first: SeqNo,
    ) -> Result<Option<Sink>> {
        let fenced = fence_epoch(&context.io(), claim.epoch).await?;
        let mut done: Vec<Segment> = Vec::new();
        for (id, limit) in &fenced {
            let opened = open(context, claim, id.index, *limit).await?;
            let Some(mut segment) = opened else { continue };
            match (done.last_mut(), segment.prev) {
                (Some(last), Some(p)) if p.segment == last.id() && p.offset <= last.end => {
                    (last.end, last.end_seq) = (p.offset, p.seq);
                }
                (None, None) if segment.first_seq == first => {}
                _ => return Ok(None),
            }
            let mut scanner = match segment.scanner(context).await? {
                Some(scanner) => scanner,
                None => return Ok(None),
            };
            // Up to what did not land whole: whoever wrote it was never told Ok.
            let mut end = segment.body;
            while let Scanned::Frame(frame) = scanner.next().await? {
                if frame.end_offset > segment.end {
                    break;
                }
                end = frame.end_offset;
                segment.end_seq = frame.header.end_seq();
            }
            segment.end = end;
            done.push(segment);
        }
        let (Some(last), Some((highest, _))) = (done.last(), fenced.last()) else {
            return Ok(None);
        };
        let prev = Prev {
            segment: last.id(),
            offset: last.end,
            seq: last.end_seq,
        };
        let (index, next) = (highest.index + 1, last.end_seq);
        let mut sink = Sink::begin(context, claim, index, Some(prev), next, false).await?;
        sink.done = done;
        Ok(Some(sink))
    }

    /// The number of the next entry.
    pub(super) fn next_seq(&self) -> SeqNo {
        self.next
    }

    fn key(&self) -> SegmentKey {
        SegmentKey {
            journal: self.context.journal,
            nonce: self.claim.nonce,
            epoch: self.claim.epoch,
            index: self.index,
        }
    }

    fn segment(&self) -> SegmentId {
        self.key().segment()
    }

    /// Creates the log and writes its header, which is durable when this returns.
    async fn open_log(&mut self) -> Result<()> {
        let max_log = self.context.store.contract().max_log;
        let limit = self.context.segment_limit(self.index);
        self.limit = limit.min(max_log.saturating_sub(MOST));
        let path = names::log_path(self.segment())?;
        self.writer = Some(self.context.io().create_log(&path, limit).await?);
        self.flushed = 0;
        let header = SegmentHeader {
            nonce: self.claim.nonce,
            grain: self.grain as u32,
            prev: self.prev,
            gap: self.gap,
            durable: self.durable,
            created_ms: now_ms(),
        };
        let mut body = Vec::new();
        header.encode(&mut body);
        self.control(FrameKind::Header, &body);
        self.flush().await?;
        self.body = self.flushed;
        Ok(())
    }

    /// Adds the next entry.
    pub(super) async fn entry(&mut self, seq: SeqNo, clock_ms: u64, entry: &[u8]) -> Result<()> {
        let needs = encoded_len(entry.len());
        if seq != self.next || needs > MAX_BODY {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "entry {seq} of {} bytes can't be written: {} comes next, and a frame takes \
                     {MAX_BODY} bytes",
                    entry.len(),
                    self.next
                ),
            ));
        }
        self.make_room(needs, clock_ms).await?;
        let frame = self.frame.get_or_insert_with(|| {
            let at = self.buf.len();
            self.buf.resize(at + FRAME_HEADER, 0);
            Open {
                at,
                first: seq,
                count: 0,
                clock_ms,
            }
        });
        frame.count += 1;
        put_entry(&mut self.buf, entry);
        self.next = seq.next();
        Ok(())
    }

    /// Closes the frame, flushes, and goes on in the next log, as it must be before
    /// an entry of this length and clock.
    async fn make_room(&mut self, needs: usize, clock_ms: u64) -> Result<()> {
        if let Some(frame) = &self.frame {
            let len = self.buf.len() - frame.at - FRAME_HEADER;
            let apart = frame.clock_ms.abs_diff(clock_ms) > APART_MS;
            if len >= FRAME || len + needs > MAX_BODY || apart {
                self.close_frame();
            }
        }
        let most = (self.limit as usize).clamp(FRAME, FLUSH);
        if self.buf.len() + needs + FRAME_HEADER > most && self.buf.len() > 0 {
            self.close_frame();
            self.flush().await?;
        }
        if self.buf.len() == 0 && self.flushed >= self.limit && self.flushed > self.body {
            self.roll(self.next, false).await?;
        }
        Ok(())
    }

    fn close_frame(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.seal(
                frame.at,
                FrameKind::Entries,
                frame.first,
                frame.count,
                frame.clock_ms,
            );
        }
    }

    /// A frame without entries.
    fn control(&mut self, kind: FrameKind, body: &[u8]) {
        let at = self.buf.len();
        self.buf.resize(at + FRAME_HEADER, 0);
        self.buf.extend_from_slice(body);
        self.seal(at, kind, self.next, 0, now_ms());
    }

    /// Completes the frame that begins at `at`, and pads it to the grain.
    fn seal(&mut self, at: usize, kind: FrameKind, first: SeqNo, count: u32, clock_ms: u64) {
        let header = FrameHeader {
            kind,
            body_len: (self.buf.len() - at - FRAME_HEADER) as u32,
            first_seq: first,
            count,
            epoch: self.claim.epoch,
            durable: self.durable,
            durable_offset: self.flushed,
            clock_ms,
        };
        let key = self.key();
        let offset = self.flushed + at as u64;
        seal_frame(&mut self.buf.as_mut_slice()[at..], &header, &key, offset);
        let padded = (self.buf.len() as u64).next_multiple_of(self.grain);
        self.buf.resize(padded as usize, 0);
    }

    /// Makes durable what waits.
    async fn flush(&mut self) -> Result<()> {
        if self.buf.len() == 0 {
            return Ok(());
        }
        let fresh = AlignedBuf::new(FLUSH + FRAME, self.grain as usize);
        let batch = std::mem::replace(&mut self.buf, fresh).freeze();
        let len = batch.len() as u64;
        let writer = self.writer.take().ok_or_else(poisoned)?;
        let limit = self.context.config.flush_timeout;
        let blocking = self.context.blocking();
        let flushed = flush_off_thread(writer, batch, blocking, limit).await;
        let (writer, _) = flushed.map_err(|e| e.context(format!("segment {}", self.segment())))?;
        self.writer = Some(writer);
        self.flushed += len;
        self.durable = self.next;
        Ok(())
    }

    /// Ends the segment: all of it is durable, and says so.
    async fn end_segment(&mut self, last: FrameKind) -> Result<()> {
        self.close_frame();
        self.flush().await?;
        self.control(last, &[]);
        self.flush().await?;
        let mut writer = self.writer.take().ok_or_else(poisoned)?;
        bound(self.context.config.store_timeout, writer.seal()).await?;
        self.done.push(Segment {
            key: self.key(),
            grain: self.grain,
            first_seq: self.first_seq,
            body: self.body,
            prev: self.prev,
            gap: self.gap,
            end: self.flushed,
            end_seq: self.next,
            source: Source::Medium,
        });
        Ok(())
    }

    /// Goes on in the next segment with entry `first`.
    async fn roll(&mut self, first: SeqNo, gap: bool) -> Result<()> {
        self.end_segment(FrameKind::Mark).await?;
        self.prev = Some(Prev {
            segment: self.segment(),
            offset: self.flushed,
            seq: self.next,
        });
        self.index += 1;
        self.first_seq = first;
        self.gap = gap;
        self.next = first;
        self.durable = first;
        self.open_log().await
    }

    /// Goes on with entry `first`: those before are lost.
    pub(super) async fn gap(&mut self, first: SeqNo) -> Result<()> {
        self.roll(first, true).await
    }

    /// Ends the last segment.
    pub(super) async fn finish(&mut self) -> Result<()> {
        self.end_segment(FrameKind::Seal).await
    }
}

/// A segment of an epoch that has no start yet.
async fn open(context: &Context, claim: Claim, index: u64, limit: u64) -> Result<Option<Segment>> {
    let epoch = claim.epoch;
    let start = StartObject {
        epoch,
        nonce: claim.nonce,
        first_log: SegmentId { epoch, index: 0 },
        prev: None,
        durable: SeqNo::ZERO,
        carried_end: SeqNo::ZERO,
    };
    let opened = open_segment(context, &start, index, Some(limit), Source::Medium).await?;
    Ok(match opened {
        Opened::Segment(segment, _) => Some(segment),
        Opened::Unused(..) | Opened::Missing => None,
    })
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Poisoned, "an earlier flush of this log failed")
}
