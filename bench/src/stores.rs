//! Appends on the storages that are reached over a network, beside the bare call
//! of each: one writer's latency, and what 64 tasks get of one writer's rate.
//! All three take turns, so that a noisy minute hits them alike.

use crate::crew::{Block, Crew, Plan};
use crate::row::Row;
use crate::{Result, stats};
use async_trait::async_trait;
use flushproof::{Config, Journal};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How many calls or appends of one task are one block.
const EACH: usize = 16;

/// Blocks that warm up and are not counted.
const WARM_UP: usize = 5;

/// How many tasks are beside the one.
const MANY: usize = 64;

/// The length of an entry.
pub const ENTRY: usize = 256;

/// The bare call of a storage, with [`ENTRY`] bytes or, where the storage has larger
/// units, one unit, as a flush has.
#[async_trait]
pub trait Bare: Send {
    /// Once more; its bytes are durable when it returns.
    ///
    /// # Errors
    /// What the storage says.
    async fn call(&mut self) -> Result<()>;
}

/// A storage to be measured.
pub struct Store {
    /// Its name in the table.
    pub name: &'static str,
    /// An empty place on it.
    pub config: Config,
    /// Its bare call.
    pub bare: Box<dyn Bare>,
    /// What the bare call is, in words.
    pub call: &'static str,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.call)
    }
}

/// Measures one storage: a row for the latency of one writer beside the bare
/// call, and one for the rate of 64 tasks beside that of one.
///
/// # Errors
/// The storage's.
pub fn store(runtime: &Runtime, store: Store, blocks: usize) -> Result<Vec<Row>> {
    let journal = runtime.block_on(crate::open(&store.config))?;
    let crew = |tasks| {
        let plan = Plan {
            tasks,
            entry_bytes: ENTRY,
            each: EACH,
        };
        Crew::start(runtime, &journal, plan)
    };
    let (one, many) = (crew(1), crew(MANY));
    let mut bare = store.bare;
    let mut latency = Row::new("flush_latency", store.name, (1, ENTRY), "us");
    // The floor of this row is one writer of the journal itself.
    let mut rate = Row::new("append_of_one", store.name, (MANY, ENTRY), "entries/s");
    for block in 0..blocks + WARM_UP {
        // On a worker, as the appends are.
        let (kept, times) = runtime.block_on(runtime.spawn(bare_block(bare)))??;
        bare = kept;
        let (ours, lone) = grouped(&journal, || one.block())?;
        let (all, group) = grouped(&journal, || many.block())?;
        if block < WARM_UP {
            continue;
        }
        latency.floor.push(median_us(&times));
        latency.ours.push(median_us(&ours.latencies));
        latency.group = lone;
        rate.floor.push(ours.rate());
        rate.ours.push(all.rate());
        rate.group += group / blocks as f64;
    }
    drop((one, many));
    let mechanism = &journal.contract().mechanism;
    latency.methods = format!("{mechanism}; floor: {}", store.call);
    rate.methods = format!("{mechanism}; floor: the same with one task");
    runtime.block_on(journal.close())?;
    Ok(vec![latency, rate])
}

/// Runs a block; says how many entries its flushes had on average.
fn grouped(journal: &Journal, block: impl FnOnce() -> Result<Block>) -> Result<(Block, f64)> {
    let before = journal.counts();
    let ran = block()?;
    let after = journal.counts();
    let groups = after.groups.saturating_sub(before.groups).max(1);
    let entries = after.entries.saturating_sub(before.entries);
    Ok((ran, entries as f64 / groups as f64))
}

/// One block of bare calls, one behind the other, and how long each took.
async fn bare_block(mut bare: Box<dyn Bare>) -> Result<(Box<dyn Bare>, Vec<Duration>)> {
    let mut times = Vec::with_capacity(EACH);
    let mut began = Instant::now();
    for _ in 0..EACH {
        bare.call().await?;
        let now = Instant::now();
        times.push(now - began);
        began = now;
    }
    Ok((bare, times))
}

fn median_us(times: &[Duration]) -> f64 {
    let mut us: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1e6).collect();
    stats::median(&mut us)
}
