//! [`LocalStore`]: a folder on a disk of this machine.

use crate::contract::{Terms, contract, on_terms};
use crate::disk::real::RealDisk;
use crate::disk::{Disk, Folder, LockGuard};
use crate::fault::{fault, refusal, refused};
use crate::folders::{self, Folders};
use crate::log::Fate;
use crate::options::{Method, Settings};
use crate::spares::{Spare, Spares};
use crate::temp::InUse;
use crate::{fence, host_lock, list, log, names, object, probe, reader};
use async_trait::async_trait;
use flushproof_api::{
    BoxStream, Error, ErrorKind, Fencing, FlushContract, HostLock, JournalStore, Listed,
    LogOptions, LogWriter, Mode, ObjectOptions, ObjectWriter, Options, Reader, Result, Source,
    Space, StorePath,
};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A store in a folder of a local file system.
///
/// ```
/// use flushproof_api::*;
/// use flushproof_backend_local::LocalStore;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// let store = LocalStore::open(folder.path(), &Options::new(), Mode::ReadWrite).await?;
/// let path = StorePath::new("log/1-0")?;
/// let mut log = store.create_log(&path, LogOptions::default()).await?;
/// let batch = bytes::Bytes::from(vec![7; store.contract().block]);
/// let flushed = log.flush(batch).await?;
/// assert_eq!(flushed.len, store.contract().block as u64);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LocalStore {
    shared: Arc<Shared>,
}

/// What the store and the calls that it has handed to blocking threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    disk: Arc<dyn Disk>,
    pub root: Arc<dyn Folder>,
    mode: Mode,
    pub method: Method,
    pub contract: FlushContract,
    pub in_use: InUse,
    pub spares: Spares,
    folders: Folders,
    /// The logs that this store wrote and has not deleted.
    written: Mutex<HashMap<StorePath, Arc<Fate>>>,
    lock: Mutex<Option<Box<dyn LockGuard>>>,
    closed: AtomicBool,
}

impl LocalStore {
    /// Opens the folder `root`, created where it is missing unless `mode` is
    /// [`Mode::ReadOnly`]. Called inside a tokio runtime.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `NoSpace`, `InvalidInput` for an unknown option or
    /// when `root` is not a folder, `Unsupported` for a forced method that can't work here.
    /// # Cancel safety
    /// Safe: at most a folder or a probe file is left, which `sweep` removes.
    pub async fn open(root: &Path, options: &Options, mode: Mode) -> Result<LocalStore> {
        let here = std::env::current_dir();
        let root = match root.is_absolute() {
            true => root.to_owned(),
            false => here
                .map_err(|e| fault("can't find the current folder", root, e))?
                .join(root),
        };
        LocalStore::open_on(Arc::new(RealDisk::new()), root, options, mode, None).await
    }

    /// As [`open`](LocalStore::open), for a folder on a mount that another backend
    /// answers for: the store makes the same file calls, and its contract says
    /// what `terms` say. Only the option `method` is known.
    ///
    /// # Errors
    /// As [`open`](LocalStore::open); `InvalidInput` if `root` is not absolute.
    /// # Cancel safety
    /// As [`open`](LocalStore::open).
    pub async fn open_on_terms(
        root: &Path,
        options: &Options,
        mode: Mode,
        terms: Terms,
    ) -> Result<LocalStore> {
        options.check_known(&["method"])?;
        if !root.is_absolute() {
            let text = "the path of a mount begins with /";
            return Err(refusal(ErrorKind::InvalidInput, root, text));
        }
        let disk = Arc::new(RealDisk::new());
        LocalStore::open_on(disk, root.to_owned(), options, mode, Some(terms)).await
    }

    /// Opens a store on a simulated disk; the method is `direct` unless the
    /// options say another.
    ///
    /// # Errors
    /// As [`open`](LocalStore::open), and what the simulation was told to do.
    #[cfg(any(test, feature = "testing"))]
    pub async fn open_simulated(
        disk: &crate::SimulatedDisk,
        options: &Options,
        mode: Mode,
    ) -> Result<LocalStore> {
        let root = PathBuf::from("/simulated/journal");
        LocalStore::open_on(Arc::new(disk.clone()), root, options, mode, None).await
    }

