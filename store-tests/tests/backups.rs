//! Backups across stores: of a journal on each of the four to each of them, restored
//! there; and copies.
#![allow(missing_docs, clippy::unwrap_used)] // a test that can't go on must fail

use flushproof::{
    At, BackupOptions, Config, CopyOptions, Item, Journal, Registry, RestoreOptions, SeqNo,
    StoreUri, Verdict,
};
use flushproof_backend_hdfs::HdfsFactory;
use flushproof_backend_local::LocalFactory;
use flushproof_backend_nfs::NfsFactory;
use flushproof_backend_object::ObjectFactory;
use flushproof_store_tests::turns::beside_others;
use flushproof_store_tests::{Root, ServerPlace, Store, runtime};
use flushproof_testbed::hdfs::Hdfs;
use flushproof_testbed::nfs::NFS;
use flushproof_testbed::s3::S3;
use flushproof_testbed::{Bed, Server};
use std::time::Duration;

fn server(server: &'static dyn Server, slow: bool) -> Store {
    let place = ServerPlace {
        server,
        killed: &[],
        stopped: &[],
        replicated: false,
        goes_on: Duration::from_secs(3),
    };
    Store {
        slow,
        ..Store::server(registry(), place)
    }
}

fn registry() -> Registry {
    Registry::new()
        .with(LocalFactory)
        .with(NfsFactory)
        .with(HdfsFactory)
        .with(ObjectFactory)
}

/// Local disk, NFS, HDFS, object store.
fn stores() -> [Store; 4] {
    [
        Store::folder(registry(), env!("CARGO_TARGET_TMPDIR")),
        server(&NFS, false),
        server(&Hdfs, false),
        server(&S3, true),
    ]
}

fn entry(n: u64) -> Vec<u8> {
    format!("create /a/{n}/{}", "x".repeat((n % 50) as usize)).into_bytes()
}

async fn append(journal: &Journal, range: std::ops::Range<u64>) {
    let entries: Vec<_> = range.map(entry).collect();
    for some in entries.chunks(50) {
        let some: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        journal.append_batch(&some).await.unwrap();
    }
}

const STATE: u64 = 200;
const END: u64 = 1500;

/// A journal with the state at 200 and entries up to 1500, in more than one segment.
async fn filled(root: &Root) -> Config {
    let config = root.access.config();
    config.format(false).await.unwrap();
    let mut recovery = config.primary().await.unwrap();
    assert!(recovery.next().await.unwrap().is_none());
    let journal = recovery.start().await.unwrap();
    append(&journal, 0..STATE).await;
    let mut writer = journal.checkpoint(journal.accepted()).await.unwrap();
    writer.entry(b"the state at 200").await.unwrap();
    writer.commit().await.unwrap();
    append(&journal, STATE..END).await;
    journal.close().await.unwrap();
    config
}

/// The journal holds the state at 200 and the entries behind it up to `end`.
async fn holds(config: &Config, end: u64, case: &str) {
    let report = config
        .reader()
        .await
        .unwrap()
        .verify(|_, _| {})
        .await
        .unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{case}: {report:?}");
    let mut recovery = config.primary().await.unwrap();
    let mut next = STATE;
    while let Some(item) = recovery.next().await.unwrap() {
        match item {
            Item::Checkpoint(mut state) => {
                assert_eq!(state.next_seq().0, STATE, "{case}");
                let entry = state.next().await.unwrap().unwrap();
                assert_eq!(&entry[..], b"the state at 200", "{case}");
                assert!(state.next().await.unwrap().is_none(), "{case}");
            }
            Item::Entry(e) => {
                assert_eq!((e.seq.0, &e.bytes[..]), (next, &entry(next)[..]), "{case}");
                next += 1;
            }
        }
    }
    assert_eq!(next, end, "{case}");
    // It serves.
    let journal = recovery.start().await.unwrap();
    assert_eq!(journal.append(b"more").await.unwrap().seq.0, end, "{case}");
    journal.close().await.unwrap();
}

fn uri(text: &str) -> StoreUri {
    StoreUri::parse(text).unwrap()
}

#[test]
fn a_backup_of_each_store_to_each_store_restores_there() {
    let _turn = beside_others();
    runtime().block_on(async {
        for from in stores() {
            let source = from.fresh();
            let journal = filled(&source).await;
            for to in stores() {
                let case = format!("{} to {}", from.name, to.name);
                pair(&journal, &to, &case).await;
                println!("{case}: identical");
            }
        }
    });
}

