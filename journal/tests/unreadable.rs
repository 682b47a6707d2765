//! Bytes that the store can't read: who looks for damage goes on behind them, and finds what it
//! would find if rubbish stood there. And bytes that only a cache has.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod golden_support;
mod salvage_support;
#[path = "support/counting.rs"]
mod support;

use flushproof::{Config, ErrorKind, FindingKind, SeqNo, Verdict, Verification};
use flushproof_api::{JournalStore, Listed, StorePath};
use futures_util::TryStreamExt;
use golden_support::changed::{Journal, START_2, epoch_one, golden, says};
use golden_support::{CHECKPOINT, SEGMENTS};
use salvage_support::*;
use std::ops::Range;
use support::Counting;

/// The journal on a store with bad sectors.
async fn on_bad_sectors(journal: &Journal) -> (Counting, Config) {
    let (store, mut config) = journal.store().await;
    let store = Counting::around(store);
    config.registry.register(store.clone());
    config.folder = flushproof::StoreUri::parse("memory:").unwrap();
    (store, config)
}

/// An empty journal there, and its primary.
async fn serving() -> (Counting, Config, flushproof::Journal) {
    let (store, mut config) = on_bad_sectors(&Journal(Default::default())).await;
    config.format(false).await.unwrap();
    config.segment_size = 64 << 20;
    let mut recovery = config.primary().await.unwrap();
    while recovery.next().await.unwrap().is_some() {}
    let journal = recovery.start().await.unwrap();
    (store, config, journal)
}

async fn verify(config: &Config) -> Verification {
    let reader = config.reader().await.unwrap();
    reader.verify(|_, _| {}).await.unwrap()
}

/// The path on the store of a file of the journal.
fn path(file: &str) -> &str {
    file.strip_suffix(".log").unwrap_or(file)
}

/// The journal with rubbish in place of these bytes.
fn rubbish(made: &Made, file: &str, bytes: &Range<u64>) -> Journal {
    let mut journal = made.journal();
    let all = journal.0.get_mut(file).unwrap();
    let end = all.len().min(bytes.end as usize);
    all[bytes.start as usize..end].fill(0xff);
    journal
}

const BLOCK: u64 = 4096;

#[tokio::test]
async fn salvage_finds_what_it_would_find_if_rubbish_stood_there() {
    let made = Made::with_checkpoints();
    let mut losses = 0;
    for (file, bytes) in &made.files {
        if file == "FORMAT" {
            continue;
        }
        for at in (0..bytes.len() as u64).step_by(BLOCK as usize) {
            let bad = at..at + BLOCK;
            let case = format!("{file} {bad:?}");
            let (store, config) = on_bad_sectors(&made.journal()).await;
            store.make_bad(path(file), bad.clone());
            let found = config.salvage(|_, _| {}).await;
            let found = found.unwrap_or_else(|e| panic!("{case}: {e}"));
            let read = entries(&found).await;
            let missing = lost(&found, &read);
            let (same, expected) = salvage(&rubbish(&made, file, &bad), &case).await;
            assert_eq!(missing, expected, "{case}");
            assert_eq!(
                (found.end, found.checkpoint),
                (same.end, same.checkpoint),
                "{case}"
            );
            assert_eq!(read, entries(&same).await, "{case}");
            let notes = found.notes.join("\n");
            says(&notes, &[path(file), "can't be read", "Input/output error"]);
            losses += missing.len();
        }
    }
    assert!(losses >= 10, "{losses}");
}

/// A log of whose many blocks a few are bad.
#[tokio::test]
async fn only_the_bad_blocks_are_lost() {
    let (store, config, journal) = serving().await;
    for _ in 0..300 {
        journal.append(&[7; 3000]).await.unwrap();
    }
    journal.close().await.unwrap();
    let log = path(SEGMENTS[0]);
    for block in [20, 21, 150] {
        store.make_bad(log, block * BLOCK..(block + 1) * BLOCK);
    }
    let found = config.salvage(|_, _| {}).await.unwrap();
    // Each bad block hits two entries of 3000 bytes and some, or three.
    assert!((4..=8).contains(&found.lost_entries()), "{found:?}");
    assert_eq!(found.entries + found.lost_entries(), 300);
    let offset = format!(
        "{log}, offset {}: {} bytes can't be read",
        20 * BLOCK,
        2 * BLOCK
    );
    says(&found.notes.join("\n"), &[&offset]);
    // A log that can't be read at all is given up, and not read byte by byte.
    store.take_calls();
    store.make_bad(log, 0..u64::MAX);
    let found = config.salvage(|_, _| {}).await.unwrap();
    assert_eq!(found.entries, 0, "{found:?}");
    let calls = store.take_calls();
    assert!(calls < 10_000, "{calls}");
}

#[tokio::test]
async fn verify_lists_them_and_goes_on() {
    let damaged = golden().flip(SEGMENTS[0], 200);
    let (store, config) = on_bad_sectors(&damaged).await;
    let bad = path(SEGMENTS[1]);
    store.make_bad(bad, 0..BLOCK);
    let report = verify(&config).await;
    assert_eq!(report.verdict(), Verdict::Corrupt);
    let unread = report
        .findings
        .iter()
        .find(|f| f.text.contains("can't be read"));
    let unread = unread.unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(
        (unread.kind, unread.path.as_str(), unread.offset),
        (FindingKind::Damaged, bad, Some(0))
    );
    let other =
        |f: &&flushproof::Finding| f.path == path(SEGMENTS[0]) && f.verdict == Verdict::Corrupt;
    assert!(report.findings.iter().find(other).is_some(), "{report:?}");
}