    async fn open_on(
        disk: Arc<dyn Disk>,
        root: PathBuf,
        options: &Options,
        mode: Mode,
        terms: Option<Terms>,
    ) -> Result<LocalStore> {
        let settings = Settings::read(options)?;
        blocking(move || {
            let writes = mode == Mode::ReadWrite;
            let folder = folders::root(disk.as_ref(), &root, writes)?;
            if writes {
                let writable = folder.check_writable();
                writable.map_err(|e| refused("can't write in the journal's folder", &root, e))?;
            }
            let place = disk.place(&root);
            let place =
                place.map_err(|e| refused("can't find out what kind of place it is", &root, e))?;
            let probed = probe::probe(disk.as_ref(), &folder, &place, settings, mode)?;
            let shared = Shared {
                disk,
                root: folder,
                mode,
                method: probed.method,
                contract: match terms {
                    None => contract(&place, &probed, settings),
                    Some(terms) => on_terms(terms, &place, &probed),
                },
                in_use: InUse::default(),
                spares: Spares::default(),
                folders: Folders::default(),
                written: Mutex::default(),
                lock: Mutex::default(),
                closed: AtomicBool::new(false),
            };
            let shared = Arc::new(shared);
            Ok(LocalStore { shared })
        })
        .await
    }

    /// How a flush is made durable here.
    pub fn method(&self) -> Method {
        self.shared.method
    }

    /// How many times this store made the device flush, its opening and probe
    /// included: every `O_DSYNC` write, `fdatasync` and `fsync` counts one. Take
    /// the difference of two moments.
    pub fn device_flushes(&self) -> u64 {
        self.shared.disk.flushes()
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Runs a call that may wait for the disk on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.shared.check_open()?;
        let shared = self.shared.clone();
        blocking(move || work(&shared)).await
    }
}

/// Runs `work` on a thread that may block; it goes on when the future is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::new(
            ErrorKind::Io,
            format!("the call to the disk did not end: {e}"),
        )),
    }
}

