//! A disk in memory that loses what was not synced.
//!
//! The model is the strict reading of POSIX, not a particular file system:
//!
//! * a name is durable only after its folder was synced; of the changes since
//!   then, in any folder, a power cut keeps any subset (a rename counts as one);
//! * bytes are durable after a sync of the file or a write with `dsync`; of the
//!   sectors of 512 bytes written since then a power cut keeps any subset, and
//!   of a changed length either;
//! * a sync that fails drops what it should have written, as ext4, XFS and btrfs
//!   do: the file goes on to show it, a reading past the cache does not, and the
//!   next sync is Ok;
//! * a write that fails may have written a part.

mod world;

use super::place::Device;
use super::{Disk, File, Folder, How, LockGuard, Meta, Place};
use flushproof_api::Space;
use std::io::{self, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use world::{Change, FileNode, FolderNode, Guest, Node, ROOT, SECTOR, World};

/// How a call of a [`SimulatedDisk`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// EIO: the device reports an error.
    Io,
    /// ENOSPC: the disk is full.
    NoSpace,
    /// A write takes only a part of the bytes and says so; any other call
    /// fails as with [`Failure::Io`].
    Short,
}

impl Failure {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Failure::Io | Failure::Short => 5,
            Failure::NoSpace => 28,
        })
    }
}

