//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod proxy;

use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_nfs::NfsStore;
use flushproof_testbed::{Bed, nfs};
use futures_util::StreamExt;
use std::path::{Path, PathBuf};

/// The server that the tests of one binary share.
pub fn bed() -> &'static Bed {
    Bed::shared(&nfs::NFS)
}

pub fn path(text: &str) -> StorePath {
    StorePath::new(text).unwrap()
}

pub fn uri(text: &str) -> StoreUri {
    StoreUri::parse(text).unwrap()
}

/// The options with which a bed is reached.
pub fn options(bed: &Bed) -> Options {
    Options::new().with("mount_port", bed.place().ports[1].to_string())
}

/// The URI of an empty place on the shared server.
pub fn fresh() -> StoreUri {
    uri(&bed().fresh_uri())
}

pub async fn open_at(at: &StoreUri) -> NfsStore {
    NfsStore::open(at, &options(bed()), Mode::ReadWrite)
        .await
        .unwrap()
}

pub async fn open_on(bed: &Bed, at: &StoreUri, timeout: &str) -> NfsStore {
    let options = options(bed).with("timeout", timeout);
    NfsStore::open(at, &options, Mode::ReadWrite).await.unwrap()
}

/// The folder of a URI as the server's machine sees it. Only looked at: ganesha
/// must not be surprised.
pub fn folder(bed: &Bed, at: &StoreUri) -> PathBuf {
    bed.place().folder.join(at.path().trim_start_matches('/'))
}

pub fn batch(store: &dyn JournalStore, blocks: usize, fill: u8) -> Bytes {
    Bytes::from(vec![fill; blocks * store.contract().block])
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

pub async fn read_all(store: &dyn JournalStore, at: &StorePath) -> Bytes {
    let reader = store.open(at, Source::Medium).await.unwrap();
    let len = reader.len().await.unwrap();
    reader.read(0..len).await.unwrap()
}

pub async fn put(store: &dyn JournalStore, at: &str, bytes: impl Into<Bytes>) -> Result<u64> {
    let options = ObjectOptions::default();
    let mut object = store.create_object(&path(at), options).await?;
    object.write(bytes.into()).await?;
    object.commit().await
}

pub async fn create_log(store: &dyn JournalStore, at: &str) -> Result<Box<dyn LogWriter>> {
    store.create_log(&path(at), LogOptions::default()).await
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
