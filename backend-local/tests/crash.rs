//! Power cuts and failing calls at every point, on the simulated disk.
//!
//! A fixed piece of work notes what was acknowledged. Then the disk loses what
//! was not synced, and everything that was acknowledged has to be there.
//! `FLUSHPROOF_CUTS` sets how many power cuts are drawn at each point.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use flushproof_backend_local::{Failure, LocalStore, SimulatedDisk};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many power cuts are drawn at each point.
fn cuts() -> u64 {
    let set = std::env::var("FLUSHPROOF_CUTS").ok();
    set.map_or(2, |n| n.parse().unwrap())
}

fn block_of(store: &LocalStore) -> u64 {
    store.contract().block as u64
}

/// How sure it is that something was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Done {
    #[default]
    No,
    Maybe,
    Yes,
}

impl Done {
    fn note<T>(&mut self, result: &Result<T>) {
        *self = match result {
            Ok(_) => Done::Yes,
            // A refusal because it is done already, or certainly nothing.
            Err(e) if e.outcome() == Outcome::NotWritten => *self,
            Err(_) if *self == Done::No => Done::Maybe,
            Err(_) => *self,
        };
    }
}

#[derive(Debug, Default)]
struct LogFacts {
    created: Done,
    deleted: Done,
    fenced: Done,
    fence_len: u64,
    sealed: Done,
    /// One byte for each block whose flush was Ok.
    acknowledged: Vec<u8>,
    /// Blocks whose flush failed and certainly wrote nothing: place and byte.
    not_written: Vec<(usize, u8)>,
    failed: bool,
}

#[derive(Debug, Default)]
struct ObjectFacts {
    committed: Done,
    deleted: Done,
    content: Bytes,
}

#[derive(Debug, Default)]
struct Facts {
    logs: BTreeMap<&'static str, LogFacts>,
    objects: BTreeMap<&'static str, ObjectFacts>,
}

/// The work, and whether it goes on after an error.
struct Work {
    store: LocalStore,
    facts: Facts,
    go_on: bool,
    value: u8,
}

/// The work ends here.
struct End;

impl Work {
    fn ends<T>(&self, result: Result<T>) -> std::result::Result<Option<T>, End> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.go_on => Ok(None),
            Err(_) => Err(End),
        }
    }

    async fn create(
        &mut self,
        at: &'static str,
    ) -> std::result::Result<Option<Box<dyn LogWriter>>, End> {
        let options = LogOptions::default().with_size_hint(4 * block_of(&self.store));
        let result = self.store.create_log(&path(at), options).await;
        self.facts.logs.entry(at).or_default().created.note(&result);
        self.ends(result)
    }

    async fn flush(
        &mut self,
        at: &'static str,
        log: &mut Option<Box<dyn LogWriter>>,
    ) -> std::result::Result<(), End> {
        let Some(log) = log else { return Ok(()) };
        self.value += 1;
        let result = log.flush(batch(&self.store, 1, self.value)).await;
        let facts = self.facts.logs.get_mut(at).unwrap();
        match &result {
            Ok(flushed) => {
                assert!(!facts.failed, "FC-4: Ok after a failure");
                facts.acknowledged.push(self.value);
                let blocks = facts.acknowledged.len() as u64;
                assert_eq!(flushed.len, blocks * block_of(&self.store));
            }
            Err(e) if e.outcome() == Outcome::NotWritten => {
                let place = facts.acknowledged.len();
                facts.not_written.push((place, self.value));
            }
            Err(_) => {}
        }
        facts.failed |= result.is_err();
        self.ends(result).map(|_| ())
    }

    async fn seal(
        &mut self,
        at: &'static str,
        log: &mut Option<Box<dyn LogWriter>>,
    ) -> std::result::Result<(), End> {
        let Some(log) = log else { return Ok(()) };
        let result = log.seal().await;
        let facts = self.facts.logs.get_mut(at).unwrap();
        assert!(
            !(facts.failed && result.is_ok()),
            "FC-4: Ok after a failure"
        );
        facts.sealed.note(&result);
        self.ends(result).map(|_| ())
    }

    async fn fence(&mut self, at: &'static str) -> std::result::Result<(), End> {
        let result = self.store.fence_log(&path(at)).await;
        let facts = self.facts.logs.get_mut(at).unwrap();
        facts.fenced.note(&result);
        if let Ok(len) = &result {
            facts.fence_len = *len;
        }
        self.ends(result).map(|_| ())
    }

    async fn put(&mut self, at: &'static str, content: Bytes) -> std::result::Result<(), End> {
        let result = async {
            let options = ObjectOptions::default();
            let mut object = self.store.create_object(&path(at), options).await?;
            object.write(content.clone()).await?;
            object.commit().await
        }
        .await;
        let facts = self.facts.objects.entry(at).or_default();
        facts.content = content;
        facts.committed.note(&result);
        self.ends(result).map(|_| ())
    }

    async fn delete(&mut self, at: &'static str) -> std::result::Result<(), End> {
        let result = self.store.delete(&path(at)).await;
        for deleted in [
            self.facts.logs.get_mut(at).map(|f| &mut f.deleted),
            self.facts.objects.get_mut(at).map(|f| &mut f.deleted),
        ]
        .into_iter()
        .flatten()
        {
            deleted.note(&result);
        }
        self.ends(result).map(|_| ())
    }

    async fn run(&mut self) -> std::result::Result<(), End> {
        let lock = self.store.host_lock(HostLock::Polite).await;
        self.ends(lock)?;
        self.put("FORMAT", Bytes::from_static(b"format")).await?;
        self.put("epoch/1", Bytes::from_static(b"nonce")).await?;
        let mut a = self.create("log/1-0").await?;
        for _ in 0..6 {
            self.flush("log/1-0", &mut a).await?; // outgrows its four blocks
        }
        let mut b = self.create("log/1-1").await?;
        self.flush("log/1-1", &mut b).await?;
        drop(a);
        self.delete("log/1-0").await?; // becomes a spare, if it is fit
        let mut c = self.create("log/1-2").await?;
        self.flush("log/1-2", &mut c).await?;
        self.put("checkpoint/7-1", Bytes::from(vec![9; 300_000]))
            .await?;
        self.fence("log/1-1").await?;
        if let Some(b) = &mut b {
            let late = batch(&self.store, 1, 255);
            assert!(b.flush(late).await.is_err() || self.go_on);
        }
        self.flush("log/1-2", &mut c).await?;
        self.seal("log/1-2", &mut c).await?;
        self.delete("FORMAT").await?;
        self.delete("log/1-1").await?;
        let mut d = self.create("log/2-0").await?;
        self.flush("log/2-0", &mut d).await
    }
}

