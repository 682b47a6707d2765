//! Which old backups go: only files that are backups of this journal, never the
//! last good one.

use super::directory::{BackupName, Directory, list};
use super::file;
use crate::format::JournalId;
use crate::format::backup::{BackupKind, Threads};
use flushproof_api::{ErrorKind, Result};

/// Removes what is older than the newest `keep` backups of `journal`. `good`: one of
/// them that was just verified; without it the newest good one is looked for.
/// Says the names that were removed.
pub(super) async fn apply(
    directory: &Directory,
    prefix: &str,
    journal: JournalId,
    keep: usize,
    good: Option<&BackupName>,
) -> Result<Vec<String>> {
    let mut own = Vec::new();
    for name in list(directory, prefix).await? {
        if is_ours(directory, &name, journal).await? {
            own.push(name);
        }
    }
    let split = own.len().saturating_sub(keep);
    if split == 0 {
        return Ok(Vec::new());
    }
    let good = match good {
        Some(name) => Some(name.clone()),
        None => newest_good(directory, &own).await?,
    };
    let Some(good) = good else {
        tracing::warn!(directory = %directory.uri, "no backup is whole; none was removed");
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    for name in own[..split].iter().filter(|n| **n != good) {
        directory.io.delete(&name.path()?).await?;
        removed.push(name.to_string());
    }
    Ok(removed)
}

/// Whether it is a backup of this journal; what can't be read is nobody's.
async fn is_ours(directory: &Directory, name: &BackupName, journal: JournalId) -> Result<bool> {
    match file::open(directory, &name.path()?, Threads::new(1)).await {
        Ok(reader) => {
            let header = reader.header();
            Ok(header.kind == BackupKind::Backup && header.journal == journal)
        }
        Err(e) => match e.kind() {
            ErrorKind::Corrupt | ErrorKind::NewerFormat | ErrorKind::NotFound => Ok(false),
            _ => Err(e),
        },
    }
}

async fn newest_good(directory: &Directory, own: &[BackupName]) -> Result<Option<BackupName>> {
    for name in own.iter().rev() {
        match file::check(directory, &name.path()?, Threads::all(), |_| {}).await {
            Ok(_) => return Ok(Some(name.clone())),
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                tracing::error!(error = %e, "a backup is damaged");
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}
