//! A store that shows a log only when it is sealed or fenced (FC-8, `OnSeal`): the
//! journal seals before it rolls, and rolls so often that followers keep up.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, FollowItem, Registry, SeqNo, Verdict};
use flushproof_store_tests::scenarios::basics::checkpoint;
use flushproof_store_tests::scenarios::serve;
use flushproof_store_tests::state::{LONG, State, entry};
use flushproof_store_tests::{Store, one_process};
use std::time::{Duration, Instant};
use support::late::Hiding;
use support::runtime;

fn store() -> Store {
    Store::memory(Registry::new().with(Hiding::default()))
}

one_process!(store());

const INTERVAL: Duration = Duration::from_millis(50);

fn config(store: &Store) -> Config {
    let mut config = store.fresh().access.config();
    config.take_over = true;
    config.seal_interval = INTERVAL;
    config
}

/// Looks at a journal that is in use: nothing is damaged, and at most what was
/// appended is there.
async fn look(config: &Config, appended: u64) -> SeqNo {
    let reader = config.reader().await.unwrap();
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert!(report.verdict() <= Verdict::InProgress, "{report:?}");
    let info = reader.info().await.unwrap();
    assert_eq!(info.damage, None);
    assert!(info.end.0 <= appended, "{info:?}");
    let mut entries = reader.entries(None).await.unwrap();
    let mut n = 0;
    while entries.next().await.unwrap().is_some() {
        n += 1;
    }
    assert!(
        n >= info.end.0 - info.first.0 && n <= appended,
        "{n}: {info:?}"
    );
    info.end
}

/// Follows on a task of its own until so many entries came.
fn follow(config: &Config, entries: u64) -> tokio::task::JoinHandle<State> {
    let config = config.clone();
    tokio::spawn(async move {
        let reader = config.reader().await.unwrap();
        let mut follow = reader.follow(None).await.unwrap();
        let mut state = State::default();
        while state.count < entries {
            if let FollowItem::Entry(entry) = follow.next().await.unwrap() {
                state.apply(entry.seq, &entry.bytes);
            }
        }
        state
    })
}

/// Also before the first segment can be seen, and right behind a take-over, when
/// no segment of the new epoch can.
#[test]
fn fc_8_followers_of_an_idle_primary_see_its_entries_in_time() {
    let store = store();
    let config = config(&store);
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let follower = follow(&config, 3 * 40);
        let mut count = 0;
        let mut journals = Vec::new();
        for run in 0..3 {
            let (state, journal) = serve(&config).await;
            assert_eq!(state.count, count);
            for n in 0..40 {
                journal.append(&entry((run, 1), n)).await.unwrap();
                count += 1;
                if n % 8 == 0 {
                    look(&config, count).await;
                }
                if n % 13 == 0 {
                    tokio::time::sleep(INTERVAL / 2).await;
                }
            }
            // Not a word more is said, and it is seen all the same.
            let began = Instant::now();
            while look(&config, count).await.0 < count {
                assert!(began.elapsed() < 20 * INTERVAL, "entries stay hidden");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            journals.push(journal); // taken over from, not closed
        }
        let state = tokio::time::timeout(Duration::from_secs(10), follower).await;
        assert_eq!(state.unwrap().unwrap().count, count);
        // An idle primary does not roll for ever.
        let journal = journals.pop().unwrap();
        tokio::time::sleep(3 * INTERVAL).await;
        let rolls = journal.counts().rolls;
        tokio::time::sleep(5 * INTERVAL).await;
        assert_eq!(journal.counts().rolls, rolls);
        assert!(rolls >= 1);
        journal.close().await.unwrap();
        assert_eq!(look(&config, count).await, SeqNo(count));
        let reader = config.reader().await.unwrap();
        let report = reader.verify(|_, _| {}).await.unwrap();
        assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");
    });
}

#[test]
fn fc_8_followers_of_a_busy_primary_see_its_entries_in_time() {
    let store = store();
    let config = config(&store);
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let (_, journal) = serve(&config).await;
        let follower = follow(&config, 100);
        let end = Instant::now() + 20 * INTERVAL;
        let mut n = 0;
        while Instant::now() < end && !follower.is_finished() {
            journal.append(&entry((1, 1), n)).await.unwrap();
            n += 1;
        }
        assert!(
            follower.is_finished(),
            "nothing was seen while entries came"
        );
        let long: Vec<_> = (0..30).map(|n| entry((1, LONG), n)).collect();
        for bytes in &long {
            journal.append(bytes).await.unwrap();
        }
        let error = look(&config, n + 30).await;
        assert!(error.0 > 0);
        journal.close().await.unwrap();
        assert_eq!(look(&config, n + 30).await, SeqNo(n + 30));
    });
}

/// Follows from `from` on until the state has so many entries; says how many
/// checkpoints it was given.
fn follow_state(config: &Config, from: Option<SeqNo>, count: u64) -> tokio::task::JoinHandle<u64> {
    let config = config.clone();
    tokio::spawn(async move {
        let reader = config.reader().await.unwrap();
        let mut follow = reader.follow(from).await.unwrap();
        let mut state = State::default();
        let mut checkpoints = 0;
        while state.count < count {
            match follow.next().await.unwrap() {
                FollowItem::Entry(entry) => state.apply(entry.seq, &entry.bytes),
                FollowItem::CaughtUp => {}
                FollowItem::Checkpoint(mut entries) => {
                    checkpoints += 1;
                    let mut all = Vec::new();
                    while let Some(bytes) = entries.next().await.unwrap() {
                        all.push(bytes.to_vec());
                    }
                    state.replace(&all, entries.next_seq());
                }
            }
        }
        checkpoints
    })
}

/// A reader that is not shown open logs, of a primary that is and so seals none: it
/// has what the checkpoints hold, whatever was trimmed before it could be seen.
#[test]
fn fc_8_a_reader_that_sees_less_than_the_primary_has_its_checkpoints() {
    let store = Store::memory(Registry::new().with(Hiding::from_readers()));
    let mut config = config(&store);
    config.keep_checkpoints = 1;
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let followers = [None, Some(SeqNo(0))].map(|from| follow_state(&config, from, 60));
        let mut journals = Vec::new();
        for run in 0..3 {
            let (mut state, journal) = serve(&config).await;
            let before = look(&config, state.count).await;
            // All before a take-over is seen, but for what was carried over.
            assert!(before.0 + 1 >= state.count, "{before} of {}", state.count);
            let mut n = 0;
            while n < 20 || journal.counts().rolls < 2 {
                let bytes = entry((run, LONG), n);
                let receipt = journal.append(&bytes).await.unwrap();
                state.apply(receipt.seq, &bytes);
                n += 1;
            }
            assert_eq!(look(&config, state.count).await, before);
            // The epoch before, and the first segments of this one.
            assert!(checkpoint(&journal, &state).await >= 2);
            journal.append(&entry((run, 1), 0)).await.unwrap();
            let seen = look(&config, state.count + 1).await;
            assert_eq!(seen.0, state.count, "what the checkpoint covers is seen");
            let late = follow_state(&config, None, state.count);
            let late = tokio::time::timeout(Duration::from_secs(10), late).await;
            assert_eq!(late.unwrap().unwrap(), 1);
            journals.push(journal); // taken over from, not closed
        }
        for follower in followers {
            let done = tokio::time::timeout(Duration::from_secs(10), follower).await;
            assert!(done.unwrap().unwrap() > 0);
        }
    });
}
