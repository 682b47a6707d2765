//! Readers of objects and logs.
//!
//! A closed file is read from its DataNodes by hdfs-native, which checks the
//! checksums that were made by the writer. It can't see the last block of a file
//! that is being written; that one is read by WebHDFS.
//!
//! `Source::Medium` and `Source::Any` are the same here: both ask the DataNodes,
//! nothing is cached in this process. The DataNode's own page cache stands in between and
//! can't be passed by any call of HDFS. It holds nothing that hsync did not also
//! write to the disk, except the unacknowledged end of a fenced log, which the
//! engine writes again before it builds on it.

use crate::fault::{late, refusal};
use crate::store::Shared;
use crate::webhdfs::Failure;
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, MAX_READ, Reader, Result, StorePath};
use hdfs_native::file::FileReader;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Opens an object or, if there is none, a log.
pub(crate) async fn open(shared: Arc<Shared>, path: &StorePath) -> Result<HdfsReader> {
    for (at, log) in [
        (shared.names.object(path), false),
        (shared.names.log(path), true),
    ] {
        let found = shared.nn.info(&at).await?;
        if found.is_some_and(|info| !info.isdir) {
            return Ok(HdfsReader(Arc::new(Inner {
                shared,
                at,
                log,
                closed: Mutex::default(),
            })));
        }
    }
    let at = shared.names.object(path);
    Err(refusal(
        ErrorKind::NotFound,
        &at,
        "there is no such object or log",
    ))
}

/// A reader; cheap to share.
#[derive(Debug)]
pub(crate) struct HdfsReader(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    at: String,
    log: bool,
    /// The blocks of the file, once they are all complete.
    closed: Mutex<Option<Arc<FileReader>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HdfsReader").field(&self.at).finish()
    }
}

#[async_trait]
impl Reader for HdfsReader {
    async fn len(&self) -> Result<u64> {
        let inner = &self.0;
        let len = inner.len().await?;
        if !inner.log || inner.shared.web.is_some() {
            return Ok(len);
        }
        // Visible when it is sealed or fenced; before that, nothing.
        let blocks = inner.blocks(len).await?;
        Ok(len.min(blocks.file_length() as u64))
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.0.read(range).await
    }
}

impl Inner {
    /// The length that the NameNode knows.
    async fn len(&self) -> Result<u64> {
        match self.shared.nn.info(&self.at).await? {
            Some(info) if !info.isdir => Ok(info.length as u64),
            _ => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        let text = "it was deleted while it was read";
        refusal(ErrorKind::NotFound, &self.at, text)
    }

    /// The blocks; kept when all of `len` bytes are in complete ones.
    async fn blocks(&self, len: u64) -> Result<Arc<FileReader>> {
        let kept = || self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept().clone();
        if let Some(blocks) = before.filter(|b| b.file_length() as u64 >= len) {
            return Ok(blocks);
        }
        let name = self.at.clone();
        let asked = self
            .shared
            .nn
            .call("can't open it", &self.at, |client| async move {
                client.read(&name).await
            });
        let blocks = Arc::new(asked.await.map_err(|e| match e.kind() {
            ErrorKind::NotFound => self.gone(),
            _ => e,
        })?);
        if blocks.file_length() as u64 >= len {
            *kept() = Some(blocks.clone());
        }
        Ok(blocks)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let len = self.len().await?;
        if range.start > range.end || range.end > len || range.end - range.start > MAX_READ {
            let text = format!("a read of {range:?} in {len} bytes is out of range");
            return Err(refusal(ErrorKind::InvalidInput, &self.at, &text));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let blocks = self.blocks(len).await?;
        if range.end > blocks.file_length() as u64 {
            return self.read_open(range).await;
        }
        let first = self.read_closed(blocks, range.clone()).await;
        if first.is_ok() {
            return first;
        }
        // The blocks may have moved since they were looked up.
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let blocks = self.blocks(len).await?;
        match range.end > blocks.file_length() as u64 {
            true => first,
            false => self.read_closed(blocks, range).await,
        }
    }

    async fn read_closed(&self, blocks: Arc<FileReader>, range: Range<u64>) -> Result<Bytes> {
        let wanted = range.end - range.start;
        let limit = self.shared.settings.limit(wanted);
        let read = self
            .shared
            .nn
            .ask("can't read", &self.at, limit, |_| async move {
                // Below its length, or it would panic; checked by the caller.
                blocks
                    .read_range(range.start as usize, wanted as usize)
                    .await
            });
        let bytes = read
            .await?
            .map_err(|e| crate::fault::fault("can't read", &self.at, &e))?;
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => Err(Error::new(
                ErrorKind::Io,
                format!(
                    "{}: the DataNodes sent {} bytes of {wanted}",
                    self.at,
                    bytes.len()
                ),
            )),
        }
    }

    /// Reads a log that is being written.
    async fn read_open(&self, range: Range<u64>) -> Result<Bytes> {
        if self.shared.web.is_none() {
            let text = "it is being written, and can be read when it is sealed or fenced: without \
                        WebHDFS (option webhdfs) nobody sees the end of an open file";
            return Err(refusal(ErrorKind::Unsupported, &self.at, text));
        }
        let wanted = range.end - range.start;
        let limit = self.shared.settings.limit(wanted);
        let (shared, at) = (self.shared.clone(), self.at.clone());
        let read = self.shared.nn.io.run(async move {
            let Some(web) = &shared.web else {
                return Ok(Err(Failure::Other("WebHDFS is off".into())));
            };
            let read = web.read(&at, range.start, wanted as usize);
            match tokio::time::timeout(limit, read).await {
                Ok(read) => Ok(read),
                Err(_) => Err(late("can't read", &at, limit, "timeout")),
            }
        });
        read.await?.map_err(|failure| match failure {
            Failure::NotFound => self.gone(),
            Failure::Other(text) => Error::new(
                ErrorKind::Unreachable,
                format!("{}: can't read the open log by WebHDFS: {text}", self.at),
            )
            .with_advice(flushproof_api::Advice::Retry),
        })
    }
}
