//! Objects: written into a temporary, closed, then renamed to their name.
//!
//! The NameNode renames atomically and never over an existing name here. A small
//! object is kept in memory until commit, so that a pipeline with a dead
//! DataNode in it costs another try and not the object.

use crate::copies;
use crate::fault::{fault, late, refusal};
use crate::log::options;
use crate::options::MIB;
use crate::publish;
use crate::store::{InUse, Shared};
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, ObjectOptions, ObjectWriter, Outcome, Result, StorePath};
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileWriter;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Bytes are gathered up to this before a file is made for them.
const GATHER: usize = 256 * 1024;
/// The pause before another pipeline is tried.
const AGAIN: Duration = Duration::from_millis(100);

/// Begins an object.
pub(crate) async fn begin(
    shared: Arc<Shared>,
    path: StorePath,
    wanted: ObjectOptions,
) -> Result<HdfsObject> {
    shared.check_path(&path)?;
    let at = shared.names.object(&path);
    if shared.nn.info(&at).await?.is_some() {
        return Err(taken(&at));
    }
    let (jobs, todo) = mpsc::unbounded_channel();
    let object = Object {
        shared: shared.clone(),
        path,
        at: at.clone(),
        wanted,
        gathered: BytesMut::new(),
        written: 0,
        state: State::Open(None),
    };
    shared.nn.io.spawn(object.serve(todo));
    Ok(HdfsObject { jobs, at })
}

pub(crate) fn taken(at: &str) -> Error {
    refusal(ErrorKind::AlreadyExists, at, "the object exists")
}

enum Job {
    Write(Bytes, oneshot::Sender<Result<()>>),
    Commit(oneshot::Sender<Result<u64>>),
    Abort(oneshot::Sender<Result<()>>),
}

/// The writer of one object: hands work to a task that owns the file.
pub(crate) struct HdfsObject {
    jobs: mpsc::UnboundedSender<Job>,
    at: String,
}

impl std::fmt::Debug for HdfsObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HdfsObject").field(&self.at).finish()
    }
}

impl HdfsObject {
    async fn send<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (answer, result) = oneshot::channel();
        let _ = self.jobs.send(job(answer));
        match result.await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Io,
                format!(
                    "{}: the object's writer ended without an answer; report it",
                    self.at
                ),
            )),
        }
    }
}

#[async_trait::async_trait]
impl ObjectWriter for HdfsObject {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.send(|answer| Job::Write(bytes, answer)).await
    }

    async fn commit(&mut self) -> Result<u64> {
        self.send(Job::Commit).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.send(Job::Abort).await
    }
}

/// What the task owns.
struct Object {
    shared: Arc<Shared>,
    path: StorePath,
    at: String,
    wanted: ObjectOptions,
    /// What no file has yet.
    gathered: BytesMut,
    written: u64,
    state: State,
}

enum State {
    /// The file is made with the first bytes that are too many to keep.
    Open(Option<Box<Temp>>),
    /// Whole and durable under its temporary name; perhaps renamed already.
    Closed(Box<Closed>),
    Published,
    /// The first error is final; after an abort it is `Closed`.
    Failed(Error),
}

struct Closed {
    name: InUse,
    /// As the NameNode has it.
    status: FileStatus,
    make_up: Option<u32>,
}

struct Temp {
    name: InUse,
    file: FileWriter,
    /// How many copies it should have, if it was created with fewer.
    make_up: Option<u32>,
}

impl Object {
    /// Works until the `HdfsObject` is dropped, then removes what is not published.
    async fn serve(mut self, mut todo: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = todo.recv().await {
            match job {
                Job::Write(bytes, answer) => {
                    let result = self.write(&bytes).await;
                    let _ = answer.send(self.latch(result).await);
                }
                Job::Commit(answer) => {
                    let result = self.commit().await;
                    let _ = answer.send(self.latch(result).await);
                }
                Job::Abort(answer) => {
                    let text = "the object was aborted";
                    let error = refusal(ErrorKind::Closed, &self.at, text);
                    self.give_up(error).await;
                    let _ = answer.send(Ok(()));
                }
            }
        }
        let text = "the object was dropped";
        self.give_up(refusal(ErrorKind::Closed, &self.at, text))
            .await;
    }

