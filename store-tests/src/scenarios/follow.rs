//! A follower in another process (FC-8).

use super::serve;
use crate::child::{Child, Role};
use crate::runtime;
use crate::state::entry;
use crate::store::Store;
use std::time::{Duration, Instant};

/// Entries reach a follower in another process in order and unchanged, also
/// behind a take-over; how long after the ack is printed.
pub fn follow_elsewhere(store: &Store) {
    let root = store.fresh();
    let mut config = root.access.config();
    config.take_over = true;
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let mut follower = Child::spawn(&root.access, 0, Role::Follow);
    follower.wait_for("following");
    let mut expected = Vec::new();
    let mut slowest = Duration::ZERO;
    for run in 1..4 {
        // Two of the three are taken over from, not closed.
        let (state, journal) = runtime.block_on(serve(&config));
        assert_eq!(state.count, expected.len() as u64);
        for n in 0..40 {
            let receipt = runtime
                .block_on(journal.append(&entry((run, 0), n)))
                .unwrap();
            let acknowledged = Instant::now();
            expected.push((receipt.seq.0, (run, 0), n));
            if n % 13 == 12 {
                wait_for(&mut follower, expected.len());
                slowest = slowest.max(acknowledged.elapsed());
            }
        }
        wait_for(&mut follower, expected.len());
        if run == 2 {
            runtime.block_on(journal.close()).unwrap();
        }
    }
    let followed = follower.followed();
    let followed: Vec<_> = followed.iter().map(|e| (e.seq, e.writer, e.n)).collect();
    assert_eq!(followed, expected);
    assert_eq!(follower.said("error"), Vec::<String>::new());
    println!(
        "{}: the slowest entry reached the follower {slowest:?} after its ack",
        store.name
    );
}

fn wait_for(follower: &mut Child, entries: usize) {
    let began = Instant::now();
    while follower.followed().len() < entries {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{} of {entries} entries came: {:?}",
            follower.followed().len(),
            follower.said("error")
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
