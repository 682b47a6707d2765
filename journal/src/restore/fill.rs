//! [`Filling`]: makes an empty journal one with entries, all or nothing.
//!
//! An epoch is claimed *to be filled*; its claim says so. Checkpoint and logs of that
//! epoch are written, and count for nothing before its start is there. The start is
//! published last, by one exclusive create: that is the moment.
//!
//! What makes it safe beside others (the tests are in `tests/restore_races.rs`):
//!
//! * whoever claims a higher epoch (a primary, another filling) decides first, for each
//!   lower epoch that was claimed to be filled and has no start, that it never gets one:
//!   [`void`] creates an object of no journal at the start's name. One of both creates
//!   wins, and a trim never removes that object. So a filling that was stopped and wakes
//!   late, however late, can't publish behind the back of a primary that found the journal empty,
//!   and a start that is published is the journal's;
//! * a filling publishes only while its claim is the highest;
//! * a journal that was served, but is empty, is fenced first, as in a take-over.

use super::sink::Sink;
use crate::CheckpointWriter;
use crate::chain::find_tail;
use crate::checkpoint::list_counting;
use crate::claim::{Claim, claim, confirm_epoch};
use crate::commit::serving::Context;
use crate::format::object::{Fill, StartObject};
use crate::format::{Scanned, SegmentId, names};
use crate::objects::{Bounded, Starts, fence_epoch, list_epochs, list_logs, read_epoch};
use crate::traces::check_starts;
use crate::view::settled;
use flushproof_api::{Epoch, Error, ErrorKind, Outcome, Result, SeqNo, Source};

/// A journal that is being filled.
pub(crate) struct Filling {
    context: Context,
    claim: Claim,
    /// The epoch that served before, although the journal is empty.
    head: Epoch,
    fill: Fill,
    sink: Sink,
}

impl Filling {
    /// Claims an epoch and makes sure that the journal is empty and stays so.
    ///
    /// # Errors
    /// `AlreadyExists` when the journal is not empty; `Corrupt`; the store's.
    pub(crate) async fn begin(context: &Context, fill: Fill, gap: bool) -> Result<Filling> {
        let claim = claim(&context.io(), context.journal, &context.config, Some(fill)).await?;
        let head = empty_below(context, &claim).await?;
        let sink = Sink::begin(context, claim, 0, None, fill.first, gap).await?;
        Ok(Filling {
            context: context.clone(),
            claim,
            head,
            fill,
            sink,
        })
    }

    /// Goes on where an earlier attempt of the same kind, from the same journal, was cut
    /// short; `None` when there is none. Each log of it is fenced, so that its writer, if
    /// it is still alive, stops; and the next log is created exclusively.
    ///
    /// # Errors
    /// `AlreadyExists`: the other attempt is alive; `Corrupt`; the store's.
    pub(crate) async fn resume(context: &Context, fill: Fill) -> Result<Option<Filling>> {
        let io = context.io();
        let Some(epoch) = list_epochs(&io).await?.last().copied() else {
            return Ok(None);
        };
        let Some(object) = read_epoch(&io, context.journal, epoch).await? else {
            return Ok(None);
        };
        let same = |f: Fill| (f.kind, f.source, f.first) == (fill.kind, fill.source, fill.first);
        let undecided = io.get(&names::start_path(epoch)?).await?.is_none();
        if !object.fill.is_some_and(same) || !undecided {
            return Ok(None);
        }
        let nonce = object.nonce;
        let claim = Claim { epoch, nonce };
        let head = empty_below(context, &claim).await?;
        let sink = match Sink::resume(context, claim, fill.first).await {
            Ok(Some(sink)) => sink,
            Ok(None) => return Ok(None),
            // Not worth a repair: it is written anew.
            Err(e) if e.kind() == ErrorKind::Corrupt => return Ok(None),
            Err(e) => return Err(e),
        };
        if sink.next_seq() > fill.end {
            return Ok(None);
        }
        Ok(Some(Filling {
            context: context.clone(),
            claim,
            head,
            fill,
            sink,
        }))
    }

    /// Begins a checkpoint, which holds the state of all entries below `at`.
    pub(crate) async fn checkpoint(&mut self, at: SeqNo) -> Result<CheckpointWriter> {
        let durable = Box::pin(std::future::ready(Ok(())));
        let (epoch, nonce) = (self.claim.epoch, self.claim.nonce);
        CheckpointWriter::begin(&self.context, epoch, nonce, at, durable, None).await
    }

