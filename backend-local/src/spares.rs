//! Deleted logs kept for reuse: their blocks hold data already, so a new log
//! made of one needs no zeros.
//!
//! Only a log becomes a spare that this very store wrote, whose writer is gone
//! without a failure, and that is neither sealed nor fenced: into any other an
//! old writer's descriptor may still write. A spare lies in the folder of its
//! log, so one sync of that folder covers both names.

use crate::disk::FileId;
use crate::store::Shared;
use flushproof_api::StorePath;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are kept.
const KEPT: usize = 2;
/// A spare this many times longer than wanted is not taken.
const TOO_LONG: u64 = 4;

/// A deleted log.
#[derive(Debug)]
pub(crate) struct Spare {
    pub folder: StorePath,
    pub name: String,
    pub id: FileId,
    pub len: u64,
    /// The log it was: never the same again, so that a reader of the old one
    /// can tell by name and inode.
    pub was: StorePath,
}

#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<Spare>>);

impl Spares {
    fn kept(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of this length should be kept.
    pub fn wants(&self, len: u64) -> bool {
        let kept = self.kept();
        kept.len() < KEPT || kept.iter().any(|s| s.len < len)
    }

    /// Keeps one; gives back the one that has to go for it.
    #[must_use]
    pub fn put(&self, spare: Spare) -> Option<Spare> {
        let mut kept = self.kept();
        kept.push(spare);
        kept.sort_by_key(|s| std::cmp::Reverse(s.len));
        (kept.len() > KEPT).then(|| kept.pop()).flatten()
    }

    /// One that could not be used after all.
    pub fn put_back(&self, spare: Spare) {
        self.kept().push(spare);
    }

    /// The shortest one that is at least `wanted` long, for the log `path`.
    pub fn take(&self, path: &StorePath, wanted: u64) -> Option<Spare> {
        let mut kept = self.kept();
        let folder = path.parent();
        let best = kept
            .iter()
            .enumerate()
            .filter(|(_, s)| {
                s.folder == folder
                    && s.was != *path
                    && s.len >= wanted
                    && s.len <= wanted.saturating_mul(TOO_LONG)
            })
            .min_by_key(|(_, s)| s.len)?
            .0;
        Some(kept.swap_remove(best))
    }

    /// Removes all; says how many. Blocking.
    pub fn clear(&self, shared: &Shared) -> usize {
        let all = std::mem::take(&mut *self.kept());
        for spare in &all {
            shared.remove_spare(spare);
        }
        all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(was: &str, len: u64) -> Spare {
        let was = StorePath::new(was).unwrap();
        Spare {
            folder: was.parent(),
            name: format!(".spare-{len}"),
            id: FileId {
                device: 1,
                inode: len,
            },
            len,
            was,
        }
    }

    #[test]
    fn the_longest_are_kept() {
        let spares = Spares::default();
        for (len, goes) in [(1, None), (4, None), (2, Some(1)), (3, Some(2))] {
            assert!(spares.wants(len));
            let gone = spares.put(spare("log/a", len)).map(|s| s.len);
            assert_eq!(gone, goes);
        }
        assert!(!spares.wants(3));
    }

    #[test]
    fn a_spare_fits_and_changes_its_name() {
        let spares = Spares::default();
        let path = |p: &str| StorePath::new(p).unwrap();
        assert!(spares.put(spare("log/a", 8)).is_none());
        for (name, wanted) in [("log/b", 9), ("log/b", 1), ("log/a", 8), ("other/b", 8)] {
            assert!(
                spares.take(&path(name), wanted).is_none(),
                "{name} {wanted}"
            );
        }
        assert!(spares.take(&path("log/b"), 5).is_some());
        assert!(spares.take(&path("log/b"), 5).is_none());
    }
}
