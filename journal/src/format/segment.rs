//! The body of a segment's first frame.

use super::codec::Fields;
use super::{BadFrame, Nonce, SegmentId, valid_grain};
use flushproof_api::{Epoch, SeqNo};

/// Bytes of an encoded [`SegmentHeader`].
pub const SEGMENT_HEADER_BODY: usize = 72;

/// Where the log before this one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prev {
    /// The segment.
    pub segment: SegmentId,
    /// Its end: bytes from there on do not count.
    pub offset: u64,
    /// The number after the last entry below `offset`.
    pub seq: SeqNo,
}

impl Prev {
    pub(super) const LEN: usize = 32;

    pub(super) fn put(prev: &Option<Prev>, out: &mut Vec<u8>) {
        match prev {
            Some(p) => {
                out.extend_from_slice(&p.segment.epoch.0.to_le_bytes());
                out.extend_from_slice(&p.segment.index.to_le_bytes());
                out.extend_from_slice(&p.offset.to_le_bytes());
                out.extend_from_slice(&p.seq.0.to_le_bytes());
            }
            None => out.extend_from_slice(&[0; Prev::LEN]),
        }
    }

    /// The four fields, `None` inside when `present` says that there is none
    /// (then they are zero).
    pub(super) fn take(present: bool, fields: &mut Fields<'_>) -> Option<Option<Prev>> {
        let prev = Prev {
            segment: SegmentId {
                epoch: Epoch(fields.u64()?),
                index: fields.u64()?,
            },
            offset: fields.u64()?,
            seq: SeqNo(fields.u64()?),
        };
        let zero = prev.segment.epoch.0 | prev.segment.index | prev.offset | prev.seq.0 == 0;
        match present {
            true => Some(Some(prev)),
            false if zero => Some(None),
            false => None,
        }
    }
}

/// What a segment says about itself in its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// A copy of the epoch's secret.
    pub nonce: Nonce,
    /// Every frame starts at a multiple of it.
    pub grain: u32,
    /// The end of the log before this one; none in a journal's first.
    pub prev: Option<Prev>,
    /// Between the end of the log before this one (or, without one, the journal's
    /// beginning) and the first entry others were lost, and the loss was accepted.
    pub gap: bool,
    /// Every entry below it was durable elsewhere when the segment was begun.
    pub durable: SeqNo,
    /// When, in milliseconds since 1970.
    pub created_ms: u64,
}

impl SegmentHeader {
    /// Appends the [`SEGMENT_HEADER_BODY`] bytes of the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nonce.0);
        out.extend_from_slice(&self.grain.to_le_bytes());
        let flags = u32::from(self.prev.is_some()) | u32::from(self.gap) << 1;
        out.extend_from_slice(&flags.to_le_bytes());
        Prev::put(&self.prev, out);
        out.extend_from_slice(&self.durable.0.to_le_bytes());
        out.extend_from_slice(&self.created_ms.to_le_bytes());
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`BadFrame::Body`] for a wrong length, an impossible grain or a bad flag.
    pub fn decode(body: &[u8]) -> Result<SegmentHeader, BadFrame> {
        Self::fields(body).ok_or(BadFrame::Body)
    }

    fn fields(body: &[u8]) -> Option<SegmentHeader> {
        let mut fields = Fields(body);
        let nonce = Nonce(fields.bytes()?);
        let grain = fields.u32()?;
        let (present, gap) = match fields.u32()? {
            flags @ 0..=3 => (flags & 1 != 0, flags & 2 != 0),
            _ => return None,
        };
        let header = SegmentHeader {
            nonce,
            grain,
            prev: Prev::take(present, &mut fields)?,
            gap,
            durable: SeqNo(fields.u64()?),
            created_ms: fields.u64()?,
        };
        fields.end()?;
        valid_grain(u64::from(grain)).then_some(header)
    }
}
