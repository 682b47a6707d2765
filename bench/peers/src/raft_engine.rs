//! raft-engine: `Engine::write(batch, sync = true)`.

use crate::crew::Crew;
use crate::peer::{Contestant, ENTRY_BYTES, Peer, Plan, Result};
use crate::queue::{self, GroupLog};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// As it comes.
pub const DEFAULTS: Contestant = Contestant {
    name: "raft-engine",
    ack: "Engine::write(batch of one entry, sync = true) from one OS thread and one raft group for \
          each appender; it returns after fdatasync, which the leader of a write group does for \
          the group. Defaults: files grow by fallocate",
    open: |dir, plan| threads(Engine::open(config(dir))?, plan),
};

/// With its log files written ahead.
pub const PREFILLED: Contestant = Contestant {
    name: "raft-engine, prefilled",
    ack: "as raft-engine, with prefill-for-recycle: it appends to files that were filled with \
          zeros (and synced) before the measurement",
    open: |dir, plan| threads(prefilled(dir, plan)?, plan),
};

/// With a queue in front.
pub const QUEUED: Contestant = Contestant {
    name: "raft-engine, queued",
    ack: "as raft-engine, but one writer thread calls Engine::write(batch of all that waits, sync \
          = true) for tasks behind the same queue as open-wal's (the queue is of this bench; for \
          1 appender there is none)",
    open: |dir, plan| {
        let log = Log {
            engine: Engine::open(config(dir))?,
            batch: LogBatch::default(),
            last: 0,
        };
        queue::open(log, plan)
    },
};

/// The length of a file when they are filled ahead: that of our segments.
const FILE: usize = 64 << 20;

fn config(dir: &Path) -> Config {
    Config {
        dir: dir.to_string_lossy().into_owned(),
        ..Config::default()
    }
}

/// An engine whose next files have their blocks, and that is about to use them:
/// only those after the first are filled ahead.
fn prefilled(dir: &Path, plan: Plan) -> Result<Engine> {
    let files = plan.entries() * (ENTRY_BYTES + 128) / FILE + 2;
    let engine = Engine::open(Config {
        target_file_size: ReadableSize(FILE as u64),
        prefill_for_recycle: true,
        prefill_limit: Some(ReadableSize((files * FILE) as u64)),
        batch_compression_threshold: ReadableSize(0), // an entry is too short for it anyhow
        ..config(dir)
    })?;
    let mut batch = LogBatch::default();
    for _ in 0..=FILE >> 20 {
        batch.put(u64::MAX, b"fill".to_vec(), vec![0; 1 << 20])?;
        engine.write(&mut batch, false)?;
    }
    for file in std::fs::read_dir(dir)? {
        std::fs::File::open(file?.path())?.sync_all()?;
    }
    Ok(engine)
}

/// An entry of a raft log: its bytes begin with its index.
struct Entry;

impl MessageExt for Entry {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry
            .value
            .first_chunk()
            .map_or(0, |index| u64::from_le_bytes(*index))
    }
}

impl Entry {
    fn message(index: u64) -> BytesValue {
        let mut value = vec![7; ENTRY_BYTES];
        value[..8].copy_from_slice(&index.to_le_bytes());
        let mut entry = BytesValue::new();
        entry.set_value(value);
        entry
    }
}

struct Threads(Crew);

fn threads(engine: Engine, plan: Plan) -> Result<Box<dyn Peer>> {
    let engine = Arc::new(engine);
    let crew = Crew::start(plan, |n| {
        let engine = engine.clone();
        let mut batch = LogBatch::default();
        let mut last = 0;
        Box::new(move || {
            last += 1;
            batch.add_entries::<Entry>(n as u64 + 1, &[Entry::message(last)])?;
            engine.write(&mut batch, true)?;
            Ok(())
        })
    })?;
    Ok(Box::new(Threads(crew)))
}

impl Peer for Threads {
    fn block(&mut self) -> Result<Duration> {
        self.0.block()
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(()) // the engine closes when the last thread drops it
    }
}

struct Log {
    engine: Engine,
    batch: LogBatch,
    last: u64,
}

impl GroupLog for Log {
    fn append(&mut self, _entry: &[u8]) -> Result<()> {
        self.last += 1;
        self.batch
            .add_entries::<Entry>(1, &[Entry::message(self.last)])?;
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.engine.write(&mut self.batch, true)?;
        Ok(())
    }
}
