//! What networks and gateways do to single requests: on the way to a real server
//! each fault is done to one of them. Acknowledged means stored; nobody is told
//! that another's bytes are its own; out of time means unknown.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::proxy::{Fault, Proxy, Seen};
use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_object::ObjectStore;
use flushproof_testbed::Bed;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use std::time::{Duration, Instant};

on_each_server! {
    fc_1_each_fault_on_a_flush_loses_and_doubles_nothing,
    fc_5_each_fault_on_an_object_publishes_it_once,
    fc_5_who_lost_the_race_is_told_so_after_any_fault,
    fc_9_each_fault_on_a_fence_or_a_seal_is_survived,
    fc_9_a_lost_answer_and_a_fence_are_told_apart,
    fc_9_late_requests_of_a_fenced_writer_change_nothing,
    fc_7_a_marker_that_comes_late_brings_no_log_back,
    fc_12_out_of_time_is_unknown_and_final,
}

/// Done to the first try; the second passes.
const ONCE: [Fault; 6] = [
    Fault::Delay(Duration::from_millis(150)),
    Fault::Reset,
    Fault::SlowDown,
    Fault::FailAfter,
    Fault::Lose,
    Fault::Twice,
];

/// Deadlines of an operation and of each of its requests.
const PATIENT: (&str, &str) = ("20s", "10s");
/// Where an answer never comes, and the next try counts.
const PATIENT_ONCE: (&str, &str) = ("20s", "1s");
/// Where none ever comes.
const IMPATIENT: (&str, &str) = ("5s", "2s");

/// A store of its own on the other side of the proxy.
async fn through(
    proxy: &Proxy,
    bed: &Bed,
    uri: &StoreUri,
    (timeout, request_timeout): (&str, &str),
) -> ObjectStore {
    let options = proxy.options(bed).with("timeout", timeout);
    let options = options.with("request_timeout", request_timeout);
    let store = ObjectStore::open(uri, &options, Mode::ReadWrite).await;
    store.unwrap()
}

/// Flushes of different lengths, four at a time; all must be acknowledged.
async fn flush_all(log: &mut dyn LogWriter, count: u64) -> Vec<u8> {
    let mut under_way = FuturesOrdered::new();
    let (mut given, mut durable) = (Vec::new(), 0);
    for n in 0..count {
        let bytes = batch(100 + n as usize, n as u8 + 1);
        given.extend_from_slice(&bytes);
        under_way.push_back(log.flush(bytes));
        if under_way.len() == 4 {
            durable = under_way.next().await.unwrap().unwrap().len;
        }
    }
    while let Some(flushed) = under_way.next().await {
        durable = flushed.unwrap().len;
    }
    assert_eq!(durable, given.len() as u64);
    given
}

async fn fc_1_each_fault_on_a_flush_loses_and_doubles_nothing(bed: &Bed) {
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, PATIENT).await;
    let direct = open(bed, &uri).await;
    for (n, fault) in ONCE.into_iter().enumerate() {
        // One of them, or each.
        for (which, each) in [("one", false), ("each", true)] {
            let name = format!("log/{n}-{which}");
            proxy.on(move |seen: &Seen| {
                let hit = if each {
                    (0..12).any(|s| seen.is_flush(s))
                } else {
                    seen.is_flush(5)
                };
                if hit && seen.before == 0 {
                    fault
                } else {
                    Fault::Pass
                }
            });
            let mut log = create_log(&store, &name).await.unwrap();
            proxy.seen();
            let given = flush_all(log.as_mut(), 12).await;
            let tried = proxy.seen().iter().filter(|s| s.is_flush(5)).count();
            let again = !matches!(fault, Fault::Delay(_) | Fault::Twice);
            assert_eq!(tried, 1 + usize::from(again), "{fault:?}");
            assert!(read_all(&direct, &path(&name)).await == given, "{fault:?}");
            let len = direct.fence_log(&path(&name)).await.unwrap();
            assert_eq!(len, given.len() as u64);
            assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Fenced);
        }
    }
}

