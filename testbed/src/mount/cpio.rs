//! The machine's root: a cpio archive of the kind that the kernel unpacks
//! (`newc`; the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::collections::BTreeSet;
use std::path::Path;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that grows.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    count: u32,
}

impl Archive {
    /// Adds a folder and those above it; `path` has no slash at its begin.
    pub(crate) fn folder(&mut self, path: &str) {
        if path.is_empty() || !self.folders.insert(path.to_owned()) {
            return;
        }
        self.folder(above(path));
        self.entry(path, FOLDER, &[]);
    }

    /// Adds a file that can be run, and the folders above it.
    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) {
        self.folder(above(path));
        self.entry(path, PROGRAM, bytes);
    }

    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        self.count += 1;
        // inode, mode, user, group, links, time, length, device, the device that it
        // is (two numbers each), length of the name, checksum (not of this kind)
        let fields = [
            self.count as usize,
            mode as usize,
            0,
            0,
            1,
            0,
            bytes.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

fn above(path: &str) -> &str {
    let parent = Path::new(path).parent().and_then(Path::to_str);
    parent.unwrap_or("")
}
