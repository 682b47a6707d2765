//! The real disk: system calls by `nix`. The only module that syncs.

use super::{Disk, File, FileId, Folder, How, Kind, LockGuard, Meta, Place, place};
use flushproof_api::Space;
use nix::errno::Errno;
use nix::fcntl::{
    AtFlags, FallocateFlags, Flock, FlockArg, OFlag, PosixFadviseAdvice, fallocate, openat,
    posix_fadvise, renameat,
};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{
    AccessFlags, UnlinkatFlags, faccessat, fdatasync, fsync, ftruncate, linkat, unlinkat,
};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The real disk; one per store, so that its flushes are that store's.
#[derive(Debug, Default)]
pub(crate) struct RealDisk {
    flushes: Arc<AtomicU64>,
}

impl RealDisk {
    pub fn new() -> RealDisk {
        RealDisk::default()
    }
}

impl Disk for RealDisk {
    fn folder(&self, path: &Path) -> io::Result<Arc<dyn Folder>> {
        let fd = retry(|| nix::fcntl::open(path, FOLDER, Mode::empty()))?;
        Ok(Arc::new(RealFolder {
            fd,
            path: path.to_owned(),
            flushes: self.flushes.clone(),
        }))
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        place::find(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let vfs = retry(|| nix::sys::statvfs::statvfs(path))?;
        let unit = vfs.fragment_size() as u64;
        Ok(Space::new(
            unit.saturating_mul(vfs.blocks() as u64),
            unit.saturating_mul(vfs.blocks_available() as u64),
        ))
    }

    fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    fn has_time(&self) -> bool {
        true
    }
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

#[derive(Debug)]
struct RealFolder {
    fd: OwnedFd,
    path: PathBuf,
    flushes: Arc<AtomicU64>,
}

impl RealFolder {
    fn file(&self, name: &str, flags: OFlag, how: How, mode: Mode) -> io::Result<RealFile> {
        let flags = flags | how.flags() | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
        let fd = retry(|| openat(&self.fd, name, flags, mode))?;
        Ok(RealFile {
            file: std::fs::File::from(fd),
            how,
            flushes: self.flushes.clone(),
        })
    }

    /// Publishes by a second name where the file system can't rename exclusively.
    fn link_new(&self, from: &str, to: &str) -> io::Result<()> {
        retry(|| linkat(&self.fd, from, &self.fd, to, AtFlags::empty()))?;
        self.remove(from)
    }
}

impl Folder for RealFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &str, how: How) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.file(
            name,
            OFlag::empty(),
            how,
            Mode::empty(),
        )?))
    }

    fn create(&self, name: &str, how: How, mode: Option<u32>) -> io::Result<Arc<dyn File>> {
        let first = Mode::from_bits_truncate(mode.map_or(0o666, |m| m & 0o600));
        let file = self.file(name, OFlag::O_CREAT | OFlag::O_EXCL, how, first)?;
        if let Some(mode) = mode {
            file.set_mode(mode)?;
        }
        Ok(Arc::new(file))
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        let flags = FOLDER | OFlag::O_NOFOLLOW;
        let fd = retry(|| openat(&self.fd, name, flags, Mode::empty()))?;
        Ok(Arc::new(RealFolder {
            fd,
            path: self.path.join(name),
            flushes: self.flushes.clone(),
        }))
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        retry(|| mkdirat(&self.fd, name, Mode::from_bits_truncate(0o777)))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(target_env = "gnu")]
        {
            use nix::fcntl::{RenameFlags, renameat2};
            let only_new = RenameFlags::RENAME_NOREPLACE;
            match renameat2(&self.fd, from, &self.fd, to, only_new) {
                Ok(()) => return Ok(()),
                Err(Errno::EINVAL | Errno::ENOSYS) => {} // not on this file system
                Err(e) => return Err(e.into()),
            }
        }
        self.link_new(from, to)
    }

    fn rename_over(&self, from: &str, to: &str) -> io::Result<()> {
        retry(|| renameat(&self.fd, from, &self.fd, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        retry(|| unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        match retry(|| faccessat(&self.fd, name, AccessFlags::F_OK, AtFlags::empty())) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn stat(&self, name: &str) -> io::Result<Meta> {
        let stat = retry(|| fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW))?;
        Ok(meta(&stat))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut dir = retry(|| nix::dir::Dir::openat(&self.fd, ".", FOLDER, Mode::empty()))?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(io::Error::from)?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    fn check_writable(&self) -> io::Result<()> {
        let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
        retry(|| faccessat(&self.fd, ".", wanted, AtFlags::AT_EACCESS))
    }

    fn sync(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        retry(|| fsync(&self.fd))
    }
}

#[derive(Debug)]
struct RealFile {
    file: std::fs::File,
    how: How,
    flushes: Arc<AtomicU64>,
}

impl File for RealFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        if self.how.dsync {
            self.flushes.fetch_add(1, Ordering::Relaxed);
        }
        match parts {
            [one] => self.file.write_at(one, offset),
            _ => Ok(nix::sys::uio::pwritev(&self.file, parts, signed(offset)?)?),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    /// Not tried again when interrupted: the first failure is final (FC-4).
    fn sync_data(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(fdatasync(&self.file)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(fsync(&self.file)?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = signed(len)?;
        retry(|| ftruncate(&self.file, len))
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let (offset, len) = (signed(offset)?, signed(len)?);
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match retry(|| fallocate(&self.file, keep, offset, len)) {
            // No such call on this file system: the writing finds out.
            Err(e) if e.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => Ok(()),
            other => other,
        }
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        retry(|| fchmod(&self.file, Mode::from_bits_truncate(mode)))
    }

    fn stat(&self) -> io::Result<Meta> {
        Ok(meta(&retry(|| fstat(&self.file))?))
    }

    fn forget_cached(&self, offset: u64, len: u64) -> io::Result<()> {
        let (offset, len) = (signed(offset)?, signed(len)?);
        let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        retry(|| posix_fadvise(&self.file, offset, len, advice))
    }

    fn try_lock(&self) -> io::Result<Option<Box<dyn LockGuard>>> {
        // A duplicate shares the opening, so its lock is this opening's.
        match Flock::lock(self.file.try_clone()?, FlockArg::LockExclusiveNonblock) {
            Ok(guard) => Ok(Some(Box::new(RealLock(guard)))),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, e)) => Err(e.into()),
        }
    }
}

/// Unlocks when dropped.
#[derive(Debug)]
struct RealLock(#[allow(dead_code)] Flock<std::fs::File>);

impl LockGuard for RealLock {}

impl How {
    fn flags(self) -> OFlag {
        let mut flags = match self.write {
            true => OFlag::O_RDWR,
            false => OFlag::O_RDONLY,
        };
        flags.set(OFlag::O_DIRECT, self.direct);
        flags.set(OFlag::O_DSYNC, self.dsync);
        flags
    }
}

fn meta(stat: &FileStat) -> Meta {
    let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    };
    let since = Duration::new(stat.st_mtime.max(0) as u64, stat.st_mtime_nsec as u32);
    Meta {
        id: FileId {
            device: stat.st_dev,
            inode: stat.st_ino,
        },
        kind,
        len: stat.st_size.max(0) as u64,
        mode: stat.st_mode & 0o7777,
        modified: SystemTime::UNIX_EPOCH + since,
    }
}

fn signed(n: u64) -> io::Result<i64> {
    i64::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

/// Tries again as long as a signal interrupts.
fn retry<T>(call: impl Fn() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
