//! A machine with a Linux kernel that has an NFS client, for tests of journals on
//! a mount: the machine at hand mostly has none, and its power can't be cut.
//!
//! It is emulated (QEMU without KVM, so it runs wherever tests run), has no disk,
//! and reaches the servers of this machine at [`HOST`]. Debian's kernel for clouds
//! and busybox are unpacked into the cache, not installed.
//!
//! ```no_run
//! # use std::path::Path;
//! # fn main() -> Result<(), String> {
//! use flushproof_testbed::mount::Machine;
//! let mut machine = Machine::start(Path::new("/usr/bin/true"))?; // there as /program
//! let kernel = machine.must("uname -r")?;
//! machine.power_cut()?; // kill -9: what the kernel has not sent is gone
//! # Ok(()) }
//! ```

mod cpio;
mod machine;

pub use machine::{HOST, Machine, PROGRAM};

use crate::cache;
use crate::install::{apt, download, find, update};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What installs it; tests without it fail with this line.
const LINE: &str = "cargo xtask servers install mount";
const QEMU: &str = "qemu-system-x86_64";
/// Depends on the newest kernel for clouds.
const KERNEL: &str = "linux-image-cloud-amd64";
/// For the network and for NFS 3 and 4, each behind those that it needs.
const MODULES: [&str; 18] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "sunrpc",
    "grace",
    "lockd",
    "netfs",
    "fscache",
    "nfs_acl",
    "nfs",
    "nfsv3",
    "dns_resolver",
    "nfsv4",
];

fn folder() -> Result<PathBuf, String> {
    Ok(cache()?.join("mount"))
}

fn kernel() -> Result<PathBuf, String> {
    Ok(folder()?.join("vmlinuz"))
}

fn busybox() -> Result<PathBuf, String> {
    Ok(folder()?.join("busybox"))
}

fn module(name: &str) -> Result<PathBuf, String> {
    Ok(folder()?.join(format!("{name}.ko")))
}

/// Whether everything is there.
///
/// # Errors
/// What is missing, as a noun.
pub fn installed() -> Result<(), String> {
    find(QEMU).ok_or("QEMU")?;
    let modules = MODULES.iter().map(|name| module(name));
    let files = [kernel(), busybox()].into_iter().chain(modules);
    for file in files {
        let file = file?;
        if !file.is_file() {
            return Err(format!("{}, of a Linux kernel with NFS", file.display()));
        }
    }
    Ok(())
}

/// Installs QEMU, and unpacks a kernel and busybox into [`cache`].
/// Repeating it does nothing.
///
/// # Errors
/// What failed and what to try.
pub fn install() -> Result<(), String> {
    if installed().is_ok() {
        return Ok(());
    }
    if find(QEMU).is_none() {
        apt(&["qemu-system-x86"], "a machine whose power can be cut")?;
    }
    let unpacked = folder()?.join("unpacked");
    let _ = fs::remove_dir_all(&unpacked);
    // The versions are the distribution's: Linux 6.1 and busybox 1.35 in Debian 12.
    update()?;
    let packages = [newest_kernel()?, "busybox-static".to_owned()];
    download(&packages, &unpacked, "for the machine that mounts NFS")?;
    let boot = unpacked.join("boot");
    let image = search(&boot, &|name| name.starts_with("vmlinuz-"));
    copy(image, &kernel()?, "vmlinuz")?;
    copy(Some(unpacked.join("bin/busybox")), &busybox()?, "busybox")?;
    for name in MODULES {
        let files = [
            format!("{name}.ko"),
            format!("{}.ko", name.replace('_', "-")),
        ];
        let found = search(&unpacked.join("lib/modules"), &|n| {
            files.iter().any(|f| f == n)
        });
        copy(found, &module(name)?, name)?;
    }
    fs::remove_dir_all(&unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))?;
    installed().map_err(|what| format!("{what} is still missing after its installation"))
}

/// The package with the kernel itself.
fn newest_kernel() -> Result<String, String> {
    let mut apt_cache = Command::new("apt-cache");
    apt_cache.args(["depends", "--important", KERNEL]);
    let out = apt_cache
        .output()
        .map_err(|e| format!("apt-cache: {e}; the kernel comes from Debian"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let depends = |line: &str| Some(line.trim().strip_prefix("Depends: ")?.to_owned());
    text.lines().find_map(depends).ok_or_else(|| {
        format!("apt knows no package {KERNEL}: it is Debian's; try: apt-get update")
    })
}

/// The first file below a folder whose name is wanted.
fn search(below: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    for entry in fs::read_dir(below).ok()?.flatten() {
        let path = entry.path();
        let found = match entry.file_type().ok()?.is_dir() {
            true => search(&path, wanted),
            false => entry
                .file_name()
                .to_str()
                .is_some_and(wanted)
                .then_some(path),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn copy(from: Option<PathBuf>, to: &Path, what: &str) -> Result<(), String> {
    let from = from.ok_or_else(|| format!("Debian's package has no {what}"))?;
    let copied = fs::copy(&from, to);
    copied.map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))?;
    Ok(())
}

/// Fails with the line that installs it.
fn require() -> Result<(), String> {
    installed().map_err(|what| format!("{what} is missing; install it with: {LINE}"))
}
