//! A folder of its own for the measurements, on the same storage as the journal.

use crate::config::local_path;
use crate::failure::Result;
use flushproof::{Config, Error, ErrorKind, Mode, Outcome, StoreUri};
use flushproof_api::{ListedKind, StorePath};
use futures_util::StreamExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below the journal's place, by a name that the journal never looks at.
#[derive(Debug)]
pub struct Scratch {
    uri: StoreUri,
    folder: Option<Folder>,
}

/// A folder that goes with its owner.
#[derive(Debug)]
struct Folder(PathBuf);

impl Scratch {
    /// Makes the folder: in the journal's, or where the journal's would be made.
    pub fn create(config: &Config) -> Result<Scratch> {
        let name = format!(".journal-doctor-{}", std::process::id());
        match local_path(&config.folder) {
            Some(path) => {
                let folder = Folder::create(&existing(path)?.join(name))?;
                Ok(Scratch {
                    uri: file_uri(&folder.0)?,
                    folder: Some(folder),
                })
            }
            None => Ok(Scratch {
                uri: StoreUri::parse(&format!("{}/{}", config.folder, &name[1..]))?,
                folder: None,
            }),
        }
    }

    /// The folder, as a store.
    pub fn uri(&self) -> &StoreUri {
        &self.uri
    }

    /// A journal in it.
    pub fn journal_uri(&self) -> Result<StoreUri> {
        match &self.folder {
            Some(folder) => file_uri(&folder.0.join("journal")),
            None => Ok(StoreUri::parse(&format!("{}/journal", self.uri))?),
        }
    }

    /// Its path, on a local disk.
    pub fn local(&self) -> Option<&Path> {
        self.folder.as_ref().map(|f| f.0.as_path())
    }

    /// Removes it.
    pub async fn remove(self, config: &Config) -> Result<()> {
        let Some(folder) = self.folder else {
            empty(config, &self.uri).await?;
            return empty(config, &self.journal_uri()?).await;
        };
        let removed = tokio::task::spawn_blocking(move || folder.remove()).await;
        let failed = |e| Error::new(ErrorKind::Io, format!("removing the scratch folder: {e}"));
        Ok(removed.map_err(failed)??)
    }
}

/// Deletes what a store holds; its empty folder may stay, and fences do. No
/// log of a doctor's journal was ever fenced.
async fn empty(config: &Config, uri: &StoreUri) -> Result<()> {
    let open = config.registry.open(uri, &config.options, Mode::ReadWrite);
    let store = open.await?;
    let mut paths = Vec::new();
    let mut listed = store.list(&StorePath::root());
    while let Some(row) = listed.next().await {
        let row = row?;
        if row.kind != ListedKind::Fence {
            paths.push(row.path);
        }
    }
    drop(listed);
    for path in paths {
        store.delete(&path).await?;
    }
    store.sweep(Duration::ZERO).await?;
    Ok(store.close().await?)
}

impl Folder {
    fn create(path: &Path) -> Result<Folder> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(|e| {
                let what = format!(
                    "can't make the scratch folder {} (name a place where a journal may be made)",
                    path.display()
                );
                Error::io(what, e).with_outcome(Outcome::NotWritten)
            })?;
        Ok(Folder(path.to_owned()))
    }

    fn remove(&self) -> Result<(), Error> {
        match std::fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(
                format!("can't remove the scratch folder {}", self.0.display()),
                e,
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After `remove` there is nothing left to do; after an error this is the last chance.
        let _ = self.remove();
    }
}

/// The journal's folder, or the nearest one above it that is there.
fn existing(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path)
        .map_err(|e| Error::io(format!("can't find {}", path.display()), e))?;
    for folder in absolute.ancestors() {
        match std::fs::metadata(folder) {
            Ok(meta) if meta.is_dir() => return Ok(folder.to_owned()),
            Ok(_) => {
                let text = format!("{} is not a folder; name one", folder.display());
                return Err(Error::new(ErrorKind::InvalidInput, text).into());
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(Error::io(format!("can't look at {}", folder.display()), e).into());
            }
        }
    }
    Err(Error::new(
        ErrorKind::NotFound,
        format!("{} is nowhere", path.display()),
    )
    .into())
}

fn file_uri(path: &Path) -> Result<StoreUri> {
    let text = path.to_str().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("{} is not UTF-8", path.display()),
        )
    })?;
    Ok(StoreUri::parse(text)?)
}
