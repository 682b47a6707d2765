//! Logs: one file of one block each, written by a task that owns the writer.
//!
//! hdfs-native's `FileWriter` needs `&mut`, breaks when a call of it is dropped, and
//! its hsync hangs for ever when a DataNode dies with the packet in flight. So a
//! task of its own owns it, each call has a deadline, and after the first error
//! or deadline the writer is given up (`retire`) and never asked again: measured, hsync
//! and close answer Ok with nothing stored after a failed write.
//!
//! What makes an Ok true: the task writes at least one byte before each hsync (an
//! hsync without a block answers Ok without asking a DataNode); hsync answers
//! when all DataNodes that are left in the pipeline have synced data and
//! checksums, *and then* the NameNode has noted the length, which it does only for
//! the holder of the lease.

use crate::copies;
use crate::fault::{fault, fenced, is_pipeline, late, refusal};
use crate::first;
use crate::options::MIB;
use crate::retire;
use crate::store::Shared;
use bytes::Bytes;
use flushproof_api::{
    Advice, Error, ErrorKind, Flush, Flushed, LogWriter, MIN_MAX_BATCH, Outcome, Result, StorePath,
};
use hdfs_native::file::FileWriter;
use hdfs_native::{HdfsError, WriteOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// How long the look for the fence may take that follows a failure.
const LOOK: Duration = Duration::from_secs(1);

/// Creates a log. Goes on when its future is dropped.
pub(crate) async fn create(shared: Arc<Shared>, path: StorePath) -> Result<HdfsLog> {
    shared.check_path(&path)?;
    let io = shared.nn.io.clone();
    io.run(try_create(shared, path)).await
}

async fn try_create(shared: Arc<Shared>, path: StorePath) -> Result<HdfsLog> {
    let (at, fence) = (shared.names.log(&path), shared.names.fence(&path));
    // Looked for first: to create what another writer has open asks for its lease.
    let (found, stopped) = tokio::join!(shared.nn.info(&at), shared.nn.info(&fence));
    if stopped?.is_some() {
        return Err(fenced(&at).with_outcome(Outcome::NotWritten));
    }
    if found?.is_some() {
        return Err(taken(&at));
    }
    let (copies, make_up) = shared.copies.next();
    let options = options(shared.settings.log_size, copies);
    let name = at.clone();
    let created = shared
        .nn
        .call("can't create the log", &at, |client| async move {
            client.create(&name, &options).await
        });
    let file = created.await.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => taken(&at),
        _ => e,
    })?;
    // A fence that is older than this file stops it: the name was deleted behind it.
    if shared.nn.info(&fence).await?.is_some() {
        drop(file);
        shared.nn.remove(&at).await?;
        return Err(fenced(&at).with_outcome(Outcome::NotWritten));
    }
    let (jobs, todo) = mpsc::unbounded_channel();
    let writer = Writer {
        fence,
        at: at.clone(),
        file: Some(file),
        make_up,
        len: 0,
        first_error: None,
        sealed: false,
        tried: false,
        shared: shared.clone(),
    };
    shared.nn.io.spawn(writer.serve(todo));
    Ok(HdfsLog { jobs, at })
}

/// How files are created: never over another one.
pub(crate) fn options(block: u64, copies: Option<u32>) -> WriteOptions {
    WriteOptions {
        block_size: Some(block.next_multiple_of(MIB)),
        replication: copies,
        ..WriteOptions::default()
    }
}

fn taken(at: &str) -> Error {
    refusal(ErrorKind::AlreadyExists, at, "the log exists")
}

enum Job {
    Flush(Bytes, oneshot::Sender<Result<Flushed>>),
    Seal(oneshot::Sender<Result<u64>>),
}

/// The only writer of a log: hands work to the task.
pub(crate) struct HdfsLog {
    jobs: mpsc::UnboundedSender<Job>,
    at: String,
}

impl std::fmt::Debug for HdfsLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HdfsLog").field(&self.at).finish()
    }
}

impl HdfsLog {
    fn send<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Answer<T> {
        let (answer, result) = oneshot::channel();
        // A task that is gone drops the sender, which is an answer too.
        let _ = self.jobs.send(job(answer));
        Answer {
            result,
            at: self.at.clone(),
        }
    }
}

struct Answer<T> {
    result: oneshot::Receiver<Result<T>>,
    at: String,
}

impl<T> Answer<T> {
    async fn get(self) -> Result<T> {
        match self.result.await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Poisoned,
                format!(
                    "{}: the log's writer ended without an answer; report it",
                    self.at
                ),
            )),
        }
    }
}

#[async_trait::async_trait]
impl LogWriter for HdfsLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        let answer = self.send(|answer| Job::Flush(batch, answer));
        Flush::later(Box::pin(answer.get()))
    }

    async fn seal(&mut self) -> Result<u64> {
        self.send(Job::Seal).get().await
    }
}

