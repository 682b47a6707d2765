//! A store around the memory store whose logs are prepared ahead, as the local
//! disk's are: behind what was flushed they read as zeros. When a test says so, the
//! log is cut to what was flushed (as by a seal) between a reader's look at the
//! length and its read.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flushproof_api::*;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// To what length logs are prepared.
const PREPARED: u64 = 64 * 1024;

/// The store; its clones share everything.
#[derive(Clone, Debug)]
pub struct Prepared {
    inner: MemoryStore,
    cuts: Arc<AtomicU32>,
    cut: Arc<Mutex<BTreeSet<StorePath>>>,
}

impl Default for Prepared {
    fn default() -> Prepared {
        Prepared {
            inner: MemoryStore::new(),
            cuts: Arc::default(),
            cut: Arc::default(),
        }
    }
}

impl Prepared {
    /// All logs are prepared again; the next `reads` that go past the flushed
    /// bytes find their log cut.
    pub fn cut_under_reads(&self, reads: u32) {
        self.cut.lock().unwrap().clear();
        self.cuts.store(reads, SeqCst);
    }

    /// How many of them are still to come.
    pub fn cuts_left(&self) -> u32 {
        self.cuts.load(SeqCst)
    }
}

#[derive(Debug)]
struct PreparedReader {
    inner: Box<dyn Reader>,
    store: Prepared,
    path: StorePath,
}

#[async_trait]
impl Reader for PreparedReader {
    async fn len(&self) -> Result<u64> {
        let flushed = self.inner.len().await?;
        let cut = self.store.cut.lock().unwrap().contains(&self.path);
        Ok(if cut { flushed } else { flushed.max(PREPARED) })
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let flushed = self.inner.len().await?;
        if range.end <= flushed {
            return self.inner.read(range).await;
        }
        let less = |n: u32| n.checked_sub(1);
        if self.store.cuts.fetch_update(SeqCst, SeqCst, less).is_ok() {
            self.store.cut.lock().unwrap().insert(self.path.clone());
        }
        if range.end > self.len().await? {
            let text = format!("a read of {range:?} in {flushed} bytes is out of range");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        let there = range.start.min(flushed)..flushed;
        let mut bytes = BytesMut::from(&self.inner.read(there).await?[..]);
        bytes.resize((range.end - range.start) as usize, 0);
        Ok(bytes.freeze())
    }
}

#[async_trait]
impl StoreFactory for Prepared {
    fn schemes(&self) -> &[&str] {
        &["memory"]
    }

    async fn open(&self, _: &StoreUri, _: &Options, _: Mode) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl JournalStore for Prepared {
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
        let inner = self.inner.open(path, from).await?;
        if !path.as_str().starts_with("log/") {
            return Ok(inner);
        }
        Ok(Box::new(PreparedReader {
            inner,
            store: self.clone(),
            path: path.clone(),
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
