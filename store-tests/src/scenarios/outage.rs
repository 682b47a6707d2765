//! A server that is killed in mid-stream, and one that hangs (FC-12).

use super::serve;
use crate::state::{State, entry};
use crate::store::{Place, ServerPlace, Store};
use crate::{Random, figures, runtime};
use flushproof::{ErrorKind, Journal, OnUnknown};
use flushproof_testbed::Bed;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How many tasks append while the server is killed.
const TASKS: u64 = 8;

fn place_of(store: &Store) -> ServerPlace {
    match store.place {
        Place::Server(place) => place,
        _ => panic!("{} is not on a server", store.name),
    }
}

/// What the appending tasks did.
#[derive(Default)]
struct Work {
    stop: AtomicBool,
    acks: AtomicU64,
    failed: Mutex<Vec<String>>,
    /// Of each task, how many entries were acknowledged.
    acked: Mutex<Vec<((u64, u64), u64)>>,
}

async fn append(journal: Journal, work: Arc<Work>, task: u64) {
    let mut n = 0;
    while !work.stop.load(SeqCst) {
        match journal.append(&entry((1, task), n)).await {
            Ok(_) => {
                n += 1;
                work.acks.fetch_add(1, SeqCst);
            }
            Err(error) => {
                work.failed.lock().unwrap().push(error.to_string());
                break;
            }
        }
    }
    work.acked.lock().unwrap().push(((1, task), n));
}

/// Waits until one more entry is acknowledged than now.
fn wait_for_ack(work: &Work, patience: Duration, what: &str) -> Duration {
    let began = Instant::now();
    let before = work.acks.load(SeqCst);
    // More than what was durable before and is told only now.
    while work.acks.load(SeqCst) < before + TASKS + 1 {
        let failed = work.failed.lock().unwrap().clone();
        assert!(failed.is_empty(), "{what}: appends failed: {failed:?}");
        assert!(
            began.elapsed() < patience,
            "{what}: no ack within {patience:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    began.elapsed()
}

/// Kills a process of the server under load, again and again: no append fails,
/// nothing acknowledged is lost, and appends go on in time.
pub fn kill_server(store: &Store, kills: u64) {
    let place = place_of(store);
    let bed = Bed::start(place.server).unwrap_or_else(|why| panic!("{why}"));
    let root = store.fresh_on(&bed);
    let mut random = Random::new("kills of the server");
    let mut config = root.access.config();
    config.on_unknown = OnUnknown::Reopen;
    config.flush_timeout = Duration::from_secs(5);
    config.reopen_timeout = Duration::from_secs(60);
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let (_, journal) = runtime.block_on(serve(&config));
    let work = Arc::new(Work::default());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| runtime.spawn(append(journal.clone(), work.clone(), task)))
        .collect();
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        wait_for_ack(&work, Duration::from_secs(30), "before the kill");
        std::thread::sleep(random.micros(300_000));
        let id = place.killed[random.below(place.killed.len() as u64) as usize];
        // A backend that tries its requests again rides out a short outage, so that
        // the journal need not take over from itself.
        let longer = match store.slow && kill % 2 == 1 {
            true => config.flush_timeout,
            false => Duration::ZERO,
        };
        let down = random.micros(1_500_000) + longer;
        let took = kill_once(place, &bed, id, down, &work);
        println!(
            "{}: kill {kill} of {id}: appends went on after {took:?}",
            store.name
        );
        slowest = slowest.max(took);
    }
    work.stop.store(true, SeqCst);
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    let failed = work.failed.lock().unwrap().clone();
    assert!(failed.is_empty(), "appends failed: {failed:?}");
    let reopens = journal.counts().reopens;
    runtime.block_on(journal.close()).unwrap();
    let (state, journal) = runtime.block_on(serve(&config));
    check(&state, &work);
    runtime.block_on(journal.close()).unwrap();
    println!(
        "{}: {kills} kills, {} acks, {reopens} reopens, slowest {slowest:?}; none lost, none failed",
        store.name,
        work.acks.load(SeqCst)
    );
    assert!(
        kills == 0 || reopens > 0 || place.replicated,
        "no kill hit a flush"
    );
    note(kills, &work, reopens, slowest);
}

fn note(kills: u64, work: &Work, reopens: u64, slowest: Duration) {
    let acks = work.acks.load(SeqCst).to_string();
    let slowest = format!("{:.2}s", slowest.as_secs_f64());
    let more = [
        ("acks", acks),
        ("reopens", reopens.to_string()),
        ("slowest", slowest),
    ];
    figures::note(
        "kill -9 of a server's process",
        "FLUSHPROOF_SERVER_KILLS",
        kills,
        &more,
    );
}

/// Kills a process and starts it again: after `down`, or, where others have what it
/// has, once appends went on without it. Says after which time they went on.
fn kill_once(place: ServerPlace, bed: &Bed, id: &str, down: Duration, work: &Work) -> Duration {
    bed.process(id).kill().unwrap();
    if place.replicated {
        let took = wait_for_ack(work, place.goes_on, "a replica was killed");
        bed.process(id).start().unwrap();
        return took;
    }
    std::thread::sleep(down);
    bed.process(id).start().unwrap();
    wait_for_ack(work, place.goes_on, "the server is back")
}

fn check(state: &State, work: &Work) {
    for (writer, acked) in work.acked.lock().unwrap().iter() {
        let there = state.next.get(writer).copied().unwrap_or(0);
        assert_eq!(there, *acked, "entries of {writer:?}");
    }
}

/// Stops the server's processes: flushes, reads and openings fail in time, and
/// after it was woken a new primary has every acknowledged entry.
pub fn hang_server(store: &Store) {
    let place = place_of(store);
    let bed = Bed::start(place.server).unwrap_or_else(|why| panic!("{why}"));
    let root = store.fresh_on(&bed);
    let mut config = root.access.config();
    config.flush_timeout = Duration::from_secs(2);
    config.store_timeout = Duration::from_secs(3);
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let (_, journal) = runtime.block_on(serve(&config));
    for n in 0..10 {
        runtime.block_on(journal.append(&entry((1, 0), n))).unwrap();
    }
    for id in place.stopped {
        bed.process(id).stop().unwrap();
    }
    let began = Instant::now();
    let error = runtime
        .block_on(journal.append(&entry((1, 0), 10)))
        .unwrap_err();
    let took = began.elapsed();
    assert!(
        took < config.flush_timeout + Duration::from_secs(1),
        "{took:?}: {error}"
    );
    let kinds = [ErrorKind::TimedOut, ErrorKind::Unreachable, ErrorKind::Io];
    assert!(kinds.contains(&error.kind()), "{}: {error}", error.kind());
    println!("{}: a hung flush: {took:?}: {error}", store.name);
    let began = Instant::now();
    let error = runtime.block_on(config.reader()).unwrap_err();
    let took = began.elapsed();
    assert!(
        took < config.store_timeout + Duration::from_secs(1),
        "{took:?}: {error}"
    );
    println!("{}: a hung opening: {took:?}: {error}", store.name);
    for id in place.stopped {
        bed.process(id).cont().unwrap();
    }
    drop(journal);
    config.store_timeout = Duration::from_secs(60);
    config.take_over = true;
    let (state, journal) = runtime.block_on(serve(&config));
    assert!(state.has((1, 0), 9), "{state:?}");
    runtime.block_on(journal.append(&entry((2, 0), 0))).unwrap();
    runtime.block_on(journal.close()).unwrap();
}
