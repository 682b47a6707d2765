//! `verify_fast` on journals that the engine wrote: it leaves the bulk unread, and agrees with
//! `verify` on what is in use.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, FindingKind, Registry, StoreUri, Survives, Verdict};
use flushproof_store_tests::scenarios::serve;
use std::time::Duration;
use support::counting::Counting;
use support::late::Hiding;
use support::runtime;

fn config(registry: Registry) -> Config {
    let mut config = Config::new(StoreUri::parse("memory:").unwrap());
    config.registry = registry;
    config.require = Survives::NOTHING;
    config.segment_size = 256 * 1024;
    config
}

#[test]
fn the_bulk_is_not_read() {
    let store = Counting::default();
    let config = config(Registry::new().with(store.clone()));
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let (_, journal) = serve(&config).await;
        let mut checkpoint = journal.checkpoint(journal.accepted()).await.unwrap();
        for _ in 0..100 {
            checkpoint.entry(&[1; 16 * 1024]).await.unwrap();
        }
        checkpoint.commit().await.unwrap();
        let entry = vec![2; 16 * 1024];
        while journal.counts().rolls < 24 {
            journal.append(&entry).await.unwrap();
            // The next segment is made in the background.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        journal.close().await.unwrap();
        let size = store.size().await;
        assert!(size > 4 << 20, "{size}");
        let reader = config.reader().await.unwrap();
        store.take();
        let whole = reader.verify(|_, _| {}).await.unwrap();
        let bulk = store.take();
        assert!(bulk >= size, "{bulk} of {size}");
        let fast = reader.verify_fast().await.unwrap();
        let read = store.take();
        println!("whole: {bulk}, fast: {read} of {size} bytes");
        // The last segment, a few times at most, and a little of each of the others.
        assert!(read < size / 5, "{read} of {size}");
        assert_eq!(fast.findings, whole.findings);
        assert_eq!((fast.durable, fast.end), (whole.durable, whole.end));
        assert_eq!(fast.segments, whole.segments);
        assert!(whole.segments > 10, "{whole:?}");
        assert_eq!((fast.checkpoints, fast.entries, fast.bytes), (1, 0, 0));
    });
}

#[test]
fn a_segment_that_is_not_seen_yet_is_in_progress() {
    let config = config(Registry::new().with(Hiding::default()));
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let (_, journal) = serve(&config).await;
        journal.append(b"not sealed yet").await.unwrap();
        let reader = config.reader().await.unwrap();
        for report in [
            reader.verify(|_, _| {}).await.unwrap(),
            reader.verify_fast().await.unwrap(),
        ] {
            let mut hidden = report.findings.iter();
            let hidden = hidden.find(|f| f.verdict == Verdict::InProgress).unwrap();
            assert_eq!(hidden.kind, FindingKind::InProgress);
            assert!(hidden.path.starts_with("log/"), "{report:#?}");
        }
        drop(journal);
    });
}
