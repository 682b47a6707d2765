//! Appends, each awaited, beside the bare write loop.
//!
//! `cargo bench -p flushproof-bench --bench append`; the folder is target/bench
//! below the current one, or FLUSHPROOF_BENCH_DIR.
#![allow(clippy::expect_used)] // a bench that can not go on must fail

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flushproof_backend_local::floor::Floor;
use flushproof_bench::append::{self, FLOOR_WRITES, floor_block};
use flushproof_bench::crew::{Crew, Plan};
use flushproof_bench::null;
use std::path::PathBuf;
use std::time::Duration;

fn folder() -> PathBuf {
    let set = std::env::var_os("FLUSHPROOF_BENCH_DIR");
    let dir = set.map_or_else(|| PathBuf::from("target/bench"), PathBuf::from);
    std::fs::create_dir_all(&dir).expect("the folder can be made");
    dir
}

/// Runs blocks until at least `iters` entries were appended; scales to `iters`.
fn timed(crew: &Crew, iters: u64) -> Duration {
    let mut time = Duration::ZERO;
    let mut entries = 0;
    while entries < iters {
        let block = crew.block().expect("the appends succeed");
        time += block.time;
        entries += block.entries as u64;
    }
    time.mul_f64(iters as f64 / entries as f64)
}

fn bare(floor: &mut Floor, iters: u64) -> Duration {
    let blocks = iters.div_ceil(FLOOR_WRITES as u64);
    let mut time = Duration::ZERO;
    for _ in 0..blocks {
        let block = floor_block(floor).expect("the writes succeed");
        time += block.iter().sum::<Duration>();
    }
    time.mul_f64(iters as f64 / (blocks * FLOOR_WRITES as u64) as f64)
}

/// The time of one flush of one writer; of one entry among many.
fn disk(c: &mut Criterion) {
    let dir = folder();
    let runtime = flushproof_bench::runtime().expect("a runtime");
    for entry_bytes in [256, 4096] {
        let mut group = c.benchmark_group(format!("append/local/{entry_bytes}"));
        group.throughput(Throughput::Elements(1));
        let mut floor = Floor::best(&dir, entry_bytes).expect("a floor");
        group.bench_function("floor", |b| {
            b.iter_custom(|iters| bare(&mut floor, iters));
        });
        for tasks in [1, 8, 64, 1024] {
            let place = dir.join(format!("criterion-{tasks}-{entry_bytes}"));
            let journal = runtime
                .block_on(flushproof_bench::on_disk(&place, None))
                .expect("a journal");
            let crew = Crew::start(&runtime, &journal, append::plan(tasks, entry_bytes));
            group.bench_function(BenchmarkId::new("tasks", tasks), |b| {
                b.iter_custom(|iters| timed(&crew, iters));
            });
            drop(crew);
            runtime.block_on(journal.close()).expect("it closes");
            flushproof_bench::remove(&place).expect("it can be removed");
        }
        group.finish();
    }
}

/// What the engine itself costs.
fn null_sink(c: &mut Criterion) {
    let runtime = flushproof_bench::runtime().expect("a runtime");
    let mut group = c.benchmark_group("append/null/256");
    group.throughput(Throughput::Elements(1));
    for tasks in [1, 8, 64, 1024] {
        let journal = runtime.block_on(null::journal()).expect("a journal");
        let plan = Plan {
            tasks,
            entry_bytes: 256,
            each: (16_384 / tasks).min(2048),
        };
        let crew = Crew::start(&runtime, &journal, plan);
        group.bench_function(BenchmarkId::new("tasks", tasks), |b| {
            b.iter_custom(|iters| timed(&crew, iters));
        });
        drop(crew);
        runtime.block_on(journal.close()).expect("it closes");
    }
    group.finish();
}

criterion_group!(benches, disk, null_sink);
criterion_main!(benches);
