//! Logs: creating one, flushing, sealing.
//!
//! A flush is acknowledged when for each of its WRITEs a reply came over the
//! connection on which the flush began, and the reply says: all bytes taken,
//! committed FILE_SYNC as asked, and the attributes *after* the write show this
//! very file with one link. A server reads these attributes when the bytes are
//! stable; so one link means that the bytes were durable before a fence was
//! made (see `fence`). Anything else is no acknowledgement: more links are
//! `Fenced`, the rest is `Unknown`. The first failure is final (FC-4).
//!
//! Several flushes may be under way. Each WRITE is judged by itself, so it
//! does not matter in which order the server does them; but a flush resolves
//! only after all before it did, and a failure fails all that are under way.

use crate::fault::{fault, fenced, refusal};
use crate::folders::FileId;
use crate::op::Fail;
use crate::procedures::{Written, write_call, written};
use crate::rpc::{Call, CallError, Connection, Reply};
use crate::store::Shared;
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Flush, Flushed, LogWriter, Outcome, Result, Survives};
use nfs3_types::nfs3::{fattr3, ftype3, nfs_fh3, nfsstat3, stable_how};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Waiting after JUKEBOX, and between two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// The writer of one log.
pub(crate) struct NfsLog(pub Arc<Log>);

impl std::fmt::Debug for NfsLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NfsLog").field(&self.0.at).finish()
    }
}

/// What the writer and the calls that it has under way share.
pub(crate) struct Log {
    pub shared: Arc<Shared>,
    /// For messages.
    pub at: String,
    pub handle: nfs_fh3,
    pub id: FileId,
    state: Mutex<State>,
    /// The last flush under way has been decided.
    drained: Notify,
}

#[derive(Default)]
struct State {
    /// Where the next flush goes.
    next: u64,
    /// All below it is durable.
    durable: u64,
    /// The first error is final.
    failed: Option<Error>,
    sealed: bool,
    /// In the order of their calls.
    flights: VecDeque<Flight>,
    number: u64,
}

/// One flush under way.
struct Flight {
    number: u64,
    end: u64,
    /// WRITEs that are not answered yet.
    open: usize,
    /// Whether a WRITE may have reached the server.
    begun: bool,
    answer: oneshot::Sender<Result<Flushed>>,
}

/// One WRITE of a flush.
#[derive(Clone)]
struct Piece {
    flight: u64,
    call: Call,
    end: u64,
    deadline: Instant,
}

impl NfsLog {
    pub fn new(shared: Arc<Shared>, at: String, handle: nfs_fh3, id: FileId) -> NfsLog {
        NfsLog(Arc::new(Log {
            shared,
            at,
            handle,
            id,
            state: Mutex::default(),
            drained: Notify::new(),
        }))
    }
}

