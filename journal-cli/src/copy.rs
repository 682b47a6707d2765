//! `journal copy`: a journal to another place.

use crate::args;
use crate::failure::Result;
use crate::output::Out;
use crate::progress;
use crate::signals::Signals;
use crate::units::entries;
use flushproof::{Config, CopyOptions, SeqNo};
use serde_json::json;

/// Copies, and says what was copied.
pub async fn run(config: &Config, other: &Config, args: &args::Copy, out: &mut Out) -> Result<()> {
    let mut options = CopyOptions::default();
    options.from = args.from.map(SeqNo);
    options.format = args.format;
    let work = async {
        let copied = config.copy_to(other, &options, progress::phases()).await;
        copied.map_err(Into::into)
    };
    // Dropped half-way, the next copy takes it up.
    let copied = Signals::listen()?.or(work).await?;
    let resumed = copied.resumed.map_or(String::new(), |at| {
        format!("; an earlier copy had come to {at}")
    });
    let object = json!({
        "source": copied.source.to_string(),
        "first": copied.first.0,
        "end": copied.end.0,
        "entries": copied.end.0 - copied.first.0,
        "checkpoints": copied.checkpoints,
        "resumed": copied.resumed.map(|s| s.0),
    });
    let text = format!(
        "Copied {} ({} to {}) and {} checkpoints of journal {} to {}{resumed}",
        entries(copied.end.0 - copied.first.0),
        copied.first,
        copied.end,
        copied.checkpoints,
        copied.source,
        other.folder,
    );
    out.result(&object, text)
}
