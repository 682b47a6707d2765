//! Appends: one writer and many, on a disk and on a store that costs nothing.

use crate::Row;
use crate::null::NullFactory;
use flushproof::{Config, Journal, Result, StoreUri, Survives};
use flushproof_backend_local::LocalFactory;
use flushproof_backend_local::floor::Floor;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How many flushes of the floor are one block.
const FLOOR_OPS: usize = 16;

/// Our appends beside the bare write loop, on the disk below `dir`.
pub fn disk(
    runtime: &Runtime,
    dir: &Path,
    tasks: usize,
    bytes: usize,
    blocks: usize,
) -> std::result::Result<Row, Box<dyn std::error::Error>> {
    let place = dir.join(format!("journal-{tasks}-{bytes}"));
    let _ = std::fs::remove_dir_all(&place);
    let mut config = Config::new(StoreUri::parse(&place.to_string_lossy())?);
    config.registry.register(LocalFactory);
    let journal = runtime.block_on(open(config))?;
    let mut floor = Floor::best(dir, bytes)?;
    let each = (64 / tasks).clamp(4, 16);
    let mut row = Row {
        bench: "append",
        backend: "local",
        tasks,
        entry_bytes: bytes,
        ours: Vec::new(),
        floor: Vec::new(),
        unit: "entries/s",
    };
    for block in 0..blocks + 10 {
        let began = Instant::now();
        for _ in 0..FLOOR_OPS {
            floor.write()?;
        }
        let floor_rate = rate(FLOOR_OPS, began.elapsed());
        let ours = our_block(runtime, &journal, tasks, each, bytes)?;
        if block >= 10 {
            row.floor.push(floor_rate); // the first blocks warm up
            row.ours.push(ours);
        }
    }
    runtime.block_on(journal.close())?;
    let _ = std::fs::remove_dir_all(&place);
    Ok(row)
}

/// Our appends on a store that costs nothing; the floor is the bar of the
/// project, 2 million entries per second.
pub fn null(
    runtime: &Runtime,
    tasks: usize,
    bytes: usize,
    blocks: usize,
) -> std::result::Result<Row, Box<dyn std::error::Error>> {
    let mut config = Config::new(StoreUri::parse("null:")?);
    config.registry.register(NullFactory);
    config.require = Survives::NOTHING;
    let journal = runtime.block_on(open(config))?;
    let each = (20_000 / tasks).max(16);
    let mut ours = Vec::new();
    for _ in 0..blocks / 2 {
        ours.push(our_block(runtime, &journal, tasks, each, bytes)?);
    }
    let floor = vec![2e6; ours.len()];
    Ok(Row {
        bench: "append",
        backend: "null",
        tasks,
        entry_bytes: bytes,
        ours,
        floor,
        unit: "entries/s",
    })
}

async fn open(config: Config) -> Result<Journal> {
    config.format(true).await?;
    let mut recovery = config.primary().await?;
    while recovery.next().await?.is_some() {}
    recovery.start().await
}

/// `tasks` appenders, each awaiting each of its appends.
fn our_block(
    runtime: &Runtime,
    journal: &Journal,
    tasks: usize,
    each: usize,
    bytes: usize,
) -> std::result::Result<f64, Box<dyn std::error::Error>> {
    let began = Instant::now();
    let all: Vec<_> = (0..tasks)
        .map(|_| {
            let journal = journal.clone();
            runtime.spawn(async move {
                let entry = vec![7u8; bytes];
                for _ in 0..each {
                    journal.append(&entry).await?;
                }
                Ok::<(), flushproof::Error>(())
            })
        })
        .collect();
    runtime.block_on(async {
        for task in all {
            task.await??;
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    Ok(rate(tasks * each, began.elapsed()))
}

/// Per second.
pub fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}
