//! What is known about the file system and the device below a folder.
//!
//! Sources: `statfs(2)`, `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`) and
//! `/sys/dev/block/MAJOR:MINOR/queue` (the kernel's `Documentation/ABI/stable/sysfs-block`).

use nix::sys::statfs::{self, FsType, statfs};
use std::fs::read_to_string;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A folder's file system and device, as far as they can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file system's type, as mount(8) shows it: `ext4`, `fuse.sshfs`.
    pub fs: String,
    /// The mount's options and the file system's.
    pub options: Vec<String>,
    /// Of an overlay: the type of the file system that takes the writes, if it can be seen.
    pub upper: Option<String>,
    /// The block device, if there is one that can be seen.
    pub device: Option<Device>,
}

/// A block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// The kernel's name for it: `vda`, `nvme0n1p2`, `loop0`.
    pub name: String,
    /// The smallest unit that can be addressed, in bytes.
    pub logical_block: usize,
    /// The unit that the device writes whole, in bytes.
    pub physical_block: usize,
    /// Whether it has a volatile write cache, as far as the kernel knows.
    pub write_back: Option<bool>,
    /// Of a loop device: the type of the file system that holds its file.
    pub backed_by: Option<String>,
}

impl Place {
    /// Whether a mount option is set.
    pub fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }
}

/// This machine's name: on a network file system others write too.
pub(crate) fn host() -> String {
    read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_else(|| "unknown".to_owned())
}

/// Looks at the place of an existing folder.
pub(crate) fn find(path: &Path) -> io::Result<Place> {
    let path = std::fs::canonicalize(path)?;
    let mut place = Place {
        fs: name_of(statfs(&path)?.filesystem_type()),
        ..Place::default()
    };
    let mut device = std::fs::metadata(&path)?.dev();
    if let Some(mount) = read_mount(&path, &place.fs) {
        if let Some(upper) = mount
            .options
            .iter()
            .find_map(|o| o.strip_prefix("upperdir="))
        {
            place.upper = statfs(upper).ok().map(|s| name_of(s.filesystem_type()));
        }
        // btrfs and overlay give files a device number of no device.
        if let (true, Ok(meta)) = (
            mount.source.starts_with("/dev/"),
            std::fs::metadata(&mount.source),
        ) {
            device = meta.rdev();
        }
        place.fs = mount.fs;
        place.options = mount.options;
    }
    place.device = device_of(device);
    Ok(place)
}

/// The mount of `path`, which `statfs` says is of type `fs`. While others mount
/// and unmount, the kernel may leave lines out: then another one seems to hold
/// the path, mostly of another type.
fn read_mount(path: &Path, fs: &str) -> Option<Mount> {
    let read = || read_to_string("/proc/self/mountinfo").ok();
    for _ in 0..20 {
        let text = read()?;
        if read()? != text {
            continue;
        }
        if let Some(mount) = mount_of(&text, path).filter(|mount| is_of(mount, fs)) {
            return Some(mount);
        }
    }
    None
}

/// Whether a mount can be what `statfs` says. Only mountinfo tells ext4 from
/// ext3, names what is behind FUSE, and knows the types that we have no name for.
fn is_of(mount: &Mount, fs: &str) -> bool {
    match fs {
        "ext4" => mount.fs.starts_with("ext"),
        "fuse" => mount.fs.starts_with("fuse") || mount.fs == "virtiofs",
        "nfs" => mount.fs.starts_with("nfs"),
        "tmpfs" => matches!(mount.fs.as_str(), "tmpfs" | "devtmpfs"),
        _ => mount.fs == fs || fs.starts_with(UNNAMED),
    }
}

/// A line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    fs: String,
    source: String,
    options: Vec<String>,
}

/// The mount that `path` lies in: the longest mount point, of equal ones the last.
fn mount_of(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mut best: Option<(usize, Mount)> = None;
    for line in mountinfo.lines() {
        let Some((point, mount)) = parse_mount(line) else {
            continue;
        };
        let depth = point.components().count();
        if path.starts_with(&point) && best.as_ref().is_none_or(|(d, _)| *d <= depth) {
            best = Some((depth, mount));
        }
    }
    best.map(|(_, mount)| mount)
}

fn parse_mount(line: &str) -> Option<(PathBuf, Mount)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(4);
    let point = PathBuf::from(unescape(left.next()?));
    let own = left.next()?;
    let mut right = right.split(' ');
    let fs = right.next()?.to_owned();
    let source = unescape(right.next()?);
    let options = own
        .split(',')
        .chain(right.next().unwrap_or("").split(','))
        .map(unescape)
        .collect();
    Some((
        point,
        Mount {
            fs,
            source,
            options,
        },
    ))
}

