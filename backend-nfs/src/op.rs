//! One operation of a store, and how a part of it fails.

use crate::rpc::CallError;
use crate::xdr::Malformed;
use nfs3_types::nfs3::nfsstat3;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Why a procedure did not give what was asked.
#[derive(Clone, Debug)]
pub(crate) enum Fail {
    /// The server answered with this status.
    Status(nfsstat3),
    /// It did not answer as it should.
    Call(CallError),
}

impl Fail {
    pub fn is(&self, status: nfsstat3) -> bool {
        matches!(self, Fail::Status(s) if *s == status)
    }

    /// There is no such file: no such name, or the handle leads nowhere.
    pub fn is_absent(&self) -> bool {
        self.is(nfsstat3::NFS3ERR_NOENT) || self.is(nfsstat3::NFS3ERR_STALE)
    }
}

impl From<CallError> for Fail {
    fn from(e: CallError) -> Fail {
        Fail::Call(e)
    }
}

impl From<Malformed> for Fail {
    fn from(e: Malformed) -> Fail {
        Fail::Call(e.into())
    }
}

/// One operation of the store: several calls with one deadline.
///
/// It notes over which connections the replies came. A name is durable by a
/// COMMIT that follows it *on the same connection*: a server that lost power in
/// between may have lost the name and commits nothing of it.
#[derive(Debug)]
pub(crate) struct Op {
    pub deadline: Instant,
    lowest: AtomicU64,
    highest: AtomicU64,
}

impl Op {
    pub fn within(timeout: Duration) -> Op {
        Op {
            deadline: Instant::now() + timeout,
            lowest: AtomicU64::new(u64::MAX),
            highest: AtomicU64::new(0),
        }
    }

    pub fn note(&self, incarnation: u64) {
        self.lowest.fetch_min(incarnation, Ordering::Relaxed);
        self.highest.fetch_max(incarnation, Ordering::Relaxed);
    }

    /// Whether there is no time left.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// From here on.
    pub fn begin_anew(&self) {
        self.lowest.store(u64::MAX, Ordering::Relaxed);
        self.highest.store(0, Ordering::Relaxed);
    }

    /// Whether all replies since the last [`begin_anew`](Op::begin_anew) came
    /// over one connection.
    pub fn on_one_connection(&self) -> bool {
        self.lowest.load(Ordering::Relaxed) >= self.highest.load(Ordering::Relaxed)
    }
}
