//! Appends on the storages that are reached over a network, beside the bare call
//! of each: one writer's latency, and what 64 tasks get of one writer's rate.
//!
//! All three take turns, so that a noisy minute hits them alike. Who of the bare call
//! and the lone writer goes first changes from round to round, since the first comes
//! right behind the many tasks, whose garbage the server may still be collecting.
//! Between blocks is a pause (`PAUSE`), so that nobody's call meets what another left:
//! a journal writes an idle mark 20 ms after its last entry.

use crate::crew::{Block, Crew, Plan};
use crate::row::Row;
use crate::{Result, stats};
use async_trait::async_trait;
use flushproof::{Config, Journal};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How many calls or appends of one task are one block.
const EACH: usize = 16;

/// Blocks that warm up and are not counted.
const WARM_UP: usize = 5;

/// The pause before each block: longer than a journal needs for its idle mark.
const PAUSE: Duration = Duration::from_millis(60);

/// How many tasks are beside the one.
const MANY: usize = 64;

/// The length of an entry.
pub const ENTRY: usize = 256;

/// How many bytes the flush of one entry has on a store with units of `block` bytes:
/// a frame's header, the entry and its length, filled up to the store's unit, but at
/// least to 64.
pub fn flush_len(block: usize) -> usize {
    const FRAME_HEADER: usize = 64;
    const LENGTH: usize = 2; // a varint of ENTRY
    (FRAME_HEADER + LENGTH + ENTRY).next_multiple_of(block.max(64))
}

/// The bare call of a storage, with [as many bytes](flush_len) as a flush has.
#[async_trait]
pub trait Bare: Send {
    /// Once more; its bytes are durable when it returns.
    ///
    /// # Errors
    /// What the storage says.
    async fn call(&mut self) -> Result<()>;
}

/// A storage to be measured.
pub struct Store {
    /// Its name in the table.
    pub name: &'static str,
    /// An empty place on it, for the journal of the lone writer.
    pub config: Config,
    /// Another, for the journal of the many tasks: so the logs of the lone one grow
    /// as the bare call's place does, by a call at a time.
    pub crowd: Config,
    /// Its bare call.
    pub bare: Box<dyn Bare>,
    /// What the bare call is, in words.
    pub call: &'static str,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.call)
    }
}

/// Measures one storage: a row for the latency of one writer beside the bare
/// call, and one for the rate of 64 tasks beside that of one.
///
/// # Errors
/// The storage's.
pub fn store(runtime: &Runtime, store: Store, blocks: usize) -> Result<Vec<Row>> {
    let lone = Site::start(runtime, &store.config, 1)?;
    let crowd = Site::start(runtime, &store.crowd, MANY)?;
    let mut bare = store.bare;
    let mut latency = Row::new("flush_latency", store.name, (1, ENTRY), "us");
    // The floor of this row is one writer of a journal like this.
    let mut rate = Row::new("append_of_one", store.name, (MANY, ENTRY), "entries/s");
    for round in 0..blocks + WARM_UP {
        let (times, ours);
        if round % 2 == 0 {
            (bare, times) = bare_block(runtime, bare)?;
            ours = lone.block()?;
        } else {
            ours = lone.block()?;
            (bare, times) = bare_block(runtime, bare)?;
        }
        let all = crowd.block()?;
        if round < WARM_UP {
            continue;
        }
        latency.floor.push(median_us(&times));
        latency.ours.push(median_us(&ours.block.latencies));
        latency.group = ours.group;
        rate.floor.push(ours.block.rate());
        rate.ours.push(all.block.rate());
        rate.group += all.group / blocks as f64;
    }
    let mechanism = lone.journal.contract().mechanism.clone();
    latency.methods = format!("{mechanism}; floor: {}", store.call);
    rate.methods = format!("{mechanism}; floor: the same with one task");
    lone.close(runtime)?;
    crowd.close(runtime)?;
    Ok(vec![latency, rate])
}

/// A journal and its appenders.
struct Site {
    journal: Journal,
    crew: Crew,
}

/// A block, and how many entries its flushes had on average.
struct Grouped {
    block: Block,
    group: f64,
}

impl Site {
    fn start(runtime: &Runtime, config: &Config, tasks: usize) -> Result<Site> {
        let journal = runtime.block_on(crate::open(config))?;
        let plan = Plan {
            tasks,
            entry_bytes: ENTRY,
            each: EACH,
        };
        let crew = Crew::start(runtime, &journal, plan);
        Ok(Site { journal, crew })
    }