async fn work(disk: &SimulatedDisk, method: &str, go_on: bool) -> Facts {
    let options = Options::new().with("method", method);
    match LocalStore::open_simulated(disk, &options, Mode::ReadWrite).await {
        Err(_) => Facts::default(),
        Ok(store) => {
            let mut work = Work {
                store,
                facts: Facts::default(),
                go_on,
                value: 0,
            };
            let _ = work.run().await;
            work.facts
        }
    }
}

/// Holds what was noted against what is there after a power cut.
async fn check(disk: &SimulatedDisk, method: &str, facts: &Facts, why: &str) {
    let options = Options::new().with("method", method);
    let after = disk.power_cut();
    let store = LocalStore::open_simulated(&after, &options, Mode::ReadWrite)
        .await
        .unwrap();
    let rows = listed(&store).await;
    let has = |at: &str, kind| rows.iter().any(|r| r.path.as_str() == at && r.kind == kind);
    for (at, log) in &facts.logs {
        let there = has(at, ListedKind::Log);
        match (log.created, log.deleted) {
            (Done::Yes, Done::No) => assert!(there, "FC-7: {at} is gone {why}"),
            (Done::No, _) | (_, Done::Yes) => assert!(!there, "FC-7: {at} is there {why}"),
            _ => {}
        }
        if there {
            check_log(&store, at, log, why).await;
        }
        if log.fenced == Done::Yes {
            let len = store.fence_log(&path(at)).await.unwrap();
            assert!(len >= log.fence_len, "FC-9 (e): {at} {why}");
            let again = create_log(&store, at).await;
            assert_eq!(kind(again), ErrorKind::Fenced, "FC-9 (d): {at} {why}");
        }
    }
    for (at, object) in &facts.objects {
        let there = has(at, ListedKind::Object);
        match (object.committed, object.deleted) {
            (Done::Yes, Done::No) => assert!(there, "FC-7: {at} is gone {why}"),
            (Done::No, _) | (_, Done::Yes) => assert!(!there, "FC-7: {at} is there {why}"),
            _ => {}
        }
        if there {
            let content = read_all(&store, &path(at), Source::Medium).await;
            assert_eq!(content, object.content, "FC-5: {at} is not whole {why}");
        }
    }
    store.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
}

