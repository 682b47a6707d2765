//! Flushproof's backend for HDFS: journals in a folder of a Hadoop cluster.
//!
//! [`HdfsFactory`] serves the scheme `hdfs`. A flush is a write and an hsync on
//! the pipeline of DataNodes, with the length noted by the NameNode; a log is one
//! file of one block. An old writer is fenced by taking its lease away. Standbys
//! read the flushed end of an open log by WebHDFS.
//!
//! Every call has a deadline, and runs in tasks on two threads of the store's own,
//! so it depends on no runtime of the caller. After the first error or deadline of a
//! log its writer is never asked again; the journal goes on in a new log
//! (`on_unknown = reopen`).
//!
//! # Options
//!
//! | option | default | |
//! | --- | --- | --- |
//! | `conf_dir` | `HADOOP_CONF_DIR`, else `HADOOP_HOME/etc/hadoop` | folder of `core-site.xml` and `hdfs-site.xml` |
//! | `user` | `HADOOP_USER_NAME`, else the system's | who this is, without Kerberos |
//! | `replication` | `dfs.replication`, else the NameNode's | copies of each file |
//! | `log_size` | 67108864 | the longest log and its block, in bytes; a log that is being written charges a space quota with this times its replication |
//! | `timeout` | `5s` | for one call to the NameNode; for one reading, and a second more for each 4 MiB |
//! | `flush_timeout` | `2s` | for one flush, and a second more for each 4 MiB |
//! | `fence_timeout` | `50s` | for taking over one log |
//! | `webhdfs` | `dfs.namenode.http-address` | `off`, or `host:port` of the NameNodes' HTTP servers |
//! | `check_pipeline` | `false` | ask after each flush how many DataNodes have it |
//! | `dfs.…`, `fs.…`, `hadoop.…`, `ipc.…` | | Hadoop's own keys, before the files |
//!
//! # Code map
//!
//! | module | is about |
//! | --- | --- |
//! | `factory`, `options`, `conf` | from a URI, options and Hadoop's files to a store |
//! | `contract`, `probe` | what this place promises; the file that is written to find out |
//! | `connect` | threads, deadlines and the client; every call to the NameNode |
//! | `store` | the trait's methods, deleting, sweeping |
//! | `copies` | one copy fewer while a DataNode is suspected dead |
//! | `tries` | several files begun one after the other, the first that works counts |
//! | `watch` | finding out early that a DataNode of a pipeline is dead |
//! | `retire` | writing with a file writer, and ending it so that no connection is left |
//! | `log`, `first` | the task that writes a log; the first error is final; the first flush while a DataNode is suspected |
//! | `object`, `publish` | objects; the rename, and what became of it |
//! | `fence` | taking the lease away, and why that is enough |
//! | `reader`, `list` | reading closed and open files, listing |
//! | `webhdfs`, `http` | what only the HTTP servers tell |
//! | `names`, `fault` | which name stands for what; errors |
//! | [`floor`] | the bare write and hsync, for benches |
#![warn(missing_docs)]

mod conf;
mod connect;
mod contract;
mod copies;
mod factory;
mod fault;
mod fence;
mod first;
pub mod floor;
mod http;
mod list;
mod log;
mod names;
mod object;
mod options;
mod probe;
mod publish;
mod reader;
mod retire;
mod store;
mod tries;
mod watch;
mod webhdfs;

pub use factory::HdfsFactory;
pub use store::HdfsStore;
