//! Every call to the store fails, hangs or is the last one, in turn (FC-4, FC-5,
//! FC-9, FC-12): nothing is acknowledged that is not there when the journal is
//! opened again, and nothing half done stands in the way.
//!
//! On the memory store inside a wrapper, once with flushes on the calling thread
//! and once with several under way that are answered in any order.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, ErrorKind, Journal, OnUnknown, StoreUri};
use flushproof_api::MemoryStore;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::faulty::{Answers, Fault, Faulty};
use support::state::{State, entry};
use support::work::{Shared, in_turn, open_again, work};
use support::{in_memory, memory_folder, runtime, soak};

fn config(store: &Faulty) -> Config {
    let mut config = Config::new(StoreUri::parse("faulty:").unwrap());
    config.registry = store.registry();
    config.require = flushproof::Survives::NOTHING;
    config.segment_size = 64 << 10;
    config.idle_mark = Duration::from_secs(3600);
    config.keep_checkpoints = 1;
    config
}

fn memory(answers: Answers) -> Faulty {
    Faulty::new(Arc::new(MemoryStore::new()), answers)
}

/// The faults of one call, or of it and all behind it.
fn faults() -> Vec<Fault> {
    match soak() {
        true => vec![Fault::Before, Fault::After, Fault::Dead, Fault::DeadAfter],
        false => vec![Fault::After, Fault::Dead],
    }
}

fn local_faults() -> Vec<Fault> {
    match soak() {
        true => faults(),
        false => vec![Fault::DeadAfter],
    }
}

async fn fail_in_turn(answers: Answers, fault: Fault) -> u64 {
    in_turn(14, move |n| async move {
        let store = memory(answers);
        let config = config(&store);
        let facts = Shared::default();
        store.script.hit(n, fault);
        let done = work(config.clone(), facts.clone()).await;
        let (fired, what) = (store.script.fired(), store.script.what());
        assert!(fired || done.is_ok(), "{done:?}");
        store.script.heal();
        let case = format!("{answers:?}, {fault:?} at call {n} ({what}, {done:?})");
        open_again(&config, &facts, &case).await;
        fired
    })
    .await
}

#[test]
fn fc_4_fc_5_every_call_of_a_blocking_store_fails_in_turn() {
    runtime().block_on(async {
        for fault in faults() {
            let hits = fail_in_turn(Answers::Inline, fault).await;
            println!("blocking, {fault:?}: {hits} calls");
            assert!(hits > 150);
        }
    });
}

#[test]
fn fc_4_fc_5_every_call_of_a_detached_store_fails_in_turn() {
    runtime().block_on(async {
        for fault in faults() {
            let hits = fail_in_turn(Answers::Later, fault).await;
            println!("detached, {fault:?}: {hits} calls");
            assert!(hits > 150);
        }
    });
}

/// With `on_unknown = reopen` no single failing call makes an append fail.
#[test]
fn fc_9_a_take_over_from_oneself_mends_every_single_failure() {
    runtime().block_on(async {
        for answers in [Answers::Inline, Answers::Later] {
            for fault in [Fault::Before, Fault::After] {
                let reopened = Arc::new(Mutex::new(0));
                let sum = reopened.clone();
                let hits = in_turn(14, move |n| {
                    let sum = sum.clone();
                    async move {
                        let store = memory(answers);
                        let mut config = config(&store);
                        config.on_unknown = OnUnknown::Reopen;
                        let facts = Shared::default();
                        store.script.hit(n, fault);
                        let done = work(config.clone(), facts.clone()).await;
                        let (fired, what) = (store.script.fired(), store.script.what());
                        store.script.heal();
                        let case = format!("{answers:?}, {fault:?} at call {n} ({what}, {done:?})");
                        {
                            let facts = facts.lock().unwrap();
                            assert!(facts.failed.is_empty(), "{case}: {:?}", facts.failed);
                            let excused = !facts.serving || facts.closing;
                            assert!(done.is_ok() || excused, "{case}");
                            *sum.lock().unwrap() += facts.reopens;
                        }
                        open_again(&config, &facts, &case).await;
                        fired
                    }
                })
                .await;
                let reopened = *reopened.lock().unwrap();
                println!("{answers:?}, {fault:?}: {hits} calls, {reopened} take-overs");
                assert!(reopened > 20);
            }
        }
    });
}

