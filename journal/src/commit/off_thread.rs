//! One flush from an asynchronous task: off the runtime's threads when the
//! store blocks, and bounded in time.

use super::detached::{hung, within};
use super::inline::flush_now;
use bytes::Bytes;
use flushproof_api::{Flushed, LogWriter, Result};
use std::time::Duration;

/// Flushes `frame` and gives the writer back. After a time-out the writer is
/// gone: its late answer means nothing.
pub(crate) async fn flush_off_thread(
    mut writer: Box<dyn LogWriter>,
    frame: Bytes,
    blocking: bool,
    limit: Duration,
) -> Result<(Box<dyn LogWriter>, Flushed)> {
    if !blocking {
        let got = within(limit, writer.flush(frame)).await?;
        return Ok((writer, got));
    }
    let write = tokio::task::spawn_blocking(move || {
        let got = flush_now(&mut *writer, frame);
        (writer, got)
    });
    match tokio::time::timeout(limit, write).await {
        Ok(Ok((writer, got))) => Ok((writer, got?)),
        Ok(Err(_)) => Err(super::core::closed()),
        Err(_) => Err(hung(limit)),
    }
}
