//! The engine on HDFS: a NameNode and three DataNodes.
#![allow(missing_docs)]

use flushproof::Registry;
use flushproof_backend_hdfs::HdfsFactory;
use flushproof_store_tests::{ServerPlace, Store, server};
use flushproof_testbed::hdfs::Hdfs;
use std::time::Duration;

fn store() -> Store {
    let registry = Registry::new().with(HdfsFactory);
    Store::server(
        registry,
        ServerPlace {
            server: &Hdfs,
            killed: &["datanode-1", "datanode-2", "datanode-3"],
            stopped: &["namenode", "datanode-1", "datanode-2", "datanode-3"],
            replicated: true,
            goes_on: Duration::from_secs(5),
        },
    )
}

server!(store());
