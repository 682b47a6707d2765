//! Logs: creating one, and the task that writes it.
//!
//! Each flush is one object at the next slot of the row, created on condition
//! that it is not there. Several may be under way; they are acknowledged in the
//! order of their slots, because a fence may take the slot of an earlier one:
//! then what lies behind it is lost, and must not have been acknowledged.

use crate::calls::{Calls, Created, NOBODY};
use crate::contract::{MAX_LOG, MAX_SLOTS};
use crate::driver::Driver;
use crate::fault::{fenced, refusal};
use crate::head::{Head, Id, Kind};
use crate::row::Row;
use crate::store::Shared;
use crate::{fence, keys};
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{
    Error, ErrorKind, Flush, Flushed, LogWriter, MIN_MAX_BATCH, Outcome, Result, StorePath,
    Survives,
};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Creates a log and starts its task.
pub(crate) async fn create(shared: &Arc<Shared>, path: &StorePath) -> Result<ObjectLog> {
    let calls = &shared.calls;
    let key = keys::marker(path);
    let at = calls.at(&key);
    if fence::find(calls, path).await?.is_some() {
        return Err(fenced(&at).with_outcome(Outcome::NotWritten));
    }
    let marker = Head::new(Kind::Marker, NOBODY, 0, &[])?;
    if calls.create(&key, &marker, Bytes::new()).await? != Created::Now {
        return Err(refusal(ErrorKind::AlreadyExists, &at, "the log exists"));
    }
    // A log of this name may have come and gone, fenced, since the first look.
    if fence::find(calls, path).await?.is_some() {
        return Err(fenced(&at));
    }
    let (commands, received) = mpsc::unbounded_channel();
    let writer = Writer {
        calls: calls.clone(),
        folder: keys::row(path, marker.nonce),
        id: marker.nonce,
        at,
        inflight: shared.contract.max_inflight,
        survives: shared.contract.survives,
        slot: 0,
        end: 0,
        durable: 0,
        first_error: None,
        sealed: false,
        under_way: FuturesOrdered::new(),
        waiting: VecDeque::new(),
    };
    shared.driver.spawn(writer.run(received));
    Ok(ObjectLog {
        commands,
        driver: shared.driver.clone(),
    })
}

type Answer<T> = oneshot::Sender<Result<T>>;

enum Command {
    Flush(Bytes, Answer<Flushed>),
    Seal(Answer<u64>),
}

/// The writer of one log: hands everything to its task.
pub(crate) struct ObjectLog {
    commands: mpsc::UnboundedSender<Command>,
    driver: Driver,
}

impl std::fmt::Debug for ObjectLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectLog").finish_non_exhaustive()
    }
}

impl ObjectLog {
    fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> BoxFuture<'static, Result<T>> {
        let (answer, answered) = oneshot::channel();
        // A task that is gone drops the answer: the error below.
        let _ = self.commands.send(command(answer));
        let driver = self.driver.clone();
        Box::pin(async move {
            let result = answered.await;
            drop(driver); // the task lives at least as long as who waits for it
            result.unwrap_or_else(|_| {
                let text = "the task of this log ended before it answered";
                Err(Error::new(ErrorKind::Io, text))
            })
        })
    }
}

#[async_trait]
impl LogWriter for ObjectLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        Flush::later(self.ask(|answer| Command::Flush(batch, answer)))
    }

    async fn seal(&mut self) -> Result<u64> {
        self.ask(Command::Seal).await
    }
}

/// The task of one log.
struct Writer {
    calls: Calls,
    folder: String,
    id: Id,
    /// For messages.
    at: String,
    inflight: usize,
    survives: Survives,
    /// The next slot, and where it begins.
    slot: u64,
    end: u64,
    /// The durable length: all before it is acknowledged.
    durable: u64,
    /// The first error is final (FC-4).
    first_error: Option<Error>,
    sealed: bool,
    /// The PUTs, in the order of their slots.
    under_way: FuturesOrdered<BoxFuture<'static, Result<()>>>,
    /// For each of them where its flush ends, and who waits.
    waiting: VecDeque<(u64, Answer<Flushed>)>,
}

