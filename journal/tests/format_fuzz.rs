//! The driver of the fuzz target `scanner`, on stable Rust for a bounded time.
//!
//! `FLUSHPROOF_SOAK=1` runs it longer.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof::format::fuzz_scanner;
use std::time::{Duration, Instant};

/// A small generator of its own, so that a seed stays a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// The shape of a segment, then a few operations of damage.
fn generate(random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
    let mut data = match pool.len() {
        0 => Vec::new(),
        n => pool[random.below(n)].clone(),
    };
    if data.is_empty() || random.below(3) == 0 {
        data = vec![random.next() as u8, random.below(6) as u8];
    }
    for _ in 0..random.below(4) {
        match random.below(4) {
            0 if !data.is_empty() => {
                let at = random.below(data.len());
                data[at] = random.next() as u8;
            }
            1 if !data.is_empty() => data.truncate(random.below(data.len())),
            _ => data.extend((0..random.below(24)).map(|_| random.next() as u8)),
        }
    }
    data
}

#[test]
fn the_scanner_never_panics_and_never_returns_what_was_not_written() {
    let soak = std::env::var_os("FLUSHPROOF_SOAK").is_some_and(|v| v == "1");
    let time = Duration::from_secs(if soak { 60 } else { 3 });
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut random = Random(seed);
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let start = Instant::now();
    let mut runs = 0u64;
    while start.elapsed() < time {
        for _ in 0..100 {
            let data = generate(&mut random, &pool);
            let run = std::panic::catch_unwind(|| fuzz_scanner(&data));
            assert!(run.is_ok(), "seed {seed:#x}, run {runs}, input {data:?}");
            runs += 1;
            if pool.len() < 256 {
                pool.push(data);
            } else {
                let at = random.below(pool.len());
                pool[at] = data;
            }
        }
    }
    println!("{runs} inputs");
    assert!(runs > 1000, "only {runs} inputs in {time:?}");
}