/// And what fails while it takes over from itself is tried again.
#[test]
fn fc_9_a_take_over_from_oneself_that_fails_at_any_call_is_tried_again() {
    runtime().block_on(async {
        for (answers, flush) in [
            (Answers::Inline, 2),
            (Answers::Inline, 9),
            (Answers::Later, 3),
            (Answers::Later, 9),
        ] {
            for fault in [Fault::Before, Fault::After] {
                let hits = in_turn(16, move |then| async move {
                    let store = memory(answers);
                    let mut config = config(&store);
                    config.on_unknown = OnUnknown::Reopen;
                    let facts = Shared::default();
                    store.script.hit_flush_and_then(flush, fault, then);
                    let done = work(config.clone(), facts.clone()).await;
                    let (fired, what) = (store.script.fired(), store.script.what());
                    store.script.heal();
                    let case = format!("{answers:?}, {fault:?}, then {then} ({what}, {done:?})");
                    {
                        let facts = facts.lock().unwrap();
                        assert!(facts.failed.is_empty(), "{case}: {:?}", facts.failed);
                    }
                    open_again(&config, &facts, &case).await;
                    fired && then < 40
                })
                .await;
                println!("{answers:?}, flush {flush} and {fault:?}: {hits} calls behind it");
                assert!(hits >= 20);
            }
        }
    });
}

/// A store that does not answer: an error in bounded time, and its late answer
/// is no acknowledgement.
#[test]
fn fc_12_every_call_hangs_in_turn() {
    runtime().block_on(async {
        for answers in [Answers::Inline, Answers::Later] {
            for on_unknown in [OnUnknown::Stop, OnUnknown::Reopen] {
                let hits = in_turn(48, move |n| async move {
                    let store = memory(answers);
                    let mut config = config(&store);
                    // Far above what a call takes that does not hang, on a busy machine too.
                    config.flush_timeout = Duration::from_millis(200);
                    config.store_timeout = Duration::from_millis(200);
                    config.on_unknown = on_unknown;
                    let facts = Shared::default();
                    store.script.hit(n, Fault::Hang);
                    let began = Instant::now();
                    let mut task = tokio::spawn(work(config.clone(), facts.clone()));
                    let done = tokio::time::timeout(Duration::from_secs(3), &mut task).await;
                    let (fired, what) = (store.script.fired(), store.script.what());
                    let case = format!("{answers:?}, {on_unknown:?}, call {n} ({what})");
                    let acked = facts.lock().unwrap().acked.len();
                    let done = match done {
                        Ok(done) => done.unwrap(),
                        // The thread that is inside the write ends when the write does.
                        Err(_) => {
                            let excused = answers == Answers::Inline && what == "flush";
                            assert!(excused, "{case}: no answer in {:?}", began.elapsed());
                            store.script.heal();
                            let done = task.await.unwrap();
                            let facts = facts.lock().unwrap();
                            if on_unknown == OnUnknown::Stop {
                                assert_eq!(facts.acked.len(), acked, "{case}: a late ack");
                            }
                            done
                        }
                    };
                    store.script.heal();
                    if let (OnUnknown::Reopen, Some(error)) =
                        (on_unknown, facts.lock().unwrap().failed.first())
                    {
                        panic!("{case}: {error}");
                    }
                    if let Err(error) = &done {
                        assert_eq!(error.kind(), ErrorKind::TimedOut, "{case}: {error}");
                    }
                    open_again(&config, &facts, &format!("{case}, {done:?}")).await;
                    fired
                })
                .await;
                println!("{answers:?}, {on_unknown:?}: {hits} calls");
                assert!(hits > 150);
            }
        }
    });
}

