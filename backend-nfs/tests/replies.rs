//! The rule by which a flush is acknowledged: every reply that is not quite
//! right, and every reply that does not come. Behind the proxy is a real server.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::proxy::{Proxy, Tamper};
use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_nfs::NfsStore;
use futures_util::FutureExt;
use std::time::{Duration, Instant};

/// A place behind a proxy, and the same place straight.
fn behind() -> (Proxy, StoreUri, StoreUri) {
    let proxy = Proxy::start(bed().place().ports[0]);
    let straight = fresh();
    let through = format!("nfs://127.0.0.1:{}{}", proxy.port, straight.path());
    (proxy, uri(&through), straight)
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_a_reply_that_is_not_quite_right_acknowledges_nothing() {
    let (proxy, at, _) = behind();
    let store = open_on(bed(), &at, "700ms").await;
    for (n, (tamper, kind)) in [
        (Tamper::Unstable, ErrorKind::Io),
        (Tamper::Short, ErrorKind::Io),
        (Tamper::NoAttributes, ErrorKind::Io),
        (Tamper::Links(0), ErrorKind::Fenced),
        (Tamper::Links(2), ErrorKind::Fenced),
        (Tamper::OtherFile, ErrorKind::Io),
        (Tamper::Smaller, ErrorKind::Io),
        (Tamper::Truncated, ErrorKind::Io),
        (Tamper::CutInMidReply, ErrorKind::Unreachable),
        (Tamper::Swallow, ErrorKind::TimedOut),
        (Tamper::WrongXid, ErrorKind::TimedOut),
        (Tamper::Status(5), ErrorKind::Io),
        (Tamper::Status(28), ErrorKind::NoSpace),
        (Tamper::Status(69), ErrorKind::NoSpace),
        (Tamper::Status(30), ErrorKind::PermissionDenied),
        (Tamper::Status(13), ErrorKind::PermissionDenied),
        (Tamper::Status(70), ErrorKind::NotFound),
        (Tamper::Status(12345), ErrorKind::Io),
        (Tamper::Jukebox(u32::MAX), ErrorKind::TimedOut),
    ]
    .into_iter()
    .enumerate()
    {
        proxy.set(Tamper::None);
        let mut log = create_log(&store, &format!("log/{n}")).await.unwrap();
        log.flush(batch(&store, 1, 1)).await.unwrap();
        proxy.set(tamper);
        let began = Instant::now();
        // Three under way: none is acknowledged, whichever it hits.
        let flushes = [1, 1, 300].map(|blocks| log.flush(batch(&store, blocks, 2)));
        for (n, flush) in flushes.into_iter().enumerate() {
            let e = error(flush.await);
            let got = (e.kind(), e.outcome());
            // A later one may not have begun when the first one failed.
            let refused = n > 0 && e.outcome() == Outcome::NotWritten;
            assert!(
                got == (kind, Outcome::Unknown) || refused,
                "{tamper:?}: {e}"
            );
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{tamper:?}");
        proxy.set(Tamper::None);
        let e = error(log.flush(batch(&store, 1, 3)).await);
        let poisoned = match kind {
            ErrorKind::Fenced => kind,
            _ => ErrorKind::Poisoned,
        };
        assert_eq!((e.kind(), e.outcome()), (poisoned, Outcome::NotWritten));
        assert_eq!(common::kind(log.seal().await), poisoned);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_one_bad_reply_of_many_is_enough() {
    let (proxy, at, _) = behind();
    let store = open_on(bed(), &at, "5s").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    // 8 WRITEs; the connection breaks before the reply to the last one.
    proxy.cut_at(8);
    let e = error(log.flush(Bytes::from(vec![1; 8 << 20])).await);
    assert_eq!(
        (e.kind(), e.outcome()),
        (ErrorKind::Unreachable, Outcome::Unknown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_jukebox_is_a_wait() {
    let (proxy, at, _) = behind();
    let store = open_on(bed(), &at, "5s").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    proxy.set(Tamper::Jukebox(3));
    assert_eq!(log.flush(batch(&store, 1, 1)).await.unwrap().len, 4096);
    // An object's WRITE, too.
    proxy.set(Tamper::Jukebox(2));
    put(&store, "a", &b"x"[..]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_3_late_replies_are_acknowledged_in_order() {
    let (proxy, at, _) = behind();
    let store = open_on(bed(), &at, "5s").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    proxy.set(Tamper::Late);
    for round in 0..20 {
        let first = log.flush(batch(&store, 1, 1));
        let second = log.flush(batch(&store, 1, 2));
        // The second one's reply comes first, but it resolves behind the other.
        assert_eq!(second.await.unwrap().len, (2 * round + 2) * 4096);
        let first = first.now_or_never().expect("acknowledged before the first");
        assert_eq!(first.unwrap().len, (2 * round + 1) * 4096);
    }
}

/// All that a journal does to a store, once.
async fn life(store: &NfsStore) -> Result<()> {
    put(store, "epoch/1", &b"claim"[..]).await?;
    let mut log = create_log(store, "log/1-0").await?;
    let flushed = log.flush(batch(store, 2, 7)).await;
    assert!(flushed.is_err() || read_all(store, &path("log/1-0")).await[..] == [7; 8192]);
    if flushed.is_ok() {
        log.seal().await?;
    }
    let mut last = create_log(store, "log/1-1").await?;
    let flushed = last.flush(batch(store, 1, 7)).await.map_or(0, |f| f.len);
    let len = store.fence_log(&path("log/1-1")).await?;
    assert!(len >= flushed);
    store.delete(&path("log/1-0")).await?;
    store.delete(&path("log/1-1")).await?;
    assert!(store.fence_log(&path("log/1-1")).await? >= len);
    let late = last.flush(batch(store, 1, 7)).await;
    assert!(late.is_err(), "a fenced writer was acknowledged");
    put(store, "epoch/2", &b"claim"[..]).await?;
    store.delete(&path("epoch/1")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_5_fc_9_each_reply_is_lost_once_and_everything_comes_out_right() {
    let mut n = 0;
    loop {
        n += 1;
        let (proxy, at, straight) = behind();
        let store = open_on(bed(), &at, "5s").await;
        proxy.cut_at(n);
        life(&store)
            .await
            .unwrap_or_else(|e| panic!("reply {n}: {e}"));
        let uncut = !proxy.was_cut();
        drop(store);
        let store = open_at(&straight).await;
        let rows = listed(&store).await;
        let rows: Vec<_> = rows
            .iter()
            .map(|r| format!("{} {:?}", r.path, r.kind))
            .collect();
        assert_eq!(rows, ["epoch/2 Object", "log/1-1 Fence"], "reply {n}");
        if uncut {
            break;
        }
    }
    assert!(n > 60, "only {n} replies");
}
