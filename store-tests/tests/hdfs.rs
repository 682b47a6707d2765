//! The engine on HDFS: a NameNode and three DataNodes.
#![allow(missing_docs, clippy::unwrap_used)] // a test that can't go on must fail

use flushproof::{Config, Registry};
use flushproof_api::Visibility;
use flushproof_backend_hdfs::HdfsFactory;
use flushproof_store_tests::child::{Child, Role};
use flushproof_store_tests::scenarios::entries;
use flushproof_store_tests::turns::beside_others;
use flushproof_store_tests::{ServerPlace, Store, runtime, server};
use flushproof_testbed::hdfs::Hdfs;
use std::time::{Duration, Instant};

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

/// Whether all segments of older epochs were trimmed.
async fn only_of_the_head(config: &Config) -> bool {
    let info = config.reader().await.unwrap().info().await.unwrap();
    info.segments.iter().all(|s| s.id.epoch == info.epoch)
}

/// A reader that can't reach WebHDFS is not shown open files. Of writers that could, and
/// so sealed nothing, were trimming, and were killed, it has the checkpoints.
#[test]
fn fc_8_a_reader_without_webhdfs_has_the_checkpoints_that_killed_writers_left() {
    let _turn = beside_others();
    let root = store().fresh();
    let config = root.access.config();
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    for run in 0..2 {
        let mut child = Child::spawn(&root.access, run, Role::Write);
        child.wait_for("serving");
        child.wait_for("checkpoint");
        let began = Instant::now();
        while !runtime.block_on(only_of_the_head(&config)) {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing trimmed");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill();
    }
    let mut blind = config.clone();
    blind.options.set("webhdfs", "off");
    runtime.block_on(async {
        let reader = blind.reader().await.unwrap();
        assert_eq!(reader.contract().visibility, Visibility::OnSeal);
        let info = reader.info().await.unwrap();
        assert_eq!(Some(info.end), info.checkpoint, "{info:?}");
        assert!(entries(&blind).await.is_empty());
        assert!(!entries(&config).await.is_empty());
    });
}
