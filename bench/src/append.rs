//! Appends, each awaited: on a disk, and on a store that costs nothing.

use crate::crew::{Crew, Plan};
use crate::row::Row;
use crate::{Result, null, stats};
use flushproof_backend_local::Method;
use flushproof_backend_local::floor::Floor;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How many durable writes of the floor are one block. Short enough that the
/// journal is not idle for long meanwhile.
pub const FLOOR_WRITES: usize = 32;

/// Blocks that warm up and are not counted.
const WARM_UP: usize = 10;

/// What an entry for the null sink has to reach, per second.
pub const NULL_BAR: f64 = 2e6;

/// The plan of a block of so many appenders on a disk.
pub fn plan(tasks: usize, entry_bytes: usize) -> Plan {
    Plan {
        tasks,
        entry_bytes,
        each: if tasks == 1 { FLOOR_WRITES } else { 16 },
    }
}

/// Where and how appends are measured.
#[derive(Clone, Copy, Debug)]
pub struct Disk<'a> {
    /// A folder on the disk.
    pub dir: &'a Path,
    /// How both write; `None`: each finds the fastest by its own probe.
    pub method: Option<Method>,
    /// How many blocks are counted.
    pub blocks: usize,
}

/// Our appends beside the bare write loop: how many per second and, for one
/// appender, how long one takes.
///
/// # Errors
/// The place's.
pub fn disk(runtime: &Runtime, disk: Disk<'_>, plan: Plan) -> Result<Vec<Row>> {
    let place = disk
        .dir
        .join(format!("append-{}-{}", plan.tasks, plan.entry_bytes));
    let journal = runtime.block_on(crate::on_disk(&place, disk.method))?;
    let crew = Crew::start(runtime, &journal, plan);
    let mut floor = match disk.method {
        Some(method) => Floor::with_method(disk.dir, plan.entry_bytes, method)?,
        None => Floor::best(disk.dir, plan.entry_bytes)?,
    };
    let shape = (plan.tasks, plan.entry_bytes);
    let mut rates = Row::new("append", "local", shape, "entries/s");
    let mut latencies = Row::new("flush_latency", "local", shape, "us");
    for block in 0..disk.blocks + WARM_UP {
        let bare = floor_block(&mut floor)?;
        let ours = crew.block()?;
        if block < WARM_UP {
            continue;
        }
        let all: Duration = bare.iter().sum();
        rates.floor.push(rate(bare.len(), all));
        rates.ours.push(ours.rate());
        if plan.tasks == 1 {
            latencies.floor.push(median_us(&bare));
            latencies.ours.push(median_us(&ours.latencies));
        }
    }
    drop(crew);
    let mut measured = vec![rates, latencies];
    measured.retain(|row| !row.ours.is_empty());
    for row in &mut measured {
        row.group = group(&journal);
        row.methods = format!(
            "{}; floor: {}",
            journal.contract().mechanism,
            floor.method()
        );
    }
    runtime.block_on(journal.close())?;
    crate::remove(&place)?;
    Ok(measured)
}

/// Durable writes one behind the other, and how long each took.
///
/// # Errors
/// The disk's.
pub fn floor_block(floor: &mut Floor) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(FLOOR_WRITES);
    let mut began = Instant::now();
    for _ in 0..FLOOR_WRITES {
        floor.write()?;
        let now = Instant::now();
        latencies.push(now - began);
        began = now;
    }
    Ok(latencies)
}

/// Our appends on a store that costs nothing: what the engine itself costs. The
/// floor is the bar of the project, [`NULL_BAR`].
///
/// # Errors
/// None that are expected.
pub fn null(runtime: &Runtime, plan: Plan, blocks: usize) -> Result<Row> {
    let journal = runtime.block_on(null::journal())?;
    let crew = Crew::start(runtime, &journal, plan);
    let shape = (plan.tasks, plan.entry_bytes);
    let mut row = Row::new("append", "null", shape, "entries/s");
    for block in 0..blocks + WARM_UP {
        let ours = crew.block()?;
        if block >= WARM_UP {
            row.ours.push(ours.rate());
            row.floor.push(NULL_BAR);
        }
    }
    drop(crew);
    row.group = group(&journal);
    runtime.block_on(journal.close())?;
    Ok(row)
}

/// Entries of a flush, on average.
fn group(journal: &flushproof::Journal) -> f64 {
    let counts = journal.counts();
    counts.entries as f64 / counts.groups.max(1) as f64
}

/// Per second.
pub fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

fn median_us(times: &[Duration]) -> f64 {
    let mut us: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1e6).collect();
    stats::median(&mut us)
}
