//! SIGINT and SIGTERM: the first one ends a command cleanly, the second at once.

use crate::failure::{Failure, Result};
use flushproof::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells of the first signal.
#[derive(Clone, Debug)]
pub struct Signals(watch::Receiver<Option<i32>>);

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Result<Signals> {
        let failed = |e| Error::io("can't listen to signals", e);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (tell, told) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                    _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                };
                if tell.send_replace(Some(number)).is_some() {
                    std::process::exit(128 + number);
                }
            }
        });
        Ok(Signals(told))
    }

    /// Waits for the first signal.
    pub async fn wait(&mut self) -> i32 {
        match self.0.wait_for(Option::is_some).await {
            Ok(number) => number.unwrap_or_default(),
            // The listener never ends while the runtime lives.
            Err(_) => std::future::pending().await,
        }
    }

    /// Fails when a signal came: for work that must not be dropped half-way.
    pub fn check(&self) -> Result<()> {
        match *self.0.borrow() {
            Some(number) => Err(Failure::Signal(number)),
            None => Ok(()),
        }
    }

    /// Runs `work` until it ends or a signal comes; then it is dropped.
    pub async fn or<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            number = self.wait() => Err(Failure::Signal(number)),
        }
    }
}