async fn fc_5_each_fault_on_an_object_publishes_it_once(bed: &Bed) {
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, PATIENT).await;
    let direct = open(bed, &uri).await;
    for (n, fault) in ONCE.into_iter().enumerate() {
        // A small one; a piece, the key that says "ready", and the name of a large one.
        for (what, len) in [
            ("name", 10),
            ("piece", 100_000),
            ("ready", 100_000),
            ("name", 100_000),
        ] {
            let name = format!("checkpoint/{n}-{what}-{len}");
            let end = name.clone();
            proxy.on(move |seen: &Seen| {
                let hit = match what {
                    "name" => seen.is_put(&end),
                    "piece" => seen.path.contains("/o.") && seen.is_put("/00000000000000000000"),
                    _ => seen.is_put("/end"),
                };
                if hit && seen.before == 0 {
                    fault
                } else {
                    Fault::Pass
                }
            });
            proxy.seen();
            let stored = put(&store, &name, batch(len, n as u8)).await;
            assert_eq!(stored.unwrap(), len as u64, "{fault:?} {what}");
            let bytes = read_all(&direct, &path(&name)).await;
            assert!(bytes == batch(len, n as u8), "{fault:?} {what}");
        }
    }
    assert_eq!(names(&direct).await.len(), 24);
}

async fn fc_5_who_lost_the_race_is_told_so_after_any_fault(bed: &Bed) {
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, PATIENT_ONCE).await;
    let direct = open(bed, &uri).await;
    // The first try fails or is late, and meanwhile another has published.
    for fault in [Fault::Reset, Fault::SlowDown, Fault::Hold] {
        let name = format!("epoch/{}", format!("{fault:?}").to_lowercase());
        let end = name.clone();
        let (first, mut tried) = tokio::sync::watch::channel(false);
        let (published, other) = std::sync::mpsc::channel();
        proxy.on(move |seen: &Seen| match seen.is_put(&end) {
            true if seen.before == 0 => {
                first.send_replace(true);
                fault
            }
            true => {
                // Not before the other's is there.
                tokio::task::block_in_place(|| other.recv().unwrap());
                Fault::Pass
            }
            false => Fault::Pass,
        });
        proxy.seen();
        let name = &name;
        let (ours, theirs) = tokio::join!(put(&store, name, &b"ours"[..]), async {
            tried.wait_for(|tried| *tried).await.unwrap();
            let theirs = put(&direct, name, &b"theirs"[..]).await;
            published.send(()).unwrap();
            theirs
        });
        assert_eq!(theirs.unwrap(), 6);
        assert_eq!(kind(ours), ErrorKind::AlreadyExists, "{fault:?}");
        if fault == Fault::Hold {
            let refused = proxy.release().await;
            assert!(
                refused.iter().all(|s| *s == 412 || *s == 409),
                "{refused:?}"
            );
        }
        assert_eq!(read_all(&direct, &path(name)).await, "theirs");
    }
}

async fn fc_9_each_fault_on_a_fence_or_a_seal_is_survived(bed: &Bed) {
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, PATIENT).await;
    let direct = open(bed, &uri).await;
    for (n, fault) in ONCE.into_iter().enumerate() {
        let once = move |seen: &Seen| {
            // The end of a row, a fence's name, a marker.
            let hit = seen.is_flush(2) || seen.path.contains(".fence-") || seen.is_put(".log");
            let put = seen.method == hyper::Method::PUT;
            if hit && put && seen.before == 0 {
                fault
            } else {
                Fault::Pass
            }
        };
        proxy.seen();
        proxy.on(once);
        let name = format!("log/{n}-sealed");
        let mut log = create_log(&store, &name).await.unwrap();
        log.flush(batch(10, 1)).await.unwrap();
        log.flush(batch(10, 1)).await.unwrap();
        assert_eq!(log.seal().await.unwrap(), 20, "{fault:?}");
        let row = listed(&direct).await.pop().unwrap();
        assert_eq!((row.len, row.sealed), (20, true), "{fault:?}");
        let name = format!("log/{n}-used");
        let mut old = create_log(&direct, &name).await.unwrap();
        old.flush(batch(10, 1)).await.unwrap();
        old.flush(batch(10, 1)).await.unwrap();
        assert_eq!(
            store.fence_log(&path(&name)).await.unwrap(),
            20,
            "{fault:?}"
        );
        assert_eq!(kind(old.flush(batch(1, 1)).await), ErrorKind::Fenced);
        assert_eq!(read_all(&direct, &path(&name)).await, batch(20, 1));
        for at in [format!("log/{n}-sealed"), name] {
            store.delete(&path(&at)).await.unwrap();
        }
    }
    let rows = listed(&direct).await;
    assert!(rows.iter().all(|r| r.kind == ListedKind::Fence), "{rows:?}");
    assert_eq!(rows.len(), ONCE.len());
}

