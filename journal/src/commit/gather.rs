//! When a leader flushes and when it gathers more first.

use super::core::Core;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

impl Core {
    /// Whether gathering is worth while: not when the last groups had one entry
    /// each although their leaders had waited; then only now and then.
    pub(crate) fn has_company(&self) -> bool {
        const SURE: u64 = 4;
        const LOOK_EVERY: u64 = 32;
        let lonely = self.lonely.load(Relaxed);
        lonely < SURE || lonely % LOOK_EVERY == 0 || self.waiting() < self.target()
    }

    /// How many entries a leader may hope for.
    pub(crate) fn target(&self) -> u64 {
        self.target.load(Relaxed)
    }

    /// How long a leader may wait for them: as long as a flush takes.
    pub(crate) fn patience(&self) -> Duration {
        const MOST: Duration = Duration::from_micros(500);
        Duration::from_nanos(self.flush_ns.load(Relaxed)).min(MOST)
    }

    /// Whether flushes are so short that handing the worker's other tasks to
    /// another thread (`block_in_place`, about 5 µs) would cost more: stores in
    /// memory.
    pub(crate) fn is_quick(&self) -> bool {
        const QUICK_NS: u64 = 20_000;
        self.flush_ns.load(Relaxed) < QUICK_NS
    }

    /// Notes how long a flush took. One that is longer counts at once.
    pub(crate) fn note_flush_time(&self, took: Duration) {
        let took = took.as_nanos() as u64;
        let known = self.flush_ns.load(Relaxed);
        let next = if took > 8 * known {
            took
        } else {
            known - known / 8 + took / 8
        };
        self.flush_ns.store(next, Relaxed);
    }

    /// Ends the gathering of an ack that does not lead. Those who left it to
    /// this one must not wait: one of them is woken.
    pub(crate) fn release_election(&self, id: u64) {
        let mine = self.elected.load(SeqCst) == id
            && self.elected.compare_exchange(id, 0, SeqCst, SeqCst).is_ok();
        if mine && self.is_free() && self.waiting() > 0 {
            self.hand_over();
        }
    }
}
