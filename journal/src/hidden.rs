//! Stores that show a log only when it is sealed or fenced (`Visibility::OnSeal`):
//! what those who only look may take for the end of the journal.
//!
//! A primary seals each segment before it goes on in the next, with a mark in
//! front that says that all of it is durable; and it goes on every
//! `seal_interval` when it has entries that nobody sees. So the segments that can't be
//! seen are the last ones, and their being empty is no damage. Recovery fences
//! first, and then sees everything: nothing here is for it.
//!
//! A primary that sees more than its readers (a reader that can't reach a service
//! which shows open logs) does not seal, and trims behind its segments. Then nothing is
//! left to be seen but the newest checkpoint.

use crate::chain::{Tail, TailScan, find_tail, gone, indexes, predecessor};
use crate::commit::serving::Context;
use crate::format::object::StartObject;
use crate::format::{SegmentId, TailVerdict};
use crate::objects::Starts;
use flushproof_api::{Listed, Result, SeqNo, Source, Visibility};

/// Whether the store hides what is not sealed.
pub(crate) fn hides(context: &Context) -> bool {
    context.store.contract().visibility == Visibility::OnSeal
}

/// The last segment that can be seen along the head; `None` when nothing can be seen
/// behind the newest checkpoint. `logs`: those listed, perhaps less than all;
/// `trimmed`: a checkpoint that counts replaces all below.
pub(crate) async fn visible_tail(
    context: &Context,
    starts: &Starts,
    head: &StartObject,
    logs: &[(SegmentId, Listed)],
    source: Source,
    trimmed: SeqNo,
) -> Result<Option<Tail>> {
    let mut limits: Vec<_> = indexes(logs, head.epoch).map(|i| (i, None)).collect();
    let mut hidden = None;
    if hides(context) {
        let of_head = || logs.iter().filter(|(id, _)| id.epoch == head.epoch);
        let sealed = of_head().rev().find(|(_, row)| row.sealed);
        let last = sealed.map(|(id, _)| id.index);
        hidden = of_head()
            .map(|(id, _)| *id)
            .find(|id| last.is_none_or(|last| id.index > last));
        limits.retain(|(index, _)| last.is_some_and(|last| *index <= last));
        if limits.is_empty() && hidden.is_some() {
            return before_head(context, starts, head, hidden, trimmed).await;
        }
    }
    let mut tail = find_tail(context, head, &limits, source).await?;
    // Behind a seal of the owner there are prepared logs only.
    tail.hidden = hidden.filter(|_| !tail.scan.sealed);
    Ok(Some(tail))
}

/// No segment of the head epoch can be seen: its start says where the one before
/// ends, which was fenced and is decided to its end.
async fn before_head(
    context: &Context,
    starts: &Starts,
    head: &StartObject,
    hidden: Option<SegmentId>,
    trimmed: SeqNo,
) -> Result<Option<Tail>> {
    let Some(prev) = head.prev else {
        return Ok(None);
    };
    let segment = match predecessor(context, starts, prev).await? {
        Some(segment) => segment,
        None if prev.seq <= trimmed => return Ok(None),
        None => return Err(gone(prev.segment)),
    };
    let scan = TailScan {
        durable: head.durable,
        cut: None,
        end: head.durable,
        end_offset: prev.offset,
        verdict: TailVerdict::Clean,
        sealed: false,
        clock_ms: 0,
    };
    Ok(Some(Tail {
        segment,
        scan,
        torn_behind: 0,
        hidden,
    }))
}
