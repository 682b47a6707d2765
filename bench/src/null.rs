//! A store that costs nothing: what the engine itself costs.

use crate::Result as BenchResult;
use async_trait::async_trait;
use bytes::Bytes;
use flushproof::{Config, Journal};
use flushproof_api::{
    BoxStream, Flush, FlushContract, Flushed, HostLock, JournalStore, Listed, LogOptions,
    LogWriter, MemoryStore, Mode, ObjectOptions, ObjectWriter, Options, Reader, Result, Source,
    Space, StoreFactory, StorePath, StoreUri, Survives,
};
use std::sync::Arc;
use std::time::Duration;

/// A journal on a new one, that serves.
///
/// # Errors
/// None that are expected.
pub async fn journal() -> BenchResult<Journal> {
    let mut config = Config::new(StoreUri::parse("null:")?);
    config.registry.register(NullFactory::default());
    config.require = Survives::NOTHING;
    crate::open(&config).await
}

/// `null:`: objects are kept in memory, flushed bytes are forgotten.
/// Its contract is that of `memory:`: a flush is made on the calling thread.
#[derive(Debug, Default)]
pub struct NullFactory(MemoryStore);

#[async_trait]
impl StoreFactory for NullFactory {
    fn schemes(&self) -> &[&str] {
        &["null"]
    }

    async fn open(
        &self,
        _uri: &StoreUri,
        _options: &Options,
        _mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(NullStore(self.0.clone())))
    }
}

#[derive(Debug)]
struct NullStore(MemoryStore);

#[async_trait]
impl JournalStore for NullStore {
    fn contract(&self) -> &FlushContract {
        self.0.contract()
    }
    async fn host_lock(&self, how: HostLock) -> Result<()> {
        self.0.host_lock(how).await
    }
    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        self.0.create_object(path, options).await
    }
    async fn create_log(&self, path: &StorePath, o: LogOptions) -> Result<Box<dyn LogWriter>> {
        self.0.create_log(path, o).await?;
        Ok(Box::new(NullLog(0)))
    }
    async fn open(&self, path: &StorePath, from: Source) -> Result<Box<dyn Reader>> {
        self.0.open(path, from).await
    }
    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        self.0.fence_log(path).await
    }
    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        self.0.list(prefix)
    }
    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.0.delete(path).await
    }
    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        self.0.sweep(older_than).await
    }
    async fn space(&self) -> Result<Option<Space>> {
        self.0.space().await
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct NullLog(u64);

#[async_trait]
impl LogWriter for NullLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        self.0 += batch.len() as u64;
        Flush::ready(Ok(Flushed::new(self.0, Survives::NOTHING)))
    }
    async fn seal(&mut self) -> Result<u64> {
        Ok(self.0)
    }
}
