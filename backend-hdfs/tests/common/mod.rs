//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_hdfs::HdfsStore;
use flushproof_testbed::Bed;
use flushproof_testbed::hdfs::Hdfs;
use futures_util::StreamExt;

/// The NameNode and DataNodes that all tests of this process share.
pub fn bed() -> &'static Bed {
    Bed::shared(&Hdfs)
}

/// What a test needs to reach a bed; one process may have several.
pub fn options(bed: &Bed) -> Options {
    let conf = Hdfs.conf(bed.place()).display().to_string();
    Options::new().with("conf_dir", conf)
}

/// An empty place.
pub fn fresh(bed: &Bed) -> StoreUri {
    StoreUri::parse(&bed.fresh_uri()).unwrap()
}

pub async fn open(bed: &Bed, uri: &StoreUri) -> HdfsStore {
    open_with(bed, uri, &[]).await
}

pub async fn open_with(bed: &Bed, uri: &StoreUri, more: &[(&str, &str)]) -> HdfsStore {
    try_open(bed, uri, more, Mode::ReadWrite).await.unwrap()
}

pub async fn try_open(
    bed: &Bed,
    uri: &StoreUri,
    more: &[(&str, &str)],
    mode: Mode,
) -> Result<HdfsStore> {
    let mut options = options(bed);
    for (key, value) in more {
        options.set(*key, *value);
    }
    HdfsStore::open(uri, &options, mode).await
}

/// A new place on the shared bed, opened.
pub async fn store() -> HdfsStore {
    open(bed(), &fresh(bed())).await
}

pub fn path(text: &str) -> StorePath {
    StorePath::new(text).unwrap()
}

/// A batch of `blocks` blocks, all bytes `fill`.
pub fn batch(blocks: usize, fill: u8) -> Bytes {
    Bytes::from(vec![fill; blocks * BLOCK as usize])
}

/// The block of the contract.
pub const BLOCK: u64 = 512;

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

pub async fn put(store: &dyn JournalStore, at: &str, bytes: &'static [u8]) -> Result<u64> {
    let mut object = store
        .create_object(&path(at), ObjectOptions::default())
        .await?;
    object.write(Bytes::from_static(bytes)).await?;
    object.commit().await
}

pub async fn create_log(store: &dyn JournalStore, at: &str) -> Result<Box<dyn LogWriter>> {
    store.create_log(&path(at), LogOptions::default()).await
}

pub fn kind<T>(result: Result<T>) -> ErrorKind {
    error(result).kind()
}

/// The error of something that has no `Debug`.
pub fn error<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(e) => e,
    }
}
