//! kill -9 of a writer under load, at random points: no acknowledged entry is
//! lost, the order is kept, no byte is foreign (FC-1, FC-2, FC-5, FC-7). Segments
//! of 64 KiB roll all the time, checkpoints trim behind the writers.

use super::{candidate, entries};
use crate::access::Access;
use crate::child::{Acked, BATCH, BATCHER, Child, Role};
use crate::state::{State, Writer, entry};
use crate::{Random, figures, runtime};
use flushproof::{Config, SeqNo};
use std::collections::BTreeMap;

/// What all writers were told to be durable.
#[derive(Default)]
pub(super) struct Acknowledged {
    /// Of each writer the entry that was acknowledged last.
    last: BTreeMap<Writer, u64>,
    pub by_seq: BTreeMap<u64, (Writer, u64)>,
}

impl Acknowledged {
    pub fn add(&mut self, acked: Vec<Acked>) {
        for acked in acked {
            let last = self.last.entry(acked.writer).or_insert(acked.n);
            *last = acked.n.max(*last);
            let twice = self.by_seq.insert(acked.seq, (acked.writer, acked.n));
            assert_eq!(twice, None, "number {} was acknowledged twice", acked.seq);
        }
    }

    pub fn check(&self, state: &State) {
        for (writer, n) in &self.last {
            assert!(
                state.has(*writer, *n),
                "entry {n} of writer {writer:?} was acknowledged and is lost; there are {:?}",
                state.next.get(writer)
            );
        }
        for ((run, task), next) in &state.next {
            assert!(
                *task != BATCHER || next % BATCH == 0,
                "a part of an atomic batch of run {run}: {next}"
            );
        }
    }
}

pub(super) async fn check_in_place(config: &Config, acknowledged: &Acknowledged) {
    for (seq, is) in entries(config).await {
        if let Some(told) = acknowledged.by_seq.get(&seq) {
            assert_eq!(is, *told, "entry {seq}");
        }
    }
}

/// Reopens as a primary; goes on serving for one entry in every second round.
async fn check_as_primary(config: &Config, acknowledged: &Acknowledged, round: u64) {
    let mut recovery = candidate(config).await;
    let state = State::recover(&mut recovery).await.unwrap();
    acknowledged.check(&state);
    if round.is_multiple_of(2) {
        return; // a candidate that never serves
    }
    let journal = recovery.start().await.unwrap();
    let receipt = journal.append(&entry((round, 100), 0)).await.unwrap();
    assert_eq!(receipt.seq, SeqNo(state.count));
    if round % 4 == 1 {
        journal.close().await.unwrap();
    }
}

/// Formats the place and kills `rounds` writers in it.
pub fn kill_writers(access: &Access, rounds: u64) {
    let mut random = Random::new("kill -9");
    let config = access.config();
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let mut acknowledged = Acknowledged::default();
    let (mut checkpoints, mut trimmed) = (0, 0);
    for round in 0..rounds {
        let role = match round % 3 {
            0 => Role::WriteAndReopen,
            _ => Role::Write,
        };
        let mut child = Child::spawn(access, round, role);
        if round % 5 == 4 {
            // Perhaps while it recovers.
            std::thread::sleep(random.micros(120_000));
        } else {
            child.wait_for("serving");
            std::thread::sleep(random.micros(150_000));
        }
        child.kill();
        acknowledged.add(child.acked());
        let made = child.said("checkpoint");
        checkpoints += made.len();
        trimmed += made.iter().filter(|m| !m.ends_with(" 0")).count();
        runtime.block_on(async {
            if round.is_multiple_of(2) {
                check_in_place(&config, &acknowledged).await;
            }
            if round % 3 != 2 {
                check_as_primary(&config, &acknowledged, round).await;
            }
        });
    }
    runtime.block_on(check_as_primary(&config, &acknowledged, 1_000_001));
    let entries = acknowledged.by_seq.len();
    println!(
        "{rounds} writers killed, {entries} acks, {checkpoints} checkpoints, {trimmed} of them \
         trimmed; none lost"
    );
    assert!(entries as u64 > rounds, "hardly anything was appended");
    assert!(rounds < 20 || trimmed > 0, "nothing was trimmed");
    figures::note(
        "kill -9 of a writer",
        "FLUSHPROOF_ROUNDS",
        rounds,
        &[
            ("acks", entries.to_string()),
            ("checkpoints", checkpoints.to_string()),
        ],
    );
}
