//! What the tests share.
#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used
)]

pub mod proxy;
pub mod raw;

use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_object::ObjectStore;
use flushproof_testbed::Bed;
use flushproof_testbed::azure::Azure;
use flushproof_testbed::s3::S3;
use futures_util::StreamExt;

/// The SeaweedFS that all tests of this process share.
pub fn s3() -> &'static Bed {
    Bed::shared(&S3)
}

/// The Azurite that all tests of this process share.
pub fn azure() -> &'static Bed {
    Bed::shared(&Azure)
}

/// Each of these functions is a test on each server: it gets the server's bed.
macro_rules! on_each_server {
    ($($(#[$how:meta])* $name:ident,)+) => {
        mod s3 { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::common::s3()).await;
            }
        )+ }
        mod azure { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::common::azure()).await;
            }
        )+ }
    };
}
pub(crate) use on_each_server;

/// What a test needs to reach a bed: endpoint and credentials. As options, for
/// one process has several beds.
pub fn options(bed: &Bed) -> Options {
    if is_s3(bed) {
        let env = bed.env();
        let env = |key: &str| env.iter().find(|(k, _)| k == key).unwrap().1.clone();
        Options::new()
            .with("endpoint", env("AWS_ENDPOINT_URL"))
            .with("access_key_id", env("AWS_ACCESS_KEY_ID"))
            .with("secret_access_key", env("AWS_SECRET_ACCESS_KEY"))
    } else {
        let (account, key) = Azure.account();
        Options::new()
            .with("endpoint", Azure.endpoint(bed.place()))
            .with("account", account)
            .with("account_key", key)
    }
}

pub fn is_s3(bed: &Bed) -> bool {
    bed.uri().starts_with("s3://")
}

/// An empty place.
pub fn fresh(bed: &Bed) -> StoreUri {
    StoreUri::parse(&bed.fresh_uri()).unwrap()
}

pub async fn open(bed: &Bed, uri: &StoreUri) -> ObjectStore {
    open_with(bed, uri, &[]).await
}

pub async fn open_with(bed: &Bed, uri: &StoreUri, more: &[(&str, &str)]) -> ObjectStore {
    try_open(bed, uri, more, Mode::ReadWrite).await.unwrap()
}

pub async fn try_open(
    bed: &Bed,
    uri: &StoreUri,
    more: &[(&str, &str)],
    mode: Mode,
) -> Result<ObjectStore> {
    let mut options = options(bed);
    for (key, value) in more {
        options.set(*key, *value);
    }
    ObjectStore::open(uri, &options, mode).await
}

/// A new place on the bed, opened.
pub async fn store(bed: &Bed) -> ObjectStore {
    open(bed, &fresh(bed)).await
}

pub fn path(text: &str) -> StorePath {
    StorePath::new(text).unwrap()
}

/// A batch, all bytes `fill`.
pub fn batch(len: usize, fill: u8) -> Bytes {
    Bytes::from(vec![fill; len])
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
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        let at = bytes.len() as u64;
        let range = at..len.min(at + MAX_READ);
        bytes.extend_from_slice(&reader.read(range).await.unwrap());
    }
    bytes.into()
}

pub async fn put(store: &dyn JournalStore, at: &str, bytes: impl Into<Bytes>) -> Result<u64> {
    let mut object = store
        .create_object(&path(at), ObjectOptions::default())
        .await?;
    object.write(bytes.into()).await?;
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
