//! The engine on Azure Blob: Azurite.
#![allow(missing_docs)]

use flushproof::Registry;
use flushproof_backend_object::ObjectFactory;
use flushproof_store_tests::{ServerPlace, Store, hanging, processes};
use flushproof_testbed::azure::Azure;
use std::time::Duration;

fn store() -> Store {
    let registry = Registry::new().with(ObjectFactory);
    let place = ServerPlace {
        server: &Azure,
        // It loses its own names when it is killed.
        killed: &[],
        stopped: &["azurite"],
        replicated: false,
        goes_on: Duration::from_secs(3),
    };
    Store {
        slow: true,
        ..Store::server(registry, place)
    }
}

processes!(store());
hanging!(store());
