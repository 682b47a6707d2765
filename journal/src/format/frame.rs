//! One frame: its header, its two checksums.

use super::codec::{array_at, u32_at, u64_at};
use super::{FRAME_HEADER, MAX_BODY, SEGMENT_HEADER_BODY, SegmentKey};
use crc32c::crc32c_append;
use flushproof_api::{Epoch, SeqNo};
use std::fmt;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// The first frame of a segment; its body is a
    /// [`SegmentHeader`](super::SegmentHeader).
    Header = 1,
    /// Entries, at least one.
    Entries = 2,
    /// Nothing but what its header says about durability.
    Mark = 3,
    /// The last frame of a segment or checkpoint.
    Seal = 4,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<FrameKind> {
        match byte {
            1 => Some(FrameKind::Header),
            2 => Some(FrameKind::Entries),
            3 => Some(FrameKind::Mark),
            4 => Some(FrameKind::Seal),
            _ => None,
        }
    }
}

/// The fields of a frame's header, without its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame holds.
    pub kind: FrameKind,
    /// Bytes of the body, without padding.
    pub body_len: u32,
    /// The number of the frame's first entry; in a frame without entries the
    /// number that the next entry gets.
    pub first_seq: SeqNo,
    /// How many entries.
    pub count: u32,
    /// The epoch of the writer.
    pub epoch: Epoch,
    /// Every entry below it was durable when the frame was written.
    pub durable: SeqNo,
    /// Every byte of this segment below it was durable then.
    pub durable_offset: u64,
    /// The writer's wall clock, milliseconds since 1970; never used for safety.
    pub clock_ms: u64,
}

impl FrameHeader {
    /// The number after the frame's last entry.
    pub fn end_seq(&self) -> SeqNo {
        // A parsed header never saturates: parsing checks the sum.
        SeqNo(self.first_seq.0.saturating_add(u64::from(self.count)))
    }

    /// Bytes of header and body, without padding.
    pub fn len(&self) -> u64 {
        FRAME_HEADER as u64 + u64::from(self.body_len)
    }

    /// Never: a frame has at least its header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether the frame, which stands at `offset`, says that all before it in
    /// its segment was durable when it was written.
    pub fn settles_all_before(&self, offset: u64) -> bool {
        self.durable == self.first_seq && self.durable_offset == offset
    }
}

/// Why bytes are not a frame of this segment at this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadFrame {
    /// The header is nothing but zeros.
    Zeros,
    /// The segment ends before the frame does.
    Truncated {
        /// Bytes that the frame needs.
        needs: u64,
        /// Bytes that are there.
        has: u64,
    },
    /// The header's checksum does not match.
    HeaderChecksum,
    /// An unknown kind.
    Kind(u8),
    /// Reserved bytes are not zero.
    Reserved,
    /// The body is longer than a frame may be, or not as long as the kind demands.
    Length(u32),
    /// The number of entries is impossible.
    Count(u32),
    /// Another epoch's frame.
    Epoch(Epoch),
    /// It claims that later entries or bytes than its own were durable.
    Claim,
    /// The body's checksum does not match.
    BodyChecksum,
    /// The body is not the entries that the header announces, or not a segment header.
    Body,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadFrame::Zeros => f.write_str("nothing was written here"),
            BadFrame::Truncated { needs, has } => {
                write!(f, "the frame needs {needs} bytes, {has} are there")
            }
            BadFrame::HeaderChecksum => f.write_str("the header's checksum does not match"),
            BadFrame::Kind(kind) => write!(f, "unknown kind {kind}"),
            BadFrame::Reserved => f.write_str("reserved bytes are not zero"),
            BadFrame::Length(len) => write!(f, "a body of {len} bytes is impossible"),
            BadFrame::Count(count) => write!(f, "{count} entries are impossible"),
            BadFrame::Epoch(epoch) => write!(f, "the frame is of epoch {epoch}"),
            BadFrame::Claim => f.write_str("it claims more than was before it"),
            BadFrame::BodyChecksum => f.write_str("the body's checksum does not match"),
            BadFrame::Body => f.write_str("the body is not what the header announces"),
        }
    }
}

