//! The engine on an NFS server, nfs-ganesha.
#![allow(missing_docs)]

use flushproof::Registry;
use flushproof_backend_nfs::NfsFactory;
use flushproof_store_tests::{ServerPlace, Store, server};
use flushproof_testbed::nfs::NFS;
use std::time::Duration;

fn store() -> Store {
    let registry = Registry::new().with(NfsFactory);
    Store::server(
        registry,
        ServerPlace {
            server: &NFS,
            killed: &["ganesha"],
            stopped: &["ganesha"],
            replicated: false,
            goes_on: Duration::from_secs(3),
        },
    )
}

server!(store());
