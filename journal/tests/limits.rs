//! Limits, back-pressure, time-outs, and every kind of thread and runtime that
//! may use a journal, on the local disk (FC-11, FC-12).
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Error, ErrorKind, Journal, Outcome, SeqNo};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::faulty::{Answers, Fault, Faulty};
use support::state::{State, entry};
use support::{in_memory, memory_folder, runtime};

async fn open(config: &Config) -> Journal {
    let mut recovery = config.primary().await.unwrap();
    while recovery.next().await.unwrap().is_some() {}
    recovery.start().await.unwrap()
}

/// A fresh journal in memory.
async fn fresh(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Config, Journal) {
    let folder = memory_folder();
    let mut config = in_memory(folder.path());
    change(&mut config);
    config.format(false).await.unwrap();
    let journal = open(&config).await;
    (folder, config, journal)
}

fn refused(error: &Error, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.outcome(), Outcome::NotWritten, "{error}");
}

#[test]
fn fc_11_entries_and_batches_over_the_limits_are_refused_and_do_no_harm() {
    runtime().block_on(async {
        let (_folder, config, journal) = fresh(|c| c.max_entry = 1000).await;
        let at_the_limit = vec![1; 1000];
        journal.append(&at_the_limit).await.unwrap();
        let error = journal.append(&[1; 1001]).await.unwrap_err();
        refused(&error, ErrorKind::TooLarge);
        assert!(error.to_string().contains("max_entry (1000)"), "{error}");
        refused(&journal.try_reserve(1001).unwrap_err(), ErrorKind::TooLarge);
        // More than was reserved.
        let permit = journal.reserve(10).await.unwrap();
        refused(&permit.append(&[1; 11]).unwrap_err(), ErrorKind::TooLarge);
        let permit = journal.reserve(10).await.unwrap();
        refused(
            &permit.append_batch(&[]).unwrap_err(),
            ErrorKind::InvalidInput,
        );
        // Less than was reserved, and nothing at all.
        let permit = journal.reserve(10).await.unwrap();
        permit.append(b"").unwrap().await.unwrap();
        // A batch of too many, each of them short enough.
        let many = vec![&at_the_limit[..]; 9000];
        refused(
            &journal.append_batch(&many).await.unwrap_err(),
            ErrorKind::TooLarge,
        );
        let fits = vec![&at_the_limit[..]; 8000];
        let receipt = journal.append_batch(&fits).await.unwrap();
        assert_eq!(receipt.seq, SeqNo(8001));
        journal.close().await.unwrap();
        let mut replay = config.reader().await.unwrap().entries(None).await.unwrap();
        let mut read = 0;
        while replay.next().await.unwrap().is_some() {
            read += 1;
        }
        assert_eq!(read, 8002);
    });
}

#[test]
fn the_longest_entry_of_all_is_written_and_read() {
    runtime().block_on(async {
        let (_folder, config, journal) = fresh(|c| c.max_entry = Config::MAX_ENTRY).await;
        let long: Vec<u8> = (0..Config::MAX_ENTRY).map(|i| i as u8).collect();
        for _ in 0..3 {
            journal.append(&long).await.unwrap();
        }
        drop(journal);
        let mut again = config.clone();
        again.take_over = true;
        let mut recovery = again.primary().await.unwrap();
        let mut read = 0;
        while let Some(item) = recovery.next().await.unwrap() {
            let flushproof::Item::Entry(entry) = item else {
                panic!("{item:?}")
            };
            assert!(entry.bytes == long, "entry {}", entry.seq);
            read += 1;
        }
        assert_eq!(read, 3);
        let mut wrong = config;
        wrong.max_entry = Config::MAX_ENTRY + 1;
        let error = wrong.primary().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    });
}

