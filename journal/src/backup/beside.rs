//! A backup that a primary takes while it serves: on a thread of its own with a runtime
//! of its own, in small steps, so that appends hardly notice.

use super::file::Pace;
use super::take::take;
use super::{BackedUp, BackupOptions, Progress};
use crate::Journal;
use crate::commit::core::Core;
use crate::format::backup::Threads;
use flushproof_api::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{oneshot, watch};

/// What is packed in a second, in bytes, unless told otherwise: with a small share of one
/// core (`docs/rfcs/0000-design-notes.md`).
const RATE: u64 = 8 << 20;

impl Journal {
    /// Takes a backup up to what is durable now, while the journal serves. Nothing
    /// that it needs is trimmed meanwhile.
    ///
    /// # Errors
    /// As [`JournalReader::backup`](crate::JournalReader::backup); the journal serves on.
    /// # Cancel safety
    /// Nothing is published, or the whole file.
    pub async fn backup(
        &self,
        options: &BackupOptions,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<BackedUp> {
        let (tell, mut told) = watch::channel(None);
        // Dropped with this future: the thread ends then.
        let (_alive, dropped) = oneshot::channel::<()>();
        let mut done = start(self.core().clone(), options.clone(), tell, dropped)?;
        loop {
            tokio::select! {
                taken = &mut done => return taken.map_err(|_| ended())?,
                Ok(()) = told.changed() => {
                    if let Some(now) = *told.borrow_and_update() {
                        progress(now);
                    }
                }
            }
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Closed, "the thread of the backup has ended")
}

/// A runtime for one thread.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("the thread of the backup could not be started", e))
}

fn start(
    core: Arc<Core>,
    options: BackupOptions,
    tell: watch::Sender<Option<Progress>>,
    dropped: oneshot::Receiver<()>,
) -> Result<oneshot::Receiver<Result<BackedUp>>> {
    let runtime = runtime()?;
    let (answer, done) = oneshot::channel();
    let body = move || {
        runtime.block_on(async {
            let progress = |now| {
                tell.send_replace(Some(now));
            };
            tokio::select! {
                taken = of_primary(&core, &options, progress) => drop(answer.send(taken)),
                _ = dropped => {}
            }
        });
        // A call that hangs must not hold the thread.
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name("journal-backup".into())
        .spawn(body)
        .map_err(|e| Error::io("the thread of the backup could not be started", e))?;
    Ok(done)
}

/// The backup itself; for a thread that has nothing else to do.
pub(super) async fn of_primary(
    core: &Arc<Core>,
    options: &BackupOptions,
    progress: impl FnMut(Progress) + Send,
) -> Result<BackedUp> {
    let config = &core.context.config.backup;
    let pace = Pace {
        threads: config.threads.map_or(Threads::new(1), Threads::new),
        rate: Some(config.rate.unwrap_or(RATE)),
    };
    let taken = take(&core.context, Some(core), options, pace, progress).await;
    let count = match taken {
        Ok(_) => &core.counters.backups,
        Err(_) => &core.counters.failed_backups,
    };
    count.fetch_add(1, Relaxed);
    taken
}
