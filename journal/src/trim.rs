//! Trim: drops the segments and checkpoints that no kept checkpoint needs.

use crate::archive;
use crate::chain::{self, Segment};
use crate::checkpoint::{self, Found};
use crate::commit::core::Core;
use crate::commit::serving::Context;
use crate::format::names::{self, CheckpointId};
use crate::format::{Nonce, SegmentId};
use crate::hidden::visible_tail;
use crate::objects::{Bounded, Starts, list_epochs, list_logs, read_epoch};
use flushproof_api::{Epoch, Error, ErrorKind, Result, SeqNo, Source};
use std::collections::{BTreeSet, VecDeque};

/// What a trim dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Segments.
    pub segments: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Objects of epochs of which nothing is left.
    pub epochs: u64,
}

/// Trims as the primary of `epoch`, whose current segment header is durable.
///
/// A segment goes when its successor *on this primary's chain* begins at or
/// below the oldest checkpoint that is kept: never by the order of names. So a
/// primary that was superseded and does not know it yet does no harm either.
/// `verified`: a checkpoint that was just read back.
pub(crate) async fn trim(core: &Core, verified: Option<CheckpointId>) -> Result<Trimmed> {
    let context = &core.context;
    if core.trim_is_held() {
        // A backup reads what would go; the next checkpoint trims.
        return Ok(Trimmed::default());
    }
    let Some((epoch, nonce, index)) = core.serving_now() else {
        return Err(Error::new(
            ErrorKind::Busy,
            "the journal does not serve at this moment; trim again later",
        ));
    };
    let own = Own {
        epoch,
        nonce,
        index,
    };
    let io = context.io();
    let starts = Starts::list(&io, context.journal).await?;
    let mut trimmed = Trimmed::default();
    let counting = checkpoint::list_counting(context, &starts).await?;
    let keep = context.config.keep_checkpoints;
    let Some(oldest_kept) = counting.get(keep - 1) else {
        return Ok(trimmed); // too few to drop anything
    };
    let threshold = oldest_kept.id.next_seq;
    let (chain, logs) = my_chain(context, &starts, own, threshold).await?;
    let doomed = doomed(&chain, &logs, epoch, threshold);
    if !doomed.is_empty() || counting.len() > keep {
        verify_kept(context, &counting[..keep], verified).await?;
    }
    let on_chain: Vec<Segment> = chain
        .into_iter()
        .filter(|s| doomed.iter().any(|(id, _)| *id == s.id()))
        .collect();
    archive::keep(context, &on_chain).await?;
    for (segment, len) in doomed {
        io.delete(&names::log_path(segment)?).await?;
        trimmed.segments += 1;
        trimmed.bytes += len;
    }
    for old in &counting[keep..] {
        io.delete(&names::checkpoint_path(old.id)?).await?;
        trimmed.checkpoints += 1;
    }
    trimmed.checkpoints += drop_leftovers(context, &starts, epoch).await?;
    trimmed.epochs = drop_empty_epochs(&io, &starts, epoch).await?;
    Ok(trimmed)
}

type Logs = Vec<(SegmentId, u64)>;

/// Where this primary stands.
#[derive(Clone, Copy)]
struct Own {
    epoch: Epoch,
    nonce: Nonce,
    /// The segment whose header is durable. A header behind it may be visible
    /// before its flush resolves: nothing is dropped for that one yet.
    index: u64,
}

/// This primary's chain, oldest first, and all logs with their lengths.
async fn my_chain(
    context: &Context,
    starts: &Starts,
    own: Own,
    threshold: SeqNo,
) -> Result<(VecDeque<Segment>, Logs)> {
    let start = starts.get(own.epoch).await?;
    let Some(start) = start.filter(|s| s.nonce == own.nonce) else {
        return Err(Error::new(
            ErrorKind::Busy,
            format!(
                "epoch {} is not served any more; trim again later",
                own.epoch
            ),
        ));
    };
    let logs = list_logs(&context.io()).await?;
    let known = |id: &SegmentId| id.epoch != own.epoch || id.index <= own.index;
    let mine: Vec<_> = logs.iter().filter(|(id, _)| known(id)).cloned().collect();
    // Where the present segment can't be seen, the one before it is kept too.
    let tail = visible_tail(context, starts, &start, &mine, Source::Medium, threshold).await?;
    let chain = match tail {
        Some(tail) => {
            chain::walk_back(context, starts, tail.segment, SeqNo::ZERO, threshold).await?
        }
        None => VecDeque::new(),
    };
    let logs = logs.into_iter().map(|(id, row)| (id, row.len)).collect();
    Ok((chain, logs))
}

