//! Which calls are under way on a connection.

use super::{CallError, Reply};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Told how a call ended. Runs on the connection's task or on whoever closes
/// it: it must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<Reply, CallError>) + Send>;

/// The calls of one connection, by xid.
pub(crate) struct Calls {
    under_way: HashMap<u32, UnderWay>,
    next: u32,
    closed: Option<CallError>,
    /// When the connection's task looks again at the latest.
    armed: Option<Instant>,
    /// When the other side was heard last.
    heard: Instant,
    /// When a call began last.
    began: Instant,
}

struct UnderWay {
    done: Done,
    began: Instant,
    deadline: Instant,
    /// Its last byte was handed to the system: the server may have got it.
    sent: bool,
}

impl Calls {
    /// `first` is drawn at random: a server's cache of replies knows a call by
    /// port and xid, and would answer a new one with the reply to an old one.
    pub fn new(now: Instant, first: u32) -> Calls {
        Calls {
            under_way: HashMap::new(),
            next: first,
            closed: None,
            armed: None,
            heard: now,
            began: now,
        }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Enters a call; says its xid, and whether its deadline comes before the
    /// time at which the task looks again.
    pub fn begin(
        &mut self,
        deadline: Instant,
        done: Done,
    ) -> Result<(u32, bool), (Done, CallError)> {
        if let Some(why) = &self.closed {
            return Err((done, why.clone().before_it_was_sent()));
        }
        while self.under_way.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let xid = self.next;
        self.next = xid.wrapping_add(1);
        self.began = Instant::now();
        let call = UnderWay {
            done,
            began: self.began,
            deadline,
            sent: false,
        };
        self.under_way.insert(xid, call);
        Ok((xid, self.armed.is_none_or(|armed| deadline < armed)))
    }

    pub fn sent(&mut self, xid: u32) {
        if let Some(call) = self.under_way.get_mut(&xid) {
            call.sent = true;
        }
    }

    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Since when there was neither a call nor a word of the other side.
    pub fn idle_since(&self) -> Instant {
        self.heard.max(self.began)
    }

    /// Takes out the call that a reply is for.
    pub fn end(&mut self, xid: u32) -> Option<Done> {
        self.under_way.remove(&xid).map(|call| call.done)
    }

    /// Takes out the calls whose time is over, each with the time that it had;
    /// and whether nothing was heard since the oldest of them began.
    pub fn expire(&mut self, now: Instant) -> (Vec<(Done, Duration)>, bool) {
        let over = |call: &UnderWay| call.deadline <= now;
        let xids: Vec<u32> = self
            .under_way
            .iter()
            .filter(|(_, c)| over(c))
            .map(|(x, _)| *x)
            .collect();
        let mut deaf = false;
        let mut expired = Vec::new();
        for xid in xids {
            if let Some(call) = self.under_way.remove(&xid) {
                deaf |= self.heard < call.began;
                // To the millisecond: what was configured.
                let had = call.deadline - call.began + Duration::from_micros(500);
                let had = Duration::from_millis(had.as_millis() as u64);
                expired.push((call.done, had));
            }
        }
        (expired, deaf)
    }

    /// Sets the time at which the task looks again: at the next deadline, or at
    /// `latest`.
    pub fn arm(&mut self, latest: Instant) -> Instant {
        let next = self.under_way.values().map(|call| call.deadline).min();
        let armed = next.map_or(latest, |next| next.min(latest));
        self.armed = Some(armed);
        armed
    }

    /// Ends everything.
    pub fn close(&mut self, why: &CallError) -> Vec<(Done, CallError)> {
        if self.closed.is_none() {
            self.closed = Some(why.clone());
        }
        let ended = self.under_way.drain();
        ended
            .map(|(_, call)| match call.sent {
                true => (call.done, why.clone()),
                false => (call.done, why.clone().before_it_was_sent()),
            })
            .collect()
    }
}
