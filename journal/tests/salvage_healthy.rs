//! Of a journal without damage, salvage finds what a replay gives, and nothing is lost:
//! whatever became of its writers. They roll, write checkpoints, trim, take over (also from
//! themselves), and every one of their calls fails or is the last one, in turn; so there
//! are torn ends, holes with whole frames behind them, entries carried over several times, and
//! candidates that never served.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Entry, ErrorKind, Item, OnUnknown, Salvage, StoreUri};
use flushproof_api::MemoryStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use support::faulty::{Answers, Fault, Faulty};
use support::work::{Shared, in_turn, open_again, work};
use support::{runtime, soak};

fn config(store: &Faulty) -> Config {
    let mut config = Config::new(StoreUri::parse("faulty:").unwrap());
    config.registry = store.registry();
    config.require = flushproof::Survives::NOTHING;
    config.segment_size = 64 << 10;
    config.idle_mark = Duration::from_secs(3600);
    config.keep_checkpoints = 2;
    config
}

/// What a reader replays from the newest checkpoint on; `None` while nothing is there.
async fn replay(config: &Config, from: Option<&Salvage>) -> Option<Vec<Entry>> {
    let reader = match config.reader().await {
        Err(e) if e.kind() == ErrorKind::NotFormatted => return None,
        other => other.unwrap(),
    };
    let mut replay = reader
        .entries(from.and_then(|s| s.checkpoint))
        .await
        .unwrap();
    let mut entries = Vec::new();
    while let Some(item) = replay.next().await.unwrap() {
        if let Item::Entry(entry) = item {
            entries.push(entry);
        }
    }
    Some(entries)
}

/// Compares; gives how many entries there were.
async fn same(config: &Config, case: &str) -> u64 {
    if replay(config, None).await.is_none() {
        return 0;
    }
    // A writer that was abandoned may still have a flush under way: then look again.
    for _ in 0..5 {
        let found = config.salvage(|_, _| {}).await;
        let found = found.unwrap_or_else(|e| panic!("{case}: {e}"));
        let mut salvaged = Vec::new();
        let mut stream = found.entries();
        while let Some(entry) = stream.next().await.unwrap() {
            salvaged.push(entry);
        }
        let before = replay(config, Some(&found)).await.unwrap();
        if salvaged == before && found.lost.is_empty() {
            let end = before.last().map(|e| e.seq.next());
            let base = found.checkpoint.unwrap_or_default();
            assert_eq!(found.end, end.unwrap_or(base), "{case}: {found:?}");
            assert_eq!(found.entries, salvaged.len() as u64, "{case}");
            return found.entries;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if replay(config, Some(&found)).await.unwrap() == before {
            let numbers =
                |all: &[Entry]| all.iter().map(|e| (e.seq.0, e.epoch.0)).collect::<Vec<_>>();
            let (a, b) = (numbers(&salvaged), numbers(&before));
            panic!("{case}: {found:?}\nsalvaged {a:?}\nreplayed {b:?}");
        }
    }
    panic!("{case}: the journal does not come to rest");
}

async fn in_every_state(answers: Answers, fault: Fault, on_unknown: OnUnknown) {
    let entries = Arc::new(AtomicU64::new(0));
    let sum = entries.clone();
    let hits = in_turn(14, move |n| {
        let sum = sum.clone();
        async move {
            let store = Faulty::new(Arc::new(MemoryStore::new()), answers);
            let mut config = config(&store);
            config.on_unknown = on_unknown;
            let facts = Shared::default();
            // Without soak every third call; at the end it must be seen that none is left.
            let at = if soak() { n } else { n * 3 };
            store.script.hit(at, fault);
            let done = work(config.clone(), facts.clone()).await;
            let fired = store.script.fired();
            store.script.heal();
            let case = format!("{answers:?}, {fault:?} at call {at} ({done:?})");
            sum.fetch_add(same(&config, &case).await, SeqCst);
            open_again(&config, &facts, &case).await;
            sum.fetch_add(same(&config, &case).await, SeqCst);
            fired
        }
    })
    .await;
    let entries = entries.load(SeqCst);
    println!("{answers:?}, {fault:?}, {on_unknown:?}: {hits} journals, {entries} entries");
    assert!(hits > 50 && entries > 100);
}

#[test]
fn what_is_salvaged_of_an_undamaged_journal_is_what_a_replay_gives() {
    runtime().block_on(async {
        for answers in [Answers::Inline, Answers::Later] {
            // A flush that failed leaves a hole, and those behind it may have landed.
            for fault in [Fault::Before, Fault::After, Fault::Dead] {
                in_every_state(answers, fault, OnUnknown::Stop).await;
            }
            in_every_state(answers, Fault::Before, OnUnknown::Reopen).await;
        }
    });
}
