//! `journal append`: entries from stdin.
//!
//! Three parts work at once: a thread reads stdin (`input`), a task appends,
//! and a task waits for acks in order and prints them (`acks`). Many entries
//! are in flight, so that one flush serves many.

mod acks;
mod input;

use crate::args;
use crate::failure::{Failure, Result};
use crate::open;
use crate::output::Out;
use crate::signals::Signals;
use crate::units::{self, count};
use acks::{Acks, Tally, Waiting};
use flushproof::{Config, ErrorKind, Journal};
use input::Input;
use serde_json::json;
use std::time::Instant;
use tokio::sync::mpsc;

/// How many acks may wait to be printed.
const ACKS: usize = 1 << 16;

/// Appends stdin.
pub async fn run(mut config: Config, args: &args::Append, out: Out) -> Result<()> {
    config.take_over = args.take_over;
    let mut signals = Signals::listen()?;
    let journal = signals.or(open::primary(&config)).await?;
    let began = Instant::now();
    let input = Input::start(args.delimited, config.max_entry)?;
    let (sender, receiver) = mpsc::channel(ACKS);
    let acks = Acks::new(out, journal.clone(), args.acks);
    let acks = tokio::spawn(acks.run(receiver));

    let fed = signals.or(feed(&journal, input, sender)).await;
    let (mut out, tally, acked) = acks
        .await
        .map_err(|e| flushproof::Error::new(ErrorKind::Io, format!("printing acks: {e}")))?;
    // The first cause is the ack's; what the feeder saw comes from it.
    let ended = match (acked, fed) {
        (Err(Failure::Error(e, notes)), _) => Err(Failure::Error(e, notes)),
        (Ok(()), fed) => fed,
        (acked, _) => acked,
    };
    let (accepted, durable) = (journal.accepted(), journal.durable());
    let closed = journal.close().await.map_err(Failure::from);
    if !args.acks && (ended.is_ok() || matches!(ended, Err(Failure::Signal(_)))) && closed.is_ok() {
        summary(&mut out, &tally, began)?;
    }
    let left = accepted.0.saturating_sub(durable.0);
    // A failure that must be told goes before a quiet end.
    let ended = match (ended, closed) {
        (Err(Failure::Error(e, notes)), _) => Err(Failure::Error(e, notes)),
        (ended, closed) => closed.and(ended),
    };
    ended.map_err(|failure| {
        let text = format!(
            "{} acknowledged, the journal is durable below {durable}",
            tally
        );
        match left {
            0 => failure.note(text),
            n => failure.note(format!(
                "{text}; {} more without an ack: the next primary may find them or not",
                units::entries(n)
            )),
        }
    })
}

/// Appends what comes in, until its end. Dropping the future loses nothing that
/// was accepted.
async fn feed(journal: &Journal, mut input: Input, acks: mpsc::Sender<Waiting>) -> Result<()> {
    while let Some(entries) = input.next().await {
        for entry in entries? {
            let slot = acks.reserve().await.map_err(|_| Failure::ClosedStdout)?;
            let room = journal.reserve(entry.len()).await?;
            slot.send(Waiting {
                ack: room.append(&entry)?,
                bytes: entry.len() as u64,
            });
        }
    }
    Ok(())
}

fn summary(out: &mut Out, tally: &Tally, began: Instant) -> Result<()> {
    let took = began.elapsed();
    let rate = units::rate(tally.entries, took);
    let object = json!({
        "appended": tally.entries, "bytes": tally.bytes, "first": tally.first.map(|s| s.0),
        "durable": tally.durable.0, "epoch": tally.epoch.0,
        "seconds": took.as_secs_f64(), "per_second": rate,
    });
    let text = format!(
        "appended {tally} ({}) in {}, {} a second; durable below {}",
        units::size(tally.bytes),
        units::short(took),
        count(rate),
        tally.durable,
    );
    out.result(&object, text)
}
