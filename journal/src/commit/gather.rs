//! When a leader flushes and when it gathers more first.
//!
//! | appenders | who flushes | gathers |
//! | --- | --- | --- |
//! | one | the ack that is awaited, on its own thread | no |
//! | several | the flusher's thread, one group after the other | until those of the last group came again, or half a flush has passed |
//! | one, on a store that answers later | the ack that is awaited begins the flush and takes it in | no |
//! | any, on such a store | a task of the journal, as many flushes as the store takes | only where it takes one at a time: as above |
//! | any, on a store in memory | an awaited ack, on its own thread | what its worker can run now |
//!
//! Handing a lone flush to another thread would cost 13-20 % of it; with several
//! appenders a thread that goes on keeps the device busy.

use super::core::Core;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

impl Core {
    /// Whether more than one appender is at work: more waits than one entry, or
    /// more was there a moment ago.
    pub(crate) fn has_company(&self) -> bool {
        let waiting = self.waiting();
        waiting > 1 || waiting < self.target()
    }

    /// Whether a look for company pays on a store in memory: not when the last
    /// groups had one entry each; then only now and then.
    pub(crate) fn looks_for_company(&self) -> bool {
        const SURE: u64 = 4;
        const LOOK_EVERY: u64 = 32;
        let lonely = self.lonely.load(Relaxed);
        lonely < SURE || lonely % LOOK_EVERY == 0 || self.has_company()
    }

    /// Waits until the next group is as large as may be hoped for, or half a
    /// flush has passed. The thread gives way to those who append.
    pub(crate) fn gather(&self) {
        let target = self.target();
        if self.waiting() >= target || self.is_quick() || !self.is_free() {
            return;
        }
        let patience = self.gathering_time();
        let began = Instant::now();
        while self.waiting() < target && began.elapsed() < patience {
            std::thread::yield_now();
        }
    }

    /// How long a leader waits for more: half a flush, and not long.
    pub(crate) fn gathering_time(&self) -> Duration {
        const MOST: Duration = Duration::from_micros(250);
        Duration::from_nanos(self.flush_ns.load(Relaxed) / 2).min(MOST)
    }

    /// How many entries a leader may hope for.
    pub(crate) fn target(&self) -> u64 {
        self.target.load(Relaxed)
    }

    /// How long an ack on a store in memory may wait for them.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_nanos(self.flush_ns.load(Relaxed) / 4)
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
