//! [`Recovery`]: steps 1 to 4 of becoming primary, then the replay, then
//! [`start`](Recovery::start).

use crate::chain::{self, Tail as LastSegment};
use crate::checkpoint::{self, CheckpointEntries};
use crate::claim::{Claim, claim_epoch, confirm_epoch};
use crate::commit::serving::{Body, Context};
use crate::format::object::StartObject;
use crate::format::{FrameKind, Prev, Scanned, TailVerdict};
use crate::objects::{Starts, fence_epoch};
use crate::replay::{Item, Replay};
use crate::restore::{import_once, void_between};
use crate::takeover::Successor;
use crate::traces::check_starts;
use crate::view::settled;
use crate::{Config, Journal};
use flushproof_api::{Epoch, Error, ErrorKind, HostLock, Mode, Result, SeqNo, Source, StoreUri};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// How the last log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing behind the last good frame.
    Clean,
    /// A flush was under way when its writer stopped; it was not acknowledged.
    Torn {
        /// How many bytes were cut.
        bytes: u64,
    },
}

/// What recovery found.
#[derive(Clone, Debug)]
pub struct RecoverySummary {
    /// The epoch that was claimed.
    pub epoch: Epoch,
    /// The epoch that served before; 0 if none did.
    pub previous: Epoch,
    /// The checkpoint from which the state begins, if there is one.
    pub checkpoint: Option<SeqNo>,
    /// Every entry below it was certainly acknowledged or attested.
    pub durable: SeqNo,
    /// The number after the last recovered entry. Entries from `durable` on are
    /// undecided: whole, but perhaps never acknowledged; they are kept.
    pub end: SeqNo,
    /// How the last log ended.
    pub tail: Tail,
    /// Damaged checkpoints that were passed over, in words.
    pub damaged_checkpoints: Vec<String>,
}

/// What recovery knows: enough to replay and to go on.
struct Recovered {
    summary: RecoverySummary,
    replay: Replay,
    /// Where the new epoch continues; none in a journal that never served.
    prev: Option<Prev>,
    /// The last segment, for the entries that are carried over.
    last: Option<LastSegment>,
}

/// A candidate that has fenced the old primary and reads what it left.
///
/// Read it to its end, then [`start`](Recovery::start). Dropping it leaves the
/// journal as it was, except that the old primary is fenced.
pub struct Recovery {
    context: Context,
    claim: Claim,
    recovered: Recovered,
    /// Set once the checkpoint was read to its end.
    checkpoint_read: Option<Arc<AtomicBool>>,
    at_end: bool,
}

impl Config {
    /// Becomes a candidate: claims an epoch, fences the old primary and finds
    /// what it left (steps 1 to 4).
    ///
    /// # Errors
    /// `NotFormatted`, `HalfFormatted`, `NewerFormat`, `ContractTooWeak`, `Busy`
    /// (a primary lives on this host and `take_over` is not set), `Corrupt`.
    /// # Cancel safety
    /// The old primary may be fenced afterwards; nothing else changes.
    pub async fn primary(&self) -> Result<Recovery> {
        let (context, uri) = self.open_journal(Mode::ReadWrite).await?;
        lock_host(&context, self.take_over).await?;
        if let Some(from) = &self.import {
            import_once(&context, from)
                .await
                .map_err(|e| e.context(&uri))?;
        }
        Recovery::begin(context, None)
            .await
            .map_err(|e| e.context(uri))
    }

    /// Opens the store and finds the journal on it.
    pub(crate) async fn open_journal(&self, mode: Mode) -> Result<(Context, StoreUri)> {
        let store = self.open_store(mode).await?;
        let io = crate::objects::Bounded::new(store.clone(), self.store_timeout);
        let (journal, _) = crate::objects::journal_id(&io, &self.folder).await?;
        let context = Context {
            store,
            config: Arc::new(self.clone()),
            journal,
            around: None,
        };
        Ok((context, self.folder.clone()))
    }
}

/// The courtesy of the host lock: a live holder refuses an opener that did not
/// say take-over.
pub(crate) async fn lock_host(context: &Context, take_over: bool) -> Result<()> {
    let how = if take_over {
        HostLock::TakeOver
    } else {
        HostLock::Polite
    };
    context.io().host_lock(how).await
}

