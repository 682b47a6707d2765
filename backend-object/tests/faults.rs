//! Servers killed, stopped and restarted under a store. Each test has a bed of
//! its own. Azurite is not killed: it saves its list of blobs now and then only.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::*;
use flushproof_api::*;
use flushproof_testbed::azure::Azure;
use flushproof_testbed::s3::S3;
use flushproof_testbed::{Bed, Server};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// Flushes four at a time until told to stop or the first error; says what was
/// acknowledged. Each batch is full of its number.
async fn append(
    mut log: Box<dyn LogWriter>,
    acks: tokio::sync::watch::Sender<u64>,
    stop: Arc<std::sync::atomic::AtomicBool>,
) -> (u64, Option<Error>) {
    let mut under_way = FuturesOrdered::new();
    let mut next = 0u64;
    loop {
        while under_way.len() < 4 && !stop.load(std::sync::atomic::Ordering::Relaxed) {
            under_way.push_back(log.flush(batch(64, next as u8)));
            next += 1;
        }
        match under_way.next().await {
            Some(Ok(flushed)) => acks.send_replace(flushed.len),
            Some(Err(e)) => return (*acks.borrow(), Some(e)),
            None => return (*acks.borrow(), None),
        };
    }
}

async fn check(store: &dyn JournalStore, at: &StorePath, acknowledged: u64) {
    let bytes = read_all(store, at).await;
    assert!(bytes.len() as u64 >= acknowledged, "acknowledged and lost");
    for (n, bytes) in bytes.chunks(64).enumerate() {
        assert!(bytes.iter().all(|b| *b == n as u8), "batch {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fc_1_acknowledged_flushes_survive_kill_9_under_load() {
    let bed = block_in_place(|| Bed::start(&S3)).unwrap();
    let uri = fresh(&bed);
    let store = open(&bed, &uri).await;
    let at = path("log/1-0");
    let log = create_log(&store, "log/1-0").await.unwrap();
    let (acks, mut seen) = tokio::sync::watch::channel(0);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let task = tokio::spawn(append(log, acks, stop.clone()));
    for _ in 0..2 {
        let now = *seen.borrow();
        seen.wait_for(|acked| *acked > now + 64 * 64).await.unwrap();
        let weed = bed.process("weed");
        block_in_place(|| weed.kill()).unwrap();
        let at_kill = *seen.borrow();
        block_in_place(|| weed.start()).unwrap();
        let up = Instant::now();
        seen.wait_for(|acked| *acked > at_kill + 4 * 64)
            .await
            .unwrap();
        let took = up.elapsed();
        println!("appends went on {took:?} after the restart");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (acknowledged, e) = task.await.unwrap();
    assert!(e.is_none(), "{e:?}");
    let other = open(&bed, &uri).await;
    assert_eq!(other.fence_log(&at).await.unwrap(), acknowledged);
    check(&other, &at, acknowledged).await;
}

/// What the first error of a call is, and how long it took.
async fn hung<T>(call: impl Future<Output = Result<T>>) -> (Error, Duration) {
    let began = Instant::now();
    (error(call.await), began.elapsed())
}

async fn fc_12_a_hung_server(server: &'static dyn Server) {
    let bed = block_in_place(|| Bed::start(server)).unwrap();
    let uri = fresh(&bed);
    let patience = [("timeout", "4s"), ("request_timeout", "2s")];
    let store = open_with(&bed, &uri, &patience).await;
    let at = path("log/1-0");
    let log = create_log(&store, "log/1-0").await.unwrap();
    put(&store, "object", &b"x"[..]).await.unwrap();
    let reader = store.open(&at, Source::Medium).await.unwrap();
    let (acks, mut seen) = tokio::sync::watch::channel(0);
    let task = tokio::spawn(append(log, acks, Arc::default()));
    seen.wait_for(|acked| *acked > 1000).await.unwrap();
    let process = bed.process(bed.processes()[0]);
    block_in_place(|| process.stop()).unwrap();
    let began = Instant::now();
    // Every call, all at the same time.
    let objects = path("object");
    let other = path("log/1-1");
    let again = try_open(&bed, &uri, &patience, Mode::ReadWrite);
    let (flush, reading, opening, fence, listing, creating, committing, deleting) = tokio::join!(
        async { (task.await.unwrap(), began.elapsed()) },
        hung(reader.len()),
        hung(again),
        hung(store.fence_log(&at)),
        hung(async {
            let root = StorePath::root();
            store.list(&root).next().await.unwrap()
        }),
        hung(store.create_log(&other, LogOptions::default())),
        hung(put(&store, "object-2", &b"x"[..])),
        hung(store.delete(&objects)),
    );
    let ((acknowledged, e), took) = flush;
    let flush = (e.unwrap(), took);
    for (what, (e, took)) in [
        ("flush", flush),
        ("read", reading),
        ("open", opening),
        ("fence", fence),
        ("list", listing),
        ("create", creating),
        ("commit", committing),
        ("delete", deleting),
    ] {
        assert_eq!(e.kind(), ErrorKind::TimedOut, "{what}: {e}");
        assert_eq!(e.outcome(), Outcome::Unknown, "{what}: {e}");
        assert!(e.to_string().contains("reachable"), "{what}: {e}");
        // And one request more, to read back who has a key.
        assert!(took < Duration::from_secs(4 + 2 + 1), "{what}: {took:?}");
    }
    block_in_place(|| process.cont()).unwrap();
    // The same store goes on at once, with the next log.
    let up = Instant::now();
    let mut log = create_log(&store, "log/2-0").await.unwrap();
    log.flush(batch(64, 1)).await.unwrap();
    println!("appends went on {:?} after the server woke", up.elapsed());
    assert!(up.elapsed() < Duration::from_secs(3), "{:?}", up.elapsed());
    let len = store.fence_log(&at).await.unwrap();
    assert!(len >= acknowledged);
    check(&store, &at, acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fc_12_a_hung_seaweedfs_is_an_error_in_time() {
    fc_12_a_hung_server(&S3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fc_12_a_hung_azurite_is_an_error_in_time() {
    fc_12_a_hung_server(&Azure).await;
}

/// Kills the server and starts it again, with a full disk or one that has room.
async fn restart(bed: &Bed, full: bool) {
    let weed = bed.process("weed");
    block_in_place(|| {
        weed.kill().unwrap();
        S3.set_full(bed.place(), full).unwrap();
        weed.spawn().unwrap();
        if !full {
            weed.wait_ready().unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fc_12_a_full_server_is_an_error_in_time_and_what_was_acknowledged_is_there() {
    let bed = block_in_place(|| Bed::start(&S3)).unwrap();
    let uri = fresh(&bed);
    let patience = [("timeout", "6s"), ("request_timeout", "2s")];
    let store = open_with(&bed, &uri, &patience).await;
    let at = path("log/1-0");
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    for n in 0..3 {
        log.flush(batch(64, n)).await.unwrap();
    }
    restart(&bed, true).await;
    let (flush, took) = hung(log.flush(batch(64, 3))).await;
    println!("a flush on a full server, after {took:?}: {flush}");
    assert_eq!(flush.outcome(), Outcome::Unknown, "{flush}");
    assert!(took < Duration::from_secs(6 + 2 + 1), "{took:?}");
    let (object, took) = hung(put(&store, "object", &b"x"[..])).await;
    println!("an object, after {took:?}: {object}");
    let (opening, took) = hung(try_open(&bed, &uri, &patience, Mode::ReadWrite)).await;
    println!("opening, after {took:?}: {opening}");
    // It answers 500, or not at all while it looks for room.
    let said = [flush, object, opening].map(|e| e.to_string());
    let silent = |text: &&String| text.contains("reachable");
    assert!(
        said.iter().filter(silent).count() < said.len(),
        "{said:?}: none said why"
    );
    for text in said.iter().filter(|text| !silent(text)) {
        assert!(text.contains("full"), "{text}");
    }
    // What is there can be read while nothing can be written.
    check(&store, &at, 3 * 64).await;
    restart(&bed, false).await;
    let store = open(&bed, &uri).await;
    assert!(store.fence_log(&at).await.unwrap() >= 3 * 64);
    check(&store, &at, 3 * 64).await;
    let mut log = create_log(&store, "log/1-1").await.unwrap();
    assert_eq!(log.flush(batch(64, 9)).await.unwrap().len, 64);
}
