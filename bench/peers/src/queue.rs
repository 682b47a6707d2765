//! A queue in front of a log that has one writer: what its documentation tells
//! a program with several to build.

use crate::crew::Crew;
use crate::peer::{ENTRY_BYTES, Peer, Plan, Result};
use crate::tasks;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// A log with one writer, who groups.
pub trait GroupLog: Send + 'static {
    /// Adds an entry to the group.
    ///
    /// # Errors
    /// The log's.
    fn append(&mut self, entry: &[u8]) -> Result<()>;

    /// Makes the group durable.
    ///
    /// # Errors
    /// The log's.
    fn commit(&mut self) -> Result<()>;
}

/// A log for one appender: called directly, with nothing in front. For more:
/// a queue, and a thread that takes all that waits as one group.
///
/// # Errors
/// The system gives no more threads.
pub fn open(log: impl GroupLog, plan: Plan) -> Result<Box<dyn Peer>> {
    if plan.tasks == 1 {
        return direct(log, plan);
    }
    let (send, receive) = mpsc::unbounded_channel();
    let writer = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || write(log, receive))?;
    Ok(Box::new(Queued {
        runtime: tasks::runtime()?,
        plan,
        send,
        writer,
    }))
}

struct Direct(Crew);

fn direct(log: impl GroupLog, plan: Plan) -> Result<Box<dyn Peer>> {
    let log = Arc::new(Mutex::new(log)); // of one thread: never waited for
    let crew = Crew::start(plan, |_| {
        let log = log.clone();
        let entry = [7; ENTRY_BYTES];
        Box::new(move || {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.append(&entry)?;
            log.commit()
        })
    })?;
    Ok(Box::new(Direct(crew)))
}

impl Peer for Direct {
    fn block(&mut self) -> Result<Duration> {
        self.0.block()
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// An entry, and where its acknowledgement goes.
type Waiting = (Arc<[u8]>, oneshot::Sender<()>);

struct Queued {
    runtime: Runtime,
    plan: Plan,
    send: mpsc::UnboundedSender<Waiting>,
    writer: JoinHandle<Result<()>>,
}

fn write(mut log: impl GroupLog, mut queue: mpsc::UnboundedReceiver<Waiting>) -> Result<()> {
    let mut acks = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        let mut next = Some(first);
        while let Some((entry, ack)) = next {
            log.append(&entry)?;
            acks.push(ack);
            next = queue.try_recv().ok();
        }
        log.commit()?;
        for ack in acks.drain(..) {
            let _ = ack.send(()); // the appender may be gone
        }
    }
    Ok(())
}

impl Peer for Queued {
    fn block(&mut self) -> Result<Duration> {
        let entry: Arc<[u8]> = Arc::from([7; ENTRY_BYTES]);
        let each = self.plan.each;
        tasks::block(&self.runtime, self.plan, || {
            let (send, entry) = (self.send.clone(), entry.clone());
            async move {
                for _ in 0..each {
                    let (ack, acked) = oneshot::channel();
                    send.send((entry.clone(), ack))
                        .map_err(|_| "the writer is gone")?;
                    acked.await.map_err(|_| "the writer failed")?;
                }
                Ok(())
            }
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self.send);
        self.writer.join().map_err(|_| "the writer panicked")?
    }
}
