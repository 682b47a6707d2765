//! Logs: creating a zero-filled segment, writing and sealing it.
//!
//! A segment is preallocated *and* zero-filled before its name appears: writing
//! into blocks that hold data changes no metadata, so a flush is one device
//! write (143 µs against 231 µs into blocks that are only allocated; ext4 on
//! virtio). A log that outgrows its segment takes the zeros of the next piece
//! along with the batch, in the same write.

use crate::buffer::{AlignedBuf, zeros};
use crate::contract::MAX_LOG;
use crate::disk::{File, FileId, Folder, How, Meta, Stopped, write_all};
use crate::fault::{fault, fenced, refusal, refused};
use crate::names;
use crate::options::Method;
use crate::store::{Shared, blocking};
use crate::temp::Temp;
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{
    Error, ErrorKind, Flush, Flushed, LogWriter, MIN_MAX_BATCH, Outcome, Result, StorePath,
    Survives,
};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The length of a log whose expected length is not known.
const FIRST_LEN: u64 = 1 << 20;
/// By how much a log grows that outgrows its zeros.
const STEP: u64 = 1 << 20;

/// What became of a log that this store wrote: only a retired one may be
/// recycled, for into any other an old descriptor may still write.
#[derive(Debug)]
pub(crate) struct Fate {
    pub id: FileId,
    retired: AtomicBool,
}

impl Fate {
    /// The writer is gone, every flush was Ok, and it was not sealed.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// Creates a log. Blocking.
pub(crate) fn create(shared: &Arc<Shared>, path: &StorePath, hint: u64) -> Result<LocalLog> {
    let folder = shared.folder_to_write(path)?;
    let (name, at) = (names::log(path), shared.log_file(path));
    let exists = |name: &str| {
        let found = folder.exists(name);
        found.map_err(|e| refused("can't look for the log", &at, e))
    };
    if exists(&names::fence(path))? {
        return Err(fenced(&at).with_outcome(Outcome::NotWritten));
    }
    if exists(&name)? {
        return Err(taken(&at));
    }
    let hint = if hint == 0 { FIRST_LEN } else { hint };
    let block = shared.contract.block as u64;
    let wanted = hint.min(MAX_LOG).next_multiple_of(block);
    let (file, filled) = match place_spare(shared, &folder, path, wanted)? {
        Some(placed) => placed,
        None => place_new(shared, &folder, path, wanted)?,
    };
    let meta = make_durable(folder.as_ref(), path, file.as_ref(), &at).inspect_err(|e| {
        if e.kind() != ErrorKind::Fenced {
            // Not to be left half done: a second try finds the name free.
            let _ = folder.remove(&name).and_then(|()| folder.sync());
        }
    })?;
    let fate = Arc::new(Fate {
        id: meta.id,
        retired: AtomicBool::new(false),
    });
    shared.remember(path, fate.clone());
    Ok(LocalLog(Arc::new(Mutex::new(Inner {
        file,
        folder,
        fence: names::fence(path),
        at,
        method: shared.method,
        block: shared.contract.block,
        survives: shared.contract.survives,
        mode: meta.mode,
        len: 0,
        filled,
        first_error: None,
        sealed: false,
        fate,
    }))))
}

/// Makes a new log's name durable and looks for the fence again: one that came
/// between the first look and the name stops this very log.
fn make_durable(folder: &dyn Folder, path: &StorePath, file: &dyn File, at: &Path) -> Result<Meta> {
    let synced = folder.sync();
    synced.map_err(|e| fault("can't make the log's name durable", at, e))?;
    match folder.exists(&names::fence(path)) {
        Ok(false) => file
            .stat()
            .map_err(|e| fault("can't look at the log", at, e)),
        Ok(true) => Err(fenced(at)),
        Err(e) => Err(fault("can't look for the log's fence", at, e)),
    }
}

fn taken(at: &Path) -> Error {
    refusal(ErrorKind::AlreadyExists, at, "the log exists")
}

type Placed = (Arc<dyn File>, u64);

/// Gives a fitting spare the log's name.
fn place_spare(
    shared: &Shared,
    folder: &Arc<dyn Folder>,
    path: &StorePath,
    wanted: u64,
) -> Result<Option<Placed>> {
    let at = shared.log_file(path);
    while let Some(spare) = shared.spares.take(path, wanted) {
        let Ok(file) = folder.open(&spare.name, shared.method.how()) else {
            continue; // somebody swept it away
        };
        if !file
            .stat()
            .is_ok_and(|m| m.id == spare.id && m.len == spare.len)
        {
            continue;
        }
        return match folder.rename_new(&spare.name, &names::log(path)) {
            Ok(()) => {
                shared.in_use.remove(&spare.name);
                Ok(Some((file, spare.len)))
            }
            Err(e) => {
                shared.spares.put_back(spare);
                match e.kind() {
                    io::ErrorKind::AlreadyExists => Err(taken(&at)),
                    _ => Err(refused("can't name the log", &at, e)),
                }
            }
        };
    }
    Ok(None)
}

/// Makes a zero-filled file and gives it the log's name. On a full disk the
/// spares are given up first.
fn place_new(
    shared: &Shared,
    folder: &Arc<dyn Folder>,
    path: &StorePath,
    len: u64,
) -> Result<Placed> {
    let at = shared.log_file(path);
    let filled = match zero_filled(shared, folder, len) {
        Err(e) if e.kind() == io::ErrorKind::StorageFull && shared.spares.clear(shared) > 0 => {
            zero_filled(shared, folder, len)
        }
        filled => filled,
    };
    let what = "can't prepare the log";
    let (mut temp, file) = filled.map_err(|e| refused(what, &at, e))?;
    match temp.publish(&names::log(path)) {
        Ok(()) => Ok((file, len)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(taken(&at)),
        Err(e) => Err(refused("can't name the log", &at, e)),
    }
}

/// A temporary of `len` written zeros, durable, opened for the flush method.
fn zero_filled(
    shared: &Shared,
    folder: &Arc<dyn Folder>,
    len: u64,
) -> io::Result<(Temp, Arc<dyn File>)> {
    let how = How {
        write: true,
        direct: shared.method == Method::Direct,
        dsync: false,
    };
    let (temp, file) = Temp::create(folder, &shared.in_use, how, None)?;
    file.reserve(0, len)?;
    file.set_len(len)?;
    let mut at = 0;
    while at < len {
        let piece = &zeros()[..(len - at).min(zeros().len() as u64) as usize];
        write_all(file.as_ref(), &[piece], at).map_err(|s| s.error)?;
        at += piece.len() as u64;
    }
    file.sync_all()?;
    if !how.direct {
        file.forget_cached(0, len)?;
    }
    let flushing = temp.open(shared.method.how())?;
    Ok((temp, flushing))
}

/// The writer of one log. Shared with a `seal` that goes on after its future was dropped.
pub(crate) struct LocalLog(Arc<Mutex<Inner>>);

impl std::fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalLog").finish_non_exhaustive()
    }
}

