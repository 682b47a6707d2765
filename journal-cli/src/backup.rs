//! `journal backup`: a backup of a journal that may be in use.

use crate::args;
use crate::failure::Result;
use crate::open;
use crate::output::{Out, note};
use crate::progress;
use crate::signals::Signals;
use crate::units::{entries, rate, size};
use flushproof::{BackedUp, BackupOptions, Config};
use serde_json::{Value, json};
use std::time::Instant;

/// Takes a backup and says what is in it.
pub async fn run(mut config: Config, args: &args::Backup, out: &mut Out) -> Result<()> {
    config.backup.verify &= !args.no_verify;
    let mut options = BackupOptions::default();
    options.to.clone_from(&args.to);
    options.at = args.at;
    let reader = open::reader(&config).await?;
    let began = Instant::now();
    let taken = async {
        let taken = reader.backup(&options, progress::phases()).await;
        taken.map_err(Into::into)
    };
    // Dropped half-way, it publishes nothing.
    let taken = Signals::listen()?.or(taken).await?;
    out.result(&object(&taken), text(&taken, began))?;
    if taken.undecided > 0 {
        note(format_args!(
            "{} behind {} are being written and are not in it",
            entries(taken.undecided),
            taken.end
        ));
    }
    if !taken.survives.covers(config.require) {
        note(format_args!(
            "the file survives {} where it lies; the journal requires {}",
            taken.survives, config.require
        ));
    }
    Ok(())
}

fn object(taken: &BackedUp) -> Value {
    json!({
        "uri": taken.uri,
        "checkpoint": taken.checkpoint.map(|c| c.0),
        "state_entries": taken.state_entries,
        "first": taken.first.0,
        "end": taken.end.0,
        "entries": taken.entries,
        "undecided": taken.undecided,
        "bytes": taken.bytes,
        "unpacked": taken.unpacked,
        "verified": taken.verified,
        "survives": taken.survives.to_string(),
        "removed": taken.removed,
    })
}

fn text(taken: &BackedUp, began: Instant) -> String {
    let state = match taken.checkpoint {
        Some(at) => format!("the state at {at} ({})", entries(taken.state_entries)),
        None => "no checkpoint".to_owned(),
    };
    let verified = match taken.verified {
        true => "read back and verified",
        false => "not verified",
    };
    let removed = match taken.removed.len() {
        0 => String::new(),
        n => format!("\nremoved {n} older: {}", taken.removed.join(", ")),
    };
    format!(
        "Backed up {} to {}\nposition {}: {state}, entries {} to {}; {} ({} unpacked, {}), \
         {verified}{removed}",
        entries(taken.entries),
        taken.uri,
        taken.end,
        taken.first,
        taken.end,
        size(taken.bytes),
        size(taken.unpacked),
        per_second(taken.unpacked, began),
    )
}

fn per_second(bytes: u64, began: Instant) -> String {
    format!("{}/s", size(rate(bytes, began.elapsed())))
}
