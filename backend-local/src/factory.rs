//! [`LocalFactory`]: opens `file://` URIs and bare paths.

use crate::LocalStore;
use async_trait::async_trait;
use flushproof_api::{
    Error, ErrorKind, JournalStore, Mode, Options, Result, StoreFactory, StoreUri,
};
use std::path::Path;
use std::sync::Arc;

/// Serves the scheme `file`: `/var/lib/m/journal`, `file:///var/lib/m/journal`.
///
/// ```
/// use flushproof_api::*;
/// use flushproof_backend_local::LocalFactory;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let registry = Registry::new().with(LocalFactory);
/// let uri = StoreUri::parse("/dev/shm/no-such-journal")?;
/// let error = registry.open(&uri, &Options::new(), Mode::ReadOnly).await.err().unwrap();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalFactory;

#[async_trait]
impl StoreFactory for LocalFactory {
    fn schemes(&self) -> &[&str] {
        &["file"]
    }

    async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        let path = folder(uri)?;
        Ok(Arc::new(LocalStore::open(path, options, mode).await?))
    }
}

/// The folder that a URI names.
fn folder(uri: &StoreUri) -> Result<&Path> {
    let wrong = |text: String| Err(Error::new(ErrorKind::InvalidInput, text));
    if !matches!(uri.authority(), "" | "localhost") {
        return wrong(format!(
            "{uri}: a file URI names no host; did you mean file:///{}{}?",
            uri.authority(),
            uri.path()
        ));
    }
    if uri.path().is_empty() {
        return wrong(format!(
            "{uri}: no folder is named; say file:///path/to/journal"
        ));
    }
    Ok(Path::new(uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_11_which_folder_a_uri_names() {
        let of = |text: &str| folder(&StoreUri::parse(text).unwrap()).map(Path::to_owned);
        assert_eq!(of("/a/b").unwrap(), Path::new("/a/b"));
        assert_eq!(of("file:///a%20b").unwrap(), Path::new("/a b"));
        assert_eq!(of("file://localhost/a").unwrap(), Path::new("/a"));
        assert_eq!(of("a/b").unwrap(), Path::new("a/b"));
        let e = of("file://var/lib").unwrap_err();
        assert!(e.to_string().contains("file:///var/lib"), "{e}");
        assert!(of("file:").is_err());
    }
}