/// Blank, tab, newline and backslash stand as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let octal = text
            .get(i + 1..i + 4)
            .filter(|_| bytes[i] == b'\\')
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(octal.unwrap_or(bytes[i]));
        i += if octal.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn device_of(number: u64) -> Option<Device> {
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let link = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let folder = std::fs::canonicalize(&link).ok()?;
    let name = folder.file_name()?.to_str()?.to_owned();
    // A partition has no queue of its own; its parent folder is the disk.
    let disk = match folder.join("partition").exists() {
        true => folder.parent()?.to_owned(),
        false => folder,
    };
    let number = |file: &str| read(&disk.join("queue").join(file))?.parse::<usize>().ok();
    Some(Device {
        name,
        logical_block: number("logical_block_size").unwrap_or(512),
        physical_block: number("physical_block_size").unwrap_or(4096),
        write_back: read(&disk.join("queue/write_cache")).map(|text| text == "write back"),
        backed_by: read(&disk.join("loop/backing_file"))
            .and_then(|file| statfs(file.as_str()).ok())
            .map(|s| name_of(s.filesystem_type())),
    })
}

fn read(path: &Path) -> Option<String> {
    Some(read_to_string(path).ok()?.trim().to_owned())
}

/// Magic numbers that `nix` has no name for (`linux/magic.h` and the file systems' own).
const RAMFS: u64 = 0x8584_58f6;
const SMB2: u64 = 0xfe53_4d42;
const CIFS: u64 = 0xff53_4d42;
const CEPH: u64 = 0x00c3_6400;
const ZFS: u64 = 0x2fc1_2fc1;
const BCACHEFS: u64 = 0xca45_1a4e;
/// How the name of a type begins that we have no name for.
const UNNAMED: &str = "type ";
const V9FS: u64 = 0x0102_1997;

fn name_of(kind: FsType) -> String {
    let name = match kind {
        statfs::EXT4_SUPER_MAGIC => "ext4",
        statfs::XFS_SUPER_MAGIC => "xfs",
        statfs::BTRFS_SUPER_MAGIC => "btrfs",
        statfs::F2FS_SUPER_MAGIC => "f2fs",
        statfs::TMPFS_MAGIC => "tmpfs",
        statfs::NFS_SUPER_MAGIC => "nfs",
        statfs::FUSE_SUPER_MAGIC => "fuse",
        statfs::OVERLAYFS_SUPER_MAGIC => "overlay",
        other => match other.0 as u64 & 0xffff_ffff {
            RAMFS => "ramfs",
            SMB2 => "smb3",
            CIFS => "cifs",
            CEPH => "ceph",
            ZFS => "zfs",
            BCACHEFS => "bcachefs",
            V9FS => "9p",
            n => return format!("{UNNAMED}{n:#x}"),
        },
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:40 / /var/lib/with\\040blank rw - overlay overlay rw,lowerdir=/a,upperdir=/b,volatile
31 27 0:41 / /var/lib rw - xfs /dev/vdb rw
32 27 0:42 / /var/lib rw - tmpfs none rw,size=1k
rubbish";

    #[test]
    fn the_longest_and_last_mount_counts() {
        let fs = |path: &str| mount_of(INFO, Path::new(path)).unwrap().fs;
        assert_eq!(fs("/var/lib/with blank/x"), "overlay");
        assert_eq!(fs("/var/lib/x"), "tmpfs");
        assert_eq!(fs("/var/library"), "ext4");
    }

    #[test]
    fn options_of_mount_and_file_system() {
        let mount = mount_of(INFO, Path::new("/var/lib/with blank")).unwrap();
        for option in ["rw", "upperdir=/b", "volatile"] {
            assert!(mount.options.iter().any(|o| o == option), "{option}");
        }
    }

    #[test]
    fn a_mount_of_another_type_is_not_the_mount() {
        let of = |path: &str, fs| is_of(&mount_of(INFO, Path::new(path)).unwrap(), fs);
        assert!(of("/x", "ext4") && of("/var/lib/x", "tmpfs") && of("/x", "type 0x1"));
        assert!(!of("/x", "overlay") && !of("/var/lib/x", "xfs"));
    }

    #[test]
    fn the_place_of_shared_memory_is_tmpfs() {
        let place = find(Path::new("/dev/shm")).unwrap();
        assert_eq!(place.fs, "tmpfs");
        assert_eq!(place.device, None);
    }
}
