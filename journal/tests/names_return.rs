//! Deleted names that come back after a power cut, whole or without their bytes, as
//! a store's may whose deletions can't be made durable (NFS). Nothing that was
//! acknowledged is lost, and nobody says "corrupt". Each name alone, all of them,
//! and mixtures drawn at random.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, FollowItem, Journal, SeqNo, Verdict};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::scenarios::serve;
use support::state::{LONG, State, entry};
use support::{Random, copy_folder, files, in_memory, memory_folder, rounds, runtime};

/// A journal behind a trim, and the names that the trim deleted.
struct Trimmed {
    before: tempfile::TempDir,
    after: tempfile::TempDir,
    /// Below the folder.
    deleted: Vec<PathBuf>,
    state: State,
}

/// How a deleted name is there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Gone,
    Whole,
    Empty,
}

fn config(folder: &Path) -> Config {
    let mut config = in_memory(folder);
    config.keep_checkpoints = 1;
    config.take_over = true;
    config
}

async fn append(journal: &Journal, state: &mut State, run: u64, entries: u64) {
    for _ in 0..entries {
        let n = state.next.get(&(run, LONG)).copied().unwrap_or(0);
        let bytes = entry((run, LONG), n);
        let receipt = journal.append(&bytes).await.unwrap();
        state.apply(receipt.seq, &bytes);
    }
}

async fn checkpoint(journal: &Journal, state: &State) {
    let mut writer = journal.checkpoint(SeqNo(state.count)).await.unwrap();
    for entry in state.entries() {
        writer.entry(&entry).await.unwrap();
    }
    writer.commit().await.unwrap();
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let all = files(folder).into_iter();
    all.map(|f| f.strip_prefix(folder).unwrap().to_owned())
        .collect()
}

impl Trimmed {
    /// Epoch 1 has rolled and has a checkpoint; all of it is trimmed by epoch 2,
    /// whose last segment has no entry: the one before it is trimmed too.
    async fn make() -> Trimmed {
        let folder = memory_folder();
        let (before, after) = (memory_folder(), memory_folder());
        let config = config(folder.path());
        config.format(false).await.unwrap();
        let (mut state, first) = serve(&config).await;
        append(&first, &mut state, 1, 8).await;
        checkpoint(&first, &state).await;
        append(&first, &mut state, 1, 8).await;
        first.close().await.unwrap();
        let (_, second) = serve(&config).await;
        append(&second, &mut state, 2, 3).await;
        // A full segment that is idle rolls: the next one has a header only.
        loop {
            let rolls = second.counts().rolls;
            append(&second, &mut state, 2, 1).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
            if second.counts().rolls > rolls && has_no_entry(&config).await {
                break;
            }
        }
        copy_folder(folder.path(), before.path());
        checkpoint(&second, &state).await;
        copy_folder(folder.path(), after.path());
        let left = names(after.path());
        let mut deleted = names(before.path());
        deleted.retain(|name| !left.contains(name));
        Trimmed {
            before,
            after,
            deleted,
            state,
        }
    }

    /// The journal with these of the deleted names there again.
    fn with(&self, back: &[Back]) -> tempfile::TempDir {
        let folder = memory_folder();
        copy_folder(self.after.path(), folder.path());
        for (name, back) in self.deleted.iter().zip(back) {
            let to = folder.path().join(name);
            match back {
                Back::Gone => {}
                Back::Empty => std::fs::write(to, b"").unwrap(),
                Back::Whole => drop(std::fs::copy(self.before.path().join(name), to).unwrap()),
            }
        }
        folder
    }

    /// Looks, follows, recovers, goes on and trims again.
    async fn check(&self, back: &[Back]) {
        let folder = self.with(back);
        let config = config(folder.path());
        let case: Vec<_> = self.deleted.iter().zip(back).collect();
        look(&config, SeqNo(self.state.count), &format!("{case:?}")).await;
        assert_eq!(follow(&config, None, self.state.count).await, self.state);
        follow(&config, Some(SeqNo(0)), self.state.count).await;
        let (mut state, journal) = serve(&config).await;
        assert_eq!(state, self.state, "{case:?}");
        append(&journal, &mut state, 3, 12).await;
        checkpoint(&journal, &state).await;
        append(&journal, &mut state, 3, 1).await;
        journal.close().await.unwrap();
        look(&config, SeqNo(state.count), &format!("{case:?}")).await;
        let (found, journal) = serve(&config).await;
        assert_eq!(found, state, "{case:?}");
        journal.close().await.unwrap();
    }
}

async fn has_no_entry(config: &Config) -> bool {
    let info = config.reader().await.unwrap().info().await.unwrap();
    let mut used = info.segments.iter().filter_map(|s| s.entries);
    used.next_back()
        .is_some_and(|range| range.first == range.end)
}

async fn look(config: &Config, end: SeqNo, case: &str) {
    let reader = config.reader().await.unwrap();
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert!(report.verdict() < Verdict::Corrupt, "{case}: {report:?}");
    let info = reader.info().await.unwrap();
    assert_eq!((info.end, info.damage), (end, None), "{case}");
    let mut entries = reader.entries(None).await.unwrap();
    while entries.next().await.unwrap().is_some() {}
    assert_eq!(entries.next_seq(), end, "{case}");
}

/// Follows to the end; the state is what its entries and checkpoints make it.
async fn follow(config: &Config, from: Option<SeqNo>, count: u64) -> State {
    let reader = config.reader().await.unwrap();
    let mut follow = reader.follow(from).await.unwrap();
    let mut state = State::default();
    while state.count < count {
        match follow.next().await.unwrap() {
            FollowItem::Entry(entry) => state.apply(entry.seq, &entry.bytes),
            FollowItem::CaughtUp => {}
            FollowItem::Checkpoint(mut entries) => {
                let mut all = Vec::new();
                while let Some(bytes) = entries.next().await.unwrap() {
                    all.push(bytes.to_vec());
                }
                state.replace(&all, entries.next_seq());
            }
        }
    }
    state
}

#[test]
fn fc_7_deleted_names_that_come_back_are_no_damage_and_lose_nothing() {
    let mut random = Random::new("names that come back");
    runtime().block_on(async {
        let trimmed = Trimmed::make().await;
        let n = trimmed.deleted.len();
        for folder in ["start", "epoch", "checkpoint", "log"] {
            let of_folder = trimmed.deleted.iter().filter(|d| d.starts_with(folder));
            let wanted = if folder == "log" { 4 } else { 1 };
            assert!(of_folder.count() >= wanted, "{:?}", trimmed.deleted);
        }
        trimmed.check(&vec![Back::Gone; n]).await;
        for back in [Back::Whole, Back::Empty] {
            trimmed.check(&vec![back; n]).await;
            for at in 0..n {
                let mut one = vec![Back::Gone; n];
                one[at] = back;
                trimmed.check(&one).await;
            }
        }
        let mixtures = rounds("FLUSHPROOF_ROUNDS", 40);
        for _ in 0..mixtures {
            let kinds = [Back::Gone, Back::Whole, Back::Empty];
            let drawn: Vec<_> = (0..n).map(|_| kinds[random.below(3) as usize]).collect();
            trimmed.check(&drawn).await;
        }
        println!("{n} deleted names, each alone twice, all, and {mixtures} mixtures");
    });
}
