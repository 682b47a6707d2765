//! FC-10 to FC-13, and what has no number.

use crate::common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_testbed::Bed;
use std::sync::Arc;
use std::time::Duration;

on_each_server! {
    fc_6_a_list_is_sorted_and_ignores_strays,
    fc_10_dropped_futures_lose_and_reorder_nothing,
    fc_10_a_flush_outlives_log_and_store,
    fc_10_a_flush_needs_no_runtime_of_the_caller,
    fc_13_hostile_reads,
    read_only_writes_nothing_at_all,
    sweep_removes_old_leftovers_only,
    a_closed_store_says_so_and_its_writers_go_on,
    the_bare_put_of_the_benches_is_conditional,
}

async fn fc_6_a_list_is_sorted_and_ignores_strays(bed: &Bed) {
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let raw = raw::raw(bed, &uri);
    let strays = [
        "a/b.log.old",
        "a/b.fence-7",
        "notes.txt",
        "plain",
        "sub.folder/x",
        "short.log",
        ".hidden/x",
    ];
    for stray in strays {
        raw.write(stray, "a stray").await.unwrap();
    }
    for at in ["b", "a/b", "a-b", "ab", "a/b-c", "c/d/e/f"] {
        put(&store, at, &b"x"[..]).await.unwrap();
    }
    put(&store, "large", vec![1; 100_000]).await.unwrap();
    let mut log = create_log(&store, "a/b").await.unwrap();
    log.flush(batch(1000, 1)).await.unwrap();
    log.flush(batch(24, 1)).await.unwrap();
    store.fence_log(&path("a/b")).await.unwrap();
    let expected = [
        "a-b Object 1",
        "a/b Object 1",
        "a/b Log 1024",
        "a/b Fence 1024",
        "a/b-c Object 1",
        "ab Object 1",
        "b Object 1",
        "c/d/e/f Object 1",
        "large Object 100000",
    ];
    assert_eq!(names(&store).await, expected);
    assert_eq!(names(&open(bed, &uri).await).await, expected);
    use futures_util::StreamExt;
    assert_eq!(store.list(&path("a")).count().await, 4);
    assert_eq!(store.list(&path("missing/folder")).count().await, 0);
    // Of a stray's name: never an Ok, and it stays.
    for at in ["plain", "short"] {
        assert_eq!(
            kind(store.open(&path(at), Source::Any).await),
            ErrorKind::Corrupt
        );
        let e = error(store.delete(&path(at)).await);
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
        assert!(e.to_string().contains("move it away"), "{e}");
    }
    assert_eq!(
        kind(put(&store, "plain", &b"x"[..]).await),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(create_log(&store, "short").await),
        ErrorKind::AlreadyExists
    );
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
    let left = raw::keys(&raw).await;
    for stray in strays {
        assert!(left.iter().any(|key| key == stray), "{stray} in {left:?}");
    }
}

/// Polls a future a few times and drops it.
async fn drop_after<T>(polls: usize, future: impl Future<Output = T>) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let once = std::future::poll_fn(|cx| {
            let ready = future.as_mut().poll(cx).is_ready();
            std::task::Poll::Ready(ready)
        });
        if once.await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn fc_10_dropped_futures_lose_and_reorder_nothing(bed: &Bed) {
    let store = store(bed).await;
    for polls in 0..4 {
        let at = |name: &str| format!("{name}/{polls}");
        let object = path(&at("object"));
        let mut writer = store
            .create_object(&object, ObjectOptions::default())
            .await
            .unwrap();
        for n in 0..12u8 {
            drop_after(polls, writer.write(Bytes::from(vec![n; 100_000]))).await;
        }
        drop_after(polls, writer.commit()).await;
        let len = writer.commit().await.unwrap();
        let bytes = read_all(&store, &object).await;
        assert_eq!(bytes.len() as u64, len);
        assert_eq!(len, if polls == 0 { 0 } else { 1_200_000 });
        assert!(bytes.is_sorted(), "in order, nothing twice");
        // A log: created and dropped, then there or not; sealed and dropped.
        let dropped = path(&at("dropped"));
        drop_after(polls, store.create_log(&dropped, LogOptions::default())).await;
        let name = at("log");
        let mut log = create_log(&store, &name).await.unwrap();
        drop(log.flush(batch(9, 7))); // never polled: written all the same
        drop_after(polls, log.seal()).await;
        assert_eq!(log.seal().await.unwrap(), 9);
        assert_eq!(read_all(&store, &path(&name)).await[0], 7);
        // Fenced and deleted, each first dropped, then repeated.
        drop_after(polls, store.fence_log(&path(&name))).await;
        assert_eq!(store.fence_log(&path(&name)).await.unwrap(), 9);
        drop_after(polls, store.delete(&path(&name))).await;
        store.delete(&path(&name)).await.unwrap();
        store.host_lock(HostLock::Polite).await.unwrap();
    }
    for row in listed(&store).await {
        assert!(row.kind != ListedKind::Log || row.path.as_str().starts_with("dropped/"));
    }
}

