//! The engine on a local disk.
#![allow(missing_docs)]

use flushproof::Registry;
use flushproof_backend_local::LocalFactory;
use flushproof_store_tests::{Store, processes};

fn store() -> Store {
    let registry = Registry::new().with(LocalFactory);
    Store::folder(registry, env!("CARGO_TARGET_TMPDIR"))
}

processes!(store());
