//! [`Follow`]: durable entries as they come.

mod standby;

pub use standby::Standby;

use crate::chain::{self, Opened, Segment};
use crate::checkpoint::{self, CheckpointEntries};
use crate::commit::serving::Context;
use crate::format::object::StartObject;
use crate::format::{Entries, Frame, FrameKind, Prev, Scanned, Scanner, SegmentId, names};
use crate::objects::Starts;
use crate::replay::Entry;
use crate::view::{View, settled};
use flushproof_api::{Epoch, Error, ErrorKind, Result, SeqNo, Source};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One item of a follower.
#[derive(Debug)]
pub enum FollowItem {
    /// Replace the state by what these entries recreate: at the beginning, and
    /// again when the follower was so slow that what it needs was trimmed.
    Checkpoint(CheckpointEntries),
    /// Apply this entry; it is durable.
    Entry(Entry),
    /// Nothing more is durable now; said once each time the end is reached.
    CaughtUp,
}

/// Follows a journal as it grows. Only entries below a durable mark, in
/// contiguous valid frames, on the chain of the highest start, are returned.
///
/// Memory: a window of 1 MiB, and the frames that are not attested yet.
pub struct Follow {
    context: Context,
    /// The next entry to return.
    cursor: SeqNo,
    /// The start whose chain is read; none before the journal was served.
    head: Option<StartObject>,
    /// Whether the head was seen to serve: a start alone may never have been durable.
    head_serves: bool,
    checkpoint: Option<CheckpointEntries>,
    /// Whether the checkpoint that was returned was read to its end.
    checkpoint_read: Option<Arc<AtomicBool>>,
    /// The segments to read, the one being read first; the last may grow.
    segments: VecDeque<Segment>,
    scanner: Option<Scanner>,
    /// Read, but not attested by a durable mark yet.
    pending: VecDeque<Frame>,
    /// Every entry below it was read on this chain, or lies below the cursor it began with.
    read_up_to: SeqNo,
    /// Every entry below it on this chain is durable.
    durable: SeqNo,
    /// The frame whose entries are being returned.
    entries: Option<(Entries, Epoch, u64)>,
    caught_up: bool,
}

impl Follow {
    pub(crate) async fn begin(context: Context, from: Option<SeqNo>) -> Result<Follow> {
        let mut follow = Follow {
            context,
            cursor: from.unwrap_or(SeqNo::ZERO),
            head: None,
            head_serves: false,
            checkpoint: None,
            checkpoint_read: None,
            segments: VecDeque::new(),
            scanner: None,
            pending: VecDeque::new(),
            read_up_to: SeqNo::ZERO,
            durable: SeqNo::ZERO,
            entries: None,
            caught_up: false,
        };
        follow.load(from.is_none()).await?;
        Ok(follow)
    }

    /// The number of the next entry: every entry below it was returned, or is
    /// part of the checkpoint that was.
    pub fn cursor(&self) -> SeqNo {
        self.cursor
    }

    /// The next item; waits for one.
    ///
    /// # Errors
    /// The store's; `Corrupt` with the place.
    /// # Cancel safety
    /// Safe: no item is lost.
    pub async fn next(&mut self) -> Result<FollowItem> {
        loop {
            if let Some(item) = self.step().await? {
                return Ok(item);
            }
            if !self.caught_up {
                self.caught_up = true;
                return Ok(FollowItem::CaughtUp);
            }
            tokio::time::sleep(self.context.config.poll_interval).await;
        }
    }

