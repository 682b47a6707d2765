//! A checkpoint: one object that holds a row of entries.
//!
//! Its head is an [`object`] envelope of [`CHECKPOINT_HEAD`] bytes. Frames
//! follow, as in a segment, with the index [`CHECKPOINT_INDEX`] and a grain of
//! 64: entries numbered from 0, then a seal. Each carries the head's time, so
//! that frames of two checkpoints never mix.

use super::codec::Fields;
use super::names::CheckpointId;
use super::object::{self, ENVELOPE, ObjectKind};
use super::scan::read_exact;
use super::{
    CHECKPOINT_INDEX, FRAME_HEADER, Frame, FrameHeader, FrameKind, JournalId, MAX_BODY, MIN_GRAIN,
    Scanned, Scanner, SegmentKey, entry_overhead, put_entry, seal_frame,
};
use bytes::Bytes;
use flushproof_api::{Epoch, Error, ErrorKind, Reader, Result, SeqNo};
use std::sync::Arc;

/// Bytes before the first frame.
pub const CHECKPOINT_HEAD: usize = ENVELOPE + 24;
/// A frame is closed when its body reaches this length.
const TARGET_BODY: usize = 256 * 1024;

/// What a checkpoint says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointHead {
    /// Which checkpoint: the same as in its name.
    pub id: CheckpointId,
    /// When, in milliseconds since 1970.
    pub created_ms: u64,
}

impl CheckpointHead {
    /// The first [`CHECKPOINT_HEAD`] bytes of the object.
    pub fn encode(&self, journal: JournalId) -> Bytes {
        let mut body = Vec::with_capacity(24);
        body.extend_from_slice(&self.id.next_seq.0.to_le_bytes());
        body.extend_from_slice(&self.id.epoch.0.to_le_bytes());
        body.extend_from_slice(&self.created_ms.to_le_bytes());
        object::encode(ObjectKind::Checkpoint, journal, &body)
    }

    /// Reads the first [`CHECKPOINT_HEAD`] bytes of the object; more is ignored.
    ///
    /// # Errors
    /// `NewerFormat`, `Corrupt`.
    pub fn decode(bytes: &Bytes) -> Result<(JournalId, CheckpointHead)> {
        let decoded = object::decode_head(bytes, ObjectKind::Checkpoint)?;
        let mut fields = Fields(&decoded.body);
        Self::fields(&mut fields)
            .filter(|_| fields.end().is_some())
            .map(|head| (decoded.id, head))
            .ok_or_else(|| corrupt("the head of the checkpoint is malformed"))
    }

    fn fields(f: &mut Fields<'_>) -> Option<CheckpointHead> {
        Some(CheckpointHead {
            id: CheckpointId {
                next_seq: SeqNo(f.u64()?),
                epoch: Epoch(f.u64()?),
            },
            created_ms: f.u64()?,
        })
    }
}

fn corrupt(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, text)
}

/// Turns entries into the bytes of a checkpoint, piece by piece.
#[derive(Debug)]
pub struct CheckpointEncoder {
    head: CheckpointHead,
    key: SegmentKey,
    /// The frame in the making, its header still empty.
    buf: Vec<u8>,
    offset: u64,
    first: SeqNo,
    count: u32,
}

impl CheckpointEncoder {
    /// An encoder and the object's first bytes. `key` gives journal, secret and
    /// epoch; the head's epoch and the index are set from and for it.
    pub fn new(key: SegmentKey, next_seq: SeqNo, created_ms: u64) -> (CheckpointEncoder, Bytes) {
        let head = CheckpointHead {
            id: CheckpointId {
                next_seq,
                epoch: key.epoch,
            },
            created_ms,
        };
        let encoder = CheckpointEncoder {
            head,
            key: SegmentKey {
                index: CHECKPOINT_INDEX,
                ..key
            },
            buf: vec![0; FRAME_HEADER],
            offset: CHECKPOINT_HEAD as u64,
            first: SeqNo::ZERO,
            count: 0,
        };
        (encoder, head.encode(key.journal))
    }

