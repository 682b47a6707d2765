//! `journal cat`: the entries that are there now, of a journal or of one file.

use crate::args;
use crate::entries::Printer;
use crate::failure::{Failure, Result};
use crate::open;
use crate::output::{Out, note};
use crate::units;
use flushproof::{Config, FileUri, Item, SeqNo, StoredEntry};

/// Prints entries.
pub async fn run(config: &Config, args: &args::Cat, out: Out) -> Result<()> {
    let mut printer = Printer::new(out, args.shape)?;
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::Usage(format!("--from {from} is behind --to {to}")));
    }
    if let Some(file) = FileUri::of(&config.folder) {
        return one_file(config, &file, args, printer).await;
    }
    let reader = open::reader(config).await?;
    let mut replay = reader.entries(args.from.map(SeqNo)).await?;
    let first = replay.next_seq();
    if args.from.is_none() && first > SeqNo::ZERO {
        note(format_args!(
            "entries below {first} were trimmed: a checkpoint replaces them"
        ));
    }
    let durable = replay.durable();
    let last = [args.to, args.limit.and_then(|n| first.0.checked_add(n))];
    if let Some(end) = last.into_iter().flatten().min() {
        replay = replay.until(SeqNo(end));
    }
    let mut undecided = 0;
    while let Some(item) = replay.next().await? {
        if let Item::Entry(entry) = item {
            undecided += u64::from(entry.seq >= durable);
            printer.entry(&entry, durable)?;
        }
    }
    printer.out.flush()?;
    if undecided > 0 {
        note(format_args!(
            "the last {}, from {durable} on, are undecided: whole, but perhaps not acknowledged \
             yet; the next primary may find them or not",
            units::entries(undecided)
        ));
    }
    Ok(())
}

/// Prints a segment, a checkpoint or a backup.
async fn one_file(
    config: &Config,
    file: &FileUri,
    args: &args::Cat,
    mut printer: Printer,
) -> Result<()> {
    let mut stored = config.open_file(file).await?;
    note(stored.about());
    let from = args.from.unwrap_or(0);
    let to = args.to.unwrap_or(u64::MAX);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let next = stored.next().await;
        match next.map_err(|e| e.context(&config.folder))? {
            None => break,
            Some(StoredEntry::State(bytes)) => printer.state(&bytes)?,
            Some(StoredEntry::Gap(first, end)) => {
                note(format_args!("entries {first} to {end} were lost"));
                continue;
            }
            Some(StoredEntry::Entry(entry)) if (from..to).contains(&entry.seq.0) => {
                let durable = stored.durable();
                printer.entry(&entry, durable)?;
            }
            Some(StoredEntry::Entry(_)) => continue,
        }
        left -= 1;
    }
    printer.out.flush()?;
    if let Some((offset, why)) = stored.ends_at() {
        note(format_args!(
            "whole frames end at offset {offset}: {why} (no damage at the end of a segment that \
             is being written or was cut short; journal verify tells)"
        ));
    }
    Ok(())
}
