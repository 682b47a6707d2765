//! `journal restore`: a backup becomes a journal.

use crate::args;
use crate::failure::{Failure, Result};
use crate::output::Out;
use crate::progress;
use crate::signals::Signals;
use crate::units::{clock, entries};
use flushproof::{Config, RestoreOptions, Restored, StoreUri};
use serde_json::{Value, json};

/// Restores, and says what was restored.
pub async fn run(mut config: Config, args: &args::Restore, out: &mut Out) -> Result<()> {
    let from = StoreUri::parse(&args.backup)
        .map_err(|e| Failure::Usage(format!("the backup's place: {e}")))?;
    config.take_over |= args.take_over;
    let mut options = RestoreOptions::default();
    options.format = args.format;
    options.force = args.force;
    options.at = args.at;
    options.dry_run = args.dry_run;
    let work = async {
        let restored = config.restore(&from, &options, progress::phases()).await;
        restored.map_err(Into::into)
    };
    // Dropped half-way, the journal is empty, or complete.
    let restored = Signals::listen()?.or(work).await?;
    out.result(&object(&restored), text(&restored, &config))
}

fn object(restored: &Restored) -> Value {
    json!({
        "from": restored.from,
        "source": restored.source.to_string(),
        "created": clock(restored.created_ms),
        "checkpoint": restored.checkpoint.map(|c| c.0),
        "state_entries": restored.state_entries,
        "first": restored.first.0,
        "end": restored.end.0,
        "entries": restored.entries,
        "dry_run": restored.dry_run,
    })
}

fn text(restored: &Restored, config: &Config) -> String {
    let state = match restored.checkpoint {
        Some(at) => format!(
            " and the state at {at} ({})",
            entries(restored.state_entries)
        ),
        None => String::new(),
    };
    let what = match restored.dry_run {
        true => format!("Would restore {} from backup", entries(restored.entries)),
        false => format!("Restored {} from backup", entries(restored.entries)),
    };
    format!(
        "{what}{state}\nposition {}; {} of journal {}, taken {}, into {}",
        restored.end,
        restored.from,
        restored.source,
        clock(restored.created_ms),
        config.folder,
    )
}
