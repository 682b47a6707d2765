//! Tasks of a tokio runtime, for logs whose append is awaited.

use crate::peer::{Plan, Result};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The runtime of every contestant that uses tasks: a worker for each core.
///
/// # Errors
/// The system gives no more threads.
pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// Runs one block: one task for each appender; `appender` makes its work.
///
/// # Errors
/// The first appender that failed.
pub fn block<W>(runtime: &Runtime, plan: Plan, appender: impl Fn() -> W) -> Result<Duration>
where
    W: Future<Output = Result<()>> + Send + 'static,
{
    let began = Instant::now();
    let tasks: Vec<_> = (0..plan.tasks).map(|_| runtime.spawn(appender())).collect();
    runtime.block_on(async {
        for task in tasks {
            task.await??;
        }
        Ok::<(), crate::peer::Failure>(())
    })?;
    Ok(began.elapsed())
}
