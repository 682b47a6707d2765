//! What is done on a store, and what must hold.
//!
//! | module | is about |
//! | --- | --- |
//! | `basics` | format, append from 64 tasks, roll, recover; take-over; checkpoint, trim, follow: in one process |
//! | `kill` | kill -9 of a writer |
//! | `zombie` | a primary that is stopped, superseded and woken |
//! | `follow` | a follower in another process |
//! | `mount` | writers in a machine that mounts the export of a server; its power cuts |
//! | `outage` | a server that dies, and one that hangs |

pub mod basics;
pub mod follow;
pub mod kill;
pub mod mount;
pub mod outage;
pub mod zombie;

use crate::state::State;
use flushproof::{Config, ErrorKind, Item, Journal, Recovery, Verdict};
use std::collections::BTreeMap;

/// Becomes a candidate; waits for a journal of this process that was dropped and is just ending.
pub async fn candidate(config: &Config) -> Recovery {
    loop {
        match config.primary().await {
            Err(e) if e.kind() == ErrorKind::Busy => {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            other => return other.unwrap(),
        }
    }
}

/// Becomes primary: what was recovered, and the journal.
pub async fn serve(config: &Config) -> (State, Journal) {
    let mut recovery = candidate(config).await;
    let state = State::recover(&mut recovery).await.unwrap();
    (state, recovery.start().await.unwrap())
}

/// Every entry that is there, by number; nothing is damaged.
pub async fn entries(config: &Config) -> BTreeMap<u64, ((u64, u64), u64)> {
    let reader = config.reader().await.unwrap();
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert!(report.verdict() < Verdict::Corrupt, "{report:?}");
    let mut replay = reader.entries(None).await.unwrap();
    let mut found = BTreeMap::new();
    while let Some(item) = replay.next().await.unwrap() {
        if let Item::Entry(entry) = item {
            found.insert(entry.seq.0, crate::state::who(&entry.bytes));
        }
    }
    found
}