    /// The number of the next entry.
    pub(crate) fn next_seq(&self) -> SeqNo {
        self.sink.next_seq()
    }

    /// Writes the next entry, which was flushed at `clock_ms` where it comes from.
    pub(crate) async fn entry(&mut self, seq: SeqNo, clock_ms: u64, entry: &[u8]) -> Result<()> {
        self.sink.entry(seq, clock_ms, entry).await
    }

    /// Goes on with entry `first`: those before are lost.
    pub(crate) async fn gap(&mut self, first: SeqNo) -> Result<()> {
        self.sink.gap(first).await
    }

    /// Reads back what was written, and makes it the journal.
    ///
    /// # Errors
    /// `Fenced` when another process claimed a higher epoch; `Corrupt` when entries are
    /// missing, or what was written does not read back; the store's. An outcome that is
    /// unknown: look with `journal info`.
    /// # Cancel safety
    /// Published or not; what was written may be left over.
    pub(crate) async fn publish(&mut self) -> Result<()> {
        if self.sink.next_seq() != self.fill.end {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "entries from {} up to {} are missing",
                    self.sink.next_seq(),
                    self.fill.end
                ),
            ));
        }
        self.sink.finish().await?;
        self.read_back().await?;
        confirm_epoch(&self.context, &self.claim).await?;
        void_between(&self.context, self.head, self.claim.epoch).await?;
        self.publish_start().await
    }

    async fn read_back(&mut self) -> Result<()> {
        for segment in &self.sink.done {
            let mut scanner = segment
                .scanner(&self.context)
                .await?
                .ok_or_else(|| crate::chain::gone(segment.id()))?;
            loop {
                match scanner.next().await? {
                    Scanned::Frame(_) => {}
                    Scanned::Bad { offset, why } => {
                        return Err(crate::chain::damaged(segment, offset, &why));
                    }
                    Scanned::End => break,
                }
            }
            if scanner.next_seq().unwrap_or(segment.first_seq) != segment.end_seq {
                let what = "what was written does not read back";
                return Err(crate::chain::corrupt(segment.id(), segment.end, what));
            }
        }
        Ok(())
    }

    async fn publish_start(&mut self) -> Result<()> {
        let epoch = self.claim.epoch;
        let start = StartObject {
            epoch,
            nonce: self.claim.nonce,
            first_log: SegmentId { epoch, index: 0 },
            prev: None,
            durable: self.fill.first,
            carried_end: self.fill.end,
        };
        let path = names::start_path(epoch)?;
        let bytes = start.encode(self.context.journal);
        let io = self.context.io();
        let error = match io.put(&path, bytes.clone()).await {
            Ok(()) => return Ok(()),
            Err(e) => e,
        };
        if error.kind() != ErrorKind::AlreadyExists && error.outcome() == Outcome::NotWritten {
            return Err(error);
        }
        let Some(found) = io.get(&path).await? else {
            return Err(error);
        };
        if found == bytes {
            return Ok(()); // the answer was lost, the object is there
        }
        let (owner, _) = StartObject::decode(&found).map_err(|e| e.context(&path))?;
        match owner == self.context.journal {
            // Who took this attempt up has published it; what is behind its end may be mine.
            true => Err(Error::new(
                ErrorKind::Fenced,
                format!("another process has completed epoch {epoch}; look with journal info"),
            )
            .with_outcome(Outcome::Unknown)),
            false => Err(taken_over(epoch)),
        }
    }

    /// Decides that nothing of it counts, and removes what was written, as far as that
    /// works. What was published all the same, perhaps by another process that took the
    /// attempt up, stays.
    pub(crate) async fn discard(self) {
        let io = self.context.io();
        let removed = async {
            match void(&self.context, &io, self.claim.epoch).await? {
                Decided::Void => remove_epoch(&io, self.claim.epoch).await,
                Decided::Served => Ok(()),
            }
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "what was written of a restore is left over; a later trim removes it");
        }
    }
}

fn taken_over(epoch: Epoch) -> Error {
    Error::new(
        ErrorKind::Fenced,
        format!("another process took the journal over before epoch {epoch} was published"),
    )
    .with_outcome(Outcome::NotWritten)
}