impl Writer {
    /// Serves until the writer is dropped and all that was asked is done.
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut open = true;
        while open || !self.under_way.is_empty() {
            let room = self.under_way.len() < self.inflight;
            tokio::select! {
                biased;
                Some(landed) = self.under_way.next() => self.land(landed),
                command = commands.recv(), if open && room => match command {
                    Some(Command::Flush(batch, answer)) => self.submit(batch, answer),
                    Some(Command::Seal(answer)) => {
                        let sealed = self.seal().await;
                        let _ = answer.send(sealed);
                    }
                    None => open = false,
                },
            }
        }
    }

    /// Starts one flush.
    fn submit(&mut self, batch: Bytes, answer: Answer<Flushed>) {
        match self.begin(batch) {
            Ok(put) => {
                self.under_way.push_back(put);
                self.waiting.push_back((self.end, answer));
            }
            Err(e) => drop(answer.send(Err(e))),
        }
    }

    fn begin(&mut self, batch: Bytes) -> Result<BoxFuture<'static, Result<()>>> {
        self.usable()?;
        if self.sealed {
            return Err(refusal(ErrorKind::Closed, &self.at, "the log is sealed"));
        }
        let checked = self.check_shape(&batch);
        let head = checked.and_then(|()| Head::new(Kind::Flush, self.id, self.end, &batch));
        let head = head.inspect_err(|e| self.latch(e))?;
        let key = keys::numbered(&self.folder, self.slot);
        self.slot += 1;
        self.end += batch.len() as u64;
        let (calls, at) = (self.calls.clone(), self.at.clone());
        Ok(Box::pin(async move {
            put(&calls, &key, &head, batch, &at).await
        }))
    }

    /// Answers the oldest flush. After its failure everything behind it is
    /// unknown, whatever it says later.
    fn land(&mut self, landed: Result<()>) {
        let Some((end, answer)) = self.waiting.pop_front() else {
            return;
        };
        if let Err(e) = landed {
            self.latch(&e);
            let _ = answer.send(Err(e));
            self.under_way = FuturesOrdered::new();
            for (_, answer) in std::mem::take(&mut self.waiting) {
                let behind = self.usable().err();
                let behind = behind.map(|e| e.with_outcome(Outcome::Unknown));
                let _ = behind.map(|e| answer.send(Err(e)));
            }
            return;
        }
        self.durable = end;
        let _ = answer.send(Ok(Flushed::new(end, self.survives)));
    }

    /// The one place where an error becomes final.
    fn latch(&mut self, error: &Error) {
        if self.first_error.is_none() {
            self.first_error = Some(error.clone());
        }
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

    fn check_shape(&self, batch: &[u8]) -> Result<()> {
        let wrong = |text: &str| Err(refusal(ErrorKind::InvalidInput, &self.at, text));
        if batch.is_empty() {
            return wrong("a batch is empty");
        }
        if batch.len() > MIN_MAX_BATCH {
            return wrong("a batch is longer than max_batch");
        }
        if self.end + batch.len() as u64 > MAX_LOG {
            return wrong("the log is longer than max_log; roll to the next");
        }
        // The last one is left for a seal.
        if self.slot + 1 >= MAX_SLOTS {
            return wrong("the log has as many flushes as one can have; roll to the next");
        }
        Ok(())
    }

    /// Ends the row.
    async fn seal(&mut self) -> Result<u64> {
        while let Some(landed) = self.under_way.next().await {
            self.land(landed);
        }
        self.usable()?;
        if !self.sealed {
            let sealed = self.try_seal().await;
            sealed.inspect_err(|e| self.latch(e))?;
            self.sealed = true;
        }
        Ok(self.durable)
    }

    async fn try_seal(&mut self) -> Result<()> {
        let head = Head::new(Kind::Seal, self.id, self.durable, &[])?;
        let key = keys::numbered(&self.folder, self.slot);
        put(&self.calls, &key, &head, Bytes::new(), &self.at).await
    }
}

/// Puts one object into the row. Whoever else has the slot has stopped this writer.
async fn put(calls: &Calls, key: &str, head: &Head, payload: Bytes, at: &str) -> Result<()> {
    match calls.create(key, head, payload).await? {
        Created::Now => Ok(()),
        Created::Taken(Ok(_)) => Err(fenced(at)),
        Created::Taken(Err(strange)) => Err(strange.error(&calls.at(key))),
    }
}

/// Whether a row that has ended was ended by its writer.
pub(crate) async fn is_sealed(calls: &Calls, folder: &str, row: &Row) -> Result<bool> {
    let end = calls.head(&keys::numbered(folder, row.slots())).await?;
    Ok(matches!(end, Some(Ok(head)) if head.kind == Kind::Seal))
}