/// A disk in memory, for tests of crashes and failing calls. Clones are the
/// same disk. Everything random comes from the seed.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<World>>);

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> SimulatedDisk {
        let mut world = World::new(seed);
        world
            .nodes
            .insert(ROOT, Node::Folder(FolderNode::default()));
        let simulated = world.add(Node::Folder(FolderNode::default()));
        if let Some(Node::Folder(root)) = world.nodes.get_mut(&ROOT) {
            root.change(Change::Set("simulated".into(), simulated));
            root.sync();
        }
        SimulatedDisk(Arc::new(Mutex::new(world)))
    }

    /// How many calls were made; so also the number of the next one.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// How many calls were to make something durable.
    pub fn flushes(&self) -> u64 {
        self.world().flushes
    }

    /// Lets the call with the number `call` fail; calls count from 0.
    pub fn fail_at(&self, call: u64, failure: Failure) {
        self.world().failures.insert(call, failure);
    }

    /// Lets every call from the number `call` on fail, as if the machine were
    /// off: the state for [`power_cut`](SimulatedDisk::power_cut).
    pub fn stop_at(&self, call: u64) {
        self.world().stopped_from = call;
    }

    /// Runs `work` right before the call with the number `call` is carried out,
    /// on the thread that makes it: what another process does in between.
    pub fn run_before(&self, call: u64, work: impl FnOnce() + Send + 'static) {
        self.world().guests.insert(call, Guest(Box::new(work)));
    }

    /// Limits the sum of all files' lengths; beyond it calls fail with ENOSPC.
    pub fn set_capacity(&self, bytes: u64) {
        self.world().capacity = bytes;
    }

    /// The disk as it may be found after a power cut at this moment. Each call
    /// draws anew what of the unsynced changes is there.
    pub fn power_cut(&self) -> SimulatedDisk {
        let world = self.world().power_cut();
        SimulatedDisk(Arc::new(Mutex::new(world)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call: counts it; fails unless it is to be carried out. For a
    /// call with effects of its own on failure the failure is given back.
    fn call(&self) -> io::Result<(MutexGuard<'_, World>, Option<Failure>)> {
        let mut world = self.world();
        let number = world.calls;
        world.calls += 1;
        if number >= world.stopped_from {
            return Err(Failure::Io.error());
        }
        let failure = world.failures.remove(&number);
        if let Some(guest) = world.guests.remove(&number) {
            drop(world);
            (guest.0)();
            world = self.world();
        }
        Ok((world, failure))
    }

    /// Begins a call that has no effect when it fails.
    fn plain(&self) -> io::Result<MutexGuard<'_, World>> {
        match self.call()? {
            (world, None) => Ok(world),
            (_, Some(failure)) => Err(failure.error()),
        }
    }

    fn open_folder(&self, node: u64, path: PathBuf) -> Arc<dyn Folder> {
        let disk = self.clone();
        Arc::new(SimulatedFolder { disk, node, path })
    }

    fn open_file(&self, node: u64, how: How) -> Arc<dyn File> {
        let mut world = self.world();
        world.openings += 1;
        let opening = world.openings;
        drop(world);
        let disk = self.clone();
        Arc::new(SimulatedFile {
            disk,
            node,
            how,
            opening,
        })
    }
}

impl Disk for SimulatedDisk {
    fn folder(&self, path: &Path) -> io::Result<Arc<dyn Folder>> {
        let mut world = self.plain()?;
        let mut node = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                node = world.find(node, name.to_str().unwrap_or("?"))?;
            }
        }
        world.folder(node)?;
        Ok(self.open_folder(node, path.to_owned()))
    }

    fn place(&self, _path: &Path) -> io::Result<Place> {
        Ok(Place {
            fs: "ext4".into(),
            device: Some(Device {
                name: "simulated".into(),
                logical_block: SECTOR,
                physical_block: SECTOR,
                write_back: Some(true),
                backed_by: None,
            }),
            ..Place::default()
        })
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let world = self.plain()?;
        let available = world.capacity.saturating_sub(world.used());
        Ok(Space::new(world.capacity, available))
    }

    fn flushes(&self) -> u64 {
        SimulatedDisk::flushes(self)
    }

    fn has_time(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct SimulatedFolder {
    disk: SimulatedDisk,
    node: u64,
    path: PathBuf,
}

impl SimulatedFolder {
    fn change(&self, world: &mut World, change: Change) -> io::Result<()> {
        world.folder(self.node)?.change(change);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str, over: bool) -> io::Result<()> {
        let mut world = self.disk.plain()?;
        let node = world.find(self.node, from)?;
        if !over && world.find(self.node, to).is_ok() {
            return Err(io::Error::from_raw_os_error(17));
        }
        self.change(&mut world, Change::Rename(from.into(), to.into(), node))
    }
}

impl Folder for SimulatedFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &str, how: How) -> io::Result<Arc<dyn File>> {
        let mut world = self.disk.plain()?;
        let node = world.find(self.node, name)?;
        world.file(node)?;
        drop(world);
        Ok(self.disk.open_file(node, how))
    }

    fn create(&self, name: &str, how: How, mode: Option<u32>) -> io::Result<Arc<dyn File>> {
        let mut world = self.disk.plain()?;
        if world.find(self.node, name).is_ok() {
            return Err(io::Error::from_raw_os_error(17));
        }
        let mode = mode.unwrap_or(0o644);
        let node = world.add(Node::File(FileNode {
            mode,
            durable_mode: mode,
            ..FileNode::default()
        }));
        self.change(&mut world, Change::Set(name.into(), node))?;
        drop(world);
        Ok(self.disk.open_file(node, how))
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        let mut world = self.disk.plain()?;
        let node = world.find(self.node, name)?;
        world.folder(node)?;
        drop(world);
        Ok(self.disk.open_folder(node, self.path.join(name)))
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        let mut world = self.disk.plain()?;
        if world.find(self.node, name).is_ok() {
            return Err(io::Error::from_raw_os_error(17));
        }
        let node = world.add(Node::Folder(FolderNode::default()));
        self.change(&mut world, Change::Set(name.into(), node))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename(from, to, false)
    }

    fn rename_over(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename(from, to, true)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.disk.plain()?;
        let node = world.find(self.node, name)?;
        world.file(node)?;
        self.change(&mut world, Change::Remove(name.into()))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.disk.plain()?.find(self.node, name).is_ok())
    }

    fn stat(&self, name: &str) -> io::Result<Meta> {
        let mut world = self.disk.plain()?;
        let node = world.find(self.node, name)?;
        world.meta(node)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut world = self.disk.plain()?;
        Ok(world.folder(self.node)?.entries.keys().cloned().collect())
    }

    fn check_writable(&self) -> io::Result<()> {
        self.disk.plain().map(|_| ())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut world, failure) = self.disk.call()?;
        world.flushes += 1;
        match failure {
            Some(failure) => Err(failure.error()),
            None => {
                world.folder(self.node)?.sync();
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    node: u64,
    how: How,
    opening: u64,
}

impl SimulatedFile {
    /// O_DIRECT asks for whole sectors at aligned addresses.
    fn check_aligned(&self, address: usize, len: usize, offset: u64) -> io::Result<()> {
        let odd = |n: usize| n % SECTOR != 0;
        match self.how.direct && (odd(address) || odd(len) || odd(offset as usize)) {
            true => Err(io::Error::from_raw_os_error(22)),
            false => Ok(()),
        }
    }

    fn check_written(&self) -> io::Result<()> {
        match self.how.write {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(9)),
        }
    }

    fn sync(&self, all: bool) -> io::Result<()> {
        let (mut world, failure) = self.disk.call()?;
        world.flushes += 1;
        let seed = world.random();
        let file = world.file(self.node)?;
        match failure {
            // A part is on the medium; the rest counts as clean and is lost.
            Some(failure) => {
                file.sync(|sector| seed >> (sector % 64) & 1 == 0);
                file.dirty.clear();
                Err(failure.error())
            }
            None => {
                file.sync(|_| true);
                file.durable.resize(file.bytes.len(), 0);
                if all {
                    file.durable_mode = file.mode;
                }
                Ok(())
            }
        }
    }
}

