//! The clauses of the contract, on real servers: SeaweedFS and Azurite. None of
//! these kills or stops a process of theirs: `faults.rs` does.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

#[path = "../common/mod.rs"]
mod common;
mod fencing;
mod handling;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_testbed::Bed;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;

on_each_server! {
    fc_1_flushed_bytes_are_read_back_after_the_writer_is_gone,
    fc_1_flushes_under_way_resolve_in_order,
    fc_1_the_longest_batch_is_one_object,
    fc_3_seal_says_the_length_and_lasts,
    fc_4_after_a_wrong_batch_the_writer_is_unusable,
    fc_5_of_racing_creators_one_wins,
    fc_5_an_object_is_published_whole_or_not_at_all,
    fc_7_delete_is_repeatable_and_keeps_the_fence,
    fc_8_another_handle_sees_flushed_bytes_at_once,
}

async fn fc_1_flushed_bytes_are_read_back_after_the_writer_is_gone(bed: &Bed) {
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    assert_eq!(
        store.contract().fencing,
        Fencing::Store,
        "{:?}",
        store.contract()
    );
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    for n in 1..=40u8 {
        let flushed = log.flush(batch(100, n)).await.unwrap();
        assert_eq!(flushed.len, u64::from(n) * 100);
        assert_eq!(flushed.survives, store.contract().survives);
    }
    drop((log, store));
    let store = open(bed, &uri).await;
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 4000);
    let bytes = read_all(&store, &path("log/1-0")).await;
    for n in 0..40 {
        assert!(bytes[n * 100..][..100].iter().all(|b| *b == n as u8 + 1));
    }
}

async fn fc_1_flushes_under_way_resolve_in_order(bed: &Bed) {
    for inflight in [1, 4, 8u64] {
        let store = open_with(bed, &fresh(bed), &[("inflight", &inflight.to_string())]).await;
        assert_eq!(store.contract().max_inflight as u64, inflight);
        let mut log = create_log(&store, "log/1-0").await.unwrap();
        let mut under_way = FuturesUnordered::new();
        let (mut given, mut durable) = (Vec::new(), 0);
        for round in 0..100u64 {
            while under_way.len() < inflight as usize {
                let len = 1 + (round as usize * 7 + under_way.len()) * 13 % 5000;
                let bytes = batch(len, round as u8);
                given.extend_from_slice(&bytes);
                under_way.push(log.flush(bytes));
            }
            let flushed = under_way.next().await.unwrap().unwrap();
            assert!(flushed.len > durable, "in order");
            durable = flushed.len;
        }
        while let Some(flushed) = under_way.next().await {
            durable = flushed.unwrap().len;
        }
        assert_eq!(durable, given.len() as u64);
        assert!(read_all(&store, &path("log/1-0")).await == given);
    }
}

async fn fc_1_the_longest_batch_is_one_object(bed: &Bed) {
    let store = store(bed).await;
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

async fn fc_3_seal_says_the_length_and_lasts(bed: &Bed) {
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(300, 1)).await.unwrap();
    assert!(!listed(&store).await[0].sealed);
    let mut empty = create_log(&store, "log/1-1").await.unwrap();
    assert_eq!(empty.seal().await.unwrap(), 0);
    for _ in 0..2 {
        assert_eq!(log.seal().await.unwrap(), 300);
    }
    let late = error(log.flush(batch(1, 2)).await);
    assert_eq!(late.kind(), ErrorKind::Closed);
    assert_eq!(late.outcome(), Outcome::NotWritten);
    drop((log, store));
    let store = open(bed, &uri).await;
    let rows = listed(&store).await;
    let seen: Vec<_> = rows.iter().map(|r| (r.len, r.sealed)).collect();
    assert_eq!(seen, [(300, true), (0, true)]);
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 300);
}

async fn fc_4_after_a_wrong_batch_the_writer_is_unusable(bed: &Bed) {
    let store = store(bed).await;
    let longest = store.contract().max_batch;
    for wrong in [0, longest + 1] {
        let mut log = create_log(&store, &format!("log/2-{wrong}")).await.unwrap();
        let before = log.flush(batch(5, 1));
        let e = error(log.flush(Bytes::from(vec![1; wrong])).await);
        assert_eq!(e.kind(), ErrorKind::InvalidInput);
        assert_eq!(e.outcome(), Outcome::NotWritten);
        assert_eq!(before.await.unwrap().len, 5);
        for _ in 0..2 {
            assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Poisoned);
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
    }
}

