//! RPC over TCP (RFC 5531): a client with many calls under way, deadlines, and
//! a new connection where the old one broke.
//!
//! | module | is about |
//! | --- | --- |
//! | `connection`, `calls`, `output` | one connection: who waits for what, until when; what is still to be written |
//! | `record`, `message` | bytes on the wire |
//! | `client` | which connection is the present one; connecting |
//! | `thread` | the thread that all of it runs on |

mod calls;
mod client;
mod connection;
pub(crate) mod message;
mod output;
mod record;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use client::{Client, Target};
pub(crate) use connection::Connection;
pub(crate) use message::{Call, Credentials, Refusal, pack};
pub(crate) use thread::IoThread;

use crate::xdr::Malformed;
use bytes::Bytes;
use std::fmt;

/// A reply, and over which connection of its client it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub body: Bytes,
    pub incarnation: u64,
}

/// Why there is no reply.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// There was no connection, or it broke before the call was sent: the server
    /// certainly did not get it.
    NotSent(String),
    /// The connection broke while the reply was waited for.
    Lost(String),
    /// No reply before the deadline.
    TimedOut(String),
    /// The server answered that it did not do it.
    Refused(Refusal),
    /// The reply can't be read.
    Malformed(Malformed),
}

impl CallError {
    /// The same, for a call that the server can't have got.
    fn before_it_was_sent(self) -> CallError {
        match self {
            CallError::Lost(text) => CallError::NotSent(text),
            other => other,
        }
    }

    /// Whether another connection may do better.
    pub fn is_broken_connection(&self) -> bool {
        matches!(self, CallError::NotSent(_) | CallError::Lost(_))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NotSent(text) | CallError::Lost(text) | CallError::TimedOut(text) => {
                f.write_str(text)
            }
            CallError::Refused(refusal) => refusal.fmt(f),
            CallError::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl From<Malformed> for CallError {
    fn from(malformed: Malformed) -> CallError {
        CallError::Malformed(malformed)
    }
}