    /// The next item that is there now; `None`: nothing more is durable.
    async fn step(&mut self) -> Result<Option<FollowItem>> {
        loop {
            if let Some(checkpoint) = self.checkpoint.take() {
                self.checkpoint_read = Some(checkpoint.was_read());
                self.caught_up = false;
                return Ok(Some(FollowItem::Checkpoint(checkpoint)));
            }
            if let Some(entry) = self.attested() {
                self.caught_up = false;
                return Ok(Some(FollowItem::Entry(entry)));
            }
            let more = match self.read_on().await {
                // Trimmed meanwhile: from the newest checkpoint on.
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    self.load(false).await?;
                    true
                }
                // No verdict on a chain that was left behind.
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    if !self.look_for_start().await? {
                        return Err(e);
                    }
                    true
                }
                other => other?,
            };
            if !more {
                return Ok(None);
            }
        }
    }

    /// The next entry that a durable mark covers.
    fn attested(&mut self) -> Option<Entry> {
        loop {
            if let Some((entries, epoch, clock_ms)) = &mut self.entries {
                if let Some((seq, bytes)) = entries.next() {
                    self.cursor = seq.next();
                    return Some(Entry {
                        seq,
                        bytes,
                        epoch: *epoch,
                        clock_ms: *clock_ms,
                    });
                }
                self.entries = None;
            }
            let frame = self.pending.front()?;
            if frame.header.end_seq() > self.durable {
                return None;
            }
            let frame = self.pending.pop_front()?;
            if frame.header.end_seq() > self.cursor {
                let mut entries = frame.entries();
                entries.skip_to(self.cursor);
                self.entries = Some((entries, frame.header.epoch, frame.header.clock_ms));
            }
        }
    }

    /// Reads one frame more, or finds out where to go on. `false`: there is
    /// nothing more now.
    async fn read_on(&mut self) -> Result<bool> {
        let Some(segment) = self.segments.front() else {
            return Ok(self.look_for_start().await? || self.look_for_first().await?);
        };
        let Some(scanner) = &mut self.scanner else {
            if segment.first_seq > self.read_up_to && !segment.gap {
                return Err(chain::corrupt(
                    segment.id(),
                    0,
                    format!(
                        "it begins with entry {}, but entry {} comes next",
                        segment.first_seq, self.read_up_to
                    ),
                ));
            }
            let opened = segment.scanner(&self.context).await?;
            self.scanner = Some(opened.ok_or_else(|| chain::gone(segment.id()))?);
            return Ok(true);
        };
        match scanner.next().await? {
            Scanned::Frame(frame) => {
                let id = segment.id();
                self.take(id, frame);
                Ok(true)
            }
            Scanned::Bad { offset, why } if self.segments.len() > 1 => {
                Err(chain::damaged(segment, offset, &why))
            }
            Scanned::End if self.segments.len() > 1 => {
                // A successor is begun only when all before it is durable.
                self.durable = self.durable.max(segment.end_seq);
                self.segments.pop_front();
                self.scanner = None;
                Ok(true)
            }
            Scanned::Bad { .. } | Scanned::End => self.at_the_end().await,
        }
    }

    /// At the end of the last known segment: it may have grown, or have a
    /// successor, or another epoch may have begun.
    async fn at_the_end(&mut self) -> Result<bool> {
        if self.look_for_start().await? {
            return Ok(true);
        }
        let (Some(segment), Some(scanner), Some(head)) =
            (self.segments.front_mut(), &mut self.scanner, &self.head)
        else {
            return Ok(false);
        };
        let at = scanner.offset();
        // The successor is looked for *before* the length is read again: what
        // it says of this segment's end is then certainly there.
        let next = match segment.key.epoch == head.epoch {
            true => segment.key.index + 1,
            false => head.first_log.index, // of which nothing could be seen yet
        };
        let opened = chain::open_segment(&self.context, head, next, None, Source::Any).await?;
        if let Opened::Segment(successor, _) = opened {
            let prev = successor.prev.filter(|p| p.segment == segment.id());
            let Some(Prev { offset, seq, .. }) = prev else {
                return Err(chain::corrupt(
                    successor.id(),
                    0,
                    format!("it does not continue segment {}", segment.id()),
                ));
            };
            segment.end = offset;
            segment.end_seq = seq;
            scanner.extend(offset);
            self.segments.push_back(successor);
            return Ok(true);
        }
        let path = names::log_path(segment.id())?;
        let Some(reader) = self.context.io().open(&path, Source::Any).await? else {
            return Err(chain::gone(segment.id()));
        };
        segment.end = reader.len().await?;
        scanner.extend(segment.end);
        let id = segment.id();
        let scanned = scanner.next().await?;
        debug_assert!(matches!(scanned, Scanned::Frame(_)) || scanner.offset() == at);
        match scanned {
            Scanned::Frame(frame) => self.take(id, frame),
            Scanned::Bad { .. } | Scanned::End => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a frame of the chain.
    fn take(&mut self, segment: SegmentId, frame: Frame) {
        let header = &frame.header;
        self.durable = self.durable.max(header.durable);
        self.read_up_to = self.read_up_to.max(header.end_seq());
        // Only past step 7 comes more than what was carried over.
        if let Some(head) = self.head.filter(|h| h.epoch == segment.epoch) {
            let more = header.kind != FrameKind::Header && header.first_seq >= head.carried_end;
            self.head_serves |= segment.index > 0 || more;
        }
        if header.kind == FrameKind::Entries {
            self.pending.push_back(frame);
        }
    }

    /// Where nothing could be seen behind the cursor: the first log of the head. If it
    /// was trimmed before it was seen, a newer checkpoint or segment is.
    async fn look_for_first(&mut self) -> Result<bool> {
        let Some(head) = &self.head else {
            return Ok(false);
        };
        let index = head.first_log.index;
        let opened = chain::open_segment(&self.context, head, index, None, Source::Any).await?;
        match opened {
            Opened::Segment(segment, _) => self.segments.push_back(segment),
            Opened::Unused(..) => return Ok(false),
            Opened::Missing => self.load(false).await?,
        }
        Ok(!self.segments.is_empty() || self.checkpoint.is_some())
    }

    /// Goes over to a higher start, if there is one.
    async fn look_for_start(&mut self) -> Result<bool> {
        let starts = Starts::list(&self.context.io(), self.context.journal).await?;
        let seen = self.head.map_or(Epoch::NONE, |h| h.epoch);
        if starts.names().last().is_none_or(|newest| *newest <= seen) {
            return Ok(false);
        }
        match starts.head().await? {
            Some(head) if head.epoch > seen => {
                self.load(false).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Finds the chain of the highest start back to the cursor; unapplied
    /// buffers are dropped. Falls back to the newest checkpoint when what the
    /// cursor needs was trimmed, or when `fresh` asks for it.
    async fn load(&mut self, fresh: bool) -> Result<()> {
        let loaded = settled(|| load(&self.context, self.cursor, fresh)).await?;
        let Loaded {
            head,
            checkpoint,
            segments,
        } = loaded;
        self.head = head;
        self.head_serves = false;
        self.segments = segments;
        self.scanner = None;
        self.pending.clear();
        // All below the start's D is decided.
        self.durable = self.head.map_or(SeqNo::ZERO, |h| h.durable);
        self.entries = None;
        if let Some(checkpoint) = checkpoint {
            self.cursor = checkpoint.next_seq();
            self.checkpoint = Some(checkpoint);
        }
        self.read_up_to = self.cursor;
        Ok(())
    }
}

/// The chain back to a cursor, or to a checkpoint.
struct Loaded {
    head: Option<StartObject>,
    checkpoint: Option<CheckpointEntries>,
    segments: VecDeque<Segment>,
}

async fn load(context: &Context, cursor: SeqNo, fresh: bool) -> Result<Loaded> {
    let view = View::load(context).await?;
    let newest = view.newest();
    if !fresh || newest == SeqNo::ZERO {
        // What the newest replaces may be missing; then it is read, or the one before it.
        let (segments, reaches) = back_to(context, &view, cursor, newest).await?;
        if reaches {
            return Ok(Loaded {
                head: view.head,
                checkpoint: None,
                segments,
            });
        }
    }
    let (whole, _) = checkpoint::newest_whole(context, &view.checkpoints).await?;
    let base = whole.map_or(cursor, |c| c.id.next_seq);
    let replaced = whole.map_or(SeqNo::ZERO, |c| c.id.next_seq);
    let (segments, reaches) = back_to(context, &view, base, replaced).await?;
    if !reaches {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "entries from {base} on are needed, but were trimmed, and no checkpoint that is \
                 whole replaces them. Run: journal verify"
            ),
        ));
    }
    let checkpoint = match &whole {
        Some(found) => Some(CheckpointEntries::open(context, found).await?),
        None => None,
    };
    Ok(Loaded {
        head: view.head,
        checkpoint,
        segments,
    })
}

/// The chain from its end back to entry `need`, and whether all from there on are in it, or
/// will be seen. `trimmed`: a checkpoint replaces all below.
async fn back_to(
    context: &Context,
    view: &View,
    need: SeqNo,
    trimmed: SeqNo,
) -> Result<(VecDeque<Segment>, bool)> {
    let segments = match &view.tail {
        Some(tail) => {
            let tail = tail.segment.clone();
            chain::walk_back(context, &view.starts, tail, need, trimmed).await?
        }
        None => VecDeque::new(),
    };
    let reaches = match (segments.front(), &view.head) {
        (Some(oldest), _) => oldest.first_seq <= need || begins_with_a_gap(oldest),
        (None, Some(head)) => need >= view.newest() || shows_from(context, head, need).await?,
        (None, None) => true,
    };
    Ok((segments, reaches))
}

/// What stood before it was lost, and that was accepted.
fn begins_with_a_gap(segment: &Segment) -> bool {
    segment.gap && segment.prev.is_none()
}

/// Whether entries from `need` on come with the head's first log, of which nothing
/// can be seen yet.
async fn shows_from(context: &Context, head: &StartObject, need: SeqNo) -> Result<bool> {
    let path = names::log_path(head.first_log)?;
    let there = context.io().open(&path, Source::Any).await?.is_some();
    Ok(there && need >= head.durable)
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("cursor", &self.cursor)
            .finish()
    }
}
