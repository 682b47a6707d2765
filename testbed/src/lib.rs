//! Real servers for tests: each is started in seconds on loopback ports of its own,
//! from programs of the ordinary package clients, and can be killed, stopped and
//! restarted process by process.
//!
//! ```no_run
//! # fn main() -> Result<(), String> {
//! # let server = flushproof_testbed::all().into_iter().next().unwrap();
//! let bed = flushproof_testbed::Bed::start(server)?;
//! println!("{}", bed.fresh_uri()); // an empty place of its own
//! let first = bed.processes()[0];
//! bed.process(first).stop()?; // SIGSTOP
//! bed.process(first).cont()?;
//! bed.process(first).restart()?; // kill -9, start, wait until it answers
//! # Ok(()) } // everything is killed and removed here, or when this process dies
//! ```
//!
//! | module | is about |
//! | --- | --- |
//! | `server` | what differs between servers: the trait [`Server`] |
//! | `bed` | one running server: [`Bed`], its processes and their hooks |
//! | `process` | one process: pid files, signals, whether it lives |
//! | `place` | where a bed has its files, and the cache of installed programs |
//! | `ports` | loopback ports that no other bed has |
//! | `watchdog` | cleans up when the process that started a bed dies |
//! | `hdfs` | a NameNode and three DataNodes |
//! | `nfs` | nfs-ganesha |
//! | `s3` | SeaweedFS, one process |
//! | `azure` | Azurite, one process |
//! | `rclone` | an S3 server without conditional writes, which must be refused |
//! | `mount` | an emulated machine whose kernel mounts NFS |
//! | `s3s` | an S3 server whose conditional writes race, the same |
//! | `install` | apt, and running installers with what they print |
//!
//! Programs are installed once, into a cache outside the build folder
//! ([`cache`]). A test whose server is not installed fails with the line that
//! installs it; it is never skipped.

#![warn(missing_docs)]

pub mod azure;
mod bed;
pub mod hdfs;
pub mod install;
pub mod mount;
pub mod nfs;
mod place;
mod ports;
mod process;
pub mod rclone;
pub mod s3;
pub mod s3s;
mod server;
mod watchdog;

pub use bed::{Bed, Hook};
pub use place::{Place, cache};
pub use server::Server;

/// All servers, in the order in which they are shown.
pub fn all() -> Vec<&'static dyn Server> {
    vec![
        &hdfs::Hdfs,
        &nfs::NFS,
        &s3::S3,
        &azure::Azure,
        &rclone::Rclone,
        &s3s::S3s,
    ]
}
