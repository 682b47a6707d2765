//! Reads the frames of one segment, in windows of bounded size.

use super::frame::{check_seeded, parse_seeded};
use super::segment::SEGMENT_HEADER_BODY;
use super::{
    BadFrame, Entries, FRAME_HEADER, FrameHeader, FrameKind, SegmentHeader, SegmentKey, align_up,
    entries, parse_header,
};
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Reader, Result, SeqNo};
use std::sync::Arc;

/// Bytes that are read at once, unless a frame is longer.
const WINDOW: u64 = 1024 * 1024;

/// One valid frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it stands in its segment.
    pub offset: u64,
    /// Where the next frame stands: its end, padded to the grain.
    pub end_offset: u64,
    /// Its header.
    pub header: FrameHeader,
    /// Its body, a slice of the window that was read: it keeps that window alive.
    pub body: Bytes,
}

impl Frame {
    /// Its entries; none in other kinds of frames. The scanner has checked them.
    pub fn entries(&self) -> Entries {
        Entries::checked(self.body.clone(), self.header.first_seq, self.header.count)
    }
}

/// What [`Scanner::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// A valid frame; the scanner stands behind it.
    Frame(Frame),
    /// Not a frame; the scanner stays there. What it means is for
    /// [`classify_tail`](super::classify_tail) to say, or, in a closed segment,
    /// is corruption.
    Bad {
        /// Where.
        offset: u64,
        /// Why.
        why: BadFrame,
    },
    /// The limit is reached: every frame below it was valid.
    End,
}

/// Reads the frames of one segment below a limit.
///
/// Memory: the window, at most one longest frame and a quarter of a MiB; plus
/// the windows that returned frames keep alive. A frame is returned only if
/// both its checksums hold, its entries are whole, and its first entry
/// continues the frame before it.
#[derive(Debug)]
pub struct Scanner {
    reader: Arc<dyn Reader>,
    key: SegmentKey,
    grain: u64,
    offset: u64,
    limit: u64,
    window: Bytes,
    window_at: u64,
    window_len: u64,
    next_seq: Option<SeqNo>,
}

impl Scanner {
    /// A scanner of [`offset`, `limit`) of a segment. `offset` is rounded up to
    /// the grain; `limit` is at most the reader's length.
    pub fn new(
        reader: Arc<dyn Reader>,
        key: SegmentKey,
        grain: u64,
        offset: u64,
        limit: u64,
    ) -> Scanner {
        Scanner {
            reader,
            key,
            grain,
            // A bad grain is an error of the first `next`.
            offset: align_up(offset, grain).unwrap_or(offset),
            limit,
            window: Bytes::new(),
            window_at: 0,
            window_len: WINDOW,
            next_seq: None,
        }
    }

    /// The same scanner with another window, to read little or to test edges.
    #[must_use]
    pub fn with_window(mut self, bytes: u64) -> Scanner {
        self.window_len = bytes.clamp(1, WINDOW);
        self
    }

    /// The same scanner, told which entry must come first.
    #[must_use]
    pub fn expecting(mut self, seq: SeqNo) -> Scanner {
        self.next_seq = Some(seq);
        self
    }

    /// Where the scanner stands.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number after the last entry that was read, once a frame was read.
    pub fn next_seq(&self) -> Option<SeqNo> {
        self.next_seq
    }

    /// Forgets what was read ahead and goes on from the same place up to a new
    /// limit: to follow a segment that grows.
    pub fn extend(&mut self, limit: u64) {
        self.window = Bytes::new();
        self.limit = limit;
    }

    /// The next frame, or why there is none.
    ///
    /// # Errors
    /// Those of the reader; `Corrupt` when a whole and valid frame does not
    /// continue the sequence, which no crash explains.
    /// # Cancel safety
    /// Safe: nothing is passed over.
    pub async fn next(&mut self) -> Result<Scanned> {
        if self.offset >= self.limit {
            return Ok(Scanned::End);
        }
        match self.try_next().await? {
            Ok(frame) => {
                self.check_sequence(&frame)?;
                self.next_seq = Some(frame.header.end_seq());
                self.offset = frame.end_offset;
                Ok(Scanned::Frame(frame))
            }
            Err(why) => Ok(Scanned::Bad {
                offset: self.offset,
                why,
            }),
        }
    }