async fn check_log(store: &LocalStore, at: &str, log: &LogFacts, why: &str) {
    let bytes = read_all(store, &path(at), Source::Medium).await;
    let unit = store.contract().block;
    let block = |n: usize| bytes.get(n * unit..(n + 1) * unit);
    for (n, value) in log.acknowledged.iter().enumerate() {
        let block = block(n).unwrap_or_default();
        let whole = block.len() == unit && block.iter().all(|b| b == value);
        assert!(whole, "FC-1: block {n} of {at} is not there {why}");
    }
    for (n, value) in &log.not_written {
        let there = block(*n).is_some_and(|block| block.iter().all(|b| b == value));
        assert!(!there, "block {n} of {at} was said not to be written {why}");
    }
    if log.sealed == Done::Yes {
        let len = log.acknowledged.len() * unit;
        assert_eq!(bytes.len(), len, "FC-3: {at} {why}");
    }
}

const METHODS: [&str; 3] = ["direct", "dsync", "fdatasync"];

#[tokio::test]
async fn the_work_is_done_when_nothing_fails() {
    for method in METHODS {
        let disk = SimulatedDisk::new(0);
        let facts = work(&disk, method, false).await;
        assert_eq!(facts.logs["log/1-0"].deleted, Done::Yes);
        assert_eq!(facts.logs["log/1-2"].sealed, Done::Yes);
        assert_eq!(facts.logs["log/2-0"].acknowledged.len(), 1);
        for _ in 0..cuts() {
            check(&disk, method, &facts, "at the end").await;
        }
    }
}

#[tokio::test]
async fn fc_1_fc_5_fc_7_a_power_cut_at_every_call() {
    for method in METHODS {
        let whole = SimulatedDisk::new(0);
        work(&whole, method, false).await;
        assert!(whole.calls() > 100);
        for call in 0..whole.calls() {
            let disk = SimulatedDisk::new(call);
            disk.stop_at(call);
            let facts = work(&disk, method, false).await;
            for cut in 0..cuts() {
                let why = format!("after a power cut at call {call} ({method}, cut {cut})");
                check(&disk, method, &facts, &why).await;
            }
        }
    }
}

