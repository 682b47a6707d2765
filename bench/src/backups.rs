//! Backups: beside `cat` into pigz, their memory, and what appends notice of one.

use crate::crew::{Crew, Plan};
use crate::replay::{Filled, peak_memory};
use crate::row::Row;
use crate::{Failure, Result};
use flushproof::{BackupOptions, Journal, RestoreOptions, StoreUri};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;
use tokio::runtime::Runtime;

/// The length of an entry.
const ENTRY: usize = 100;

/// Fills a journal with entries that pack like those of a metadata master do.
///
/// # Errors
/// The place's.
pub fn fill(runtime: &Runtime, place: &Path, entries: usize) -> Result<Filled> {
    runtime.block_on(async {
        let journal = crate::on_disk(place, None).await?;
        append(&journal, 0..entries as u64).await?;
        journal.close().await?;
        Ok(Filled {
            place: place.to_owned(),
            entries,
        })
    })
}

async fn append(journal: &Journal, numbers: std::ops::Range<u64>) -> Result<()> {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut last = None;
    for n in numbers {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut entry = format!(
            "create /data/table-{}/part-{:06}/{random:016x} mode=0644 owner=etl size={}",
            n % 97,
            n / 1000,
            random % 1_000_000_007
        );
        entry.truncate(ENTRY);
        let entry = format!("{entry:.<ENTRY$}");
        last = Some(journal.reserve(ENTRY).await?.append(entry.as_bytes())?);
        if n % 1024 == 1023
            && let Some(last) = last.take()
        {
            last.await?;
        }
    }
    if let Some(last) = last {
        last.await?;
    }
    Ok(())
}

/// What one process did.
#[derive(Clone, Copy, Debug, Default)]
struct Did {
    seconds: f64,
    peak_kib: f64,
}

/// Runs this program again for one piece of work, so that its memory is its own.
fn alone(what: &str, place: &Path, other: &Path) -> Result<Did> {
    let out = Command::new(std::env::current_exe()?)
        .args([
            "--alone".as_ref(),
            what.as_ref(),
            place.as_os_str(),
            other.as_os_str(),
        ])
        .output()?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into());
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut fields = text.split_whitespace().map(str::parse);
    let mut next = || fields.next().ok_or("the process said nothing");
    Ok(Did {
        seconds: next()??,
        peak_kib: next()??,
    })
}

/// The work of such a process.
///
/// # Errors
/// What the work says; an unknown name.
pub fn work_alone(what: &str, place: &Path, other: &Path) -> Result<()> {
    let runtime = crate::runtime()?;
    let began = Instant::now();
    let config = crate::local(place)?;
    let uri = StoreUri::parse(&other.to_string_lossy())?;
    runtime.block_on(async {
        match what {
            "idle" => drop(config.reader().await?),
            "backup" => {
                let mut options = BackupOptions::default();
                options.to = Some(other.to_string_lossy().into_owned());
                let reader = config.reader().await?;
                reader.backup(&options, |_| {}).await?;
            }
            "restore" | "read" => {
                let mut options = RestoreOptions::default();
                options.format = true;
                options.dry_run = what == "read";
                config.restore(&uri, &options, |_| {}).await?;
            }
            _ => return Err(Failure::from("unknown work")),
        }
        Ok(())
    })?;
    println!("{} {}", began.elapsed().as_secs_f64(), peak_memory()?);
    Ok(())
}

/// The one file in a folder.
fn only_file(folder: &Path) -> Result<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "gz") {
            return Ok(path);
        }
    }
    Err("no backup".into())
}

