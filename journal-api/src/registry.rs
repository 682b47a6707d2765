//! [`Registry`]: which backend serves which scheme.

use crate::{
    Error, ErrorKind, JournalStore, MemoryFactory, Mode, Options, Result, StoreFactory, StoreUri,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Maps URI schemes to factories. A third party adds its own in one line:
/// `registry.register(MyFactory)`.
#[derive(Clone)]
pub struct Registry(BTreeMap<String, Arc<dyn StoreFactory>>);

impl Registry {
    /// A registry that knows `memory:` only.
    pub fn new() -> Registry {
        let mut registry = Registry(BTreeMap::new());
        registry.register(MemoryFactory::new());
        registry
    }

    /// Adds a factory for all its schemes; a scheme that is there is replaced.
    pub fn register(&mut self, factory: impl StoreFactory + 'static) -> &mut Registry {
        let factory: Arc<dyn StoreFactory> = Arc::new(factory);
        for scheme in factory.schemes() {
            self.0.insert((*scheme).to_owned(), factory.clone());
        }
        self
    }

    /// The same registry with one factory more.
    #[must_use]
    pub fn with(mut self, factory: impl StoreFactory + 'static) -> Registry {
        self.register(factory);
        self
    }

    /// The known schemes, sorted.
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Opens the store at `uri` with the factory of its scheme.
    ///
    /// # Errors
    /// `InvalidInput` that lists the known schemes; what the factory says.
    /// # Cancel safety
    /// As [`StoreFactory::open`].
    pub async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        let Some(factory) = self.0.get(uri.scheme()) else {
            let known: Vec<_> = self.schemes().collect();
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "no backend for {:?} in {uri}; this program knows: {}",
                    uri.scheme(),
                    known.join(", ")
                ),
            ));
        };
        let store = factory.open(uri, options, mode).await?;
        store.contract().validate()?;
        Ok(store)
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
