//! The same scenarios for the engine on every store.
//!
//! A test binary says which store it is about and has all of them:
//!
//! ```
//! use flushproof::Registry;
//! use flushproof_store_tests::{Store, one_process};
//!
//! fn store() -> Store {
//!     Store::memory(Registry::new())
//! }
//! one_process!(store());
//! # fn main() {}
//! ```
//!
//! `FLUSHPROOF_ROUNDS`, `FLUSHPROOF_ZOMBIE_ROUNDS` and `FLUSHPROOF_SERVER_KILLS` set how many writers are
//! killed, how many primaries are stopped and woken, and how often a server is killed. What came of it is
//! added to the file that `FLUSHPROOF_FIGURES` names.
//!
//! | module | is about |
//! | --- | --- |
//! | `store` | what differs between stores: [`Store`] |
//! | `access` | how a journal is opened, in this process and in others |
//! | `credentials` | what a server's environment says, as options |
//! | `child` | a writer or a follower in a process of its own |
//! | `state` | entries that prove themselves, and the state they make |
//! | `scenarios` | what is done, and what must hold |
//! | `figures` | what the long scenarios did, for a table |
//! | `turns` | which scenarios may run at the same time |
//! | `random`, `runtime` | random numbers that can be had again; a runtime |

#![warn(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that can't go on must fail

mod access;
pub mod child;
mod credentials;
mod figures;
mod random;
mod runtime;
pub mod scenarios;
pub mod state;
mod store;
pub mod turns;

pub use access::Access;
pub use random::Random;
pub use runtime::{Runtime, runtime};
pub use store::{Place, Root, ServerPlace, Store};

/// How many rounds: the variable's value, or the default.
pub fn rounds(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |n| n.parse().unwrap())
}

/// The scenarios that need one process only.
#[macro_export]
macro_rules! one_process {
    ($store:expr) => {
        #[test]
        fn entries_of_64_tasks_roll_and_are_recovered() {
            let _turn = $crate::turns::beside_others();
            $crate::scenarios::basics::append_roll_recover(&$store);
        }

        #[test]
        fn fc_9_a_take_over_fences_the_old_primary() {
            let _turn = $crate::turns::beside_others();
            $crate::scenarios::basics::take_over(&$store);
        }

        #[test]
        fn a_checkpoint_replaces_segments_and_followers_load_it() {
            let _turn = $crate::turns::beside_others();
            $crate::scenarios::basics::checkpoint_and_trim(&$store);
        }
    };
}

/// All scenarios that need no server, for stores that several processes share.
#[macro_export]
macro_rules! processes {
    ($store:expr) => {
        $crate::one_process!($store);

        /// Not a test by itself: the process that the others start, kill and stop.
        #[test]
        fn child() {
            $crate::child::main($store.registry);
        }

        #[test]
        fn fc_1_kill_9_of_a_writer_loses_no_acknowledged_entry() {
            let _turn = $crate::turns::beside_others();
            let rounds = $crate::rounds("FLUSHPROOF_ROUNDS", 5);
            $crate::scenarios::kill::kill_writers(&$store.fresh().access, rounds);
        }

        #[test]
        fn fc_9_a_stopped_and_woken_primary_acknowledges_nothing_more() {
            let _turn = $crate::turns::beside_others();
            let rounds = $crate::rounds("FLUSHPROOF_ZOMBIE_ROUNDS", 5);
            $crate::scenarios::zombie::stop_and_wake(&$store.fresh().access, rounds);
        }

        #[test]
        fn fc_8_another_process_follows() {
            let _turn = $crate::turns::beside_others();
            $crate::scenarios::follow::follow_elsewhere(&$store);
        }
    };
}

/// All scenarios, for stores on a server.
#[macro_export]
macro_rules! server {
    ($store:expr) => {
        $crate::processes!($store);
        $crate::hanging!($store);

        #[test]
        fn a_killed_server_fails_no_append_when_reopen_is_set() {
            let _turn = $crate::turns::alone();
            let kills = $crate::rounds("FLUSHPROOF_SERVER_KILLS", 5);
            $crate::scenarios::outage::kill_server(&$store, kills);
        }
    };
}

/// The scenario of a server that hangs.
#[macro_export]
macro_rules! hanging {
    ($store:expr) => {
        #[test]
        fn fc_12_a_hung_server_is_an_error_within_the_deadline() {
            let _turn = $crate::turns::alone();
            $crate::scenarios::outage::hang_server(&$store);
        }
    };
}
