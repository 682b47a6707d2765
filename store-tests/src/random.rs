//! Random numbers that can be had again.

use std::time::Duration;

/// A generator of random numbers (SplitMix64); its seed is printed, so that a
/// failure can be run again with `FLUSHPROOF_SEED`.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator whose seed comes from the clock or from `FLUSHPROOF_SEED`.
    pub fn new(what: &str) -> Random {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let seed = crate::rounds("FLUSHPROOF_SEED", now.as_nanos() as u64);
        println!("{what}: FLUSHPROOF_SEED={seed}");
        Random(seed)
    }

    /// A generator with this seed.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.number() % n
    }

    /// A time shorter than `most` microseconds.
    pub fn micros(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most))
    }
}