impl Recovery {
    /// Steps 1 to 4. `from`: a standby's cursor; the replay begins there.
    pub(crate) async fn begin(context: Context, from: Option<SeqNo>) -> Result<Recovery> {
        let claim = claim_epoch(&context).await?;
        let recovered = settled(|| recover(&context, claim.epoch, from)).await;
        let recovered = match recovered {
            // A higher epoch may have moved what this candidate looked at: then
            // it has no say, and no verdict.
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                confirm_epoch(&context, &claim).await?;
                return Err(e);
            }
            other => other?,
        };
        tracing::info!(summary = ?recovered.summary, "recovered");
        Ok(Recovery {
            context,
            claim,
            recovered,
            checkpoint_read: None,
            at_end: false,
        })
    }

    /// What was found.
    pub fn summary(&self) -> &RecoverySummary {
        &self.recovered.summary
    }

    /// The next item: first the checkpoint if there is one, then the entries.
    ///
    /// # Errors
    /// The store's; `Corrupt` with the place.
    /// # Cancel safety
    /// Safe: no item is lost.
    pub async fn next(&mut self) -> Result<Option<Item>> {
        let item = self.recovered.replay.next().await?;
        match &item {
            Some(Item::Entry(_)) => {}
            Some(Item::Checkpoint(entries)) => self.checkpoint_read = Some(entries.was_read()),
            None => self.at_end = true,
        }
        Ok(item)
    }

    /// Steps 5 to 7: carries over what is undecided, publishes the start, makes
    /// sure that the claim still stands, and serves.
    ///
    /// # Errors
    /// `InvalidInput` when the recovery was not read to its end; `Fenced` when
    /// another candidate went higher meanwhile; the store's.
    /// # Cancel safety
    /// The epoch may have been published; open the journal again.
    pub async fn start(self) -> Result<Journal> {
        let read = self.checkpoint_read.as_ref().is_none_or(|r| r.load(SeqCst));
        if !self.at_end || !read {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the recovery was not read to its end (the checkpoint's entries included): the \
                 state would lack acknowledged entries",
            ));
        }
        let Recovered {
            summary,
            prev,
            last,
            ..
        } = self.recovered;
        let durable = summary.durable;
        let mut next = Successor::create_log(&self.context, self.claim, prev, durable).await?;
        if let Some(last) = &last {
            carry_over(&self.context, last, &mut next).await?;
        }
        next.publish_start().await?;
        Journal::serve(next.confirm().await?).await
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery")
            .field("summary", self.summary())
            .finish()
    }
}

/// Steps 2 to 4: lists the starts, *then* the logs, fences the head epoch's,
/// and recovers along the head's chain.
async fn recover(context: &Context, claimed: Epoch, from: Option<SeqNo>) -> Result<Recovered> {
    let io = context.io();
    let starts = Starts::list(&io, context.journal).await?;
    let head = starts.head().await?;
    let highest = head.map_or(Epoch::NONE, |h| h.epoch);
    void_between(context, highest, claimed).await?;
    check_starts(context, highest, claimed).await?;
    let Some(head) = head else {
        return never_served(context, claimed, from);
    };
    let last = fence_logs(context, &head).await?;
    let tail = tail_of(&last)?;
    check_carried(&head, &last)?;
    let (durable, end) = (last.scan.durable, last.scan.end);
    let counting = checkpoint::list_counting(context, &starts).await?;
    if let Some(beyond) = counting.first().filter(|c| c.id.next_seq > end) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the checkpoint at {} is beyond the recovered end {end}: acknowledged entries are \
                 missing. Nothing was changed. Run: journal verify",
                beyond.id.next_seq
            ),
        ));
    }
    if let Some(cursor) = from.filter(|c| *c > end) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("this standby applied entries below {cursor}, but the journal ends at {end}"),
        ));
    }
    let (whole, damaged_checkpoints) = checkpoint::newest_whole(context, &counting).await?;
    let covered = whole.map_or(SeqNo::ZERO, |c| c.id.next_seq);
    let need = from.unwrap_or(covered);
    let segments = chain::walk_back(context, &starts, last.segment.clone(), need, covered).await?;
    let reaches = segments.front().is_some_and(|s| s.first_seq <= need);
    let (begin, base) = match (from, reaches) {
        (Some(cursor), true) => (cursor, None),
        _ => (covered, whole),
    };
    let checkpoint = match &base {
        Some(found) => Some(CheckpointEntries::open(context, found).await?),
        None => None,
    };
    let prev = chain::find_cut(context, &starts, &last, covered).await?;
    let summary = RecoverySummary {
        epoch: claimed,
        previous: head.epoch,
        checkpoint: base.map(|c| c.id.next_seq),
        durable,
        end,
        tail,
        damaged_checkpoints,
    };
    Ok(Recovered {
        summary,
        replay: Replay::new(context.clone(), checkpoint, segments, begin..end)
            .durable_below(durable),
        prev: Some(prev),
        last: Some(last),
    })
}