impl Shared {
    pub fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(refusal(
                ErrorKind::Closed,
                self.root.path(),
                "the store is closed; open it again",
            )),
        }
    }

    fn check_writable(&self) -> Result<()> {
        match self.mode {
            Mode::ReadWrite => Ok(()),
            _ => Err(refusal(
                ErrorKind::PermissionDenied,
                self.root.path(),
                "the store was opened for reading only",
            )),
        }
    }

    /// The folder of a path, durable, for something to be put in it.
    pub fn folder_to_write(&self, path: &StorePath) -> Result<Arc<dyn Folder>> {
        self.check_writable()?;
        if path.as_str().is_empty() {
            let text = "the root is a folder, not an object or a log";
            return Err(refusal(ErrorKind::InvalidInput, self.root.path(), text));
        }
        self.folders.durable(&self.root, &path.parent())
    }

    /// Where an object lies.
    pub fn object_file(&self, path: &StorePath) -> PathBuf {
        self.root.path().join(path.as_str())
    }

    /// Where a log lies.
    pub fn log_file(&self, path: &StorePath) -> PathBuf {
        let folder = self.root.path().join(path.parent().as_str());
        folder.join(names::log(path))
    }

    fn written(&self) -> MutexGuard<'_, HashMap<StorePath, Arc<Fate>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a log that this store writes.
    pub fn remember(&self, path: &StorePath, fate: Arc<Fate>) {
        self.written().insert(path.clone(), fate);
    }

    /// Removes a spare; a failure leaves it to `sweep`.
    pub fn remove_spare(&self, spare: &Spare) {
        let removed = match folders::find(&self.root, &spare.folder) {
            Ok(Some(folder)) => folder.remove(&spare.name).and_then(|()| folder.sync()),
            _ => Ok(()),
        };
        if let Err(e) = removed {
            tracing::warn!(name = spare.name, error = %e, "spare left to sweep");
        }
        self.in_use.remove(&spare.name);
    }

    fn delete(&self, path: &StorePath) -> Result<()> {
        self.check_writable()?;
        let Some(folder) = folders::find(&self.root, &path.parent())? else {
            return Ok(());
        };
        let at = self.object_file(path);
        if path.as_str().is_empty() {
            let text = "the root can't be deleted";
            return Err(refusal(ErrorKind::InvalidInput, &at, text));
        }
        let fate = self.written().remove(path);
        let spare = match fate {
            Some(fate) if fate.is_retired() => self.make_spare(&folder, path, &fate),
            _ => None,
        };
        for name in [names::object(path), names::log(path)] {
            match folder.remove(&name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(fault("can't delete", &at, e));
                }
                _ => {}
            }
        }
        let synced = folder.sync();
        if let (Err(_), Some(spare)) = (&synced, &spare) {
            self.in_use.remove(&spare.name); // left to sweep
        }
        synced.map_err(|e| fault("can't make the deletion durable", &at, e))?;
        if let Some(surplus) = spare.and_then(|s| self.spares.put(s)) {
            self.remove_spare(&surplus);
        }
        Ok(())
    }

    /// Renames a log to a spare's name instead of deleting it, if it is fit. Any
    /// failure means no: then it is deleted.
    fn make_spare(&self, folder: &Arc<dyn Folder>, path: &StorePath, fate: &Fate) -> Option<Spare> {
        let log = names::log(path);
        let meta = folder.stat(&log).ok().filter(|m| m.id == fate.id)?;
        let fenced = folder.exists(&names::fence(path)).unwrap_or(true);
        if fenced || self.closed.load(Ordering::Acquire) || !self.spares.wants(meta.len) {
            return None;
        }
        let name = names::spare();
        self.in_use.insert(&name);
        if folder.rename_new(&log, &name).is_err() {
            self.in_use.remove(&name);
            return None;
        }
        Some(Spare {
            folder: path.parent(),
            name,
            id: meta.id,
            len: meta.len,
            was: path.clone(),
        })
    }

    /// Removes leftovers in one folder and those below it.
    fn sweep(&self, folder: &Arc<dyn Folder>, before: SystemTime) -> Result<u64> {
        let failed = |e| fault("can't sweep the folder", folder.path(), e);
        let mut removed = 0;
        for name in folder.names().map_err(failed)? {
            if names::is_leftover(&name) && !self.in_use.contains(&name) {
                let old = folder.stat(&name).is_ok_and(|m| m.modified <= before);
                match old.then(|| folder.remove(&name)) {
                    Some(Ok(())) => removed += 1,
                    Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
                    _ => {}
                }
            } else if !name.contains('.') {
                if let Ok(inner) = folder.folder(&name) {
                    removed += self.sweep(&inner, before)?;
                }
            }
        }
        if removed > 0 {
            folder.sync().map_err(failed)?;
        }
        Ok(removed)
    }

    fn take_lock(&self, how: HostLock) -> Result<()> {
        self.check_writable()?;
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            let only = self.contract.fencing != Fencing::Store;
            *held = Some(host_lock::take(&self.root, &self.in_use, how, only)?);
        }
        Ok(())
    }

    fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.spares.clear(self);
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[async_trait]
impl JournalStore for LocalStore {
    fn contract(&self) -> &FlushContract {
        &self.shared.contract
    }

    async fn host_lock(&self, how: HostLock) -> Result<()> {
        self.run(move |shared| shared.take_lock(how)).await
    }

    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        let path = path.clone();
        let object = self.run(move |shared| object::begin(shared, &path, options));
        Ok(Box::new(object.await?))
    }

    async fn create_log(
        &self,
        path: &StorePath,
        options: LogOptions,
    ) -> Result<Box<dyn LogWriter>> {
        let path = path.clone();
        let log = self.run(move |shared| log::create(shared, &path, options.size_hint));
        Ok(Box::new(log.await?))
    }

    async fn open(&self, path: &StorePath, from: Source) -> Result<Box<dyn Reader>> {
        let path = path.clone();
        let reader = self.run(move |shared| reader::open(shared, &path, from));
        Ok(Box::new(reader.await?))
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        let path = path.clone();
        self.run(move |shared| fence::fence(shared, &path)).await
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        list::list(self.shared.clone(), prefix.clone())
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        let path = path.clone();
        self.run(move |shared| shared.delete(&path)).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        self.run(move |shared| {
            shared.check_writable()?;
            let before = SystemTime::now().checked_sub(older_than);
            shared.sweep(&shared.root, before.unwrap_or(SystemTime::UNIX_EPOCH))
        })
        .await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.run(|shared| {
            let root = shared.root.path();
            let space = shared.disk.space(root);
            let space = space.map_err(|e| refused("can't find out how full the disk is", root, e));
            space.map(Some)
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        let shared = self.shared.clone();
        blocking(move || {
            shared.close();
            Ok(())
        })
        .await
    }
}
