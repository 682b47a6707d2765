//! FC-10 to FC-13, and what has no number.

use crate::common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use std::sync::Arc;
use std::time::Duration;

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

#[tokio::test(flavor = "multi_thread")]
async fn fc_10_dropped_futures_lose_and_reorder_nothing() {
    let store = store().await;
    for polls in 0..3 {
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
        drop(log.flush(batch(1, 7))); // never polled: written all the same
        drop_after(polls, log.seal()).await;
        assert_eq!(log.seal().await.unwrap(), BLOCK);
        assert_eq!(read_all(&store, &path(&name)).await[0], 7);
        // Fenced and deleted, each first dropped, then repeated.
        drop_after(polls, store.fence_log(&path(&name))).await;
        assert_eq!(store.fence_log(&path(&name)).await.unwrap(), BLOCK);
        drop_after(polls, store.delete(&path(&name))).await;
        store.delete(&path(&name)).await.unwrap();
        store.host_lock(HostLock::Polite).await.unwrap();
    }
    for row in listed(&store).await {
        assert!(row.kind != ListedKind::Log || row.path.as_str().starts_with("dropped/"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_10_a_flush_outlives_log_and_store() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let flush = log.flush(batch(1, 7));
    drop((log, store));
    assert_eq!(flush.await.unwrap().len, BLOCK);
}

#[test]
fn fc_10_a_flush_needs_no_runtime_of_the_caller() {
    let uri = fresh(bed());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (store, mut log) = runtime.block_on(async {
        let store = open(bed(), &uri).await;
        let log = create_log(&store, "log/1-0").await.unwrap();
        (store, log)
    });
    drop(runtime);
    assert_eq!(block_on(log.flush(batch(1, 7))).unwrap().len, BLOCK);
    assert_eq!(block_on(store.fence_log(&path("log/1-0"))).unwrap(), BLOCK);
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

#[tokio::test(flavor = "multi_thread")]
async fn read_only_writes_nothing_at_all() {
    let uri = fresh(bed());
    let missing = try_open(bed(), &uri, &[], Mode::ReadOnly).await;
    assert_eq!(kind(missing), ErrorKind::NotFound);
    let store = open(bed(), &uri).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(1, 1)).await.unwrap();
    log.seal().await.unwrap();
    drop((log, store));
    let ls = || {
        let hdfs = flushproof_testbed::hdfs::Hdfs;
        hdfs.shell(bed().place(), &["-ls", "-d", uri.path()])
            .unwrap()
    };
    let before = ls();
    let store = try_open(bed(), &uri, &[], Mode::ReadOnly).await.unwrap();
    assert_eq!(names(&store).await.len(), 1);
    read_all(&store, &path("log/1-0")).await;
    let at = path("log/1-0");
    for kind in [
        kind(create_log(&store, "log/2-0").await),
        kind(put(&store, "x", b"x").await),
        kind(store.fence_log(&at).await),
        kind(store.delete(&at).await),
        kind(store.sweep(Duration::ZERO).await),
        kind(store.host_lock(HostLock::Polite).await),
    ] {
        assert_eq!(kind, ErrorKind::PermissionDenied);
    }
    assert_eq!(names(&store).await.len(), 1);
    assert_eq!(ls(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_13_hostile_reads() {
    let store = store().await;
    let mut open_log = create_log(&store, "log/1-0").await.unwrap();
    open_log.flush(batch(4, 1)).await.unwrap();
    let mut sealed = create_log(&store, "log/1-1").await.unwrap();
    sealed.flush(batch(4, 1)).await.unwrap();
    sealed.seal().await.unwrap();
    put(&store, "object", b"five!").await.unwrap();
    for (at, len) in [("log/1-0", 2048u64), ("log/1-1", 2048), ("object", 5)] {
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
    let reader = store.open(&path("object"), Source::Medium).await.unwrap();
    assert_eq!(reader.read(1..4).await.unwrap(), "ive");
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_removes_old_leftovers_only() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    put(&store, "a/b", b"x").await.unwrap();
    let mut object = store
        .create_object(&path("a/c"), ObjectOptions::default())
        .await
        .unwrap();
    object.write(Bytes::from(vec![1; 1 << 20])).await.unwrap();
    let left = [".tmp-1", "a/.tmp-2"].map(|n| format!("{}/{n}", uri.path()));
    let hdfs = flushproof_testbed::hdfs::Hdfs;
    let place = bed().place();
    hdfs.shell(place, &["-touchz", &left[0], &left[1]]).unwrap();
    assert_eq!(store.sweep(Duration::from_secs(600)).await.unwrap(), 0);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(object.commit().await.unwrap(), 1 << 20);
    assert_eq!(names(&store).await, ["a/b Object 1", "a/c Object 1048576"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_says_so_and_space_is_what_the_cluster_has() {
    let store = store().await;
    let space = store.space().await.unwrap().unwrap();
    assert!(0 < space.available && space.available <= space.total);
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(kind(create_log(&store, "log/1").await), ErrorKind::Closed);
    assert_eq!(kind(store.space().await), ErrorKind::Closed);
}