    async fn try_next(&mut self) -> Result<Result<Frame, BadFrame>> {
        let offset = self.offset;
        if let Err(why) = self.fill(FRAME_HEADER as u64).await? {
            return Ok(Err(why));
        }
        let (header_seed, body_seed) = self.key.seeds(offset);
        let raw = self.raw_header();
        let header = match parse_seeded(&raw, &self.key, offset, header_seed) {
            Ok(header) => header,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = self.fill(header.len()).await? {
            return Ok(Err(why));
        }
        let at = (offset - self.window_at) as usize + FRAME_HEADER;
        let body = self.window.slice(at..at + header.body_len as usize);
        if let Err(why) = check_seeded(&raw, &body, body_seed) {
            return Ok(Err(why));
        }
        if header.kind == FrameKind::Entries {
            if let Err(why) = entries::check(&body, header.count) {
                return Ok(Err(why));
            }
        }
        let end_offset = offset
            .checked_add(header.len())
            .and_then(|end| align_up(end, self.grain))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidInput,
                    format!("grain {} at offset {offset} is impossible", self.grain),
                )
            })?;
        Ok(Ok(Frame {
            offset,
            end_offset,
            header,
            body,
        }))
    }

    /// The header at the scanner's place, which [`fill`](Self::fill) has read.
    fn raw_header(&self) -> [u8; FRAME_HEADER] {
        super::codec::array_at(&self.window, (self.offset - self.window_at) as usize)
    }

    /// Makes the window cover `needs` bytes from the scanner's place.
    async fn fill(&mut self, needs: u64) -> Result<Result<(), BadFrame>> {
        let has = self.limit - self.offset;
        if has < needs {
            return Ok(Err(BadFrame::Truncated { needs, has }));
        }
        let covered = self.window_at <= self.offset
            && self.offset - self.window_at <= self.window.len() as u64
            && self.window.len() as u64 - (self.offset - self.window_at) >= needs;
        if covered {
            return Ok(Ok(()));
        }
        // A long frame's successor is read along with it, so that a row of long
        // frames is not read twice.
        let len = self.window_len.max(needs + self.window_len / 4).min(has);
        self.window = Bytes::new();
        self.window = read_exact(&*self.reader, self.offset, len).await?;
        self.window_at = self.offset;
        Ok(Ok(()))
    }

    fn check_sequence(&self, frame: &Frame) -> Result<()> {
        match self.next_seq {
            Some(expected) if expected != frame.header.first_seq => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "segment {}: the frame at offset {} begins with entry {}, but entry \
                     {expected} comes next",
                    self.key.segment(),
                    frame.offset,
                    frame.header.first_seq,
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Reads exactly `len` bytes: a store that answers another number is broken.
pub(super) async fn read_exact(reader: &dyn Reader, offset: u64, len: u64) -> Result<Bytes> {
    let end = offset.checked_add(len).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("offset {offset} is out of range"),
        )
    })?;
    let bytes = reader.read(offset..end).await?;
    if bytes.len() as u64 != len {
        return Err(Error::new(
            ErrorKind::Io,
            format!(
                "the store answered {} bytes for a read of {len} at offset {offset}",
                bytes.len()
            ),
        ));
    }
    Ok(bytes)
}

/// What stands at the start of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderVerdict {
    /// A valid header frame.
    Good {
        /// What the segment says about itself.
        segment: SegmentHeader,
        /// The header of that frame.
        frame: FrameHeader,
        /// Where the next frame stands.
        end_offset: u64,
    },
    /// No valid header frame: of a prepared or torn segment, or damage;
    /// [`classify_tail`](super::classify_tail) from offset 0 tells which.
    Bad(BadFrame),
}

/// Reads the first frame of a segment, which says the segment's grain.
///
/// # Errors
/// Those of the reader.
/// # Cancel safety
/// Safe.
pub async fn read_segment_header(
    reader: &dyn Reader,
    key: &SegmentKey,
    limit: u64,
) -> Result<HeaderVerdict> {
    const NEEDS: u64 = (FRAME_HEADER + SEGMENT_HEADER_BODY) as u64;
    if limit < NEEDS {
        return Ok(HeaderVerdict::Bad(BadFrame::Truncated {
            needs: NEEDS,
            has: limit,
        }));
    }
    let bytes = read_exact(reader, 0, NEEDS).await?;
    Ok(segment_header(&bytes, key).unwrap_or_else(HeaderVerdict::Bad))
}

fn segment_header(bytes: &[u8], key: &SegmentKey) -> Result<HeaderVerdict, BadFrame> {
    let raw = super::codec::array_at(bytes, 0);
    let frame = parse_header(&raw, key, 0)?;
    if frame.kind != FrameKind::Header {
        return Err(BadFrame::Kind(frame.kind as u8));
    }
    let body = &bytes[FRAME_HEADER..];
    super::check_body(&raw, body, key, 0)?;
    let segment = SegmentHeader::decode(body)?;
    if segment.nonce != key.nonce {
        return Err(BadFrame::Body);
    }
    let end_offset = align_up(frame.len(), u64::from(segment.grain)).ok_or(BadFrame::Body)?;
    Ok(HeaderVerdict::Good {
        segment,
        frame,
        end_offset,
    })
}
