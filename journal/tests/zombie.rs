//! A stopped and woken primary (FC-9) on a local disk, by the scenario of every
//! store (`flushproof-store-tests`); and two primaries in one folder (FC-11).
//!
//! `FLUSHPROOF_ZOMBIE_ROUNDS` sets how many primaries are stopped.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::ErrorKind;
use nix::sys::signal::Signal;
use support::child::{Child, Role};
use support::scenarios::zombie::stop_and_wake;
use support::state::{State, entry};
use support::{access, disk_folder, local, memory_folder, registry, rounds, runtime};

/// Not a test by itself: the writer that the others stop.
#[test]
fn child() {
    support::child::main(registry());
}

#[test]
fn fc_9_a_stopped_and_woken_primary_on_a_disk_acknowledges_nothing_more() {
    let folder = disk_folder();
    stop_and_wake(
        &access(folder.path()),
        rounds("FLUSHPROOF_ZOMBIE_ROUNDS", 12),
    );
}

#[test]
fn fc_9_a_stopped_and_woken_primary_in_memory_acknowledges_nothing_more() {
    let folder = memory_folder();
    stop_and_wake(
        &access(folder.path()),
        rounds("FLUSHPROOF_ZOMBIE_ROUNDS", 12),
    );
}

#[test]
fn fc_11_a_second_primary_in_the_folder_hears_the_pid_of_the_first() {
    let folder = disk_folder();
    let config = local(folder.path());
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let mut first = Child::spawn(&access(folder.path()), 1, Role::Write);
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
