//! What is compared: one trait, and the list of those that implement it.

use crate::{okaywal, open_wal, ours, raft_engine};
use std::path::Path;
use std::time::Duration;

/// Whatever went wrong in a contestant.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Failure>;

/// The length of an entry.
pub const ENTRY_BYTES: usize = 256;

/// What one measurement will ask for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Concurrent appenders: tasks or OS threads.
    pub tasks: usize,
    /// How many entries each appends in a block, one after the other.
    pub each: usize,
    /// How many blocks there will be, with those that warm up.
    pub blocks: usize,
}

impl Plan {
    /// Entries in a block.
    pub fn block_entries(&self) -> usize {
        self.tasks * self.each
    }

    /// Entries in all blocks.
    pub fn entries(&self) -> usize {
        self.block_entries() * self.blocks
    }
}

/// An open log that takes appends.
pub trait Peer {
    /// One block: each of the plan's appenders appends `each` entries and waits
    /// for each to be durable before it appends the next. Returns the time from
    /// the start of the appenders to the last acknowledgement.
    ///
    /// # Errors
    /// The log's, of any appender.
    fn block(&mut self) -> Result<Duration>;

    /// Closes the log.
    ///
    /// # Errors
    /// The log's.
    fn close(self: Box<Self>) -> Result<()>;
}

/// One line of the comparison.
#[derive(Clone, Copy)]
pub struct Contestant {
    /// Its name in the table.
    pub name: &'static str,
    /// The calls used, and what they wait for.
    pub ack: &'static str,
    /// Opens a fresh log in an empty directory.
    pub open: fn(&Path, Plan) -> Result<Box<dyn Peer>>,
}

/// All of them, ours first.
pub const ALL: [Contestant; 6] = [
    ours::OURS,
    raft_engine::DEFAULTS,
    raft_engine::PREFILLED,
    raft_engine::QUEUED,
    okaywal::OKAYWAL,
    open_wal::OPEN_WAL,
];
