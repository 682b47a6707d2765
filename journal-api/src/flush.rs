//! [`Flush`]: the answer to a flush, ready or later.

use crate::{BoxFuture, Result, Survives};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What one flush got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// The durable length of the log, in bytes, this flush included.
    pub len: u64,
    /// What *these* bytes survive: the contract's promise or less (the pipeline
    /// of a replicated store may have shrunk).
    pub survives: Survives,
}

impl Flushed {
    /// The durable length of the log, and what the flushed bytes survive.
    pub fn new(len: u64, survives: Survives) -> Flushed {
        Flushed { len, survives }
    }
}

/// The outcome of [`LogWriter::flush`](crate::LogWriter::flush): a future that is
/// ready at once (a blocking store) or later.
///
/// The write is under way when `flush` returns, polled or not. Dropping a
/// `Flush` cancels nothing (FC-10).
pub struct Flush(State);

enum State {
    Ready(Option<Result<Flushed>>),
    Later(BoxFuture<'static, Result<Flushed>>),
}

impl Flush {
    /// A flush that is already decided.
    pub fn ready(result: Result<Flushed>) -> Flush {
        Flush(State::Ready(Some(result)))
    }

    /// A flush that is under way; the future only carries its result.
    pub fn later(future: BoxFuture<'static, Result<Flushed>>) -> Flush {
        Flush(State::Later(future))
    }

    /// The result, when it is already known; otherwise the flush itself.
    ///
    /// # Errors
    /// The flush, when it is still under way.
    pub fn try_ready(self) -> std::result::Result<Result<Flushed>, Flush> {
        match self.0 {
            State::Ready(Some(result)) => Ok(result),
            other => Err(Flush(other)),
        }
    }
}

impl Future for Flush {
    type Output = Result<Flushed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Polled again after it was ready: pending, as a fused future is.
            State::Ready(result) => result.take().map_or(Poll::Pending, Poll::Ready),
            State::Later(future) => {
                let result = std::task::ready!(future.as_mut().poll(cx));
                self.0 = State::Ready(None);
                Poll::Ready(result)
            }
        }
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ready(result) => f.debug_tuple("Flush::Ready").field(result).finish(),
            State::Later(_) => f.write_str("Flush::Later"),
        }
    }
}
