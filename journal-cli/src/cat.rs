//! `journal cat`: the entries that are there now.

use crate::args;
use crate::entries::Printer;
use crate::failure::{Failure, Result};
use crate::open;
use crate::output::{Out, note};
use crate::units;
use flushproof::{Config, Item, SeqNo};

/// Prints entries.
pub async fn run(config: &Config, args: &args::Cat, out: Out) -> Result<()> {
    let mut printer = Printer::new(out, args.shape)?;
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::Usage(format!("--from {from} is behind --to {to}")));
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
