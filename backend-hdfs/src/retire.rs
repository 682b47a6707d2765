//! Writing with a file writer, and ending it so that nothing of it is left.
//!
//! A `FileWriter` of hdfs-native that is dropped leaves its connection open: the task
//! that sends heartbeats holds it for as long as the process lives. When a DataNode
//! behind the first one dies then, the first one writes errors into that connection
//! that nobody reads. Measured: a second of its CPU for each such connection, at the
//! very moment when a take-over needs it. Only calls of the library that found out
//! that the pipeline is broken, or closed it, end the task.
//!
//! So a writer is closed where it can be, and a call that is given up is not dropped at
//! once: it goes on for a moment, to find out. Nobody hears what it says.

use crate::connect::Io;
use bytes::Bytes;
use hdfs_native::file::FileWriter;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a call that was given up goes on, and how long closing may take.
const GRACE: Duration = Duration::from_secs(1);

/// Writes and syncs a batch; given up when `until` ends, with what it said. The file is
/// given back unless it was given up.
pub(crate) async fn sync<E>(
    io: &Arc<Io>,
    mut file: FileWriter,
    batch: Bytes,
    until: impl Future<Output = E>,
) -> Result<(FileWriter, hdfs_native::Result<()>), E> {
    let mut work = Box::pin(async move {
        let result = write(&mut file, batch).await;
        (file, result)
    });
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        why = until => {
            io.spawn(async move {
                if let Ok((file, Ok(()))) = timeout(GRACE, work).await {
                    close(file).await;
                }
            });
            Err(why)
        }
    }
}

async fn write(file: &mut FileWriter, batch: Bytes) -> hdfs_native::Result<()> {
    file.write_bytes(batch).await?;
    file.hsync().await
}

/// Closes a file that nobody needs, if that is done soon.
pub(crate) async fn close(mut file: FileWriter) {
    if !matches!(timeout(GRACE, file.close()).await, Ok(Ok(()))) {
        tracing::debug!("a file that is not needed could not be closed");
    }
}
