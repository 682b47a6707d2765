//! [`NfsFactory`]: opens `nfs://` URIs.

use crate::{NfsStore, mount};
use async_trait::async_trait;
use flushproof_api::{JournalStore, Mode, Options, Result, StoreFactory, StoreUri};
use std::sync::Arc;

/// Serves the scheme `nfs`: `nfs://server[:port]/export/folder`, and
/// `nfs:///mnt/folder` on a mount of the kernel.
///
/// ```
/// use flushproof_api::*;
/// use flushproof_backend_nfs::NfsFactory;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let registry = Registry::new().with(NfsFactory);
/// // Nothing listens there.
/// let uri = StoreUri::parse("nfs://127.0.0.1:1/export/journal")?;
/// let options = Options::new().with("mount_port", "1");
/// let error = registry.open(&uri, &options, Mode::ReadOnly).await.err().unwrap();
/// assert_eq!(error.kind(), ErrorKind::Unreachable);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NfsFactory;

#[async_trait]
impl StoreFactory for NfsFactory {
    fn schemes(&self) -> &[&str] {
        &["nfs"]
    }

    async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        if uri.authority().is_empty() {
            return mount::open(uri, options, mode).await;
        }
        Ok(Arc::new(NfsStore::open(uri, options, mode).await?))
    }
}
