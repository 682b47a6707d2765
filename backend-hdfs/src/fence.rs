//! Fencing a log: the NameNode takes its lease away (FC-9).
//!
//! In this order: a folder is made beside the log, its *fence*; `recoverLease` is
//! asked again and again until the file is closed; its length is L; L is noted in
//! the fence.
//!
//! Why that is enough. A flush answers Ok only after the NameNode has noted the
//! flush's length, and the NameNode does that only for the holder of the lease
//! (`fsync` checks holder and file id). The first `recoverLease` gives the lease to
//! the NameNode itself. So a flush that ever answers Ok was noted before that, its
//! bytes were synced by every DataNode in the pipeline before it was noted (b),
//! and block recovery keeps at least what all replicas of the latest generation
//! have, so they are below L (a). A closed file is opened again by nobody here
//! (there is no append in this crate), and never by the old writer: its file id
//! is closed for ever, or deleted (d). That the file is closed is an edit of the
//! NameNode, as durable as any name (d).
//!
//! The folder adds what a closed file can't tell: it outlives the log, so that a
//! name is not created again by a writer that is late (d, (FC-9)), and it tells
//! the old writer apart from one whose lease just ran out: `Fenced`, not `Io`.
//!
//! Renaming does not fence: the lease goes with the file. To try to create or append
//! to a log does, after 60 s of silence of its writer; so a live log is only looked at.

use crate::fault::{fault, is_not_found, is_recovering, late, refusal};
use crate::names;
use crate::store::Shared;
use flushproof_api::{Advice, ErrorKind, Result, StorePath};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait before the NameNode is asked again. Recovery waits for the
/// next heartbeat of a DataNode (3 s by default).
const AGAIN: Duration = Duration::from_millis(50);

/// The longest wait for a DataNode that can recover the block: two heartbeats of the
/// default.
const SETTLE: Duration = Duration::from_secs(7);

/// Fences a log; says below which offset its acknowledged bytes lie. Goes on
/// when its future is dropped.
pub(crate) async fn fence(shared: Arc<Shared>, path: StorePath) -> Result<u64> {
    shared.check_path(&path)?;
    let io = shared.nn.io.clone();
    io.run(try_fence(shared, path)).await
}

async fn try_fence(shared: Arc<Shared>, path: StorePath) -> Result<u64> {
    let (log, fence) = (shared.names.log(&path), shared.names.fence(&path));
    let (found, marked) = tokio::join!(shared.nn.info(&log), shared.nn.info(&fence));
    let marked = marked?.is_some();
    if found?.is_none() {
        return match marked {
            true => Ok(noted(&shared, &fence).await?.unwrap_or(0)),
            false => {
                let text = "there is no such log, and no fence of one";
                Err(refusal(ErrorKind::NotFound, &log, text))
            }
        };
    }
    let before = match marked {
        true => noted(&shared, &fence).await?,
        false => {
            shared.nn.make_folder(&fence).await?;
            None
        }
    };
    let len = closed_length(&shared, &log).await?;
    // Deleted meanwhile: what was noted stands.
    let len = len.unwrap_or(0).max(before.unwrap_or(0));
    if before != Some(len) {
        shared
            .nn
            .make_folder(&shared.names.note(&path, len))
            .await?;
    }
    Ok(len)
}

/// The length of the log, closed. Asked until nothing took its place meanwhile: a
/// writer that had sent nothing yet may have put its first file there (`first.rs`).
async fn closed_length(shared: &Shared, log: &str) -> Result<Option<u64>> {
    let doubtful = shared.copies.suspected();
    let limit = SETTLE.min(shared.settings.fence_timeout / 2);
    shared.watch.settle(log, doubtful, limit).await;
    let mut last = None;
    while close(shared, log).await? {
        let Some(info) = shared.nn.info(log).await? else {
            break;
        };
        let found = Some((info.length as u64, info.modification_time));
        if found == last {
            return Ok(Some(info.length as u64));
        }
        last = found;
    }
    Ok(None)
}

/// Takes the lease away and waits until the file is closed; false if it is gone.
async fn close(shared: &Shared, log: &str) -> Result<bool> {
    let what = "can't take the lease of the log's writer away";
    let limit = shared.settings.fence_timeout;
    let began = Instant::now();
    let mut last = None;
    while began.elapsed() < limit {
        let name = log.to_owned();
        let each = shared.settings.timeout.min(limit);
        let asked = shared.nn.ask(what, log, each, |client| async move {
            client.recover_lease(&name).await
        });
        match asked.await {
            Ok(Ok(true)) => return Ok(true),
            Ok(Ok(false)) => {}
            Ok(Err(e)) if is_recovering(&e) => {}
            Ok(Err(e)) if is_not_found(&e) => return Ok(false),
            Ok(Err(e)) => {
                let error = fault(what, log, &e);
                if error.kind() != ErrorKind::Unreachable {
                    return Err(error);
                }
                last = Some(error); // the NameNode may be back in time
            }
            Err(e) if e.kind() == ErrorKind::TimedOut => last = Some(e),
            Err(e) => return Err(e),
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(last.unwrap_or_else(|| late(what, log, limit, "fence_timeout").with_advice(Advice::Retry)))
}

/// The highest length that a fence notes.
pub(crate) async fn noted(shared: &Shared, fence: &str) -> Result<Option<u64>> {
    let rows = shared.nn.list(fence).await?.unwrap_or_default();
    let lengths = rows.iter().filter_map(|row| names::noted(&row.name));
    Ok(lengths.max())
}
