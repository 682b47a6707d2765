//! What was salvaged, as a stream of entries.

use super::notes::Notes;
use super::pieces::{Piece, Pieces};
use crate::Entry;
use crate::chain;
use crate::commit::serving::Context;
use crate::format::{Entries, Frame, FrameKind, Scanned, Scanner, names};
use flushproof_api::{Error, Result, Source};
use std::collections::VecDeque;
use std::fmt;

/// The entries of a [`Salvage`](crate::Salvage), in order of their numbers. Where entries
/// are lost the numbers jump.
///
/// Memory: two windows of 1 MiB and the longest frame.
pub struct SalvagedEntries {
    context: Context,
    pieces: VecDeque<Piece>,
    scanner: Option<Scanner>,
    frame: Option<(Frame, Entries)>,
}

impl SalvagedEntries {
    pub(super) fn new(context: Context, pieces: impl Iterator<Item = Piece>) -> SalvagedEntries {
        SalvagedEntries {
            context,
            pieces: pieces.collect(),
            scanner: None,
            frame: None,
        }
    }

    /// The next entry; `None` behind the last.
    ///
    /// # Errors
    /// The store's; `Corrupt` when what was whole is not any more.
    /// # Cancel safety
    /// Safe: no entry is lost.
    pub async fn next(&mut self) -> Result<Option<Entry>> {
        while let Some(piece) = self.pieces.front().copied() {
            if let Some((frame, entries)) = &mut self.frame {
                if let Some((seq, bytes)) = entries.next().filter(|(seq, _)| *seq < piece.end) {
                    return Ok(Some(Entry {
                        seq,
                        bytes,
                        epoch: frame.header.epoch,
                        clock_ms: frame.header.clock_ms,
                    }));
                }
                if frame.header.end_seq() >= piece.end {
                    self.pieces.pop_front();
                    self.scanner = None;
                }
                self.frame = None;
                continue;
            }
            self.next_frame(&piece).await?;
        }
        Ok(None)
    }

    /// Reads up to the next frame with entries of the piece.
    async fn next_frame(&mut self, piece: &Piece) -> Result<()> {
        loop {
            let Some(scanner) = &mut self.scanner else {
                self.scanner = Some(self.open(piece).await?);
                continue;
            };
            match scanner.next().await? {
                Scanned::Frame(frame) => {
                    let header = &frame.header;
                    if header.kind == FrameKind::Entries && header.end_seq() > piece.first {
                        let mut entries = frame.entries();
                        entries.skip_to(piece.first);
                        self.frame = Some((frame, entries));
                        return Ok(());
                    }
                }
                Scanned::Bad { offset, why } => return Err(changed(piece, offset, &why)),
                Scanned::End => return Err(changed(piece, piece.run.limit, &"it is too short")),
            }
        }
    }

    async fn open(&self, piece: &Piece) -> Result<Scanner> {
        let path = names::log_path(piece.key.segment())?;
        let Some(reader) = self.context.io().open(&path, Source::Medium).await? else {
            return Err(chain::gone(piece.key.segment()));
        };
        let run = &piece.run;
        if reader.len().await? < run.limit {
            return Err(changed(piece, run.limit, &"the log is shorter now"));
        }
        let scanner = Scanner::new(reader, piece.key, run.grain, run.offset, run.limit);
        Ok(scanner.expecting(run.first))
    }
}

fn changed(piece: &Piece, offset: u64, why: &dyn fmt::Display) -> Error {
    chain::corrupt(
        piece.key.segment(),
        offset,
        format!("what was whole a moment ago is not any more: {why}"),
    )
}

impl fmt::Debug for SalvagedEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SalvagedEntries")
            .field("pieces", &self.pieces.len())
            .finish()
    }
}

/// Two whole copies of an entry must be the same: notes where they are not.
pub(super) async fn compare(
    context: &Context,
    pieces: &Pieces,
    doubles: Vec<Piece>,
    notes: &mut Notes,
) -> Result<()> {
    for double in doubles {
        let chosen = pieces.within(double.first, double.end);
        let mut chosen = SalvagedEntries::new(context.clone(), chosen);
        let mut copies = SalvagedEntries::new(context.clone(), [double].into_iter());
        while let (Some(a), Some(b)) = (chosen.next().await?, copies.next().await?) {
            if a.bytes != b.bytes {
                notes.add(format!(
                    "entry {} differs between epoch {} and epoch {}: the later one's is taken",
                    a.seq, b.epoch, a.epoch
                ));
            }
        }
    }
    Ok(())
}
