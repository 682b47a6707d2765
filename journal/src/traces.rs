//! Traces of an epoch that served, where its start is missing.
//!
//! A candidate that never served leaves its claim and log 0, nothing else: the
//! next log is prepared, and a checkpoint written, only past step 7 (by a standby:
//! when it has seen what the primary wrote past it). In log 0 such a candidate writes a
//! header and the entries that it carries over, and every frame of them attests what the header
//! does: a mark, a seal, and a frame that attests more come past step 7, too.
//!
//! So any of these behind the head tells that a start was lost, and acknowledged entries
//! with it. An epoch that was claimed to be filled (a restore) is another matter: its
//! logs and its checkpoint are written before its start, and do not count without it.
//!
//! What is not found: an epoch whose every frame attests what its header does. That is one
//! group, for as long as it takes until the next, or until its idle mark.

use crate::commit::serving::Context;
use crate::format::names::{self, CHECKPOINT_FOLDER};
use crate::format::{
    FrameKind, HeaderVerdict, Nonce, Scanned, Scanner, SegmentId, SegmentKey, read_segment_header,
};
use crate::objects::{Starts, list_logs, objects, read_epoch};
use flushproof_api::{Epoch, Error, ErrorKind, Result, Source, StorePath};
use std::collections::BTreeMap;
use std::time::Duration;

/// What an epoch left.
enum Trace {
    /// A log behind its first, or a checkpoint.
    Name(StorePath),
    /// Its first log, which may tell more.
    FirstLog(SegmentId),
}

/// How long a log without a start is looked at: nobody needs it, most likely, so what can't be
/// read now must not keep a primary away.
const LOOK: Duration = Duration::from_secs(1);

/// Looks for traces of epochs between `head`, the highest with a start (list the
/// starts first), and `below`, an epoch that was claimed before that list: none
/// of those between can have begun to serve since.
///
/// # Errors
/// `Corrupt` that names the missing start; the store's.
pub(crate) async fn check_starts(context: &Context, head: Epoch, below: Epoch) -> Result<()> {
    match lost_between(context, head, below).await?.pop_first() {
        Some((epoch, left)) => Err(lost(epoch, &left)?),
        None => Ok(()),
    }
}

/// All epochs between that have lost their starts, ascending, and what they left.
pub(crate) async fn lost_between(
    context: &Context,
    head: Epoch,
    below: Epoch,
) -> Result<BTreeMap<Epoch, String>> {
    let io = context.io();
    let mut lost = BTreeMap::new();
    let mut patience = true;
    for (epoch, trace) in traces(context).await? {
        if epoch <= head || epoch >= below || lost.contains_key(&epoch) {
            continue;
        }
        let nonce = match read_epoch(&io, context.journal, epoch).await {
            // What a restore left that did not end.
            Ok(Some(claim)) if claim.fill.is_some() => continue,
            Ok(Some(claim)) => claim.nonce,
            // A stray, or left by another journal in this place.
            Ok(None) => continue,
            Err(e) if e.kind() == ErrorKind::Corrupt => continue,
            Err(e) => return Err(e),
        };
        let left = match trace {
            Trace::Name(path) => Some(path.to_string()),
            Trace::FirstLog(id) if patience => served_in(context, id, nonce, &mut patience).await?,
            Trace::FirstLog(_) => None,
        };
        if let Some(left) = left {
            lost.insert(epoch, left);
        }
    }
    Ok(lost)
}

/// Looks for them without a claim of one's own: a start may come meanwhile, so a verdict
/// holds only when it comes again (`settled`).
///
/// # Errors
/// As [`check_starts`].
pub(crate) async fn lost_starts(context: &Context) -> Result<()> {
    let starts = Starts::list(&context.io(), context.journal).await?;
    let head = starts.head().await?;
    let highest = head.map_or(Epoch::NONE, |h| h.epoch);
    check_starts(context, highest, Epoch(u64::MAX)).await
}

async fn traces(context: &Context) -> Result<Vec<(Epoch, Trace)>> {
    let io = context.io();
    let mut traces = Vec::new();
    for (id, _) in list_logs(&io).await? {
        let trace = match id.index {
            0 => Trace::FirstLog(id),
            _ => Trace::Name(names::log_path(id)?),
        };
        traces.push((id.epoch, trace));
    }
    let rows = io.list(&names::folder(CHECKPOINT_FOLDER)?).await?;
    for id in objects(rows, names::parse_checkpoint) {
        traces.push((id.epoch, Trace::Name(names::checkpoint_path(id)?)));
    }
    Ok(traces)
}

/// The place in an epoch's first log that only a primary that serves writes, in words. It
/// reads no further than there. `patience` ends with the first log that takes too long.
async fn served_in(
    context: &Context,
    id: SegmentId,
    nonce: Nonce,
    patience: &mut bool,
) -> Result<Option<String>> {
    let path = names::log_path(id)?;
    let looked = tokio::time::timeout(LOOK, first_attested(context, id, nonce)).await;
    *patience = looked.is_ok();
    let error = match looked {
        Ok(Ok(place)) => {
            return Ok(place.map(|at| {
                format!("{path}, where the frame at offset {at} is one that only a primary writes")
            }));
        }
        // It went away: look again.
        Ok(Err(e)) if e.kind() == ErrorKind::NotFound => return Err(e),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("no answer within {LOOK:?}"),
    };
    tracing::warn!(%error, %path, "a log without a start can't be read; going on");
    Ok(None)
}

async fn first_attested(context: &Context, id: SegmentId, nonce: Nonce) -> Result<Option<u64>> {
    let path = names::log_path(id)?;
    let Some(reader) = context.io().open(&path, Source::Any).await? else {
        return Ok(None);
    };
    let key = SegmentKey {
        journal: context.journal,
        nonce,
        epoch: id.epoch,
        index: id.index,
    };
    let len = reader.len().await?;
    let HeaderVerdict::Good { segment, .. } = read_segment_header(&*reader, &key, len).await?
    else {
        return Ok(None); // torn, as its candidate stopped there
    };
    let mut scanner = Scanner::new(reader, key, u64::from(segment.grain), 0, len);
    while let Scanned::Frame(frame) = scanner.next().await? {
        let header = &frame.header;
        let marks = matches!(header.kind, FrameKind::Mark | FrameKind::Seal);
        if marks || header.durable > segment.durable {
            return Ok(Some(frame.offset));
        }
    }
    Ok(None)
}

fn lost(epoch: Epoch, left: &str) -> Result<Error> {
    Ok(Error::new(
        ErrorKind::Corrupt,
        format!(
            "{} is missing: epoch {epoch} was served, for it left {left}. Nothing was changed. Put \
             that object back from a copy",
            names::start_path(epoch)?
        ),
    ))
}