#[async_trait]
impl LogWriter for NfsLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        let (pieces, answered) = match self.0.begin(batch) {
            Ok(begun) => begun,
            Err(e) => return Flush::ready(Err(e)),
        };
        match self.0.shared.nfs.client.now() {
            Some(connection) => self.0.launch(&connection, pieces),
            None => {
                let log = self.0.clone();
                let io = self.0.shared.io.handle().clone();
                io.spawn(async move { log.connect_and_launch(pieces).await });
            }
        }
        Flush::later(Box::pin(async {
            let ended = |_| Error::new(ErrorKind::Io, "the flush ended without an answer");
            answered.await.map_err(ended)?
        }))
    }

    async fn seal(&mut self) -> Result<u64> {
        let log = self.0.clone();
        self.0
            .shared
            .io
            .run(async move { crate::seal::seal(&log).await })
            .await
    }
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a flush and cuts it into WRITEs. A batch that can't be written
    /// makes the writer unusable too: its bytes are missing from then on.
    fn begin(&self, batch: Bytes) -> Result<(Vec<Piece>, oneshot::Receiver<Result<Flushed>>)> {
        let mut state = self.state();
        if let Some(refused) = self.unusable(&state) {
            return Err(refused);
        }
        if let Some(text) = self.unfit(&state, batch.len()) {
            let error = refusal(ErrorKind::InvalidInput, &self.at, &text);
            state.failed = Some(error.clone());
            return Err(error);
        }
        let most = self.shared.limits.write as usize;
        let deadline = Instant::now() + self.shared.timeout;
        let flight = state.number;
        let mut pieces = Vec::with_capacity(batch.len().div_ceil(most));
        let mut rest = batch;
        while !rest.is_empty() {
            let bytes = rest.split_to(rest.len().min(most));
            let offset = state.next;
            state.next += bytes.len() as u64;
            pieces.push(Piece {
                flight,
                call: write_call(&self.handle, offset, bytes),
                end: state.next,
                deadline,
            });
        }
        let (answer, answered) = oneshot::channel();
        state.number += 1;
        let end = state.next;
        state.flights.push_back(Flight {
            number: flight,
            end,
            open: pieces.len(),
            begun: false,
            answer,
        });
        Ok((pieces, answered))
    }

    /// Why nothing more may be written.
    fn unusable(&self, state: &State) -> Option<Error> {
        match &state.failed {
            Some(first) if first.kind() == ErrorKind::Fenced => {
                return Some(first.clone().with_outcome(Outcome::NotWritten));
            }
            Some(first) => {
                let text =
                    format!("an earlier flush of this log failed, so it is given up: {first}");
                return Some(
                    Error::new(ErrorKind::Poisoned, text).with_outcome(Outcome::NotWritten),
                );
            }
            None => {}
        }
        let text = "the log is sealed";
        state
            .sealed
            .then(|| refusal(ErrorKind::Closed, &self.at, text))
    }

    fn unfit(&self, state: &State, len: usize) -> Option<String> {
        let contract = &self.shared.contract;
        if len == 0 || !len.is_multiple_of(contract.block) {
            Some(format!(
                "a batch of {len} bytes is no multiple of {}",
                contract.block
            ))
        } else if len > contract.max_batch {
            Some(format!(
                "a batch of {len} bytes is over {}",
                contract.max_batch
            ))
        } else if state.next + len as u64 > contract.max_log {
            Some(format!(
                "the log would grow over {} bytes; roll to the next",
                contract.max_log
            ))
        } else {
            None
        }
    }

    /// Sends all WRITEs of a flush over one connection.
    fn launch(self: &Arc<Self>, connection: &Arc<Connection>, pieces: Vec<Piece>) {
        if let Some(first) = pieces.first() {
            let mut state = self.state();
            let flight = state.flights.iter_mut().find(|f| f.number == first.flight);
            match flight {
                Some(flight) => flight.begun = true,
                None => return, // failed meanwhile, with an earlier one
            }
        }
        for piece in pieces {
            self.send(connection, piece);
        }
    }

    fn send(self: &Arc<Self>, connection: &Arc<Connection>, piece: Piece) {
        let (log, again) = (self.clone(), connection.clone());
        let call = piece.call.clone();
        let deadline = piece.deadline;
        let done = Box::new(move |reply| log.answered(&again, piece, reply));
        connection.send(&call, deadline, done);
    }

    /// The connection is down, and nothing of this flush was sent.
    async fn connect_and_launch(self: Arc<Self>, pieces: Vec<Piece>) {
        let Some((flight, deadline)) = pieces.first().map(|p| (p.flight, p.deadline)) else {
            return;
        };
        loop {
            match self.shared.nfs.client.connection(deadline).await {
                Ok(connection) => return self.launch(&connection, pieces),
                Err(e) if Instant::now() + PAUSE >= deadline => {
                    let error = fault("can't flush", &self.at, &Fail::Call(e));
                    return self.decide(flight, Err(error));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// A WRITE was answered, or will not be.
    fn answered(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        piece: Piece,
        reply: Result<Reply, CallError>,
    ) {
        let verdict = match reply {
            Ok(reply) if reply.incarnation == connection.incarnation => written(reply.body),
            Ok(_) => Err(Fail::Call(CallError::Lost(
                "another connection answered".into(),
            ))),
            Err(e) => Err(Fail::Call(e)),
        };
        let verdict = match verdict {
            Ok(written) => self.judge(&piece, &written),
            // Not done, and the server says so: the same again, on this connection.
            Err(e)
                if e.is(nfsstat3::NFS3ERR_JUKEBOX) && Instant::now() + PAUSE < piece.deadline =>
            {
                let (log, connection) = (self.clone(), connection.clone());
                self.shared.io.handle().spawn(async move {
                    tokio::time::sleep(PAUSE).await;
                    log.send(&connection, piece);
                });
                return;
            }
            Err(e) => Err(flush_failed(&self.at, &e)),
        };
        self.decide(piece.flight, verdict);
    }

    /// Whether a reply acknowledges its WRITE.
    fn judge(&self, piece: &Piece, written: &Written) -> Result<()> {
        let Some(attributes) = &written.attributes else {
            return Err(self.doubt(
                "the server's reply shows no attributes, so whether the log was fenced is unknown",
            ));
        };
        self.check(attributes)?;
        if written.committed != stable_how::FILE_SYNC {
            return Err(self.doubt(&format!(
                "the server made a write {}, not FILE_SYNC as asked",
                written.committed
            )));
        }
        if written.count as usize != piece.call.body.len() {
            return Err(self.doubt(&format!(
                "the server took {} bytes of {}",
                written.count,
                piece.call.body.len()
            )));
        }
        if attributes.size < piece.end {
            return Err(self.doubt(&format!(
                "the file has {} bytes after a write up to {}: somebody has cut it",
                attributes.size, piece.end
            )));
        }
        Ok(())
    }

    /// Whether this is still our file, and ours alone.
    pub fn check(&self, attributes: &fattr3) -> Result<()> {
        if FileId::from(attributes) != self.id || attributes.type_ != ftype3::NF3REG {
            return Err(self.doubt("the server's reply shows another file"));
        }
        match attributes.nlink {
            1 => Ok(()),
            _ => Err(fenced(&self.at)),
        }
    }

    pub fn doubt(&self, what: &str) -> Error {
        let text = format!("{}: {what}; the log is given up", self.at);
        Error::new(ErrorKind::Io, text).with_advice(flushproof_api::Advice::Reopen)
    }

    /// Takes down the outcome of one WRITE, and resolves what can be resolved.
    fn decide(&self, number: u64, verdict: Result<()>) {
        let mut state = self.state();
        let Some(flight) = state.flights.iter_mut().find(|f| f.number == number) else {
            return; // failed already
        };
        let mut answers = Vec::new();
        match verdict {
            Ok(()) => {
                flight.open -= 1;
                let survives = self.shared.contract.survives;
                answers = state.land(survives);
            }
            Err(error) => {
                state.failed.get_or_insert_with(|| error.clone());
                for flight in state.flights.drain(..) {
                    let outcome = match flight.begun {
                        true => Outcome::Unknown,
                        false => Outcome::NotWritten,
                    };
                    let error = error.clone().with_outcome(outcome);
                    answers.push((flight.answer, Err(error)));
                }
            }
        }
        if state.flights.is_empty() {
            self.drained.notify_waiters();
        }
        drop(state);
        for (answer, result) in answers {
            let _ = answer.send(result); // dropped: it wants no answer
        }
    }

    /// Waits until no flush is under way; gives the durable length, or why the
    /// writer can't be used.
    pub async fn drained(&self) -> Result<u64> {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // Entered before the look, so that no call is missed.
            drained.as_mut().enable();
            {
                let state = self.state();
                if state.flights.is_empty() {
                    return match &state.failed {
                        None => Ok(state.durable),
                        Some(_) => Err(self.unusable(&state).unwrap_or_else(|| fenced(&self.at))),
                    };
                }
            }
            drained.await;
        }
    }

    pub fn set_sealed(&self) {
        self.state().sealed = true;
    }

    /// Nothing is acknowledged any more.
    pub fn give_up(&self, error: &Error) {
        self.state().failed.get_or_insert_with(|| error.clone());
    }
}

impl State {
    /// The flushes in front that are wholly answered.
    fn land(
        &mut self,
        survives: Survives,
    ) -> Vec<(oneshot::Sender<Result<Flushed>>, Result<Flushed>)> {
        let mut landed = Vec::new();
        while self.flights.front().is_some_and(|f| f.open == 0) {
            let Some(flight) = self.flights.pop_front() else {
                break;
            };
            self.durable = flight.end;
            let flushed = Flushed::new(flight.end, survives);
            landed.push((flight.answer, Ok(flushed)));
        }
        landed
    }
}

/// What a failed WRITE means for whoever flushes.
fn flush_failed(at: &str, fail: &Fail) -> Error {
    let error = fault("the flush failed", at, fail);
    match fail {
        // Deleted under our hands, or a server that forgot its handles: a
        // take-over from oneself finds out which.
        Fail::Status(nfsstat3::NFS3ERR_STALE) => error.with_advice(flushproof_api::Advice::Reopen),
        _ => error,
    }
    .with_outcome(Outcome::Unknown)
}
