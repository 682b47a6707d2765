//! A process that restores and one that becomes primary (or restores, too) meet at
//! every point: one is stopped at each of its calls to the store in turn, the other runs
//! from its beginning to its end, and the first goes on. In no order does a journal lose
//! what was acknowledged, or become a mixture; and it opens without a verdict.
//!
//! Stopped before the call is carried out, and behind it: so a restore that wakes late
//! tries to publish behind the back of a primary that found the journal empty.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod backup_support;
mod support;

use backup_support::*;
use flushproof::format::object::StartObject;
use flushproof::{
    BackupOptions, Config, CopyOptions, Epoch, Error, RestoreOptions, StoreUri, Survives, Verdict,
};
use flushproof_api::{JournalStore, MemoryStore, Source, StorePath};
use std::sync::Arc;
use std::time::Duration;
use support::faulty::{Answers, Fault, Faulty};
use support::runtime;
use support::work::in_turn;

/// The same store through a script of its own, and one without.
struct Two {
    stopped: Faulty,
    first: Config,
    second: Config,
}

fn config(store: &Faulty, source: &Faulty) -> Config {
    let mut config = Config::new(uri("faulty:"));
    config.registry = store.registry();
    config.registry.register(source.named("good"));
    config.require = Survives::NOTHING;
    config.segment_size = 64 << 10;
    config.keep_checkpoints = 1;
    config.idle_mark = Duration::from_secs(3600);
    config.take_over = true;
    config.backup.directory = Some("faulty:b".into());
    config
}

fn two(source: &Faulty) -> Two {
    two_on(Arc::new(MemoryStore::new()), source)
}

fn two_on(inner: Arc<MemoryStore>, source: &Faulty) -> Two {
    let stopped = Faulty::new(inner.clone(), Answers::Inline);
    let free = Faulty::new(inner, Answers::Inline);
    Two {
        first: config(&stopped, source),
        second: config(&free, source),
        stopped,
    }
}

/// A backup with the state at 20 and entries up to 500, in several segments.
fn backup() -> (Faulty, StoreUri) {
    runtime().block_on(async {
        let store = Faulty::new(Arc::new(MemoryStore::new()), Answers::Inline);
        let config = config(&store, &store);
        config.format(false).await.unwrap();
        let journal = primary(&config).await;
        append_to(&journal, 20).await;
        checkpoint(&journal).await;
        append_to(&journal, 500).await;
        journal.close().await.unwrap();
        let reader = config.reader().await.unwrap();
        let taken = reader
            .backup(&BackupOptions::default(), quiet)
            .await
            .unwrap();
        (store, uri(&taken.uri.replace("faulty:", "good:")))
    })
}

/// Opens the journal as its primary and appends: what was acknowledged, and what was
/// there before.
/// With `trims` it writes a checkpoint and trims what a restore left, but for its void.
async fn serve(config: Config, trims: bool) -> Result<(u64, u64), Error> {
    let mut recovery = config.primary().await?;
    while let Some(item) = recovery.next().await? {
        if let flushproof::Item::Checkpoint(mut state) = item {
            while state.next().await?.is_some() {}
        }
    }
    let found = recovery.summary().end.0;
    let journal = recovery.start().await?;
    let mut acked = found;
    for n in found..found + 5 {
        journal.append(&entry(n)).await?;
        acked = n + 1;
    }
    if trims {
        let at = journal.accepted();
        let mut writer = journal.checkpoint(at).await?;
        for entry in state(at.0) {
            writer.entry(&entry).await?;
        }
        writer.commit().await?;
    }
    journal.append(&entry(acked)).await?;
    journal.close().await?;
    Ok((found, acked + 1))
}

async fn restore(config: Config, backup: StoreUri) -> Result<(), Error> {
    let options = RestoreOptions::default();
    config.restore(&backup, &options, quiet).await.map(|_| ())
}

/// What is there in the end: the number of the last entry, all of them right.
async fn end(config: &Config, case: &str) -> u64 {
    let report = config
        .reader()
        .await
        .unwrap()
        .verify(|_, _| {})
        .await
        .unwrap();
    assert!(report.verdict() < Verdict::Corrupt, "{case}: {report:?}");
    let held = held(config).await;
    let base = held.checkpoint.unwrap_or(0);
    let numbers: Vec<_> = held.entries.iter().map(|(n, _)| *n).collect();
    let end = base + numbers.len() as u64;
    assert_eq!(numbers, (base..end).collect::<Vec<_>>(), "{case}");
    assert!(held.entries.iter().all(|(n, e)| *e == entry(*n)), "{case}");
    end
}