    fn block(&self) -> Result<Grouped> {
        std::thread::sleep(PAUSE);
        let before = self.journal.counts();
        let block = self.crew.block()?;
        let after = self.journal.counts();
        let groups = after.groups.saturating_sub(before.groups).max(1);
        let entries = after.entries.saturating_sub(before.entries);
        let group = entries as f64 / groups as f64;
        Ok(Grouped { block, group })
    }

    fn close(self, runtime: &Runtime) -> Result<()> {
        drop(self.crew);
        Ok(runtime.block_on(self.journal.close())?)
    }
}

type BareBlock = (Box<dyn Bare>, Vec<Duration>);

/// One block of bare calls: in a task of the runtime, as the appends are.
fn bare_block(runtime: &Runtime, bare: Box<dyn Bare>) -> Result<BareBlock> {
    std::thread::sleep(PAUSE);
    runtime.block_on(runtime.spawn(bare_calls(bare)))?
}

/// Bare calls, one behind the other, and how long each took.
async fn bare_calls(mut bare: Box<dyn Bare>) -> Result<BareBlock> {
    let mut times = Vec::with_capacity(EACH);
    let mut began = Instant::now();
    for _ in 0..EACH {
        bare.call().await?;
        let now = Instant::now();
        times.push(now - began);
        began = now;
    }
    Ok((bare, times))
}

fn median_us(times: &[Duration]) -> f64 {
    let mut us: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1e6).collect();
    stats::median(&mut us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flushproof::{Options, StoreUri};
    use flushproof_api::{
        JournalStore, ListedKind, MemoryStore, Mode, StoreFactory, StorePath, Survives,
    };
    use futures_util::TryStreamExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    /// `shown:`, a store that the test sees too.
    #[derive(Debug)]
    struct Shown(MemoryStore);

    #[async_trait]
    impl StoreFactory for Shown {
        fn schemes(&self) -> &[&str] {
            &["shown"]
        }

        async fn open(
            &self,
            _uri: &StoreUri,
            _options: &Options,
            _mode: Mode,
        ) -> flushproof_api::Result<Arc<dyn JournalStore>> {
            Ok(Arc::new(self.0.clone()))
        }
    }

    fn config(store: &MemoryStore) -> Config {
        let mut config = Config::new(StoreUri::parse("shown:").unwrap());
        config.registry.register(Shown(store.clone()));
        config.require = Survives::NOTHING;
        config.idle_mark = Duration::from_secs(3600); // only entries are flushed
        config
    }

    async fn log_bytes(store: &MemoryStore) -> u64 {
        let rows = store.list(&StorePath::new("log").unwrap());
        let rows: Vec<_> = rows.try_collect().await.unwrap();
        let logs = rows.iter().filter(|row| row.kind == ListedKind::Log);
        logs.map(|row| row.len).sum()
    }

    #[test]
    fn the_bare_call_has_as_many_bytes_as_a_flush() {
        let runtime = crate::runtime().unwrap();
        let store = MemoryStore::new();
        runtime.block_on(async {
            let journal = crate::open(&config(&store)).await.unwrap();
            for _ in 0..3 {
                let before = log_bytes(&store).await;
                journal.append(&[7; ENTRY]).await.unwrap();
                let flushed = log_bytes(&store).await - before;
                assert_eq!(flushed, flush_len(store.contract().block) as u64);
            }
            journal.close().await.unwrap();
        });
        assert_eq!([1, 512, 4096].map(flush_len), [384, 512, 4096]);
    }

    struct Counted(Arc<AtomicUsize>);

    #[async_trait]
    impl Bare for Counted {
        async fn call(&mut self) -> Result<()> {
            self.0.fetch_add(1, SeqCst);
            Ok(())
        }
    }

    #[test]
    fn both_have_as_many_turns() {
        let runtime = crate::runtime().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let measured = Store {
            name: "shown",
            config: config(&MemoryStore::new()),
            crowd: config(&MemoryStore::new()),
            bare: Box::new(Counted(calls.clone())),
            call: "nothing",
        };
        let rows = store(&runtime, measured, 3).unwrap();
        assert_eq!(calls.load(SeqCst), (3 + WARM_UP) * EACH);
        for row in &rows {
            assert_eq!((row.ours.len(), row.floor.len()), (3, 3));
        }
    }
}
