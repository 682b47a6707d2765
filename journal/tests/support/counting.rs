//! A store around the memory store that counts the bytes that are read of its logs and
//! objects, has bad sectors, and a cache that shows more than the medium has.
#![allow(dead_code)] // every test uses a part of it

use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of a path that can't be read.
type Bad = (String, Range<u64>);

/// The store; its clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    inner: MemoryStore,
    read: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
    bad: Arc<Mutex<Vec<Bad>>>,
    cached: Arc<Mutex<Vec<(String, u64)>>>,
    shut: Arc<Mutex<Vec<String>>>,
}

impl Counting {
    /// Around a store that is there.
    pub fn around(inner: MemoryStore) -> Counting {
        Counting {
            inner,
            ..Counting::default()
        }
    }

    /// From now on each read of one of these bytes fails.
    pub fn make_bad(&self, path: &str, bytes: Range<u64>) {
        self.bad.lock().unwrap().push((path.to_owned(), bytes));
    }

    /// From now on it can't be opened.
    pub fn shut(&self, path: &str) {
        self.shut.lock().unwrap().push(path.to_owned());
    }

    /// From now on the medium has only so many bytes of it; a cache shows all.
    pub fn only_cached_from(&self, path: &str, len: u64) {
        self.cached.lock().unwrap().push((path.to_owned(), len));
    }

    /// Calls of `read` since it was asked last.
    pub fn take_calls(&self) -> u64 {
        self.calls.swap(0, SeqCst)
    }

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
    path: String,
    from: Source,
    store: Counting,
}

#[async_trait]
impl Reader for CountingReader {
    async fn len(&self) -> Result<u64> {
        let len = self.inner.len().await?;
        let cached = self.store.cached.lock().unwrap();
        let on_medium = cached.iter().find(|(path, _)| *path == self.path);
        match (self.from, on_medium) {
            (Source::Medium, Some((_, less))) => Ok(len.min(*less)),
            _ => Ok(len),
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.store.calls.fetch_add(1, SeqCst);
        let hit = |(path, bad): &Bad| {
            *path == self.path && bad.start < range.end && range.start < bad.end
        };
        if self.store.bad.lock().unwrap().iter().any(hit) {
            let error = std::io::Error::other("Input/output error");
            return Err(Error::io("reading", error));
        }
        let bytes = self.inner.read(range).await?;
        self.store.read.fetch_add(bytes.len() as u64, SeqCst);
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
        if self.shut.lock().unwrap().contains(&path.to_string()) {
            let error = std::io::Error::other("Input/output error");
            return Err(Error::io("opening", error));
        }
        Ok(Box::new(CountingReader {
            inner: self.inner.open(path, from).await?,
            path: path.to_string(),
            from,
            store: self.clone(),
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
