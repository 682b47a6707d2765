//! kill -9 of a writer under load, at random points: no acknowledged entry is
//! lost, the order is kept, no byte is foreign (FC-1, FC-2, FC-5, FC-7). Segments
//! of 64 KiB roll all the time, checkpoints trim behind the writers.
//!
//! `FLUSHPROOF_ROUNDS` sets how many writers are killed.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, ErrorKind, SeqNo, Verdict};
use std::collections::BTreeMap;
use std::path::Path;
use support::child::{BATCH, BATCHER, Child};
use support::state::{State, Writer, entry};
use support::{Random, disk_folder, local, memory_folder, rounds, runtime};

/// Not a test by itself: the writer that the others kill.
#[test]
fn child() {
    support::child::main();
}

/// What all writers were told to be durable.
#[derive(Default)]
struct Acknowledged {
    /// Of each writer the entry that was acknowledged last.
    last: BTreeMap<Writer, u64>,
    by_seq: BTreeMap<u64, (Writer, u64)>,
}

impl Acknowledged {
    fn add(&mut self, child: &Child) {
        for acked in child.acked() {
            let last = self.last.entry(acked.writer).or_insert(acked.n);
            *last = acked.n.max(*last);
            let twice = self.by_seq.insert(acked.seq, (acked.writer, acked.n));
            assert_eq!(twice, None, "number {} was acknowledged twice", acked.seq);
        }
    }

    fn check(&self, state: &State) {
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

async fn check_in_place(config: &Config, acknowledged: &Acknowledged) {
    let reader = config.reader().await.unwrap();
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert!(report.verdict() < Verdict::Corrupt, "{report:?}");
    let mut entries = reader.entries(None).await.unwrap();
    while let Some(item) = entries.next().await.unwrap() {
        let flushproof::Item::Entry(entry) = item else {
            panic!("{item:?}")
        };
        let is = support::state::who(&entry.bytes);
        if let Some(told) = acknowledged.by_seq.get(&entry.seq.0) {
            assert_eq!(is, *told, "entry {}", entry.seq);
        }
    }
}

/// Reopens as a primary; goes on serving for one entry in every second round.
async fn check_as_primary(config: &Config, acknowledged: &Acknowledged, round: u64) {
    let mut recovery = loop {
        match config.primary().await {
            // The journal that was dropped before is just ending.
            Err(e) if e.kind() == ErrorKind::Busy => {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            other => break other.unwrap(),
        }
    };
    let state = State::recover(&mut recovery).await.unwrap();
    acknowledged.check(&state);
    if round % 2 == 0 {
        return; // a candidate that never serves
    }
    let journal = recovery.start().await.unwrap();
    let receipt = journal.append(&entry((round, 100), 0)).await.unwrap();
    assert_eq!(receipt.seq, SeqNo(state.count));
    if round % 4 == 1 {
        journal.close().await.unwrap();
    }
}

fn kill_writers(folder: &Path, rounds: u64) {
    let mut random = Random::new("kill -9");
    let config = local(folder);
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let mut acknowledged = Acknowledged::default();
    let (mut checkpoints, mut trimmed) = (0, 0);
    for round in 0..rounds {
        let mut child = Child::spawn(folder, round, round % 3 == 0);
        if round % 5 == 4 {
            // Perhaps while it recovers.
            std::thread::sleep(random.micros(120_000));
        } else {
            child.wait_for("serving");
            std::thread::sleep(random.micros(150_000));
        }
        child.kill();
        acknowledged.add(&child);
        let made = child.said("checkpoint");
        checkpoints += made.len();
        trimmed += made.iter().filter(|m| !m.ends_with(" 0")).count();
        runtime.block_on(async {
            if round % 2 == 0 {
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
}

/// On a disk, by whichever method its probe chooses.
#[test]
fn fc_1_kill_9_of_a_writer_on_a_disk_loses_no_acknowledged_entry() {
    let folder = disk_folder();
    kill_writers(folder.path(), rounds("FLUSHPROOF_ROUNDS", 25));
}

/// In memory flushes take no time, so the kill hits everything else.
#[test]
fn fc_1_kill_9_of_a_writer_in_memory_loses_no_acknowledged_entry() {
    let folder = memory_folder();
    kill_writers(folder.path(), rounds("FLUSHPROOF_ROUNDS", 25));
}
