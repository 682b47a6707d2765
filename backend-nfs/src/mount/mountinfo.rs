//! Which mount a folder lies on, and its options.
//!
//! The kernel says it for an open file: `mnt_id` in `/proc/self/fdinfo` is the
//! first field of a line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`). So no
//! path is compared, and a mount over a mount is told from the one below.

use flushproof_api::{Error, ErrorKind, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{NFS_SUPER_MAGIC, fstatfs};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// More than any machine's mounts take.
const LONGEST_INFO: u64 = 64 << 20;
/// More than the kernel says about a folder's descriptor.
const LONGEST_FDINFO: u64 = 64 << 10;
/// While others mount and unmount, the kernel may leave a line out.
const TRIES: usize = 20;

/// A mount of NFS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The kernel's number of this mount.
    pub id: u64,
    /// What is mounted: `server:/export`.
    pub source: String,
    /// Where.
    pub point: String,
    /// The mount's options and the file system's.
    pub options: Vec<String>,
}

impl Mount {
    /// Whether an option without a value is set.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }

    /// The value of an option.
    pub fn value(&self, key: &str) -> Option<&str> {
        let value = |o: &'_ String| o.strip_prefix(key)?.strip_prefix('=').map(str::len);
        let found = self.options.iter().find_map(|o| Some((o, value(o)?)));
        found.map(|(option, len)| &option[option.len() - len..])
    }
}

/// The mount that `path` lies on; of a path that is not there, that of the nearest
/// folder above it. May wait for the server. `name` is for messages.
///
/// # Errors
/// `Unsupported`: it is not NFS, or nothing can be found out about it. `NotFound`
/// and others, if not even that can be seen.
pub(crate) fn find(name: &str, path: &Path) -> Result<Mount> {
    let failed = |e: io::Error| Error::io(format!("{name}: can't look at the mount"), e);
    let folder = nearest(path).map_err(failed)?;
    let kind = fstatfs(&folder).map_err(|e| failed(e.into()))?;
    if kind.filesystem_type() != NFS_SUPER_MAGIC {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{name}: {} is not on an NFS mount; is it mounted? (see: findmnt -T {0}) For a \
                 folder of this machine's disks say file://{0}, to speak to a server without a \
                 mount nfs://server/export/folder",
                path.display()
            ),
        ));
    }
    let unseen = |what: &str| {
        let text = format!(
            "{name}: {what}, so it can't be seen whether the mount is soft or hard; or speak to \
             the server without a mount: nfs://server/export/folder"
        );
        Error::new(ErrorKind::Unsupported, text)
    };
    let fdinfo = format!("/proc/self/fdinfo/{}", folder.as_raw_fd());
    let fdinfo = read(&fdinfo, LONGEST_FDINFO);
    let fdinfo = fdinfo.map_err(|e| unseen(&format!("/proc can't be read ({e})")))?;
    let id =
        mount_id(&fdinfo).ok_or_else(|| unseen("the kernel does not say which mount it is"))?;
    for _ in 0..TRIES {
        let info = read("/proc/self/mountinfo", LONGEST_INFO);
        let info =
            info.map_err(|e| unseen(&format!("/proc/self/mountinfo can't be read ({e})")))?;
        if let Some(mount) = line_of(&info, id) {
            return Ok(mount);
        }
    }
    Err(unseen("the mount is not in /proc/self/mountinfo"))
}

/// Opens the path, or what is there of it.
fn nearest(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut at = path;
    loop {
        match (open(at, flags, Mode::empty()), at.parent()) {
            (Ok(folder), _) => return Ok(folder),
            (Err(nix::errno::Errno::ENOENT), Some(parent)) => at = parent,
            (Err(nix::errno::Errno::EINTR), _) => {}
            (Err(e), _) => return Err(e.into()),
        }
    }
}

