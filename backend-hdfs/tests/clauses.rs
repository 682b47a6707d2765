//! The clauses of the contract, on a real NameNode and real DataNodes. None of
//! these kills or stops a process of theirs: `faults.rs` does.

mod common;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_flushed_bytes_are_read_back_after_the_writer_is_gone() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    for n in 1..=40u8 {
        let flushed = log.flush(batch(1, n)).await.unwrap();
        assert_eq!(flushed.len, u64::from(n) * BLOCK);
        assert_eq!(flushed.survives, store.contract().survives);
    }
    drop((log, store));
    let store = open(bed(), &uri).await;
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 40 * BLOCK);
    let bytes = read_all(&store, &path("log/1-0")).await;
    for n in 0..40 {
        assert_eq!(bytes[n * BLOCK as usize], n as u8 + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_with_check_pipeline_a_flush_says_how_many_copies_it_got() {
    let store = open_with(bed(), &fresh(bed()), &[("check_pipeline", "true")]).await;
    assert_eq!(store.contract().survives.lost_copies(), 2);
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let flushed = log.flush(batch(1, 1)).await.unwrap();
    assert_eq!(flushed.survives.lost_copies(), 2);
    let two = [("check_pipeline", "true"), ("replication", "2")];
    let store = open_with(bed(), &fresh(bed()), &two).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let flushed = log.flush(batch(1, 1)).await.unwrap();
    assert_eq!(flushed.survives.lost_copies(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_2_long_and_short_batches_stand_where_they_were_put() {
    let store = store().await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let lengths = [1, 2048, 3, 127, 128, 129, 16384];
    for (n, blocks) in lengths.iter().enumerate() {
        log.flush(batch(*blocks, n as u8 + 1)).await.unwrap();
    }
    let len = log.seal().await.unwrap();
    let reader = store.open(&path("log/1-0"), Source::Medium).await.unwrap();
    assert_eq!(reader.len().await.unwrap(), len);
    let mut at = 0;
    for (n, blocks) in lengths.iter().enumerate() {
        let end = at + *blocks as u64 * BLOCK;
        let bytes = reader.read(at..end).await.unwrap();
        assert!(bytes.iter().all(|b| *b == n as u8 + 1), "batch {n}");
        at = end;
    }
    assert_eq!(at, len);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_3_seal_says_the_length_and_lasts() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(3, 1)).await.unwrap();
    let mut empty = create_log(&store, "log/1-1").await.unwrap();
    assert_eq!(empty.seal().await.unwrap(), 0);
    for _ in 0..2 {
        assert_eq!(log.seal().await.unwrap(), 3 * BLOCK);
    }
    let late = error(log.flush(batch(1, 2)).await);
    assert_eq!(late.kind(), ErrorKind::Closed);
    assert_eq!(late.outcome(), Outcome::NotWritten);
    drop((log, store));
    let store = open(bed(), &uri).await;
    let rows = listed(&store).await;
    let seen: Vec<_> = rows.iter().map(|r| (r.len, r.sealed)).collect();
    assert_eq!(seen, [(3 * BLOCK, true), (0, true)]);
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 3 * BLOCK);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_4_after_a_wrong_batch_the_writer_is_unusable() {
    let store = open_with(bed(), &fresh(bed()), &[("log_size", "8388608")]).await;
    let max = store.contract().max_batch;
    for wrong in [0, 1, BLOCK as usize + 1, max + BLOCK as usize] {
        let mut log = create_log(&store, &format!("log/2-{wrong}")).await.unwrap();
        let e = error(log.flush(Bytes::from(vec![1; wrong])).await);
        assert_eq!(e.kind(), ErrorKind::InvalidInput);
        assert_eq!(e.outcome(), Outcome::NotWritten);
        for _ in 0..2 {
            assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Poisoned);
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
    }
    let mut log = create_log(&store, "log/3").await.unwrap();
    let whole = Bytes::from(vec![1; max]);
    assert_eq!(
        log.flush(whole).await.unwrap().len,
        store.contract().max_log
    );
    let e = error(log.flush(batch(1, 1)).await);
    assert!(e.to_string().contains("roll to the next"), "{e}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_5_of_racing_creators_one_wins() {
    let uri = fresh(bed());
    let stores = [open(bed(), &uri).await, open(bed(), &uri).await].map(Arc::new);
    for round in 0..3 {
        let mut tasks = Vec::new();
        for n in 0..6 {
            let store = stores[n % 2].clone();
            tasks.push(tokio::spawn(async move {
                let log = create_log(store.as_ref(), &format!("log/{round}")).await;
                let object = put(store.as_ref(), &format!("epoch/{round}"), b"claim").await;
                (log.map(|_| 0), object)
            }));
        }
        let (mut logs, mut objects) = (0, 0);
        for task in tasks {
            let (log, object) = task.await.unwrap();
            for (won, result) in [(&mut logs, log), (&mut objects, object)] {
                match result {
                    Ok(_) => *won += 1,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}"),
                }
            }
        }
        assert_eq!((logs, objects), (1, 1));
    }
    // What lost was removed.
    assert_eq!(stores[0].sweep(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(names(stores[0].as_ref()).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_5_an_object_is_published_whole_or_not_at_all() {
    let store = store().await;
    let at = path("checkpoint/9-1");
    let begin = || store.create_object(&at, ObjectOptions::default());
    let mut first = begin().await.unwrap();
    let mut second = begin().await.unwrap();
    let third = begin().await.unwrap();
    let mut fourth = begin().await.unwrap();
    let piece = Bytes::from(vec![3; 100_000]);
    for _ in 0..7 {
        first.write(piece.clone()).await.unwrap();
        fourth.write(piece.clone()).await.unwrap();
    }
    let early = store.open(&at, Source::Any).await;
    assert_eq!(kind(early), ErrorKind::NotFound);
    assert!(names(&store).await.is_empty());
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0); // in use
    for _ in 0..2 {
        assert_eq!(first.commit().await.unwrap(), 700_000);
    }
    second.write(piece.clone()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(second.commit().await), ErrorKind::AlreadyExists);
    }
    assert_eq!(kind(first.write(piece).await), ErrorKind::Closed);
    assert_eq!(first.commit().await.unwrap(), 700_000);
    assert_eq!(kind(begin().await), ErrorKind::AlreadyExists);
    drop(third);
    fourth.abort().await.unwrap();
    fourth.abort().await.unwrap();
    assert_eq!(kind(fourth.commit().await), ErrorKind::Closed);
    let bytes = read_all(&store, &at).await;
    assert!(bytes.len() == 700_000 && bytes.iter().all(|b| *b == 3));
    assert_eq!(put(&store, "empty", b"").await.unwrap(), 0);
    assert!(read_all(&store, &path("empty")).await.is_empty());
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_6_a_list_is_sorted_and_ignores_strays() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    for at in ["b", "a/b", "a-b", "ab", "a/b-c"] {
        put(&store, at, b"x").await.unwrap();
    }
    // A file and a folder can't have one name.
    let e = error(put(&store, "a/b/c", b"x").await);
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
    let mut hold = create_log(&store, "a/b").await.unwrap();
    hold.flush(batch(2, 1)).await.unwrap();
    let open_len = listed(&store).await[2].len;
    assert_eq!(
        open_len,
        2 * BLOCK,
        "an open log's length is at least the flushed one"
    );
    store.fence_log(&path("a/b")).await.unwrap();
    // Others have files and folders there, too.
    let root = uri.path().to_owned();
    let place = bed().place();
    let stray = |name: &str| format!("{root}/{name}");
    let strays = ["notes.txt", "a/b.log.old", ".hidden", "a/ü"].map(stray);
    let mut touch = vec!["-touchz"];
    touch.extend(strays.iter().map(String::as_str));
    let hdfs = flushproof_testbed::hdfs::Hdfs;
    hdfs.shell(place, &touch).unwrap();
    hdfs.shell(place, &["-mkdir", &stray("sub.folder"), &stray("c.log")])
        .unwrap();
    let expected = [
        "a-b Object 1",
        "a/b Object 1",
        "a/b Log 1024",
        "a/b Fence 1024",
        "a/b-c Object 1",
        "ab Object 1",
        "b Object 1",
    ];
    assert_eq!(names(&store).await, expected);
    assert_eq!(names(&open(bed(), &uri).await).await, expected);
    let below: Vec<_> = store.list(&path("a")).collect().await;
    assert_eq!(below.len(), 4);
    assert_eq!(store.list(&path("missing/folder")).count().await, 0);
    // Sweeping and deleting leave them alone.
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
    store.delete(&path("a")).await.unwrap();
    let left = hdfs.shell(place, &["-ls", "-R", &root]).unwrap();
    for stray in strays {
        assert!(left.contains(&stray), "{stray} in {left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_7_delete_is_repeatable_and_keeps_the_fence() {
    let store = store().await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(1, 1)).await.unwrap();
    put(&store, "start/1", b"x").await.unwrap();
    let len = store.fence_log(&path("log/1-0")).await.unwrap();
    let reader = store.open(&path("log/1-0"), Source::Any).await.unwrap();
    reader.read(0..1).await.unwrap();
    drop(log);
    for _ in 0..2 {
        store.delete(&path("log/1-0")).await.unwrap();
        store.delete(&path("start/1")).await.unwrap();
        store.delete(&path("never/there")).await.unwrap();
    }
    assert_eq!(names(&store).await, [format!("log/1-0 Fence {len}")]);
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), len);
    let e = error(create_log(&store, "log/1-0").await);
    assert_eq!(
        (e.kind(), e.advice()),
        (ErrorKind::Fenced, Advice::StandDown)
    );
    assert_eq!(kind(reader.read(0..1).await), ErrorKind::NotFound);
    assert_eq!(kind(reader.len().await), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_8_another_handle_sees_flushed_bytes_at_once() {
    let uri = fresh(bed());
    let (writer, follower) = (open(bed(), &uri).await, open(bed(), &uri).await);
    assert_eq!(writer.contract().visibility, Visibility::Now);
    let mut log = create_log(&writer, "log/1-0").await.unwrap();
    let reader = follower.open(&path("log/1-0"), Source::Any).await.unwrap();
    for n in 0..10 {
        assert_eq!(reader.len().await.unwrap(), n * BLOCK);
        log.flush(batch(1, n as u8 + 1)).await.unwrap();
        let bytes = reader.read(n * BLOCK..(n + 1) * BLOCK).await.unwrap();
        assert!(bytes.iter().all(|b| *b == n as u8 + 1), "{n}");
    }
    let all = reader.read(0..10 * BLOCK).await.unwrap();
    log.seal().await.unwrap();
    assert_eq!(reader.read(0..10 * BLOCK).await.unwrap(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_8_without_webhdfs_a_log_is_seen_when_it_is_sealed() {
    let store = open_with(bed(), &fresh(bed()), &[("webhdfs", "off")]).await;
    assert_eq!(store.contract().visibility, Visibility::OnSeal);
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(2, 1)).await.unwrap();
    let reader = store.open(&path("log/1-0"), Source::Any).await.unwrap();
    assert_eq!(reader.len().await.unwrap(), 0);
    let e = error(reader.read(0..BLOCK).await);
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("option webhdfs"), "{e}");
    log.seal().await.unwrap();
    assert_eq!(reader.len().await.unwrap(), 2 * BLOCK);
    assert_eq!(reader.read(0..2 * BLOCK).await.unwrap()[0], 1);
    assert!(store.space().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_a_fenced_writer_never_acknowledges_again() {
    let uri = fresh(bed());
    let (old, new) = (open(bed(), &uri).await, open(bed(), &uri).await);
    for (name, blocks) in [("log/used", 3), ("log/empty", 0)] {
        let at = path(name);
        let mut log = create_log(&old, name).await.unwrap();
        let mut acknowledged = 0;
        if blocks > 0 {
            acknowledged = log.flush(batch(blocks, 1)).await.unwrap().len;
        }
        let len = new.fence_log(&at).await.unwrap();
        assert!(len >= acknowledged);
        for _ in 0..2 {
            let e = error(log.flush(batch(1, 2)).await);
            assert_eq!(
                (e.kind(), e.advice()),
                (ErrorKind::Fenced, Advice::StandDown),
                "{name}: {e}"
            );
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Fenced);
        assert!(old.fence_log(&at).await.unwrap() >= len);
        let bytes = read_all(&new, &at).await;
        assert!(bytes[..acknowledged as usize].iter().all(|b| *b == 1));
        let mut never = create_log(&old, &format!("{name}-sealed")).await.unwrap();
        new.fence_log(&path(&format!("{name}-sealed")))
            .await
            .unwrap();
        assert_eq!(kind(never.seal().await), ErrorKind::Fenced);
    }
    for missing in ["log/9-9", "none/9-9"] {
        let e = error(new.fence_log(&path(missing)).await);
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_every_acknowledged_byte_lies_below_the_fence() {
    let uri = fresh(bed());
    let old = Arc::new(open(bed(), &uri).await);
    let new = Arc::new(open(bed(), &uri).await);
    // Side by side: each waits for a heartbeat of a DataNode.
    let rounds = (0..8u64).map(|round| {
        let (old, new) = (old.clone(), new.clone());
        tokio::spawn(async move {
            let name = format!("log/{round}");
            let mut log = create_log(old.as_ref(), &name).await.unwrap();
            let task = tokio::spawn(async move {
                let mut acknowledged = 0;
                loop {
                    match log.flush(batch(8, 1)).await {
                        Ok(flushed) => acknowledged = flushed.len,
                        Err(e) => return (acknowledged, e),
                    }
                }
            });
            tokio::time::sleep(Duration::from_millis(100 + 7 * round)).await;
            let len = new.fence_log(&path(&name)).await.unwrap();
            let bytes = read_all(new.as_ref(), &path(&name)).await;
            let (acknowledged, e) = task.await.unwrap();
            assert_eq!(e.kind(), ErrorKind::Fenced, "{e}");
            assert!(0 < acknowledged && acknowledged <= len);
            assert_eq!(bytes.len() as u64, len);
            assert!(bytes.iter().all(|b| *b == 1));
            // Nothing comes after.
            assert_eq!(new.fence_log(&path(&name)).await.unwrap(), len);
            assert_eq!(read_all(new.as_ref(), &path(&name)).await, bytes);
        })
    });
    for round in rounds.collect::<Vec<_>>() {
        round.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_a_creation_that_races_with_a_fence_has_no_window() {
    let uri = fresh(bed());
    let old = Arc::new(open(bed(), &uri).await);
    let new = open(bed(), &uri).await;
    for round in 0..6u64 {
        let name = format!("log/{round}");
        let (creator, at) = (old.clone(), name.clone());
        let task = tokio::spawn(async move {
            let mut log = create_log(creator.as_ref(), &at).await?;
            log.flush(batch(1, 1)).await
        });
        let len = loop {
            match new.fence_log(&path(&name)).await {
                Ok(len) => break len,
                Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
            }
        };
        match task.await.unwrap() {
            Ok(flushed) => assert!(flushed.len <= len),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Fenced, "{e}"),
        }
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
