//! What the simulated disk holds, and what a power cut leaves of it.

use super::Failure;
use crate::disk::{FileId, Kind, Meta};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::time::{Duration, SystemTime};

pub(super) const SECTOR: usize = 512;
pub(super) const ROOT: u64 = 0;

#[derive(Debug)]
pub(super) struct World {
    pub nodes: HashMap<u64, Node>,
    pub next_node: u64,
    pub random: u64,
    pub calls: u64,
    pub flushes: u64,
    pub openings: u64,
    pub failures: BTreeMap<u64, Failure>,
    /// What happens in between.
    pub guests: BTreeMap<u64, Guest>,
    pub stopped_from: u64,
    pub capacity: u64,
    /// Which opening holds a file's lock.
    pub locks: HashMap<u64, u64>,
}

pub(super) struct Guest(pub Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guest")
    }
}

#[derive(Debug)]
pub(super) enum Node {
    File(FileNode),
    Folder(FolderNode),
}

#[derive(Debug, Default)]
pub(super) struct FileNode {
    /// What the page cache shows.
    pub bytes: Vec<u8>,
    /// What the medium holds for certain.
    pub durable: Vec<u8>,
    /// Sectors written and not synced.
    pub dirty: BTreeSet<usize>,
    pub mode: u32,
    pub durable_mode: u32,
}

#[derive(Debug, Default)]
pub(super) struct FolderNode {
    pub entries: BTreeMap<String, u64>,
    pub durable: BTreeMap<String, u64>,
    /// What was changed since the last sync.
    pub pending: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(String, u64),
    Remove(String),
    Rename(String, String, u64),
}

impl Change {
    pub fn apply(&self, entries: &mut BTreeMap<String, u64>) {
        match self {
            Change::Set(name, node) => {
                entries.insert(name.clone(), *node);
            }
            Change::Remove(name) => {
                entries.remove(name);
            }
            Change::Rename(from, to, node) => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
        }
    }
}

impl FolderNode {
    pub fn change(&mut self, change: Change) {
        change.apply(&mut self.entries);
        self.pending.push(change);
    }

    pub fn sync(&mut self) {
        self.durable = self.entries.clone();
        self.pending.clear();
    }
}

impl FileNode {
    pub fn write(&mut self, parts: &[u8], offset: usize) {
        let end = offset + parts.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(parts);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    pub fn set_len(&mut self, len: usize) {
        let end = len.div_ceil(SECTOR);
        self.dirty.extend(self.bytes.len() / SECTOR..end);
        self.dirty.retain(|sector| *sector < end);
        self.bytes.resize(len, 0);
    }

    /// Makes some dirty sectors durable.
    pub fn sync(&mut self, sectors: impl Fn(usize) -> bool) {
        let done: Vec<usize> = self.dirty.iter().copied().filter(|s| sectors(*s)).collect();
        for sector in done {
            self.dirty.remove(&sector);
            self.keep(sector);
        }
    }

    /// Copies a sector to the medium.
    pub fn keep(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.bytes.len());
        if start < end {
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }

    /// What a reading past the cache finds: dirty sectors are written first.
    pub fn medium(&self, offset: usize, buffer: &mut [u8]) {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done;
            let n = (SECTOR - at % SECTOR).min(buffer.len() - done);
            let part = &mut buffer[done..done + n];
            if self.dirty.contains(&(at / SECTOR)) {
                part.copy_from_slice(&self.bytes[at..at + n]);
            } else {
                let held = self.durable.get(at..).unwrap_or_default();
                let held = &held[..n.min(held.len())];
                part.fill(0);
                part[..held.len()].copy_from_slice(held);
            }
            done += n;
        }
    }
}

