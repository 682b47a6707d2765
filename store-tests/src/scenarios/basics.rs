//! Format, append from 64 tasks, roll, recover; take-over; checkpoint and trim.

use super::{entries, serve};
use crate::runtime;
use crate::state::{LONG, State, entry};
use crate::store::Store;
use flushproof::{Config, ErrorKind, FollowItem, Journal, SeqNo, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;

/// How many entries each of the 64 tasks appends.
fn each(store: &Store) -> u64 {
    if store.slow { 8 } else { 25 }
}

/// Appends `each` entries from each of 64 tasks; every number is given once.
async fn append_from_64(journal: &Journal, run: u64, each: u64) -> BTreeSet<SeqNo> {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let journal = journal.clone();
        tasks.spawn(async move {
            let mut given = Vec::new();
            for n in 0..each {
                let receipt = journal.append(&entry((run, task), n)).await.unwrap();
                given.push(receipt.seq);
            }
            assert!(given.is_sorted(), "{given:?}");
            given
        });
    }
    let all: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let given: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(given.len(), all.len(), "a number was given twice");
    given
}

/// Appends until the journal has rolled `rolls` times, whose answer takes as
/// long as the store takes to make the next log.
async fn roll(journal: &Journal, run: u64, rolls: u64) -> u64 {
    let mut n = 0;
    while journal.counts().rolls < rolls {
        journal.append(&entry((run, LONG), n)).await.unwrap();
        n += 1;
        assert!(n < 20_000, "it does not roll: {:?}", journal.counts());
    }
    n
}

/// Formats, appends from 64 tasks, rolls, closes, and recovers all of it.
pub fn append_roll_recover(store: &Store) {
    let root = store.fresh();
    let config = root.access.config();
    runtime().block_on(async {
        let error = config.reader().await.unwrap_err();
        let nothing = [ErrorKind::NotFound, ErrorKind::NotFormatted];
        assert!(nothing.contains(&error.kind()), "{error}");
        config.format(false).await.unwrap();
        let error = config.format(false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");

        let (state, journal) = serve(&config).await;
        assert_eq!(state.count, 0);
        let given = append_from_64(&journal, 1, each(store)).await;
        let expected: BTreeSet<_> = (0..64 * each(store)).map(SeqNo).collect();
        assert_eq!(given, expected);
        let long = roll(&journal, 2, 2).await;
        journal.close().await.unwrap();

        let (state, journal) = serve(&config).await;
        assert_eq!(state.count, 64 * each(store) + long);
        for task in 0..64 {
            assert_eq!(state.next.get(&(1, task)), Some(&each(store)));
        }
        let receipt = journal.append(&entry((3, 0), 0)).await.unwrap();
        assert_eq!(receipt.seq, SeqNo(state.count));
        journal.close().await.unwrap();
        check(&config, state.count + 1).await;
    });
}

/// What the ones who only look say of a closed journal with so many entries.
async fn check(config: &Config, count: u64) {
    let reader = config.reader().await.unwrap();
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");
    assert_eq!(report.entries, count);
    let info = reader.info().await.unwrap();
    assert_eq!((info.end, info.closed), (SeqNo(count), true), "{info:?}");
    assert_eq!(entries(config).await.len() as u64, count);
}

/// A primary that is not closed is taken over from: it is fenced, nothing is lost.
pub fn take_over(store: &Store) {
    let root = store.fresh();
    let mut config = root.access.config();
    config.take_over = true;
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let (_, first) = serve(&config).await;
        for n in 0..20 {
            first.append(&entry((1, 0), n)).await.unwrap();
        }
        let (state, second) = serve(&config).await;
        assert_eq!(state.count, 20);
        let error = first.append(&entry((1, 0), 20)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert_eq!(first.durable(), SeqNo(20));
        let receipt = second.append(&entry((2, 0), 0)).await.unwrap();
        assert!(receipt.seq >= SeqNo(20), "{receipt:?}");
        second.close().await.unwrap();
        let (state, third) = serve(&config).await;
        assert!(state.has((1, 0), 19) && state.has((2, 0), 0), "{state:?}");
        third.close().await.unwrap();
    });
}

/// Checkpoints a state; says how many segments were trimmed.
pub async fn checkpoint(journal: &Journal, state: &State) -> u64 {
    let mut writer = journal.checkpoint(SeqNo(state.count)).await.unwrap();
    for entry in state.entries() {
        writer.entry(&entry).await.unwrap();
    }
    writer.commit().await.unwrap().trimmed.segments
}

/// Checkpoints until segments are trimmed; recovery and a follower begin with one.
pub fn checkpoint_and_trim(store: &Store) {
    let root = store.fresh();
    let mut config = root.access.config();
    config.keep_checkpoints = 2;
    runtime().block_on(async {
        config.format(false).await.unwrap();
        let (mut state, journal) = serve(&config).await;
        let mut trimmed = 0;
        for run in 0..4 {
            let rolls = journal.counts().rolls + 2;
            let mut n = 0;
            while journal.counts().rolls < rolls {
                let bytes = entry((run, LONG), n);
                let receipt = journal.append(&bytes).await.unwrap();
                state.apply(receipt.seq, &bytes);
                n += 1;
            }
            trimmed += checkpoint(&journal, &state).await;
        }
        assert!(trimmed >= 4, "{trimmed} segments were trimmed");
        let bytes = entry((9, 0), 0);
        let receipt = journal.append(&bytes).await.unwrap();
        state.apply(receipt.seq, &bytes);
        followed(&config, &state).await;
        journal.close().await.unwrap();

        let (found, journal) = serve(&config).await;
        assert_eq!(found, state);
        journal.close().await.unwrap();
        let reader = config.reader().await.unwrap();
        let info = reader.info().await.unwrap();
        assert!(
            info.first > SeqNo(0) && info.checkpoints.len() == 2,
            "{info:?}"
        );
        let report = reader.verify(|_, _| {}).await.unwrap();
        assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");
    });
}

/// A follower from the beginning has the same state in a moment.
async fn followed(config: &Config, expected: &State) {
    let reader = config.reader().await.unwrap();
    let mut follow = reader.follow(None).await.unwrap();
    let mut state = State::default();
    let mut checkpoints = 0;
    let following = async {
        while state.count < expected.count {
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
    };
    tokio::time::timeout(Duration::from_secs(30), following)
        .await
        .unwrap();
    assert_eq!(&state, expected);
    assert_eq!(checkpoints, 1);
}
