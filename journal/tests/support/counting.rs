//! A store around the memory store that counts the bytes that are read of its logs and
//! objects.

use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::*;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// The store; its clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    inner: MemoryStore,
    read: Arc<AtomicU64>,
}

impl Counting {
    /// Bytes read since it was asked last.
    pub fn take(&self) -> u64 {
        self.read.swap(0, SeqCst)
    }

    /// Bytes of all logs and objects.
    pub async fn size(&self) -> u64 {
        use futures_util::TryStreamExt;
        let rows = self.inner.list(&StorePath::root());
        let rows: Vec<Listed> = rows.try_collect().await.unwrap();
        rows.iter().map(|row| row.len).sum()
    }
}

#[derive(Debug)]
struct CountingReader {
    inner: Box<dyn Reader>,
    read: Arc<AtomicU64>,
}

#[async_trait]
impl Reader for CountingReader {
    async fn len(&self) -> Result<u64> {
        self.inner.len().await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.inner.read(range).await?;
        self.read.fetch_add(bytes.len() as u64, SeqCst);
        Ok(bytes)
    }
}

#[async_trait]
impl StoreFactory for Counting {
    fn schemes(&self) -> &[&str] {
        &["memory"]
    }

    async fn open(&self, _: &StoreUri, _: &Options, _: Mode) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl JournalStore for Counting {
    fn contract(&self) -> &FlushContract {
        self.inner.contract()
    }

    async fn host_lock(&self, how: HostLock) -> Result<()> {
        self.inner.host_lock(how).await
    }

    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        self.inner.create_object(path, options).await
    }

    async fn create_log(
        &self,
        path: &StorePath,
        options: LogOptions,
    ) -> Result<Box<dyn LogWriter>> {
        self.inner.create_log(path, options).await
    }

    async fn open(&self, path: &StorePath, from: Source) -> Result<Box<dyn Reader>> {
        Ok(Box::new(CountingReader {
            inner: self.inner.open(path, from).await?,
            read: self.read.clone(),
        }))
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        self.inner.fence_log(path).await
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        self.inner.list(prefix)
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.inner.delete(path).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        self.inner.sweep(older_than).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.inner.space().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