async fn open(config: &Config) -> (Journal, State) {
    let mut recovery = config.primary().await.unwrap();
    let state = State::recover(&mut recovery).await.unwrap();
    (recovery.start().await.unwrap(), state)
}

/// Several flushes under way, answered in any order, one of them fails: the acks
/// before it are good, none behind it is.
#[test]
fn fc_4_of_flushes_under_way_none_behind_a_failed_one_is_acknowledged() {
    runtime().block_on(async {
        let most = Arc::new(AtomicU64::new(0));
        let overlap = most.clone();
        in_turn(8, move |round| {
            let most = most.clone();
            async move {
                let store = memory(Answers::Later);
                let config = config(&store);
                config.format(false).await.unwrap();
                let (journal, _) = open(&config).await;
                store.script.slow.store(5000, SeqCst);
                store.script.hit_flush(round % 16, Fault::Before);
                let mut acks = Vec::new();
                for n in 0..20 {
                    let bytes = entry((1, 1), n);
                    let Ok(permit) = journal.reserve(bytes.len()).await else {
                        break;
                    };
                    let Ok(ack) = permit.append(&bytes) else {
                        break;
                    };
                    acks.push(tokio::spawn(ack));
                    // Long enough for a flush of its own, too short for its answer.
                    tokio::time::sleep(Duration::from_micros(200)).await;
                    let under_way = journal.submitted().0 - journal.durable().0;
                    most.fetch_max(under_way, SeqCst);
                }
                let mut good = 0;
                let mut failed = false;
                for ack in acks {
                    match ack.await.unwrap() {
                        Ok(receipt) => {
                            assert!(!failed, "round {round}: {receipt:?} behind a failure");
                            good += 1;
                        }
                        Err(_) => failed = true,
                    }
                }
                // On a busy machine the entries may need fewer flushes than that.
                let hit = journal.counts().flushes > round % 16;
                assert_eq!((failed, journal.durable().0), (hit, good), "round {round}");
                store.script.heal();
                let (_, state) = open(&config).await;
                assert!(
                    state.count >= good,
                    "round {round}: {} of {good}",
                    state.count
                );
                round < 160
            }
        })
        .await;
        let overlap = overlap.load(SeqCst);
        println!("at most {overlap} flushes under way");
        assert!(overlap >= 3, "{overlap}");
    });
}

/// A flush hangs, the journal takes over from itself and goes on; then the old
/// flush is answered, in the middle of the new ones.
#[test]
fn fc_4_the_late_answer_of_an_abandoned_flush_changes_nothing() {
    runtime().block_on(async {
        for answers in [Answers::Inline, Answers::Later] {
            let store = memory(answers);
            let mut config = config(&store);
            config.on_unknown = OnUnknown::Reopen;
            config.flush_timeout = Duration::from_millis(150);
            config.format(false).await.unwrap();
            let (journal, _) = open(&config).await;
            journal.append(&entry((1, 1), 0)).await.unwrap();
            store.script.hit_flush(0, Fault::Hang);
            let inside = tokio::spawn({
                let journal = journal.clone();
                async move { journal.append(&entry((1, 1), 1)).await }
            });
            tokio::time::sleep(Duration::from_millis(10)).await;
            let mut tasks = tokio::task::JoinSet::new();
            for task in 2..6 {
                let journal = journal.clone();
                tasks.spawn(async move {
                    let began = Instant::now();
                    for n in 0.. {
                        if began.elapsed() > Duration::from_millis(1200) {
                            return ((1, task), n);
                        }
                        journal.append(&entry((1, task), n)).await.unwrap();
                    }
                    unreachable!()
                });
            }
            tokio::time::sleep(Duration::from_millis(600)).await;
            store.script.heal();
            let appended = tasks.join_all().await;
            let receipt = inside.await.unwrap().unwrap();
            assert_eq!(receipt.seq.0, 1, "{answers:?}");
            assert_eq!(journal.counts().reopens, 1, "{answers:?}");
            let (_, state) = open(&config).await;
            for (writer, n) in appended {
                assert_eq!(state.next.get(&writer), Some(&n), "{answers:?}: {writer:?}");
            }
        }
    });
}

