//! Where bytes come from that are not a segment's own: they are tried under the other
//! keys that are known, a bounded number for each place.

use crate::format::{
    CHECKPOINT_INDEX, FRAME_HEADER, FrameKind, JournalId, MAX_BODY, Nonce, SEGMENT_HEADER_BODY,
    SegmentId, SegmentKey, parse_header,
};
use flushproof_api::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Bytes of a place that are looked at: a segment's header frame.
pub(super) const LOOK: usize = FRAME_HEADER + SEGMENT_HEADER_BODY;
/// So many indexes of an epoch are tried, and so many offsets of a segment.
const TRIES: u64 = 4096;
/// Indexes beside those that are listed.
const BESIDE: u64 = 64;
/// Frames start at multiples of it.
const STEP: u64 = 64;

/// What the bytes of a place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing but zeros.
    Nothing,
    /// This very segment's frame header of this very place.
    Own,
    /// A frame of this segment that belongs to another offset.
    Moved(u64),
    /// A frame of another segment of this journal, of this offset in it.
    Segment(SegmentId, u64),
    /// A frame of one of this journal's checkpoints.
    Checkpoint(Epoch),
    /// Of another journal: the one that is named, where it left its claims.
    Foreign(Option<JournalId>),
    /// It reads as a frame of another epoch, but nothing proves it.
    Strange,
    /// Nothing that is known.
    Unknown,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Nothing => f.write_str("nothing but zeros stands there"),
            Origin::Own => f.write_str("its frame header is whole"),
            Origin::Moved(at) => write!(f, "this segment's frame of offset {at} stands there"),
            Origin::Segment(id, at) => {
                write!(f, "the frame of offset {at} of segment {id} stands there")
            }
            Origin::Checkpoint(epoch) => {
                write!(f, "a frame of a checkpoint of epoch {epoch} stands there")
            }
            Origin::Foreign(Some(id)) => write!(f, "a frame of journal {id} stands there"),
            Origin::Foreign(None) => f.write_str("a frame of another journal stands there"),
            Origin::Strange => f.write_str("it is not this segment's; perhaps foreign"),
            Origin::Unknown => f.write_str("its bytes are of no known origin"),
        }
    }
}

/// The secrets that claims and starts hold, and which segments there may be.
#[derive(Debug)]
pub(super) struct Secrets {
    journal: JournalId,
    epochs: BTreeMap<Epoch, Vec<(JournalId, Nonce)>>,
    nonces: BTreeSet<[u8; 16]>,
    /// The lowest and the highest index that is listed.
    indexes: BTreeMap<Epoch, (u64, u64)>,
}

/// The plain fields of a frame header that make sense.
struct Plain {
    kind: u8,
    epoch: Epoch,
    durable_offset: u64,
}

impl Secrets {
    pub(super) fn new(journal: JournalId) -> Secrets {
        Secrets {
            journal,
            epochs: BTreeMap::new(),
            nonces: BTreeSet::new(),
            indexes: BTreeMap::new(),
        }
    }

    /// A claim or start was read.
    pub(super) fn learn(&mut self, journal: JournalId, epoch: Epoch, nonce: Nonce) {
        self.nonces.insert(nonce.0);
        let known = self.epochs.entry(epoch).or_default();
        if !known.contains(&(journal, nonce)) {
            known.push((journal, nonce));
        }
    }

    /// A segment was listed.
    pub(super) fn listed(&mut self, id: SegmentId) {
        let range = self.indexes.entry(id.epoch).or_insert((id.index, id.index));
        *range = (range.0.min(id.index), range.1.max(id.index));
    }

    /// The nonce of an epoch of this journal.
    pub(super) fn nonce(&self, epoch: Epoch) -> Option<Nonce> {
        let known = self.epochs.get(&epoch)?;
        known.iter().find(|k| k.0 == self.journal).map(|k| k.1)
    }

