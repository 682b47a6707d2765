//! Appenders that live as long as the bench and work one block when told to.
//!
//! Starting tasks costs, and so does waking them; neither is the journal's
//! work. So the tasks wait for a signal, and a block lasts from the first
//! append that begins to the last that is acknowledged.

use crate::{Failure, Result};
use flushproof::Journal;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What the appenders do in a block.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many there are.
    pub tasks: usize,
    /// The length of an entry.
    pub entry_bytes: usize,
    /// How many entries each appends in a block, one after the other is durable.
    pub each: usize,
}

/// What came out of a block.
#[derive(Clone, Debug)]
pub struct Block {
    /// From the first append to the last acknowledgement.
    pub time: Duration,
    /// Entries acknowledged.
    pub entries: usize,
    /// How long the appends of a lone appender took; empty when there are several.
    pub latencies: Vec<Duration>,
}

impl Block {
    /// Entries per second.
    pub fn rate(&self) -> f64 {
        self.entries as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// The appenders of one journal.
#[derive(Debug)]
pub struct Crew {
    plan: Plan,
    start: watch::Sender<u64>,
    done: Receiver<std::result::Result<(), Failure>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    born: Instant,
    first: AtomicU64,
    last: AtomicU64,
    working: AtomicUsize,
    latencies: Mutex<Vec<Duration>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.born.elapsed().as_nanos() as u64
    }
}

impl Crew {
    /// Starts the appenders. They end when the crew is dropped.
    pub fn start(runtime: &Runtime, journal: &Journal, plan: Plan) -> Crew {
        let (start, _) = watch::channel(0);
        let (tell, done) = channel();
        let shared = Arc::new(Shared {
            born: Instant::now(),
            first: u64::MAX.into(),
            last: 0.into(),
            working: 0.into(),
            latencies: Mutex::default(),
        });
        for _ in 0..plan.tasks {
            let (journal, shared, tell) = (journal.clone(), shared.clone(), tell.clone());
            runtime.spawn(appender(journal, plan, start.subscribe(), shared, tell));
        }
        Crew {
            plan,
            start,
            done,
            shared,
        }
    }

    /// Runs one block and waits for it.
    ///
    /// # Errors
    /// The first appender that failed.
    pub fn block(&self) -> Result<Block> {
        let shared = &self.shared;
        shared.first.store(u64::MAX, SeqCst);
        shared.last.store(0, SeqCst);
        shared.working.store(self.plan.tasks, SeqCst);
        self.start.send_modify(|block| *block += 1);
        self.done.recv().map_err(|_| "the appenders are gone")??;
        let time = shared.last.load(SeqCst) - shared.first.load(SeqCst);
        let mut latencies = shared
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Block {
            time: Duration::from_nanos(time),
            entries: self.plan.tasks * self.plan.each,
            latencies: std::mem::take(&mut *latencies),
        })
    }
}

async fn appender(
    journal: Journal,
    plan: Plan,
    mut start: watch::Receiver<u64>,
    shared: Arc<Shared>,
    tell: Sender<Result<()>>,
) {
    let entry = vec![7u8; plan.entry_bytes];
    while start.changed().await.is_ok() {
        start.borrow_and_update();
        shared.first.fetch_min(shared.now(), SeqCst);
        let worked = work(&journal, plan, &entry, &shared).await;
        shared.last.fetch_max(shared.now(), SeqCst);
        let failed = worked.is_err();
        if failed || shared.working.fetch_sub(1, SeqCst) == 1 {
            let _ = tell.send(worked);
        }
        if failed {
            return;
        }
    }
}

async fn work(journal: &Journal, plan: Plan, entry: &[u8], shared: &Shared) -> Result<()> {
    if plan.tasks > 1 {
        for _ in 0..plan.each {
            journal.append(entry).await?;
        }
        return Ok(());
    }
    let mut latencies = Vec::with_capacity(plan.each);
    let mut began = Instant::now();
    for _ in 0..plan.each {
        journal.append(entry).await?;
        let now = Instant::now();
        latencies.push(now - began);
        began = now;
    }
    *shared
        .latencies
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = latencies;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null;

    #[test]
    fn every_entry_of_a_block_is_appended() {
        let runtime = crate::runtime().unwrap();
        let journal = runtime.block_on(null::journal()).unwrap();
        for (tasks, each) in [(1, 5), (7, 3)] {
            let before = journal.counts().entries;
            let plan = Plan {
                tasks,
                entry_bytes: 10,
                each,
            };
            let crew = Crew::start(&runtime, &journal, plan);
            for block in 1..=3 {
                let ran = crew.block().unwrap();
                let wanted = if tasks == 1 { each } else { 0 };
                assert_eq!((ran.entries, ran.latencies.len()), (tasks * each, wanted));
                let appended = journal.counts().entries - before;
                assert_eq!(appended, (block * tasks * each) as u64);
            }
        }
        runtime.block_on(journal.clone().close()).unwrap();
        let plan = Plan {
            tasks: 2,
            entry_bytes: 10,
            each: 1,
        };
        let crew = Crew::start(&runtime, &journal, plan);
        assert!(crew.block().unwrap_err().to_string().contains("closed"));
    }
}
