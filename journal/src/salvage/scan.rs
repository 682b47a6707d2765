//! All frames of one log that prove themselves, whatever stands between them.

use crate::format::{
    Entries, FRAME_HEADER, FrameHeader, FrameKind, MIN_GRAIN, SegmentHeader, SegmentKey, align_up,
    check_body, parse_header,
};
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Reader, Result, SeqNo};
use std::sync::Arc;

/// Bytes that are read at once, unless a frame is longer.
const WINDOW: u64 = 1024 * 1024;
/// Frames are looked for at multiples of it.
const STEP: u64 = MIN_GRAIN;
/// Runs of a whole journal: an index of them takes some 100 MiB.
const MAX_RUNS: usize = 1 << 18;
/// Damaged places of a log that are kept; behind them they are only counted.
const MAX_BAD: usize = 200;

/// Whole frames that follow each other without a gap, in bytes and in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where its first frame stands.
    pub offset: u64,
    /// Behind its last frame, without padding.
    pub limit: u64,
    /// Its frames stand at multiples of it.
    pub grain: u64,
    /// The number of its first entry.
    pub first: SeqNo,
    /// The number after its last entry.
    pub end: SeqNo,
    /// One frame whose padding is cut off by the end of the log: recovery
    /// takes its flush for torn.
    pub short: bool,
}

/// A place where frames should stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub offset: u64,
    pub end: u64,
    /// The entries of frames of which only the header is whole, from the first to the last.
    pub entries: Option<(SeqNo, SeqNo)>,
}

/// What one log holds.
#[derive(Debug)]
pub(super) struct LogScan {
    pub key: SegmentKey,
    /// What the log says about itself, if its first frame is whole.
    pub header: Option<SegmentHeader>,
    /// Those that hold entries.
    pub runs: Vec<Run>,
    pub bad: Vec<Bad>,
    /// How many more there are.
    pub more_bad: u64,
    /// Behind the last whole frame; frames may follow there.
    pub end: u64,
    /// Behind the last byte that is not zero.
    pub used: u64,
    /// The highest and the lowest durable mark of a valid frame header.
    pub durable: Option<(SeqNo, SeqNo)>,
    /// Every byte below it was durable.
    pub durable_offset: u64,
    /// The lowest number that a valid frame header says.
    pub first: Option<SeqNo>,
    /// Whether a mark or seal is there: only a primary that serves writes one.
    pub marks: bool,
}

impl LogScan {
    /// The highest durable mark; 0 if there is none.
    pub fn highest(&self) -> SeqNo {
        self.durable.map_or(SeqNo::ZERO, |(high, _)| high)
    }
}

/// Looks at every 64 bytes of a log, and passes over whole frames. `grain`: that of
/// the epoch's other logs, for the case that this one's header is lost. `runs`: how
/// many runs were found before. `read` is told how many bytes were read.
///
/// Reads the log once; a body is read only if its header holds, and bodies that do not
/// hold are given up once they make up the log's length.
///
/// # Errors
/// The reader's; `TooLarge` when the index gets too long.
/// # Cancel safety
/// Safe.
pub(super) async fn scan(
    reader: Arc<dyn Reader>,
    key: SegmentKey,
    grain: Option<u64>,
    runs: usize,
    mut read: impl FnMut(u64),
) -> Result<LogScan> {
    let len = reader.len().await?;
    let mut scan = Scan {
        log: LogScan {
            key,
            header: None,
            runs: Vec::new(),
            bad: Vec::new(),
            more_bad: 0,
            end: 0,
            used: 0,
            durable: None,
            durable_offset: 0,
            first: None,
            marks: false,
        },
        window: Window::new(reader, len),
        len,
        grain,
        open: None,
        claimed: None,
        wasted: 0,
        room: MAX_RUNS.saturating_sub(runs),
    };
    let mut at = 0;
    while at < len {
        let known = scan.window.end();
        let next = scan.step(at).await?;
        if scan.window.end() > known {
            read(scan.window.end() - known);
        }
        at = next;
    }
    scan.close()?;
    Ok(scan.log)
}

struct Scan {
    log: LogScan,
    window: Window,
    len: u64,
    /// Of this log's frames, once it is known.
    grain: Option<u64>,
    /// The run that the next frame may go on.
    open: Option<Run>,
    /// Entries of frames with a bad body since the last whole frame.
    claimed: Option<(SeqNo, SeqNo)>,
    /// Bytes of bodies that did not hold.
    wasted: u64,
    /// How many more runs there may be.
    room: usize,
}

impl Scan {
    /// Looks at one place; says where to look next.
    async fn step(&mut self, at: u64) -> Result<u64> {
        let chunk = self.window.get(at, STEP.min(self.len - at)).await?;
        if chunk.iter().all(|b| *b == 0) {
            return Ok(at + STEP); // a log is shorter than 2^63: no overflow
        }
        let frame = match chunk.first_chunk::<FRAME_HEADER>() {
            Some(raw) if plausible(raw, &self.log.key) => self.frame(raw, at).await?,
            _ => None,
        };
        let Some(header) = frame else {
            self.log.used = at + chunk.len() as u64;
            return Ok(at + STEP);
        };
        self.accept(at, &header)?;
        // Any further frame is aligned, whatever the grain.
        let end = at + header.len();
        Ok(align_up(end, STEP).unwrap_or(self.len))
    }

