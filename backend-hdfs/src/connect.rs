//! Calls to the NameNode: each with a deadline, in a task of its own, on threads
//! of the store's own.
//!
//! hdfs-native spawns tasks wherever its client was made. They must not depend on
//! the caller's runtime, which may stand still while a thread waits for an
//! acknowledgement; so the store has two threads with a runtime of its own. A call
//! goes on when its future is dropped, and a panic inside the library is an error.

use crate::conf::Conf;
use crate::fault::{fault, late};
use crate::options::Settings;
use flushproof_api::{Advice, Error, ErrorKind, Outcome, Result};
use hdfs_native::{Client, ClientBuilder, HdfsError};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The threads that talk to HDFS. Ends when nothing needs it any more.
#[derive(Debug)]
pub(crate) struct Io {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Io {
    pub fn start() -> Result<Arc<Io>> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(4)
            .thread_name("journal-hdfs")
            .enable_all()
            .build()
            .map_err(|e| Error::io("can't start the threads that talk to HDFS", e))?;
        let handle = runtime.handle().clone();
        Ok(Arc::new(Io {
            runtime: Some(runtime),
            handle,
        }))
    }

    /// Runs something that ends by itself, whoever waits for it.
    pub fn spawn<T: Send + 'static>(
        self: &Arc<Io>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let alive = self.clone();
        self.handle.spawn(async move {
            let result = work.await;
            drop(alive);
            result
        })
    }

    /// Runs something that ends with the store.
    pub fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(work));
    }

    /// As [`spawn`](Io::spawn), and waits for the result.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Io>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.spawn(work).await {
            Ok(result) => result,
            Err(e) => Err(Error::new(
                ErrorKind::Io,
                format!("a call to HDFS did not end: {e}; report it"),
            )),
        }
    }

    /// Runs something that blocks for a short time.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.handle.spawn_blocking(work).await {
            Ok(result) => result,
            Err(e) => Err(Error::new(
                ErrorKind::Io,
                format!("reading the configuration did not end: {e}"),
            )),
        }
    }
}

/// A runtime must not wait for its end where it may be dropped: in a task.
impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The NameNode, or the NameNodes of a name service.
#[derive(Debug)]
pub(crate) struct NameNode {
    pub io: Arc<Io>,
    conf: Conf,
    settings: Settings,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    client: Client,
    /// How many were made.
    turn: usize,
}

impl NameNode {
    /// Makes a client. Nothing is sent yet.
    pub async fn new(io: Arc<Io>, conf: Conf, settings: Settings) -> Result<NameNode> {
        let client = build(&io, &conf, &settings, 0).await?;
        Ok(NameNode {
            io,
            conf,
            settings,
            current: Mutex::new(Current { client, turn: 0 }),
        })
    }

    /// The client for the next call, and which one it is.
    pub fn client(&self) -> (Client, usize) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (current.client.clone(), current.turn)
    }

    /// The limit for one call.
    pub fn limit(&self) -> Duration {
        self.settings.timeout
    }

    /// A client beside the others, for the bare call of benches.
    pub async fn another(&self) -> Result<Client> {
        build(&self.io, &self.conf, &self.settings, 0).await
    }

    /// One call within the usual limit.
    pub async fn call<T, F>(
        self: &Arc<NameNode>,
        what: &str,
        at: &str,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = hdfs_native::Result<T>> + Send + 'static,
    {
        match self.ask(what, at, self.settings.timeout, call).await? {
            Ok(value) => Ok(value),
            Err(e) => Err(refused(fault(what, at, &e))),
        }
    }

    /// One call; the inner error is what HDFS says.
    pub async fn ask<T, F>(
        self: &Arc<NameNode>,
        what: &str,
        at: &str,
        limit: Duration,
        call: impl FnOnce(Client) -> F,
    ) -> Result<hdfs_native::Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = hdfs_native::Result<T>> + Send + 'static,
    {
        let (client, turn) = self.client();
        let work = call(client);
        let answer = self.io.run(async move { Ok(timeout(limit, work).await) });
        match answer.await? {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.renew(turn).await;
                Err(late(what, at, limit, "timeout"))
            }
        }
    }

    /// Replaces a client whose connection may hang: nothing else would, and the
    /// next one begins with another NameNode.
    pub async fn renew(&self, turn: usize) {
        let next = turn.wrapping_add(1);
        match build(&self.io, &self.conf, &self.settings, next).await {
            Ok(client) => {
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                if current.turn == turn {
                    *current = Current { client, turn: next };
                }
            }
            Err(e) => tracing::warn!(error = %e, "the connection to HDFS can't be made anew"),
        }
    }

    /// Length, owner and so on; `None` if there is no such name.
    pub async fn info(
        self: &Arc<NameNode>,
        path: &str,
    ) -> Result<Option<hdfs_native::client::FileStatus>> {
        let wanted = path.to_owned();
        let limit = self.settings.timeout;
        let info = self.ask("looking at it", path, limit, |client| async move {
            client.get_file_info(&wanted).await
        });
        match info.await? {
            Ok(info) => Ok(Some(info)),
            Err(HdfsError::FileNotFound(_)) => Ok(None),
            Err(e) => Err(fault("can't look at it", path, &e)),
        }
    }

    /// Makes a folder and those above it; Ok if it is there.
    pub async fn make_folder(self: &Arc<NameNode>, path: &str) -> Result<()> {
        let wanted = path.to_owned();
        self.call("can't make the folder", path, |client| async move {
            client.mkdirs(&wanted, 0o755, true).await
        })
        .await
    }

    /// Removes a file or an empty folder; Ok if it is not there.
    pub async fn remove(self: &Arc<NameNode>, path: &str) -> Result<()> {
        let wanted = path.to_owned();
        self.call("can't delete it", path, |client| async move {
            client.delete(&wanted, false).await.map(|_| ())
        })
        .await
    }
}

/// What the NameNode refuses for these reasons it has not begun.
fn refused(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NoSpace
        | ErrorKind::PermissionDenied
        | ErrorKind::AlreadyExists
        | ErrorKind::NotFound
        | ErrorKind::InvalidInput => error.with_outcome(Outcome::NotWritten),
        _ => error,
    }
}

/// Blocking inside: configuration files, perhaps names of hosts.
async fn build(io: &Io, conf: &Conf, settings: &Settings, turn: usize) -> Result<Client> {
    let overrides = conf.overrides(settings, turn);
    let url = format!("hdfs://{}", conf.authority);
    let (folder, user, handle) = (
        conf.folder.clone(),
        settings.user.clone(),
        io.handle.clone(),
    );
    io.blocking(move || {
        let mut builder = ClientBuilder::new()
            .with_url(&url)
            .with_config(overrides)
            .with_io_runtime(handle);
        if let Some(folder) = folder {
            builder = builder.with_config_dir(folder.to_string_lossy());
        }
        if let Some(user) = user {
            builder = builder.with_user(user);
        }
        builder
            .build()
            .map_err(|e| fault("can't be used", &url, &e).with_advice(Advice::Operator))
    })
    .await
}
