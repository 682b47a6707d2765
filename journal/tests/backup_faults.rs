//! Every call to the store fails, or is the last one of a process, in turn, under a
//! backup, a restore, a trim with an archive, and a copy: no half state is left, and
//! nothing is lost (FC-5).
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod backup_support;
mod support;

use backup_support::*;
use flushproof::{
    At, BackupOptions, Config, CopyOptions, ErrorKind, FileUri, Outcome, RestoreOptions, StoreUri,
    Survives, Verdict,
};
use flushproof_api::MemoryStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use support::faulty::{Answers, Fault, Faulty};
use support::runtime;
use support::work::in_turn;

const FAULTS: [Fault; 4] = [Fault::Before, Fault::After, Fault::Dead, Fault::DeadAfter];

/// A journal on a store of its own; its backups and its archive lie on the same store.
fn on_faulty() -> (Faulty, Config) {
    let store = Faulty::new(Arc::new(MemoryStore::new()), Answers::Inline);
    let mut config = Config::new(uri("faulty:"));
    config.registry = store.registry();
    config.require = Survives::NOTHING;
    config.segment_size = 64 << 10;
    config.keep_checkpoints = 1;
    config.idle_mark = Duration::from_secs(3600);
    config.backup.directory = Some("faulty:b".into());
    config.backup.threads = Some(2);
    (store, config)
}

/// Entries up to 3000 in several segments, the state at 1000.
async fn fill(config: &Config) {
    config.format(false).await.unwrap();
    let journal = primary(config).await;
    append_to(&journal, 1000).await;
    checkpoint(&journal).await;
    append_to(&journal, 3000).await;
    journal.close().await.unwrap();
}

/// The files in the directory of backups, by URI, without those of the archive.
async fn backups(config: &Config) -> Vec<StoreUri> {
    use futures_util::StreamExt;
    let folder = uri("faulty:b");
    let options = flushproof::Options::new();
    let mode = flushproof::Mode::ReadOnly;
    let store = config.registry.open(&folder, &options, mode).await.unwrap();
    let rows: Vec<_> = store.list(&flushproof::StorePath::root()).collect().await;
    let rows = rows.into_iter().map(|row| row.unwrap().path.to_string());
    let files = rows.filter(|p| p.ends_with(".gz") && !p.contains('/'));
    files.map(|p| uri(&format!("faulty:b/{p}"))).collect()
}

/// Reads a backup to its end; the number of its entries.
async fn read(config: &Config, file: &StoreUri) -> u64 {
    let mut stored = config.open_file(&FileUri::of(file).unwrap()).await.unwrap();
    let mut entries = 0;
    while let Some(entry) = stored.next().await.unwrap() {
        entries += u64::from(matches!(entry, flushproof::StoredEntry::Entry(_)));
    }
    entries
}

fn every_call(least: u64, case: impl AsyncCase) {
    let case = Arc::new(case);
    runtime().block_on(async {
        for fault in FAULTS {
            let hits = in_turn(8, |n| {
                let case = case.clone();
                async move { case.run(n, fault).await }
            })
            .await;
            println!("{fault:?}: {hits} calls");
            assert!(hits >= least, "{fault:?}: {hits} calls");
        }
    });
}

/// One case: says whether the call of this number was reached.
trait AsyncCase: Send + Sync + 'static {
    fn run(&self, n: u64, fault: Fault) -> impl Future<Output = bool> + Send;
}

struct Backup;

