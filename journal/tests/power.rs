//! The whole journal on the simulated disk: power cuts at every system call, and
//! every system call failing in turn (FC-1, FC-4, FC-7, FC-9 c). What was
//! acknowledged is there afterwards, and the journal goes on.
//!
//! By default only some of the calls, others in each run; with
//! `FLUSHPROOF_SOAK=1` all. `FLUSHPROOF_CUTS` sets how many power cuts are drawn
//! at each.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use async_trait::async_trait;
use flushproof::{Config, Mode, Options, Registry, Result, StoreUri};
use flushproof_api::{JournalStore, StoreFactory};
use flushproof_backend_local::{Failure, LocalStore, SimulatedDisk};
use std::sync::Arc;
use std::time::Duration;
use support::work::{Shared, in_turn, open_again, work};
use support::{Random, rounds, runtime, soak};

/// Opens `simulated:`: each time as a new process would.
struct Simulated(SimulatedDisk);

#[async_trait]
impl StoreFactory for Simulated {
    fn schemes(&self) -> &[&str] {
        &["simulated"]
    }

    async fn open(
        &self,
        _: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        let store = LocalStore::open_simulated(&self.0, options, mode).await?;
        Ok(Arc::new(store))
    }
}

fn config(disk: &SimulatedDisk) -> Config {
    let mut config = Config::new(StoreUri::parse("simulated:").unwrap());
    config.registry = Registry::new().with(Simulated(disk.clone()));
    config.segment_size = 64 << 10;
    config.idle_mark = Duration::from_secs(3600);
    config.keep_checkpoints = 1;
    config
}

/// How many calls the work makes when nothing fails.
async fn calls_of_the_work() -> u64 {
    let disk = SimulatedDisk::new(1);
    work(config(&disk), Shared::default()).await.unwrap();
    disk.calls()
}

/// Which calls: all, or about `n` of them.
fn chosen(random: &mut Random, calls: u64, n: u64) -> Vec<u64> {
    let step = if soak() { 1 } else { (calls / n).max(1) };
    (random.below(step)..calls).step_by(step as usize).collect()
}

#[test]
fn fc_1_fc_7_a_power_cut_at_any_system_call_loses_nothing_acknowledged() {
    let mut random = Random::new("power cuts");
    let cuts = rounds("FLUSHPROOF_CUTS", 2);
    let runtime = runtime();
    let calls = runtime.block_on(calls_of_the_work());
    let chosen = Arc::new(chosen(&mut random, calls, 250));
    let (n, seed) = (chosen.len(), random.number());
    runtime.block_on(in_turn(4, move |i| {
        let chosen = chosen.clone();
        async move {
            let Some(call) = chosen.get(i as usize) else {
                return false;
            };
            let disk = SimulatedDisk::new(seed.wrapping_add(i));
            let facts = Shared::default();
            disk.stop_at(*call);
            let done = work(config(&disk), facts.clone()).await;
            for cut in 0..cuts {
                let case = format!("cut {cut} at call {call} of {calls} (seed {seed}, {done:?})");
                open_again(&config(&disk.power_cut()), &facts, &case).await;
            }
            true
        }
    }));
    println!("{cuts} power cuts each at {n} of {calls} calls");
}

#[test]
fn fc_4_any_failing_system_call_loses_nothing_acknowledged() {
    let mut random = Random::new("failing calls");
    let runtime = runtime();
    let calls = runtime.block_on(calls_of_the_work());
    for failure in [Failure::Io, Failure::NoSpace, Failure::Short] {
        let chosen = Arc::new(chosen(&mut random, calls, 80));
        let (n, seed) = (chosen.len(), random.number());
        runtime.block_on(in_turn(4, move |i| {
            let chosen = chosen.clone();
            async move {
                let Some(call) = chosen.get(i as usize) else {
                    return false;
                };
                let disk = SimulatedDisk::new(seed.wrapping_add(i));
                let facts = Shared::default();
                disk.fail_at(*call, failure);
                let done = work(config(&disk), facts.clone()).await;
                let case = format!("{failure:?} at call {call} of {calls} (seed {seed}, {done:?})");
                if disk.calls() <= *call {
                    return true; // made fewer calls this time
                }
                // The process goes on, or its machine loses power as well.
                if i % 2 == 0 {
                    open_again(&config(&disk), &facts, &case).await;
                } else {
                    open_again(&config(&disk.power_cut()), &facts, &case).await;
                }
                true
            }
        }));
        println!("{failure:?} at {n} of {calls} calls");
    }
}