fn no_such() -> io::Error {
    io::Error::from_raw_os_error(2)
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            nodes: HashMap::new(),
            next_node: ROOT + 1,
            random: seed,
            calls: 0,
            flushes: 0,
            openings: 0,
            failures: BTreeMap::new(),
            guests: BTreeMap::new(),
            stopped_from: u64::MAX,
            capacity: u64::MAX,
            locks: HashMap::new(),
        }
    }

    /// The next random number (SplitMix64).
    pub fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn coin(&mut self) -> bool {
        self.random() & 1 == 0
    }

    pub fn add(&mut self, node: Node) -> u64 {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    pub fn folder(&mut self, node: u64) -> io::Result<&mut FolderNode> {
        match self.nodes.get_mut(&node) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(io::Error::from_raw_os_error(20)),
        }
    }

    pub fn file(&mut self, node: u64) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::Error::from_raw_os_error(21)),
        }
    }

    pub fn find(&mut self, folder: u64, name: &str) -> io::Result<u64> {
        let entries = &self.folder(folder)?.entries;
        entries.get(name).copied().ok_or_else(no_such)
    }

    /// The length of all files that have a name.
    pub fn used(&self) -> u64 {
        let len = |node: &u64| match self.nodes.get(node) {
            Some(Node::File(file)) => file.bytes.len() as u64,
            _ => 0,
        };
        let files = |node: &Node| match node {
            Node::Folder(folder) => folder.entries.values().map(len).sum(),
            Node::File(_) => 0,
        };
        self.nodes.values().map(files).sum::<u64>()
    }

    /// Fails when a file may not grow to `end`.
    pub fn check_room(&self, file: u64, end: u64) -> io::Result<()> {
        let len = match self.nodes.get(&file) {
            Some(Node::File(file)) => file.bytes.len() as u64,
            _ => 0,
        };
        match end > len && self.used() + (end - len) > self.capacity {
            true => Err(Failure::NoSpace.error()),
            false => Ok(()),
        }
    }

    pub fn meta(&self, node: u64) -> io::Result<Meta> {
        let (kind, len, mode) = match self.nodes.get(&node) {
            Some(Node::File(file)) => (Kind::File, file.bytes.len() as u64, file.mode),
            Some(Node::Folder(_)) => (Kind::Folder, 0, 0o755),
            None => return Err(no_such()),
        };
        Ok(Meta {
            id: FileId {
                device: 1,
                inode: node,
            },
            kind,
            len,
            mode,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        })
    }

    pub fn power_cut(&mut self) -> World {
        let mut after = World::new(self.random());
        after.next_node = self.next_node;
        after.capacity = self.capacity;
        let mut todo = vec![ROOT];
        while let Some(id) = todo.pop() {
            let survivor = match self.nodes.remove(&id) {
                None => continue,
                Some(node) => {
                    let survivor = self.survivor(&node);
                    self.nodes.insert(id, node);
                    survivor
                }
            };
            if let Node::Folder(folder) = &survivor {
                todo.extend(
                    folder
                        .entries
                        .values()
                        .filter(|n| !after.nodes.contains_key(n)),
                );
            }
            after.nodes.insert(id, survivor);
        }
        after
    }

    pub fn survivor(&mut self, node: &Node) -> Node {
        match node {
            Node::Folder(folder) => {
                let mut entries = folder.durable.clone();
                for change in &folder.pending {
                    if self.coin() {
                        change.apply(&mut entries);
                    }
                }
                Node::Folder(FolderNode {
                    durable: entries.clone(),
                    entries,
                    pending: Vec::new(),
                })
            }
            Node::File(file) => {
                let mut kept = FileNode {
                    bytes: file.bytes.clone(),
                    durable: file.durable.clone(),
                    ..FileNode::default()
                };
                for sector in &file.dirty {
                    if self.coin() {
                        kept.keep(*sector);
                    }
                }
                if file.bytes.len() != file.durable.len() && self.coin() {
                    kept.durable.resize(file.bytes.len(), 0);
                }
                let mode = match self.coin() {
                    true => file.mode,
                    false => file.durable_mode,
                };
                Node::File(FileNode {
                    bytes: kept.durable.clone(),
                    durable: kept.durable,
                    dirty: BTreeSet::new(),
                    mode,
                    durable_mode: mode,
                })
            }
        }
    }
}
