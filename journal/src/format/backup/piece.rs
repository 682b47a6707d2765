//! Pieces: runs of entries in a backup.
//!
//! A piece is [`PIECE_HEADER`] bytes and a body. In the body of a state's piece
//! each entry is a varint with its length and its bytes, as in a frame. In one of
//! journal entries the change of the clock since the entry before comes first
//! (since the header's, for the first), in ms as a zigzag varint.

use super::corrupt;
use crate::format::codec::Fields;
use bytes::Bytes;
use flushproof_api::{Epoch, Result, SeqNo};

/// Bytes of a piece before its body.
pub(super) const PIECE_HEADER: usize = 40;

/// What a piece holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PieceKind {
    /// Entries of the checkpoint at the backup's beginning, numbered from 0.
    State = 1,
    /// Entries of the journal.
    Entries = 2,
    /// No entries: those from the first number up to another were lost, and the loss
    /// was accepted.
    Gap = 3,
}

/// The first bytes of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceHeader {
    /// What it holds.
    pub kind: PieceKind,
    /// How many entries; at least 1, but for a gap.
    pub count: u32,
    /// Bytes of the body.
    pub body_len: u32,
    /// The number of the first entry.
    pub first: SeqNo,
    /// The epoch in which they were written; none of a state.
    pub epoch: Epoch,
    /// The clock of the first entry, in ms since 1970; of a state 0. Of a gap the
    /// number after the last lost entry.
    pub clock_ms: u64,
}

impl PieceHeader {
    pub(super) fn encode(&self) -> [u8; PIECE_HEADER] {
        let mut out = [0; PIECE_HEADER];
        out[0] = self.kind as u8;
        out[4..8].copy_from_slice(&self.count.to_le_bytes());
        out[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.epoch.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.clock_ms.to_le_bytes());
        out
    }

    fn decode(raw: &[u8; PIECE_HEADER]) -> Option<PieceHeader> {
        let mut fields = Fields(raw);
        let kind = match fields.bytes::<4>()? {
            [1, 0, 0, 0] => PieceKind::State,
            [2, 0, 0, 0] => PieceKind::Entries,
            [3, 0, 0, 0] => PieceKind::Gap,
            _ => return None,
        };
        let (count, body_len) = (fields.u32()?, fields.u32()?);
        if fields.u32()? != 0 || (count == 0) != (kind == PieceKind::Gap) {
            return None;
        }
        let first = SeqNo(fields.u64()?);
        first.checked_add(u64::from(count))?;
        let header = PieceHeader {
            kind,
            count,
            body_len,
            first,
            epoch: Epoch(fields.u64()?),
            clock_ms: fields.u64()?,
        };
        (kind != PieceKind::Gap || header.clock_ms > first.0).then_some(header)
    }

    /// The number after the last entry.
    pub fn end(&self) -> SeqNo {
        if self.kind == PieceKind::Gap {
            return SeqNo(self.clock_ms);
        }
        SeqNo(self.first.0.saturating_add(u64::from(self.count)))
    }
}

/// A piece whose body holds exactly the entries that its header announces.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its header.
    pub header: PieceHeader,
    body: Bytes,
}

impl Piece {
    /// Takes the next piece off the front of what a member holds.
    pub(super) fn take(raw: &mut Bytes) -> Result<Piece> {
        let header = raw.first_chunk().and_then(PieceHeader::decode);
        let header = header.ok_or_else(|| corrupt("a piece's header is malformed"))?;
        let end = PIECE_HEADER + header.body_len as usize;
        if raw.len() < end {
            return Err(corrupt("a piece is longer than its member"));
        }
        let body = raw.split_to(end).slice(PIECE_HEADER..);
        let piece = Piece { header, body };
        let mut entries = piece.entries();
        let count = entries.by_ref().count();
        match count == header.count as usize && entries.at == piece.body.len() {
            true => Ok(piece),
            false => Err(corrupt("a piece's entries are malformed")),
        }
    }

    /// Its entries: number, clock, bytes.
    pub fn entries(&self) -> PieceEntries {
        PieceEntries {
            clocked: self.header.kind == PieceKind::Entries,
            body: self.body.clone(),
            at: 0,
            left: self.header.count,
            seq: self.header.first,
            clock_ms: self.header.clock_ms,
        }
    }
}

/// The entries of a [`Piece`]: number, clock in ms, bytes.
#[derive(Clone, Debug)]
pub struct PieceEntries {
    clocked: bool,
    body: Bytes,
    at: usize,
    left: u32,
    seq: SeqNo,
    clock_ms: u64,
}

impl PieceEntries {
    /// A varint of at most ten bytes, in its shortest form.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for i in 0..10 {
            let byte = *self.body.get(self.at + i)?;
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return (i == 0 || byte != 0).then_some(value);
            }
        }
        None
    }
}

impl Iterator for PieceEntries {
    type Item = (SeqNo, u64, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.clocked {
            let moved = unzigzag(self.varint()?);
            self.clock_ms = self.clock_ms.wrapping_add_signed(moved);
        }
        let len = usize::try_from(self.varint()?).ok()?;
        let end = self.at.checked_add(len).filter(|e| *e <= self.body.len())?;
        let bytes = self.body.slice(self.at..end);
        self.at = end;
        let seq = self.seq;
        self.seq = seq.next();
        Some((seq, self.clock_ms, bytes))
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign as small numbers.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