async fn fc_10_a_flush_outlives_log_and_store(bed: &Bed) {
    let store = store(bed).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let flush = log.flush(batch(9, 7));
    drop((log, store));
    assert_eq!(flush.await.unwrap().len, 9);
}

async fn fc_10_a_flush_needs_no_runtime_of_the_caller(bed: &Bed) {
    let (uri, options) = (fresh(bed), options(bed));
    let plain = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (store, mut log) = runtime.block_on(async {
            let opened =
                flushproof_backend_object::ObjectStore::open(&uri, &options, Mode::ReadWrite);
            let store = opened.await.unwrap();
            let log = create_log(&store, "log/1-0").await.unwrap();
            (store, log)
        });
        drop(runtime);
        assert_eq!(block_on(log.flush(batch(9, 7))).unwrap().len, 9);
        assert_eq!(block_on(store.fence_log(&path("log/1-0"))).unwrap(), 9);
    });
    tokio::task::spawn_blocking(|| plain.join().unwrap())
        .await
        .unwrap();
}

/// Without any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

async fn fc_13_hostile_reads(bed: &Bed) {
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    for _ in 0..4 {
        log.flush(batch(512, 1)).await.unwrap();
    }
    put(&store, "object", &b"five!"[..]).await.unwrap();
    put(&store, "large", vec![7; 100_000]).await.unwrap();
    for (at, len) in [("log/1-0", 2048u64), ("object", 5), ("large", 100_000)] {
        let reader = store.open(&path(at), Source::Medium).await.unwrap();
        assert_eq!(reader.len().await.unwrap(), len);
        #[allow(clippy::reversed_empty_ranges)]
        for wrong in [
            0..len + 1,
            len..len + 1,
            u64::MAX - 1..u64::MAX,
            0..u64::MAX,
            5..3,
            0..MAX_READ + 1,
        ] {
            let e = error(reader.read(wrong.clone()).await);
            assert_eq!(e.kind(), ErrorKind::InvalidInput, "{at} {wrong:?}");
        }
        for right in [0..0, len..len, 1..4, 0..len, len - 1..len] {
            let bytes = reader.read(right.clone()).await.unwrap();
            assert_eq!(
                bytes.len() as u64,
                right.end - right.start,
                "{at} {right:?}"
            );
        }
    }
    // Bytes changed behind our back: an error that says where.
    let raw = raw::raw(bed, &uri);
    for key in raw::keys(&raw).await {
        if key.starts_with(".trial") || key == ".store" {
            continue;
        }
        let mut bytes = raw.read(&key).await.unwrap().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        raw.write(&key, bytes).await.unwrap();
    }
    for (at, len) in [("log/1-0", 2048), ("object", 5), ("large", 100_000)] {
        let read = async {
            let reader = store.open(&path(at), Source::Medium).await?;
            reader.read(0..len).await
        };
        let e = error(read.await);
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{at}: {e}");
        assert!(e.to_string().contains("damaged"), "{e}");
    }
}