impl AsyncCase for Backup {
    async fn run(&self, n: u64, fault: Fault) -> bool {
        let (store, mut config) = on_faulty();
        fill(&config).await;
        let reader = config.reader().await.unwrap();
        let first = reader
            .backup(&BackupOptions::default(), quiet)
            .await
            .unwrap();
        config.backup.keep = Some(1);
        let reader = config.reader().await.unwrap();
        store.script.hit(n, fault);
        let taken = reader.backup(&BackupOptions::default(), quiet).await;
        let fired = store.script.fired();
        store.script.heal();
        let case = format!("{fault:?} at call {n} ({}), {taken:?}", store.script.what());
        assert!(fired || taken.is_ok(), "{case}");
        let files = backups(&config).await;
        assert!(!files.is_empty(), "no backup is left: {case}");
        for file in &files {
            assert_eq!(read(&config, file).await, 2000, "{case}");
        }
        if let Ok(taken) = taken {
            assert!(files.contains(&uri(&taken.uri)), "{case}");
            assert!(
                taken.removed.len() == 1 && !files.contains(&uri(&first.uri)),
                "{case}"
            );
        }
        fired
    }
}

#[test]
fn a_backup_is_there_whole_or_not_at_all() {
    every_call(30, Backup);
}

/// A backup on a store that never fails, with the state at 1000 and entries up to 3000.
async fn good_backup() -> (Faulty, StoreUri) {
    let (store, config) = on_faulty();
    fill(&config).await;
    let reader = config.reader().await.unwrap();
    let taken = reader
        .backup(&BackupOptions::default(), quiet)
        .await
        .unwrap();
    (store, uri(&taken.uri.replace("faulty:", "good:")))
}

/// What the journal holds now: nothing, or everything. Nothing else is right.
async fn is_complete(config: &Config, case: &str) -> bool {
    let reader = config.reader().await.unwrap();
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert!(report.verdict() < Verdict::Torn, "{case}: {report:?}");
    let info = reader.info().await.unwrap();
    if info.end.0 == 0 {
        assert_eq!(info.checkpoint, None, "{case}");
        return false;
    }
    assert_eq!(held(config).await, expected(Some(1000), 3000), "{case}");
    true
}

struct Restore(Faulty, StoreUri);

impl AsyncCase for Restore {
    async fn run(&self, n: u64, fault: Fault) -> bool {
        let (store, mut config) = on_faulty();
        config.registry.register(self.0.named("good"));
        config.format(false).await.unwrap();
        if n % 2 == 0 {
            // Served before, but empty.
            primary(&config).await.close().await.unwrap();
        }
        store.script.hit(n / 2, fault);
        let options = RestoreOptions::default();
        let restored = config.restore(&self.1, &options, quiet).await;
        let fired = store.script.fired();
        store.script.heal();
        let case = format!(
            "{fault:?} at call {} ({}), {restored:?}",
            n / 2,
            store.script.what()
        );
        assert!(fired || restored.is_ok(), "{case}");
        let complete = is_complete(&config, &case).await;
        match restored {
            Ok(_) => assert!(complete, "{case}"),
            // Who is told that certainly nothing was written may believe it.
            Err(e) if e.outcome() == Outcome::NotWritten => assert!(!complete, "{case}"),
            Err(_) => {}
        }
        if !complete {
            // It serves as an empty one, or is restored again.
            if n % 3 == 0 {
                let journal = primary(&config).await;
                append_to(&journal, 10).await;
                journal.close().await.unwrap();
                assert_eq!(held(&config).await, expected(None, 10), "{case}");
                return fired;
            }
            config.restore(&self.1, &options, quiet).await.unwrap();
            assert!(is_complete(&config, &case).await, "{case}");
        }
        fired
    }
}

#[test]
fn a_restore_leaves_an_empty_journal_or_the_complete_one() {
    let (store, backup) = runtime().block_on(good_backup());
    every_call(40, Restore(store, backup));
}

struct Archive;

