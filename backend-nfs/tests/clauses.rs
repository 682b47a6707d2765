//! The clauses of the contract, on a real server.

mod common;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_flushed_bytes_are_read_back_by_another_store() {
    let at = fresh();
    let store = open_at(&at).await;
    let block = store.contract().block as u64;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    for n in 1..=40u8 {
        let flushed = log.flush(batch(&store, 1, n)).await.unwrap();
        assert_eq!(flushed.len, u64::from(n) * block);
        assert_eq!(flushed.survives, Survives::STORE_POWER);
    }
    drop((log, store));
    let bytes = read_all(&open_at(&at).await, &path("log/1-0")).await;
    assert_eq!(bytes.len() as u64, 40 * block);
    for n in 0..40 {
        assert_eq!(bytes[n * block as usize], n as u8 + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_the_longest_batch_is_cut_into_writes_and_whole() {
    let store = open_at(&fresh()).await;
    let longest = store.contract().max_batch;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let bytes: Bytes = (0..longest).map(|n| (n / 4096 % 251) as u8).collect();
    for n in 1..=2 {
        let flushed = log.flush(bytes.clone()).await.unwrap();
        assert_eq!(flushed.len, n * longest as u64);
    }
    let read = read_all(&store, &path("log/1-0")).await;
    assert!(read[..longest] == bytes && read[longest..] == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_flushes_under_way_resolve_in_order() {
    let store = open_at(&fresh()).await;
    let contract = store.contract().clone();
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let mut under_way = futures_util::stream::FuturesUnordered::new();
    let mut expected = 0;
    for round in 0..200u64 {
        while under_way.len() < contract.max_inflight {
            let blocks = 1 + (round as usize * 7 + under_way.len()) % 40;
            under_way.push(log.flush(batch(&store, blocks, 5)));
        }
        use futures_util::StreamExt;
        let flushed = under_way.next().await.unwrap().unwrap();
        assert!(flushed.len > expected, "in order");
        expected = flushed.len;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_3_seal_says_the_length_and_lasts() {
    let at = fresh();
    let store = open_at(&at).await;
    let block = store.contract().block as u64;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 3, 1)).await.unwrap();
    assert!(!listed(&store).await[0].sealed);
    for _ in 0..2 {
        assert_eq!(log.seal().await.unwrap(), 3 * block);
    }
    let late = error(log.flush(batch(&store, 1, 2)).await);
    assert_eq!(late.kind(), ErrorKind::Closed);
    assert_eq!(late.outcome(), Outcome::NotWritten);
    drop((log, store));
    let rows = listed(&open_at(&at).await).await;
    assert_eq!(
        (rows.len(), rows[0].len, rows[0].sealed),
        (1, 3 * block, true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_4_after_a_wrong_batch_the_writer_is_unusable() {
    let store = open_at(&fresh()).await;
    let block = store.contract().block;
    let longest = store.contract().max_batch;
    for wrong in [0, 1, block + 1, longest + block] {
        let mut log = create_log(&store, &format!("log/2-{wrong}")).await.unwrap();
        let e = error(log.flush(Bytes::from(vec![1; wrong])).await);
        assert_eq!(e.kind(), ErrorKind::InvalidInput);
        assert_eq!(e.outcome(), Outcome::NotWritten);
        for _ in 0..2 {
            let e = error(log.flush(batch(&store, 1, 1)).await);
            assert_eq!(e.kind(), ErrorKind::Poisoned);
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_5_of_racing_creators_one_wins() {
    let at = fresh();
    let stores = [open_at(&at).await, open_at(&at).await].map(Arc::new);
    for round in 0..20 {
        let mut tasks = Vec::new();
        for n in 0..6 {
            let store = stores[n % 2].clone();
            tasks.push(tokio::spawn(async move {
                let log = create_log(store.as_ref(), &format!("log/{round}")).await;
                let name = format!("epoch/{round}");
                let object = put(store.as_ref(), &name, &b"claim"[..]).await;
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
    let left = files(&folder(bed(), &at));
    assert!(!left.iter().any(|f| f.contains(".tmp-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_5_an_object_is_published_whole_or_not_at_all() {
    let at = fresh();
    let store = open_at(&at).await;
    let name = path("checkpoint/9-1");
    let options = ObjectOptions::default().with_mode(0o600);
    let mut first = store.create_object(&name, options).await.unwrap();
    let mut second = store.create_object(&name, options).await.unwrap();
    let mut third = store.create_object(&name, options).await.unwrap();
    let piece = Bytes::from(vec![3; 300_001]);
    for _ in 0..7 {
        first.write(piece.clone()).await.unwrap();
        third.write(piece.clone()).await.unwrap();
    }
    assert_eq!(
        kind(store.open(&name, Source::Any).await),
        ErrorKind::NotFound
    );
    assert!(names(&store).await.is_empty());
    for _ in 0..2 {
        assert_eq!(first.commit().await.unwrap(), 2_100_007);
    }
    second.write(piece.clone()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(second.commit().await), ErrorKind::AlreadyExists);
    }
    let again = first.write(piece).await.and(first.commit().await);
    assert_eq!(kind(again), ErrorKind::Closed);
    third.abort().await.unwrap();
    third.abort().await.unwrap();
    assert_eq!(kind(third.commit().await), ErrorKind::Closed);
    let bytes = read_all(&store, &name).await;
    assert!(bytes.len() == 2_100_007 && bytes.iter().all(|b| *b == 3));
    use std::os::unix::fs::PermissionsExt;
    let seen = folder(bed(), &at);
    let meta = std::fs::metadata(seen.join("checkpoint/9-1")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(files(&seen), ["checkpoint/9-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_5_a_dropped_object_leaves_nothing() {
    let at = fresh();
    let store = open_at(&at).await;
    let begun = store
        .create_object(&path("a"), ObjectOptions::default())
        .await;
    let mut object = begun.unwrap();
    object.write(Bytes::from(vec![3; 3 << 20])).await.unwrap();
    assert_eq!(files(&folder(bed(), &at)).len(), 1);
    drop(object);
    let gone = async {
        while !files(&folder(bed(), &at)).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_6_a_list_is_sorted_and_ignores_strays() {
    let at = fresh();
    let seen = folder(bed(), &at);
    // Before the server looks: it must not be surprised.
    std::fs::create_dir_all(seen.join("a")).unwrap();
    for stray in [
        "notes.txt",
        "a/b.log.old",
        ".hidden",
        "a/ü",
        "a/.log",
        "a/b.fence2",
    ] {
        std::fs::write(seen.join(stray), b"stray").unwrap();
    }
    use std::os::unix::ffi::OsStrExt;
    let hostile = std::ffi::OsStr::from_bytes(b"a/\xff\xfe");
    std::fs::write(seen.join(hostile), b"stray").unwrap();
    std::fs::create_dir(seen.join("sub.folder")).unwrap();
    std::fs::write(seen.join("sub.folder/x"), b"stray").unwrap();
    std::os::unix::fs::symlink("b", seen.join("link")).unwrap();
    std::os::unix::fs::symlink(".", seen.join("loop")).unwrap();

    let store = open_at(&at).await;
    for name in ["b", "a/b", "a-b", "ab", "a/b-c", "c/d/e/f", "a/b/c"] {
        match put(&store, name, &b"x"[..]).await {
            Ok(_) => {}
            // A file and a folder can't have one name.
            Err(e) => assert_eq!((name, e.kind()), ("a/b/c", ErrorKind::InvalidInput)),
        }
    }
    let mut log = create_log(&store, "a/x").await.unwrap();
    log.flush(batch(&store, 1, 1)).await.unwrap();
    store.fence_log(&path("a/x")).await.unwrap();
    let expected = [
        "a-b Object 1",
        "a/b Object 1",
        "a/b-c Object 1",
        "a/x Log 4096",
        "a/x Fence 4096",
        "ab Object 1",
        "b Object 1",
        "c/d/e/f Object 1",
    ];
    assert_eq!(names(&store).await, expected);
    assert_eq!(names(&open_at(&at).await).await, expected);
    use futures_util::StreamExt;
    let below: Vec<_> = store.list(&path("c/d")).collect().await;
    assert_eq!(below.len(), 1);
    let none: Vec<_> = store.list(&path("missing/folder")).collect().await;
    assert!(none.is_empty());
    // What is not ours is not touched.
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
    store.delete(&path("a/u")).await.unwrap();
    assert_eq!(std::fs::read(seen.join("a/ü")).unwrap(), b"stray");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_6_a_long_list_misses_nothing_while_others_come_and_go() {
    let at = fresh();
    let store = Arc::new(open_at(&at).await);
    for n in 0..600 {
        put(store.as_ref(), &format!("e/stays-{n:04}"), &b"x"[..])
            .await
            .unwrap();
    }
    let done = Arc::new(AtomicU32::new(0));
    let (other, count) = (open_at(&at).await, done.clone());
    let churn = tokio::spawn(async move {
        for n in 0..100 {
            let name = format!("e/goes-{n}");
            put(&other, &name, &b"x"[..]).await.unwrap();
            other.delete(&path(&name)).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    while done.load(Ordering::Relaxed) < 100 {
        let rows = names(store.as_ref()).await;
        let stays = rows.iter().filter(|r| r.starts_with("e/stays-"));
        assert_eq!(stays.count(), 600);
        assert!(rows.is_sorted(), "{rows:?}");
    }
    churn.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_8_another_store_sees_flushed_bytes_at_once() {
    let at = fresh();
    let writer = open_at(&at).await;
    let follower = open_at(&at).await;
    let block = writer.contract().block as u64;
    let mut log = create_log(&writer, "log/1-0").await.unwrap();
    let reader = follower.open(&path("log/1-0"), Source::Any).await.unwrap();
    for n in 0..20 {
        let range = n * block..(n + 1) * block;
        assert_eq!(reader.len().await.unwrap(), range.start);
        log.flush(batch(&writer, 1, n as u8 + 1)).await.unwrap();
        let bytes = reader.read(range).await.unwrap();
        assert!(bytes.iter().all(|b| *b == n as u8 + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_13_hostile_reads() {
    let store = open_at(&fresh()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(Bytes::from(vec![7; 3 << 20])).await.unwrap();
    put(&store, "object", &b"five!"[..]).await.unwrap();
    for (at, len) in [("log/1-0", 3u64 << 20), ("object", 5)] {
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
            assert_eq!(e.kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
        for right in [0..0, len..len, 1..4, 0..len, len - 1..len] {
            let bytes = reader.read(right.clone()).await.unwrap();
            assert_eq!(bytes.len() as u64, right.end - right.start);
        }
    }
    let reader = store.open(&path("object"), Source::Medium).await.unwrap();
    assert_eq!(reader.read(1..4).await.unwrap(), "ive");
    store.delete(&path("object")).await.unwrap();
    assert_eq!(kind(reader.read(1..4).await), ErrorKind::NotFound);
    assert_eq!(kind(reader.len().await), ErrorKind::NotFound);
    let root = kind(store.open(&StorePath::root(), Source::Any).await);
    assert_eq!(root, ErrorKind::NotFound);
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
    let store = open_at(&fresh()).await;
    let block = store.contract().block as u64;
    for polls in 0..4 {
        let at = |name: &str| format!("{name}/{polls}");
        // An object: writes and a commit are dropped, and the commit repeated.
        let object = path(&at("object"));
        let options = ObjectOptions::default();
        let mut writer = store.create_object(&object, options).await.unwrap();
        for n in 0..12u8 {
            drop_after(polls, writer.write(Bytes::from(vec![n; 300_000]))).await;
        }
        drop_after(polls, writer.commit()).await;
        let len = writer.commit().await.unwrap();
        let bytes = read_all(&store, &object).await;
        assert_eq!(bytes.len() as u64, len);
        assert_eq!(len, if polls == 0 { 0 } else { 3_600_000 });
        assert!(bytes.is_sorted(), "in order, nothing twice");
        // A log: created and dropped, then there or not; sealed and dropped.
        let dropped = path(&at("dropped"));
        drop_after(polls, store.create_log(&dropped, LogOptions::default())).await;
        let name = at("log");
        let mut log = create_log(&store, &name).await.unwrap();
        drop(log.flush(batch(&store, 1, 7))); // never polled: written all the same
        drop_after(polls, log.seal()).await;
        assert_eq!(log.seal().await.unwrap(), block);
        assert_eq!(read_all(&store, &path(&name)).await[0], 7);
        // Fenced and deleted, each first dropped, then repeated.
        drop_after(polls, store.fence_log(&path(&name))).await;
        assert_eq!(store.fence_log(&path(&name)).await.unwrap(), block);
        drop_after(polls, store.delete(&path(&name))).await;
        store.delete(&path(&name)).await.unwrap();
    }
    for row in listed(&store).await {
        assert!(row.kind != ListedKind::Log || row.path.as_str().starts_with("dropped/"));
    }
}

#[test]
fn fc_10_a_flush_goes_on_without_the_runtime_it_began_on() {
    let at = fresh();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    // No timers, and gone before the flush is asked for.
    let first = runtime();
    let (store, mut log) = first.block_on(async {
        let store = open_at(&at).await;
        let log = create_log(&store, "log/1-0").await.unwrap();
        (store, log)
    });
    drop(first);
    let flush = log.flush(batch(&store, 1, 1));
    assert_eq!(runtime().block_on(flush).unwrap().len, 4096);
    drop(log.flush(batch(&store, 1, 1)));
    assert_eq!(runtime().block_on(log.seal()).unwrap(), 8192);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_says_so_and_its_writers_go_on() {
    let store = open_at(&fresh()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(kind(create_log(&store, "log/1").await), ErrorKind::Closed);
    assert_eq!(kind(store.space().await), ErrorKind::Closed);
    log.flush(batch(&store, 1, 1)).await.unwrap();
    drop(store);
    log.flush(Bytes::from(vec![1; 4096])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_removes_old_leftovers_only() {
    let at = fresh();
    let seen = folder(bed(), &at);
    std::fs::create_dir_all(seen.join("a")).unwrap();
    for left in [".tmp-1-2-3", "a/.tmp-9-9-9"] {
        std::fs::write(seen.join(left), b"left").unwrap();
    }
    let store = open_at(&at).await;
    put(&store, "a/b", &b"x"[..]).await.unwrap();
    let own = store
        .create_object(&path("a/c"), ObjectOptions::default())
        .await;
    let mut object = own.unwrap();
    object.write(Bytes::from(vec![1; 2 << 20])).await.unwrap();
    assert_eq!(store.sweep(Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(object.commit().await.unwrap(), 2 << 20);
    assert_eq!(names(&store).await, ["a/b Object 1", "a/c Object 2097152"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_what_the_server_has() {
    let store = open_at(&fresh()).await;
    let space = store.space().await.unwrap().unwrap();
    assert!(0 < space.available && space.available <= space.total);
}
