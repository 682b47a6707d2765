//! Replay from the page cache, beside a bare read of the same files.
//!
//! `cargo bench -p flushproof-bench --bench replay`; the folder is target/bench
//! below the current one, or FLUSHPROOF_BENCH_DIR.
#![allow(clippy::expect_used)] // a bench that can not go on must fail

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flushproof_bench::replay::{fill, read_files};
use std::path::PathBuf;

const ENTRIES: usize = 500_000;

fn replay(c: &mut Criterion) {
    let set = std::env::var_os("FLUSHPROOF_BENCH_DIR");
    let dir = set.map_or_else(|| PathBuf::from("target/bench"), PathBuf::from);
    std::fs::create_dir_all(&dir).expect("the folder can be made");
    let runtime = flushproof_bench::runtime().expect("a runtime");
    for size in [64, 1024] {
        let place = dir.join(format!("criterion-replay-{size}"));
        let filled = fill(&runtime, &place, ENTRIES, size).expect("a journal");
        let mut group = c.benchmark_group(format!("replay/local/{size}"));
        group.sample_size(20);
        group.throughput(Throughput::Elements(ENTRIES as u64));
        group.bench_function("floor", |b| {
            b.iter(|| read_files(&filled.place).expect("it can be read"));
        });
        group.bench_function("ours", |b| {
            b.iter_custom(|iters| {
                let all = (0..iters).map(|_| filled.replay(&runtime).expect("it is replayed"));
                all.map(|times| times.stream).sum()
            });
        });
        group.finish();
        flushproof_bench::remove(&place).expect("it can be removed");
    }
}

criterion_group!(benches, replay);
criterion_main!(benches);
