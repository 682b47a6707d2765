//! Deleting, and sweeping up what was left.

use crate::fault::{fault, refusal};
use crate::fence;
use crate::names;
use crate::op::{Fail, Op};
use crate::store::Shared;
use flushproof_api::{ErrorKind, Result, StorePath};
use nfs3_types::nfs3::{ftype3, nfs_fh3};
use std::time::Duration;

/// Removes an object or a log; a log's fence stays, its room is given back.
///
/// The writer of a log that was never fenced sees no link any more, or a stale
/// handle: neither is an acknowledgement.
pub(crate) async fn delete(shared: &Shared, path: &StorePath) -> Result<()> {
    shared.check_writable()?;
    let at = shared.at(path);
    if path.as_str().is_empty() {
        return Err(refusal(
            ErrorKind::InvalidInput,
            &at,
            "the root can't be deleted",
        ));
    }
    let op = shared.op();
    let Some(folder) = shared.find_folder(&op, &path.parent()).await? else {
        return Ok(());
    };
    let mut removed = false;
    for name in [names::object(path), names::log(path)] {
        let done = remove_once(shared, &op, &folder, &name).await;
        removed |= done.map_err(|e| fault("can't delete", &at, &e))?;
    }
    // After the name: a reader of the emptied file finds it deleted.
    fence::empty(shared, &op, &folder, path).await?;
    if removed {
        shared.settle(&op, &folder, &at).await?;
    }
    Ok(())
}

/// Removes a file by its name; says whether it was there. A REMOVE whose answer
/// was lost is repeated only if the name still leads to the same file: another
/// one may have been made there meanwhile.
async fn remove_once(shared: &Shared, op: &Op, folder: &nfs_fh3, name: &str) -> Result<bool, Fail> {
    let Some(first) = shared.find_file(op, folder, name).await? else {
        return Ok(false);
    };
    loop {
        match shared.nfs.remove_unrepeated(op, folder, name).await {
            Err(Fail::Call(e)) if e.is_broken_connection() => {
                let found = shared.find_file(op, folder, name).await?;
                if found.is_none_or(|file| file.id() != first.id()) {
                    return Ok(true);
                }
            }
            Err(e) if !e.is_absent() => return Err(e),
            _ => return Ok(true),
        }
    }
}

/// Removes temporaries that have not changed for a while, by the server's clock.
pub(crate) async fn sweep(shared: &Shared, older_than: Duration) -> Result<u64> {
    shared.check_writable()?;
    let at = shared.at(&StorePath::root());
    let failed = |e: Fail| fault("can't sweep", &at, &e);
    let now = server_time(shared).await.map_err(failed)?;
    let mut removed = 0;
    for (folder, files) in shared.walk().await? {
        for (name, attributes) in files {
            let leftover = names::is_leftover(&name) && !shared.in_use.contains(&name);
            let changed = Duration::new(attributes.ctime.seconds.into(), 0);
            let old = changed + older_than <= now;
            if leftover && old && attributes.type_ == ftype3::NF3REG {
                let op = shared.op();
                shared.remove(&op, &folder, &name).await.map_err(failed)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// What time the server has: that of a file that was just made.
async fn server_time(shared: &Shared) -> Result<Duration, Fail> {
    let op = shared.op();
    let name =
        names::temporary().map_err(|_| Fail::Status(nfs3_types::nfs3::nfsstat3::NFS3ERR_IO))?;
    let file = shared
        .make_temporary(&op, &shared.root, &name, 0o600)
        .await?;
    shared.remove(&op, &shared.root, &name).await?;
    let ctime = file.attributes.ctime;
    Ok(Duration::new(ctime.seconds.into(), 0))
}
