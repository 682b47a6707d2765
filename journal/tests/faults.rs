//! Every call to the store fails, hangs or is the last one, in turn (FC-4, FC-5,
//! FC-9, FC-12): nothing is acknowledged that is not there when the journal is
//! opened again, and nothing half done stands in the way.
//!
//! On the memory store inside a wrapper, once with flushes on the calling thread
//! and once with several under way that are answered in any order; and on the
//! simulated disk, with power cuts. `FLUSHPROOF_CUTS` sets how many cuts are
//! drawn at each call.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Error, ErrorKind, Journal, OnUnknown, Result, StoreUri, Verdict};
use flushproof_api::MemoryStore;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::faulty::{Answers, Fault, Faulty};
use support::state::{LONG, State, Writer, entry};
use support::{in_memory, memory_folder, runtime, soak};

/// What a piece of work was told.
#[derive(Default)]
struct Facts {
    acked: Vec<(Writer, u64)>,
    /// Appends that failed.
    failed: Vec<Error>,
    /// Every acknowledged entry lies below it, every failed one not.
    acked_below: u64,
    failed_from: Option<u64>,
    /// The state of all that was accepted.
    state: State,
    formatted: bool,
    serving: bool,
    closing: bool,
    reopens: u64,
}

type Shared = Arc<Mutex<Facts>>;

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

/// Appends `n` entries of a writer at once, as one flush or several.
async fn append(journal: &Journal, facts: &Shared, writer: Writer, n: u64) {
    let mut acks = Vec::new();
    for _ in 0..n {
        let next = |f: &Facts| f.state.next.get(&writer).copied().unwrap_or(0);
        let place = next(&facts.lock().unwrap());
        let bytes = entry(writer, place);
        let permit = match journal.reserve(bytes.len()).await {
            Ok(permit) => permit,
            Err(error) => return facts.lock().unwrap().failed.push(error),
        };
        let mut facts = facts.lock().unwrap();
        match permit.append(&bytes) {
            Ok(ack) => {
                facts.state.apply(ack.seq(), &bytes);
                acks.push((place, ack));
            }
            Err(error) => return facts.failed.push(error),
        }
    }
    for (place, ack) in acks {
        let seq = ack.seq();
        match ack.await {
            Ok(receipt) => {
                assert_eq!(receipt.seq, seq);
                let mut facts = facts.lock().unwrap();
                facts.acked.push((writer, place));
                facts.acked_below = facts.acked_below.max(seq.0 + 1);
            }
            Err(error) => {
                let mut facts = facts.lock().unwrap();
                facts.failed.push(error);
                facts.failed_from = Some(facts.failed_from.unwrap_or(seq.0).min(seq.0));
            }
        }
    }
}

async fn checkpoint(journal: &Journal, facts: &Shared) -> Result<()> {
    let (at, state) = {
        let facts = facts.lock().unwrap();
        (journal.accepted(), facts.state.clone())
    };
    let mut writer = journal.checkpoint(at).await?;
    for entry in state.entries() {
        writer.entry(&entry).await?;
    }
    writer.commit().await.map(|_| ())
}