    /// The one place where an error becomes final. A commit whose outcome is not
    /// known may be repeated.
    async fn latch<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(e) = &result {
            let undecided = matches!(self.state, State::Closed(..));
            if !(undecided && e.outcome() == Outcome::Unknown) {
                self.give_up(e.clone()).await;
            }
        }
        result
    }

    /// Removes the temporary; what can't be removed is left to `sweep`.
    async fn give_up(&mut self, error: Error) {
        let name = match &mut self.state {
            State::Published | State::Failed(_) => return,
            State::Open(None) => None,
            State::Open(Some(temp)) => Some(temp.name.name().to_owned()),
            State::Closed(closed) => Some(closed.name.name().to_owned()),
        };
        if let Some(name) = name {
            discard(&self.shared, &name).await;
        }
        self.state = State::Failed(error);
        self.gathered = BytesMut::new();
    }

    async fn write(&mut self, bytes: &Bytes) -> Result<()> {
        match &self.state {
            State::Open(_) => {}
            State::Failed(first) => return Err(first.clone()),
            State::Closed(..) | State::Published => {
                let text = "the object is published and never changes";
                return Err(refusal(ErrorKind::Closed, &self.at, text));
            }
        }
        self.written += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHER {
            return Ok(());
        }
        let piece = self.gathered.split().freeze();
        let mut temp = match std::mem::replace(&mut self.state, State::Open(None)) {
            State::Open(Some(temp)) => temp,
            _ => self.create().await?,
        };
        let limit = self.shared.settings.limit(piece.len() as u64);
        let what = "can't write the object";
        let written = bounded(what, &self.at, limit, temp.file.write_bytes(piece)).await;
        self.state = State::Open(Some(temp)); // given up by `latch` if it failed
        written.map(|_| ())
    }

    async fn create(&self) -> Result<Box<Temp>> {
        let name = InUse::new(&self.shared, self.shared.names.temporary(&self.path)?);
        let len = self.wanted.size_hint.unwrap_or(0).max(self.written);
        let (copies, make_up) = self.shared.copies.next();
        let mut options = options(len.clamp(MIB, 128 * MIB), copies);
        if let Some(mode) = self.wanted.mode {
            options.permission = mode & 0o777;
        }
        let temp = name.name().to_owned();
        let created =
            self.shared
                .nn
                .call("can't create the object", &self.at, |client| async move {
                    client.create(&temp, &options).await
                });
        let file = created.await.map_err(not_written)?;
        Ok(Box::new(Temp {
            name,
            file,
            make_up,
        }))
    }

    async fn commit(&mut self) -> Result<u64> {
        match &self.state {
            State::Published => return Ok(self.written),
            State::Failed(first) => return Err(first.clone()),
            State::Closed(..) => {}
            State::Open(_) => {
                let closed = self.close().await.map_err(not_written)?;
                self.state = State::Closed(Box::new(closed));
            }
        }
        if let State::Closed(closed) = &self.state {
            let temp = closed.name.name();
            publish::publish(&self.shared, temp, &closed.status, &self.at).await?;
            if let Some(copies) = closed.make_up {
                copies::make_up(&self.shared, &self.at, copies);
            }
        }
        self.state = State::Published;
        Ok(self.written)
    }

    /// Writes the rest and closes the file; what is in memory alone is tried again.
    async fn close(&mut self) -> Result<Closed> {
        let rest = std::mem::take(&mut self.gathered).freeze();
        let held = match std::mem::replace(&mut self.state, State::Open(None)) {
            State::Open(held) => held,
            other => {
                self.state = other;
                None
            }
        };
        if let Some(temp) = held {
            return self.finish(temp, rest, 0).await;
        }
        let began = Instant::now();
        let mut hung = 0;
        loop {
            let temp = self.create().await?;
            match self.finish(temp, rest.clone(), hung).await {
                Ok(closed) => return Ok(closed),
                Err(e) if !pipeline(&e) => return Err(e),
                Err(e) if began.elapsed() > self.shared.settings.timeout => return Err(e),
                Err(e) => {
                    hung += u32::from(e.kind() == ErrorKind::TimedOut);
                    if self.shared.nn.info(self.shared.names.root()).await.is_ok() {
                        copies::suspect(&self.shared);
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Writes the rest, closes, and looks whether the NameNode has all of it.
    async fn finish(&self, mut temp: Box<Temp>, rest: Bytes, hung: u32) -> Result<Closed> {
        let limit = self
            .shared
            .copies
            .limit(&self.shared.settings, rest.len(), hung);
        let what = "can't make the object durable";
        // The last packet of a block always asks for a sync.
        let closed = bounded(what, &self.at, limit, async {
            if !rest.is_empty() {
                temp.file.write_bytes(rest).await?;
            }
            temp.file.close().await
        });
        let closed = closed.await;
        let name = temp.name;
        drop(temp.file);
        let found = match closed {
            Ok(()) => self.shared.nn.info(name.name()).await,
            Err(e) => Err(e),
        };
        match found {
            Ok(Some(status)) if status.length as u64 == self.written => Ok(Closed {
                name,
                status,
                make_up: temp.make_up,
            }),
            Ok(found) => {
                discard(&self.shared, name.name()).await;
                let found = found.map(|info| info.length);
                Err(Error::new(
                    ErrorKind::Io,
                    format!(
                        "{}: {what}: the NameNode has {found:?} bytes of {}",
                        self.at, self.written
                    ),
                ))
            }
            Err(e) => {
                discard(&self.shared, name.name()).await;
                Err(e)
            }
        }
    }
}

/// Failures of a pipeline: another one may have other DataNodes.
fn pipeline(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::TimedOut | ErrorKind::Unreachable
    )
}

/// Nothing was renamed yet, so nothing is visible.
fn not_written(error: Error) -> Error {
    error.with_outcome(Outcome::NotWritten)
}

async fn discard(shared: &Shared, name: &str) {
    if let Err(e) = shared.nn.remove(name).await {
        tracing::warn!(name, error = %e, "temporary left to sweep");
    }
}

async fn bounded<T>(
    what: &str,
    at: &str,
    limit: Duration,
    work: impl Future<Output = hdfs_native::Result<T>>,
) -> Result<T> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(fault(what, at, &e)),
        Err(_) => Err(late(what, at, limit, "timeout")),
    }
}
