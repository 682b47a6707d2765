//! A backup every day, taken by the primary while it serves, on a thread of its own.

use super::BackupOptions;
use super::beside::{of_primary, runtime};
use super::options::DailyAt;
use crate::commit::core::Core;
use crate::commit::state::now_ms;
use flushproof_api::{Error, Result};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The longest nap: a clock that is set, or a machine that slept, is seen soon.
const NAP: Duration = Duration::from_secs(60);

/// Takes a backup at the configured time of every day, until the journal ends.
pub(crate) fn start(core: &Arc<Core>) -> Result<()> {
    let Some(at) = core.context.config.backup.schedule else {
        return Ok(());
    };
    let failed = |e| Error::io("the thread of the backups could not be started", e);
    let runtime = runtime()?;
    let weak = Arc::downgrade(core);
    let body = move || {
        runtime.block_on(daily(&weak, at));
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name("journal-backup".into())
        .spawn(body)
        .map_err(failed)?;
    Ok(())
}

async fn daily(weak: &Weak<Core>, at: DailyAt) {
    let next = |now: u64| now + at.from(now).as_millis() as u64;
    let mut due = next(now_ms());
    loop {
        let left = Duration::from_millis(due.saturating_sub(now_ms()));
        tokio::time::sleep(left.min(NAP)).await;
        let ended = |core: &Arc<Core>| core.state().failure.is_some() || core.ended();
        let Some(core) = weak.upgrade().filter(|core| !ended(core)) else {
            return;
        };
        if now_ms() >= due {
            run(&core).await;
        }
        drop(core);
        due = next(now_ms()); // the same as before, unless the clock was set
    }
}

async fn run(core: &Arc<Core>) {
    match of_primary(core, &BackupOptions::default(), |_| {}).await {
        Ok(taken) => tracing::info!(
            uri = taken.uri,
            entries = taken.entries,
            end = %taken.end,
            bytes = taken.bytes,
            removed = taken.removed.len(),
            "a backup was taken, as scheduled"
        ),
        Err(_) if core.ended() => {}
        Err(error) => tracing::error!(%error, "the scheduled backup failed; the journal serves on"),
    }
}