/// Opens, appends, rolls, checkpoints, trims, closes; goes on as far as it gets.
async fn serve(config: &Config, facts: &Shared, run: u64) -> Result<()> {
    let mut recovery = config.primary().await?;
    let state = State::recover(&mut recovery).await?;
    for (writer, n) in &facts.lock().unwrap().acked {
        assert!(state.has(*writer, *n), "{writer:?} {n} is lost");
    }
    facts.lock().unwrap().state = state;
    let journal = recovery.start().await?;
    facts.lock().unwrap().serving = true;
    for n in [1, 3, 2] {
        append(&journal, facts, (run, 1), n).await;
    }
    // Two at a time.
    tokio::join!(
        append(&journal, facts, (run, 1), 2),
        append(&journal, facts, (run, 2), 2)
    );
    let _ = checkpoint(&journal, facts).await;
    // Enough for a roll or two.
    for _ in 0..14 {
        append(&journal, facts, (run, LONG), 1).await;
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    let _ = checkpoint(&journal, facts).await;
    append(&journal, facts, (run, 1), 1).await;
    let _ = journal.trim().await;
    append(&journal, facts, (run, 2), 2).await;
    let failed = facts.lock().unwrap().failed.first().cloned();
    facts.lock().unwrap().reopens += journal.counts().reopens;
    if let Some(first) = failed {
        // FC-4: nothing is acknowledged behind it.
        {
            let facts = facts.lock().unwrap();
            let from = facts.failed_from.unwrap_or(u64::MAX);
            assert!(facts.acked_below <= from, "acknowledged behind {first}");
        }
        let error = journal.append(b"more").await.unwrap_err();
        assert_eq!(error.kind(), first.kind(), "{error} after {first}");
        assert!(journal.close().await.is_err());
        return Err(first);
    }
    facts.lock().unwrap().closing = true;
    journal.close().await
}

/// Formats and serves twice.
async fn work(config: Config, facts: Shared) -> Result<()> {
    config.format(false).await?;
    facts.lock().unwrap().formatted = true;
    for run in 1..3 {
        {
            let mut facts = facts.lock().unwrap();
            (facts.serving, facts.closing) = (false, false);
        }
        serve(&config, &facts, run).await?;
    }
    Ok(())
}

/// Opens what is left; all that was acknowledged is there, and it goes on.
async fn open_again(config: &Config, facts: &Shared, case: &str) {
    let mut recovery = match config.primary().await {
        Err(error) if error.kind() == ErrorKind::NotFormatted => {
            let lost = |f: &Facts| f.formatted || !f.acked.is_empty();
            assert!(!lost(&facts.lock().unwrap()), "{case}: {error}");
            config.format(false).await.unwrap();
            config.primary().await.unwrap()
        }
        other => other.unwrap_or_else(|e| panic!("{case}: {e}")),
    };
    let state = State::recover(&mut recovery).await;
    let state = state.unwrap_or_else(|e| panic!("{case}: {e}"));
    for (writer, n) in &facts.lock().unwrap().acked {
        assert!(
            state.has(*writer, *n),
            "{case}: entry {n} of {writer:?} was acknowledged and is lost"
        );
    }
    let journal = recovery.start().await;
    let journal = journal.unwrap_or_else(|e| panic!("{case}: {e}"));
    let receipt = journal.append(&entry((9, 9), 0)).await.unwrap();
    assert_eq!(receipt.seq.0, state.count, "{case}");
    journal.close().await.unwrap();
    let report = config.reader().await.unwrap().verify(|_, _| {}).await;
    let report = report.unwrap();
    assert!(report.verdict() < Verdict::Corrupt, "{case}: {report:?}");
}

/// Runs `case` with 0, 1, 2, … until it says that nothing was hit any more;
/// several at a time.
async fn in_turn<F>(at_once: usize, case: impl Fn(u64) -> F) -> u64
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut running = tokio::task::JoinSet::new();
    let (mut next, mut hits, mut more) = (0, 0, true);
    loop {
        while more && running.len() < at_once {
            running.spawn(case(next));
            next += 1;
        }
        match running.join_next().await {
            None => return hits,
            Some(hit) => match hit.unwrap() {
                true => hits += 1,
                false => more = false,
            },
        }
    }
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
                    config.flush_timeout = Duration::from_millis(60);
                    config.store_timeout = Duration::from_millis(60);
                    config.on_unknown = on_unknown;
                    let facts = Shared::default();
                    store.script.hit(n, Fault::Hang);
                    let began = Instant::now();
                    let mut task = tokio::spawn(work(config.clone(), facts.clone()));
                    let done = tokio::time::timeout(Duration::from_secs(1), &mut task).await;
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
            config.store_timeout = Duration::from_millis(60);
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