#[tokio::test]
async fn a_log_that_nobody_needs_does_no_harm() {
    let stray = "log/00000000000000000000-00000000000000000007";
    let journal = golden().with(&format!("{stray}.log"), vec![7; 100]);
    let (store, config) = on_bad_sectors(&journal).await;
    store.make_bad(stray, 0..BLOCK);
    let report = verify(&config).await;
    assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.text.contains("can't be read")),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_checkpoint_that_can_t_be_read_is_passed_over() {
    let (store, config) = on_bad_sectors(&golden()).await;
    store.make_bad(CHECKPOINT, 0..BLOCK);
    // It is the only one: nobody guesses.
    let error = config.primary().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    says(&error.to_string(), &[CHECKPOINT]);
    let newer = "checkpoint/00000000000000000005-00000000000000000002";
    let two = golden().with(newer, golden_support::checkpoint(flushproof::Epoch(2), 5));
    let (store, config) = on_bad_sectors(&two).await;
    store.make_bad(newer, 0..BLOCK);
    let recovery = config.primary().await.unwrap();
    let summary = recovery.summary();
    assert_eq!(summary.checkpoint, Some(SeqNo(3)));
    says(
        &summary.damaged_checkpoints.join("\n"),
        &[newer, "Input/output error"],
    );
}

#[tokio::test]
async fn what_can_t_even_be_opened_is_damaged() {
    let made = Made::with_checkpoints();
    for file in made.files.keys().filter(|f| *f != "FORMAT") {
        let (store, config) = on_bad_sectors(&made.journal()).await;
        store.shut(path(file));
        let found = config.salvage(|_, _| {}).await;
        let found = found.unwrap_or_else(|e| panic!("{file}: {e}"));
        let (same, expected) = salvage(&rubbish(&made, file, &(0..u64::MAX)), file).await;
        let read = entries(&found).await;
        assert_eq!(
            (lost(&found, &read), found.checkpoint),
            (expected, same.checkpoint),
            "{file}"
        );
        let report = verify(&config).await;
        let named =
            |f: &flushproof::Finding| f.path == path(file) && f.text.contains("can't be read");
        assert!(report.findings.iter().any(named), "{file}: {report:?}");
    }
}

/// Nobody needs the log of a candidate that died, most likely.
#[tokio::test]
async fn a_log_without_a_start_that_can_t_be_read_keeps_no_primary_away() {
    let (store, config) = on_bad_sectors(&golden().without(&[START_2])).await;
    store.make_bad(path(SEGMENTS[2]), 0..BLOCK);
    let recovery = config.primary().await.unwrap();
    assert_eq!(recovery.summary().end, SeqNo(5));
}

/// A long bad stretch: its ends are found to a block, whatever was bad before.
#[tokio::test]
async fn what_lies_beside_a_long_bad_stretch_is_saved() {
    let (store, config, journal) = serving().await;
    let entries = [[7; 3000]; 10];
    for _ in 0..800 {
        let ten: Vec<&[u8]> = entries.iter().map(|e| &e[..]).collect();
        journal.append_batch(&ten).await.unwrap();
    }
    journal.close().await.unwrap();
    let rows = store.list(&StorePath::new("log").unwrap());
    let rows: Vec<Listed> = rows.try_collect().await.unwrap();
    let longest = rows.into_iter().max_by_key(|row| row.len).unwrap();
    let bad = 25 * BLOCK..(longest.len / BLOCK - 100) * BLOCK;
    assert!(bad.end - bad.start > 1500 * BLOCK, "{longest:?}");
    store.make_bad(&longest.path.to_string(), bad.clone());
    let found = config.salvage(|_, _| {}).await.unwrap();
    assert_eq!(found.entries + found.lost_entries(), 8000, "{found:?}");
    // A frame has ten entries, and one at each end is hit in part.
    let most = (bad.end - bad.start) / 3000 + 20;
    let lost = found.lost_entries();
    assert!((most - 60..=most).contains(&lost), "{lost} of {most}");
}

/// Only damage is passed over: a store that does not answer is another matter.
#[tokio::test]
async fn a_repair_that_can_t_read_what_was_whole_is_an_error() {
    let made = Made::new();
    let (store, config) = on_bad_sectors(&made.journal()).await;
    let found = config.salvage(|_, _| {}).await.unwrap();
    store.make_bad(path(SEGMENTS[0]), 0..BLOCK);
    let mut stream = found.entries();
    let error = loop {
        match stream.next().await {
            Ok(entry) => assert!(entry.is_some(), "no error"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

/// Entry 4 was never attested. Nobody writes any more, so it is in a backup, if it is on the medium:
/// what only a cache shows is gone when its host is.
#[tokio::test]
async fn an_end_that_only_a_cache_shows_is_not_backed_up() {
    for (cached, end) in [(false, 5), (true, 4)] {
        let journal = epoch_one();
        let last = journal.0[SEGMENTS[1]].len() as u64 - 128;
        let (store, mut config) = on_bad_sectors(&journal).await;
        if cached {
            store.only_cached_from(path(SEGMENTS[1]), last);
        }
        let folder = tempfile::tempdir().unwrap();
        config
            .registry
            .register(flushproof_backend_local::LocalFactory);
        let mut options = flushproof::BackupOptions::default();
        options.to = Some(format!("file://{}", folder.path().display()));
        let reader = config.reader().await.unwrap();
        let taken = reader.backup(&options, |_| {}).await.unwrap();
        assert_eq!(taken.end, SeqNo(end), "{taken:?}");
    }
}