/// Formatting over a journal, cut short at every call: the place then holds the
/// old journal, or says that it is half-formatted, or holds a new empty one.
#[test]
fn a_format_by_force_that_fails_at_any_call_leaves_no_mixture() {
    runtime().block_on(async {
        for fault in [Fault::Dead, Fault::DeadAfter, Fault::Before] {
            let hits = in_turn(14, move |n| async move {
                let store = memory(Answers::Inline);
                let config = config(&store);
                let facts = Shared::default();
                work(config.clone(), facts.clone()).await.unwrap();
                let all = facts.lock().unwrap().state.count;
                store.script.hit(n, fault);
                let done = config.format(true).await;
                let (fired, what) = (store.script.fired(), store.script.what());
                store.script.heal();
                let case = format!("{fault:?} at call {n} ({what}, {done:?})");
                match config.primary().await {
                    Ok(mut recovery) => {
                        let state = State::recover(&mut recovery).await.unwrap();
                        let whole = state.count == all;
                        assert!(whole || state.count == 0, "{case}: {}", state.count);
                        assert!(!whole || done.is_err(), "{case}");
                    }
                    Err(error) => {
                        let kinds = [ErrorKind::HalfFormatted, ErrorKind::NotFormatted];
                        assert!(
                            done.is_err() && kinds.contains(&error.kind()),
                            "{case}: {error}"
                        );
                    }
                }
                config.format(true).await.unwrap();
                let mut recovery = config.primary().await.unwrap();
                assert_eq!(
                    State::recover(&mut recovery).await.unwrap(),
                    State::default()
                );
                recovery.start().await.unwrap().append(b"x").await.unwrap();
                fired
            })
            .await;
            println!("{fault:?}: {hits} calls");
            assert!(hits > 25);
        }
    });
}

#[test]
fn fc_12_a_format_by_force_that_hangs_ends_in_bounded_time() {
    runtime().block_on(async {
        let hits = in_turn(16, move |n| async move {
            let store = memory(Answers::Inline);
            let mut config = config(&store);
            config.store_timeout = Duration::from_millis(200);
            config.format(false).await.unwrap();
            let mut recovery = config.primary().await.unwrap();
            State::recover(&mut recovery).await.unwrap();
            recovery.start().await.unwrap().close().await.unwrap();
            store.script.hit(n, Fault::Hang);
            let done = tokio::time::timeout(Duration::from_secs(2), config.format(true)).await;
            let (fired, what) = (store.script.fired(), store.script.what());
            store.script.heal();
            let done = done.unwrap_or_else(|_| panic!("no answer; call {n} ({what})"));
            if let Err(error) = done {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            }
            config.format(true).await.unwrap();
            fired
        })
        .await;
        assert!(hits > 15, "{hits}");
    });
}

/// The same on the local backend, which moves the calls to other threads.
#[test]
fn fc_4_fc_5_every_call_of_the_local_store_fails_in_turn() {
    runtime().block_on(async {
        for fault in local_faults() {
            let hits = in_turn(14, move |n| async move {
                let folder = memory_folder();
                let local = in_memory(folder.path());
                let uri = &local.folder;
                let inner = local
                    .registry
                    .open(uri, &local.options, flushproof::Mode::ReadWrite);
                let store = Faulty::new(inner.await.unwrap(), Answers::Inline);
                let config = config(&store);
                let facts = Shared::default();
                store.script.hit(n, fault);
                let done = work(config.clone(), facts.clone()).await;
                let (fired, what) = (store.script.fired(), store.script.what());
                store.script.heal();
                let case = format!("local, {fault:?} at call {n} ({what}, {done:?})");
                open_again(&config, &facts, &case).await;
                fired
            })
            .await;
            println!("local, {fault:?}: {hits} calls");
            assert!(hits > 150);
        }
    });
}