/// What the task owns.
struct Writer {
    shared: Arc<Shared>,
    at: String,
    fence: String,
    /// Gone after the first error, and after the seal.
    file: Option<FileWriter>,
    /// How many copies it should have, if it was created with fewer.
    make_up: Option<u32>,
    len: u64,
    first_error: Option<Error>,
    sealed: bool,
    /// Something was sent to a DataNode for this file.
    tried: bool,
}

impl Writer {
    /// Works until the `HdfsLog` is dropped and all its work is done.
    async fn serve(mut self, mut todo: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = todo.recv().await {
            // Nobody may be waiting any more; the work was done all the same.
            match job {
                Job::Flush(batch, answer) => {
                    let _ = answer.send(self.flush(batch).await);
                }
                Job::Seal(answer) => {
                    let _ = answer.send(self.seal().await);
                }
            }
        }
        self.leave().await;
    }

    /// Closes the file of a log that nobody writes any more, as after a roll. The
    /// NameNode makes up lost copies of closed blocks only, and the lease would be
    /// renewed as long as this process lives.
    async fn leave(mut self) {
        let Some(mut file) = self.file.take() else {
            return; // sealed, or not to be trusted
        };
        let closed = timeout(self.shared.settings.timeout, file.close()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::debug!(log = self.at, "left open: the next fence closes it");
        }
    }

    async fn flush(&mut self, batch: Bytes) -> Result<Flushed> {
        self.usable()?;
        if self.sealed {
            return Err(refusal(ErrorKind::Closed, &self.at, "the log is sealed"));
        }
        let len = batch.len() as u64;
        let result = match self.check_shape(&batch) {
            Ok(()) => self.write(batch).await,
            Err(e) => Err(e),
        };
        self.latch(result)?;
        if self.len == 0 {
            self.note_pipeline();
        }
        self.len += len;
        // Not before the block was given, or it would get all of them.
        if let Some(copies) = self.make_up.take() {
            copies::make_up(&self.shared, &self.at, copies);
        }
        let survives = self.shared.survives_now(&self.at).await;
        Ok(Flushed::new(self.len, survives))
    }

    /// Beside what is written: a DataNode that can be reached now is known to be dead
    /// when it can't be later.
    fn note_pipeline(&self) {
        let (shared, at) = (self.shared.clone(), self.at.clone());
        self.shared
            .nn
            .io
            .spawn(async move { shared.watch.note(&at).await });
    }

    /// Fails for ever after the first error.
    fn usable(&self) -> Result<()> {
        match &self.first_error {
            None => Ok(()),
            Some(first) if first.kind() == ErrorKind::Fenced => {
                Err(first.clone().with_outcome(Outcome::NotWritten))
            }
            Some(first) => Err(refusal(
                ErrorKind::Poisoned,
                &self.at,
                &format!("an earlier failure made this log's writer unusable: {first}"),
            )
            .with_source(first.clone())),
        }
    }

