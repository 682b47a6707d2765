//! `nfs:///mnt/point/folder`: a folder that the kernel has mounted from an NFS
//! server.
//!
//! The file calls are those of the local backend. What they are worth there is
//! this module's: it looks at the mount, refuses one on which a flush may lie,
//! and states what holds. A mount can't fence: another host's names are cached.
//! So there is one primary, and no standby.
//!
//! | module | is about |
//! | --- | --- |
//! | `mountinfo` | which mount a folder lies on, and its options |
//! | `terms` | what that mount promises, or why it is refused |

mod mountinfo;
mod terms;

use flushproof_api::{Error, ErrorKind, JournalStore, Mode, Options, Result, StoreUri};
use flushproof_backend_local::LocalStore;
use mountinfo::Mount;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a folder on an NFS mount of the kernel; created where it is missing,
/// unless `mode` is [`Mode::ReadOnly`]. What is not on a mount is not touched.
///
/// # Errors
/// `InvalidInput` for a path that is not absolute or an option that is not known;
/// `Unsupported` for what is no NFS mount, or one that can't be used; and those
/// of [`LocalStore::open`].
/// # Cancel safety
/// Safe, as [`LocalStore::open`].
pub(crate) async fn open(
    uri: &StoreUri,
    options: &Options,
    mode: Mode,
) -> Result<Arc<dyn JournalStore>> {
    let path = folder(uri)?;
    check_options(options)?;
    let mount = look(uri, &path).await?;
    let terms = terms::of(&uri.to_string(), &mount, mode)?;
    let store = LocalStore::open_on_terms(&path, options, mode, terms).await?;
    // The store works below the folder that it has opened. If the mount went
    // away before that, the folder is one of a disk.
    if look(uri, &path).await?.id != mount.id {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{uri}: the mount was changed while the journal was opened; open it again when \
                 it stays"
            ),
        ));
    }
    Ok(Arc::new(store))
}

/// The folder that a URI names.
fn folder(uri: &StoreUri) -> Result<PathBuf> {
    let wrong = |what: &str| {
        let text = format!(
            "{uri}: {what}; write nfs:///path/of/the/mount/folder for a mount of the kernel, or \
             nfs://server[:port]/export/folder for a server"
        );
        Err(Error::new(ErrorKind::InvalidInput, text))
    };
    let path = uri.path();
    if !path.starts_with('/') {
        return wrong("the path does not begin with /");
    }
    if path.split('/').any(|c| c == "." || c == "..") {
        return wrong("the path has a . or .. in it");
    }
    Ok(PathBuf::from(path))
}

fn check_options(options: &Options) -> Result<()> {
    options.check_known(&["method"]).map_err(|e| {
        let text = format!("{e}. A mount of the kernel has its own in /etc/fstab: see mount(8)");
        Error::new(e.kind(), text).with_source(e)
    })
}

/// The mount that the folder lies on, or will lie on. On a thread of its own: the
/// kernel may wait for the server.
async fn look(uri: &StoreUri, path: &Path) -> Result<Mount> {
    let (name, path) = (uri.to_string(), path.to_owned());
    let looked = tokio::task::spawn_blocking(move || mountinfo::find(&name, &path));
    match looked.await {
        Ok(found) => found,
        Err(e) => Err(Error::new(
            ErrorKind::Io,
            format!("{uri}: the look at the mount did not end: {e}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_11_which_folder_a_uri_names() {
        let of = |text: &str| folder(&StoreUri::parse(text).unwrap());
        assert_eq!(of("nfs:///mnt/a%20b").unwrap(), Path::new("/mnt/a b"));
        for text in ["nfs:mnt/j", "nfs:", "nfs:///mnt/../j", "nfs:///mnt/./j"] {
            let e = of(text).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(e.to_string().contains("nfs:///path"), "{e}");
            assert!(e.to_string().contains("nfs://server"), "{e}");
        }
    }
}
