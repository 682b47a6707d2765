//! `journal repair`: what is whole of a damaged journal, into a new one.

use crate::args;
use crate::failure::{CORRUPT, Failure, Result};
use crate::output::Out;
use crate::progress;
use crate::signals::Signals;
use crate::units::entries;
use flushproof::{Config, RepairOptions, Repaired};
use serde_json::{Value, json};

/// Says what can be saved and what is lost; writes the new journal if that is accepted.
pub async fn run(
    config: &Config,
    other: &Config,
    args: &args::Repair,
    out: &mut Out,
) -> Result<()> {
    let mut options = RepairOptions::default();
    options.accept_loss = args.accept_loss;
    options.format = true;
    let work = async {
        let repaired = config.repair_to(other, &options, progress::phases()).await;
        repaired.map_err(Into::into)
    };
    // Dropped half-way, the new journal is empty, or complete.
    let repaired = Signals::listen()?.or(work).await?;
    match out.json {
        true => out.line(object(&repaired))?,
        false => print(&repaired, config, other, out)?,
    }
    out.flush()?;
    match repaired.written || repaired.lost.is_empty() {
        true => Ok(()),
        false => Err(Failure::Said(CORRUPT)),
    }
}

fn object(repaired: &Repaired) -> Value {
    let lost = repaired.lost.iter().map(|l| [l.first.0, l.end.0]);
    json!({
        "source": repaired.source.to_string(),
        "checkpoint": repaired.checkpoint.map(|c| c.0),
        "entries": repaired.entries,
        "end": repaired.end.0,
        "lost": lost.collect::<Vec<_>>(),
        "lost_entries": repaired.lost_entries,
        "notes": repaired.notes,
        "written": repaired.written,
    })
}

fn print(repaired: &Repaired, config: &Config, other: &Config, out: &mut Out) -> Result<()> {
    for note in &repaired.notes {
        out.line(note)?;
    }
    for lost in &repaired.lost {
        let n = lost.end.0 - lost.first.0;
        out.line(format_args!(
            "lost: entries {} to {} ({})",
            lost.first,
            lost.end,
            entries(n)
        ))?;
    }
    let state = repaired.checkpoint.map_or(String::new(), |at| {
        format!("the state of all entries below {at}, and ")
    });
    out.line(format_args!(
        "{}: {state}{}, up to {}; lost: {}",
        if repaired.written {
            "saved"
        } else {
            "can be saved"
        },
        entries(repaired.entries),
        repaired.end,
        entries(repaired.lost_entries),
    ))?;
    out.line(match repaired.written {
        true => format!(
            "the new journal is {}; the damaged one was not touched",
            other.folder
        ),
        false => format!(
            "nothing was written. To write the new journal: journal repair {} --to {} \
             --accept-loss {}",
            config.folder, other.folder, repaired.lost_entries
        ),
    })
}
