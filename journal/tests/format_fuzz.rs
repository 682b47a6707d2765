//! The drivers of the fuzz targets, on stable Rust for a bounded time.
//!
//! `FLUSHPROOF_FUZZ_SECONDS` sets for how long each runs.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof::format::{fuzz_objects, fuzz_scanner};
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

/// Makes inputs for a driver until the time is up.
fn drive(driver: fn(&[u8]), generate: fn(&mut Random, &[Vec<u8>]) -> Vec<u8>) {
    let set = std::env::var("FLUSHPROOF_FUZZ_SECONDS").ok();
    let time = Duration::from_secs(set.map_or(3, |s| s.parse().unwrap()));
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut random = Random(seed);
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let start = Instant::now();
    let mut runs = 0u64;
    while start.elapsed() < time || runs < 1000 {
        for _ in 0..100 {
            let data = generate(&mut random, &pool);
            let run = std::panic::catch_unwind(|| driver(&data));
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
}

/// The shape of a segment, then a few operations of damage.
fn damaged_segment(random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
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

/// A body of the length of one of ours, mostly zeros, or a name.
fn hostile_object(random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
    const SHAPES: [&[u8]; 10] = [
        &[0; 8],  // FORMAT
        &[0; 36], // an epoch, both texts empty
        &[0; 89], // a start
        &[0; 72], // a segment's header
        &[0; 40], // longer and shorter than any
        b"log/00000000000000000003-00000000000000000002",
        b"epoch/00000000000000000003",
        b"start/00000000000000000003",
        b"checkpoint/00000000000000000005-00000000000000000003",
        b"request/a-1",
    ];
    let mut data = match random.below(3) {
        0 if !pool.is_empty() => pool[random.below(pool.len())].clone(),
        _ => SHAPES[random.below(SHAPES.len())].to_vec(),
    };
    for _ in 0..random.below(4) {
        match random.below(8) {
            0 => data.truncate(random.below(data.len())),
            1 => data.extend((0..random.below(24)).map(|_| random.next() as u8)),
            _ if !data.is_empty() => {
                let at = random.below(data.len());
                data[at] = [random.next() as u8, 1, b'/', b'0'][random.below(4)];
            }
            _ => data.push(0),
        }
    }
    data
}

#[test]
fn the_scanner_never_panics_and_never_returns_what_was_not_written() {
    drive(fuzz_scanner, damaged_segment);
}

#[test]
fn fc_13_objects_and_names_are_read_as_they_are_written_or_not_at_all() {
    drive(fuzz_objects, hostile_object);
}
