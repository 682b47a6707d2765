//! Steps 5 to 7 of becoming primary: a log of the new epoch, the undecided
//! entries carried over, the start published, the claim confirmed. The same
//! for a recovery and for a take-over from oneself.

use crate::claim::{Claim, claim_epoch, confirm_epoch};
use crate::commit::buffer::AlignedBuf;
use crate::commit::off_thread::flush_off_thread;
use crate::commit::serving::{Body, Context, Own, Serving, Unacknowledged};
use crate::commit::state::{ActiveLog, now_ms};
use crate::format::object::StartObject;
use crate::format::{FRAME_HEADER, FrameKind, Prev, SegmentHeader, SegmentId, names};
use crate::objects::{Starts, fence_epoch};
use crate::restore::void_between;
use bytes::Bytes;
use flushproof_api::{Epoch, Error, ErrorKind, Outcome, Result, SeqNo, Survives};

/// A new epoch in the making: its first log, and what is flushed in it.
pub(crate) struct Successor {
    context: Context,
    claim: Claim,
    prev: Option<Prev>,
    durable: SeqNo,
    next_seq: SeqNo,
    log: ActiveLog,
    /// Behind the header frame.
    body: u64,
    /// The least that any flush of it got.
    survives: Survives,
}

impl Successor {
    /// Step 5, first half: creates `log/<N>-0` and writes its header, which
    /// says `durable`, not the end of what will be carried over.
    pub(crate) async fn create_log(
        context: &Context,
        claim: Claim,
        prev: Option<Prev>,
        durable: SeqNo,
    ) -> Result<Successor> {
        let first = SegmentId {
            epoch: claim.epoch,
            index: 0,
        };
        let limit = context.segment_limit(0);
        let writer = context
            .io()
            .create_log(&names::log_path(first)?, limit)
            .await?;
        let survives = context.store.contract().survives;
        let serving = Serving {
            context: context.clone(),
            epoch: claim.epoch,
            nonce: claim.nonce,
            writer,
            index: 0,
            grain: context.grain(),
            offset: 0,
            next_seq: durable,
            survives,
        };
        let mut successor = Successor {
            context: context.clone(),
            claim,
            prev,
            durable,
            next_seq: durable,
            log: ActiveLog::new(serving, limit),
            body: 0,
            survives,
        };
        let header = SegmentHeader {
            nonce: claim.nonce,
            grain: context.grain() as u32,
            prev,
            gap: false,
            durable,
            created_ms: now_ms(),
        };
        let mut body = Vec::new();
        header.encode(&mut body);
        successor
            .flush(FrameKind::Header, (durable, 0), &body)
            .await?;
        successor.body = successor.log.offset;
        Ok(successor)
    }

    /// Step 5, second half: one frame of undecided entries, as it was.
    pub(crate) async fn carry_over(&mut self, body: &Body) -> Result<()> {
        if body.first != self.next_seq {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "entry {} was to be carried over, but {} comes next",
                    body.first, self.next_seq
                ),
            ));
        }
        self.flush(FrameKind::Entries, (body.first, body.count), &body.bytes)
            .await?;
        self.next_seq = SeqNo(body.first.0 + u64::from(body.count));
        Ok(())
    }

    async fn flush(&mut self, kind: FrameKind, entries: (SeqNo, u32), body: &[u8]) -> Result<()> {
        let align = self.log.grain as usize;
        let mut buf = AlignedBuf::new(FRAME_HEADER + body.len() + align, align);
        buf.resize(FRAME_HEADER, 0);
        buf.extend_from_slice(body);
        self.log.seal(&mut buf, kind, entries, self.durable);
        let frame: Bytes = buf.freeze();
        let writer = std::mem::replace(&mut self.log.writer, Box::new(Gone));
        let limit = self.context.config.flush_timeout;
        let blocking = self.context.blocking();
        let (writer, got) = flush_off_thread(writer, frame, blocking, limit)
            .await
            .map_err(|e| e.context(format!("the first log of epoch {}", self.claim.epoch)))?;
        self.log.writer = writer;
        self.survives = self.survives.and(got.survives);
        self.log.durable_offset = self.log.offset;
        Ok(())
    }

    /// What a take-over over this one continues behind: no entry of it is decided.
    pub(crate) fn own(&self) -> Own {
        Own {
            epoch: self.claim.epoch,
            nonce: self.claim.nonce,
            cut: Prev {
                segment: self.log.segment(),
                offset: self.body,
                seq: self.durable,
            },
        }
    }

    /// Step 6: the epoch is served from here on.
    pub(crate) async fn publish_start(&mut self) -> Result<()> {
        let start = StartObject {
            epoch: self.claim.epoch,
            nonce: self.claim.nonce,
            first_log: self.log.segment(),
            prev: self.prev,
            durable: self.durable,
            carried_end: self.next_seq,
        };
        let path = names::start_path(self.claim.epoch)?;
        let bytes = start.encode(self.context.journal);
        let io = self.context.io();
        match io.put(&path, bytes.clone()).await {
            Err(e) if e.outcome() == Outcome::Unknown => match io.get(&path).await? {
                // The answer was lost, the object is there: nobody else writes it.
                Some(found) if found == bytes => Ok(()),
                _ => Err(e),
            },
            other => other,
        }
    }

    /// Step 7; then the epoch may be served.
    pub(crate) async fn confirm(self) -> Result<Serving> {
        let (context, claim) = (self.context.clone(), self.claim);
        confirm_epoch(&context, &claim).await?;
        Ok(Serving {
            context: self.context,
            epoch: self.claim.epoch,
            nonce: self.claim.nonce,
            writer: self.log.writer,
            index: 0,
            grain: self.log.grain,
            offset: self.log.offset,
            next_seq: self.next_seq,
            survives: self.survives,
        })
    }
}

/// Stands in for a writer that is inside a flush; never written to.
#[derive(Debug)]
struct Gone;

#[async_trait::async_trait]
impl flushproof_api::LogWriter for Gone {
    fn flush(&mut self, _batch: Bytes) -> flushproof_api::Flush {
        flushproof_api::Flush::ready(Err(gone()))
    }

    async fn seal(&mut self) -> Result<u64> {
        Err(gone())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Poisoned, "an earlier flush of this log failed")
}

/// Takes over from oneself after a flush of unknown outcome: only over one's
/// own start. What is acknowledged is durable below the cut; everything else
/// is carried over from memory, at the same numbers.
///
/// # Errors
/// `Fenced` when another primary has published a start.
pub(crate) async fn reopen(context: &Context, un: &mut Unacknowledged) -> Result<Serving> {
    let claim = claim_epoch(context).await?;
    let io = context.io();
    let starts = Starts::list(&io, context.journal).await?;
    let head = starts.head().await?;
    let highest = head.map_or(Epoch::NONE, |h| h.epoch);
    void_between(context, highest, claim.epoch).await?;
    let own = head.and_then(|h| {
        un.own
            .iter()
            .find(|o| o.epoch == h.epoch && o.nonce == h.nonce)
            .copied()
    });
    let Some(own) = own else {
        return Err(Error::new(
            ErrorKind::Fenced,
            format!(
                "epoch {} is served by another primary; this one stands down",
                head.map_or(claim.epoch, |h| h.epoch)
            ),
        ));
    };
    fence_epoch(&io, own.epoch).await?;
    let mut next = Successor::create_log(context, claim, Some(own.cut), un.durable).await?;
    for body in &un.bodies {
        next.carry_over(body).await?;
    }
    un.own.push(next.own());
    next.publish_start().await?;
    next.confirm().await
}
