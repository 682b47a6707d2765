//! One TCP connection: many calls under way, replies in any order.
//!
//! Calls are written by whoever makes them, as far as the socket takes them at
//! once, so that a flush waits for no other thread before it is on its way. One
//! task reads replies, writes what the socket did not take, and watches over
//! deadlines. A call's end is told by calling its [`Done`], exactly once.

use super::calls::{Calls, Done};
use super::message::{self, Call, Credentials};
use super::output::Output;
use super::record::Records;
use super::{CallError, Reply};
use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What is read in a row before other tasks come to their turn.
const READS: usize = 64;

/// A connection that is or was up.
pub(crate) struct Connection {
    /// Which one of its client's this is, counted from 1. A server that was
    /// restarted is met by another one.
    pub incarnation: u64,
    stream: TcpStream,
    peer: String,
    credentials: Arc<Credentials>,
    output: Mutex<Output>,
    calls: Mutex<Calls>,
    /// Something for the task to do: bytes to write, an earlier deadline, the end.
    wake: Notify,
    /// An idle connection asks for an answer this often, so that no server
    /// closes it and a dead one is found.
    ping: Option<(Duration, Call)>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, {})", self.peer, self.incarnation)
    }
}

/// What a connection is made of.
pub(crate) struct Parts {
    pub incarnation: u64,
    pub stream: TcpStream,
    pub peer: String,
    pub credentials: Arc<Credentials>,
    pub longest_reply: usize,
    pub first_xid: u32,
    pub ping: Option<(Duration, Call)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Takes up a connected stream; its task runs on the present runtime.
    pub fn start(parts: Parts) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            incarnation: parts.incarnation,
            stream: parts.stream,
            peer: parts.peer,
            credentials: parts.credentials,
            output: Mutex::default(),
            calls: Mutex::new(Calls::new(Instant::now(), parts.first_xid)),
            wake: Notify::new(),
            ping: parts.ping,
        });
        tokio::spawn(run(connection.clone(), Records::new(parts.longest_reply)));
        connection
    }

    /// Whether it was still up a moment ago.
    pub fn is_up(&self) -> bool {
        !lock(&self.calls).is_closed()
    }

    /// Whether the other side has hung up, seen now and not when the task comes to
    /// it: what is not sent into a dead connection has no unknown outcome.
    pub fn is_hung_up(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recv(self.stream.as_raw_fd(), &mut [0], flags) {
            Ok(n) => n == 0,
            Err(e) => !matches!(e, Errno::EAGAIN | Errno::EINTR),
        }
    }

    /// Makes a call. Its bytes are on their way when this returns, as far as the
    /// socket takes them without waiting; the rest follows. Never blocks.
    pub fn send(&self, call: &Call, deadline: Instant, done: Done) {
        let (xid, sooner) = match lock(&self.calls).begin(deadline, done) {
            Ok(begun) => begun,
            Err((done, error)) => return done(Err(error)),
        };
        let (head, padding) = call.head(xid, &self.credentials);
        let mut output = lock(&self.output);
        output.push(xid, head, call.body.clone(), padding);
        let written = self.write(&mut output);
        let left = !output.is_empty();
        drop(output);
        if let Err(e) = written {
            self.close(&self.lost(&e));
        } else if left || sooner {
            self.wake.notify_one();
        }
    }

    /// Writes what the socket takes now.
    fn write(&self, output: &mut Output) -> io::Result<()> {
        while !output.is_empty() {
            let wrote = output.with_slices(|slices| self.stream.try_write_vectored(slices));
            match wrote {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    let mut calls = lock(&self.calls);
                    output.advance(n, |xid| calls.sent(xid));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn lost(&self, e: &io::Error) -> CallError {
        CallError::Lost(format!("the connection to {} broke: {e}", self.peer))
    }

    /// Ends the connection, and with it all calls under way: with `why` those
    /// that the server may have got, as not sent those that it can't have got.
    pub fn close(&self, why: &CallError) {
        // First, so that nothing is written that is then called not sent.
        lock(&self.output).close();
        let ended = lock(&self.calls).close(why);
        let _ = shutdown(self.stream.as_raw_fd(), Shutdown::Both);
        self.wake.notify_one();
        for (done, error) in ended {
            done(Err(error));
        }
    }

    /// Takes in what has come; `Err` ends the connection.
    fn read(&self, records: &mut Records) -> Result<(), CallError> {
        for _ in 0..READS {
            match self.stream.try_read_buf(records.room()) {
                Ok(0) => {
                    let text = format!("{} closed the connection", self.peer);
                    return Err(CallError::Lost(text));
                }
                Ok(_) => self.deliver(records)?,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.lost(&e)),
            }
        }
        Ok(())
    }

    fn deliver(&self, records: &mut Records) -> Result<(), CallError> {
        lock(&self.calls).heard(Instant::now());
        loop {
            let record = records.next().map_err(|e| {
                CallError::Lost(format!(
                    "{} sent a record of {} bytes, longer than any reply: is that an NFS server?",
                    self.peer, e.0
                ))
            })?;
            let Some(record) = record else { return Ok(()) };
            self.answer(record)?;
        }
    }

    fn answer(&self, record: Bytes) -> Result<(), CallError> {
        let (xid, verdict) =
            message::reply(record).map_err(|e| CallError::Lost(format!("{}: {e}", self.peer)))?;
        // A late reply to a call that is over, or to none: nobody waits for it.
        let Some(done) = lock(&self.calls).end(xid) else {
            tracing::debug!(peer = self.peer, xid, "a reply to no call under way");
            return Ok(());
        };
        let incarnation = self.incarnation;
        done(match verdict {
            Ok(body) => Ok(Reply { body, incarnation }),
            Err(refusal) => Err(CallError::Refused(refusal)),
        });
        Ok(())
    }

    /// Ends the calls whose time is over. If nothing at all was heard since the
    /// oldest of them began, the connection is taken for dead.
    fn expire(&self) -> Result<(), CallError> {
        let now = Instant::now();
        let (expired, deaf) = lock(&self.calls).expire(now);
        for (done, after) in expired {
            let text = format!("{} did not answer within {after:?}", self.peer);
            done(Err(CallError::TimedOut(text)));
        }
        match deaf {
            true => Err(CallError::Lost(format!(
                "{} did not answer other calls in time, so the connection was given up",
                self.peer
            ))),
            false => Ok(()),
        }
    }

    /// Asks for a sign of life where it is time to.
    fn ping(&self) {
        if let Some((every, call)) = &self.ping {
            let now = Instant::now();
            if lock(&self.calls).idle_since() + *every <= now {
                self.send(call, now + *every, Box::new(|_| {}));
            }
        }
    }

    /// When the task has to look again, whatever happens.
    fn alarm(&self) -> Instant {
        let mut calls = lock(&self.calls);
        let ping = match &self.ping {
            Some((every, _)) => calls.idle_since() + *every,
            None => Instant::now() + Duration::from_secs(3600),
        };
        calls.arm(ping)
    }
}

/// The task of a connection.
async fn run(connection: Arc<Connection>, mut records: Records) {
    let why = loop {
        let c = &connection;
        if !c.is_up() {
            return;
        }
        let alarm = c.alarm();
        let writing = !lock(&c.output).is_empty();
        let step = tokio::select! {
            ready = c.stream.readable() => match ready {
                Ok(()) => c.read(&mut records),
                Err(e) => Err(c.lost(&e)),
            },
            ready = c.stream.writable(), if writing => {
                let wrote = ready.and_then(|()| c.write(&mut lock(&c.output)));
                wrote.map_err(|e| c.lost(&e))
            }
            () = c.wake.notified() => Ok(()),
            () = tokio::time::sleep_until(alarm) => {
                c.ping();
                c.expire()
            }
        };
        if let Err(why) = step {
            break why;
        }
    };
    connection.close(&why);
}