async fn fc_9_a_lost_answer_and_a_fence_are_told_apart(bed: &Bed) {
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, PATIENT).await;
    let direct = open(bed, &uri).await;
    // The first try arrives or not; then the log is fenced, then it is tried again.
    for (fault, stored) in [
        (Fault::Lose, true),
        (Fault::FailAfter, true),
        (Fault::Reset, false),
        (Fault::SlowDown, false),
    ] {
        let name = format!("log/{}", format!("{fault:?}").to_lowercase());
        let (first, mut tried) = tokio::sync::watch::channel(false);
        let (done, fenced) = std::sync::mpsc::channel();
        proxy.on(move |seen: &Seen| match seen.is_flush(1) {
            true if seen.before == 0 => {
                first.send_replace(true);
                fault
            }
            true => {
                tokio::task::block_in_place(|| fenced.recv().unwrap());
                Fault::Pass
            }
            false => Fault::Pass,
        });
        let mut log = create_log(&store, &name).await.unwrap();
        log.flush(batch(10, 1)).await.unwrap();
        let flush = log.flush(batch(10, 2));
        let (flushed, len) = tokio::join!(flush, async {
            tried.wait_for(|tried| *tried).await.unwrap();
            if stored {
                // The server may still be at it.
                while read_all(&direct, &path(&name)).await.len() < 20 {}
            }
            let len = direct.fence_log(&path(&name)).await.unwrap();
            done.send(()).unwrap();
            len
        });
        let bytes = read_all(&direct, &path(&name)).await;
        assert_eq!(bytes.len() as u64, len);
        match stored {
            true => assert_eq!((flushed.unwrap().len, len), (20, 20), "{fault:?}"),
            false => assert_eq!((kind(flushed), len), (ErrorKind::Fenced, 10), "{fault:?}"),
        }
        assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Fenced);
    }
}

async fn fc_9_late_requests_of_a_fenced_writer_change_nothing(bed: &Bed) {
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, IMPATIENT).await;
    let direct = open(bed, &uri).await;
    let at = path("log/1-0");
    // Slot 2 is where the fence comes; 3 lands before it, 4 behind it.
    proxy.on(|seen: &Seen| match seen.is_flush(2) || seen.is_flush(4) {
        true => Fault::Hold,
        false => Fault::Pass,
    });
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let flushes: Vec<_> = (0..5).map(|n| log.flush(batch(10, n))).collect();
    let mut results = Vec::new();
    for flush in flushes {
        results.push(flush.await);
    }
    for (n, result) in results.into_iter().enumerate() {
        match n {
            0 | 1 => assert_eq!(result.unwrap().len, 10 * (n as u64 + 1)),
            _ => assert_eq!(error(result).outcome(), Outcome::Unknown, "{n}"),
        }
    }
    let keys = raw::keys(&raw::raw(bed, &uri)).await;
    assert!(
        keys.iter()
            .any(|key| key.ends_with("/00000000000000000003")),
        "{keys:?}"
    );
    assert_eq!(read_all(&direct, &at).await.len(), 20);
    assert_eq!(direct.fence_log(&at).await.unwrap(), 20);
    let statuses = proxy.release().await;
    assert!(
        statuses.iter().any(|s| *s == 201 || *s == 200),
        "{statuses:?}"
    );
    let whole = [batch(10, 0), batch(10, 1)].concat();
    assert!(read_all(&direct, &at).await == whole);
    assert_eq!(direct.fence_log(&at).await.unwrap(), 20);
    assert_eq!(names(&direct).await, ["log/1-0 Log 20", "log/1-0 Fence 20"]);
    assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
}

