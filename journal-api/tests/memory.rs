//! The clauses that the store in memory keeps. It survives nothing (FC-1), reads
//! nothing but what was flushed (FC-2), and waits for nothing (FC-12).
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use futures_util::StreamExt;

fn path(text: &str) -> StorePath {
    StorePath::new(text).unwrap()
}

async fn log(store: &MemoryStore, at: &str) -> Result<Box<dyn LogWriter>> {
    store.create_log(&path(at), LogOptions::default()).await
}

async fn object(store: &MemoryStore, at: &str) -> Result<Box<dyn ObjectWriter>> {
    let options = ObjectOptions::default();
    store.create_object(&path(at), options).await
}

async fn put(store: &MemoryStore, at: &str, bytes: &'static [u8]) -> Result<u64> {
    let mut writer = object(store, at).await?;
    writer.write(Bytes::from_static(bytes)).await?;
    writer.commit().await
}

async fn names(store: &MemoryStore) -> Vec<String> {
    let rows: Vec<_> = store.list(&StorePath::root()).collect().await;
    let shown = |row: Result<Listed>| {
        let row = row.unwrap();
        format!("{} {:?} {}", row.path, row.kind, row.len)
    };
    rows.into_iter().map(shown).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn fc_3_seal_says_the_length_and_lasts() {
    let store = MemoryStore::new();
    let mut writer = log(&store, "log/1-0").await.unwrap();
    writer.flush(Bytes::from_static(b"four")).await.unwrap();
    for _ in 0..2 {
        assert_eq!(writer.seal().await.unwrap(), 4);
    }
    let late = writer.flush(Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(
        (late.kind(), late.outcome()),
        (ErrorKind::Closed, Outcome::NotWritten)
    );
    assert_eq!(names(&store).await, ["log/1-0 Log 4"]);
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 4);
}

#[tokio::test]
async fn fc_4_after_a_wrong_batch_the_writer_is_unusable() {
    let store = MemoryStore::new();
    for wrong in [0, MIN_MAX_BATCH + 1] {
        let mut writer = log(&store, &format!("log/{wrong}")).await.unwrap();
        let e = writer.flush(vec![1; wrong].into()).await.unwrap_err();
        assert_eq!(
            (e.kind(), e.outcome()),
            (ErrorKind::InvalidInput, Outcome::NotWritten)
        );
        for _ in 0..2 {
            let flush = writer.flush(Bytes::from_static(b"x"));
            assert_eq!(kind(flush.await), ErrorKind::Poisoned);
        }
        assert_eq!(kind(writer.seal().await), ErrorKind::Poisoned);
    }
}

#[tokio::test]
async fn fc_5_an_object_is_published_whole_or_not_at_all() {
    let store = MemoryStore::new();
    let mut first = object(&store, "a").await.unwrap();
    let mut second = object(&store, "a").await.unwrap();
    let mut third = object(&store, "a").await.unwrap();
    for writer in [&mut first, &mut second] {
        writer.write(Bytes::from_static(b"one")).await.unwrap();
        writer.write(Bytes::from_static(b"two")).await.unwrap();
    }
    third.abort().await.unwrap();
    assert_eq!(kind(third.commit().await), ErrorKind::Closed);
    assert!(names(&store).await.is_empty());
    for _ in 0..2 {
        assert_eq!(first.commit().await.unwrap(), 6);
    }
    assert_eq!(kind(second.commit().await), ErrorKind::AlreadyExists);
    assert_eq!(kind(object(&store, "a").await), ErrorKind::AlreadyExists);
    let more = first.write(Bytes::from_static(b"more")).await;
    assert_eq!(kind(more), ErrorKind::Closed);
    first.abort().await.unwrap();
    let reader = store.open(&path("a"), Source::Medium).await.unwrap();
    assert_eq!(reader.read(0..6).await.unwrap(), "onetwo");
}

#[tokio::test]
async fn fc_6_fc_7_names_are_listed_sorted_and_fences_stay() {
    let store = MemoryStore::new();
    for at in ["ab", "a/b-c", "a-b", "a/b"] {
        put(&store, at, b"x").await.unwrap();
    }
    let mut writer = log(&store, "a/x").await.unwrap();
    writer.flush(Bytes::from_static(b"four")).await.unwrap();
    store.fence_log(&path("a/x")).await.unwrap();
    let all = [
        "a-b Object 1",
        "a/b Object 1",
        "a/b-c Object 1",
        "a/x Log 4",
        "a/x Fence 4",
        "ab Object 1",
    ];
    assert_eq!(names(&store.clone()).await, all);
    for _ in 0..2 {
        store.delete(&path("a/x")).await.unwrap();
    }
    assert_eq!(names(&store).await[3], "a/x Fence 4");
    assert_eq!(kind(log(&store, "a/x").await), ErrorKind::Fenced);
    assert_eq!(store.fence_log(&path("a/x")).await.unwrap(), 4);
}

#[tokio::test]
async fn fc_8_fc_9_a_fenced_writer_never_acknowledges_again() {
    let store = MemoryStore::new();
    let mut writer = log(&store, "log/1-0").await.unwrap();
    let other = store.clone();
    let at = path("log/1-0");
    let reader = other.open(&at, Source::Medium).await.unwrap();
    writer.flush(Bytes::from_static(b"four")).await.unwrap();
    assert_eq!(reader.read(0..4).await.unwrap(), "four");
    assert_eq!(other.fence_log(&at).await.unwrap(), 4);
    for _ in 0..2 {
        let flush = writer.flush(Bytes::from_static(b"late"));
        assert_eq!(kind(flush.await), ErrorKind::Fenced);
    }
    assert_eq!(kind(writer.seal().await), ErrorKind::Fenced);
    assert_eq!(reader.len().await.unwrap(), 4);
    assert_eq!(other.fence_log(&at).await.unwrap(), 4);
    let none = other.fence_log(&path("log/9-9")).await;
    assert_eq!(kind(none), ErrorKind::NotFound);
}

#[tokio::test]
async fn fc_13_hostile_reads() {
    let store = MemoryStore::new();
    put(&store, "a", b"five!").await.unwrap();
    let reader = store.open(&path("a"), Source::Any).await.unwrap();
    #[allow(clippy::reversed_empty_ranges)]
    for wrong in [0..6, 5..6, 0..u64::MAX, u64::MAX - 1..u64::MAX, 5..3] {
        let e = reader.read(wrong).await;
        assert_eq!(kind(e), ErrorKind::InvalidInput);
    }
    assert_eq!(reader.read(1..4).await.unwrap(), "ive");
    assert!(reader.read(5..5).await.unwrap().is_empty());
}

#[tokio::test]
async fn read_only_writes_nothing_at_all() {
    let factory = MemoryFactory::new();
    let uri = StoreUri::parse("memory:x").unwrap();
    let none = Options::new();
    let store = factory.open(&uri, &none, Mode::ReadWrite).await.unwrap();
    let at = path("log/1-0");
    let options = LogOptions::default();
    store.create_log(&at, options).await.unwrap();
    let store = factory.open(&uri, &none, Mode::ReadOnly).await.unwrap();
    let fresh = path("a");
    let object = store.create_object(&fresh, ObjectOptions::default());
    for refused in [
        kind(object.await),
        kind(store.create_log(&path("log/1-1"), options).await),
        kind(store.fence_log(&at).await),
        kind(store.delete(&at).await),
        kind(store.sweep(std::time::Duration::ZERO).await),
        kind(store.host_lock(HostLock::Polite).await),
    ] {
        assert_eq!(refused, ErrorKind::PermissionDenied);
    }
    assert_eq!(
        store
            .open(&at, Source::Any)
            .await
            .unwrap()
            .len()
            .await
            .unwrap(),
        0
    );
}
