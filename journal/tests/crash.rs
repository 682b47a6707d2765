//! kill -9 of a writer under load on a local disk; the scenario is the same on
//! every store (`flushproof-store-tests`).
//!
//! `FLUSHPROOF_ROUNDS` sets how many writers are killed.

mod support;

use support::scenarios::kill::kill_writers;
use support::{access, disk_folder, memory_folder, registry, rounds};

/// Not a test by itself: the writer that the others kill.
#[test]
fn child() {
    support::child::main(registry());
}

/// On a disk, by whichever method its probe chooses.
#[test]
fn fc_1_kill_9_of_a_writer_on_a_disk_loses_no_acknowledged_entry() {
    let folder = disk_folder();
    kill_writers(&access(folder.path()), rounds("FLUSHPROOF_ROUNDS", 25));
}

/// In memory flushes take no time, so the kill hits everything else.
#[test]
fn fc_1_kill_9_of_a_writer_in_memory_loses_no_acknowledged_entry() {
    let folder = memory_folder();
    kill_writers(&access(folder.path()), rounds("FLUSHPROOF_ROUNDS", 25));
}