    /// The one place where an error becomes final.
    fn latch<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(e) = &result {
            self.first_error = Some(e.clone());
            self.file = None;
        }
        result
    }

    fn check_shape(&self, batch: &Bytes) -> Result<()> {
        let wrong = |text: &str| Err(refusal(ErrorKind::InvalidInput, &self.at, text));
        let block = self.shared.contract.block;
        if batch.is_empty() || !batch.len().is_multiple_of(block) {
            return wrong(&format!(
                "a batch of {} bytes is not a multiple of the block of {block}",
                batch.len()
            ));
        }
        if batch.len() > MIN_MAX_BATCH {
            return wrong("a batch is longer than max_batch");
        }
        if self.len + batch.len() as u64 > self.shared.settings.log_size {
            return wrong("the log is longer than max_log; roll to the next");
        }
        Ok(())
    }

    async fn write(&mut self, batch: Bytes) -> Result<()> {
        let limit = self.shared.settings.flush_limit(batch.len());
        if !self.tried && self.shared.copies.suspected() {
            return self.write_elsewhere(batch, limit).await;
        }
        self.tried = true;
        let Some(file) = self.file.take() else {
            return Err(refusal(ErrorKind::Poisoned, &self.at, "the writer is gone"));
        };
        let (io, watch) = (&self.shared.nn.io, &self.shared.watch);
        let given_up = async {
            tokio::select! {
                at = watch.died(&self.at) => Some(at),
                () = sleep(limit) => None,
            }
        };
        let what = "can't make the log's bytes durable";
        // Whichever ends it, the writer is never asked again after an error.
        match retire::sync(io, file, batch, given_up).await {
            Ok((file, Ok(()))) => {
                self.file = Some(file);
                Ok(())
            }
            Ok((_, Err(e))) => Err(self.failed(what, e).await),
            Err(Some(at)) => Err(self.died(what, &at).await),
            Err(None) => Err(self.hung(what, limit, "flush_timeout").await),
        }
    }

    /// The first flush while a DataNode is suspected: into the first of several
    /// files whose pipeline works, which then takes the log's place.
    async fn write_elsewhere(&mut self, batch: Bytes, limit: Duration) -> Result<()> {
        let placed = first::place(&self.shared, &self.at, batch, limit).await?;
        self.file = Some(placed.file);
        self.make_up = placed.make_up;
        self.tried = true;
        // *After* the file took its place: a fencer that closed the empty one before
        // has marked it before that.
        match self.look_for_fence().await {
            Look::Free => Ok(()),
            Look::Fenced => Err(fenced(&self.at)),
            Look::Unknown => {
                let what = "can't look whether the log is fenced";
                Err(reopen(late(what, &self.at, LOOK, "timeout")))
            }
        }
    }

    /// Closes the file and takes the permission to write away, which is what a
    /// listing shows.
    async fn seal(&mut self) -> Result<u64> {
        self.usable()?;
        if !self.sealed {
            let result = self.try_seal().await;
            self.latch(result)?;
            self.sealed = true;
            self.file = None;
        }
        Ok(self.len)
    }

    async fn try_seal(&mut self) -> Result<()> {
        let limit = self.shared.settings.timeout;
        let what = "can't seal the log";
        let Some(file) = &mut self.file else {
            return Err(refusal(ErrorKind::Poisoned, &self.at, "the writer is gone"));
        };
        match timeout(limit, file.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(self.failed(what, e).await),
            Err(_) => return Err(self.hung(what, limit, "timeout").await),
        }
        // The NameNode lets a fenced writer close what was closed with this length.
        let (found, stopped) = tokio::join!(
            self.shared.nn.info(&self.at),
            self.shared.nn.info(&self.fence)
        );
        if stopped?.is_some() {
            return Err(fenced(&self.at));
        }
        let found = found?.map(|info| info.length as u64);
        if found != Some(self.len) {
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "{}: {what}: the NameNode has {found:?} bytes of {}",
                    self.at, self.len
                ),
            ));
        }
        let at = self.at.clone();
        let shared = self.shared.clone();
        let sealed = shared.nn.call(what, &self.at, |client| async move {
            client.set_permission(&at, SEALED).await
        });
        sealed.await
    }

    /// The error of a failed call; `Fenced` if there is a fence.
    async fn failed(&self, what: &str, source: HdfsError) -> Error {
        match self.look_for_fence().await {
            Look::Fenced => return fenced(&self.at),
            Look::Free if is_pipeline(&source) => copies::suspect(&self.shared),
            Look::Free | Look::Unknown => {}
        }
        let error = fault(what, &self.at, &source);
        let error = match error.kind() {
            ErrorKind::NoSpace | ErrorKind::PermissionDenied => error,
            // The file is gone or not this writer's any more, and nobody fenced it.
            ErrorKind::NotFound => reopen(Error::new(ErrorKind::Io, error.to_string())),
            _ => reopen(error),
        };
        let error = self.shared.no_room(error, &source).await;
        match error.kind() {
            // No block was given: nothing of this log ever reached a DataNode.
            ErrorKind::NoSpace if self.len == 0 => error.with_outcome(Outcome::NotWritten),
            _ => error,
        }
    }

    /// The error of a call that would hang because a DataNode is dead.
    async fn died(&self, what: &str, datanode: &str) -> Error {
        match self.look_for_fence().await {
            Look::Fenced => return fenced(&self.at),
            Look::Free | Look::Unknown => copies::suspect(&self.shared),
        }
        let text = format!(
            "{}: {what}: the DataNode {datanode} of its pipeline refuses connections; look whether \
             it is up",
            self.at
        );
        reopen(Error::new(ErrorKind::Unreachable, text))
    }

    async fn hung(&self, what: &str, limit: Duration, option: &str) -> Error {
        match self.look_for_fence().await {
            Look::Fenced => return fenced(&self.at),
            // The NameNode answers, so it was a DataNode.
            Look::Free => copies::suspect(&self.shared),
            Look::Unknown => {}
        }
        reopen(late(what, &self.at, limit, option))
    }

    /// Another primary marks the log before it takes the lease away, so whoever
    /// lost the lease finds the mark.
    async fn look_for_fence(&self) -> Look {
        match timeout(LOOK, self.shared.nn.info(&self.fence)).await {
            Ok(Ok(Some(_))) => Look::Fenced,
            Ok(Ok(None)) => Look::Free,
            Ok(Err(_)) | Err(_) => Look::Unknown,
        }
    }
}

enum Look {
    Fenced,
    Free,
    /// The NameNode does not answer.
    Unknown,
}

/// The mode of a sealed log.
pub(crate) const SEALED: u32 = 0o444;

fn reopen(error: Error) -> Error {
    error.with_advice(Advice::Reopen)
}