fn read(path: &str, at_most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(at_most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn mount_id(fdinfo: &[u8]) -> Option<u64> {
    let mut lines = fdinfo.split(|b| *b == b'\n');
    let value = lines.find_map(|l| l.strip_prefix(b"mnt_id:"))?;
    number(value.trim_ascii())
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The line of the mount with this number, if it is one of NFS.
fn line_of(info: &[u8], id: u64) -> Option<Mount> {
    let mut lines = info.split(|b| *b == b'\n');
    lines.find_map(|line| parse(line).filter(|mount| mount.id == id))
}

/// `36 35 0:44 / /mnt rw,relatime shared:1 - nfs4 nas:/vol rw,vers=4.2,hard,…`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let id = number(fields.next()?)?;
    let point = fields.nth(3)?;
    let own = fields.next()?;
    // Any number of fields, then a hyphen.
    fields.find(|f| *f == b"-")?;
    let kind = fields.next()?;
    if kind != b"nfs" && kind != b"nfs4" {
        return None;
    }
    let source = fields.next()?;
    let options = [own, fields.next()?];
    let options = options.into_iter().flat_map(|o| o.split(|b| *b == b','));
    Some(Mount {
        id,
        source: unescape(source),
        point: unescape(point),
        options: options.map(unescape).collect(),
    })
}

/// Blank, tab, newline and backslash stand as `\040` and so on. What is not UTF-8
/// is for messages only.
fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|d| {
            first == b'\\' && d[0] <= b'3' && d.iter().all(|b| (b'0'..=b'7').contains(b))
        });
        match octal {
            Some(d) => {
                out.push((d[0] - b'0') << 6 | (d[1] - b'0') << 3 | (d[2] - b'0'));
                rest = &behind[3..];
            }
            None => {
                out.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        36 27 0:44 / /mnt/a\\040b rw,relatime shared:1 master:2 - nfs4 nas:/vol\\0401 \
        rw,vers=4.2,rsize=1048576,acregmax=7,hard,local_lock=none,addr=10.0.0.1\n\
        37 36 0:45 /x /mnt/a\\040b ro,nosuid - nfs 10.0.0.2:/x rw,vers=3,soft,nolock\n\
        38 27 254:0 / /mnt rw - ext4 /dev/vda rw,hard\n";

    #[test]
    fn the_mount_is_that_of_the_number() {
        let mount = line_of(INFO, 36).unwrap();
        assert_eq!(mount.source, "nas:/vol 1");
        assert_eq!(mount.point, "/mnt/a b");
        assert!(mount.has("relatime") && mount.has("hard") && !mount.has("har"));
        assert_eq!(mount.value("vers"), Some("4.2"));
        assert_eq!(mount.value("acregmax"), Some("7"));
        assert_eq!((mount.value("acreg"), mount.value("hard")), (None, None));
        // One over the other, at the same place.
        let over = line_of(INFO, 37).unwrap();
        assert!(over.has("soft") && over.has("ro") && !over.has("hard"));
        // Not NFS, and not there.
        assert_eq!((line_of(INFO, 38), line_of(INFO, 3)), (None, None));
    }

    #[test]
    fn fc_13_bytes_that_nobody_vouches_for() {
        // A mount point may have any bytes but zero.
        let mount = parse(b"5 1 0:1 / /\xff\xfe - - nfs \xc3( rw,\xff=1").unwrap();
        assert_eq!((mount.id, mount.source.as_str()), (5, "\u{fffd}("));
        assert_eq!(unescape(b"\\777\\08\\\\134\\1"), "\\777\\08\\\\\\1");
        assert_eq!(unescape(b"\\000"), "\0");
        for line in [
            &b""[..],
            b" ",
            b"-",
            b"x 1 0:1 / /m rw - nfs s rw",
            b"99999999999999999999999 1 0:1 / /m rw - nfs s rw",
            b"5 1 0:1 / /m rw - nfs s",
            b"5 1 0:1 / /m rw nfs s rw",
            b"5 1 0:1 / /m",
            b"-5 1 0:1 / /m rw - nfs s rw",
        ] {
            assert_eq!(parse(line), None, "{}", String::from_utf8_lossy(line));
        }
        // Every beginning of a good text, and every byte of it changed.
        for end in 0..INFO.len() {
            let _ = line_of(&INFO[..end], 36);
        }
        for at in 0..INFO.len() {
            for byte in [0, b' ', b'\n', b'\\', 0xff] {
                let mut bad = INFO.to_vec();
                bad[at] = byte;
                let _ = line_of(&bad, 36);
            }
        }
    }

    #[test]
    fn the_number_of_an_open_folder() {
        assert_eq!(
            mount_id(b"pos:\t0\nflags:\t012\nmnt_id:\t29\nino:\t2\n"),
            Some(29)
        );
        for bad in [
            &b""[..],
            b"mnt_id:",
            b"mnt_id:\t-1",
            b"mnt_id:\t\xff",
            b"xmnt_id:\t1",
        ] {
            assert_eq!(mount_id(bad), None);
        }
    }

    #[test]
    fn fc_11_a_disk_is_no_mount_of_nfs() {
        let e = find("nfs:///x", Path::new("/dev/shm/not/there")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        for says in [
            "not on an NFS mount",
            "file:///dev/shm/not/there",
            "nfs://server",
        ] {
            assert!(e.to_string().contains(says), "{e}");
        }
    }
}
