//! A durable journal (write-ahead log) on the storage your site already trusts.
//!
//! So far the crate holds the format on storage; the engine is being wired in.
#![warn(missing_docs)]

pub mod format;

pub use flushproof_api::{
    Advice, Epoch, Error, ErrorKind, Fault, FlushContract, JournalStore, Mode, Options, Outcome,
    Registry, Result, SeqNo, StorePath, StoreUri, Survives,
};
