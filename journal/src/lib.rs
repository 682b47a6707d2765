//! A durable journal (write-ahead log) on the storage your site already trusts.
//!
//! A program that keeps its state in memory appends an entry before it answers
//! a request that changes state, and answers only when the entry is durable. If
//! it is killed, its successor replays the journal and has the same state.
//!
//! The order of use is a row of types, so that a wrong order does not compile:
//! [`Standby`] → [`Recovery`] → [`Journal`].
//!
//! ```
//! use flushproof::{Config, Item, StoreUri, Survives};
//!
//! # #[tokio::main] async fn main() -> flushproof::Result<()> {
//! let mut config = Config::new(StoreUri::parse("memory:example")?);
//! config.require = Survives::NOTHING; // a real journal keeps the default: store-power
//! config.format(false).await?;
//!
//! let mut recovery = config.primary().await?;
//! while let Some(item) = recovery.next().await? {
//!     match item {
//!         Item::Checkpoint(_entries) => { /* replace the state */ }
//!         Item::Entry(_entry) => { /* apply it */ }
//!     }
//! }
//! let journal = recovery.start().await?;
//!
//! let permit = journal.reserve(5).await?; // back-pressure, outside any lock
//! let ack = permit.append(b"hello")?; // neither waits nor fails for want of room
//! let receipt = ack.await?; // durable
//! assert_eq!(receipt.seq.0, 0);
//! journal.close().await?;
//! # Ok(()) }
//! ```
#![warn(missing_docs)]

mod append;
mod archive;
mod backup;
mod chain;
mod checkpoint;
mod claim;
mod commit;
mod config;
mod copy;
mod follow;
pub mod format;
mod formatting;
mod hidden;
mod info;
mod journal;
mod objects;
mod reader;
mod recovery;
mod repair;
mod replay;
mod restore;
mod salvage;
mod stored;
mod takeover;
mod traces;
mod trim;
mod unreadable;
mod verify;
mod view;

pub use append::{Ack, Permit, Receipt};
pub use backup::{
    ArchiveConfig, At, BackedUp, BackupConfig, BackupName, BackupOptions, DailyAt, Phase, Progress,
};
pub use checkpoint::{CheckpointEntries, CheckpointWriter, Checkpointed};
pub use config::{Config, OnUnknown};
pub use copy::{Copied, CopyOptions};
pub use flushproof_api::{
    Advice, Epoch, Error, ErrorKind, Fault, FlushContract, JournalStore, Mode, Options, Outcome,
    Registry, Result, SeqNo, StorePath, StoreUri, Survives,
};
pub use follow::{Follow, FollowItem, Standby};
pub use formatting::Formatted;
pub use info::{CheckpointInfo, EpochInfo, Info, SegmentInfo, SegmentRange};
pub use journal::{Counts, Journal};
pub use reader::JournalReader;
pub use recovery::{Recovery, RecoverySummary, Tail};
pub use repair::{RepairOptions, Repaired};
pub use replay::{Entry, Item, Replay};
pub use restore::{RestoreOptions, Restored};
pub use salvage::{LostRange, Salvage, SalvagedEntries};
pub use stored::{FileUri, StoredEntry, StoredFile};
pub use trim::Trimmed;
pub use verify::{Finding, FindingKind, Verdict, Verification};

/// The examples of the documents, as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/embedding.md")]
    struct Embedding;
    #[doc = include_str!("../../docs/backends.md")]
    struct Backends;
}
