//! The journal beside its floors, measured in turns.
//!
//! A machine is noisy, so every figure is a ratio: short blocks of our work and
//! of the floor alternate, and their medians are compared.
//!
//! | module | is about |
//! | --- | --- |
//! | [`append`] | appends on a disk beside the bare write loop; on a store that costs nothing |
//! | [`backups`] | backup and restore beside pigz; their memory; appends meanwhile |
//! | [`replay`] | replay from the page cache beside a bare read; its memory |
//! | [`crew`] | appenders that work a block when told to |
//! | [`null`] | the store that costs nothing |
//! | [`stores`] | appends over a network, beside the bare call of each storage |
//! | [`beds`] | those storages on real servers of this machine |
//! | [`row`], [`stats`] | what was measured, and how sure it is |
#![warn(missing_docs)]

pub mod append;
pub mod backups;
pub mod beds;
pub mod crew;
pub mod null;
pub mod replay;
pub mod row;
pub mod stats;
pub mod stores;

use flushproof::{Config, Journal};
use flushproof_backend_local::Method;
use std::path::Path;
use tokio::runtime::Runtime;

/// Any failure of a bench.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a bench gives.
pub type Result<T> = std::result::Result<T, Failure>;

/// The runtime of every bench: a worker for each core.
///
/// # Errors
/// The system gives no more threads.
pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// A journal in the folder `place`, which is removed first. `method` forces one
/// of the backend's ways to write.
///
/// # Errors
/// The place's.
pub async fn on_disk(place: &Path, method: Option<Method>) -> Result<Journal> {
    remove(place)?;
    let mut config = local(place)?;
    if let Some(method) = method {
        config.options = config.options.with("method", method.to_string());
    }
    open(&config).await
}

/// The default configuration of a journal in the folder `place`.
///
/// # Errors
/// The path is no URI.
pub fn local(place: &Path) -> Result<Config> {
    let uri = flushproof::StoreUri::parse(&place.to_string_lossy())?;
    let mut config = Config::new(uri);
    config
        .registry
        .register(flushproof_backend_local::LocalFactory);
    Ok(config)
}

/// A new journal that serves.
///
/// # Errors
/// The store's.
pub async fn open(config: &Config) -> Result<Journal> {
    config.format(true).await?;
    let mut recovery = config.primary().await?;
    while recovery.next().await?.is_some() {}
    Ok(recovery.start().await?)
}

/// Removes a folder, if there is one. For a moment after its journal was closed
/// the store may still put a spare segment there.
///
/// # Errors
/// The file system's.
pub fn remove(place: &Path) -> std::io::Result<()> {
    for _ in 0..100 {
        match std::fs::remove_dir_all(place) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            done => return done,
        }
    }
    std::fs::remove_dir_all(place)
}