async fn fc_5_of_racing_creators_one_wins(bed: &Bed) {
    let uri = fresh(bed);
    let stores = [open(bed, &uri).await, open(bed, &uri).await].map(Arc::new);
    for round in 0..5 {
        let mut tasks = Vec::new();
        for store in &stores {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let log = create_log(store.as_ref(), &format!("log/{round}")).await;
                let name = format!("epoch/{round}");
                let small = put(store.as_ref(), &name, &b"claim"[..]).await;
                let name = format!("large/{round}");
                let large = put(store.as_ref(), &name, vec![1; 100_000]).await;
                [log.map(|_| 0), small, large]
            }));
        }
        let mut won = [0; 3];
        for task in tasks {
            for (won, result) in won.iter_mut().zip(task.await.unwrap()) {
                match result {
                    Ok(_) => *won += 1,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}"),
                }
            }
        }
        assert_eq!(won, [1; 3]);
    }
}

async fn fc_5_an_object_is_published_whole_or_not_at_all(bed: &Bed) {
    let store = store(bed).await;
    let at = path("checkpoint/9-1");
    let begin = || store.create_object(&at, ObjectOptions::default());
    let mut first = begin().await.unwrap();
    let mut second = begin().await.unwrap();
    let third = begin().await.unwrap();
    let mut fourth = begin().await.unwrap();
    // Of three pieces.
    let piece = Bytes::from(vec![3; 3_000_001]);
    for _ in 0..6 {
        first.write(piece.clone()).await.unwrap();
        fourth.write(piece.clone()).await.unwrap();
    }
    let early = store.open(&at, Source::Any).await;
    assert_eq!(kind(early), ErrorKind::NotFound);
    assert!(names(&store).await.is_empty());
    for _ in 0..2 {
        assert_eq!(first.commit().await.unwrap(), 18_000_006);
    }
    second.write(piece.slice(..10)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(second.commit().await), ErrorKind::AlreadyExists);
    }
    assert_eq!(kind(first.write(piece).await), ErrorKind::Closed);
    assert_eq!(first.commit().await.unwrap(), 18_000_006);
    assert_eq!(kind(begin().await), ErrorKind::AlreadyExists);
    drop(third);
    fourth.abort().await.unwrap();
    fourth.abort().await.unwrap();
    assert_eq!(kind(fourth.commit().await), ErrorKind::Closed);
    assert_eq!(names(&store).await, ["checkpoint/9-1 Object 18000006"]);
    let bytes = read_all(&store, &at).await;
    assert!(bytes.len() == 18_000_006 && bytes.iter().all(|b| *b == 3));
    assert_eq!(put(&store, "empty", &b""[..]).await.unwrap(), 0);
    assert!(read_all(&store, &path("empty")).await.is_empty());
}

async fn fc_7_delete_is_repeatable_and_keeps_the_fence(bed: &Bed) {
    let store = store(bed).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(10, 1)).await.unwrap();
    log.flush(batch(10, 2)).await.unwrap();
    put(&store, "start/1", &b"x"[..]).await.unwrap();
    let len = store.fence_log(&path("log/1-0")).await.unwrap();
    let reader = store.open(&path("log/1-0"), Source::Any).await.unwrap();
    reader.read(0..1).await.unwrap();
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
    assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Fenced);
    assert_eq!(kind(reader.len().await), ErrorKind::NotFound);
    assert_eq!(kind(reader.read(10..20).await), ErrorKind::NotFound);
}

async fn fc_8_another_handle_sees_flushed_bytes_at_once(bed: &Bed) {
    let uri = fresh(bed);
    let (writer, follower) = (open(bed, &uri).await, open(bed, &uri).await);
    assert_eq!(writer.contract().visibility, Visibility::Now);
    let mut log = create_log(&writer, "log/1-0").await.unwrap();
    let reader = follower.open(&path("log/1-0"), Source::Any).await.unwrap();
    for n in 0..10 {
        assert_eq!(reader.len().await.unwrap(), n * 512);
        log.flush(batch(512, n as u8 + 1)).await.unwrap();
        let bytes = reader.read(n * 512..(n + 1) * 512).await.unwrap();
        assert!(bytes.iter().all(|b| *b == n as u8 + 1), "{n}");
    }
    let all = reader.read(0..5120).await.unwrap();
    log.seal().await.unwrap();
    assert_eq!(reader.read(0..5120).await.unwrap(), all);
}
