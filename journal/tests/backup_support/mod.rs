//! What the tests of backups share: journals with known entries.
#![allow(dead_code)] // every test binary uses a part of it
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof::{Config, Item, Journal, Progress, SeqNo, StoreUri};
use std::path::Path;

/// Entry `n`: its number in words that pack well, of several lengths.
pub fn entry(n: u64) -> Vec<u8> {
    format!("create /a/{n}/{}", "x".repeat((n % 50) as usize)).into_bytes()
}

/// Opens the journal as its primary, whatever it holds.
pub async fn primary(config: &Config) -> Journal {
    let mut recovery = config.primary().await.unwrap();
    while let Some(item) = recovery.next().await.unwrap() {
        if let Item::Checkpoint(mut state) = item {
            while state.next().await.unwrap().is_some() {}
        }
    }
    recovery.start().await.unwrap()
}

/// Appends entries up to `end`, some at a time.
pub async fn append_to(journal: &Journal, end: u64) {
    let from = journal.accepted().0;
    let mut n = from;
    while n < end {
        let upto = (n + 7).min(end);
        let entries: Vec<_> = (n..upto).map(entry).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        journal.append_batch(&entries).await.unwrap();
        n = upto;
    }
}

/// A checkpoint at the end whose entries say what it stands for.
pub async fn checkpoint(journal: &Journal) {
    let at = journal.accepted();
    let mut writer = journal.checkpoint(at).await.unwrap();
    for entry in state(at.0) {
        writer.entry(&entry).await.unwrap();
    }
    writer.commit().await.unwrap();
}

/// The state of all entries below `at`, as checkpoints of these tests have it.
pub fn state(at: u64) -> Vec<Vec<u8>> {
    (0..at.min(100))
        .map(|n| format!("state {n} of {at}").into_bytes())
        .collect()
}

/// What a journal replays: the checkpoint's number and entries, and the entries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub checkpoint: Option<u64>,
    pub state: Vec<Vec<u8>>,
    pub entries: Vec<(u64, Vec<u8>)>,
}

/// Replays a journal by becoming its primary, and closes it.
pub async fn held(config: &Config) -> Held {
    let mut held = Held::default();
    let mut recovery = config.primary().await.unwrap();
    while let Some(item) = recovery.next().await.unwrap() {
        match item {
            Item::Checkpoint(mut state) => {
                held.checkpoint = Some(state.next_seq().0);
                while let Some(entry) = state.next().await.unwrap() {
                    held.state.push(entry.to_vec());
                }
            }
            Item::Entry(e) => held.entries.push((e.seq.0, e.bytes.to_vec())),
        }
    }
    recovery.start().await.unwrap().close().await.unwrap();
    held
}

/// What must be held after entries up to `end` with a checkpoint at `base`.
pub fn expected(base: Option<u64>, end: u64) -> Held {
    Held {
        checkpoint: base,
        state: base.map(state).unwrap_or_default(),
        entries: (base.unwrap_or(0)..end).map(|n| (n, entry(n))).collect(),
    }
}

/// The same configuration of another folder.
pub fn at(config: &Config, folder: &Path) -> Config {
    let mut other = config.clone();
    other.folder = StoreUri::parse(folder.to_str().unwrap()).unwrap();
    other
}

/// Says nothing.
pub fn quiet(_: Progress) {}

pub fn uri(text: &str) -> StoreUri {
    StoreUri::parse(text).unwrap()
}

pub fn seq(n: u64) -> SeqNo {
    SeqNo(n)
}
