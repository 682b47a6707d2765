//! All file-system calls of this crate, as three small traits.
//!
//! [`real`] makes the system calls; `simulated` stands in for it in tests.
//! A call here is one system call: it may fail, and a write may be short.
//! Only these modules sync.

pub(crate) mod place;
pub(crate) mod real;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated;

use flushproof_api::Space;
use std::any::Any;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) use place::{Place, host};

/// A disk, seen through the file system of one machine.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Opens an existing folder.
    fn folder(&self, path: &Path) -> io::Result<Arc<dyn Folder>>;
    /// What is known about the file system and the device below `path`.
    fn place(&self, path: &Path) -> io::Result<Place>;
    /// Room on the file system below `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// How many times this disk made something durable: every write with
    /// `dsync`, every `sync_data`, `sync_all` and `Folder::sync` that was tried.
    fn flushes(&self) -> u64;
    /// Whether time means something here, so that methods can be compared.
    fn has_time(&self) -> bool;
}

/// An open folder. Names are single components.
pub(crate) trait Folder: Debug + Send + Sync {
    /// Where it was when it was opened; for messages.
    fn path(&self) -> &Path;
    /// Opens an existing file.
    fn open(&self, name: &str, how: How) -> io::Result<Arc<dyn File>>;
    /// Creates a file; `AlreadyExists` when the name is taken.
    /// Without a mode: what the process's umask leaves of `0o666`.
    fn create(&self, name: &str, how: How, mode: Option<u32>) -> io::Result<Arc<dyn File>>;
    /// Opens an existing folder in this one.
    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>>;
    /// Creates a folder in this one.
    fn create_folder(&self, name: &str) -> io::Result<()>;
    /// Renames within the folder; `AlreadyExists` when the new name is taken.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;
    /// Renames within the folder, over whatever has the new name.
    fn rename_over(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file's name.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Whether the name is there: one cheap call.
    fn exists(&self, name: &str) -> io::Result<bool>;
    /// What stands at the name; symbolic links are not followed.
    fn stat(&self, name: &str) -> io::Result<Meta>;
    /// All names but `.` and `..`, those that are not UTF-8 left out; not sorted.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Fails when files can't be created here: permission, read-only file system.
    fn check_writable(&self) -> io::Result<()>;
    /// Makes the names durable.
    fn sync(&self) -> io::Result<()>;
}

/// An open file.
pub(crate) trait File: Debug + Send + Sync {
    /// Writes at an offset; may be short.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Reads at an offset; may be short; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes the bytes and the length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes the bytes and all that is known about the file durable.
    fn sync_all(&self) -> io::Result<()>;
    /// Sets the length.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves room behind the end without changing the length.
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Sets the permission bits.
    fn set_mode(&self, mode: u32) -> io::Result<()>;
    /// What is known about it.
    fn stat(&self) -> io::Result<Meta>;
    /// Lets the cache forget a range that is clean.
    fn forget_cached(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Takes the file's lock, which lives as long as the guard; `None` when
    /// another opening of the file holds it.
    fn try_lock(&self) -> io::Result<Option<Box<dyn LockGuard>>>;
}

/// Holds a file lock until it is dropped.
pub(crate) trait LockGuard: Any + Debug + Send + Sync {}

/// How a file is opened; always for reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    pub write: bool,
    /// Past the page cache.
    pub direct: bool,
    /// Every write is durable when it returns.
    pub dsync: bool,
}

impl How {
    pub const READ: How = How {
        write: false,
        direct: false,
        dsync: false,
    };
    pub const WRITE: How = How {
        write: true,
        direct: false,
        dsync: false,
    };
}

/// Which file this is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub device: u64,
    pub inode: u64,
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Other,
}

/// What is known about a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub id: FileId,
    pub kind: Kind,
    pub len: u64,
    pub mode: u32,
    pub modified: SystemTime,
}

/// A write that stopped before its end.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub error: io::Error,
    /// How many bytes were accepted before it.
    pub written: u64,
}

/// Writes all of `parts`, one behind the other: goes on after a short write,
/// tries again when interrupted, stops at the first other error.
pub(crate) fn write_all(file: &dyn File, parts: &[&[u8]], offset: u64) -> Result<(), Stopped> {
    let parts = parts.iter().filter(|part| !part.is_empty());
    let mut slices: Vec<IoSlice<'_>> = parts.map(|part| IoSlice::new(part)).collect();
    let mut rest = &mut slices[..];
    let mut written = 0u64;
    while !rest.is_empty() {
        match file.write_at(rest, offset + written) {
            Ok(0) => {
                let error = io::Error::new(io::ErrorKind::WriteZero, "the disk took no byte");
                return Err(Stopped { error, written });
            }
            Ok(n) => {
                written += n as u64;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Stopped { error, written }),
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends; says how many bytes.
/// With `unit` > 1 (a direct reading) goes on only from multiples of it.
pub(crate) fn read_full(
    file: &dyn File,
    buffer: &mut [u8],
    offset: u64,
    unit: usize,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
        if done % unit != 0 {
            break; // only the end of the file cuts a direct reading there
        }
    }
    Ok(done)
}
