//! Flushproof's backend for NFSv3 servers, spoken to directly.
//!
//! [`NfsFactory`] serves `nfs://server[:port]/export/folder`. A flush is one
//! WRITE FILE_SYNC per piece that the server takes at once, over TCP, by a small
//! asynchronous client of its own: the kernel's client and its caches are not
//! involved. It is acknowledged only if the reply says that all bytes are stable
//! and shows, in the attributes after the write, that the log has one link.
//!
//! An old writer is fenced by giving its log more links: whatever it writes
//! afterwards is answered with them. A created name (CREATE, LINK) is followed by
//! a COMMIT of its file on the same connection, because servers do not sync
//! folders. What a place promises is found out at open.
//!
//! `nfs:///mnt/folder` names no server: a folder on a mount of the kernel. One
//! primary can write there and no standby follow, because a mount can't fence.
//!
//! What of the URI's path is the export and what a folder below it is asked of
//! the server: the longest path that it gives a handle for.
//!
//! # Options
//!
//! `timeout` (10 s), `port`, `mount_port`, `portmap_port`, `uid`, `gid`,
//! `groups`, `source_port` (`auto` or `any`); in `options`.
//!
//! # Code map
//!
//! | module | is about |
//! | --- | --- |
//! | `factory`, `options`, `address` | from a URI and options to a store |
//! | `exports` | MOUNT and the portmapper: export and folder told apart |
//! | `contract`, `probe` | what this place promises |
//! | `store` | the trait's methods |
//! | `log` | flushing: the rule by which a flush is acknowledged |
//! | `seal` | creating a log, sealing it |
//! | `fence`, `remove` | stopping an old writer; deleting, sweeping |
//! | `object`, `reader`, `list` | objects; reading; listing |
//! | `names`, `folders`, `fault` | file names; folders and files; errors |
//! | `op`, `procedures` | one operation, its deadline and connection; the calls of NFS version 3 |
//! | `rpc`, `xdr` | calls over TCP; bytes that nobody vouches for |
//! | `mount` | `nfs:///…`, a mount of the kernel: the local backend's file calls, and what they are worth there |
//! | `bare` | the bare call, for benches (feature `bench`) |
#![warn(missing_docs)]

mod address;
#[cfg(feature = "bench")]
pub mod bare;
mod contract;
mod exports;
mod factory;
mod fault;
mod fence;
mod folders;
mod list;
mod log;
mod mount;
mod names;
mod object;
mod op;
mod options;
mod probe;
mod procedures;
mod reader;
mod remove;
mod rpc;
mod seal;
mod store;
mod xdr;

pub use factory::NfsFactory;
pub use store::NfsStore;