/// As [`expect_empty`]; but, as in a recovery, who is overtaken has no verdict.
async fn empty_below(context: &Context, claim: &Claim) -> Result<Epoch> {
    match settled(|| expect_empty(context, claim.epoch)).await {
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            confirm_epoch(context, claim).await?;
            Err(e)
        }
        other => other,
    }
}

/// The journal must hold nothing, and nobody may add to it any more.
/// Says the epoch that served last.
async fn expect_empty(context: &Context, claimed: Epoch) -> Result<Epoch> {
    let io = context.io();
    let starts = Starts::list(&io, context.journal).await?;
    let head = starts.head().await?;
    let highest = head.map_or(Epoch::NONE, |h| h.epoch);
    void_between(context, highest, claimed).await?;
    check_starts(context, highest, claimed).await?;
    let Some(head) = head else {
        return Ok(highest);
    };
    let counting = list_counting(context, &starts).await?;
    let fenced = fence_epoch(&io, head.epoch).await?;
    let limits: Vec<_> = fenced
        .into_iter()
        .map(|(id, limit)| (id.index, Some(limit)))
        .collect();
    let tail = find_tail(context, &head, &limits, Source::Medium).await?;
    let end = tail.scan.end;
    if end == SeqNo::ZERO && counting.is_empty() {
        return Ok(highest);
    }
    Err(not_empty(context))
}

pub(crate) fn not_empty(context: &Context) -> Error {
    let folder = &context.config.folder;
    Error::new(
        ErrorKind::AlreadyExists,
        format!(
            "{folder} holds a journal with entries. Choose an empty place; or erase it with --format \
             --force"
        ),
    )
    .with_outcome(Outcome::NotWritten)
}

/// What became of the start of an epoch that was claimed to be filled.
enum Decided {
    Void,
    Served,
}

/// Decides for every epoch between the head and `claimed` that was claimed to be
/// filled that it never gets a start. Call it behind the claim, and behind the list of
/// starts of which `head` is the highest.
///
/// # Errors
/// `NotFound` when one of them was published meanwhile: look again.
pub(crate) async fn void_between(context: &Context, head: Epoch, claimed: Epoch) -> Result<()> {
    let io = context.io();
    for epoch in list_epochs(&io).await? {
        if epoch <= head || epoch >= claimed {
            continue;
        }
        match read_epoch(&io, context.journal, epoch).await {
            Ok(Some(claim)) if claim.fill.is_some() => {}
            Ok(_) => continue,
            // A damaged claim does not say whether it was one to fill. Its owner, if it still lives,
            // is not kept out here: a known gap (`docs/rfcs/0000-design-notes.md`).
            Err(e) if e.kind() == ErrorKind::Corrupt => continue,
            Err(e) => return Err(e),
        }
        if let Decided::Served = void(context, &io, epoch).await? {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("epoch {epoch} was filled meanwhile; look again"),
            ));
        }
    }
    Ok(())
}

async fn void(context: &Context, io: &Bounded, epoch: Epoch) -> Result<Decided> {
    let path = names::start_path(epoch)?;
    let error = match io.put(&path, StartObject::void(epoch)).await {
        Ok(()) => return Ok(Decided::Void),
        Err(e) => e,
    };
    if error.kind() != ErrorKind::AlreadyExists && error.outcome() == Outcome::NotWritten {
        return Err(error);
    }
    let Some(found) = io.get(&path).await? else {
        return Err(error);
    };
    let (owner, _) = StartObject::decode(&found).map_err(|e| e.context(&path))?;
    match owner == context.journal {
        true => Ok(Decided::Served),
        false => Ok(Decided::Void),
    }
}

/// Removes logs and checkpoints of an epoch.
async fn remove_epoch(io: &Bounded, epoch: Epoch) -> Result<()> {
    for (id, _) in list_logs(io).await? {
        if id.epoch == epoch {
            io.delete(&names::log_path(id)?).await?;
        }
    }
    let rows = io.list(&names::folder(names::CHECKPOINT_FOLDER)?).await?;
    for id in crate::objects::objects(rows, names::parse_checkpoint) {
        if id.epoch == epoch {
            io.delete(&names::checkpoint_path(id)?).await?;
        }
    }
    Ok(())
}
