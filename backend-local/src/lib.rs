//! Flushproof's backend for local disks: journals in a folder of this machine.
//!
//! [`LocalFactory`] serves the scheme `file` and bare paths. A flush is one
//! write into a zero-filled segment, durable when it returns: with
//! `O_DIRECT|O_DSYNC`, `O_DSYNC`, or followed by `fdatasync`, whichever a short
//! probe at open found fastest ([`Method`]). It is made on the calling thread;
//! everything else runs on blocking threads of the tokio runtime.
//!
//! Names are as durable as bytes: a file is created, renamed and deleted only
//! together with a sync of its folder. An old writer is fenced by name; it looks
//! for the fence after each write, before it acknowledges. What a place promises
//! is found out at open: a disk, `store-power`; tmpfs, `writer-crash`.
//!
//! Options: `method` (`auto`, `direct`, `dsync`, `fdatasync`) and `trust_fsync`
//! (`true` states that a flush reaches a disk where that can't be seen, such as
//! on FUSE).
//!
//! Where a folder is a mount of a storage that another backend knows, that one
//! takes the same file calls and answers for the contract:
//! [`LocalStore::open_on_terms`].
//!
//! # Code map
//!
//! | module | is about |
//! | --- | --- |
//! | `factory`, `options` | from a URI and options to a store |
//! | `contract`, `probe` | what this place promises; which method is fastest |
//! | `store` | the trait's methods, deleting, sweeping |
//! | `log`, `spares` | segments: zero-filling, writing, sealing, recycling |
//! | `object`, `temp` | objects, and files on their way to a name |
//! | `fence`, `host_lock` | stopping an old writer; a clear answer to a second one |
//! | `reader`, `list`, `buffer` | reading past the cache, listing |
//! | `names`, `folders` | which file stands for what; folders and their durability |
//! | `disk` | all system calls, real and simulated; the only module that syncs |
//! | [`floor`] | the bare write loop, for benches and `doctor` |
#![warn(missing_docs)]

mod buffer;
mod contract;
mod disk;
mod factory;
mod fault;
mod fence;
pub mod floor;
mod folders;
mod host_lock;
mod list;
mod log;
mod names;
mod object;
mod options;
mod probe;
mod reader;
mod spares;
mod store;
mod temp;

pub use contract::Terms;
pub use factory::LocalFactory;
pub use options::Method;
pub use store::LocalStore;

#[cfg(any(test, feature = "testing"))]
pub use disk::simulated::{Failure, SimulatedDisk};