async fn pair(journal: &Config, to: &Store, case: &str) {
    let (folder, place, copy) = (to.fresh(), to.fresh(), to.fresh());
    let mut config = journal.clone();
    config.backup.options = Some(folder.access.config().options);
    let mut options = BackupOptions::default();
    options.to = Some(format!(
        "{}/backups",
        folder.access.uri.trim_end_matches('/')
    ));
    options.to = options.to.map(|path| match path.strip_prefix('/') {
        Some(path) => format!("file:///{path}"),
        None => path,
    });
    let reader = config.reader().await.unwrap();
    let taken = reader.backup(&options, |_| {}).await;
    let taken = taken.unwrap_or_else(|e| panic!("{case}: {e}"));
    assert!(
        taken.verified && taken.entries == END - STATE,
        "{case}: {taken:?}"
    );
    let mut target = place.access.config();
    target.backup.options.clone_from(&config.backup.options);
    let mut restore = RestoreOptions::default();
    restore.format = true;
    let restored = target.restore(&uri(&taken.uri), &restore, |_| {}).await;
    let restored = restored.unwrap_or_else(|e| panic!("{case}: {e}"));
    assert_eq!(restored.entries, END - STATE, "{case}");
    holds(&target, END, case).await;
    let mut copies = CopyOptions::default();
    copies.format = true;
    let target = copy.access.config();
    let copied = journal.copy_to(&target, &copies, |_| {}).await;
    copied.unwrap_or_else(|e| panic!("{case}: {e}"));
    holds(&target, END, case).await;
}

/// The permissions of a file, as the store's own side shows them; object stores have none.
fn mode_of(store: &Store, file: &StoreUri) -> Option<String> {
    let on_disk = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().unwrap().permissions().mode();
        Some(format!("{:o}", mode & 0o7777))
    };
    match store.name {
        "local" => on_disk(file.path().as_ref()),
        "nfs" => {
            let root = Bed::shared(&NFS).place().folder.clone();
            on_disk(&root.join(file.path().trim_start_matches('/')))
        }
        "hdfs" => {
            let args = ["-stat", "%a", file.path()];
            Some(Hdfs.shell(Bed::shared(&Hdfs).place(), &args).unwrap())
        }
        "s3" => None,
        other => panic!("{other}"),
    }
}

/// The default directory, on each store; and the archive.
#[test]
fn each_store_keeps_backups_beside_the_journal_and_an_archive() {
    let _turn = beside_others();
    runtime().block_on(async {
        for store in stores() {
            let root = store.fresh();
            let case = store.name;
            let mut config = filled(&root).await;
            config.archive.directory = Some("archive".into());
            config.keep_checkpoints = 1;
            let mut recovery = config.primary().await.unwrap();
            while let Some(item) = recovery.next().await.unwrap() {
                if let Item::Checkpoint(mut state) = item {
                    while state.next().await.unwrap().is_some() {}
                }
            }
            let journal = recovery.start().await.unwrap();
            append(&journal, END..END + 50).await;
            let mut writer = journal.checkpoint(journal.accepted()).await.unwrap();
            writer.entry(b"a later state").await.unwrap();
            let done = writer
                .commit()
                .await
                .unwrap_or_else(|e| panic!("{case}: {e}"));
            assert!(done.trimmed.segments > 0, "{case}: {done:?}");
            let taken = journal
                .backup(&BackupOptions::default(), |_| {})
                .await
                .unwrap();
            assert!(
                taken.uri.contains("/journal_backups/journal-backup-20"),
                "{taken:?}"
            );
            if let Some(mode) = mode_of(&store, &uri(&taken.uri)) {
                assert_eq!(mode.trim(), "600", "{}", taken.uri);
            }
            journal.close().await.unwrap();
            // Through the archive: from the beginning.
            let mut options = BackupOptions::default();
            options.at = Some(At::Seq(SeqNo(777)));
            let reader = config.reader().await.unwrap();
            let taken = reader.backup(&options, |_| {}).await;
            let taken = taken.unwrap_or_else(|e| panic!("{case}: {e}"));
            assert_eq!((taken.first.0, taken.entries), (0, 777), "{case}");
        }
    });
}
