//! Readers of objects and logs.
//!
//! A handle leads to its file also when its name is gone, and a fenced log is
//! emptied when it is deleted. So after each reading the reader looks whether
//! the name still leads to its file: `delete` takes the name away first.

use crate::fault::{refusal, refused};
use crate::folders::File;
use crate::names;
use crate::op::{Fail, Op};
use crate::store::Shared;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, MAX_READ, Reader, Result, StorePath};
use futures_util::{StreamExt, TryStreamExt, stream};
use nfs3_types::nfs3::nfs_fh3;
use std::ops::Range;
use std::sync::Arc;

/// How many READs of one reading are under way.
const READS: usize = 4;

/// Opens an object or, if there is none, a log.
pub(crate) async fn open(shared: &Arc<Shared>, path: &StorePath) -> Result<NfsReader> {
    let at = shared.at(path);
    let op = shared.op();
    let absent = || refusal(ErrorKind::NotFound, &at, "there is no such object or log");
    let folder = shared.find_folder(&op, &path.parent()).await?;
    let folder = folder.ok_or_else(absent)?;
    for name in [names::object(path), names::log(path)] {
        if name.is_empty() {
            continue; // the root is a folder
        }
        let found = shared.find_file(&op, &folder, &name).await;
        let found = found.map_err(|e| refused("can't look for it", &at, &e))?;
        if let Some(file) = found {
            let at = format!("{}/{name}", shared.at(&path.parent()).trim_end_matches('/'));
            return Ok(NfsReader(Arc::new(Inner {
                shared: shared.clone(),
                folder,
                name,
                file,
                at,
            })));
        }
    }
    Err(absent())
}

/// A reader; cheap to share.
#[derive(Debug)]
pub(crate) struct NfsReader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    folder: nfs_fh3,
    name: String,
    file: File,
    at: String,
}

#[async_trait]
impl Reader for NfsReader {
    async fn len(&self) -> Result<u64> {
        let inner = self.0.clone();
        self.0
            .shared
            .run(async move { inner.len(&inner.shared.op()).await })
            .await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let inner = self.0.clone();
        self.0
            .shared
            .run(async move { inner.read(range).await })
            .await
    }
}

impl Inner {
    /// The length, if the name still leads to this file.
    async fn len(&self, op: &Op) -> Result<u64> {
        let found = self.shared.find_file(op, &self.folder, &self.name).await;
        match found.map_err(|e| refused("can't look at it", &self.at, &e))? {
            Some(file) if file.id() == self.file.id() => Ok(file.attributes.size),
            _ => {
                let text = "it was deleted while it was read";
                Err(refusal(ErrorKind::NotFound, &self.at, text))
            }
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let op = self.shared.op();
        let len = self.len(&op).await?;
        if range.start > range.end || range.end > len || range.end - range.start > MAX_READ {
            let text = format!("a read of {range:?} in {len} bytes is out of range");
            return Err(refusal(ErrorKind::InvalidInput, &self.at, &text));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let step = u64::from(self.shared.limits.read);
        let pieces = (range.start..range.end).step_by(step as usize);
        let reads = pieces.map(|from| self.read_piece(&op, from..range.end.min(from + step)));
        let bytes = stream::iter(reads)
            .buffered(READS)
            .try_collect::<Vec<Bytes>>();
        let bytes = bytes.await;
        self.len(&op).await?;
        let bytes = bytes?;
        if let [one] = &bytes[..] {
            return Ok(one.clone());
        }
        let mut all = BytesMut::with_capacity((range.end - range.start) as usize);
        bytes.iter().for_each(|piece| all.extend_from_slice(piece));
        Ok(all.freeze())
    }

    /// All bytes of a range that is no longer than one READ may be. A server may
    /// give fewer at a time.
    async fn read_piece(&self, op: &Op, range: Range<u64>) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        loop {
            let from = range.start + whole.len() as u64;
            let count = (range.end - from) as u32;
            let read = self
                .shared
                .nfs
                .read(op, &self.file.handle, from, count)
                .await;
            let read = read.map_err(|e| self.failed(&e))?;
            if read.bytes.len() == count as usize && whole.is_empty() {
                return Ok(read.bytes);
            }
            whole.extend_from_slice(&read.bytes);
            if range.start + whole.len() as u64 == range.end {
                return Ok(whole.freeze());
            }
            if read.eof || read.bytes.is_empty() {
                let text = format!("{}: the file became shorter while it was read", self.at);
                return Err(Error::new(ErrorKind::Io, text));
            }
        }
    }

    fn failed(&self, e: &Fail) -> Error {
        refused("can't read", &self.at, e)
    }
}