    /// What `bytes` are, which stand at `offset` of the segment `own`.
    pub(super) fn origin(&self, bytes: &[u8], own: &SegmentKey, offset: u64) -> Origin {
        if bytes.iter().all(|b| *b == 0) {
            return Origin::Nothing;
        }
        let Some(raw) = bytes.first_chunk::<FRAME_HEADER>() else {
            return Origin::Unknown;
        };
        let Some(plain) = plain(raw) else {
            return Origin::Unknown;
        };
        let fits = |key: &SegmentKey, at: u64| parse_header(raw, key, at).is_ok();
        if fits(own, offset) {
            return Origin::Own;
        }
        if plain.epoch == own.epoch
            && let Some(at) = offsets(offset, plain.durable_offset).find(|at| fits(own, *at))
        {
            return Origin::Moved(at);
        }
        for (journal, nonce) in self.epochs.get(&plain.epoch).into_iter().flatten() {
            for index in self.candidates(plain.epoch, own.index) {
                let key = SegmentKey {
                    journal: *journal,
                    nonce: *nonce,
                    epoch: plain.epoch,
                    index,
                };
                let at = [offset, plain.durable_offset];
                if let Some(at) = at.into_iter().find(|at| fits(&key, *at)) {
                    return self.proven(&key, at);
                }
            }
        }
        self.unproven(bytes, &plain, own)
    }

    fn proven(&self, key: &SegmentKey, at: u64) -> Origin {
        if key.journal != self.journal {
            Origin::Foreign(Some(key.journal))
        } else if key.index == CHECKPOINT_INDEX {
            Origin::Checkpoint(key.epoch)
        } else {
            Origin::Segment(key.segment(), at)
        }
    }

    /// A header frame carries its secret in the clear: one that no claim and no start of
    /// this place has is another journal's.
    fn unproven(&self, bytes: &[u8], plain: &Plain, own: &SegmentKey) -> Origin {
        let copy = bytes
            .get(FRAME_HEADER..)
            .and_then(|b| b.first_chunk::<16>());
        let is_header = plain.kind == FrameKind::Header as u8;
        match copy {
            Some(copy) if is_header && !self.nonces.contains(copy) => Origin::Foreign(None),
            _ if plain.epoch != own.epoch => Origin::Strange,
            _ => Origin::Unknown,
        }
    }

    fn candidates(&self, epoch: Epoch, own: u64) -> impl Iterator<Item = u64> + use<> {
        let (low, high) = self.indexes.get(&epoch).copied().unwrap_or((own, own));
        let high = high.saturating_add(BESIDE).min(CHECKPOINT_INDEX - 1);
        let low = low
            .saturating_sub(BESIDE)
            .max(high.saturating_sub(TRIES - 1));
        (low..=high)
            .chain(0..BESIDE.min(low))
            .chain(std::iter::once(CHECKPOINT_INDEX))
    }
}

/// Other offsets that a frame may belong to: what it says of itself, and those near by.
fn offsets(own: u64, durable: u64) -> impl Iterator<Item = u64> {
    let low = own.saturating_sub(TRIES / 2 * STEP);
    let near = (0..TRIES).filter_map(move |n| low.checked_add(n * STEP));
    std::iter::once(durable).chain(near)
}

/// Cheap refusals first: few bytes that are no frame header have fields that make sense.
fn plain(raw: &[u8; FRAME_HEADER]) -> Option<Plain> {
    let number = |at: usize| {
        let bytes = raw.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let len = number(8)? & 0xffff_ffff;
    let count = number(24)? & 0xffff_ffff;
    let (kind, reserved) = raw.get(12..16)?.split_first()?;
    let reserved = reserved.iter().all(|b| *b == 0) && number(24)? >> 32 == 0;
    let sense = match kind {
        1 => len == SEGMENT_HEADER_BODY as u64 && count == 0,
        2 => (1..=MAX_BODY as u64).contains(&len) && (1..=len).contains(&count),
        3 | 4 => len == 0 && count == 0,
        _ => false,
    };
    let claims = number(40)? <= number(16)?;
    (sense && reserved && claims).then_some(Plain {
        kind: *kind,
        epoch: Epoch(number(32)?),
        durable_offset: number(48)?,
    })
}
