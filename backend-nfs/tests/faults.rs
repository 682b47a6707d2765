//! A server that dies, hangs and comes back, and one that was never there
//! (FC-1, FC-12), with real processes.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::*;
use flushproof_api::*;
use flushproof_backend_nfs::NfsStore;
use flushproof_testbed::{Bed, nfs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const GANESHA: &str = nfs::GANESHA;

fn own_bed() -> Bed {
    Bed::start(&nfs::NFS).unwrap()
}

fn rounds(default: u32) -> u32 {
    let set = std::env::var("FLUSHPROOF_ROUNDS");
    set.map_or(default, |n| n.parse().unwrap())
}

/// Flushes numbered blocks until one fails; says how many were acknowledged.
async fn flush_until_it_fails(
    store: &NfsStore,
    mut log: Box<dyn LogWriter>,
    acknowledged: &AtomicU64,
) -> Error {
    let mut number = 0u64;
    loop {
        let flushes = [(); 3].map(|()| {
            let mut block = vec![0; store.contract().block];
            block[..8].copy_from_slice(&number.to_le_bytes());
            number += 1;
            log.flush(block.into())
        });
        for flush in flushes {
            match flush.await {
                Ok(flushed) => acknowledged.store(flushed.len, Ordering::SeqCst),
                Err(e) => return e,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_1_killed_under_load_the_server_loses_nothing_acknowledged() {
    let bed = own_bed();
    let at = uri(&bed.fresh_uri());
    let store = Arc::new(open_on(&bed, &at, "10s").await);
    for round in 0..rounds(5) {
        let name = format!("log/{round}");
        let log = create_log(store.as_ref(), &name).await.unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (writer, count) = (store.clone(), acknowledged.clone());
        let task = tokio::spawn(async move { flush_until_it_fails(&writer, log, &count).await });
        while acknowledged.load(Ordering::SeqCst) < 100 * 4096 {
            tokio::task::yield_now().await;
        }
        bed.process(GANESHA).kill().unwrap();
        // Hit between two flushes, it would be `NotWritten`.
        let e = task.await.unwrap();
        assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
        bed.process(GANESHA).start().unwrap();
        let began = Instant::now();
        // The same store goes on over a new connection.
        let len = store.fence_log(&path(&name)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3));
        let last = acknowledged.load(Ordering::SeqCst);
        assert!(last <= len);
        let bytes = read_all(store.as_ref(), &path(&name)).await;
        for (n, block) in bytes[..last as usize].chunks(4096).enumerate() {
            assert_eq!(block[..8], (n as u64).to_le_bytes());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_writer_goes_on_after_a_restart() {
    let bed = own_bed();
    let at = uri(&bed.fresh_uri());
    let store = open_on(&bed, &at, "10s").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 1, 1)).await.unwrap();
    bed.process(GANESHA).restart().unwrap();
    assert_eq!(log.flush(batch(&store, 1, 2)).await.unwrap().len, 8192);
    // While it is away: nothing is sent before it is back.
    bed.process(GANESHA).kill().unwrap();
    let flush = log.flush(batch(&store, 1, 3));
    bed.process(GANESHA).start().unwrap();
    assert_eq!(flush.await.unwrap().len, 12288);
    // Fenced meanwhile: the first answer says so.
    store.fence_log(&path("log/1-0")).await.unwrap();
    bed.process(GANESHA).restart().unwrap();
    assert_eq!(
        kind(log.flush(batch(&store, 1, 4)).await),
        ErrorKind::Fenced
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_server_that_stays_away_is_an_error_in_time() {
    let bed = own_bed();
    let at = uri(&bed.fresh_uri());
    let store = open_on(&bed, &at, "500ms").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    bed.process(GANESHA).kill().unwrap();
    let began = Instant::now();
    let e = error(log.flush(batch(&store, 1, 1)).await);
    assert_eq!(
        (e.kind(), e.outcome()),
        (ErrorKind::Unreachable, Outcome::NotWritten),
        "{e}"
    );
    assert_eq!(
        kind(store.fence_log(&path("log/1-0")).await),
        ErrorKind::Unreachable
    );
    assert_eq!(
        kind(put(&store, "a", &b"x"[..]).await),
        ErrorKind::Unreachable
    );
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_hung_server_is_an_error_in_time() {
    let bed = own_bed();
    let at = uri(&bed.fresh_uri());
    let store = open_on(&bed, &at, "500ms").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 1, 1)).await.unwrap();
    let reader = store.open(&path("log/1-0"), Source::Medium).await.unwrap();
    bed.process(GANESHA).stop().unwrap();
    let began = Instant::now();
    let e = error(log.flush(batch(&store, 1, 2)).await);
    assert_eq!(
        (e.kind(), e.outcome()),
        (ErrorKind::TimedOut, Outcome::Unknown),
        "{e}"
    );
    assert!(e.to_string().contains("500ms"), "{e}");
    let at_once = log.flush(batch(&store, 1, 2)).await;
    assert_eq!(kind(at_once), ErrorKind::Poisoned);
    for kind in [
        kind(log.seal().await),
        kind(create_log(&store, "log/1-1").await),
        kind(put(&store, "a", &b"x"[..]).await),
        kind(store.fence_log(&path("log/1-0")).await),
        kind(store.delete(&path("log/1-0")).await),
        kind(reader.read(0..10).await),
        kind(reader.len().await),
        kind(store.space().await),
        kind(store.sweep(Duration::ZERO).await),
        kind(NfsStore::open(&at, &options(&bed).with("timeout", "500ms"), Mode::ReadOnly).await),
    ] {
        let bounded = [
            ErrorKind::TimedOut,
            ErrorKind::Unreachable,
            ErrorKind::Poisoned,
        ];
        assert!(bounded.contains(&kind), "{kind}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    bed.process(GANESHA).cont().unwrap();
    // What was under way may land now. The writer stays unusable; the store does not.
    assert_eq!(
        kind(log.flush(batch(&store, 1, 3)).await),
        ErrorKind::Poisoned
    );
    let len = store.fence_log(&path("log/1-0")).await.unwrap();
    assert!((4096..=3 * 4096).contains(&len));
    let bytes = read_all(&store, &path("log/1-0")).await;
    assert!(bytes[..4096].iter().all(|b| *b == 1));
    create_log(&store, "log/1-2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_5_objects_and_logs_are_created_while_the_server_is_restarted() {
    let bed = own_bed();
    let at = uri(&bed.fresh_uri());
    let store = Arc::new(open_on(&bed, &at, "20s").await);
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopped) = (store.clone(), stop.clone());
    let task = tokio::spawn(async move {
        let mut n = 0usize;
        while !stopped.load(Ordering::SeqCst) {
            put(writer.as_ref(), &format!("epoch/{n}"), &b"claim"[..])
                .await
                .unwrap();
            drop(
                create_log(writer.as_ref(), &format!("log/{n}"))
                    .await
                    .unwrap(),
            );
            if n.is_multiple_of(3) {
                writer.fence_log(&path(&format!("log/{n}"))).await.unwrap();
                writer.delete(&path(&format!("log/{n}"))).await.unwrap();
            }
            n += 1;
        }
        n
    });
    for _ in 0..rounds(5) {
        tokio::time::sleep(Duration::from_millis(60)).await;
        bed.process(GANESHA).restart().unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let n = task.await.unwrap();
    assert!(n > 5, "{n}");
    let rows = listed(store.as_ref()).await;
    let of = |kind| rows.iter().filter(|r| r.kind == kind).count();
    let fenced = n.div_ceil(3);
    assert_eq!(of(ListedKind::Object), n);
    assert_eq!(of(ListedKind::Fence), fenced);
    assert_eq!(of(ListedKind::Log), n - fenced);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_wrong_addresses_are_told_in_time() {
    let began = Instant::now();
    let open = |text: String, options: Options| async move {
        error(NfsStore::open(&uri(&text), &options, Mode::ReadWrite).await)
    };
    let limited = Options::new().with("timeout", "1s");
    let mount = bed().place().ports[1].to_string();
    let right = options(bed()).with("timeout", "1s");
    // Nobody listens there; neither does a portmapper.
    let nobody = limited.clone().with("portmap_port", "1");
    let e = open("nfs://127.0.0.1:9/export".into(), nobody).await;
    assert_eq!(e.kind(), ErrorKind::Unreachable);
    assert!(e.to_string().contains("mount_port"), "{e}");
    // MOUNT answers, NFS does not.
    let e = open("nfs://127.0.0.1:9/export".into(), right.clone()).await;
    assert_eq!(e.kind(), ErrorKind::Unreachable);
    assert!(e.to_string().contains("127.0.0.1:9"), "{e}");
    // The one's port for the other's.
    let e = open(format!("nfs://127.0.0.1:{mount}/export"), right.clone()).await;
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    // An address that swallows everything, and a name that is none.
    let e = open("nfs://192.0.2.1/export".into(), right.clone()).await;
    assert!(
        [ErrorKind::Unreachable, ErrorKind::TimedOut].contains(&e.kind()),
        "{e}"
    );
    let e = open("nfs://no-such-host.invalid/export".into(), right.clone()).await;
    assert_eq!(e.kind(), ErrorKind::Unreachable);
    // Somebody who accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let e = open(format!("nfs://127.0.0.1:{port}/export"), right).await;
    assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}
