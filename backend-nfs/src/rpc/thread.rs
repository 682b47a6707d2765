//! The thread that a store's connections live on.
//!
//! The store does not depend on the caller's runtime: that one may have ended,
//! may have no timers, or may not be polled while its thread waits for a flush.

use flushproof_api::{Error, ErrorKind, Result};
use std::future::Future;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A thread with a runtime; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct IoThread {
    handle: Handle,
    /// Dropped: the thread ends.
    _alive: oneshot::Sender<()>,
}

impl IoThread {
    /// Starts one.
    pub fn start() -> Result<IoThread> {
        let failed = |e| Error::io("the thread for the NFS server could not be started", e);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("journal-nfs".into())
            .spawn(move || {
                let _ = runtime.block_on(ended);
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(IoThread {
            handle,
            _alive: alive,
        })
    }

    /// The runtime, for whoever must not keep the thread alive.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` to its end on the thread, also when this future is dropped
    /// (FC-10).
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.handle.spawn(work).await {
            Ok(result) => result,
            Err(e) => Err(Error::new(
                ErrorKind::Io,
                format!("the call to the NFS server did not end: {e}"),
            )),
        }
    }
}
