//! How many copies new files get; one fewer while a DataNode is suspected dead.
//!
//! For a while after a DataNode has died the NameNode puts it into new pipelines
//! (12 s to 10 minutes), and where there are no more DataNodes than copies, into
//! every one of them; hdfs-native does not say which DataNodes to leave out.
//! Measured with three copies on three DataNodes: no new file can be written
//! until the NameNode gives the dead one up. With one copy fewer it can as soon as
//! the NameNode avoids it as stale. It is what HDFS does with a file that is being
//! written when a DataNode dies; as there, the NameNode is told to make up the missing copy.

use crate::probe;
use crate::store::Shared;
use crate::tries::Doubt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is tried whether all copies can be made again.
const TRY: Duration = Duration::from_secs(5);
/// No file is created with fewer copies than this, unless fewer are wanted.
const LEAST: u32 = 2;

/// The replication of new files.
#[derive(Debug)]
pub(crate) struct Copies {
    /// What files are created with; `None` leaves it to the NameNode.
    wanted: Option<u32>,
    /// What they get, where it is known.
    known: Option<u32>,
    suspected: AtomicBool,
}

impl Copies {
    pub fn new(wanted: Option<u32>, known: Option<u32>, suspected: bool) -> Copies {
        Copies {
            wanted,
            known,
            suspected: AtomicBool::new(suspected),
        }
    }

    /// For the next file, and what the NameNode must be told once it is written.
    pub fn next(&self) -> (Option<u32>, Option<u32>) {
        match self.suspected() {
            true => self.of_try(0),
            false => (self.wanted, None),
        }
    }

    /// For the `n`th of several tries while a DataNode is suspected.
    pub fn of_try(&self, n: u32) -> (Option<u32>, Option<u32>) {
        of_try(n, self.wanted, self.known)
    }

    /// Whether a DataNode is suspected dead.
    pub fn suspected(&self) -> bool {
        self.suspected.load(Ordering::Acquire)
    }
}

/// One copy fewer, where that leaves enough.
pub(crate) fn fewer(copies: Option<u32>) -> Option<u32> {
    copies
        .and_then(|n| n.checked_sub(1))
        .filter(|n| *n >= LEAST)
}

/// The copies of the `n`th of several files that are tried, and what the NameNode must
/// be told once it is written: one fewer, and now and then all, because where there
/// are more DataNodes the next pipeline may do without the dead one.
pub(crate) fn of_try(
    n: u32,
    wanted: Option<u32>,
    known: Option<u32>,
) -> (Option<u32>, Option<u32>) {
    match fewer(known) {
        Some(fewer) if n % 3 != 2 => (Some(fewer), known),
        _ => (wanted, None),
    }
}

/// A pipeline failed while the NameNode answers: files get one copy fewer until a
/// file with all of them can be written.
pub(crate) fn suspect(shared: &Arc<Shared>) {
    if shared.copies.suspected.swap(true, Ordering::AcqRel) {
        return;
    }
    tracing::warn!("a pipeline of DataNodes failed: new files get one copy fewer for some time");
    watch(shared);
}

/// Tries now and then to write a file with all copies.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    shared.nn.io.detach(async move {
        loop {
            tokio::time::sleep(TRY).await;
            let Some(shared) = weak.upgrade().filter(|s| s.check_open().is_ok()) else {
                return;
            };
            let (whole, limit) = (shared.copies.wanted, shared.settings.flush_timeout);
            let watch = (&shared.watch, &Doubt::unheard());
            let tried = probe::once(&shared.nn, &shared.names, limit, whole, watch);
            match tried.await {
                Ok(_) => {
                    shared.copies.suspected.store(false, Ordering::Release);
                    tracing::info!("files get all their copies again");
                    return;
                }
                Err(e) => tracing::debug!(error = %e, "not all copies can be made yet"),
            }
        }
    });
}

/// Asks the NameNode to make up the copies of a file that was created with fewer.
pub(crate) fn make_up(shared: &Arc<Shared>, at: &str, copies: u32) {
    let (shared, at) = (shared.clone(), at.to_owned());
    let io = shared.nn.io.clone();
    io.spawn(async move {
        let name = at.clone();
        let told = shared
            .nn
            .call("can't set its replication", &at, |client| async move {
                client.set_replication(&name, copies).await.map(|_| ())
            });
        if let Err(e) = told.await {
            tracing::warn!(error = %e, "the file keeps one copy fewer");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_fewer_but_never_fewer_than_two() {
        let next = |known, suspected| Copies::new(None, known, suspected).next();
        assert_eq!(next(Some(3), false), (None, None));
        assert_eq!(next(Some(3), true), (Some(2), Some(3)));
        for n in [None, Some(0), Some(1), Some(2)] {
            assert_eq!(next(n, true), (None, None));
        }
        let chosen = Copies::new(Some(4), Some(4), true).next();
        assert_eq!(chosen, (Some(3), Some(4)));
        let tries = [0, 1, 2, 3].map(|n| of_try(n, None, Some(3)).0);
        assert_eq!(tries, [Some(2), Some(2), None, Some(2)]);
    }
}
