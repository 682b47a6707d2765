//! The clauses of the contract, on a real server.

mod common;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use std::sync::Arc;
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
