//! A log that becomes shorter while it is read, because it was sealed and lost
//! what was prepared behind its end: readers look again, and nobody is told of a fault.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Follow, FollowItem, Registry, StoreUri, Survives, Verdict};
use flushproof_store_tests::scenarios::serve;
use flushproof_store_tests::state::{State, entry};
use support::prepared::Prepared;
use support::runtime;

fn config(store: &Prepared) -> Config {
    let mut config = Config::new(StoreUri::parse("memory:").unwrap());
    config.registry = Registry::new().with(store.clone());
    config.require = Survives::NOTHING;
    config
}

async fn follow_to(follow: &mut Follow, state: &mut State, count: u64) {
    while state.count < count {
        if let FollowItem::Entry(entry) = follow.next().await.unwrap() {
            state.apply(entry.seq, &entry.bytes);
        }
    }
}

#[test]
fn a_follower_goes_on_when_a_log_is_cut_under_its_read() {
    let store = Prepared::default();
    let config = config(&store);
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let (_, journal) = serve(&config).await;
        let reader = config.reader().await.unwrap();
        let mut follow = reader.follow(None).await.unwrap();
        let mut state = State::default();
        for n in 0..50 {
            journal.append(&entry((1, 1), n)).await.unwrap();
            store.cut_under_reads(1);
            follow_to(&mut follow, &mut state, n + 1).await;
            assert_eq!(store.cuts_left(), 0, "no read was cut");
        }
        journal.close().await.unwrap();
    });
}

#[test]
fn looking_at_a_journal_goes_on_when_a_log_is_cut_under_it() {
    let store = Prepared::default();
    let config = config(&store);
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let (_, journal) = serve(&config).await;
        for n in 0..20 {
            journal.append(&entry((1, 1), n)).await.unwrap();
        }
        for cuts in 1..=3 {
            let reader = config.reader().await.unwrap();
            store.cut_under_reads(cuts);
            let info = reader.info().await.unwrap();
            assert_eq!((info.damage, info.end.0), (None, 20));
            store.cut_under_reads(cuts);
            let report = reader.verify(|_, _| {}).await.unwrap();
            assert!(report.verdict() <= Verdict::InProgress, "{report:?}");
            assert_eq!(report.entries, 20);
            store.cut_under_reads(cuts);
            let mut entries = reader.entries(None).await.unwrap();
            let mut n = 0;
            while entries.next().await.unwrap().is_some() {
                n += 1;
            }
            assert_eq!(n, 20);
        }
        journal.close().await.unwrap();
    });
}
