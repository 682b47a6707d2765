//! [`ObjectFactory`]: opens `s3://`, `gs://` and `azblob://` URIs.

use crate::ObjectStore;
use async_trait::async_trait;
use flushproof_api::{JournalStore, Mode, Options, Result, StoreFactory, StoreUri};
use std::sync::Arc;

/// Serves the schemes `s3`, `gs` and `azblob`, each by a feature of its own:
/// `s3://bucket/prefix`.
///
/// ```
/// use flushproof_api::*;
/// use flushproof_backend_object::ObjectFactory;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let registry = Registry::new().with(ObjectFactory);
/// let uri = StoreUri::parse("s3://bucket/journal")?;
/// let options = Options::new().with("reigon", "eu-west-1");
/// let error = registry.open(&uri, &options, Mode::ReadOnly).await.err().unwrap();
/// assert!(error.to_string().contains("did you mean region"));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ObjectFactory;

#[async_trait]
impl StoreFactory for ObjectFactory {
    fn schemes(&self) -> &[&str] {
        &[
            #[cfg(feature = "s3")]
            "s3",
            #[cfg(feature = "gs")]
            "gs",
            #[cfg(feature = "azblob")]
            "azblob",
        ]
    }

    async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(ObjectStore::open(uri, options, mode).await?))
    }
}
