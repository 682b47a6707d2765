//! Places that can't be used, and a disk that gets full: on a real server, with
//! exports made for it.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_nfs::{NfsFactory, NfsStore};
use flushproof_testbed::{Bed, nfs};
use std::time::Duration;

/// The same server, another path.
fn elsewhere(path: &str) -> StoreUri {
    uri(&format!("nfs://127.0.0.1:{}{path}", bed().place().ports[0]))
}

async fn refused(at: &StoreUri, options: Options, mode: Mode) -> Error {
    error(NfsStore::open(at, &options, mode).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_a_path_that_is_not_exported_names_what_is() {
    for wrong in ["/nowhere/journal", "/exported", "/"] {
        let e = refused(&elsewhere(wrong), options(bed()), Mode::ReadWrite).await;
        assert_eq!(e.kind(), ErrorKind::NotFound, "{wrong}: {e}");
        for export in ["/export", "/readonly", "/squashed"] {
            assert!(e.to_string().contains(export), "{e}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_is_created_by_a_writer_and_by_nobody_else() {
    let at = elsewhere("/export/deep/er/root");
    let e = refused(&at, options(bed()), Mode::ReadOnly).await;
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(!bed().place().folder.join("export/deep").exists());
    let store = open_at(&at).await;
    put(&store, "a", &b"x"[..]).await.unwrap();
    drop(store);
    let seen = bed().place().folder.join("export/deep/er/root");
    assert_eq!(files(&seen), ["a"]);
    // A file where a folder should be.
    let e = refused(
        &elsewhere("/export/deep/er/root/a/b"),
        options(bed()),
        Mode::ReadWrite,
    )
    .await;
    assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_a_read_only_export_can_be_read_and_says_why_not_written() {
    let at = fresh();
    put(&open_at(&at).await, "a", &b"x"[..]).await.unwrap();
    let below = at.path().replace("/export", "/readonly");
    let e = refused(&elsewhere(&below), options(bed()), Mode::ReadWrite).await;
    assert_eq!(e.kind(), ErrorKind::PermissionDenied);
    assert!(e.to_string().contains("read-only"), "{e}");
    let store = NfsStore::open(&elsewhere(&below), &options(bed()), Mode::ReadOnly).await;
    let store = store.unwrap();
    assert_eq!(read_all(&store, &path("a")).await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_no_permission_says_whose() {
    let e = refused(&elsewhere("/squashed/j"), options(bed()), Mode::ReadWrite).await;
    assert_eq!(e.kind(), ErrorKind::PermissionDenied);
    assert!(e.to_string().contains("root_squash"), "{e}");
    let other = options(bed()).with("uid", "4711").with("gid", "4711");
    let e = refused(&elsewhere("/export/for-nobody"), other, Mode::ReadWrite).await;
    assert_eq!(e.kind(), ErrorKind::PermissionDenied);
    assert!(e.to_string().contains("uid, gid"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_owns_what_it_writes() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let at = fresh();
    let seen = folder(bed(), &at);
    std::fs::create_dir_all(&seen).unwrap();
    std::fs::set_permissions(&seen, std::fs::Permissions::from_mode(0o777)).unwrap();
    let other = options(bed()).with("uid", "4711").with("gid", "4712");
    let store = NfsStore::open(&at, &other, Mode::ReadWrite).await.unwrap();
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 1, 1)).await.unwrap();
    log.seal().await.unwrap();
    let meta = std::fs::metadata(seen.join("log/1-0.log")).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o777),
        (4711, 4712, 0o444)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_writes_nothing_at_all() {
    let at = fresh();
    let store = open_at(&at).await;
    drop(create_log(&store, "log/1-0").await.unwrap());
    put(&store, "a", &b"x"[..]).await.unwrap();
    drop(store);
    let seen = folder(bed(), &at);
    let state = || {
        let meta = std::fs::metadata(&seen).unwrap();
        (files(&seen), meta.modified().unwrap())
    };
    let before = state();
    let store = NfsStore::open(&at, &options(bed()), Mode::ReadOnly)
        .await
        .unwrap();
    store.contract().validate().unwrap();
    assert_eq!(names(&store).await.len(), 2);
    read_all(&store, &path("log/1-0")).await;
    let log = path("log/1-0");
    for kind in [
        kind(create_log(&store, "log/2-0").await),
        kind(put(&store, "x", &b"x"[..]).await),
        kind(store.fence_log(&log).await),
        kind(store.delete(&log).await),
        kind(store.sweep(Duration::ZERO).await),
        kind(store.host_lock(HostLock::Polite).await),
    ] {
        assert_eq!(kind, ErrorKind::PermissionDenied);
    }
    assert_eq!(state(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_says_what_was_found() {
    let store = open_at(&fresh()).await;
    let contract = store.contract();
    contract.validate().unwrap();
    assert_eq!(contract.survives, Survives::STORE_POWER);
    assert_eq!(contract.fencing, Fencing::Store);
    assert_eq!(contract.visibility, Visibility::Now);
    assert_eq!(contract.flush_call, FlushCall::Detached);
    assert!(contract.mechanism.contains("FILE_SYNC"));
    assert!(contract.caveats.iter().any(|c| c.contains("async")));
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_a_wrong_option_and_a_kernel_mount_say_so() {
    let registry = Registry::new().with(NfsFactory);
    let wrong = Options::new().with("mount-port", "1");
    let opened = registry.open(&fresh(), &wrong, Mode::ReadWrite).await;
    let e = error(opened);
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    assert!(e.to_string().contains("did you mean mount_port"), "{e}");
    let mount = uri("nfs:///mnt/point/journal");
    let e = error(
        registry
            .open(&mount, &Options::new(), Mode::ReadWrite)
            .await,
    );
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("nfs://server"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_full_disk_is_an_error_and_nothing_acknowledged_is_lost() {
    let bed = Bed::start(&nfs::SMALL).unwrap();
    let at = uri(&format!(
        "nfs://127.0.0.1:{}/small/journal",
        bed.place().ports[0]
    ));
    let store = open_on(&bed, &at, "10s").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let mut acknowledged = 0;
    let e = loop {
        match log.flush(Bytes::from(vec![7; 1 << 20])).await {
            Ok(flushed) => acknowledged = flushed.len,
            Err(e) => break e,
        }
        assert!(acknowledged < 64 << 20, "the disk never got full");
    };
    assert_eq!(
        (e.kind(), e.outcome()),
        (ErrorKind::NoSpace, Outcome::Unknown),
        "{e}"
    );
    assert!(acknowledged > 20 << 20);
    assert_eq!(
        kind(log.flush(batch(&store, 1, 1)).await),
        ErrorKind::Poisoned
    );
    let e = error(put(&store, "big", Bytes::from(vec![1; 8 << 20])).await);
    assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
    assert!(names(&store).await.iter().all(|n| !n.starts_with("big")));
    // The log can be fenced, read and deleted; then there is room again.
    let len = store.fence_log(&path("log/1-0")).await.unwrap();
    assert!(len >= acknowledged);
    let reader = store.open(&path("log/1-0"), Source::Medium).await.unwrap();
    for from in (0..acknowledged).step_by(1 << 20) {
        let bytes = reader.read(from..from + (1 << 20)).await.unwrap();
        assert!(bytes.iter().all(|b| *b == 7));
    }
    store.delete(&path("log/1-0")).await.unwrap();
    put(&store, "big", Bytes::from(vec![1; 8 << 20]))
        .await
        .unwrap();
}

/// What has reached the server's disk at this moment is what a power cut would
/// leave: the file that the small file system is in, as it is, mounted anew.
#[tokio::test(flavor = "multi_thread")]
async fn fc_1_fc_7_what_is_answered_is_on_the_servers_disk() {
    let bed = Bed::start(&nfs::SMALL).unwrap();
    let at = uri(&format!(
        "nfs://127.0.0.1:{}/small/journal",
        bed.place().ports[0]
    ));
    let store = open_on(&bed, &at, "10s").await;
    let cut = || files_after_a_cut(&bed);
    let bytes = |name: &str| std::fs::read(kept(&bed).join(name)).unwrap();
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    assert!(cut().contains(&"journal/log/1-0.log".into()), "created");
    for n in 1..=3 {
        log.flush(batch(&store, 2, n)).await.unwrap();
        cut();
        let log = bytes("journal/log/1-0.log");
        assert_eq!(log.len(), usize::from(n) * 8192);
        for (k, flushed) in log.chunks(8192).enumerate() {
            assert!(flushed.iter().all(|b| *b == k as u8 + 1), "flushed");
        }
    }
    put(&store, "epoch/1", &b"claim"[..]).await.unwrap();
    assert!(cut().contains(&"journal/epoch/1".into()), "committed");
    assert_eq!(bytes("journal/epoch/1"), b"claim");
    store.fence_log(&path("log/1-0")).await.unwrap();
    let names = cut();
    for fence in ["journal/log/1-0.fence", "journal/log/1-0.fence2"] {
        assert!(names.contains(&fence.into()), "fenced");
    }
    store.delete(&path("epoch/1")).await.unwrap();
    assert!(!cut().contains(&"journal/epoch/1".into()), "deleted");
    store.delete(&path("log/1-0")).await.unwrap();
    assert!(!cut().contains(&"journal/log/1-0.log".into()), "deleted");
}

/// Where the files of the last cut are.
fn kept(bed: &Bed) -> std::path::PathBuf {
    bed.place().folder.join("kept")
}

/// The names on a copy of the small file system's disk; the files are kept.
fn files_after_a_cut(bed: &Bed) -> Vec<String> {
    let copy = bed.place().folder.join("cut.ext4");
    std::fs::copy(nfs::image(bed.place()), &copy).unwrap();
    let folder = bed.place().folder.join("cut");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::remove_dir_all(kept(bed)).ok();
    let script =
        "mount -o loop \"$1\" \"$2\" && cp -a \"$2\" \"$3\" && cd \"$2\" && find . -type f";
    let out = std::process::Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .args([&copy, &folder, &kept(bed)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines()
        .map(|l| l.trim_start_matches("./").into())
        .collect()
}
