//! open-wal: one writer, `append` then `commit`.

use crate::peer::{Contestant, Peer, Plan, Result};
use crate::queue::{self, GroupLog};
use open_wal::{Wal, WalConfig};
use std::path::Path;

/// With its default configuration.
pub const OPEN_WAL: Contestant = Contestant {
    name: "open-wal",
    ack: "Wal::append, then Wal::commit: one pwrite and one fdatasync for a group, before any ack \
          of it. One writer by design: 1 appender calls it directly; more are tasks behind a \
          queue and a writer thread, as its book says (the queue is of this bench). Defaults: \
          segments of 128 MiB by fallocate",
    open,
};

fn open(dir: &Path, plan: Plan) -> Result<Box<dyn Peer>> {
    let (wal, _report) = Wal::open(dir, WalConfig::default())?;
    queue::open(Log(wal), plan)
}

struct Log(Wal);

impl GroupLog for Log {
    fn append(&mut self, entry: &[u8]) -> Result<()> {
        self.0.append(entry)?;
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.0.commit()?;
        Ok(())
    }
}
