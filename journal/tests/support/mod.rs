//! What the tests of faults share: configurations, random numbers, and folders.
#![allow(dead_code)] // every test binary uses a part of it
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

pub mod counting;
pub mod faulty;
pub mod late;
pub mod prepared;
pub mod small;
pub mod work;

#[allow(unused_imports)] // as above
pub use flushproof_store_tests::{Access, Random, child, rounds, runtime, scenarios, state};

use flushproof::{Config, Options, Registry};
use flushproof_backend_local::LocalFactory;
use std::path::Path;

/// The one backend of these tests, beside memory.
pub fn registry() -> Registry {
    Registry::new().with(LocalFactory)
}

/// A journal in a folder of the local disk, tmpfs included.
pub fn access(folder: &Path) -> Access {
    Access::new(folder.to_str().unwrap(), registry())
}

/// The same with segments of 64 KiB, so that they roll often.
pub fn local(folder: &Path) -> Config {
    access(folder).config()
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

/// Whether the long counts are wanted.
pub fn soak() -> bool {
    std::env::var("FLUSHPROOF_SOAK").is_ok_and(|v| v == "1")
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