fn never_served(context: &Context, claimed: Epoch, from: Option<SeqNo>) -> Result<Recovered> {
    if let Some(cursor) = from.filter(|c| *c > SeqNo::ZERO) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("this standby applied entries below {cursor}, but the journal is empty"),
        ));
    }
    Ok(Recovered {
        summary: RecoverySummary {
            epoch: claimed,
            previous: Epoch::NONE,
            checkpoint: None,
            durable: SeqNo::ZERO,
            end: SeqNo::ZERO,
            tail: Tail::Clean,
            damaged_checkpoints: Vec::new(),
        },
        replay: Replay::new(
            context.clone(),
            None,
            Default::default(),
            SeqNo::ZERO..SeqNo::ZERO,
        ),
        prev: None,
        last: None,
    })
}

/// Step 3, and the first half of step 4: fences every log of the head epoch,
/// prepared empty ones too, then reads its last used one below L. A listed log that is
/// gone was trimmed: `NotFound` begins again.
async fn fence_logs(context: &Context, head: &StartObject) -> Result<LastSegment> {
    let fenced = fence_epoch(&context.io(), head.epoch).await?;
    let limits: Vec<_> = fenced
        .into_iter()
        .map(|(id, limit)| (id.index, Some(limit)))
        .collect();
    chain::find_tail(context, head, &limits, Source::Medium).await
}

/// What the start says was carried over must be there.
fn check_carried(head: &StartObject, last: &LastSegment) -> Result<()> {
    if last.scan.end >= head.carried_end {
        return Ok(());
    }
    Err(chain::corrupt(
        last.segment.id(),
        last.scan.end_offset,
        format!(
            "entries {} to {} are missing or damaged: epoch {} was published with entries below {}",
            last.scan.end, head.carried_end, head.epoch, head.carried_end
        ),
    ))
}

fn tail_of(last: &LastSegment) -> Result<Tail> {
    match &last.scan.verdict {
        TailVerdict::Corrupt { at, why, .. } => Err(chain::corrupt(last.segment.id(), *at, why)),
        TailVerdict::Torn { bytes, .. } => Ok(Tail::Torn {
            bytes: bytes + last.torn_behind,
        }),
        TailVerdict::Clean if last.torn_behind > 0 => Ok(Tail::Torn {
            bytes: last.torn_behind,
        }),
        TailVerdict::Clean => Ok(Tail::Clean),
    }
}

/// Carries the undecided entries over into the first log of the new epoch.
async fn carry_over(context: &Context, last: &LastSegment, next: &mut Successor) -> Result<()> {
    let durable = last.scan.durable;
    let Some(mut scanner) = last.segment.scanner(context).await? else {
        return Err(chain::gone(last.segment.id()));
    };
    loop {
        match scanner.next().await? {
            Scanned::End => return Ok(()),
            Scanned::Bad { offset, why } => {
                return Err(chain::damaged(&last.segment, offset, &why));
            }
            Scanned::Frame(frame) => {
                let header = &frame.header;
                if header.kind != FrameKind::Entries || header.end_seq() <= durable {
                    continue;
                }
                if header.first_seq < durable {
                    return Err(chain::corrupt(
                        last.segment.id(),
                        frame.offset,
                        format!("the durable mark {durable} lies inside a frame"),
                    ));
                }
                let body = Body {
                    first: header.first_seq,
                    count: header.count,
                    bytes: frame.body.clone(),
                };
                next.carry_over(&body).await?;
            }
        }
    }
}