#[test]
fn a_full_queue_says_full_or_waits_and_takes_entries_again() {
    runtime().block_on(async {
        let change = |c: &mut Config| {
            (c.queue_entries, c.queue_bytes, c.max_entry) = (8, 64 << 10, 8 << 10);
        };
        let (_folder, _config, journal) = fresh(change).await;
        let mut permits: Vec<_> = (0..8).map(|_| journal.try_reserve(10).unwrap()).collect();
        let error = journal.try_reserve(10).unwrap_err();
        refused(&error, ErrorKind::Full);
        assert!(error.to_string().contains("queue_entries"), "{error}");
        let waiting = tokio::spawn({
            let journal = journal.clone();
            async move { journal.append(b"waits").await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        // One goes: the waiting one comes.
        permits
            .pop()
            .unwrap()
            .append(b"goes")
            .unwrap()
            .await
            .unwrap();
        waiting.await.unwrap().unwrap();
        drop(permits);
        // By bytes as well: seven of 8 KiB fit in 64 KiB with what surrounds them.
        let permits: Vec<_> = (0..7)
            .map(|_| journal.try_reserve(8 << 10).unwrap())
            .collect();
        refused(&journal.try_reserve(8 << 10).unwrap_err(), ErrorKind::Full);
        drop(permits);
        // Thousands that all wait come through, in any order, none twice.
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..3000u64 {
            let journal = journal.clone();
            tasks.spawn(async move { journal.append(&n.to_le_bytes()).await.unwrap().seq });
        }
        let mut numbers = tasks.join_all().await;
        numbers.sort();
        assert!(numbers.windows(2).all(|w| w[0].next() == w[1]));
    });
}

#[test]
fn what_comes_after_close_is_refused_and_what_came_before_is_durable() {
    runtime().block_on(async {
        let (_folder, config, journal) = fresh(|_| {}).await;
        let permit = journal.reserve(10).await.unwrap();
        let acks: Vec<_> = (0..100u64)
            .map(|n| {
                journal
                    .try_reserve(8)
                    .unwrap()
                    .append(&n.to_le_bytes())
                    .unwrap()
            })
            .collect();
        journal.clone().close().await.unwrap();
        for ack in acks {
            ack.await.unwrap();
        }
        refused(&permit.append(b"late").unwrap_err(), ErrorKind::Closed);
        refused(
            &journal.append(b"late").await.unwrap_err(),
            ErrorKind::Closed,
        );
        refused(&journal.reserve(4).await.unwrap_err(), ErrorKind::Closed);
        refused(&journal.try_reserve(4).unwrap_err(), ErrorKind::Closed);
        refused(
            &journal.append_batch(&[b"late"]).await.unwrap_err(),
            ErrorKind::Closed,
        );
        journal.durable_through(SeqNo(100)).await.unwrap();
        journal.clone().close().await.unwrap();
        // Its lock is free although a handle is left.
        let next = open(&config).await;
        assert_eq!(next.accepted(), SeqNo(100));
        assert_eq!(
            config.reader().await.unwrap().info().await.unwrap().end,
            SeqNo(100)
        );
    });
}

#[test]
fn plain_threads_reserve_append_and_wait() {
    let runtime = runtime();
    let (_folder, _config, journal) = runtime.block_on(fresh(|c| {
        (c.queue_entries, c.queue_bytes, c.max_entry) = (4, 4096, 1000);
    }));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..100u64 {
                    let permit = journal.blocking_reserve(8).unwrap();
                    let ack = permit.append(&n.to_le_bytes()).unwrap();
                    let seq = ack.seq();
                    assert_eq!(ack.wait().unwrap().seq, seq);
                    assert!(journal.durable() > seq);
                }
            });
        }
    });
    assert_eq!(journal.durable(), SeqNo(800));
    // Inside a runtime they say what to do instead of blocking a worker.
    runtime.block_on(async {
        let error = journal.blocking_append(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let ack = journal.reserve(1).await.unwrap().append(b"x").unwrap();
        let error = ack.wait().unwrap_err();
        assert!(error.to_string().contains("await"), "{error}");
    });
}

#[test]
fn a_current_thread_runtime_and_a_local_set_open_append_and_close() {
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let multi = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let work = async || {
        let (_folder, config, journal) = fresh(|_| {}).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let journal = journal.clone();
            tasks.spawn_local(async move {
                for _ in 0..20 {
                    journal.append(b"entry").await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(journal.durable(), SeqNo(320));
        journal.close().await.unwrap();
        assert_eq!(open(&config).await.accepted(), SeqNo(320));
    };
    tokio::task::LocalSet::new().block_on(&current, work());
    tokio::task::LocalSet::new().block_on(&multi, work());
}

/// The journal's own threads do what nobody drives, whatever is configured.
#[test]
fn an_ack_that_nobody_awaits_is_durable_soon_whatever_the_marks() {
    runtime().block_on(async {
        let hour = Duration::from_secs(3600);
        for (idle_mark, heartbeat) in [
            (Duration::from_millis(20), None),
            (hour, None),
            (Duration::from_millis(20), Some(hour)),
        ] {
            let (_folder, _config, journal) = fresh(|c| {
                (c.idle_mark, c.heartbeat) = (idle_mark, heartbeat);
            })
            .await;
            for n in 0..3u64 {
                // Longer than the first mark: the keeper sleeps by then.
                tokio::time::sleep(Duration::from_millis(60)).await;
                drop(journal.reserve(1).await.unwrap().append(b"x").unwrap());
                let began = Instant::now();
                while journal.durable().0 <= n {
                    assert!(
                        began.elapsed() < Duration::from_secs(2),
                        "{idle_mark:?} {heartbeat:?}"
                    );
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    });
}

/// FC-12 for those who wait elsewhere than inside the hung write.
#[test]
fn fc_12_a_hung_flush_gives_every_other_waiter_an_error_in_time() {
    runtime().block_on(async {
        for (answers, idle_mark) in [
            (Answers::Inline, Duration::from_millis(20)),
            (Answers::Inline, Duration::from_secs(3600)),
            (Answers::Later, Duration::from_millis(20)),
        ] {
            let store = Faulty::new(Arc::new(flushproof_api::MemoryStore::new()), answers);
            let mut config = in_memory("/".as_ref());
            config.folder = flushproof::StoreUri::parse("faulty:").unwrap();
            config.registry = store.registry();
            config.options = flushproof::Options::new();
            config.require = flushproof::Survives::NOTHING;
            (config.flush_timeout, config.idle_mark) = (Duration::from_millis(300), idle_mark);
            config.format(false).await.unwrap();
            let journal = open(&config).await;
            let mut state = State::default();
            for n in 0..3 {
                let bytes = entry((1, 1), n);
                let receipt = journal.append(&bytes).await.unwrap();
                state.apply(receipt.seq, &bytes);
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
            store.script.hit_flush(0, Fault::Hang);
            let began = Instant::now();
            let inside = tokio::spawn({
                let journal = journal.clone();
                async move { journal.append(b"inside").await }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            let error = tokio::time::timeout(Duration::from_secs(2), journal.append(b"behind"));
            let error = error.await.expect("no answer in time").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert!(
                began.elapsed() >= Duration::from_millis(300),
                "{:?}",
                began.elapsed()
            );
            assert!(error.to_string().contains("flush_timeout"), "{error}");
            store.script.heal();
            assert!(inside.await.unwrap().is_err(), "a late answer was an ack");
            assert_eq!(journal.durable(), SeqNo(3));
        }
    });
}
