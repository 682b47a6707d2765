//! The engine on S3: SeaweedFS.
#![allow(missing_docs)]

use flushproof::Registry;
use flushproof_backend_object::ObjectFactory;
use flushproof_store_tests::{ServerPlace, Store, server};
use flushproof_testbed::s3::S3;
use std::time::Duration;

fn store() -> Store {
    let registry = Registry::new().with(ObjectFactory);
    let place = ServerPlace {
        server: &S3,
        killed: &["weed"],
        stopped: &["weed"],
        replicated: false,
        goes_on: Duration::from_secs(3),
    };
    Store {
        slow: true,
        ..Store::server(registry, place)
    }
}

server!(store());