    /// Adds an entry; gives bytes to write when enough have come together.
    ///
    /// # Errors
    /// `TooLarge` when the entry does not fit in a frame; nothing was added.
    pub fn push(&mut self, entry: &[u8]) -> Result<Option<Bytes>> {
        let needs = entry.len().saturating_add(entry_overhead(entry.len()));
        if needs > MAX_BODY {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "an entry of {} bytes does not fit in a frame of {MAX_BODY} bytes",
                    entry.len()
                ),
            ));
        }
        let body = self.buf.len() - FRAME_HEADER;
        let full = body >= TARGET_BODY || (body > 0 && needs > MAX_BODY - body);
        let out = full.then(|| self.close_frame(FrameKind::Entries));
        put_entry(&mut self.buf, entry);
        self.count += 1;
        Ok(out)
    }

    /// The last bytes: what is left, and the seal.
    pub fn finish(mut self) -> Bytes {
        let mut out = Vec::new();
        if self.count > 0 {
            out.extend_from_slice(&self.close_frame(FrameKind::Entries));
        }
        out.extend_from_slice(&self.close_frame(FrameKind::Seal));
        out.into()
    }

    fn close_frame(&mut self, kind: FrameKind) -> Bytes {
        let mut frame = std::mem::replace(&mut self.buf, vec![0; FRAME_HEADER]);
        let header = FrameHeader {
            kind,
            body_len: (frame.len() - FRAME_HEADER) as u32,
            first_seq: self.first,
            count: self.count,
            epoch: self.key.epoch,
            durable: SeqNo::ZERO,
            durable_offset: 0,
            clock_ms: self.head.created_ms,
        };
        seal_frame(&mut frame, &header, &self.key, self.offset);
        frame.resize(frame.len().next_multiple_of(MIN_GRAIN as usize), 0);
        self.offset += frame.len() as u64;
        self.first = header.end_seq();
        self.count = 0;
        frame.into()
    }
}

/// Reads a checkpoint and checks all of it.
#[derive(Debug)]
pub struct CheckpointReader {
    head: CheckpointHead,
    scanner: Scanner,
    sealed: bool,
}

impl CheckpointReader {
    /// Reads the head and compares it with what the object's name and the key say.
    ///
    /// # Errors
    /// Those of the reader; `NewerFormat`; `Corrupt` also when it is another
    /// checkpoint than `id` or of another journal than the key's.
    /// # Cancel safety
    /// Safe.
    pub async fn open(
        reader: Arc<dyn Reader>,
        key: SegmentKey,
        id: CheckpointId,
    ) -> Result<CheckpointReader> {
        let len = reader.len().await?;
        let bytes = read_exact(&*reader, 0, len.min(CHECKPOINT_HEAD as u64)).await?;
        let (journal, head) = CheckpointHead::decode(&bytes)?;
        if journal != key.journal || head.id != id || head.id.epoch != key.epoch {
            return Err(corrupt(format!(
                "the object is the checkpoint {}-{} of journal {journal}",
                head.id.next_seq, head.id.epoch
            )));
        }
        let key = SegmentKey {
            index: CHECKPOINT_INDEX,
            ..key
        };
        let scanner = Scanner::new(reader, key, MIN_GRAIN, CHECKPOINT_HEAD as u64, len)
            .expecting(SeqNo::ZERO);
        Ok(CheckpointReader {
            head,
            scanner,
            sealed: false,
        })
    }

    /// What the checkpoint says about itself.
    pub fn head(&self) -> &CheckpointHead {
        &self.head
    }

    /// The next frame of entries; `None` once the seal was found at the very
    /// end: only then is the checkpoint whole.
    ///
    /// # Errors
    /// Those of the reader; `Corrupt`.
    /// # Cancel safety
    /// Safe.
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.scanner.next().await? {
                Scanned::End if self.sealed => return Ok(None),
                Scanned::End => return Err(corrupt("the checkpoint has no end")),
                Scanned::Bad { offset, why } => {
                    return Err(corrupt(format!(
                        "the checkpoint is damaged at offset {offset}: {why}"
                    )));
                }
                Scanned::Frame(frame) => {
                    if self.sealed || frame.header.clock_ms != self.head.created_ms {
                        return Err(corrupt(format!(
                            "the frame at offset {} does not belong to the checkpoint",
                            frame.offset
                        )));
                    }
                    match frame.header.kind {
                        FrameKind::Entries => return Ok(Some(frame)),
                        FrameKind::Seal => self.sealed = true,
                        FrameKind::Header | FrameKind::Mark => {
                            return Err(corrupt(format!(
                                "the frame at offset {} has no place in a checkpoint",
                                frame.offset
                            )));
                        }
                    }
                }
            }
        }
    }
}