    /// The frame at a place if all of it holds. A header that holds testifies all the same.
    async fn frame(&mut self, raw: &[u8; FRAME_HEADER], at: u64) -> Result<Option<FrameHeader>> {
        let key = self.log.key;
        let Ok(header) = parse_header(raw, &key, at) else {
            return Ok(None);
        };
        if (header.kind == FrameKind::Header) != (at == 0) {
            return Ok(None);
        }
        self.testify(&header);
        let len = u64::from(header.body_len);
        let body = at + FRAME_HEADER as u64;
        if self.len - at >= header.len() && self.wasted <= self.len {
            let body = self.window.get(body, len).await?;
            if check_body(raw, &body, &key, at).is_ok() && self.body_holds(&header, body) {
                return Ok(Some(header));
            }
            self.wasted += len;
        }
        if header.count > 0 {
            let (first, end) = self.claimed.unwrap_or((header.first_seq, SeqNo::ZERO));
            self.claimed = Some((first.min(header.first_seq), end.max(header.end_seq())));
        }
        Ok(None)
    }

    fn body_holds(&mut self, header: &FrameHeader, body: Bytes) -> bool {
        match header.kind {
            FrameKind::Entries => Entries::new(body, header.first_seq, header.count).is_ok(),
            FrameKind::Mark | FrameKind::Seal => true,
            FrameKind::Header => {
                let segment = SegmentHeader::decode(&body).ok();
                self.log.header = segment.filter(|s| s.nonce == self.log.key.nonce);
                self.grain = self.log.header.map(|s| u64::from(s.grain)).or(self.grain);
                self.log.header.is_some()
            }
        }
    }

    fn testify(&mut self, header: &FrameHeader) {
        let log = &mut self.log;
        let (high, low) = log.durable.unwrap_or((header.durable, header.durable));
        log.durable = Some((high.max(header.durable), low.min(header.durable)));
        log.durable_offset = log.durable_offset.max(header.durable_offset);
        let first = log.first.unwrap_or(header.first_seq);
        log.first = Some(first.min(header.first_seq));
        log.marks |= matches!(header.kind, FrameKind::Mark | FrameKind::Seal);
    }

    fn accept(&mut self, at: u64, header: &FrameHeader) -> Result<()> {
        let grain = self.grain.filter(|g| at % g == 0).unwrap_or(STEP);
        let end = at + header.len();
        let padded = align_up(end, grain).unwrap_or(u64::MAX);
        if header.kind == FrameKind::Header {
            // Nothing else is flushed before the header is durable.
            self.log.durable_offset = self.log.durable_offset.max(padded);
        }
        let follows = at == self.log.end;
        // Without the grain, zeros behind a frame may be padding.
        let sure = self.grain.is_some() || self.log.end == 0 || self.log.used > self.log.end;
        if !follows && sure {
            self.bad(at);
        }
        self.claimed = None;
        let frame = Run {
            offset: at,
            limit: end,
            grain,
            first: header.first_seq,
            end: header.end_seq(),
            short: padded > self.len,
        };
        self.log.end = padded;
        self.log.used = end;
        match &mut self.open {
            Some(run)
                if follows && !frame.short && run.grain == grain && run.end == header.first_seq =>
            {
                run.limit = frame.limit;
                run.end = frame.end;
            }
            _ => {
                self.close()?;
                self.open = Some(frame);
            }
        }
        Ok(())
    }

    /// Notes that no whole frame stands between the last one and `at`.
    fn bad(&mut self, at: u64) {
        if self.log.bad.len() < MAX_BAD {
            self.log.bad.push(Bad {
                offset: self.log.end.min(at),
                end: at,
                entries: self.claimed,
            });
        } else {
            self.log.more_bad += 1;
        }
    }

    fn close(&mut self) -> Result<()> {
        let Some(run) = self.open.take().filter(|r| r.end > r.first) else {
            return Ok(());
        };
        if self.log.runs.len() >= self.room {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the journal lies in more than {MAX_RUNS} pieces; they can't be salvaged all \
                     at once"
                ),
            ));
        }
        self.log.runs.push(run);
        Ok(())
    }
}

/// Cheap refusals before any checksum.
fn plausible(raw: &[u8; FRAME_HEADER], key: &SegmentKey) -> bool {
    (1..=4).contains(&raw[12])
        && raw[13..16] == [0; 3]
        && raw[28..32] == [0; 4]
        && raw[32..40] == key.epoch.0.to_le_bytes()
}

/// A part of a log in memory, that moves on.
struct Window {
    reader: Arc<dyn Reader>,
    len: u64,
    at: u64,
    bytes: Bytes,
}

impl Window {
    fn new(reader: Arc<dyn Reader>, len: u64) -> Window {
        Window {
            reader,
            len,
            at: 0,
            bytes: Bytes::new(),
        }
    }

    /// Behind the last byte that was read.
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// `len` bytes at `at`, which lie below the log's length.
    async fn get(&mut self, at: u64, len: u64) -> Result<Bytes> {
        if at < self.at || at + len > self.end() {
            let want = len.saturating_add(WINDOW).min(self.len - at);
            self.bytes = Bytes::new();
            let bytes = self.reader.read(at..at + want).await?;
            if bytes.len() as u64 != want {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!(
                        "the store answered {} bytes for a read of {want} at offset {at}",
                        bytes.len()
                    ),
                ));
            }
            self.bytes = bytes;
            self.at = at;
        }
        let from = (at - self.at) as usize;
        Ok(self.bytes.slice(from..from + len as usize))
    }
}
