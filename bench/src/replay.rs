//! Replay of a journal that lies in the page cache.

use crate::append::rate;
use crate::row::Row;
use crate::{Failure, Result};
use flushproof::{Item, JournalReader};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The length of an entry.
pub const ENTRY: usize = 100;

/// A journal to replay.
#[derive(Clone, Debug)]
pub struct Filled {
    /// Its folder.
    pub place: PathBuf,
    /// How many entries it has.
    pub entries: usize,
}

/// Writes a journal of `entries` entries, `group` with each flush, as that many
/// concurrent appenders do.
///
/// # Errors
/// The place's.
pub fn fill(runtime: &Runtime, place: &Path, entries: usize, group: usize) -> Result<Filled> {
    runtime.block_on(async {
        let journal = crate::on_disk(place, None).await?;
        let mut entry = [0u8; ENTRY];
        for first in (0..entries).step_by(group) {
            let mut last = None;
            for i in first..(first + group).min(entries) {
                entry[..8].copy_from_slice(&(i as u64).to_le_bytes());
                last = Some(journal.reserve(ENTRY).await?.append(&entry)?);
            }
            if let Some(last) = last {
                last.await?;
            }
        }
        journal.close().await?;
        Ok(Filled {
            place: place.to_owned(),
            entries,
        })
    })
}

impl Filled {
    /// Our replay beside a bare read of the same files, in turns: from the first
    /// entry on, and with what comes before it (the end of the journal is found
    /// on the medium, past the page cache).
    ///
    /// # Errors
    /// The place's; entries are missing.
    pub fn beside_bare_read(
        &self,
        runtime: &Runtime,
        group: usize,
        blocks: usize,
    ) -> Result<Vec<Row>> {
        let shape = (group, ENTRY);
        let mut stream = Row::new("replay", "local", shape, "entries/s");
        let mut whole = Row::new("open_replay", "local", shape, "entries/s");
        for block in 0..=blocks {
            let began = Instant::now();
            read_files(&self.place)?;
            let bare = rate(self.entries, began.elapsed());
            let ours = self.replay(runtime)?;
            if block == 0 {
                continue; // the first read fills the page cache
            }
            for (row, time) in [
                (&mut stream, ours.stream),
                (&mut whole, ours.open + ours.stream),
            ] {
                row.floor.push(bare);
                row.ours.push(rate(self.entries, time));
            }
        }
        Ok(vec![stream, whole])
    }

    /// Opens and replays the whole journal.
    ///
    /// # Errors
    /// The place's; entries are missing.
    pub fn replay(&self, runtime: &Runtime) -> Result<Replayed> {
        let config = crate::local(&self.place)?;
        let began = Instant::now();
        let work = runtime.spawn(async move {
            let reader: JournalReader = config.reader().await?;
            let mut replay = reader.entries(None).await?;
            let opened = Instant::now();
            let mut count = 0;
            let mut bytes = 0;
            while let Some(item) = replay.next().await? {
                if let Item::Entry(entry) = item {
                    count += 1;
                    bytes += entry.bytes.len();
                }
            }
            let times = Replayed {
                open: opened - began,
                stream: opened.elapsed(),
            };
            Ok::<_, Failure>((times, count, bytes))
        });
        let (times, count, bytes) = runtime.block_on(work)??;
        if (count, bytes) != (self.entries, self.entries * ENTRY) {
            return Err(format!("replay gave {count} of {} entries", self.entries).into());
        }
        Ok(times)
    }
}

/// What a replay took.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// Until the journal's end was found.
    pub open: Duration,
    /// From then on, all entries.
    pub stream: Duration,
}

/// The floor: every byte of every segment, in pieces of 1 MiB.
///
/// # Errors
/// The file system's.
pub fn read_files(place: &Path) -> Result<u64> {
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

/// The most memory that this process had so far, in KiB.
///
/// # Errors
/// There is no `/proc`.
pub fn peak_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next());
    Ok(kib.ok_or("no VmHWM in /proc/self/status")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_journal_is_replayed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = crate::runtime().unwrap();
        let filled = fill(&runtime, &dir.path().join("a"), 1000, 64).unwrap();
        filled.replay(&runtime).unwrap();
        assert!(read_files(&filled.place).unwrap() > 1000 * ENTRY as u64);
        assert!(peak_memory().unwrap() > 100.0);
        let more = Filled {
            entries: 1001,
            ..filled
        };
        assert!(more.replay(&runtime).is_err());
    }
}
