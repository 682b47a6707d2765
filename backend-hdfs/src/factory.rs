//! [`HdfsFactory`]: opens `hdfs://` URIs.

use crate::HdfsStore;
use async_trait::async_trait;
use flushproof_api::{ErrorKind, JournalStore, Mode, Options, Result, StoreFactory, StoreUri};
use std::sync::Arc;

/// Serves the scheme `hdfs`: `hdfs://namenode:8020/folder`, `hdfs://nameservice/folder`,
/// and `hdfs:///folder` in the cluster that `fs.defaultFS` names.
///
/// ```
/// use flushproof_api::*;
/// use flushproof_backend_hdfs::HdfsFactory;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let registry = Registry::new().with(HdfsFactory);
/// let uri = StoreUri::parse("hdfs://127.0.0.1:1/nobody-listens-there")?;
/// let error = registry.open(&uri, &Options::new(), Mode::ReadOnly).await.err().unwrap();
/// assert_eq!(error.kind(), ErrorKind::Unreachable);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HdfsFactory;

#[async_trait]
impl StoreFactory for HdfsFactory {
    fn schemes(&self) -> &[&str] {
        &["hdfs"]
    }

    async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        let opened = HdfsStore::open(uri, options, mode).await;
        // Who is not answered wants to know where that was.
        Ok(Arc::new(opened.map_err(|e| match e.kind() {
            ErrorKind::Unreachable | ErrorKind::TimedOut => e.context(uri),
            _ => e,
        })?))
    }
}
