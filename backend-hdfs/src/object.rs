//! Objects: written into a temporary, closed, then renamed to their name.
//!
//! The NameNode renames atomically and never over an existing name here. A small
//! object is kept in memory until commit, so that a pipeline with a dead
//! DataNode in it costs other tries and not the object.

use crate::copies;
use crate::fault::{fault, late, refusal};
use crate::log::options;
use crate::options::MIB;
use crate::publish;
use crate::retire;
use crate::store::{InUse, Shared};
use crate::tries::{self, Doubt, Failed, Made, Pace};
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, ObjectOptions, ObjectWriter, Outcome, Result, StorePath};
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileWriter;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Bytes are gathered up to this before a file is made for them.
const GATHER: usize = 256 * 1024;

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
        target: Arc::new(Target {
            shared: shared.clone(),
            path,
            at: at.clone(),
            wanted,
        }),
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

/// What is made, and where.
struct Target {
    shared: Arc<Shared>,
    path: StorePath,
    at: String,
    wanted: ObjectOptions,
}

/// What the task owns.
struct Object {
    target: Arc<Target>,
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

impl Made for Closed {
    async fn discard(self) {
        self.name.remove().await;
    }
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
                    let error = refusal(ErrorKind::Closed, &self.target.at, text);
                    self.give_up(error).await;
                    let _ = answer.send(Ok(()));
                }
            }
        }
        let text = "the object was dropped";
        self.give_up(refusal(ErrorKind::Closed, &self.target.at, text))
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
        if matches!(self.state, State::Published | State::Failed(_)) {
            return;
        }
        match std::mem::replace(&mut self.state, State::Failed(error)) {
            State::Open(Some(temp)) => {
                retire::close(temp.file).await;
                temp.name.remove().await;
            }
            State::Closed(closed) => closed.name.remove().await,
            State::Open(None) | State::Published | State::Failed(_) => {}
        }
        self.gathered = BytesMut::new();
    }

    async fn write(&mut self, bytes: &Bytes) -> Result<()> {
        match &self.state {
            State::Open(_) => {}
            State::Failed(first) => return Err(first.clone()),
            State::Closed(..) | State::Published => {
                let text = "the object is published and never changes";
                return Err(refusal(ErrorKind::Closed, &self.target.at, text));
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
            _ => self.target.create_any(self.written).await?,
        };
        let limit = self.target.shared.settings.limit(piece.len() as u64);
        let what = "can't write the object";
        let written = bounded(what, &self.target.at, limit, temp.file.write_bytes(piece)).await;
        self.state = State::Open(Some(temp)); // given up by `latch` if it failed
        written.map(|_| ())
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
            let Target { shared, at, .. } = &*self.target;
            publish::publish(shared, temp, &closed.status, at).await?;
            if let Some(copies) = closed.make_up {
                copies::make_up(shared, at, copies);
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
        match held {
            Some(temp) => {
                let limit = self.target.shared.settings.flush_limit(rest.len());
                self.target.finish(temp, rest, self.written, limit).await
            }
            None => self.target.make(rest).await,
        }
    }
}

impl Target {
    /// Makes a file of the whole object: with all copies, and when that fails because of
    /// a DataNode, or is known to, with what works.
    async fn make(self: &Arc<Target>, bytes: Bytes) -> Result<Closed> {
        let shared = &self.shared;
        let (len, suspected) = (bytes.len() as u64, shared.copies.suspected());
        let usual = shared.settings.flush_limit(bytes.len());
        let pace = Pace {
            limit: shared.settings.timeout,
            alone: match suspected {
                false => usual,
                true => Duration::ZERO,
            },
        };
        let tried = tries::first(&shared.nn.io, pace, |n, doubt| {
            let copies = match (suspected, n) {
                (true, n) => shared.copies.of_try(n),
                (false, 0) => shared.copies.next(),
                (false, n) => shared.copies.of_try(n - 1),
            };
            // One that is slow holds no other up.
            self.clone()
                .try_one(bytes.clone(), len, copies, usual * 2, doubt)
        });
        let tried = tried.await;
        let failed = match &tried {
            Ok((n, _)) => *n > 0,
            Err(e) => pipeline(e) && shared.nn.info(shared.names.root()).await.is_ok(),
        };
        if failed {
            copies::suspect(shared); // the NameNode answers
        }
        tried.map(|(_, closed)| closed)
    }

    async fn try_one(
        self: Arc<Target>,
        bytes: Bytes,
        len: u64,
        copies: (Option<u32>, Option<u32>),
        limit: Duration,
        doubt: Doubt,
    ) -> std::result::Result<Closed, Failed> {
        let temp = self.create(len, copies).await.map_err(Failed::Finally)?;
        let name = temp.name.name().to_owned();
        let made = self.finish(temp, bytes, len, limit);
        let made = self.shared.watch.doubting(&name, &doubt, made).await;
        made.map_err(|e| match pipeline(&e) {
            true => Failed::Again(e),
            false => Failed::Finally(e),
        })
    }

    /// A temporary as it is now made.
    async fn create_any(&self, len: u64) -> Result<Box<Temp>> {
        self.create(len, self.shared.copies.next()).await
    }

    async fn create(
        &self,
        len: u64,
        (copies, make_up): (Option<u32>, Option<u32>),
    ) -> Result<Box<Temp>> {
        let name = InUse::new(&self.shared, self.shared.names.temporary(&self.path)?);
        let len = self.wanted.size_hint.unwrap_or(0).max(len);
        let mut options = options(len.clamp(MIB, 128 * MIB), copies);
        if let Some(mode) = self.wanted.mode {
            options.permission = mode & 0o777;
        }
        let (nn, temp) = (&self.shared.nn, name.name().to_owned());
        let created = nn.call("can't create the object", &self.at, |client| async move {
            client.create(&temp, &options).await
        });
        let file = created.await.map_err(not_written)?;
        Ok(Box::new(Temp {
            name,
            file,
            make_up,
        }))
    }

    /// Writes the rest, closes, and looks whether the NameNode has all `len` bytes.
    async fn finish(
        &self,
        temp: Box<Temp>,
        rest: Bytes,
        len: u64,
        limit: Duration,
    ) -> Result<Closed> {
        let Temp {
            name,
            mut file,
            make_up,
        } = *temp;
        let what = "can't make the object durable";
        // The last packet of a block always asks for a sync.
        let closed = bounded(what, &self.at, limit, async {
            if !rest.is_empty() {
                file.write_bytes(rest).await?;
            }
            file.close().await
        });
        let closed = closed.await;
        drop(file);
        let found = match closed {
            Ok(()) => self.shared.nn.info(name.name()).await,
            Err(e) => Err(e),
        };
        let error = match found {
            Ok(Some(status)) if status.length as u64 == len => {
                return Ok(Closed {
                    name,
                    status,
                    make_up,
                });
            }
            Ok(found) => {
                let found = found.map(|info| info.length);
                let text = format!(
                    "{}: {what}: the NameNode has {found:?} bytes of {len}",
                    self.at
                );
                Error::new(ErrorKind::Io, text)
            }
            Err(e) => e,
        };
        name.remove().await;
        Err(error)
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
