//! Entries that prove themselves, and the state that they make.
//!
//! An entry says which run of which writer made it and its place in that
//! writer's row, followed by bytes that are computed from these. So a foreign,
//! torn, doubled, lost or displaced entry shows when it is applied.

use crate::Random;
use flushproof::{Item, Recovery, Result, SeqNo};
use std::collections::BTreeMap;

/// Which writer: a run of a process, and a task in it.
pub type Writer = (u64, u64);

/// A task whose entries are long, to fill segments.
pub const LONG: u64 = 33;

/// The bytes of a writer's `n`th entry.
pub fn entry(writer: Writer, n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [writer.0, writer.1, n] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let mut random = Random::seeded(writer.0 ^ (writer.1 << 32) ^ n.rotate_left(17));
    let len = match random.below(64) {
        _ if writer.1 == LONG => 10_000,
        0 => random.below(20_000),
        _ => random.below(300),
    };
    bytes.extend((0..len).map(|_| random.number() as u8));
    bytes
}

fn numbers(bytes: &[u8]) -> [u64; 3] {
    assert!(bytes.len() >= 24, "foreign bytes: {bytes:?}");
    [0, 8, 16].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()))
}

/// Who wrote an entry, and its place in the row.
pub fn who(bytes: &[u8]) -> (Writer, u64) {
    let [run, task, n] = numbers(bytes);
    assert!(entry((run, task), n) == bytes, "foreign bytes: {bytes:?}");
    ((run, task), n)
}

/// How many entries of each writer were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The number of the next entry of each writer.
    pub next: BTreeMap<Writer, u64>,
    /// How many entries made it: the next sequence number.
    pub count: u64,
}

impl State {
    /// Applies the entry with the number `seq`.
    pub fn apply(&mut self, seq: SeqNo, bytes: &[u8]) {
        assert_eq!(seq.0, self.count, "an entry is missing or doubled");
        let (writer, n) = who(bytes);
        let next = self.next.entry(writer).or_default();
        assert_eq!(n, *next, "the row of writer {writer:?} at {seq}");
        *next += 1;
        self.count += 1;
    }

    /// Makes the state hold what a checkpoint's entries say.
    pub fn replace(&mut self, entries: &[Vec<u8>], next_seq: SeqNo) {
        self.next.clear();
        for bytes in entries {
            let [run, task, next] = numbers(bytes);
            self.next.insert((run, task), next);
        }
        self.count = next_seq.0;
        assert_eq!(self.next.values().sum::<u64>(), self.count, "checkpoint");
    }

    /// The entries of a checkpoint.
    pub fn entries(&self) -> impl Iterator<Item = Vec<u8>> {
        self.next.iter().map(|((run, task), next)| {
            let numbers = [run, task, next].map(|n| n.to_le_bytes());
            numbers.concat()
        })
    }

    /// Whether a writer's `n`th entry is in it.
    pub fn has(&self, writer: Writer, n: u64) -> bool {
        self.next.get(&writer).is_some_and(|next| *next > n)
    }

    /// Reads a recovery to its end.
    pub async fn recover(recovery: &mut Recovery) -> Result<State> {
        let mut state = State::default();
        while let Some(item) = recovery.next().await? {
            match item {
                Item::Entry(entry) => state.apply(entry.seq, &entry.bytes),
                Item::Checkpoint(mut checkpoint) => {
                    let mut entries = Vec::new();
                    while let Some(bytes) = checkpoint.next().await? {
                        entries.push(bytes.to_vec());
                    }
                    state.replace(&entries, checkpoint.next_seq());
                }
            }
        }
        assert_eq!(SeqNo(state.count), recovery.summary().end);
        Ok(state)
    }
}
