//! The engine on a store in memory.
#![allow(missing_docs)]

use flushproof::Registry;
use flushproof_store_tests::{Store, one_process};

fn store() -> Store {
    Store::memory(Registry::new())
}

one_process!(store());
