//! Folders below the root, and files in them.
//!
//! Handles of folders are not kept: one LOOKUP costs less than knowing when a
//! kept handle leads to a folder that is no longer there.

use crate::fault::{fault, refusal, refused};
use crate::op::{Fail, Op};
use crate::procedures::Found;
use crate::store::Shared;
use flushproof_api::{ErrorKind, Result, StorePath};
use nfs3_types::nfs3::{createhow3, fattr3, ftype3, nfs_fh3, nfsstat3, sattr3, set_mode3};

/// Which file of the server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    fsid: u64,
    fileid: u64,
}

impl From<&fattr3> for FileId {
    fn from(attributes: &fattr3) -> FileId {
        FileId {
            fsid: attributes.fsid,
            fileid: attributes.fileid,
        }
    }
}

/// A file, by name.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub handle: nfs_fh3,
    pub attributes: fattr3,
}

impl File {
    pub fn id(&self) -> FileId {
        FileId::from(&self.attributes)
    }

    pub fn is_regular(&self) -> bool {
        self.attributes.type_ == ftype3::NF3REG
    }
}

impl Shared {
    /// The folder, if it is there.
    pub async fn find_folder(&self, op: &Op, path: &StorePath) -> Result<Option<nfs_fh3>> {
        let mut folder = self.root.clone();
        for component in components(path) {
            let found = self.nfs.find(op, &folder, component).await;
            let found = match found {
                Ok(found) => found,
                Err(e) if e.is_absent() => None,
                Err(e) => return Err(refused("can't look for the folder", &self.at(path), &e)),
            };
            let Some(found) = found else { return Ok(None) };
            folder = self.as_folder(op, path, found).await?;
        }
        Ok(Some(folder))
    }

    /// The folder, made where it is missing. Its name becomes durable with that
    /// of the file in it (the server's file systems keep this order).
    pub async fn make_folder(&self, op: &Op, path: &StorePath) -> Result<nfs_fh3> {
        let mut folder = self.root.clone();
        for component in components(path) {
            folder = self.make(op, path, &folder, component).await?;
        }
        Ok(folder)
    }

    async fn make(
        &self,
        op: &Op,
        path: &StorePath,
        parent: &nfs_fh3,
        name: &str,
    ) -> Result<nfs_fh3> {
        make_folder(&self.nfs, op, &self.at(path), parent, name).await
    }

    async fn as_folder(&self, op: &Op, path: &StorePath, found: Found) -> Result<nfs_fh3> {
        as_folder(&self.nfs, op, &self.at(path), found).await
    }

    /// A file in a folder, if it is there; something else than a file is not.
    pub async fn find_file(
        &self,
        op: &Op,
        dir: &nfs_fh3,
        name: &str,
    ) -> Result<Option<File>, Fail> {
        let found = match self.nfs.find(op, dir, name).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(e) if e.is_absent() => return Ok(None),
            Err(e) => return Err(e),
        };
        let attributes = match self.nfs.attributes(op, &found).await {
            Ok(attributes) => attributes,
            Err(e) if e.is_absent() => return Ok(None), // just deleted
            Err(e) => return Err(e),
        };
        let file = File {
            handle: found.handle,
            attributes,
        };
        Ok(Some(file).filter(File::is_regular))
    }

    /// Makes a file under a name that nobody else has: idempotent by its name.
    pub async fn make_temporary(
        &self,
        op: &Op,
        dir: &nfs_fh3,
        name: &str,
        mode: u32,
    ) -> Result<File, Fail> {
        let how = createhow3::UNCHECKED(sattr3 {
            mode: set_mode3::Some(mode),
            ..sattr3::default()
        });
        let made = self.nfs.create(op, dir, name, how).await?;
        let attributes = self.nfs.attributes(op, &made).await?;
        Ok(File {
            handle: made.handle,
            attributes,
        })
    }

    /// Removes a name; one that is not there is removed already.
    pub async fn remove(&self, op: &Op, dir: &nfs_fh3, name: &str) -> Result<(), Fail> {
        match self.nfs.remove(op, dir, name).await {
            Err(e) if !e.is_absent() => Err(e),
            _ => Ok(()),
        }
    }

    /// Makes the names that were removed from a folder stay away. NFS has no call
    /// for that. But a file system that keeps the order of its changes (ext4,
    /// XFS, ZFS) has made durable what was removed before a file that was created
    /// afterwards and committed.
    pub async fn settle(&self, op: &Op, dir: &nfs_fh3, at: &str) -> Result<()> {
        let name = crate::names::temporary()?;
        let settled = async {
            let file = self.make_temporary(op, dir, &name, 0o600).await?;
            self.nfs.commit(op, &file.handle).await?;
            self.remove(op, dir, &name).await
        };
        let settled: Result<(), Fail> = settled.await;
        match settled {
            // On a full disk what was removed is removed all the same.
            Err(e) if e.is(nfsstat3::NFS3ERR_NOSPC) || e.is(nfsstat3::NFS3ERR_DQUOT) => Ok(()),
            other => other.map_err(|e| fault("can't make the deletion durable", at, &e)),
        }
    }
}

/// The names of the folders on the way.
fn components(path: &StorePath) -> impl Iterator<Item = &str> {
    path.as_str().split('/').filter(|c| !c.is_empty())
}

/// The folder `name` in `parent`, made where it is missing.
pub(crate) async fn make_folder(
    nfs: &crate::procedures::Nfs,
    op: &Op,
    at: &str,
    parent: &nfs_fh3,
    name: &str,
) -> Result<nfs_fh3> {
    let failed = |e: Fail| refused("can't make the folder", at, &e);
    let found = match nfs.find(op, parent, name).await.map_err(failed)? {
        Some(found) => found,
        None => match nfs.mkdir(op, parent, name).await {
            // Of two that make it one is late; so is a repetition of our own.
            Err(e) if e.is(nfsstat3::NFS3ERR_EXIST) => {
                nfs.lookup(op, parent, name).await.map_err(failed)?
            }
            other => other.map_err(failed)?,
        },
    };
    as_folder(nfs, op, at, found).await
}

/// The handle of what must be a folder.
pub(crate) async fn as_folder(
    nfs: &crate::procedures::Nfs,
    op: &Op,
    at: &str,
    found: Found,
) -> Result<nfs_fh3> {
    let attributes = nfs.attributes(op, &found).await;
    let attributes = attributes.map_err(|e| refused("can't look at the folder", at, &e))?;
    match attributes.type_ {
        ftype3::NF3DIR => Ok(found.handle),
        _ => {
            let text = "something that is not a folder stands where a folder should";
            Err(refusal(ErrorKind::InvalidInput, at, text))
        }
    }
}