/// Writes the header of a frame whose body is already in place, with both
/// checksums. `buf` is exactly header and body.
///
/// # Panics
/// When `buf` is not `64 + header.body_len` bytes: a frame with a wrong length
/// must never reach the storage.
pub fn seal_frame(buf: &mut [u8], header: &FrameHeader, key: &SegmentKey, offset: u64) {
    assert_eq!(buf.len() as u64, header.len(), "length of the frame");
    let (header_seed, body_seed) = key.seeds(offset);
    let body_crc = crc32c_append(body_seed, &buf[FRAME_HEADER..]);
    let head = &mut buf[..FRAME_HEADER];
    head[4..8].copy_from_slice(&body_crc.to_le_bytes());
    head[8..12].copy_from_slice(&header.body_len.to_le_bytes());
    head[12] = header.kind as u8;
    head[13..16].fill(0);
    head[16..24].copy_from_slice(&header.first_seq.0.to_le_bytes());
    head[24..28].copy_from_slice(&header.count.to_le_bytes());
    head[28..32].fill(0);
    head[32..40].copy_from_slice(&header.epoch.0.to_le_bytes());
    head[40..48].copy_from_slice(&header.durable.0.to_le_bytes());
    head[48..56].copy_from_slice(&header.durable_offset.to_le_bytes());
    head[56..64].copy_from_slice(&header.clock_ms.to_le_bytes());
    let crc = crc32c_append(header_seed, &head[4..]);
    head[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a header and checks all of it: checksum, reserved bytes, lengths,
/// epoch, and that it claims no more than what was before it.
///
/// # Errors
/// Why it is not a header of this segment at this offset.
pub fn parse_header(
    raw: &[u8; FRAME_HEADER],
    key: &SegmentKey,
    offset: u64,
) -> Result<FrameHeader, BadFrame> {
    parse_seeded(raw, key, offset, key.seeds(offset).0)
}

/// Checks a body against the header that was read with it.
///
/// # Errors
/// [`BadFrame::Truncated`], [`BadFrame::Length`] or [`BadFrame::BodyChecksum`].
pub fn check_body(
    raw: &[u8; FRAME_HEADER],
    body: &[u8],
    key: &SegmentKey,
    offset: u64,
) -> Result<(), BadFrame> {
    let needs = u32_at(raw, 8);
    if body.len() as u64 > u64::from(needs) {
        return Err(BadFrame::Length(needs));
    }
    if (body.len() as u64) < u64::from(needs) {
        return Err(BadFrame::Truncated {
            needs: u64::from(needs),
            has: body.len() as u64,
        });
    }
    check_seeded(raw, body, key.seeds(offset).1)
}

/// [`parse_header`] with the seed at hand.
pub(super) fn parse_seeded(
    raw: &[u8; FRAME_HEADER],
    key: &SegmentKey,
    offset: u64,
    seed: u32,
) -> Result<FrameHeader, BadFrame> {
    if raw == &[0; FRAME_HEADER] {
        return Err(BadFrame::Zeros);
    }
    if crc32c_append(seed, &raw[4..]) != u32_at(raw, 0) {
        return Err(BadFrame::HeaderChecksum);
    }
    let header = fields(raw)?;
    if header.epoch != key.epoch {
        return Err(BadFrame::Epoch(header.epoch));
    }
    if header.durable > header.first_seq || header.durable_offset > offset {
        return Err(BadFrame::Claim);
    }
    Ok(header)
}

/// [`check_body`] with the seed at hand and the length known to be right.
pub(super) fn check_seeded(
    raw: &[u8; FRAME_HEADER],
    body: &[u8],
    seed: u32,
) -> Result<(), BadFrame> {
    if crc32c_append(seed, body) != u32_at(raw, 4) {
        return Err(BadFrame::BodyChecksum);
    }
    Ok(())
}

/// The fields of a header, checked for sense but not by checksum.
pub(super) fn fields(raw: &[u8; FRAME_HEADER]) -> Result<FrameHeader, BadFrame> {
    let kind = FrameKind::from_byte(raw[12]).ok_or(BadFrame::Kind(raw[12]))?;
    if array_at::<3>(raw, 13) != [0; 3] || array_at::<4>(raw, 28) != [0; 4] {
        return Err(BadFrame::Reserved);
    }
    let header = FrameHeader {
        kind,
        body_len: u32_at(raw, 8),
        first_seq: SeqNo(u64_at(raw, 16)),
        count: u32_at(raw, 24),
        epoch: Epoch(u64_at(raw, 32)),
        durable: SeqNo(u64_at(raw, 40)),
        durable_offset: u64_at(raw, 48),
        clock_ms: u64_at(raw, 56),
    };
    let len = header.body_len as usize;
    let len_ok = match kind {
        FrameKind::Header => len == SEGMENT_HEADER_BODY,
        FrameKind::Entries => (1..=MAX_BODY).contains(&len),
        FrameKind::Mark | FrameKind::Seal => len == 0,
    };
    if !len_ok {
        return Err(BadFrame::Length(header.body_len));
    }
    // Every entry has at least its length byte.
    let count_ok = match kind {
        FrameKind::Entries => header.count >= 1 && header.count as usize <= len,
        _ => header.count == 0,
    };
    let sum = header.first_seq.checked_add(u64::from(header.count));
    if !count_ok || sum.is_none() {
        return Err(BadFrame::Count(header.count));
    }
    Ok(header)
}
