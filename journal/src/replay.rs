//! [`Replay`]: the checkpoint and the entries behind it, as a stream.

use crate::chain::{self, Segment};
use crate::checkpoint::CheckpointEntries;
use crate::commit::serving::Context;
use crate::format::{Entries, FrameKind, Scanned, Scanner};
use bytes::Bytes;
use flushproof_api::{Epoch, Result, SeqNo};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

/// One entry, as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: SeqNo,
    /// Its bytes: a slice of a buffer of about 1 MiB, which it keeps alive.
    pub bytes: Bytes,
    /// The epoch in whose segment it lies.
    pub epoch: Epoch,
    /// The writer's wall clock when its group was flushed, in ms since 1970.
    pub clock_ms: u64,
}

/// One item of a replay.
#[derive(Debug)]
pub enum Item {
    /// Replace the state by what these entries recreate.
    Checkpoint(CheckpointEntries),
    /// Apply this entry.
    Entry(Entry),
}

/// Reads a row of segments in order. Memory: two windows of 1 MiB and the
/// longest frame, whatever the journal's size; a row of about 150 bytes for
/// each segment.
pub struct Replay {
    context: Context,
    checkpoint: Option<CheckpointEntries>,
    segments: VecDeque<Segment>,
    scanner: Option<Scanner>,
    entries: Option<Frame>,
    /// The next entry to return.
    next: SeqNo,
    /// The replay ends here.
    end: SeqNo,
    durable: SeqNo,
}

/// The entries of the frame that is being read.
struct Frame {
    entries: Entries,
    epoch: Epoch,
    clock_ms: u64,
}

impl Replay {
    /// Entries `begin..end` of a chain, the oldest segment first.
    pub(crate) fn new(
        context: Context,
        checkpoint: Option<CheckpointEntries>,
        segments: VecDeque<Segment>,
        range: Range<SeqNo>,
    ) -> Replay {
        Replay {
            context,
            checkpoint,
            segments,
            scanner: None,
            entries: None,
            next: range.start,
            end: range.end,
            durable: range.end,
        }
    }

    /// The same replay, told which of its entries are certainly durable.
    pub(crate) fn durable_below(mut self, durable: SeqNo) -> Replay {
        self.durable = durable;
        self
    }

    /// The same replay, ending at `end` at the latest.
    #[must_use]
    pub fn until(mut self, end: SeqNo) -> Replay {
        self.end = self.end.min(end);
        self
    }

    /// Every entry below it was certainly acknowledged or attested; those from
    /// there on are undecided: whole, but the next primary may not find them.
    pub fn durable(&self) -> SeqNo {
        self.durable
    }

    /// The number of the next entry.
    pub fn next_seq(&self) -> SeqNo {
        self.next
    }

    /// The number after the last entry that the replay returns.
    pub fn end(&self) -> SeqNo {
        self.end
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// The store's; `Corrupt` with segment, offset and sequence range.
    /// # Cancel safety
    /// Safe: no item is lost.
    #[inline]
    pub async fn next(&mut self) -> Result<Option<Item>> {
        if let Some(entry) = self.buffered() {
            return Ok(Some(Item::Entry(entry)));
        }
        self.read_on().await
    }

    /// The next entry of the frame that was read last.
    #[inline]
    fn buffered(&mut self) -> Option<Entry> {
        if self.next >= self.end {
            return None;
        }
        let frame = self.entries.as_mut()?;
        let (seq, bytes) = frame.entries.next()?;
        self.next = seq.next();
        Some(Entry {
            seq,
            bytes,
            epoch: frame.epoch,
            clock_ms: frame.clock_ms,
        })
    }

    async fn read_on(&mut self) -> Result<Option<Item>> {
        if let Some(checkpoint) = self.checkpoint.take() {
            return Ok(Some(Item::Checkpoint(checkpoint)));
        }
        loop {
            if let Some(entry) = self.buffered() {
                return Ok(Some(Item::Entry(entry)));
            }
            self.entries = None;
            if self.next >= self.end || !self.next_frame().await? {
                return Ok(None);
            }
        }
    }

    /// Reads up to the next frame with entries that are wanted. `false`: the
    /// chain is at its end.
    async fn next_frame(&mut self) -> Result<bool> {
        loop {
            let Some(segment) = self.segments.front() else {
                return Ok(false);
            };
            let Some(scanner) = &mut self.scanner else {
                let opened = segment.scanner(&self.context).await?;
                self.scanner = Some(opened.ok_or_else(|| missing(segment))?);
                continue;
            };
            match scanner.next().await? {
                Scanned::Frame(frame) => {
                    let header = &frame.header;
                    if header.kind != FrameKind::Entries || header.end_seq() <= self.next {
                        continue;
                    }
                    let mut entries = frame.entries();
                    entries.skip_to(self.next);
                    self.entries = Some(Frame {
                        entries,
                        epoch: header.epoch,
                        clock_ms: header.clock_ms,
                    });
                    return Ok(true);
                }
                Scanned::Bad { offset, why } => {
                    return Err(chain::damaged(segment, offset, &why));
                }
                Scanned::End => {
                    let reached = scanner.next_seq().unwrap_or(segment.first_seq);
                    if reached != segment.end_seq {
                        return Err(chain::corrupt(
                            segment.id(),
                            segment.end,
                            format!(
                                "the segment's entries end at {reached}, but its successor \
                                 continues at {}",
                                segment.end_seq
                            ),
                        ));
                    }
                    self.scanner = None;
                    self.segments.pop_front();
                }
            }
        }
    }
}

fn missing(segment: &Segment) -> flushproof_api::Error {
    chain::gone(segment.id())
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("next", &self.next)
            .field("end", &self.end)
            .finish()
    }
}
