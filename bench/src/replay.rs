//! Replay of a journal that lies in the page cache.

use crate::Row;
use crate::write::rate;
use flushproof::{Config, StoreUri};
use flushproof_backend_local::LocalFactory;
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;

/// The length of an entry.
const ENTRY: usize = 100;

/// Our replay beside a bare read of the same files.
pub fn page_cache(
    runtime: &Runtime,
    dir: &Path,
    quick: bool,
) -> Result<Row, Box<dyn std::error::Error>> {
    let entries = if quick { 2_000_000 } else { 10_000_000 };
    let place = dir.join("journal-replay");
    let _ = std::fs::remove_dir_all(&place);
    let mut config = Config::new(StoreUri::parse(&place.to_string_lossy())?);
    config.registry.register(LocalFactory);
    runtime.block_on(fill(&config, entries))?;
    let mut row = Row {
        bench: "replay",
        backend: "local",
        tasks: 1,
        entry_bytes: ENTRY,
        ours: Vec::new(),
        floor: Vec::new(),
        unit: "entries/s",
    };
    for _ in 0..if quick { 7 } else { 15 } {
        let began = Instant::now();
        read_files(&place)?;
        row.floor.push(rate(entries, began.elapsed()));
        let config = config.clone();
        let began = Instant::now();
        let count = runtime.block_on(async move {
            tokio::spawn(async move {
                let mut replay = config.reader().await?.entries(None).await?;
                let mut count = 0usize;
                while replay.next().await?.is_some() {
                    count += 1;
                }
                Ok::<usize, flushproof::Error>(count)
            })
            .await
        })??;
        assert_eq!(count, entries, "replay lost entries");
        row.ours.push(rate(entries, began.elapsed()));
    }
    let _ = std::fs::remove_dir_all(&place);
    Ok(row)
}

async fn fill(config: &Config, entries: usize) -> flushproof::Result<()> {
    config.format(true).await?;
    let mut recovery = config.primary().await?;
    while recovery.next().await?.is_some() {}
    let journal = recovery.start().await?;
    let mut last = None;
    let mut entry = [0u8; ENTRY];
    for i in 0..entries {
        entry[..8].copy_from_slice(&(i as u64).to_le_bytes());
        last = Some(journal.reserve(ENTRY).await?.append(&entry)?);
    }
    if let Some(last) = last {
        last.await?;
    }
    journal.close().await
}

/// The floor: every byte of every file, in pieces of 1 MiB.
fn read_files(place: &Path) -> std::io::Result<u64> {
    let mut buf = vec![0u8; 1 << 20];
    let mut total = 0;
    for entry in std::fs::read_dir(place.join("log"))? {
        let mut file = std::fs::File::open(entry?.path())?;
        loop {
            let n = file.read(&mut buf)?;
            if n == 0 {
                break;
            }
            total += n as u64;
        }
    }
    Ok(total)
}
