//! `nfs:///mnt/point/folder`: a folder that the kernel has mounted from an NFS
//! server. Not written yet.

use flushproof_api::{Error, ErrorKind, JournalStore, Mode, Options, Result, StoreUri};
use std::sync::Arc;

/// Opens a folder on an NFS mount of the kernel.
///
/// # Errors
/// `Unsupported`: it is not written yet.
pub(crate) async fn open(
    uri: &StoreUri,
    _options: &Options,
    _mode: Mode,
) -> Result<Arc<dyn JournalStore>> {
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "{uri}: journals on an NFS mount of the kernel are not supported yet; name the server: \
             nfs://server[:port]/export/folder"
        ),
    ))
}
