//! What the tests of faults share: configurations, random numbers, and folders.
#![allow(dead_code)] // every test binary uses a part of it
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

pub mod child;
pub mod faulty;
pub mod small;
pub mod state;
pub mod work;

use flushproof::{Config, Options, Registry, StoreUri, Survives};
use flushproof_backend_local::LocalFactory;
use std::path::Path;

/// A journal in a folder of the local disk, tmpfs included, with segments of
/// 64 KiB so that they roll often.
pub fn local(folder: &Path) -> Config {
    let mut config = Config::new(StoreUri::parse(folder.to_str().unwrap()).unwrap());
    config.registry = Registry::new().with(LocalFactory);
    config.require = Survives::parse("writer-crash").unwrap();
    config.segment_size = 64 << 10;
    config
}

/// The same on tmpfs: nothing to be proved by a device there, but much faster.
pub fn in_memory(folder: &Path) -> Config {
    let mut config = local(folder);
    config.options = Options::new().with("method", "dsync");
    config
}

/// A folder in memory that goes with the value.
pub fn memory_folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("flushproof-")
        .tempdir_in("/dev/shm")
        .unwrap()
}

/// A folder on the disk of the build, which is a real one in most places.
pub fn disk_folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("flushproof-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
}

/// How many rounds: the variable's value, or the default.
pub fn rounds(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |n| n.parse().unwrap())
}

/// A runtime of two workers that does not wait for hung calls when it is dropped.
pub struct Runtime(Option<tokio::runtime::Runtime>);

pub fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    Runtime(Some(runtime))
}

impl Runtime {
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().unwrap().block_on(future)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether the long counts are wanted.
pub fn soak() -> bool {
    std::env::var("FLUSHPROOF_SOAK").is_ok_and(|v| v == "1")
}

/// A generator of random numbers (SplitMix64); its seed is printed, so that a
/// failure can be run again with `FLUSHPROOF_SEED`.
pub struct Random(u64);

impl Random {
    pub fn new(what: &str) -> Random {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let seed = rounds("FLUSHPROOF_SEED", now.as_nanos() as u64);
        println!("{what}: FLUSHPROOF_SEED={seed}");
        Random(seed)
    }

    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn micros(&mut self, most: u64) -> std::time::Duration {
        std::time::Duration::from_micros(self.below(most))
    }
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files below a folder, sorted, the host lock left out.
pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with(".lock") {
            found.push(path);
        }
    }
    found.sort();
    found
}
