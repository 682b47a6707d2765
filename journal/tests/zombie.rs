//! A stopped and woken primary (FC-9), and two primaries in one folder (FC-11).
//!
//! `FLUSHPROOF_ZOMBIE_ROUNDS` sets how many primaries are stopped.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, ErrorKind, Item, Verdict};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use support::child::Child;
use support::state::{State, entry, who};
use support::{Random, disk_folder, local, memory_folder, rounds, runtime};

/// Not a test by itself: the writer that the others stop.
#[test]
fn child() {
    support::child::main();
}

/// All entries that the folder holds, by number.
async fn entries(config: &Config) -> BTreeMap<u64, ((u64, u64), u64)> {
    let reader = config.reader().await.unwrap();
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert!(report.verdict() < Verdict::Corrupt, "{report:?}");
    let mut replay = reader.entries(None).await.unwrap();
    let mut found = BTreeMap::new();
    while let Some(item) = replay.next().await.unwrap() {
        if let Item::Entry(entry) = item {
            found.insert(entry.seq.0, who(&entry.bytes));
        }
    }
    found
}

/// Stops a primary at a random point, takes over, appends, wakes it.
fn stop_and_wake(folder: &Path, rounds: u64) {
    let mut random = Random::new("SIGSTOP");
    let mut config = local(folder);
    config.take_over = true;
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let (mut acks, mut late) = (0, 0);
    for round in 0..rounds {
        // In every second round it would take over from itself if it could.
        let mut zombie = Child::spawn(folder, round, round % 2 == 1);
        zombie.wait_for("serving");
        std::thread::sleep(random.micros(40_000));
        zombie.signal(Signal::SIGSTOP);
        let (state, journal) = runtime.block_on(async {
            let mut recovery = config.primary().await.unwrap();
            let state = State::recover(&mut recovery).await.unwrap();
            let early = random.below(3) == 0;
            if early {
                zombie.signal(Signal::SIGCONT);
            }
            let journal = recovery.start().await.unwrap();
            for n in 0..3 {
                let receipt = journal.append(&entry((round, 100), n)).await.unwrap();
                assert_eq!(receipt.seq.0, state.count + n);
            }
            (state, journal)
        });
        let before = zombie.acked().len();
        zombie.signal(Signal::SIGCONT);
        assert!(zombie.end().success());
        let acked = zombie.acked();
        for ack in &acked {
            assert!(
                state.has(ack.writer, ack.n),
                "round {round}: {ack:?} was acknowledged, but the successor does not have it"
            );
            assert!(ack.seq < state.count, "{ack:?} lies behind the take-over");
        }
        let errors = zombie.said("error");
        assert!(!errors.is_empty());
        for error in &errors {
            let known = ["fenced", "closed", "not-found"].map(|kind| error.starts_with(kind));
            assert!(known.contains(&true), "round {round}: {error}");
        }
        let fenced = errors.iter().filter(|e| e.starts_with("fenced")).count();
        assert!(
            fenced >= 6,
            "round {round}: not all heard of the fence: {errors:?}"
        );
        acks += acked.len();
        late += acked.len() - before;
        runtime.block_on(async {
            journal.append(&entry((round, 100), 3)).await.unwrap();
            let found = entries(&config).await;
            for ack in &acked {
                let is = found.get(&ack.seq);
                assert!(
                    is.is_none_or(|is| *is == (ack.writer, ack.n)),
                    "{ack:?}: {is:?}"
                );
            }
            if round % 3 == 0 {
                journal.close().await.unwrap();
            }
        });
    }
    println!("{rounds} primaries stopped and woken, {acks} acks, {late} heard after the wake");
}

#[test]
fn fc_9_a_stopped_and_woken_primary_on_a_disk_acknowledges_nothing_more() {
    let folder = disk_folder();
    stop_and_wake(folder.path(), rounds("FLUSHPROOF_ZOMBIE_ROUNDS", 12));
}

#[test]
fn fc_9_a_stopped_and_woken_primary_in_memory_acknowledges_nothing_more() {
    let folder = memory_folder();
    stop_and_wake(folder.path(), rounds("FLUSHPROOF_ZOMBIE_ROUNDS", 12));
}

#[test]
fn fc_11_a_second_primary_in_the_folder_hears_the_pid_of_the_first() {
    let folder = disk_folder();
    let config = local(folder.path());
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let mut first = Child::spawn(folder.path(), 1, false);
    first.wait_for("serving");
    for _ in 0..3 {
        let error = runtime.block_on(config.primary()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("pid {} ", first.pid())), "{text}");
        assert!(text.contains("--take-over"), "{text}");
    }
    // Asking did the first one no harm.
    let before = first.acked().len();
    let began = std::time::Instant::now();
    while first.acked().len() < before + 20 && began.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(
        first.acked().len() >= before + 20,
        "{:?}",
        first.said("error")
    );
    // A stopped one is alive, a killed one is not.
    first.signal(Signal::SIGSTOP);
    let error = runtime.block_on(config.primary()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    first.kill();
    runtime.block_on(async {
        let mut recovery = config.primary().await.unwrap();
        let state = State::recover(&mut recovery).await.unwrap();
        for ack in first.acked() {
            assert!(state.has(ack.writer, ack.n), "{ack:?}");
        }
        let journal = recovery.start().await.unwrap();
        // Also between two handles of one process.
        let error = config.primary().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        let pid = format!("pid {} ", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
        journal.append(&entry((2, 0), 0)).await.unwrap();
        journal.close().await.unwrap();
        drop(config.primary().await.unwrap());
    });
}
