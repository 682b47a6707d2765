//! Says what the end of a segment is: clean, torn or corrupt. Never guesses.
//!
//! The table of all cases is in `docs/recovery.md`.

use super::codec::array_at;
use super::frame::{fields, parse_seeded};
use super::scan::read_exact;
use super::{FRAME_HEADER, FrameHeader, FrameKind, SegmentKey};
use flushproof_api::{Error, ErrorKind, Reader, Result, SeqNo};

/// Bytes that are read at once; a multiple of [`STEP`].
const WINDOW: u64 = 1024 * 1024;
/// Frames start at multiples of it, whatever the segment's grain.
const STEP: usize = 64;

/// What is known of the last good frame before the first bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastGood {
    /// There is none: the segment's header frame is bad.
    Nothing,
    /// Bytes behind it may belong to a flush that was under way.
    Open,
    /// A seal, or a mark that says that all before it was durable: bytes
    /// behind it were never acknowledged and do not matter.
    Settled,
}

impl LastGood {
    /// Of the last good frame and its offset.
    pub fn of(frame: &FrameHeader, offset: u64) -> LastGood {
        match frame.kind {
            FrameKind::Seal => LastGood::Settled,
            FrameKind::Mark if frame.settles_all_before(offset) => LastGood::Settled,
            _ => LastGood::Open,
        }
    }
}

/// What a valid frame header behind a bad frame promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where that header stands.
    pub offset: u64,
    /// The first sequence number of its frame.
    pub first_seq: SeqNo,
    /// Every entry below it was durable.
    pub durable: SeqNo,
    /// Every byte of the segment below it was durable.
    pub durable_offset: u64,
}

/// What the end of a segment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailVerdict {
    /// Nothing behind the last good frame matters.
    Clean,
    /// A flush was under way when its writer stopped. It was not
    /// acknowledged, as far as the segment can tell: cut.
    Torn {
        /// Where to cut: the offset of the first bad frame.
        at: u64,
        /// Bytes from there up to the last one that is not zero.
        bytes: u64,
    },
    /// Bytes that were durable are damaged: stop.
    Corrupt {
        /// The offset of the first bad frame.
        at: u64,
        /// What contradicts the end, for a human.
        why: String,
        /// The furthest promise behind `at`.
        claim: Claim,
    },
}

/// Classifies what stands from `at`, the offset of the first bad frame, up to
/// `limit`. Reads all of it, once, and computes at most one checksum of 60
/// bytes per 64 bytes.
///
/// # Errors
/// Those of the reader; `InvalidInput` when no frame can start at `at`.
/// # Cancel safety
/// Safe.
pub async fn classify_tail(
    reader: &dyn Reader,
    key: &SegmentKey,
    at: u64,
    limit: u64,
    last: LastGood,
) -> Result<TailVerdict> {
    if at % STEP as u64 != 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("no frame starts at offset {at}: it is no multiple of {STEP}"),
        ));
    }
    let mut found = Found {
        key,
        at,
        claim: None,
        used_end: at,
    };
    let mut pos = at;
    while pos < limit {
        let len = WINDOW.min(limit - pos);
        let window = read_exact(reader, pos, len).await?;
        found.look(pos, &window);
        pos += len;
    }
    Ok(found.verdict(last))
}

struct Found<'a> {
    key: &'a SegmentKey,
    at: u64,
    claim: Option<Claim>,
    /// Behind the last byte that is not zero.
    used_end: u64,
}

impl Found<'_> {
    fn look(&mut self, window_at: u64, window: &[u8]) {
        const ZEROS: [u8; STEP] = [0; STEP];
        for (i, chunk) in window.chunks(STEP).enumerate() {
            if chunk == &ZEROS[..chunk.len()] {
                continue;
            }
            let step = window_at + (i * STEP) as u64; // inside the window: no overflow
            let trailing = chunk.iter().rev().take_while(|b| **b == 0).count();
            self.used_end = step + (chunk.len() - trailing) as u64;
            if step == self.at || chunk.len() < FRAME_HEADER {
                continue;
            }
            self.keep(self.claim_at(&array_at(chunk, 0), step));
        }
    }

    /// Keeps the furthest promise.
    fn keep(&mut self, claim: Option<Claim>) {
        let known = self.claim.map(|c| c.durable_offset);
        if claim.map(|c| c.durable_offset) > known {
            self.claim = claim;
        }
    }

    /// A valid claim that contradicts an end at `self.at`. Cheap refusals
    /// first; the checksum decides last.
    fn claim_at(&self, raw: &[u8; FRAME_HEADER], offset: u64) -> Option<Claim> {
        let header = fields(raw).ok()?;
        // Behind a bad segment header every valid frame is a contradiction: a
        // writer flushes nothing else before its segment header is durable.
        if self.at > 0 && header.durable_offset <= self.at {
            return None;
        }
        let plausible = header.epoch == self.key.epoch
            && header.durable <= header.first_seq
            && header.durable_offset <= offset;
        if !plausible {
            return None;
        }
        parse_seeded(raw, self.key, offset, self.key.seeds(offset).0).ok()?;
        Some(Claim {
            offset,
            first_seq: header.first_seq,
            durable: header.durable,
            durable_offset: header.durable_offset,
        })
    }

    fn verdict(self, last: LastGood) -> TailVerdict {
        if let Some(claim) = self.claim {
            return TailVerdict::Corrupt {
                at: self.at,
                why: self.why(&claim),
                claim,
            };
        }
        if self.used_end == self.at || last == LastGood::Settled {
            return TailVerdict::Clean;
        }
        TailVerdict::Torn {
            at: self.at,
            bytes: self.used_end - self.at,
        }
    }

    fn why(&self, claim: &Claim) -> String {
        let segment = self.key.segment();
        let at = self.at;
        if at == 0 {
            return format!(
                "segment {segment}: its header at offset 0 is damaged, but a valid frame with \
                 entries from {} stands behind it at offset {}",
                claim.first_seq, claim.offset,
            );
        }
        format!(
            "segment {segment}: the frame at offset {at} is damaged, but the frame at offset {} \
             says that all bytes below {} and all entries below {} were durable",
            claim.offset, claim.durable_offset, claim.durable,
        )
    }
}