impl File for SimulatedFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let (mut world, failure) = self.disk.call()?;
        world.flushes += u64::from(self.how.dsync);
        self.check_written()?;
        for part in parts {
            self.check_aligned(part.as_ptr().addr(), part.len(), offset)?;
        }
        let mut bytes: Vec<u8> = parts.iter().flat_map(|p| p.iter().copied()).collect();
        world.check_room(self.node, offset + bytes.len() as u64)?;
        let whole = bytes.len();
        if failure.is_some() {
            let sectors = whole / SECTOR;
            let taken = match failure {
                Some(Failure::Short) => sectors / 2,
                _ => (world.random() % (sectors as u64 + 1)) as usize,
            };
            bytes.truncate(taken * SECTOR);
        }
        let file = world.file(self.node)?;
        file.write(&bytes, offset as usize);
        let short = failure == Some(Failure::Short) && !bytes.is_empty();
        if self.how.dsync && (failure.is_none() || short) {
            let first = offset as usize / SECTOR;
            let end = (offset as usize + bytes.len()).div_ceil(SECTOR);
            file.sync(|sector| (first..end).contains(&sector));
        }
        match failure {
            Some(failure) if !short => Err(failure.error()),
            _ => Ok(bytes.len()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_aligned(buffer.as_ptr().addr(), buffer.len(), offset)?;
        let mut world = self.disk.plain()?;
        let file = world.file(self.node)?;
        let start = (offset as usize).min(file.bytes.len());
        let n = buffer.len().min(file.bytes.len() - start);
        match self.how.direct {
            true => file.medium(start, &mut buffer[..n]),
            false => buffer[..n].copy_from_slice(&file.bytes[start..start + n]),
        }
        Ok(n)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(false)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(true)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.plain()?;
        self.check_written()?;
        world.check_room(self.node, len)?;
        world.file(self.node)?.set_len(len as usize);
        Ok(())
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let world = self.disk.plain()?;
        self.check_written()?;
        world.check_room(self.node, offset + len)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.disk.plain()?.file(self.node)?.mode = mode;
        Ok(())
    }

    fn stat(&self) -> io::Result<Meta> {
        self.disk.plain()?.meta(self.node)
    }

    fn forget_cached(&self, _offset: u64, _len: u64) -> io::Result<()> {
        self.disk.plain().map(|_| ())
    }

    fn try_lock(&self) -> io::Result<Option<Box<dyn LockGuard>>> {
        let mut world = self.disk.plain()?;
        let holder = *world.locks.entry(self.node).or_insert(self.opening);
        Ok((holder == self.opening).then(|| {
            let guard = SimulatedLock {
                disk: self.disk.clone(),
                node: self.node,
            };
            Box::new(guard) as Box<dyn LockGuard>
        }))
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
    node: u64,
}

impl LockGuard for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.world().locks.remove(&self.node);
    }
}

#[cfg(test)]
mod tests;
