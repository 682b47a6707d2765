//! [`Driver`]: a thread with a runtime of the store's own, on which every request runs.
//!
//! A connection is driven by the runtime on which it was opened. A journal calls
//! its store from several: the program's while it takes over, later its own. A
//! connection of a runtime that is not polled any more would hang the next
//! request that takes it from the pool; here all of them live as long as the store.

use flushproof_api::{BoxFuture, Error, ErrorKind, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// The runtime; it ends when the last handle to it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Driver(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Driver {
    pub fn start() -> Result<Driver> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("object-store")
            .enable_all()
            .build()
            .map_err(|e| Error::io("the store's thread can't be started", e))?;
        Ok(Driver(Arc::new(Owned {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })))
    }

    /// Runs `work`; it goes on when the returned future is dropped.
    pub fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let task = self.0.handle.spawn(work);
        Box::pin(async move { ended(task.await) })
    }

    /// Runs `work`; it stops when the returned future is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        ended(Stopping(self.0.handle.spawn(work)).await)
    }

    /// Starts `work`, which answers by itself.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.handle.spawn(work);
    }
}

fn ended<T>(result: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    result.unwrap_or_else(|e| {
        Err(Error::new(
            ErrorKind::Io,
            format!("the call to the object store did not end: {e}"),
        ))
    })
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Never waits: the last handle may be dropped inside a runtime.
            runtime.shutdown_background();
        }
    }
}

/// A task that is aborted when nobody waits for it any more.
struct Stopping<T>(JoinHandle<T>);

impl<T> Future for Stopping<T> {
    type Output = std::result::Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Stopping<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn fc_10_what_must_finish_does_and_what_was_dropped_stops() {
        let driver = Driver::start().unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        let late = |word: &'static str| {
            let send = send.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = send.send(word);
                Ok(())
            }
        };
        let other = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        other.block_on(async {
            drop(driver.finish(late("finished")));
            let short = Duration::from_millis(1);
            let _ = tokio::time::timeout(short, driver.run(late("stopped"))).await;
        });
        drop(send);
        let all: Vec<_> = receive.iter().collect();
        assert_eq!(all, ["finished"]);
        // The last handle may be dropped on the runtime itself.
        let own = driver.clone();
        let end = driver.finish(async move {
            drop(own);
            Ok(())
        });
        drop(driver);
        let _ = other.block_on(end);
    }
}
