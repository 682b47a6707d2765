//! The clauses of the contract, on a real disk.

mod common;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_local::LocalStore;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_flushed_bytes_are_read_back_by_every_method() {
    for method in ["direct", "dsync", "fdatasync"] {
        let folder = folder();
        let store = open_with(folder.path(), method).await;
        let block = store.contract().block as u64;
        let mut log = create_log(&store, "log/1-0").await.unwrap();
        for n in 1..=40u8 {
            let flushed = log.flush(batch(&store, 1, n)).await.unwrap();
            assert_eq!(flushed.len, n as u64 * block);
            assert_eq!(flushed.survives, store.contract().survives);
        }
        drop((log, store));
        let store = open_with(folder.path(), method).await;
        for from in [Source::Any, Source::Medium] {
            let bytes = read_all(&store, &path("log/1-0"), from).await;
            for n in 0..40 {
                assert_eq!(bytes[n * block as usize], n as u8 + 1, "{method} {n}");
            }
            assert!(bytes[40 * block as usize..].iter().all(|b| *b == 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_a_batch_at_an_odd_address_is_written_too() {
    let folder = folder();
    let store = open_with(folder.path(), "direct").await;
    let block = store.contract().block;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let bytes = Bytes::from(vec![7; 2 * block + 1]);
    for start in [0, 1] {
        let odd = bytes.slice(start..start + block);
        log.flush(odd).await.unwrap();
    }
    let read = read_all(&store, &path("log/1-0"), Source::Medium).await;
    assert!(read[..2 * block].iter().all(|b| *b == 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_3_a_log_outgrows_its_segment() {
    for method in ["direct", "dsync", "fdatasync"] {
        let folder = folder();
        let store = open_with(folder.path(), method).await;
        let block = store.contract().block;
        let mut log = create_log(&store, "log/1-0").await.unwrap();
        let before = store.device_flushes();
        let per_flush = 1 << 19;
        for n in 1..=9u8 {
            let flushed = log.flush(batch(&store, per_flush / block, n)).await;
            assert_eq!(flushed.unwrap().len, n as u64 * per_flush as u64);
        }
        assert_eq!(store.device_flushes() - before, 9, "{method}");
        let bytes = read_all(&store, &path("log/1-0"), Source::Medium).await;
        for n in 0..9 {
            let piece = &bytes[n * per_flush..(n + 1) * per_flush];
            assert!(piece.iter().all(|b| *b == n as u8 + 1), "{method} {n}");
        }
        assert!(bytes.len() - 9 * per_flush <= 1 << 20);
        assert!(bytes[9 * per_flush..].iter().all(|b| *b == 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_3_seal_says_the_length_and_lasts() {
    let folder = folder();
    let store = open(folder.path()).await;
    let block = store.contract().block as u64;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 3, 1)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(log.seal().await.unwrap(), 3 * block);
    }
    let late = error(log.flush(batch(&store, 1, 2)).await);
    assert_eq!(late.kind(), ErrorKind::Closed);
    assert_eq!(late.outcome(), Outcome::NotWritten);
    drop((log, store));
    let store = open(folder.path()).await;
    let rows = listed(&store).await;
    assert_eq!(
        (rows.len(), rows[0].len, rows[0].sealed),
        (1, 3 * block, true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_4_after_a_wrong_batch_the_writer_is_unusable() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let block = store.contract().block;
    for wrong in [0, 1, block + 1] {
        let mut log = create_log(&store, &format!("log/2-{wrong}")).await.unwrap();
        let e = error(log.flush(Bytes::from(vec![1; wrong])).await);
        assert_eq!(e.kind(), ErrorKind::InvalidInput);
        assert_eq!(e.outcome(), Outcome::NotWritten);
        for _ in 0..2 {
            assert_eq!(
                kind(log.flush(batch(&store, 1, 1)).await),
                ErrorKind::Poisoned
            );
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
    }
    let long = batch(&store, store.contract().max_batch / block + 1, 1);
    assert_eq!(kind(log.flush(long).await), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_5_of_racing_creators_one_wins() {
    let folder = folder();
    let stores: Vec<_> = [open(folder.path()).await, open(folder.path()).await]
        .into_iter()
        .map(Arc::new)
        .collect();
    for round in 0..20 {
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
    let left = files(folder.path());
    assert!(!left.iter().any(|f| f.contains(".tmp-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_5_an_object_is_published_whole_or_not_at_all() {
    let folder = folder();
    let store = open(folder.path()).await;
    let at = path("checkpoint/9-1");
    let options = ObjectOptions::default().with_mode(0o600);
    let mut first = store.create_object(&at, options).await.unwrap();
    let mut second = store.create_object(&at, options).await.unwrap();
    let third = store.create_object(&at, options).await.unwrap();
    let mut fourth = store.create_object(&at, options).await.unwrap();
    let piece = Bytes::from(vec![3; 100_000]);
    for _ in 0..7 {
        first.write(piece.clone()).await.unwrap();
        fourth.write(piece.clone()).await.unwrap();
    }
    assert_eq!(
        kind(store.open(&at, Source::Any).await),
        ErrorKind::NotFound
    );
    assert!(names(&store).await.is_empty());
    for _ in 0..2 {
        assert_eq!(first.commit().await.unwrap(), 700_000);
    }
    second.write(piece.clone()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(second.commit().await), ErrorKind::AlreadyExists);
    }
    assert_eq!(
        kind(first.write(piece).await.and(first.commit().await)),
        ErrorKind::Closed
    );
    drop(third);
    fourth.abort().await.unwrap();
    fourth.abort().await.unwrap();
    assert_eq!(kind(fourth.commit().await), ErrorKind::Closed);
    let bytes = read_all(&store, &at, Source::Medium).await;
    assert!(bytes.len() == 700_000 && bytes.iter().all(|b| *b == 3));
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(folder.path().join("checkpoint/9-1")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    drop((second, fourth));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(files(folder.path()), ["checkpoint/9-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_6_a_list_is_sorted_and_ignores_strays() {
    let folder = folder();
    let store = open(folder.path()).await;
    for at in ["b", "a/b", "a-b", "ab", "a/b-c", "a/b/c"] {
        match put(&store, at, b"x").await {
            Ok(_) => {}
            // A file and a folder can't have one name.
            Err(e) => assert_eq!((at, e.kind()), ("a/b/c", ErrorKind::InvalidInput)),
        }
    }
    let hold = create_log(&store, "a/b").await.unwrap();
    store.fence_log(&path("a/b")).await.unwrap();
    for stray in ["notes.txt", "a/b.log.old", ".hidden", "a/ü", "a/.log"] {
        std::fs::write(folder.path().join(stray), b"stray").unwrap();
    }
    std::fs::create_dir(folder.path().join("sub.folder")).unwrap();
    std::fs::write(folder.path().join("sub.folder/x"), b"stray").unwrap();
    std::os::unix::fs::symlink("b", folder.path().join("link")).unwrap();
    let expected = [
        "a-b Object 1",
        "a/b Object 1",
        "a/b Log 65536",
        "a/b Fence 65536",
        "a/b-c Object 1",
        "ab Object 1",
        "b Object 1",
    ];
    assert_eq!(names(&store).await, expected);
    let other = open(folder.path()).await;
    assert_eq!(names(&other).await, expected);
    let none: Vec<_> = {
        use futures_util::StreamExt;
        store.list(&path("missing/folder")).collect().await
    };
    assert!(none.is_empty());
    drop(hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_7_delete_is_repeatable_and_keeps_the_fence() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log = create_log(&store, "log/1-0").await.unwrap();
    put(&store, "start/1", b"x").await.unwrap();
    let len = store.fence_log(&path("log/1-0")).await.unwrap();
    drop(log);
    for _ in 0..2 {
        store.delete(&path("log/1-0")).await.unwrap();
        store.delete(&path("start/1")).await.unwrap();
        store.delete(&path("never/there")).await.unwrap();
    }
    assert_eq!(names(&store).await, ["log/1-0 Fence 65536"]);
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), len);
    let e = error(create_log(&store, "log/1-0").await);
    assert_eq!(
        (e.kind(), e.advice()),
        (ErrorKind::Fenced, Advice::StandDown)
    );
    // A fenced log's blocks are never used again.
    assert_eq!(files(folder.path()), ["log/1-0.fence"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_8_another_handle_sees_flushed_bytes_at_once() {
    for method in ["direct", "dsync", "fdatasync"] {
        let folder = folder();
        let writer = open_with(folder.path(), method).await;
        let follower = open_with(folder.path(), method).await;
        let block = writer.contract().block as u64;
        let mut log = create_log(&writer, "log/1-0").await.unwrap();
        let any = follower.open(&path("log/1-0"), Source::Any).await.unwrap();
        let medium = follower
            .open(&path("log/1-0"), Source::Medium)
            .await
            .unwrap();
        for n in 0..10 {
            let range = n * block..(n + 1) * block;
            assert!(
                any.read(range.clone())
                    .await
                    .unwrap()
                    .iter()
                    .all(|b| *b == 0)
            );
            log.flush(batch(&writer, 1, n as u8 + 1)).await.unwrap();
            for reader in [&any, &medium] {
                let bytes = reader.read(range.clone()).await.unwrap();
                assert!(bytes.iter().all(|b| *b == n as u8 + 1), "{method} {n}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_a_fenced_writer_never_acknowledges_again() {
    for method in ["direct", "dsync", "fdatasync"] {
        let folder = folder();
        let old = open_with(folder.path(), method).await;
        let new = open_with(folder.path(), method).await;
        let at = path("log/1-0");
        let mut log = create_log(&old, "log/1-0").await.unwrap();
        let flushed = log.flush(batch(&old, 3, 1)).await.unwrap();
        let len = new.fence_log(&at).await.unwrap();
        assert!(len >= flushed.len);
        for _ in 0..2 {
            let e = error(log.flush(batch(&old, 1, 2)).await);
            assert_eq!(
                (e.kind(), e.advice()),
                (ErrorKind::Fenced, Advice::StandDown)
            );
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Fenced);
        assert!(old.fence_log(&at).await.unwrap() >= len);
        let bytes = read_all(&new, &at, Source::Medium).await;
        assert!(bytes[..flushed.len as usize].iter().all(|b| *b == 1));
        assert_eq!(
            kind(new.fence_log(&path("log/9-9")).await),
            ErrorKind::NotFound
        );
        assert_eq!(
            kind(new.fence_log(&path("none/9-9")).await),
            ErrorKind::NotFound
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_a_fence_that_is_a_link_to_its_log_is_not_written_over() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 1, 7)).await.unwrap();
    let logs = folder.path().join("log");
    let file = logs.join("1-0.log");
    let refused = async || {
        let e = store.fence_log(&path("log/1-0")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("nfs://"), "{e}");
    };
    std::fs::hard_link(&file, logs.join("1-0.fence")).unwrap();
    refused().await;
    std::fs::hard_link(&file, logs.join("1-0.fence2")).unwrap();
    refused().await;
    let bytes = read_all(&store, &path("log/1-0"), Source::Medium).await;
    assert!(bytes[..store.contract().block].iter().all(|b| *b == 7));
    // Its room was given back there; the fences lead to what is left of it.
    std::fs::remove_file(&file).unwrap();
    refused().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_every_acknowledged_byte_lies_below_the_fence() {
    let folder = folder();
    let old = Arc::new(open(folder.path()).await);
    let new = open(folder.path()).await;
    for round in 0..30 {
        let name = format!("log/{round}");
        let mut log = create_log(old.as_ref(), &name).await.unwrap();
        let writer = old.clone();
        let task = tokio::spawn(async move {
            let mut acknowledged = 0;
            for _ in 0..10_000 {
                // Long batches, so that the log grows while it is fenced.
                match log.flush(batch(writer.as_ref(), 8, 1)).await {
                    Ok(flushed) => acknowledged = flushed.len,
                    Err(e) => return (acknowledged, e.kind()),
                }
            }
            panic!("the writer was never fenced");
        });
        tokio::time::sleep(Duration::from_micros(300 * round)).await;
        let len = new.fence_log(&path(&name)).await.unwrap();
        let reader = new.open(&path(&name), Source::Medium).await.unwrap();
        let bytes = reader.read(0..len.min(MAX_READ)).await.unwrap();
        let (acknowledged, kind) = task.await.unwrap();
        assert_eq!(kind, ErrorKind::Fenced);
        assert!(acknowledged <= len);
        let read = acknowledged.min(MAX_READ) as usize;
        assert!(bytes[..read].iter().all(|b| *b == 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_a_creation_that_races_with_a_fence_has_no_window() {
    let folder = folder();
    let old = Arc::new(open(folder.path()).await);
    let new = open(folder.path()).await;
    for round in 0..60u64 {
        let name = format!("log/{round}");
        let (creator, at) = (old.clone(), name.clone());
        let task = tokio::spawn(async move {
            let mut log = create_log(creator.as_ref(), &at).await?;
            log.flush(batch(creator.as_ref(), 1, 1)).await
        });
        let len = loop {
            match new.fence_log(&path(&name)).await {
                Ok(len) => break len,
                Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound),
            }
        };
        match task.await.unwrap() {
            Ok(flushed) => assert!(flushed.len <= len),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Fenced),
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
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_10_dropped_futures_lose_and_reorder_nothing() {
    let folder = folder();
    let store = open(folder.path()).await;
    let block = store.contract().block as u64;
    for polls in 0..4 {
        let at = |name: &str| format!("{name}/{polls}");
        // An object: writes and a commit are dropped, and the commit repeated.
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
        let bytes = read_all(&store, &object, Source::Medium).await;
        assert_eq!(bytes.len() as u64, len);
        assert_eq!(len, if polls == 0 { 0 } else { 1_200_000 });
        assert!(bytes.is_sorted(), "in order, nothing twice");
        // A log: created and dropped, then there or not; sealed and dropped.
        let dropped = path(&at("dropped"));
        drop_after(polls, store.create_log(&dropped, LogOptions::default())).await;
        let name = at("log");
        let mut log = create_log(&store, &name).await.unwrap();
        drop(log.flush(batch(&store, 1, 7))); // never polled: written all the same
        drop_after(polls, log.seal()).await;
        assert_eq!(log.seal().await.unwrap(), block);
        assert_eq!(read_all(&store, &path(&name), Source::Medium).await[0], 7);
        // Fenced and deleted, each first dropped, then repeated.
        drop_after(polls, store.fence_log(&path(&name))).await;
        assert_eq!(store.fence_log(&path(&name)).await.unwrap(), block);
        drop_after(polls, store.delete(&path(&name))).await;
        store.delete(&path(&name)).await.unwrap();
        drop_after(polls, store.host_lock(HostLock::Polite)).await;
        store.host_lock(HostLock::Polite).await.unwrap();
    }
    for row in listed(&store).await {
        assert!(row.kind != ListedKind::Log || row.path.as_str().starts_with("dropped/"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_a_place_that_can_not_be_used_says_why() {
    let folder = folder();
    let try_open = |at: std::path::PathBuf, mode| async move {
        error(LocalStore::open(&at, &Options::new(), mode).await)
    };
    let file = folder.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let e = try_open(file.clone(), Mode::ReadWrite).await;
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    assert!(e.to_string().contains("not a folder"), "{e}");
    let e = try_open(file.join("below"), Mode::ReadWrite).await;
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    let missing = folder.path().join("missing");
    let e = try_open(missing.clone(), Mode::ReadOnly).await;
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(!missing.exists());
    open(&missing.join("two/levels")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_writes_nothing_at_all() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log = create_log(&store, "log/1-0").await.unwrap();
    drop((log, store));
    let before = files(folder.path());
    let modified = std::fs::metadata(folder.path())
        .unwrap()
        .modified()
        .unwrap();
    let store = LocalStore::open(folder.path(), &Options::new(), Mode::ReadOnly)
        .await
        .unwrap();
    assert_eq!(names(&store).await.len(), 1);
    read_all(&store, &path("log/1-0"), Source::Medium).await;
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
    assert_eq!(store.device_flushes(), 0);
    assert_eq!(files(folder.path()), before);
    let after = std::fs::metadata(folder.path())
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(modified, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_13_hostile_reads() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log = create_log(&store, "log/1-0").await.unwrap();
    put(&store, "object", b"five!").await.unwrap();
    for (at, len) in [("log/1-0", 65536u64), ("object", 5)] {
        for from in [Source::Any, Source::Medium] {
            let reader = store.open(&path(at), from).await.unwrap();
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
                assert_eq!(e.kind(), ErrorKind::InvalidInput, "{wrong:?}");
            }
            for right in [0..0, len..len, 1..4, 0..len, len - 1..len] {
                let bytes = reader.read(right.clone()).await.unwrap();
                assert_eq!(bytes.len() as u64, right.end - right.start);
            }
        }
    }
    let reader = store.open(&path("object"), Source::Medium).await.unwrap();
    assert_eq!(reader.read(1..4).await.unwrap(), "ive");
    store.delete(&path("object")).await.unwrap();
    assert_eq!(kind(reader.read(1..4).await), ErrorKind::NotFound);
    assert_eq!(kind(reader.len().await), ErrorKind::NotFound);
    drop(log);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_2_a_recycled_segment_is_another_log() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 4, 9)).await.unwrap();
    let reader = store.open(&path("log/1-0"), Source::Any).await.unwrap();
    // Its writer is still there: deleted, not recycled.
    let busy = create_log(&store, "log/1-1").await.unwrap();
    store.delete(&path("log/1-1")).await.unwrap();
    drop((log, busy));
    store.delete(&path("log/1-0")).await.unwrap();
    let left = files(folder.path());
    assert!(
        left.len() == 1 && left[0].starts_with("log/.spare-"),
        "{left:?}"
    );
    assert!(names(&store).await.is_empty());
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);

    let before = store.device_flushes();
    let mut log = create_log(&store, "log/1-2").await.unwrap();
    assert_eq!(store.device_flushes() - before, 1);
    assert_eq!(kind(reader.read(0..1).await), ErrorKind::NotFound);
    log.flush(batch(&store, 1, 5)).await.unwrap();
    let bytes = read_all(&store, &path("log/1-2"), Source::Medium).await;
    assert_eq!((bytes.len(), bytes[0]), (65536, 5));
    assert_eq!(bytes[store.contract().block], 9); // FC-2: what once was there
    assert_eq!(files(folder.path()), ["log/1-2.log"]);

    drop(log);
    store.delete(&path("log/1-2")).await.unwrap();
    store.close().await.unwrap();
    assert!(files(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_log_is_not_recycled() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 16, 1)).await.unwrap();
    log.seal().await.unwrap();
    drop(log);
    store.delete(&path("log/1-0")).await.unwrap();
    assert!(files(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_handle_never_recycles_a_log_that_it_did_not_write() {
    let folder = folder();
    let old = open(folder.path()).await;
    drop(create_log(&old, "log/1-0").await.unwrap());
    let new = open(folder.path()).await;
    new.delete(&path("log/1-0")).await.unwrap();
    assert!(files(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_removes_old_leftovers_only() {
    let folder = folder();
    let store = open(folder.path()).await;
    put(&store, "a/b", b"x").await.unwrap();
    let own = path("a/c");
    let mut object = store
        .create_object(&own, ObjectOptions::default())
        .await
        .unwrap();
    object.write(Bytes::from(vec![1; 1 << 20])).await.unwrap();
    for left in [".tmp-1-2-3", "a/.tmp-9-9-9", "a/.spare-1-2-3"] {
        std::fs::write(folder.path().join(left), b"left").unwrap();
    }
    assert_eq!(store.sweep(Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 3);
    assert_eq!(object.commit().await.unwrap(), 1 << 20);
    assert_eq!(names(&store).await, ["a/b Object 1", "a/c Object 1048576"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_lock_names_its_holder() {
    let folder = folder();
    let first = open(folder.path()).await;
    let second = open(folder.path()).await;
    for _ in 0..2 {
        first.host_lock(HostLock::Polite).await.unwrap();
    }
    let e = error(second.host_lock(HostLock::Polite).await);
    assert_eq!(e.kind(), ErrorKind::Busy);
    let text = e.to_string();
    let pid = format!("in use by pid {} (", std::process::id());
    for part in [pid.as_str(), ", since 2", "--take-over"] {
        assert!(text.contains(part), "{text}");
    }
    second.host_lock(HostLock::TakeOver).await.unwrap();
    // Now the one that took over holds it, whatever the first one does.
    first.close().await.unwrap();
    let third = open(folder.path()).await;
    assert_eq!(
        kind(third.host_lock(HostLock::Polite).await),
        ErrorKind::Busy
    );
    drop(second);
    third.host_lock(HostLock::Polite).await.unwrap();
    assert_eq!(files(folder.path()), [".lock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_says_so() {
    let folder = folder();
    let store = open(folder.path()).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(kind(create_log(&store, "log/1").await), ErrorKind::Closed);
    assert_eq!(kind(store.space().await), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_what_the_disk_has() {
    let folder = folder();
    let store = open(folder.path()).await;
    let space = store.space().await.unwrap().unwrap();
    assert!(0 < space.available && space.available <= space.total);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_flushes_per_roll_are_at_most_four() {
    let folder = folder();
    let store = open(folder.path()).await;
    drop(create_log(&store, "log/1-0").await.unwrap()); // makes the folder durable once
    let before = store.device_flushes();
    let mut log = create_log(&store, "log/1-1").await.unwrap();
    assert_eq!(store.device_flushes() - before, 2);
    log.flush(batch(&store, 1, 1)).await.unwrap();
    assert_eq!(store.device_flushes() - before, 3);
    drop(log);
    store.delete(&path("log/1-1")).await.unwrap();
    assert_eq!(store.device_flushes() - before, 4);
}