async fn read_only_writes_nothing_at_all(bed: &Bed) {
    let uri = fresh(bed);
    let missing = try_open(bed, &uri, &[], Mode::ReadOnly).await;
    let e = error(missing);
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("check bucket and prefix"), "{e}");
    let raw = raw::raw(bed, &uri);
    assert!(raw::keys(&raw).await.is_empty());
    let store = open(bed, &uri).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(1, 1)).await.unwrap();
    log.seal().await.unwrap();
    drop((log, store));
    let before = raw::keys(&raw).await;
    let store = try_open(bed, &uri, &[], Mode::ReadOnly).await.unwrap();
    assert_eq!(names(&store).await.len(), 1);
    read_all(&store, &path("log/1-0")).await;
    let at = path("log/1-0");
    for kind in [
        kind(create_log(&store, "log/2-0").await),
        kind(put(&store, "x", &b"x"[..]).await),
        kind(store.fence_log(&at).await),
        kind(store.delete(&at).await),
        kind(store.sweep(Duration::ZERO).await),
        kind(store.host_lock(HostLock::Polite).await),
    ] {
        assert_eq!(kind, ErrorKind::PermissionDenied);
    }
    assert_eq!(raw::keys(&raw).await, before);
}

async fn sweep_removes_old_leftovers_only(bed: &Bed) {
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let raw = raw::raw(bed, &uri);
    put(&store, "a/b", &b"x"[..]).await.unwrap();
    let mut object = store
        .create_object(&path("a/c"), ObjectOptions::default())
        .await
        .unwrap();
    object.write(batch(9 << 20, 1)).await.unwrap(); // one piece is stored
    let clean = raw::keys(&raw).await;
    // An upload of a process that died, and trials.
    let other = open(bed, &uri).await;
    let begun = other
        .create_object(&path("a/d"), ObjectOptions::default())
        .await;
    let mut left = begun.unwrap();
    left.write(batch(9 << 20, 1)).await.unwrap();
    drop((left, other));
    raw.write(".trial/x/1", "x").await.unwrap();
    assert_eq!(store.sweep(Duration::from_secs(600)).await.unwrap(), 0);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
    let now = raw::keys(&raw).await;
    let new: Vec<_> = now.iter().filter(|key| !clean.contains(key)).collect();
    // What was given up is remembered for a while.
    assert!(new.len() == 1 && new[0].ends_with("/end"), "{new:?}");
    assert_eq!(object.commit().await.unwrap(), 9 << 20);
    assert_eq!(names(&store).await, ["a/b Object 1", "a/c Object 9437184"]);
    assert_eq!(read_all(&store, &path("a/c")).await, batch(9 << 20, 1));
}

async fn a_closed_store_says_so_and_its_writers_go_on(bed: &Bed) {
    let store = store(bed).await;
    assert!(store.space().await.unwrap().is_none());
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(kind(create_log(&store, "log/1").await), ErrorKind::Closed);
    assert_eq!(kind(store.space().await), ErrorKind::Closed);
    log.flush(batch(1, 1)).await.unwrap();
    drop(store);
    assert_eq!(log.flush(batch(1, 1)).await.unwrap().len, 2);
}

async fn the_bare_put_of_the_benches_is_conditional(bed: &Bed) {
    let uri = fresh(bed);
    let mut bare = flushproof_backend_object::Bare::new(&uri, &options(bed)).unwrap();
    // Any runtime.
    for len in [0, 512, 100_000] {
        bare.put(len).await.unwrap();
    }
    let raw = raw::raw(bed, &uri);
    let keys = raw::keys(&raw).await;
    assert_eq!(keys.len(), 3);
    assert_eq!(raw.stat(&keys[1]).await.unwrap().content_length(), 512 + 64);
    // A taken key is no Ok.
    let next = keys[2].replace("00002", "00003");
    raw.write(&next, "taken").await.unwrap();
    assert!(
        error(bare.put(1).await)
            .to_string()
            .contains("a bare PUT failed")
    );
}
