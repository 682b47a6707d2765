//! [`Group`]: the entries that one flush makes durable, and who waits for it.

use flushproof_api::{Epoch, Error, Survives};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

/// What a finished group got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub epoch: Epoch,
    pub survives: Survives,
}

/// One group: decided once, then for ever.
#[derive(Debug, Default)]
pub(crate) struct Group {
    outcome: OnceLock<Result<Done, Error>>,
    waiting: Mutex<Vec<Waker>>,
}

impl Group {
    /// The outcome, once it is known.
    pub(crate) fn outcome(&self) -> Option<&Result<Done, Error>> {
        self.outcome.get()
    }

    /// Notes who is to be woken. `slot` is the caller's place from its last call.
    pub(crate) fn register(&self, slot: &mut Option<usize>, waker: &Waker) {
        let mut waiting = self.waiting();
        match slot.and_then(|s| waiting.get_mut(s)) {
            Some(known) => known.clone_from(waker),
            None => {
                *slot = Some(waiting.len());
                waiting.push(waker.clone());
            }
        }
    }

    /// Decides the group. A second decision changes nothing. Call it under the
    /// state's lock, so that groups are decided in order whoever flushed them;
    /// [`wake`](Self::wake) afterwards.
    pub(crate) fn decide(&self, outcome: Result<Done, Error>) {
        let _ = self.outcome.set(outcome);
    }

    /// Wakes everybody: the group is decided.
    pub(crate) fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        for waker in waiting {
            waker.wake();
        }
    }

    /// Wakes one of those who wait, so that it leads the next flush.
    pub(crate) fn wake_one(&self) -> bool {
        match self.waiting().first() {
            Some(waker) => {
                waker.wake_by_ref();
                true
            }
            None => false,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