struct Inner {
    file: Arc<dyn File>,
    folder: Arc<dyn Folder>,
    fence: String,
    /// For messages.
    at: PathBuf,
    method: Method,
    block: usize,
    survives: Survives,
    mode: u32,
    /// The durable length.
    len: u64,
    /// Up to here the file is filled with zeros or old bytes.
    filled: u64,
    /// The first error is final (FC-4).
    first_error: Option<Error>,
    sealed: bool,
    fate: Arc<Fate>,
}

#[async_trait]
impl LogWriter for LocalLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        Flush::ready(self.inner().append(&batch))
    }

    async fn seal(&mut self) -> Result<u64> {
        let inner = self.0.clone();
        blocking(move || lock(&inner).seal()).await
    }
}

impl LocalLog {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }
}

/// A panic while the lock was held would have left `first_error` unset, but
/// nothing in [`Inner`] panics.
fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn append(&mut self, batch: &Bytes) -> Result<Flushed> {
        self.usable()?;
        if self.sealed {
            return Err(refusal(ErrorKind::Closed, &self.at, "the log is sealed"));
        }
        let result = self.write(batch).and_then(|()| self.check_fence());
        self.latch(result)?;
        self.len += batch.len() as u64;
        Ok(Flushed::new(self.len, self.survives))
    }

    /// Fails for ever after the first error.
    fn usable(&self) -> Result<()> {
        match &self.first_error {
            None => Ok(()),
            Some(first) if first.kind() == ErrorKind::Fenced => {
                Err(first.clone().with_outcome(Outcome::NotWritten))
            }
            Some(first) => Err(refusal(
                ErrorKind::Poisoned,
                &self.at,
                &format!("an earlier failure made this log's writer unusable: {first}"),
            )
            .with_source(first.clone())),
        }
    }

    /// The one place where an error becomes final.
    fn latch<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(e) = &result {
            self.first_error = Some(e.clone());
        }
        result
    }

    fn write(&mut self, batch: &Bytes) -> Result<()> {
        self.check_shape(batch)?;
        let end = self.len + batch.len() as u64;
        let copy;
        let batch: &[u8] = match self.method {
            Method::Direct if batch.as_ptr().addr() % self.block != 0 => {
                copy = aligned_copy(batch);
                copy.as_ref()
            }
            _ => batch,
        };
        let behind = match end <= self.filled {
            true => &[],
            false => &zeros()[..self.grow(end)?],
        };
        let written = write_all(self.file.as_ref(), &[batch, behind], self.len);
        written.map_err(|stopped| self.stopped(stopped))?;
        if self.method.syncs() {
            let synced = self.file.sync_data();
            synced.map_err(|e| fault("can't make the log's bytes durable", &self.at, e))?;
        }
        self.filled = self.filled.max(end + behind.len() as u64);
        Ok(())
    }

    fn check_shape(&self, batch: &[u8]) -> Result<()> {
        let wrong = |text: &str| Err(refusal(ErrorKind::InvalidInput, &self.at, text));
        if batch.is_empty() || batch.len() % self.block != 0 {
            return wrong(&format!(
                "a batch of {} bytes is not a multiple of the block of {}",
                batch.len(),
                self.block
            ));
        }
        if batch.len() > MIN_MAX_BATCH {
            return wrong("a batch is longer than max_batch");
        }
        if self.len + batch.len() as u64 > MAX_LOG {
            return wrong("the log is longer than max_log; roll to the next");
        }
        Ok(())
    }

    /// Reserves the next piece for a batch that ends at `end`; says how many
    /// zeros to write behind it. On an almost full disk: none.
    fn grow(&self, end: u64) -> Result<usize> {
        let roomy = (end + 1).next_multiple_of(STEP).min(MAX_LOG);
        for target in [roomy, end] {
            match self.file.reserve(self.filled, target - self.filled) {
                Ok(()) => return Ok((target - end) as usize),
                Err(e) if e.kind() == io::ErrorKind::StorageFull && target != end => {}
                Err(e) => {
                    let _ = self.file.set_len(self.filled); // gives back what was reserved
                    return Err(refused("can't make the log longer", &self.at, e));
                }
            }
        }
        Ok(0)
    }

    /// A write failed. Its bytes are certainly not there only if none was
    /// accepted and the file ended before them.
    fn stopped(&self, stopped: Stopped) -> Error {
        let error = fault("can't write to the log", &self.at, stopped.error);
        let full = error.kind() == ErrorKind::NoSpace;
        if full && stopped.written == 0 && self.len == self.filled {
            let cut = self.file.set_len(self.filled);
            if cut.is_ok() && self.file.stat().is_ok_and(|m| m.len == self.filled) {
                return error.with_outcome(Outcome::NotWritten);
            }
        }
        error
    }

    /// Looks for the fence; begins after the write that it covers has completed.
    fn check_fence(&self) -> Result<()> {
        match self.folder.exists(&self.fence) {
            Ok(false) => Ok(()),
            Ok(true) => Err(fenced(&self.at)),
            Err(e) => Err(fault("can't look for the log's fence", &self.at, e)),
        }
    }

    /// Cuts the file to its durable length and takes the permission to write away.
    fn seal(&mut self) -> Result<u64> {
        self.usable()?;
        if !self.sealed {
            let result = self.try_seal();
            self.latch(result)?;
            self.sealed = true;
        }
        Ok(self.len)
    }

    fn try_seal(&self) -> Result<()> {
        self.check_fence()?;
        let shape = |len: u64, mode: u32| {
            self.file.set_len(len)?;
            self.file.set_mode(mode)?;
            self.file.sync_all()
        };
        let sealed = shape(self.len, self.mode & !0o222);
        sealed.map_err(|e| fault("can't seal the log", &self.at, e))?;
        self.check_fence().inspect_err(|_| {
            // Who fenced it meanwhile may be reading up to the old length.
            let _ = shape(self.filled, self.mode);
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.first_error.is_none() && !self.sealed {
            self.fate.retired.store(true, Ordering::Release);
        }
    }
}

/// For callers whose batches don't begin at a multiple of the block.
fn aligned_copy(bytes: &[u8]) -> AlignedBuf {
    let mut copy = AlignedBuf::new(bytes.len());
    copy.as_mut().copy_from_slice(bytes);
    copy
}