/// What may go, the oldest first, so that a trim that is cut short leaves a
/// chain without a hole.
fn doomed(chain: &VecDeque<Segment>, logs: &Logs, epoch: Epoch, threshold: SeqNo) -> Logs {
    let successors = chain.iter().skip(1);
    let needless: BTreeSet<_> = chain
        .iter()
        .zip(successors)
        .filter(|(_, successor)| successor.first_seq <= threshold)
        .map(|(segment, _)| segment.id())
        .collect();
    let on_chain: BTreeSet<_> = chain.iter().map(Segment::id).collect();
    let mut doomed: Logs = logs
        .iter()
        .filter(|(id, _)| needless.contains(id) || (id.epoch < epoch && !on_chain.contains(id)))
        .copied()
        .collect();
    doomed.sort();
    doomed
}

/// Nothing is dropped for a checkpoint that can't be read.
async fn verify_kept(
    context: &Context,
    kept: &[Found],
    verified: Option<CheckpointId>,
) -> Result<()> {
    for found in kept.iter().filter(|f| verified != Some(f.id)) {
        checkpoint::verify(context, found)
            .await
            .map_err(|e| e.context("a kept checkpoint; nothing was trimmed"))?;
    }
    Ok(())
}

/// Drops checkpoints of older epochs that were claimed to be filled and were not: their
/// starts were decided against when this epoch was claimed.
async fn drop_leftovers(context: &Context, starts: &Starts, epoch: Epoch) -> Result<u64> {
    let io = context.io();
    let rows = io.list(&names::folder(names::CHECKPOINT_FOLDER)?).await?;
    let mut dropped = 0;
    for id in crate::objects::objects(rows, names::parse_checkpoint) {
        if id.epoch >= epoch || starts.get(id.epoch).await?.is_some() {
            continue;
        }
        let filled = match read_epoch(&io, context.journal, id.epoch).await {
            Ok(claim) => claim.is_some_and(|c| c.fill.is_some()),
            Err(e) if e.kind() == ErrorKind::Corrupt => false,
            Err(e) => return Err(e),
        };
        // One that was written late has no claim any more.
        if filled || starts.is_void(id.epoch).await? {
            io.delete(&names::checkpoint_path(id)?).await?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

/// Drops start and claim of older epochs without segments and checkpoints. The
/// fences stay: a fence outlives its log. So do voids: a restore that was stopped may wake at any
/// time, and its start would count.
async fn drop_empty_epochs(io: &Bounded, starts: &Starts, epoch: Epoch) -> Result<u64> {
    let mut used: BTreeSet<Epoch> = list_logs(io)
        .await?
        .iter()
        .map(|(id, _)| id.epoch)
        .collect();
    let rows = io.list(&names::folder(names::CHECKPOINT_FOLDER)?).await?;
    used.extend(
        crate::objects::objects(rows, names::parse_checkpoint)
            .iter()
            .map(|c| c.epoch),
    );
    let empty = |e: &&Epoch| **e < epoch && !used.contains(e);
    let mut dropped = 0;
    for old in starts.names().iter().filter(empty) {
        match starts.is_void(*old).await {
            Ok(false) => io.delete(&names::start_path(*old)?).await?,
            Ok(true) => {}
            // It may be one.
            Err(e) if matches!(e.kind(), ErrorKind::Io | ErrorKind::Corrupt) => {}
            Err(e) => return Err(e),
        }
    }
    for old in list_epochs(io).await?.iter().filter(empty) {
        io.delete(&names::epoch_path(*old)?).await?;
        dropped += 1;
    }
    Ok(dropped)
}
