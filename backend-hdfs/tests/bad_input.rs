//! Places and settings that can't work: each gives an error in bounded time that
//! says what to do.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::*;
use flushproof_api::*;
use flushproof_backend_hdfs::HdfsStore;
use flushproof_testbed::hdfs::Hdfs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// The error of opening a URI without any Hadoop configuration.
async fn open_bare(uri: &str, options: &Options) -> (Error, Duration) {
    let began = Instant::now();
    let uri = StoreUri::parse(uri).unwrap();
    let store = HdfsStore::open(&uri, options, Mode::ReadWrite).await;
    (error(store), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_wrong_host_or_port_is_told_soon() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for authority in [closed.to_string(), "no-such-host.invalid:8020".into()] {
        let uri = format!("hdfs://{authority}/j");
        let (e, took) = open_bare(&uri, &Options::new()).await;
        assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
        assert_eq!(e.outcome(), Outcome::Unknown);
        assert!(e.to_string().contains("check host and port"), "{e}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_another_protocol_and_silence_are_told_within_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let options = Options::new().with("timeout", "1s");
    for authority in [silent, Hdfs.http(bed().place())] {
        let (e, took) = open_bare(&format!("hdfs://{authority}/j"), &options).await;
        let right = [ErrorKind::TimedOut, ErrorKind::Unreachable];
        assert!(right.contains(&e.kind()), "{authority}: {e}");
        assert!(e.to_string().contains("RPC port"), "{e}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_places_that_are_none() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    put(&store, "file", b"x").await.unwrap();
    for (below, says) in [("/file", "not a folder"), ("/file/x", "not a directory")] {
        let uri = StoreUri::parse(&format!("{uri}{below}")).unwrap();
        let e = error(try_open(bed(), &uri, &[], Mode::ReadWrite).await);
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
        assert!(e.to_string().contains(says), "{e}");
        assert!(!e.to_string().contains("\tat "), "{e}");
    }
    let root = bed().uri();
    let root = root.strip_suffix("/journals").unwrap();
    for wrong in ["", "/a//b", "/a/../b", "/a:b"] {
        let uri = StoreUri::parse(&format!("{root}{wrong}")).unwrap();
        let e = error(try_open(bed(), &uri, &[], Mode::ReadWrite).await);
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "{wrong:?}: {e}");
    }
    let e = error(
        try_open(
            bed(),
            &fresh(bed()),
            &[("conf_dir", "/nope")],
            Mode::ReadOnly,
        )
        .await,
    );
    assert!(e.to_string().contains("option conf_dir"), "{e}");
    for wrong in [("webhfds", "off"), ("timeout", "soon")] {
        let e = error(try_open(bed(), &fresh(bed()), &[wrong], Mode::ReadOnly).await);
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_no_permission_names_what_to_check() {
    let uri = fresh(bed());
    let mine = open(bed(), &uri).await;
    put(&mine, "object", b"x").await.unwrap();
    let alice = [("user", "alice")];
    let e = error(try_open(bed(), &uri, &alice, Mode::ReadWrite).await);
    assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{e}");
    assert_eq!(e.outcome(), Outcome::NotWritten);
    for part in ["alice", "hdfs dfs -ls -d", "option user"] {
        assert!(e.to_string().contains(part), "{e}");
    }
    let reads = try_open(bed(), &uri, &alice, Mode::ReadOnly).await.unwrap();
    assert_eq!(read_all(&reads, &path("object")).await, "x");
    // Taken away while it is open.
    Hdfs.shell(bed().place(), &["-mkdir", &format!("{}/log", uri.path())])
        .unwrap();
    Hdfs.shell(bed().place(), &["-chown", "-R", "alice", uri.path()])
        .unwrap();
    let hers = open_with(bed(), &uri, &alice).await;
    let mut log = create_log(&hers, "log/1-0").await.unwrap();
    log.flush(batch(1, 1)).await.unwrap();
    Hdfs.shell(
        bed().place(),
        &["-chmod", "000", &format!("{}/log", uri.path())],
    )
    .unwrap();
    let e = error(create_log(&hers, "log/1-1").await);
    assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_space_quota_is_no_space() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    // A log of 64 MiB is charged 192 MiB while it is written; objects 3 MiB.
    Hdfs.dfsadmin(bed().place(), &["-setSpaceQuota", "100m", uri.path()])
        .unwrap();
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let e = error(log.flush(batch(1, 1)).await);
    assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
    assert_eq!(e.outcome(), Outcome::NotWritten);
    assert!(
        e.to_string().contains("log_size times its replication"),
        "{e}"
    );
    // hdfs-native's own writer answers Ok now, with nothing stored.
    for _ in 0..2 {
        assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Poisoned);
        assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
    }
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 0);
    put(&store, "object", b"x").await.unwrap();
    let small = open_with(bed(), &uri, &[("log_size", "8388608")]).await;
    let mut log = create_log(&small, "log/1-1").await.unwrap();
    log.flush(batch(1, 1)).await.unwrap();
    // Charged already, whatever the quota is now.
    Hdfs.dfsadmin(bed().place(), &["-setSpaceQuota", "1m", uri.path()])
        .unwrap();
    log.flush(batch(1, 1)).await.unwrap();
    let e = error(put(&store, "late", b"x").await);
    assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
    assert_eq!(e.outcome(), Outcome::NotWritten);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_quota_of_names_is_no_space() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    Hdfs.dfsadmin(bed().place(), &["-setQuota", "1", uri.path()])
        .unwrap();
    for e in [
        error(create_log(&store, "log/1-0").await),
        error(put(&store, "object", b"x").await),
        error(try_open(bed(), &uri, &[], Mode::ReadWrite).await),
    ] {
        assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
        assert!(e.to_string().contains("-setQuota"), "{e}");
        assert_eq!(e.outcome(), Outcome::NotWritten, "{e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_full_datanodes_are_no_space() {
    // No DataNode here has room for a block of 1 TiB.
    let much = (1u64 << 40).to_string();
    let store = open_with(bed(), &fresh(bed()), &[("log_size", &much)]).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let e = error(log.flush(batch(1, 1)).await);
    assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
    assert_eq!(e.outcome(), Outcome::NotWritten);
    assert!(e.to_string().contains("bytes left"), "{e}");
    // Not seen from here: they may as well be down.
    let blind = [("log_size", much.as_str()), ("webhdfs", "off")];
    let store = open_with(bed(), &fresh(bed()), &blind).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let e = error(log.flush(batch(1, 1)).await);
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
    assert!(e.to_string().contains("down or full"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_an_erasure_coded_folder_is_refused_with_the_reason() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    let policy = ["-enablePolicy", "-policy", "XOR-2-1-1024k"];
    Hdfs.ecadmin(bed().place(), &policy).unwrap();
    let set = [
        "-setPolicy",
        "-policy",
        "XOR-2-1-1024k",
        "-path",
        uri.path(),
    ];
    Hdfs.ecadmin(bed().place(), &set).unwrap();
    for more in [vec![], vec![("webhdfs", "off")]] {
        let e = error(try_open(bed(), &uri, &more, Mode::ReadWrite).await);
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        assert_eq!(e.outcome(), Outcome::NotWritten);
        for part in ["erasure", "-replicate -path"] {
            assert!(e.to_string().contains(part), "{e}");
        }
    }
    // Coded since it was opened: never an Ok.
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let e = error(log.flush(batch(1, 1)).await);
    assert!(e.to_string().contains("erasure"), "{e}");
    assert_eq!(kind(log.flush(batch(1, 1)).await), ErrorKind::Poisoned);
    try_open(bed(), &uri, &[], Mode::ReadOnly).await.unwrap();
}
