//! Creating a log, and sealing it: its life at both ends.

use crate::fault::{fault, fenced, refusal, refused};
use crate::folders::File;
use crate::log::{Log, NfsLog};
use crate::names;
use crate::object::publish;
use crate::op::{Fail, Op};
use crate::store::Shared;
use flushproof_api::{Advice, Error, ErrorKind, Result, StorePath};
use nfs3_types::nfs3::{nfs_fh3, sattr3, set_mode3};
use std::sync::Arc;

/// The mode of a log that is written.
const OPEN: u32 = 0o644;
/// Of a sealed one.
const SEALED: u32 = 0o444;

/// Creates a log, exclusively, durably, and only where no fence stands.
pub(crate) async fn create(shared: &Arc<Shared>, path: &StorePath) -> Result<NfsLog> {
    let at = shared.at_log(path);
    let op = shared.op();
    let folder = shared.folder_to_write(&op, path).await?;
    refuse_fenced(shared, &op, &folder, path, None).await?;
    let temporary = names::temporary()?;
    shared.in_use.insert(&temporary);
    let made = make(shared, &op, &folder, path, &temporary, &at).await;
    if made.is_err()
        && let Err(e) = shared.remove(&op, &folder, &temporary).await
    {
        tracing::warn!(name = temporary, error = ?e, "temporary left to sweep");
    }
    shared.in_use.remove(&temporary);
    let file = made?;
    // Also one that was made since the first look: its maker may not have seen us.
    refuse_fenced(shared, &op, &folder, path, Some(&file)).await?;
    let attributes = shared.nfs.getattr(&op, &file.handle).await;
    let attributes = attributes.map_err(|e| fault("can't look at the new log", &at, &e))?;
    let log = NfsLog::new(shared.clone(), at, file.handle.clone(), file.id());
    log.0.check(&attributes)?;
    if attributes.size != 0 {
        return Err(log.0.doubt("the new log is not empty"));
    }
    Ok(log)
}

/// A file under a name that nobody else has, LINK to the log's name, COMMIT. A
/// repetition finds its own success by the file's number.
///
/// Not by CREATE EXCLUSIVE: nfs-ganesha makes the file first and stores the verifier
/// afterwards. Killed in between, it answers the same call with "exists" (measured).
async fn make(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    path: &StorePath,
    temporary: &str,
    at: &str,
) -> Result<File> {
    let failed = |e: Fail| fault("can't create the log", at, &e);
    let made = shared.make_temporary(op, folder, temporary, OPEN).await;
    // What has no name of the log yet is none.
    let file = made.map_err(|e| refused("can't create the log", at, &e))?;
    publish(shared, op, &file, folder, &names::log(path), ("log", at)).await?;
    loop {
        op.begin_anew();
        shared.remove(op, folder, temporary).await.map_err(failed)?;
        // A name that came back after a power cut would look like a fence.
        shared.nfs.commit(op, &file.handle).await.map_err(failed)?;
        if op.on_one_connection() {
            return Ok(file);
        }
    }
}

/// A fence at a log's name refuses it for ever. `own` is what was just created
/// there: it goes again, unless it is itself what was fenced.
async fn refuse_fenced(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    path: &StorePath,
    own: Option<&File>,
) -> Result<()> {
    let at = shared.at_log(path);
    for name in names::fences(path) {
        let fence = shared.find_file(op, folder, &name).await;
        let fence = fence.map_err(|e| refused("can't look for a fence", &at, &e))?;
        let Some(fence) = fence else { continue };
        let Some(own) = own else {
            let text = "a fence of an earlier log stands at this name";
            return Err(refusal(ErrorKind::Fenced, &at, text));
        };
        if fence.id() != own.id() {
            let removed = shared.remove(op, folder, &names::log(path)).await;
            removed.map_err(|e| fault("can't remove a log that was fenced", &at, &e))?;
        }
        return Err(fenced(&at));
    }
    Ok(())
}

/// Ends a log: nobody may write it, and its length is what was flushed. A
/// fencer's length is not cut: a log never is.
pub(crate) async fn seal(log: &Arc<Log>) -> Result<u64> {
    let shared = &log.shared;
    let op = shared.op();
    let drained = tokio::time::timeout_at(op.deadline, log.drained()).await;
    let len = drained.map_err(|_| {
        let text = format!("{}: a flush was still under way", log.at);
        Error::new(ErrorKind::TimedOut, text).with_advice(Advice::Reopen)
    })??;
    let failed = |e: Fail| fault("can't seal the log", &log.at, &e);
    loop {
        op.begin_anew();
        let attributes = sattr3 {
            mode: set_mode3::Some(SEALED),
            ..sattr3::default()
        };
        let before = shared.nfs.getattr(&op, &log.handle).await.map_err(failed)?;
        log.check(&before).inspect_err(|e| log.give_up(e))?;
        shared
            .nfs
            .setattr(&op, &log.handle, attributes)
            .await
            .map_err(failed)?;
        shared.nfs.commit(&op, &log.handle).await.map_err(failed)?;
        let after = shared.nfs.getattr(&op, &log.handle).await.map_err(failed)?;
        log.check(&after).inspect_err(|e| log.give_up(e))?;
        if after.size != len {
            let what = format!("the file has {} bytes, but {len} were flushed", after.size);
            return Err(log.doubt(&what));
        }
        if op.on_one_connection() {
            log.set_sealed();
            return Ok(len);
        }
    }
}