/// Runs `first`, stopped at its call `n`, and `second` meanwhile. `None`: the call was
/// not reached.
async fn meet<A, B>(
    two: &Two,
    n: u64,
    fault: Fault,
    first: impl Future<Output = A> + Send + 'static,
    second: impl Future<Output = B>,
) -> Option<(A, B)>
where
    A: Send + 'static,
{
    two.stopped.script.hit(n, fault);
    let running = tokio::spawn(first);
    while !two.stopped.script.fired() && !running.is_finished() {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    if !two.stopped.script.fired() {
        running.await.unwrap();
        return None;
    }
    let second = second.await;
    two.stopped.script.heal();
    Some((running.await.unwrap(), second))
}

fn at_every_call<F>(least: u64, case: impl Fn(u64, Fault) -> F + Copy)
where
    F: Future<Output = bool> + Send + 'static,
{
    runtime().block_on(async {
        for fault in [Fault::Hold, Fault::Hang] {
            let hits = in_turn(4, |n| case(n, fault)).await;
            println!("{fault:?}: {hits} calls");
            assert!(hits >= least, "{hits}");
        }
    });
}

#[test]
fn a_primary_comes_while_a_restore_is_stopped() {
    let (source, backup) = backup();
    let (source, backup) = (&source, &backup);
    at_every_call(70, |n, fault| {
        let (two, backup) = (two(source), backup.clone());
        async move {
            two.first.format(false).await.unwrap();
            // Every call once beside a primary that trims, once beside one that does not.
            let (n, trims) = (n / 2, n % 2 == 0);
            let first = restore(two.first.clone(), backup);
            let met = meet(&two, n, fault, first, serve(two.second.clone(), trims)).await;
            let Some((restored, served)) = met else {
                return false;
            };
            let what = two.stopped.script.what();
            let case = format!("{fault:?} at call {n} ({what}): {restored:?}, {served:?}");
            let last = end(&two.second, &case).await;
            let (found, acked) = served.unwrap_or_else(|e| panic!("{case}: {e}"));
            assert!(found == 0 || found == 500, "{case}");
            assert_eq!(last, acked, "{case}");
            // It was published before the primary came, or never.
            assert_eq!(restored.is_ok(), found == 500, "{case}");
            true
        }
    });
}

#[test]
fn a_restore_comes_while_a_primary_is_stopped() {
    let (source, backup) = backup();
    let (source, backup) = (&source, &backup);
    at_every_call(60, |n, fault| {
        let (two, backup) = (two(source), backup.clone());
        async move {
            two.first.format(false).await.unwrap();
            let (n, trims) = (n / 2, n % 2 == 0);
            let first = serve(two.first.clone(), trims);
            let second = restore(two.second.clone(), backup);
            let Some((served, restored)) = meet(&two, n, fault, first, second).await else {
                return false;
            };
            let what = two.stopped.script.what();
            let case = format!("{fault:?} at call {n} ({what}): {served:?}, {restored:?}");
            let last = end(&two.second, &case).await;
            match (&served, &restored) {
                (Ok((found, acked)), Ok(())) => {
                    // The primary came behind it.
                    assert_eq!((*found, *acked), (500, last), "{case}");
                }
                (Ok((found, acked)), Err(_)) => assert_eq!((*found, *acked), (0, last), "{case}"),
                (Err(_), Ok(())) => assert!(last >= 500, "{case}"),
                (Err(_), Err(_)) => assert!(last <= 6, "{case}"),
            }
            true
        }
    });
}

#[test]
fn two_restores_meet_and_at_most_one_counts() {
    let (source, backup) = backup();
    let (source, backup) = (&source, &backup);
    at_every_call(35, |n, fault| {
        let (two, backup) = (two(source), backup.clone());
        async move {
            two.first.format(false).await.unwrap();
            let first = restore(two.first.clone(), backup.clone());
            let second = restore(two.second.clone(), backup);
            let Some((one, other)) = meet(&two, n, fault, first, second).await else {
                return false;
            };
            let what = two.stopped.script.what();
            let case = format!("{fault:?} at call {n} ({what}): {one:?}, {other:?}");
            assert!(!(one.is_ok() && other.is_ok()), "{case}");
            let last = end(&two.second, &case).await;
            let expected = if one.is_ok() || other.is_ok() { 500 } else { 0 };
            assert_eq!(last, expected, "{case}");
            true
        }
    });
}

/// Serves a while.
async fn grow(config: &Config, end: u64) {
    let journal = primary(config).await;
    append_to(&journal, end).await;
    journal.close().await.unwrap();
}

async fn copy(from: Config, to: Config) -> Result<u64, Error> {
    let copied = from.copy_to(&to, &CopyOptions::default(), quiet).await;
    copied.map(|c| c.end.0)
}

/// The second may take the first one's attempt up, and ends later, for the source grows
/// meanwhile.
#[test]
fn two_copies_meet_and_nobody_is_told_wrong() {
    at_every_call(35, |n, fault| async move {
        let source = Faulty::new(Arc::new(MemoryStore::new()), Answers::Inline);
        let inner = Arc::new(MemoryStore::new());
        let two = two_on(inner.clone(), &source);
        let from = config(&source, &source);
        from.format(false).await.unwrap();
        grow(&from, 300).await;
        two.first.format(false).await.unwrap();
        let first = copy(from.clone(), two.first.clone());
        let second = async {
            grow(&from, 400).await;
            copy(from.clone(), two.second.clone()).await
        };
        let Some((one, other)) = meet(&two, n, fault, first, second).await else {
            return false;
        };
        let what = two.stopped.script.what();
        let case = format!("{fault:?} at call {n} ({what}): {one:?}, {other:?}");
        let start = StorePath::new("start/00000000000000000001").unwrap();
        let start = match inner.open(&start, Source::Medium).await {
            Ok(reader) => Some(reader.read(0..reader.len().await.unwrap()).await.unwrap()),
            Err(_) => None,
        };
        let last = end(&two.second, &case).await;
        match (&one, &other) {
            (_, Ok(end)) => assert_eq!((*end, last), (400, 400), "{case}"),
            (Ok(end), Err(_)) => assert_eq!((*end, last), (300, 300), "{case}"),
            (Err(_), Err(_)) => assert!([0, 300].contains(&last), "{case}"),
        }
        if let Err(error) = &one {
            // Said for certain: what the first one wrote never counts.
            if error.to_string().contains("took the journal over") {
                assert_eq!(start, Some(StartObject::void(Epoch(1))), "{case}");
            }
        }
        true
    });
}
