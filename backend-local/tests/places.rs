//! What a place promises, and places that are full or read-only: on tmpfs, and
//! on small file systems that the tests mount (as root).
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use flushproof_api::*;
use flushproof_backend_local::{LocalStore, Terms};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command; a failure says what to install.
fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.unwrap_or_else(|e| {
        panic!(
            "{}: {e}; install it with: apt-get install -y e2fsprogs mount",
            command[0]
        )
    });
    assert!(
        output.status.success(),
        "{command:?} failed (these tests mount file systems, so they need root): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A mount that goes when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(kind: &str, source: &str, point: &Path, options: &str) -> Mounted {
        std::fs::create_dir_all(point).unwrap();
        let at = point.to_str().unwrap();
        run(&["mount", "-t", kind, "-o", options, source, at]);
        Mounted(point.to_owned())
    }

    /// A new ext4 of some MiB in a file beside the mount point.
    fn ext4(folder: &Path, mib: u64, options: &str) -> Mounted {
        let image = folder.join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(mib << 20).unwrap();
        let image = image.to_str().unwrap();
        run(&["mkfs.ext4", "-q", "-F", "-m", "0", image]);
        Mounted::new("ext4", image, &folder.join("mount"), options)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn contract(root: &Path) -> FlushContract {
    let store = open(root).await;
    store.contract().validate().unwrap();
    store.contract().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_a_disk_survives_a_power_loss() {
    let folder = folder();
    let contract = contract(folder.path()).await;
    assert_eq!(contract.survives, Survives::STORE_POWER, "{contract:?}");
    assert_eq!(contract.fencing, Fencing::Store);
    assert_eq!(contract.flush_call, FlushCall::Blocking);
    assert!(contract.block >= 512 && contract.torn_unit >= 512);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_tmpfs_survives_a_crash_of_the_writer_only() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let contract = contract(folder.path()).await;
    assert_eq!(
        contract.survives,
        Survives::NOTHING.with(Fault::WriterCrash)
    );
    assert_eq!(contract.mechanism, "tmpfs: memory");
    assert!(contract.caveats[0].contains("all is lost"), "{contract:?}");
    let store = open(folder.path()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let flushed = log.flush(batch(&store, 1, 7)).await.unwrap();
    assert_eq!(flushed.survives, contract.survives);
    let bytes = read_all(&store, &path("log/1-0"), Source::Medium).await;
    assert_eq!(bytes[0], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_without_barriers_a_power_loss_is_not_survived() {
    let folder = folder();
    let mount = Mounted::ext4(folder.path(), 16, "loop,barrier=0");
    let contract = contract(&mount.0.join("journal")).await;
    assert!(!contract.survives.contains(Fault::StorePower));
    assert!(contract.survives.contains(Fault::WriterCrash));
    assert!(contract.caveats[0].contains("nobarrier"), "{contract:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_a_loop_device_over_memory_is_memory() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mount = Mounted::ext4(folder.path(), 16, "loop");
    let contract = contract(&mount.0).await;
    assert!(
        !contract.survives.contains(Fault::StorePower),
        "{contract:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_an_overlay_is_as_good_as_what_lies_below() {
    let folder = folder();
    let at = |name: &str| {
        let at = folder.path().join(name);
        std::fs::create_dir_all(&at).unwrap();
        at
    };
    let memory = Mounted::new("tmpfs", "none", &at("memory"), "size=8m");
    let overlay = |upper: &Path, point: &str, more: &str| {
        for name in ["upper", "work"] {
            std::fs::create_dir_all(upper.join(name)).unwrap();
        }
        let (lower, upper) = (at("lower"), upper.display().to_string());
        let lower = lower.display();
        let options = format!("lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work{more}");
        Mounted::new("overlay", "overlay", &at(point), &options)
    };
    let disk = overlay(&at("on-disk"), "a", "");
    let good = contract(&disk.0.join("journal")).await;
    assert_eq!(good.survives, Survives::STORE_POWER, "{good:?}");
    assert!(good.caveats[0].contains("overlay"), "{good:?}");
    let store = open(&disk.0.join("journal")).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 1, 7)).await.unwrap();
    assert!(store.fence_log(&path("log/1-0")).await.unwrap() > 0);
    assert_eq!(
        kind(log.flush(batch(&store, 1, 7)).await),
        ErrorKind::Fenced
    );

    let process = Survives::NOTHING.with(Fault::WriterCrash);
    let tmpfs = overlay(&memory.0, "b", "");
    assert_eq!(contract(&tmpfs.0).await.survives, process);
    let volatile = overlay(&at("on-disk-too"), "c", ",volatile");
    let never = contract(&volatile.0).await;
    assert_eq!(never.survives, process, "{never:?}");
    assert!(never.caveats[0].contains("volatile"), "{never:?}");
    // As in a container: the upper layer's path leads nowhere. Time tells.
    drop(memory);
    let unseen = contract(&tmpfs.0).await;
    assert_eq!(unseen.survives, process, "{unseen:?}");
    let moved = folder.path().join("on-disk-moved");
    std::fs::rename(folder.path().join("on-disk"), moved).unwrap();
    assert_eq!(contract(&disk.0).await.survives, Survives::STORE_POWER);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_a_read_only_file_system_can_be_read() {
    let folder = folder();
    let mount = Mounted::ext4(folder.path(), 16, "loop");
    let root = mount.0.join("journal");
    let store = open(&root).await;
    put(&store, "FORMAT", b"format").await.unwrap();
    drop(store);
    run(&["mount", "-o", "remount,ro", mount.0.to_str().unwrap()]);
    let options = Options::new();
    let e = error(LocalStore::open(&root, &options, Mode::ReadWrite).await);
    assert_eq!(e.kind(), ErrorKind::PermissionDenied);
    assert!(e.to_string().contains("mounted read-only"), "{e}");
    let store = LocalStore::open(&root, &options, Mode::ReadOnly)
        .await
        .unwrap();
    let bytes = read_all(&store, &path("FORMAT"), Source::Medium).await;
    assert_eq!(bytes, "format");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_11_a_folder_that_may_not_be_written_says_so() {
    let folder = folder();
    let mount = Mounted::ext4(folder.path(), 16, "loop");
    // Not even root may create files in it.
    run(&["chattr", "+i", mount.0.to_str().unwrap()]);
    for root in [mount.0.clone(), mount.0.join("missing")] {
        let e = error(LocalStore::open(&root, &Options::new(), Mode::ReadWrite).await);
        assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{e}");
        assert!(e.to_string().contains("check owner and mode"), "{e}");
    }
}

/// Flushes until the disk is full; how many bytes were acknowledged.
async fn fill(store: &LocalStore, log: &mut dyn LogWriter) -> u64 {
    let mut acknowledged = 0;
    loop {
        match log
            .flush(batch(store, (64 << 10) / store.contract().block, 7))
            .await
        {
            Ok(flushed) => acknowledged = flushed.len,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
                assert!(e.to_string().contains("make room"), "{e}");
                assert_eq!(e.outcome(), Outcome::NotWritten, "{e}");
                return acknowledged;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_full_disk_loses_nothing_and_serves_again_with_room() {
    for method in ["direct", "dsync", "fdatasync"] {
        let folder = folder();
        let mount = Mounted::ext4(folder.path(), 24, "loop");
        let root = mount.0.join("journal");
        let store = open_with(&root, method).await;
        put(&store, "ballast", &[1; 1 << 20]).await.unwrap();

        // While zero-filling: an error, and nothing half is left.
        let before = store.space().await.unwrap().unwrap().available;
        let options = LogOptions::default().with_size_hint(64 << 20);
        let e = error(store.create_log(&path("log/1-0"), options).await);
        assert_eq!(
            (e.kind(), e.outcome()),
            (ErrorKind::NoSpace, Outcome::NotWritten)
        );
        assert_eq!(files(&root), ["ballast"]);
        let after = store.space().await.unwrap().unwrap().available;
        assert!(before - after < 64 * 1024, "the room was given back");

        // While appending.
        let mut log = create_log(&store, "log/1-0").await.unwrap();
        let acknowledged = fill(&store, log.as_mut()).await;
        assert!(acknowledged > 8 << 20);
        assert_eq!(
            kind(log.flush(batch(&store, 1, 8)).await),
            ErrorKind::Poisoned
        );
        assert_eq!(
            kind(put(&store, "x", &[1; 1 << 20]).await),
            ErrorKind::NoSpace
        );
        drop((log, store));

        let store = open_with(&root, method).await;
        let reader = store.open(&path("log/1-0"), Source::Medium).await.unwrap();
        assert!(reader.len().await.unwrap() >= acknowledged);
        for at in (0..acknowledged).step_by(64 << 10) {
            let bytes = reader.read(at..at + (64 << 10)).await.unwrap();
            assert!(bytes.iter().all(|b| *b == 7), "{method} {at}");
        }
        let extra = reader.len().await.unwrap() - acknowledged;
        assert_eq!(extra, 0, "no part of the refused batch is left");

        store.delete(&path("ballast")).await.unwrap();
        assert!(store.fence_log(&path("log/1-0")).await.unwrap() >= acknowledged);
        let mut log = create_log(&store, "log/2-0").await.unwrap();
        log.flush(batch(&store, 1, 9)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_spares_give_way_on_a_full_disk() {
    let folder = folder();
    let mount = Mounted::ext4(folder.path(), 24, "loop");
    let store = open(&mount.0.join("journal")).await;
    let options = |mib: u64| LogOptions::default().with_size_hint(mib << 20);
    let log = store
        .create_log(&path("log/1-0"), options(10))
        .await
        .unwrap();
    drop(log);
    store.delete(&path("log/1-0")).await.unwrap();
    assert_eq!(files(&mount.0.join("journal")).len(), 1);
    let longer = store.create_log(&path("log/1-1"), options(15)).await;
    longer.map(|_| ()).unwrap();
    assert_eq!(files(&mount.0.join("journal")), ["log/1-1.log"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_where_the_lock_is_the_only_fence_nobody_takes_over() {
    let folder = folder();
    let terms = Terms {
        survives: Survives::STORE_POWER,
        fencing: Fencing::HostLock,
        visibility: Visibility::Within(std::time::Duration::from_secs(60)),
        on: "a mount of another backend".into(),
        caveats: vec!["One primary.".into()],
    };
    let open = async || {
        let (none, mode) = (Options::new(), Mode::ReadWrite);
        LocalStore::open_on_terms(folder.path(), &none, mode, terms.clone()).await
    };
    let (first, second) = (open().await.unwrap(), open().await.unwrap());
    assert!(
        first
            .contract()
            .mechanism
            .ends_with(" on a mount of another backend")
    );
    assert_eq!(first.contract().caveats, ["One primary."]);
    assert_eq!(first.contract().fencing, Fencing::HostLock);
    first.host_lock(HostLock::Polite).await.unwrap();
    for how in [HostLock::Polite, HostLock::TakeOver] {
        let e = error(second.host_lock(how).await);
        assert_eq!(e.kind(), ErrorKind::Busy);
        assert!(e.to_string().contains("stop that process first"), "{e}");
        assert!(!e.to_string().contains("--take-over"), "{e}");
    }
    // A holder on another machine is named with it.
    let note = std::fs::read_to_string(folder.path().join(".lock")).unwrap();
    let (rest, host) = note.split_once("host ").unwrap();
    let elsewhere = format!("{rest}host not-{host}");
    std::fs::write(folder.path().join(".lock"), elsewhere).unwrap();
    let e = error(second.host_lock(HostLock::Polite).await);
    assert!(e.to_string().contains(" on the host not-"), "{e}");
    drop(first);
    second.host_lock(HostLock::TakeOver).await.unwrap();
    // The options are those of the file calls.
    let trust = Options::new().with("trust_fsync", "true");
    let opened = LocalStore::open_on_terms(folder.path(), &trust, Mode::ReadWrite, terms.clone());
    assert_eq!(kind(opened.await), ErrorKind::InvalidInput);
    let none = Options::new();
    let opened = LocalStore::open_on_terms(Path::new("a/b"), &none, Mode::ReadWrite, terms.clone());
    assert_eq!(kind(opened.await), ErrorKind::InvalidInput);
}
