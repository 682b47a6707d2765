//! Fencing a log by links (FC-9).
//!
//! The order is what makes it safe. Here: the log's file gets two more names,
//! *then* its length is read, then all of it and its names are made durable.
//! There: the server makes a write stable, *then* it reads the attributes for
//! its reply, and the writer acknowledges only if they show one link. So a write
//! that is acknowledged was stable before the first link, and its bytes are
//! within the length.
//!
//! Two names, because `delete` takes the log's own away: with one fence the file
//! would have one link again. The fences are never removed. All calls of a fence
//! must go over one connection: a server that lost its power between LINK and
//! COMMIT has lost the link, and its COMMIT would say Ok.

use crate::fault::{fault, refusal, refused};
use crate::folders::File;
use crate::names;
use crate::op::{Fail, Op};
use crate::store::Shared;
use flushproof_api::{ErrorKind, Result, StorePath};
use nfs3_types::nfs3::{nfs_fh3, nfsstat3};

/// A number twice, with a blank between and a newline behind.
const NOTE: usize = 42;

/// Fences a log; says below which offset its acknowledged bytes lie.
pub(crate) async fn fence(shared: &Shared, path: &StorePath) -> Result<u64> {
    shared.check_writable()?;
    let at = shared.at_log(path);
    let op = shared.op();
    let absent = || {
        let text = "there is no such log, and no fence of one";
        refusal(ErrorKind::NotFound, &at, text)
    };
    let failed = |e: Fail| fault("can't fence the log", &at, &e);
    let folder = shared.find_folder(&op, &path.parent()).await?;
    let folder = folder.ok_or_else(absent)?;
    refuse_foreign(shared, &op, &folder, path).await?;
    loop {
        op.begin_anew();
        let linked = link(shared, &op, &folder, path).await;
        match linked {
            Ok(Some(file)) => {
                let len = length(shared, &op, &folder, path, &file)
                    .await
                    .map_err(failed)?;
                shared.nfs.commit(&op, &file.handle).await.map_err(failed)?;
                if op.on_one_connection() {
                    return Ok(len);
                }
            }
            Ok(None) => return Err(absent()),
            // Deleted between two calls: what is there now?
            Err(e) if e.is_absent() && !op.is_over() => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

/// A fence that is a file of its own was made through a mount, by name; its length
/// says nothing about the log's.
async fn refuse_foreign(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    path: &StorePath,
) -> Result<()> {
    let at = shared.at_log(path);
    let [first, _] = names::fences(path);
    let found = shared.find_file(op, folder, &first).await;
    let found = found.map_err(|e| fault("can't look at the log's fence", &at, &e))?;
    match found {
        Some(file) if file.attributes.nlink == 1 && file.attributes.size <= NOTE as u64 => {
            Err(refusal(
                ErrorKind::Unsupported,
                &at,
                "the log was fenced by name, by a primary on a mount; make a primary there \
                 (nfs:///…) once more and close it, then open the journal here",
            ))
        }
        _ => Ok(()),
    }
}

/// Gives the log's file both fence names, where they are missing.
async fn link(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    path: &StorePath,
) -> Result<Option<File>, Fail> {
    let [first, second] = names::fences(path);
    let fenced = shared.find_file(op, folder, &first).await?;
    let fenced = match fenced {
        Some(fenced) => fenced,
        None => {
            let log = shared.find_file(op, folder, &names::log(path)).await?;
            let Some(log) = log else { return Ok(None) };
            link_to(shared, op, &log, folder, &first).await?
        }
    };
    // From the fence, not from the log: another log of that name is not what was
    // fenced. (It refuses itself when it finds the fence.)
    link_to(shared, op, &fenced, folder, &second)
        .await
        .map(Some)
}

/// Gives a file one more name. A name that is taken is as good: somebody else
/// fences too, or this is a repetition.
async fn link_to(
    shared: &Shared,
    op: &Op,
    file: &File,
    folder: &nfs_fh3,
    name: &str,
) -> Result<File, Fail> {
    match shared.nfs.link(op, &file.handle, folder, name).await {
        Ok(()) => Ok(file.clone()),
        Err(e) if e.is(nfsstat3::NFS3ERR_EXIST) => {
            let there = shared.find_file(op, folder, name).await?;
            there.ok_or(Fail::Status(nfsstat3::NFS3ERR_NOENT))
        }
        Err(e) => Err(e),
    }
}

/// The length of a fenced log, also while another process empties it.
async fn length(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    path: &StorePath,
    file: &File,
) -> Result<u64, Fail> {
    let before = shared.nfs.getattr(op, &file.handle).await?;
    let noted = read_note(shared, op, folder, path).await?;
    // The note goes when the length is back: so it is read last.
    let after = shared.nfs.getattr(op, &file.handle).await?;
    if after.nlink < 2 {
        return Err(Fail::Status(nfsstat3::NFS3ERR_STALE)); // look again
    }
    Ok(before.size.max(after.size).max(noted.unwrap_or(0)))
}

/// The length that is noted while a log is emptied; `None` when there is no note
/// or it is damaged.
async fn read_note(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    path: &StorePath,
) -> Result<Option<u64>, Fail> {
    let Some(note) = shared.find_file(op, folder, &names::length(path)).await? else {
        return Ok(None);
    };
    let read = match shared.nfs.read(op, &note.handle, 0, NOTE as u32).await {
        Ok(read) => read,
        Err(e) if e.is_absent() => return Ok(None),
        Err(e) => return Err(e),
    };
    let text = std::str::from_utf8(&read.bytes).unwrap_or("");
    let twice = text.strip_suffix('\n').and_then(|t| t.split_once(' '));
    Ok(twice.and_then(|(one, two)| one.parse().ok().filter(|_| one == two)))
}

/// Gives the room of a deleted log back whose fence stays: its file becomes a
/// hole of the same length, because a fence asked again may not say less. The
/// length is noted meanwhile.
pub(crate) async fn empty(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    path: &StorePath,
) -> Result<()> {
    let at = shared.at_log(path);
    let [first, second] = names::fences(path);
    let failed = |e: Fail| refused("can't give back the room of a fenced log", &at, &e);
    let fence = shared.find_file(op, folder, &first).await.map_err(failed)?;
    let Some(fence) = fence else { return Ok(()) };
    let noted = read_note(shared, op, folder, path).await.map_err(failed)?;
    if fence.attributes.used == 0 && noted.is_none() {
        return Ok(());
    }
    // A fencer that stopped half-way: the file must not have one link.
    link_to(shared, op, &fence, folder, &second)
        .await
        .map_err(failed)?;
    let len = fence.attributes.size.max(noted.unwrap_or(0));
    let emptied = async {
        let note = shared
            .make_temporary(op, folder, &names::length(path), 0o644)
            .await?;
        let text = format!("{len:020} {len:020}\n");
        shared.nfs.write(op, &note.handle, 0, text.into()).await?;
        for size in [0, len] {
            shared
                .nfs
                .setattr(op, &fence.handle, crate::store::size(size))
                .await?;
        }
        shared.nfs.commit(op, &fence.handle).await?;
        shared.remove(op, folder, &names::length(path)).await
    };
    emptied.await.map_err(failed)
}
