//! Folders below the root, found or created, their names durable.

use crate::disk::{Disk, Folder};
use crate::fault::{fault, refused};
use flushproof_api::{ErrorKind, Result, StorePath};
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Which folders this store has made durable. That a folder is there proves
/// nothing: another process may have created it a moment ago, and a power loss
/// would take it with all that we put in it.
#[derive(Debug, Default)]
pub(crate) struct Folders(Mutex<HashSet<StorePath>>);

impl Folders {
    /// The folder at `path`, created where it is missing, its name durable.
    pub fn durable(&self, root: &Arc<dyn Folder>, path: &StorePath) -> Result<Arc<dyn Folder>> {
        let mut at = root.clone();
        let mut walked = String::new();
        for name in path.as_str().split('/').filter(|c| !c.is_empty()) {
            if !walked.is_empty() {
                walked.push('/');
            }
            walked.push_str(name);
            let known = StorePath::new(walked.as_str())?;
            at = self.enter(&at, name, known)?;
        }
        Ok(at)
    }

    fn enter(
        &self,
        parent: &Arc<dyn Folder>,
        name: &str,
        path: StorePath,
    ) -> Result<Arc<dyn Folder>> {
        let at = parent.path().join(name);
        let is_known = |set: &Mutex<HashSet<StorePath>>| {
            let set = set.lock().unwrap_or_else(PoisonError::into_inner);
            set.contains(&path)
        };
        let found = parent.folder(name);
        let folder = match found {
            Ok(folder) if is_known(&self.0) => return Ok(folder),
            Ok(folder) => folder,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create(parent.as_ref(), name, &at)?;
                let open = parent.folder(name);
                open.map_err(|e| refused("can't open the folder", &at, e))?
            }
            Err(e) => return Err(refused("can't open the folder", &at, e)),
        };
        let synced = parent.sync();
        synced.map_err(|e| fault("can't make the folder's name durable", &at, e))?;
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.insert(path);
        Ok(folder)
    }
}

fn create(parent: &dyn Folder, name: &str, at: &Path) -> Result<()> {
    match parent.create_folder(name) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(refused("can't create the folder", at, e))
        }
        _ => Ok(()),
    }
}

/// The folder at `path`, or `None` when it is not there.
pub(crate) fn find(root: &Arc<dyn Folder>, path: &StorePath) -> Result<Option<Arc<dyn Folder>>> {
    let mut at = root.clone();
    for name in path.as_str().split('/').filter(|c| !c.is_empty()) {
        at = match at.folder(name) {
            Ok(folder) => folder,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(refused("can't open the folder", &at.path().join(name), e)),
        };
    }
    Ok(Some(at))
}

/// Whether an error says that there is no such folder (or that a file has its name).
fn is_absent(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The root of a store; with `create` made where it is missing, and durable.
pub(crate) fn root(disk: &dyn Disk, path: &Path, create: bool) -> Result<Arc<dyn Folder>> {
    match disk.folder(path) {
        Ok(folder) => {
            if create {
                sync_parent(disk, path)?;
            }
            Ok(folder)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
            let (Some(parent), Some(name)) =
                (path.parent(), path.file_name().and_then(|n| n.to_str()))
            else {
                return Err(refused("can't create the folder", path, e));
            };
            let parent = root(disk, parent, true)?;
            self::create(parent.as_ref(), name, path)?;
            let synced = parent.sync();
            synced.map_err(|e| fault("can't make the folder's name durable", path, e))?;
            disk.folder(path)
                .map_err(|e| refused("can't open the folder", path, e))
        }
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(crate::fault::refusal(
            ErrorKind::InvalidInput,
            path,
            "not a folder; a journal's place is a folder",
        )),
        Err(e) => Err(refused("can't open the journal's folder", path, e)),
    }
}

/// Whoever created the root may not have synced it. A parent that this process
/// may not open, or that is of a kind that is never synced, was not created by us.
fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    match disk.folder(parent) {
        Ok(parent) => match parent.sync() {
            Err(e) if e.kind() != io::ErrorKind::InvalidInput => {
                Err(fault("can't make the folder's name durable", path, e))
            }
            _ => Ok(()),
        },
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(refused("can't open the folder", parent, e)),
    }
}
