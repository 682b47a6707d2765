//! The clauses of the contract, on a real NameNode and real DataNodes. None of
//! these kills or stops a process of theirs: `faults.rs` does.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

#[path = "../common/mod.rs"]
mod common;
mod fencing;
mod handling;
mod leftovers;

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

/// As after a roll: the log's file is closed, so that lost copies of it are made up.
#[tokio::test(flavor = "multi_thread")]
async fn fc_3_a_log_that_is_left_unsealed_is_closed_and_as_long_as_it_was() {
    let store = open_with(bed(), &fresh(bed()), &[("webhdfs", "off")]).await;
    for (at, batches) in [("log/1-0", 2), ("log/1-1", 0)] {
        let mut log = create_log(&store, at).await.unwrap();
        for n in 0..batches {
            log.flush(batch(1, n + 1)).await.unwrap();
        }
        drop(log);
        // Without WebHDFS bytes of closed files only are seen.
        let reader = store.open(&path(at), Source::Any).await.unwrap();
        while reader.len().await.unwrap() < u64::from(batches) * BLOCK {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let rows = listed(&store).await;
        let row = rows.iter().find(|row| row.path == path(at)).unwrap();
        assert!(!row.sealed, "nobody sealed it");
        let len = u64::from(batches) * BLOCK;
        assert_eq!(
            (row.len, store.fence_log(&path(at)).await.unwrap()),
            (len, len)
        );
    }
}