impl AsyncCase for Archive {
    async fn run(&self, n: u64, fault: Fault) -> bool {
        let (store, mut config) = on_faulty();
        config.archive.directory = Some("faulty:a".into());
        fill(&config).await;
        let journal = primary(&config).await;
        append_to(&journal, 3100).await;
        store.script.hit(n, fault);
        let mut done = Ok(());
        let at = journal.accepted();
        match journal.checkpoint(at).await {
            Ok(mut writer) => {
                for entry in state(at.0) {
                    if done.is_ok() {
                        done = writer.entry(&entry).await;
                    }
                }
                if done.is_ok() {
                    done = writer.commit().await.map(|_| ());
                }
            }
            Err(e) => done = Err(e),
        }
        let fired = store.script.fired();
        store.script.heal();
        let case = format!("{fault:?} at call {n} ({}), {done:?}", store.script.what());
        drop(journal);
        // The primary's last flush ends before the next one opens.
        let journal = primary(&config).await;
        append_to(&journal, 3200).await;
        checkpoint(&journal).await;
        journal.close().await.unwrap();
        // Every entry that was ever there is still there.
        let mut options = BackupOptions::default();
        options.at = Some(At::Seq(seq(999)));
        let reader = config.reader().await.unwrap();
        let taken = reader.backup(&options, quiet).await;
        let taken = taken.unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!((taken.first.0, taken.entries), (0, 999), "{case}");
        options.at = Some(At::Seq(seq(3150)));
        let taken = reader.backup(&options, quiet).await;
        let taken = taken.unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(taken.end.0, 3150, "{case}");
        fired
    }
}

#[test]
fn nothing_is_trimmed_that_is_not_archived() {
    every_call(20, Archive);
}

struct Copy {
    source: Faulty,
    /// How many copies took up what an earlier one left.
    resumed: Arc<AtomicU64>,
}

impl AsyncCase for Copy {
    async fn run(&self, n: u64, fault: Fault) -> bool {
        let (store, mut target) = on_faulty();
        target.registry.register(self.source.named("good"));
        let mut source = target.clone();
        source.folder = uri("good:");
        target.format(false).await.unwrap();
        store.script.hit(n, fault);
        let options = CopyOptions::default();
        let copied = source.copy_to(&target, &options, quiet).await;
        let fired = store.script.fired();
        store.script.heal();
        let case = format!(
            "{fault:?} at call {n} ({}), {copied:?}",
            store.script.what()
        );
        assert!(fired || copied.is_ok(), "{case}");
        let info = target.reader().await.unwrap().info().await.unwrap();
        let complete = info.end.0 > 0;
        assert!(complete || copied.is_err(), "{case}");
        match source.copy_to(&target, &options, quiet).await {
            Err(e) => assert!(
                complete && e.kind() == ErrorKind::AlreadyExists,
                "{case}: {e}"
            ),
            Ok(copied) => {
                assert!(!complete, "{case}");
                if copied.resumed.is_some() {
                    self.resumed.fetch_add(1, SeqCst);
                }
            }
        }
        let report = target
            .reader()
            .await
            .unwrap()
            .verify(|_, _| {})
            .await
            .unwrap();
        assert!(report.verdict() < Verdict::Torn, "{case}: {report:?}");
        let reader = target.reader().await.unwrap();
        let mut entries = reader.entries(Some(seq(0))).await.unwrap();
        for n in 0..3000 {
            let item = entries.next().await.unwrap();
            let Some(flushproof::Item::Entry(e)) = item else {
                panic!("{case}: {n}");
            };
            assert_eq!((e.seq.0, &e.bytes[..]), (n, &entry(n)[..]), "{case}");
        }
        assert_eq!(held(&target).await, expected(Some(1000), 3000), "{case}");
        fired
    }
}

#[test]
fn a_copy_that_was_cut_short_is_taken_up() {
    let source = runtime().block_on(async {
        let (source, config) = on_faulty();
        fill(&config).await;
        source
    });
    let resumed = Arc::default();
    every_call(
        40,
        Copy {
            source,
            resumed: Arc::clone(&resumed),
        },
    );
    let resumed = resumed.load(SeqCst);
    println!("{resumed} copies were taken up");
    assert!(resumed > 20, "{resumed}");
}
