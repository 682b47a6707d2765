//! Backups and restores on a local disk, from end to end.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod backup_support;
mod support;

use backup_support::*;
use flushproof::{At, BackedUp, BackupOptions, Config, ErrorKind, RestoreOptions, Verdict};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use support::{in_memory, memory_folder};

/// A journal with a checkpoint at 300 and entries up to 1000, in several segments.
async fn filled(folder: &Path) -> Config {
    let config = in_memory(&folder.join("journal"));
    config.format(false).await.unwrap();
    let journal = primary(&config).await;
    append_to(&journal, 300).await;
    checkpoint(&journal).await;
    append_to(&journal, 1000).await;
    journal.close().await.unwrap();
    config
}

async fn backup(config: &Config, at: Option<At>) -> BackedUp {
    let mut options = BackupOptions::default();
    options.at = at;
    let reader = config.reader().await.unwrap();
    reader.backup(&options, quiet).await.unwrap()
}

async fn formatted(config: &Config, folder: &Path) -> Config {
    let target = at(config, folder);
    target.format(false).await.unwrap();
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_gzip_file_that_restores_to_the_same_journal() {
    let folder = memory_folder();
    let config = filled(folder.path()).await;
    let taken = backup(&config, None).await;
    assert_eq!(
        (taken.first.0, taken.end.0, taken.entries),
        (300, 1000, 700)
    );
    assert!(taken.verified && taken.checkpoint == Some(seq(300)) && taken.state_entries == 100);
    let file = Path::new(&taken.uri);
    assert_eq!(
        file.parent().unwrap(),
        folder.path().join("journal_backups")
    );
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let zcat = Command::new("zcat").arg(file).output().unwrap();
    assert!(
        zcat.status.success(),
        "{}",
        String::from_utf8_lossy(&zcat.stderr)
    );
    let text = String::from_utf8_lossy(&zcat.stdout);
    assert!(
        text.starts_with("flushproof-backup 1\nkind backup\njournal "),
        "{text:.200}"
    );
    assert!(text.contains("create /a/999/") && text.contains("\nentries 700\nsha256 "));
    assert_eq!(zcat.stdout.len() as u64, taken.unpacked);

    let target = formatted(&config, &folder.path().join("restored")).await;
    let restored = target
        .restore(&uri(&taken.uri), &RestoreOptions::default(), quiet)
        .await;
    let restored = restored.unwrap();
    assert_eq!((restored.entries, restored.end.0), (700, 1000));
    let report = target
        .reader()
        .await
        .unwrap()
        .verify(|_, _| {})
        .await
        .unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
    assert_eq!(held(&target).await, expected(Some(300), 1000));
    // It serves, checkpoints and trims as any other.
    let journal = primary(&target).await;
    append_to(&journal, 1500).await;
    for end in [1600, 1700, 1800] {
        checkpoint(&journal).await;
        append_to(&journal, end).await;
    }
    journal.close().await.unwrap();
    assert_eq!(held(&target).await, expected(Some(1700), 1800));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_a_checkpoint_and_an_empty_one() {
    let folder = memory_folder();
    let config = formatted(
        &in_memory(&folder.path().join("j")),
        &folder.path().join("j"),
    )
    .await;
    let taken = backup(&config, None).await;
    assert_eq!((taken.entries, taken.end.0), (0, 0));
    let journal = primary(&config).await;
    append_to(&journal, 57).await;
    let taken = journal
        .backup(&BackupOptions::default(), quiet)
        .await
        .unwrap();
    assert_eq!((taken.entries, taken.checkpoint), (57, None));
    append_to(&journal, 80).await;
    journal.close().await.unwrap();
    let target = formatted(&config, &folder.path().join("k")).await;
    target
        .restore(&uri(&taken.uri), &RestoreOptions::default(), quiet)
        .await
        .unwrap();
    assert_eq!(held(&target).await, expected(None, 57));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_with_entries_is_refused_unless_forced() {
    let folder = memory_folder();
    let config = filled(folder.path()).await;
    let taken = backup(&config, None).await;
    let target = at(&config, &folder.path().join("other"));
    let from = uri(&taken.uri);
    let mut options = RestoreOptions::default();
    let error = target.restore(&from, &options, quiet).await.unwrap_err();
    assert!(error.to_string().contains("journal format"), "{error}");
    options.format = true;
    options.dry_run = true;
    assert!(
        target
            .restore(&from, &options, quiet)
            .await
            .unwrap()
            .dry_run
    );
    assert!(!folder.path().join("other").exists(), "a dry run wrote");
    options.dry_run = false;
    target.restore(&from, &options, quiet).await.unwrap();
    for dry_run in [true, false] {
        options.dry_run = dry_run;
        let error = target.restore(&from, &options, quiet).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert!(error.to_string().contains("--force"), "{error}");
    }
    assert_eq!(held(&target).await, expected(Some(300), 1000));
    options.force = true;
    target.restore(&from, &options, quiet).await.unwrap();
    assert_eq!(held(&target).await, expected(Some(300), 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_entry_behind_the_checkpoint_can_be_the_last() {
    let folder = memory_folder();
    let config = filled(folder.path()).await;
    let whole = backup(&config, None).await;
    for end in [300, 301, 650, 999, 1000] {
        let taken = backup(&config, Some(At::Seq(seq(end)))).await;
        assert_eq!(taken.end.0, end);
        let target = formatted(&config, &folder.path().join(format!("at-{end}"))).await;
        let options = RestoreOptions::default();
        target
            .restore(&uri(&taken.uri), &options, quiet)
            .await
            .unwrap();
        assert_eq!(held(&target).await, expected(Some(300), end));
        let target = formatted(&config, &folder.path().join(format!("cut-{end}"))).await;
        let mut options = RestoreOptions::default();
        options.at = Some(At::Seq(seq(end)));
        let restored = target
            .restore(&uri(&whole.uri), &options, quiet)
            .await
            .unwrap();
        assert_eq!(restored.entries, end - 300);
        assert_eq!(held(&target).await, expected(Some(300), end));
    }
    // Before the checkpoint, from the segments that are left.
    let taken = backup(&config, Some(At::Seq(seq(120)))).await;
    assert_eq!((taken.checkpoint, taken.entries), (None, 120));
    for (wrong, says) in [(1001, "ends at 1000"), (u64::MAX, "ends at 1000")] {
        let mut options = BackupOptions::default();
        options.at = Some(At::Seq(seq(wrong)));
        let reader = config.reader().await.unwrap();
        let error = reader.backup(&options, quiet).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_keeps_what_is_trimmed() {
    let folder = memory_folder();
    let mut config = in_memory(&folder.path().join("journal"));
    config.archive.directory = Some("archive".into());
    config.keep_checkpoints = 1;
    config.format(false).await.unwrap();
    let journal = primary(&config).await;
    let mut middle = 0;
    for round in 1..=6 {
        append_to(&journal, round * 2000).await;
        checkpoint(&journal).await;
        if round == 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            middle = now.unwrap().as_millis() as u64;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    append_to(&journal, 12_500).await;
    let oldest = config.reader().await.unwrap().info().await.unwrap().first.0;
    assert!(oldest > 8000, "{oldest}");
    for (at, end) in [
        (At::Seq(seq(777)), 777),
        (At::Seq(seq(oldest + 1)), oldest + 1),
        (At::Time(middle), 6000),
    ] {
        let taken = backup(&config, Some(at)).await;
        assert_eq!((taken.end.0, taken.entries), (end, end), "{at}");
        let target = formatted(&config, &folder.path().join(format!("at-{end}"))).await;
        target
            .restore(&uri(&taken.uri), &RestoreOptions::default(), quiet)
            .await
            .unwrap();
        assert_eq!(held(&target).await, expected(None, end));
    }
    // From an old backup on, through the archive.
    let old = backup(&config, Some(At::Seq(seq(777)))).await;
    for (n, at, end) in [(0, At::Seq(seq(5000)), 5000), (1, At::Time(middle), 6000)] {
        let target = formatted(&config, &folder.path().join(format!("on-{n}"))).await;
        let mut options = RestoreOptions::default();
        options.at = Some(at);
        target
            .restore(&uri(&old.uri), &options, quiet)
            .await
            .unwrap();
        assert_eq!(held(&target).await, expected(None, end));
    }
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_openers_one_imports() {
    let folder = memory_folder();
    let config = filled(folder.path()).await;
    let taken = backup(&config, None).await;
    let mut target = formatted(&config, &folder.path().join("other")).await;
    target.import = Some(uri(&taken.uri));
    target.take_over = true; // the openers are in one process
    let openers: Vec<_> = (0..6)
        .map(|_| {
            let target = target.clone();
            tokio::spawn(async move {
                // Who is overtaken by another opener tries again, as a master would.
                for _ in 0..50 {
                    match target.primary().await {
                        Ok(recovery) => return recovery.summary().end.0,
                        Err(e) if e.kind() == ErrorKind::Fenced => {}
                        Err(e) => panic!("{e}"),
                    }
                }
                panic!("never primary");
            })
        })
        .collect();
    for opener in openers {
        assert_eq!(opener.await.unwrap(), 1000);
    }
    target.import = None;
    assert_eq!(held(&target).await, expected(Some(300), 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_backups_of_this_journal_go_and_others_stay() {
    let folder = memory_folder();
    let mut config = filled(folder.path()).await;
    let other = formatted(&config, &folder.path().join("other")).await;
    let stranger = backup(&other, None).await; // in the same directory
    let first = backup(&config, None).await;
    let second = backup(&config, None).await;
    let damaged = folder
        .path()
        .join("journal_backups/journal-backup-2020-01-01-1577836800000.gz");
    std::fs::write(&damaged, b"notes").unwrap();
    config.backup.keep = Some(2);
    let third = backup(&config, None).await;
    assert_eq!(third.removed.len(), 1);
    assert!(first.uri.ends_with(&third.removed[0]));
    let there = |taken: &BackedUp| Path::new(&taken.uri).exists();
    assert!(!there(&first) && there(&second) && there(&third) && there(&stranger));
    assert!(damaged.exists());
    // One of an earlier point replaces nothing.
    config.backup.keep = Some(1);
    let early = backup(&config, Some(At::Seq(seq(500)))).await;
    assert!(early.removed.is_empty() && there(&third) && there(&second));
}

/// What its epoch wrote says that it served, though nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_its_start_is_not_empty() {
    let folder = memory_folder();
    let config = filled(&folder.path().join("one")).await;
    let from = uri(&backup(&config, None).await.uri);
    let target = formatted(&config, &folder.path().join("two")).await;
    let journal = primary(&target).await;
    append_to(&journal, 20).await;
    journal.close().await.unwrap();
    let start = folder.path().join("two/start/00000000000000000001");
    let bytes = std::fs::read(&start).unwrap();
    std::fs::remove_file(&start).unwrap();
    for dry_run in [true, false] {
        let mut options = RestoreOptions::default();
        options.dry_run = dry_run;
        let error = target.restore(&from, &options, quiet).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("was served"), "{error}");
    }
    // By force whatever is there goes.
    let mut options = RestoreOptions::default();
    (options.dry_run, options.format, options.force) = (true, true, true);
    target.restore(&from, &options, quiet).await.unwrap();
    std::fs::write(&start, bytes).unwrap();
    assert_eq!(held(&target).await, expected(None, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_takes_one_at_the_configured_time() {
    let folder = memory_folder();
    let mut config = in_memory(&folder.path().join("journal"));
    config.format(false).await.unwrap();
    // A full minute, UTC, that is not over before the journal serves.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let minute = ((now.unwrap().as_secs() + 15) / 60 + 1) % (24 * 60);
    let schedule = format!("{:02}:{:02}", minute / 60, minute % 60);
    config.backup.schedule = Some(schedule.parse().unwrap());
    let journal = primary(&config).await;
    append_to(&journal, 40).await;
    let began = std::time::Instant::now();
    while journal.counts().backups == 0 {
        let limit = std::time::Duration::from_secs(120);
        assert!(began.elapsed() < limit, "{:?}", journal.counts());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let files = std::fs::read_dir(folder.path().join("journal_backups")).unwrap();
    let mut files = files.map(|f| f.unwrap().path());
    let file = files.find(|f| f.extension().is_some_and(|e| e == "gz"));
    let file = file.unwrap();
    journal.close().await.unwrap();
    let target = formatted(&config, &folder.path().join("other")).await;
    let from = uri(file.to_str().unwrap());
    let restored = target
        .restore(&from, &RestoreOptions::default(), quiet)
        .await;
    assert_eq!(restored.unwrap().entries, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_is_counted_and_the_journal_serves_on() {
    let folder = memory_folder();
    let mut config = in_memory(&folder.path().join("journal"));
    config.format(false).await.unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    config.backup.directory = Some(file.to_str().unwrap().to_owned());
    let journal = primary(&config).await;
    append_to(&journal, 40).await;
    let error = journal.backup(&BackupOptions::default(), quiet).await;
    assert!(error.is_err());
    append_to(&journal, 50).await;
    let counts = journal.counts();
    assert_eq!((counts.backups, counts.failed_backups), (0, 1));
    journal.close().await.unwrap();
}

/// Appends, checkpoints and trims until told to stop.
async fn busy(journal: flushproof::Journal, stop: std::sync::Arc<std::sync::atomic::AtomicBool>) {
    while !stop.load(std::sync::atomic::Ordering::SeqCst) {
        let end = journal.accepted().0 + 700;
        append_to(&journal, end).await;
        checkpoint(&journal).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_a_journal_in_use_are_what_it_was_at_their_position() {
    let folder = memory_folder();
    let mut config = in_memory(&folder.path().join("journal"));
    config.keep_checkpoints = 1;
    config.format(false).await.unwrap();
    let journal = primary(&config).await;
    let stop = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
    let working = tokio::spawn(busy(journal.clone(), stop.clone()));
    for round in 0..12 {
        let before = journal.durable().0;
        let taken = match round % 2 {
            0 => journal
                .backup(&BackupOptions::default(), quiet)
                .await
                .unwrap(),
            _ => backup(&config, None).await,
        };
        assert!(
            round % 2 == 1 || taken.end.0 >= before,
            "{before} {taken:?}"
        );
        let target = formatted(&config, &folder.path().join(format!("r{round}"))).await;
        target
            .restore(&uri(&taken.uri), &RestoreOptions::default(), quiet)
            .await
            .unwrap();
        let base = taken.checkpoint.map(|c| c.0);
        assert_eq!(held(&target).await, expected(base, taken.end.0));
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    working.await.unwrap();
    assert!(journal.accepted().0 > 1400);
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_looks_at_the_archive_and_the_backups() {
    let folder = memory_folder();
    let mut config = in_memory(&folder.path().join("journal"));
    config.archive.directory = Some("archive".into());
    config.keep_checkpoints = 1;
    config.format(false).await.unwrap();
    let journal = primary(&config).await;
    for end in [4000, 8000, 12_000] {
        append_to(&journal, end).await;
        checkpoint(&journal).await;
    }
    journal.close().await.unwrap();
    backup(&config, None).await;
    let verify = |fast: bool| {
        let config = config.clone();
        async move {
            let reader = config.reader().await.unwrap();
            match fast {
                true => reader.verify_fast().await.unwrap(),
                false => reader.verify(|_, _| {}).await.unwrap(),
            }
        }
    };
    let report = verify(false).await;
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
    assert!(report.archived > 2 && report.backups == 1, "{report:?}");
    let files = support::files(&folder.path().join("archive"));
    let files: Vec<_> = files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "gz"))
        .collect();
    let mut bytes = std::fs::read(files[0]).unwrap();
    let at = bytes.len() - 200;
    bytes[at] ^= 1;
    std::fs::write(files[0], bytes).unwrap();
    std::fs::remove_file(files[1]).unwrap();
    let report = verify(false).await;
    let kinds: Vec<_> = faults(&report);
    use flushproof::FindingKind::{Backup, Gap};
    assert_eq!(kinds, [Gap, Backup], "{:?}", report.findings);
    // What is missing is seen by a look at names, what is damaged is not.
    assert_eq!(faults(&verify(true).await), [Gap]);
}

/// The kinds of what is wrong.
fn faults(report: &flushproof::Verification) -> Vec<flushproof::FindingKind> {
    let wrong = |f: &&flushproof::Finding| f.verdict == Verdict::Corrupt;
    report
        .findings
        .iter()
        .filter(wrong)
        .map(|f| f.kind)
        .collect()
}
