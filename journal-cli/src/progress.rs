//! Progress bars: on stderr, only where that is a terminal.

use flushproof::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar for bytes of a known total.
pub fn bytes(total: u64, doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar.with_message(doing)
}

/// A bar for the phases of a backup, a restore or a copy.
pub fn phases() -> impl FnMut(Progress) + Send {
    let bar = bytes(0, "");
    let mut phase = None;
    move |now: Progress| {
        if phase != Some(now.phase) {
            phase = Some(now.phase);
            bar.reset();
            bar.set_message(match now.phase {
                Phase::Writing => "writing",
                Phase::Checking => "checking",
                Phase::Restoring => "restoring",
                _ => "working",
            });
        }
        bar.set_length(now.total);
        bar.set_position(now.done);
        if now.done >= now.total {
            bar.finish_and_clear();
        }
    }
}

/// A line that shows that something goes on, for work of unknown length.
pub fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
