//! Fencing a log by name (FC-9).
//!
//! The order is what makes it safe. Here: the fence's name appears, its folder
//! is synced, *then* the log's length is taken. There: a write completes, *then*
//! the writer looks for the name, then it acknowledges. So a flush that is
//! acknowledged has looked before the name appeared, and its bytes were durable
//! and within the length before that length was taken.

use crate::disk::{Folder, How, write_all};
use crate::fault::{fault, refusal, refused};
use crate::names;
use crate::store::Shared;
use flushproof_api::{ErrorKind, Result, StorePath};
use std::io;
use std::path::Path;

/// A decimal number, a blank, the same number and a newline, of one length always.
const CONTENT: usize = 42;

/// Fences a log; says below which offset its acknowledged bytes lie. Blocking.
pub(crate) fn fence(shared: &Shared, path: &StorePath) -> Result<u64> {
    let (log, fence) = (names::log(path), names::fence(path));
    let at = shared.log_file(path);
    let absent = || {
        let text = "there is no such log, and no fence of one";
        refusal(ErrorKind::NotFound, &at, text)
    };
    if crate::folders::find(&shared.root, &path.parent())?.is_none() {
        return Err(absent());
    }
    let folder = shared.folder_to_write(path)?;
    let exists = |name: &str| {
        let found = folder.exists(name);
        found.map_err(|e| refused("can't look for the log", &at, e))
    };
    if !exists(&fence)? {
        if !exists(&log)? {
            return Err(absent());
        }
        match folder.create(&fence, How::WRITE, None) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(fault("can't create the fence", &at, e)),
        }
    }
    refuse_links(folder.as_ref(), &log, &fence, &at)?;
    // Also when it was there: whoever created it may not have come this far.
    let synced = folder.sync();
    synced.map_err(|e| fault("can't make the fence's name durable", &at, e))?;
    let found = length_on_the_medium(folder.as_ref(), &log, &at)?;
    let noted = read(folder.as_ref(), &fence)
        .map_err(|e| fault("can't read the fence", &at, e))?
        .unwrap_or(0);
    let len = found.unwrap_or(0).max(noted);
    if found.is_some_and(|found| found < len) {
        restore_length(folder.as_ref(), &log, len, &at)?;
    }
    if len != noted || noted == 0 {
        note(folder.as_ref(), &fence, len).map_err(|e| fault("can't write the fence", &at, e))?;
    }
    Ok(len)
}

/// Through `nfs://` a log is fenced by links to its own file: to note a length in
/// such a fence would be to write over the log. On a mount such a journal can be met.
fn refuse_links(folder: &dyn Folder, log: &str, fence: &str, at: &Path) -> Result<()> {
    let id = |name: &str| match folder.stat(name) {
        Ok(meta) => Ok(Some(meta.id)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fault("can't look at the fence", at, e)),
    };
    let is_link = id(log)?.is_some_and(|log| id(fence).is_ok_and(|fence| fence == Some(log)));
    if !is_link && id(&format!("{fence}2"))?.is_none() {
        return Ok(());
    }
    Err(refusal(
        ErrorKind::Unsupported,
        at,
        "the log was fenced by links, by a primary on nfs://; make a primary there once more and \
         close it, then open the journal here",
    ))
}

/// The log's length; all that can be read of it is durable afterwards, so that
/// a reader's findings last (FC-9 c).
fn length_on_the_medium(folder: &dyn Folder, log: &str, at: &Path) -> Result<Option<u64>> {
    let file = match folder.open(log, How::READ) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fault("can't open the log", at, e)),
    };
    let len = file.sync_data().and_then(|()| file.stat());
    let len = len.map_err(|e| fault("can't make the log durable", at, e))?;
    Ok(Some(len.len))
}

/// A writer that was sealing its log when it was fenced may have cut it after
/// the length was taken: the length is given back, as zeros (FC-2).
fn restore_length(folder: &dyn Folder, log: &str, len: u64, at: &Path) -> Result<()> {
    let restored = folder
        .open(log, How::WRITE)
        .and_then(|file| file.set_len(len).and_then(|()| file.sync_all()));
    restored.map_err(|e| fault("can't restore the log's length", at, e))
}

/// The length that a fence notes; `None` while it is empty or not there, and when
/// it is damaged: a wrong number could make the log's file as long as the disk.
pub(crate) fn read(folder: &dyn Folder, fence: &str) -> io::Result<Option<u64>> {
    let file = match folder.open(fence, How::READ) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = [0; CONTENT];
    let n = crate::disk::read_full(file.as_ref(), &mut bytes, 0, 1)?;
    let text = std::str::from_utf8(&bytes[..n]).unwrap_or("");
    let twice = text.strip_suffix('\n').and_then(|t| t.split_once(' '));
    Ok(twice.and_then(|(one, two)| one.parse().ok().filter(|_| one == two)))
}

fn note(folder: &dyn Folder, fence: &str, len: u64) -> io::Result<()> {
    let how = How {
        write: true,
        direct: false,
        dsync: true,
    };
    let file = folder.open(fence, how)?;
    let text = format!("{len:020} {len:020}\n");
    write_all(file.as_ref(), &[text.as_bytes()], 0).map_err(|s| s.error)
}

#[cfg(test)]
mod tests;
