//! okaywal: `begin_entry`, `write_chunk`, `commit`.

use crate::crew::Crew;
use crate::peer::{Contestant, ENTRY_BYTES, Peer, Plan, Result};
use okaywal::{Configuration, LogVoid, WriteAheadLog};
use std::path::Path;
use std::time::Duration;

/// With segments of the length that ours have.
pub const OKAYWAL: Contestant = Contestant {
    name: "okaywal",
    ack: "begin_entry, write_chunk, EntryWriter::commit from one OS thread for each appender; \
          commit returns after fdatasync, which one thread does for all that wait. Segments of \
          64 MiB, zero-filled (the default of 1 MiB rolls all the time), a checkpoint that does \
          nothing",
    open,
};

/// The length of a segment.
const SEGMENT: u32 = 64 << 20;

struct Okaywal {
    crew: Crew,
    wal: WriteAheadLog,
}

fn open(dir: &Path, plan: Plan) -> Result<Box<dyn Peer>> {
    let wal = Configuration::default_for(dir)
        .preallocate_bytes(SEGMENT)
        .checkpoint_after_bytes(u64::from(SEGMENT) / 16 * 15)
        .open(LogVoid)?;
    let crew = Crew::start(plan, |_| {
        let wal = wal.clone();
        let entry = [7; ENTRY_BYTES];
        Box::new(move || {
            let mut writer = wal.begin_entry()?;
            writer.write_chunk(&entry)?;
            writer.commit()?;
            Ok(())
        })
    })?;
    Ok(Box::new(Okaywal { crew, wal }))
}

impl Peer for Okaywal {
    fn block(&mut self) -> Result<Duration> {
        self.crew.block()
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self.crew);
        Ok(self.wal.shutdown()?)
    }
}
