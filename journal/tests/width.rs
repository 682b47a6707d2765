//! A store whose answers take 2 ms, one at a time and 16 under way: 64 tasks get at
//! least 15 times what one gets, and one waits hardly longer than for the bare store.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use bytes::Bytes;
use flushproof::{Config, Journal, Registry, StoreUri, Survives};
use flushproof_api::{JournalStore, LogOptions, MemoryStore, StorePath};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::late::Late;
use support::runtime;

const DELAY: Duration = Duration::from_millis(2);
const ENTRY: [u8; 256] = [7; 256];

/// How many entries `tasks` tasks append in `time`, and how long each took.
async fn measure(journal: &Journal, tasks: usize, time: Duration) -> (u64, Vec<Duration>) {
    let count = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + time;
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let (journal, count) = (journal.clone(), count.clone());
        set.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                journal.append(&ENTRY).await.unwrap();
                times.push(began.elapsed());
                count.fetch_add(1, SeqCst);
            }
            times
        });
    }
    let times = set.join_all().await.concat();
    (count.load(SeqCst), times)
}

/// The store itself, one flush after the other.
async fn bare(store: &Late, path: &str, time: Duration) -> Vec<Duration> {
    let path = StorePath::new(path).unwrap();
    let mut log = store
        .create_log(&path, LogOptions::default())
        .await
        .unwrap();
    let task = async move {
        let mut times = Vec::new();
        let end = Instant::now() + time;
        while Instant::now() < end {
            let began = Instant::now();
            log.flush(Bytes::from_static(&ENTRY)).await.unwrap();
            times.push(began.elapsed());
        }
        times
    };
    tokio::spawn(task).await.unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Rates and latencies in turns, so that a noisy moment hits all alike.
fn width(max_inflight: usize) -> (f64, f64) {
    let store = Late::new(MemoryStore::new(), DELAY, max_inflight);
    let mut config = Config::new(StoreUri::parse("late:").unwrap());
    config.registry = Registry::new().with(store.clone());
    config.require = Survives::NOTHING;
    let runtime = runtime();
    runtime.block_on(async {
        config.format(false).await.unwrap();
        let mut recovery = config.primary().await.unwrap();
        while recovery.next().await.unwrap().is_some() {}
        let journal = recovery.start().await.unwrap();
        let slot = Duration::from_millis(200);
        let (mut floor, mut one, mut count_1, mut count_64) = (Vec::new(), Vec::new(), 0, 0);
        for turn in 0..4 {
            floor.extend(bare(&store, &format!("bare/{turn}"), slot).await);
            let (count, times) = measure(&journal, 1, slot).await;
            count_1 += count;
            one.extend(times);
            count_64 += measure(&journal, 64, slot).await.0;
        }
        let counts = journal.counts();
        journal.close().await.unwrap();
        let (floor, one) = (median(floor), median(one));
        let wide = count_64 as f64 / count_1 as f64;
        let latency = one.as_secs_f64() / floor.as_secs_f64();
        println!(
            "{max_inflight} under way: bare {floor:?}, one writer {one:?} ({latency:.3} ×), 64 tasks \
             {wide:.1} × one ({} entries in {} groups)",
            counts.entries, counts.groups
        );
        (wide, latency)
    })
}

#[test]
fn one_at_a_time_is_wide_and_quick() {
    let (wide, latency) = width(1);
    assert!(
        wide >= 15.0,
        "64 tasks get only {wide:.1} times what one gets"
    );
    assert!(
        latency <= 1.10,
        "one writer waits {latency:.3} times as long as for the store"
    );
}

#[test]
fn sixteen_under_way_are_wide_and_quick() {
    let (wide, latency) = width(16);
    assert!(
        wide >= 15.0,
        "64 tasks get only {wide:.1} times what one gets"
    );
    assert!(
        latency <= 1.10,
        "one writer waits {latency:.3} times as long as for the store"
    );
}
