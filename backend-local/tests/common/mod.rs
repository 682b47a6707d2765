//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use flushproof_api::bytes::{Bytes, BytesMut};
use flushproof_api::*;
use flushproof_backend_local::LocalStore;
use futures_util::StreamExt;
use std::path::Path;

pub fn path(text: &str) -> StorePath {
    StorePath::new(text).unwrap()
}

/// A folder on the disk that the build uses, not on tmpfs.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub async fn open(root: &Path) -> LocalStore {
    LocalStore::open(root, &Options::new(), Mode::ReadWrite)
        .await
        .unwrap()
}

pub async fn open_with(root: &Path, method: &str) -> LocalStore {
    let options = Options::new().with("method", method);
    LocalStore::open(root, &options, Mode::ReadWrite)
        .await
        .unwrap()
}

/// A batch of `blocks` blocks, all bytes `fill`, at an aligned address.
pub fn batch(store: &dyn JournalStore, blocks: usize, fill: u8) -> Bytes {
    let block = store.contract().block;
    let mut bytes = BytesMut::zeroed((blocks + 1) * block);
    bytes.fill(fill);
    let bytes = bytes.freeze();
    let skip = bytes.as_ptr().addr().wrapping_neg() % block;
    bytes.slice(skip..skip + blocks * block)
}

pub async fn listed(store: &dyn JournalStore) -> Vec<Listed> {
    store
        .list(&StorePath::root())
        .map(|row| row.unwrap())
        .collect()
        .await
}

pub async fn names(store: &dyn JournalStore) -> Vec<String> {
    let rows = listed(store).await;
    rows.iter()
        .map(|r| format!("{} {:?} {}", r.path, r.kind, r.len))
        .collect()
}

pub async fn read_all(store: &dyn JournalStore, at: &StorePath, from: Source) -> Bytes {
    let reader = store.open(at, from).await.unwrap();
    let len = reader.len().await.unwrap();
    reader.read(0..len).await.unwrap()
}

pub async fn put(store: &dyn JournalStore, at: &str, bytes: &'static [u8]) -> Result<u64> {
    let mut object = store
        .create_object(&path(at), ObjectOptions::default())
        .await?;
    object.write(Bytes::from_static(bytes)).await?;
    object.commit().await
}

pub async fn create_log(store: &dyn JournalStore, at: &str) -> Result<Box<dyn LogWriter>> {
    let options = LogOptions::default().with_size_hint(64 * 1024);
    store.create_log(&path(at), options).await
}

/// The kind of an error from something that has no `Debug`.
pub fn kind<T>(result: Result<T>) -> ErrorKind {
    error(result).kind()
}

pub fn error<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(e) => e,
    }
}

/// All file names below a folder, sorted, temporaries and all.
pub fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path()).iter().map(|f| format!("{name}/{f}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}