/// Backup beside `cat … | pigz -p 2`, restore beside reading, memory beside an idle
/// process.
///
/// # Errors
/// The place's; `pigz` is missing.
pub fn files(filled: &Filled, dir: &Path, rounds: usize) -> Result<Vec<Row>> {
    let shape = (1024, ENTRY);
    let mut backup = Row::new("backup", "local", shape, "s");
    let mut restore = Row::new("restore", "local", shape, "s");
    let mut memory = Row::new("backup_memory", "local", shape, "KiB");
    let mut restore_memory = Row::new("restore_memory", "local", shape, "KiB");
    backup.methods = "read back and verified; floor: cat | pigz -p 2".into();
    restore.methods = "floor: reading and unpacking the file".into();
    let (out, target) = (dir.join("backups"), dir.join("restored"));
    for _ in 0..rounds {
        crate::remove(&out)?;
        let idle = alone("idle", &filled.place, &out)?;
        let did = alone("backup", &filled.place, &out)?;
        backup.ours.push(did.seconds);
        memory.ours.push(did.peak_kib);
        memory.floor.push(idle.peak_kib);
        backup
            .floor
            .push(pigz(&filled.place, &dir.join("pigz.gz"))?);
        let file = only_file(&out)?;
        crate::remove(&target)?;
        let read = alone("read", &target, &file)?;
        let did = alone("restore", &target, &file)?;
        restore.ours.push(did.seconds);
        restore.floor.push(read.seconds);
        restore_memory.ours.push(did.peak_kib);
        restore_memory.floor.push(idle.peak_kib);
    }
    for path in [&out, &target] {
        crate::remove(path)?;
    }
    std::fs::remove_file(dir.join("pigz.gz"))?;
    Ok(vec![backup, restore, memory, restore_memory])
}

fn pigz(place: &Path, out: &Path) -> Result<f64> {
    let script = "cat \"$1\"/log/* | pigz -p 2 > \"$2\"";
    let began = Instant::now();
    let status = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([place, out])
        .status()?;
    match status.success() {
        true => Ok(began.elapsed().as_secs_f64()),
        false => Err("cat | pigz failed; install it with: apt-get install pigz".into()),
    }
}

/// The 99th percentile of one appender's appends in blocks beside a backup that the same
/// primary takes, and in blocks without one, in turns.
///
/// # Errors
/// The place's.
pub fn appends(runtime: &Runtime, place: &Path, entries: usize, blocks: usize) -> Result<Row> {
    let journal = runtime.block_on(crate::on_disk(place, None))?;
    runtime.block_on(append(&journal, 0..entries as u64))?;
    let plan = Plan {
        tasks: 1,
        entry_bytes: 256,
        each: 3000,
    };
    let crew = Crew::start(runtime, &journal, plan);
    let mut row = Row::new("append_p99", "local", (1, 256), "us");
    row.methods = "beside a backup by the primary; floor: without".into();
    let taken = Arc::new(AtomicU64::new(0));
    for _ in 0..blocks {
        row.floor.push(p99(&crew)?);
        let stop = Arc::new(AtomicBool::new(false));
        let backups = runtime.spawn(backups(journal.clone(), stop.clone(), taken.clone()));
        // Under way when the block begins: its place is opened and tried out.
        std::thread::sleep(std::time::Duration::from_secs(1));
        row.ours.push(p99(&crew)?);
        stop.store(true, SeqCst);
        backups.abort();
        // An aborted one is dropped where it waits.
        let _ = runtime.block_on(backups);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    runtime.block_on(journal.close())?;
    crate::remove(&place.with_file_name("journal_backups"))?;
    crate::remove(place)?;
    Ok(row)
}

/// One backup after the other, until told to stop.
async fn backups(journal: Journal, stop: Arc<AtomicBool>, taken: Arc<AtomicU64>) -> Result<()> {
    while !stop.load(SeqCst) {
        journal.backup(&BackupOptions::default(), |_| {}).await?;
        taken.fetch_add(1, SeqCst);
    }
    Ok(())
}

fn p99(crew: &Crew) -> Result<f64> {
    let mut us: Vec<f64> = crew
        .block()?
        .latencies
        .iter()
        .map(|l| l.as_secs_f64() * 1e6)
        .collect();
    us.sort_by(f64::total_cmp);
    let at = us.len() * 99 / 100;
    us.get(at).copied().ok_or_else(|| "no appends".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_their_length_and_differ() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = crate::runtime().unwrap();
        let filled = fill(&runtime, &dir.path().join("a"), 2000).unwrap();
        let config = crate::local(&filled.place).unwrap();
        runtime.block_on(async {
            let mut entries = config.reader().await.unwrap().entries(None).await.unwrap();
            let mut seen = std::collections::BTreeSet::new();
            while let Some(item) = entries.next().await.unwrap() {
                if let flushproof::Item::Entry(e) = item {
                    assert_eq!(e.bytes.len(), ENTRY);
                    seen.insert(e.bytes);
                }
            }
            assert_eq!(seen.len(), 2000);
        });
    }
}
