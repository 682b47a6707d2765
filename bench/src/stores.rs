//! Appends on the storages that are reached over a network, beside the bare call
//! of each: one writer's latency, and what 64 tasks get of one writer's rate.
//! All three take turns, so that a noisy minute hits them alike.

use crate::crew::{Crew, Plan};
use crate::row::Row;
use crate::{Failure, Result, stats};
use flushproof::Config;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;
use tokio::runtime::Runtime;

/// The bare call of a storage, for one piece of bytes: durable when it returns.
pub type Bare = Box<dyn FnMut() -> Call + Send>;

/// One bare call under way.
pub type Call = Pin<Box<dyn Future<Output = std::result::Result<(), Failure>> + Send>>;

/// How many calls or appends are one block.
const EACH: usize = 16;

/// Blocks that warm up and are not counted.
const WARM_UP: usize = 3;

/// The length of an entry.
pub const ENTRY: usize = 256;

/// A storage to be measured.
pub struct Store {
    /// Its name in the table.
    pub name: &'static str,
    /// An empty place on it.
    pub config: Config,
    /// Its bare call.
    pub bare: Bare,
    /// What the bare call is, in words.
    pub call: &'static str,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.call)
    }
}

/// Measures one storage.
///
/// # Errors
/// The storage's.
pub fn store(runtime: &Runtime, mut store: Store, blocks: usize) -> Result<Vec<Row>> {
    let journal = runtime.block_on(crate::open(&store.config))?;
    let plan = |tasks, each| Plan {
        tasks,
        entry_bytes: ENTRY,
        each,
    };
    let one = Crew::start(runtime, &journal, plan(1, EACH));
    let many = Crew::start(runtime, &journal, plan(64, EACH));
    let mut latency = Row::new("flush_latency", store.name, (1, ENTRY), "us");
    // The floor of this row is one writer of the journal itself.
    let mut group = Row::new("append_of_one", store.name, (64, ENTRY), "entries/s");
    for block in 0..blocks + WARM_UP {
        let bare = runtime.block_on(bare_block(&mut store.bare))?;
        let ours = one.block()?;
        let all = many.block()?;
        if block < WARM_UP {
            continue;
        }
        let mut own: Vec<f64> = ours.latencies.iter().map(|t| us(*t)).collect();
        latency.floor.push(bare);
        latency.ours.push(stats::median(&mut own));
        group.floor.push(ours.rate());
        group.ours.push(all.rate());
    }
    drop((one, many));
    let counts = journal.counts();
    let methods = format!("{}; bare: {}", journal.contract().mechanism, store.call);
    for row in [&mut latency, &mut group] {
        row.group = counts.entries as f64 / counts.groups.max(1) as f64;
        row.methods.clone_from(&methods);
    }
    runtime.block_on(journal.close())?;
    Ok(vec![latency, group])
}

/// The median of one block of bare calls, one behind the other.
async fn bare_block(bare: &mut Bare) -> Result<f64> {
    let mut times = Vec::with_capacity(EACH);
    for _ in 0..EACH {
        let began = Instant::now();
        bare().await?;
        times.push(us(began.elapsed()));
    }
    Ok(stats::median(&mut times))
}

fn us(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
