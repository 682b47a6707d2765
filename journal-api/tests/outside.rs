//! What the author of a backend in another crate can do: build every value that a
//! store returns, hold every trait as an object, and rely on `Debug` and `Send`.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::SystemTime;

fn is_value<T: Clone + Debug + Send + Sync + 'static>() {}
fn is_handle<T: ?Sized + Send + 'static>() {}
fn is_shared<T: ?Sized + Send + Sync + 'static>() {}
fn is_debug<T: ?Sized + Debug>() {}

#[test]
fn values_and_trait_objects_go_between_threads() {
    is_value::<Error>();
    is_value::<FlushContract>();
    is_value::<Listed>();
    is_value::<ObjectOptions>();
    is_value::<LogOptions>();
    is_value::<Options>();
    is_value::<StorePath>();
    is_value::<StoreUri>();
    is_value::<Flushed>();
    is_value::<Registry>();
    is_shared::<dyn JournalStore>();
    is_shared::<dyn Reader>();
    is_shared::<dyn StoreFactory>();
    is_handle::<dyn LogWriter>();
    is_handle::<dyn ObjectWriter>();
    is_handle::<Flush>();
    is_debug::<dyn JournalStore>();
    is_debug::<dyn LogWriter>();
    is_debug::<dyn ObjectWriter>();
    is_debug::<dyn Reader>();
    fn is_error<T: std::error::Error + Display>() {}
    is_error::<Error>();
}

#[test]
fn what_a_store_returns_can_be_built_outside() {
    let path = StorePath::new("log/1-0").unwrap();
    let log = Listed::new(path.clone(), ListedKind::Log, 7);
    assert_eq!((log.sealed, log.modified, log.len), (false, None, 7));
    let at = Some(SystemTime::UNIX_EPOCH);
    let log = log.with_sealed(true).with_modified(at);
    assert_eq!((log.sealed, log.modified), (true, at));
    assert!(Listed::new(path, ListedKind::Fence, 7).sealed);
    let space = Space::new(2, 1);
    assert_eq!((space.total, space.available), (2, 1));
    let flushed = Flushed::new(64, Survives::STORE_POWER);
    let flush = Flush::later(Box::pin(async move { Ok(flushed) }));
    assert!(flush.try_ready().is_err());
    let options = ObjectOptions::default().with_mode(0o600).with_size_hint(9);
    assert_eq!((options.mode, options.size_hint), (Some(0o600), Some(9)));
    assert_eq!(LogOptions::default().with_size_hint(5).size_hint, 5);
}

/// A factory of another crate around the one in this crate.
struct Outside(MemoryFactory);

#[async_trait::async_trait]
impl StoreFactory for Outside {
    fn schemes(&self) -> &[&str] {
        &["outside"]
    }

    async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        self.0.open(uri, options, mode).await
    }
}

#[tokio::test]
async fn a_store_of_another_crate_is_registered_in_a_line() {
    let registry = Registry::new().with(Outside(MemoryFactory::new()));
    let uri = StoreUri::parse("outside:x").unwrap();
    let none = Options::new();
    let open = registry.open(&uri, &none, Mode::ReadWrite);
    let store: Arc<dyn JournalStore> = open.await.unwrap();
    let path = StorePath::new("log/1-0").unwrap();
    let created = store.create_log(&path, LogOptions::default()).await;
    let mut log: Box<dyn LogWriter> = created.unwrap();
    let flushed = log.flush(Bytes::from_static(b"1234")).await.unwrap();
    assert_eq!((flushed.len, flushed.survives), (4, Survives::NOTHING));
    // Writers are `Debug`, so that this compiles.
    let taken = store.create_log(&path, LogOptions::default()).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::AlreadyExists);
}
