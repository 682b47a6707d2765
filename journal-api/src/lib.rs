//! The store trait and the flush-durability contract of Flushproof journals.
//!
//! A *store* is one directory-like place, named by a [`StoreUri`]. It holds
//! *objects* (written once, published whole, never changed) and *logs*
//! (append-only bytes with one writer). A backend implements [`JournalStore`]
//! for one kind of storage; the engine (package `flushproof`) does everything
//! that is the same on every storage. A backend moves bytes and keeps
//! promises; it knows nothing of entries.
//!
//! What a backend promises is a value, the [`FlushContract`], found out for the
//! very location at open. What every store must do is written as numbered
//! clauses, [FC-1 to FC-13](contract#clauses); docs, tests and reports cite
//! the numbers.
//!
//! This crate does no I/O and needs no runtime. [`MemoryStore`] is the
//! reference implementation: read it first when you write a backend.
//!
//! # Where to start
//!
//! * embedding a journal: package `flushproof`;
//! * writing a backend: [`JournalStore`], then [`MemoryStore`], then
//!   [`StoreFactory`];
//! * operating a journal: the `journal` command.
#![warn(missing_docs)]

pub mod contract;
mod error;
mod flush;
mod ids;
mod memory;
mod options;
mod path;
mod registry;
mod store;
mod uri;
mod values;

pub use contract::{
    Class, Fault, Fencing, FlushCall, FlushContract, MIN_MAX_BATCH, Survives, Visibility,
};
pub use error::{Advice, Error, ErrorKind, Outcome, Result};
pub use flush::{Flush, Flushed};
pub use ids::{Epoch, SeqNo};
pub use memory::{MemoryFactory, MemoryStore};
pub use options::Options;
pub use path::StorePath;
pub use registry::Registry;
pub use store::{JournalStore, LogWriter, MAX_READ, ObjectWriter, Reader, StoreFactory};
pub use uri::StoreUri;
pub use values::{HostLock, Listed, ListedKind, LogOptions, Mode, ObjectOptions, Source, Space};

/// Re-exported, because batches and reads are [`bytes::Bytes`].
pub use bytes;
/// A boxed stream, as [`JournalStore::list`] returns it.
pub type BoxStream<'a, T> = std::pin::Pin<Box<dyn futures_core::Stream<Item = T> + Send + 'a>>;
/// A boxed future, as [`Flush::later`] takes it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