#[tokio::test]
async fn fc_4_fc_12_a_failing_call_at_every_place() {
    for method in METHODS {
        let whole = SimulatedDisk::new(0);
        work(&whole, method, false).await;
        for failure in [Failure::Io, Failure::NoSpace, Failure::Short] {
            for call in 0..whole.calls() {
                let disk = SimulatedDisk::new(call);
                disk.fail_at(call, failure);
                let facts = work(&disk, method, true).await;
                for cut in 0..cuts() {
                    let why = format!("{failure:?} at call {call} ({method}, cut {cut})");
                    check(&disk, method, &facts, &why).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn fc_12_a_disk_that_fills_up_at_any_point() {
    for method in METHODS {
        for capacity in (0..32).map(|n| n * 1024).chain([400_000, 1 << 20, 2 << 20]) {
            let disk = SimulatedDisk::new(capacity);
            disk.set_capacity(capacity);
            let facts = work(&disk, method, true).await;
            disk.set_capacity(u64::MAX);
            let why = format!("with {capacity} bytes of room ({method})");
            check(&disk, method, &facts, &why).await;
        }
    }
}

#[tokio::test]
async fn fc_12_a_full_disk_is_no_space_and_certainly_not_written() {
    for method in METHODS {
        let disk = SimulatedDisk::new(7);
        let options = Options::new().with("method", method);
        let store = LocalStore::open_simulated(&disk, &options, Mode::ReadWrite)
            .await
            .unwrap();
        let unit = block_of(&store);
        disk.set_capacity(8 * unit);
        let options = LogOptions::default().with_size_hint(9 * unit);
        let e = error(store.create_log(&path("log/1-0"), options).await);
        assert_eq!(
            (e.kind(), e.outcome()),
            (ErrorKind::NoSpace, Outcome::NotWritten)
        );
        assert!(names(&store).await.is_empty());
        let options = LogOptions::default().with_size_hint(4 * unit);
        let mut log = store.create_log(&path("log/1-0"), options).await.unwrap();
        for n in 0..8 {
            log.flush(batch(&store, 1, n + 1)).await.unwrap();
        }
        let e = error(log.flush(batch(&store, 1, 9)).await);
        assert_eq!(
            (e.kind(), e.outcome()),
            (ErrorKind::NoSpace, Outcome::NotWritten)
        );
        disk.set_capacity(u64::MAX);
        assert_eq!(
            kind(log.flush(batch(&store, 1, 9)).await),
            ErrorKind::Poisoned
        );
        let bytes = read_all(&store, &path("log/1-0"), Source::Medium).await;
        assert_eq!(bytes.len() as u64, 8 * unit);
    }
}

#[tokio::test]
async fn fc_4_a_failed_sync_is_not_forgotten() {
    let disk = SimulatedDisk::new(9);
    let options = Options::new().with("method", "fdatasync");
    let store = LocalStore::open_simulated(&disk, &options, Mode::ReadWrite)
        .await
        .unwrap();
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 1, 1)).await.unwrap();
    disk.fail_at(disk.calls() + 1, Failure::Io); // the write is Ok, its sync is not
    let e = error(log.flush(batch(&store, 1, 2)).await);
    assert_eq!((e.kind(), e.outcome()), (ErrorKind::Io, Outcome::Unknown));
    // The kernel would now say Ok to everything.
    let calls = disk.calls();
    for _ in 0..3 {
        assert_eq!(
            kind(log.flush(batch(&store, 1, 3)).await),
            ErrorKind::Poisoned
        );
        assert_eq!(kind(log.seal().await), ErrorKind::Poisoned);
    }
    assert_eq!(
        disk.calls(),
        calls,
        "a poisoned writer asks the disk for nothing"
    );
    // Nor is the segment used again.
    drop(log);
    store.delete(&path("log/1-0")).await.unwrap();
    let flushes = disk.flushes();
    create_log(&store, "log/1-1").await.unwrap();
    assert!(disk.flushes() - flushes >= 2, "a fresh segment was made");
}

#[tokio::test]
async fn fc_9_the_medium_shows_what_the_cache_hides() {
    let disk = SimulatedDisk::new(10);
    let options = Options::new().with("method", "fdatasync");
    let store = LocalStore::open_simulated(&disk, &options, Mode::ReadWrite)
        .await
        .unwrap();
    let at = path("log/1-0");
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 1, 1)).await.unwrap();
    disk.fail_at(disk.calls() + 1, Failure::Io);
    assert!(log.flush(batch(&store, 8, 2)).await.is_err());
    let unit = store.contract().block;
    let cached = read_all(&store, &at, Source::Any).await;
    assert!(
        cached[unit..9 * unit].iter().all(|b| *b == 2),
        "as if all were well"
    );
    store.fence_log(&at).await.unwrap();
    let medium = read_all(&store, &at, Source::Medium).await;
    assert!(medium[unit..9 * unit].contains(&0));
    for _ in 0..8 {
        let after = LocalStore::open_simulated(&disk.power_cut(), &options, Mode::ReadWrite)
            .await
            .unwrap();
        assert_eq!(read_all(&after, &at, Source::Medium).await, medium);
    }
}

#[tokio::test]
async fn fc_9_a_fence_that_comes_while_a_log_is_sealed() {
    let disk = SimulatedDisk::new(11);
    let options = Options::new();
    let mode = Mode::ReadWrite;
    let old = LocalStore::open_simulated(&disk, &options, mode)
        .await
        .unwrap();
    let new = LocalStore::open_simulated(&disk, &options, mode)
        .await
        .unwrap();
    let at = path("log/1-0");
    let mut log = create_log(&old, "log/1-0").await.unwrap();
    log.flush(batch(&old, 1, 1)).await.unwrap();
    let unit = block_of(&old);
    assert_eq!(log.seal().await.unwrap(), unit);
    // As if the fence had been there with the old length before the seal.
    let len = new.fence_log(&at).await.unwrap();
    assert_eq!(len, unit);
    assert!(new.fence_log(&at).await.unwrap() >= len);
    assert_eq!(read_all(&new, &at, Source::Medium).await.len() as u64, len);
}

#[tokio::test]
async fn device_flushes_are_counted() {
    let disk = SimulatedDisk::new(13);
    let store = LocalStore::open_simulated(&disk, &Options::new(), Mode::ReadWrite)
        .await
        .unwrap();
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let before = store.device_flushes();
    for _ in 0..10 {
        log.flush(batch(&store, 1, 1)).await.unwrap();
    }
    assert_eq!(store.device_flushes() - before, 10);
    assert_eq!(store.device_flushes(), disk.flushes());
}

#[tokio::test]
async fn the_host_lock_on_a_simulated_disk() {
    let disk = SimulatedDisk::new(15);
    let open = || async {
        LocalStore::open_simulated(&disk, &Options::new(), Mode::ReadWrite)
            .await
            .unwrap()
    };
    let (first, second) = (open().await, open().await);
    first.host_lock(HostLock::Polite).await.unwrap();
    assert_eq!(
        kind(second.host_lock(HostLock::Polite).await),
        ErrorKind::Busy
    );
    second.host_lock(HostLock::TakeOver).await.unwrap();
    drop(second);
    open().await.host_lock(HostLock::Polite).await.unwrap();
}