async fn fc_7_a_marker_that_comes_late_brings_no_log_back(bed: &Bed) {
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, PATIENT_ONCE).await;
    let direct = open(bed, &uri).await;
    // Each first try is late: of the marker, of two flushes, of the fence.
    proxy.on(|seen: &Seen| {
        let hit = seen.is_put(".log") || (0..3).any(|slot| seen.is_flush(slot));
        if hit && seen.before == 0 {
            Fault::Hold
        } else {
            Fault::Pass
        }
    });
    for (name, fenced) in [("log/1-0", true), ("log/1-1", false)] {
        let mut log = create_log(&store, name).await.unwrap();
        log.flush(batch(10, 1)).await.unwrap();
        log.flush(batch(10, 1)).await.unwrap();
        if fenced {
            assert_eq!(store.fence_log(&path(name)).await.unwrap(), 20);
        }
        direct.delete(&path(name)).await.unwrap();
    }
    assert_eq!(names(&direct).await, ["log/1-0 Fence 20"]);
    let statuses = proxy.release().await;
    let done = statuses.iter().filter(|s| **s < 300).count();
    assert!(done >= 4, "markers and flushes came back: {statuses:?}");
    assert_eq!(names(&direct).await, ["log/1-0 Fence 20"]);
    for name in ["log/1-0", "log/1-1"] {
        assert_eq!(
            kind(direct.open(&path(name), Source::Medium).await.map(|_| ())),
            ErrorKind::NotFound,
            "{name}"
        );
    }
    assert_eq!(direct.fence_log(&path("log/1-0")).await.unwrap(), 20);
    assert_eq!(
        kind(direct.fence_log(&path("log/1-1")).await),
        ErrorKind::NotFound
    );
    assert!(direct.sweep(Duration::ZERO).await.unwrap() >= 4);
    let left = raw::keys(&raw::raw(bed, &uri)).await;
    assert!(!left.iter().any(|key| key.ends_with(".log")), "{left:?}");
    // The fence of the one, the marks of both.
    assert_eq!(
        left.iter().filter(|key| key.contains("/l.")).count(),
        3,
        "{left:?}"
    );
}

async fn fc_12_out_of_time_is_unknown_and_final(bed: &Bed) {
    // Done to every try.
    const ALWAYS: [Fault; 5] = [
        Fault::Reset,
        Fault::SlowDown,
        Fault::FailAfter,
        Fault::Lose,
        Fault::Hold,
    ];
    let uri = fresh(bed);
    let proxy = Proxy::before(bed).await;
    let store = through(&proxy, bed, &uri, IMPATIENT).await;
    proxy.on(|seen: &Seen| {
        let log = (0..ALWAYS.len()).find(|n| seen.path.contains(&format!("/log/{n}/")));
        match log {
            Some(n) if seen.is_flush(1) => ALWAYS[n],
            _ => Fault::Pass,
        }
    });
    let store = &store;
    let logs = ALWAYS.iter().enumerate().map(|(n, fault)| async move {
        let name = format!("log/{n}");
        let mut log = create_log(store, &name).await.unwrap();
        let first = log.flush(batch(10, 1));
        let second = log.flush(batch(10, 2));
        let third = log.flush(Bytes::from_static(b"behind"));
        let began = Instant::now();
        assert_eq!(first.await.unwrap().len, 10);
        let e = error(second.await);
        let right = [ErrorKind::TimedOut, ErrorKind::Unreachable];
        assert!(right.contains(&e.kind()), "{fault:?}: {e}");
        assert_eq!(e.outcome(), Outcome::Unknown, "{fault:?}: {e}");
        assert!(
            began.elapsed() < Duration::from_secs(5 + 2 + 1),
            "{fault:?}"
        );
        let behind = error(third.await);
        assert_eq!(behind.outcome(), Outcome::Unknown, "{fault:?}: {behind}");
        for _ in 0..2 {
            assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Poisoned);
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
    });
    futures_util::future::join_all(logs).await;
    proxy.pass();
    for n in 0..ALWAYS.len() {
        let len = store.fence_log(&path(&format!("log/{n}"))).await.unwrap();
        assert!(len >= 10, "{n}");
    }
}
