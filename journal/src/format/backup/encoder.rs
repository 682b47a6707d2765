//! [`BackupEncoder`]: entries into the unpacked parts of a backup, one a member.

use super::piece::{PIECE_HEADER, put_varint, zigzag};
use super::{BackupHeader, BackupTrailer, PieceHeader, PieceKind, corrupt};
use crate::format::put_entry;
use bytes::Bytes;
use flushproof_api::{Epoch, Error, ErrorKind, Result, SeqNo};
use sha2::{Digest, Sha256};

/// A member is closed when it holds so much, unless told otherwise.
const TARGET: usize = 1 << 20;
/// A piece is closed when its body is so long: who reads holds a piece at a time.
const PIECE: usize = 256 << 10;

/// Makes the parts of a backup, each to be [packed](super::pack) and written in order.
#[derive(Debug)]
pub struct BackupEncoder {
    header: BackupHeader,
    /// The member in the making.
    part: Vec<u8>,
    /// Memory for the next one.
    spare: Vec<u8>,
    /// A member is closed when it holds so much.
    target: usize,
    /// The piece in the making: where its header stands in `part`.
    piece: Option<(usize, PieceHeader)>,
    /// The clock of the entry before.
    clock_ms: u64,
    state_entries: u64,
    /// How many entries lie in gaps.
    lost: u64,
    /// The number of the next entry.
    next: SeqNo,
    sha256: Sha256,
}

impl BackupEncoder {
    /// An encoder, and the first part.
    pub fn new(header: BackupHeader) -> (BackupEncoder, Bytes) {
        let text = Bytes::from(header.encode());
        let encoder = BackupEncoder {
            part: Vec::new(),
            spare: Vec::new(),
            target: TARGET,
            piece: None,
            clock_ms: 0,
            state_entries: 0,
            lost: 0,
            next: header.first,
            sha256: Sha256::new_with_prefix(&text),
            header,
        };
        (encoder, text)
    }

    /// The same encoder with shorter or longer parts.
    #[must_use]
    pub fn with_parts_of(mut self, bytes: usize) -> BackupEncoder {
        self.target = bytes.clamp(4 << 10, TARGET);
        self
    }

    /// Gives the memory of a part back that was packed.
    pub(crate) fn recycle(&mut self, mut memory: Vec<u8>) {
        memory.clear();
        // That of a long entry is not kept.
        memory.shrink_to(2 * TARGET);
        self.spare = memory;
    }

    /// Adds an entry of the state; all of them come before the journal's.
    ///
    /// # Errors
    /// `InvalidInput` behind entries of the journal, or where the header has no checkpoint.
    pub fn state(&mut self, entry: &[u8]) -> Result<Option<Bytes>> {
        if !self.header.checkpoint || self.next != self.header.first {
            return Err(misuse("an entry of the state has no place here"));
        }
        let full = self.make_room(entry.len());
        let first = SeqNo(self.state_entries);
        self.piece(PieceKind::State, first, Epoch::NONE, 0);
        put_entry(&mut self.part, entry);
        self.state_entries += 1;
        self.added();
        Ok(full)
    }

    /// Adds the next entry of the journal; says a part to write when one is full.
    ///
    /// # Errors
    /// `InvalidInput` when `seq` does not come next.
    pub fn entry(
        &mut self,
        seq: SeqNo,
        epoch: Epoch,
        clock: u64,
        entry: &[u8],
    ) -> Result<Option<Bytes>> {
        if seq != self.next || seq >= self.header.end {
            return Err(misuse(format!("entry {seq} has no place here")));
        }
        let full = self.make_room(entry.len());
        self.piece(PieceKind::Entries, seq, epoch, clock);
        let moved = clock.wrapping_sub(self.clock_ms) as i64;
        put_varint(&mut self.part, zigzag(moved));
        put_entry(&mut self.part, entry);
        self.clock_ms = clock;
        self.next = seq.next();
        self.added();
        Ok(full)
    }

    /// Notes that the entries up to `end` were lost.
    ///
    /// # Errors
    /// `InvalidInput` when there is nothing between the last entry and `end`.
    pub fn gap(&mut self, end: SeqNo) -> Result<()> {
        if end <= self.next || end > self.header.end {
            return Err(misuse(format!("a gap up to {end} has no place here")));
        }
        self.close_piece();
        let header = PieceHeader {
            kind: PieceKind::Gap,
            count: 0,
            body_len: 0,
            first: self.next,
            epoch: Epoch::NONE,
            clock_ms: end.0,
        };
        self.part.extend_from_slice(&header.encode());
        self.lost += end.0 - self.next.0;
        self.next = end;
        Ok(())
    }

    /// The last parts: what is left, if anything, and the trailer.
    ///
    /// # Errors
    /// `Corrupt` when entries up to the header's end are missing.
    pub fn finish(mut self) -> Result<(Option<Bytes>, Bytes)> {
        if self.next != self.header.end {
            return Err(corrupt(format!(
                "entries from {} up to {} are missing",
                self.next, self.header.end
            )));
        }
        let rest = self.close_part();
        let trailer = BackupTrailer {
            state_entries: self.state_entries,
            entries: self.header.end.0 - self.header.first.0 - self.lost,
            sha256: self.sha256.finalize().into(),
        };
        Ok((rest, trailer.encode().into()))
    }

    /// Opens a piece, unless one of this kind and epoch is open.
    fn piece(&mut self, kind: PieceKind, first: SeqNo, epoch: Epoch, clock_ms: u64) {
        let fits = |h: &PieceHeader| h.kind == kind && h.epoch == epoch;
        if self.piece.as_ref().is_some_and(|(_, h)| fits(h)) {
            return;
        }
        self.close_piece();
        let header = PieceHeader {
            kind,
            count: 0,
            body_len: 0,
            first,
            epoch,
            clock_ms,
        };
        self.piece = Some((self.part.len(), header));
        self.part.resize(self.part.len() + PIECE_HEADER, 0);
        self.clock_ms = clock_ms;
    }

    fn added(&mut self) {
        let len = self.part.len();
        if let Some((at, header)) = &mut self.piece {
            header.count += 1;
            if len - *at >= PIECE.min(self.target) {
                self.close_piece();
            }
        }
    }

    fn close_piece(&mut self) {
        if let Some((at, mut header)) = self.piece.take() {
            header.body_len = (self.part.len() - at - PIECE_HEADER) as u32;
            self.part[at..at + PIECE_HEADER].copy_from_slice(&header.encode());
        }
    }

    /// Closes the part when it is full, or an entry of `len` bytes would make it long.
    fn make_room(&mut self, len: usize) -> Option<Bytes> {
        let full = self.part.len() >= self.target || (!self.part.is_empty() && len >= TARGET);
        full.then(|| self.close_part()).flatten()
    }

    fn close_part(&mut self) -> Option<Bytes> {
        self.close_piece();
        if self.part.is_empty() {
            return None;
        }
        let mut next = std::mem::take(&mut self.spare);
        next.reserve(self.target + (self.target >> 2));
        let part = std::mem::replace(&mut self.part, next);
        self.sha256.update(&part);
        Some(part.into())
    }
}

fn misuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}
