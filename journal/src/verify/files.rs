//! The files beside the journal: its archive and its backups.

use super::report::unless_corrupt;
use super::{Finding, FindingKind, Verdict, Verification};
use crate::archive::{Archive, Kept};
use crate::backup::directory::{BackupName, Directory, list, of_backups};
use crate::backup::file;
use crate::commit::serving::Context;
use crate::format::backup::{BackupHeader, BackupKind, Threads};
use flushproof_api::{ErrorKind, Mode, Result, SeqNo};

/// Looks at the archive and the backups of a journal whose oldest entry is `oldest`;
/// `fast`: at names and headers only.
pub(super) async fn look(
    context: &Context,
    fast: bool,
    oldest: SeqNo,
    report: &mut Verification,
) -> Result<()> {
    if let Err(e) = archive(context, fast, oldest, report).await {
        report.add(unreadable("archive.directory", &e));
    }
    if let Err(e) = backups(context, fast, report).await {
        report.add(unreadable("backup.directory", &e));
    }
    Ok(())
}

/// The journal is verified although these can't be reached.
fn unreadable(key: &str, error: &flushproof_api::Error) -> Finding {
    let text = format!("it could not be looked at: {error}");
    Finding::new(FindingKind::Backup, Verdict::Corrupt, key, text)
}

async fn archive(
    context: &Context,
    fast: bool,
    oldest: SeqNo,
    report: &mut Verification,
) -> Result<()> {
    let Some(archive) = Archive::open(&context.config, context.journal).await? else {
        return Ok(());
    };
    let kept = archive.list().await?;
    for file in &kept {
        report.archived += 1;
        let read = match fast {
            true => archive.read(file).await.map(|_| ()),
            false => archive.check(file).await.map(|_| ()),
        };
        if let Err(why) = unless_bad(read)? {
            let path = archive.directory.at(&file.path(context.journal)?);
            let finding = Finding::new(FindingKind::Backup, Verdict::Corrupt, path, why);
            report.add(finding.of(file.first, file.end));
        }
    }
    for (from, to) in holes(&kept, oldest) {
        let text = "these entries are neither in the archive nor in the journal";
        let place = archive.directory.uri.to_string();
        let finding = Finding::new(FindingKind::Gap, Verdict::Corrupt, place, text);
        report.add(finding.of(from, to));
    }
    archive.directory.io.close().await
}

/// What lies between archived segments, and between the last one and the journal.
fn holes(kept: &[Kept], oldest: SeqNo) -> Vec<(SeqNo, SeqNo)> {
    let mut holes = Vec::new();
    let Some(first) = kept.first() else {
        return holes;
    };
    let mut next = first.first;
    for file in kept {
        if file.first > next {
            holes.push((next, file.first));
        }
        next = next.max(file.end);
    }
    if next < oldest {
        holes.push((next, oldest));
    }
    holes
}

async fn backups(context: &Context, fast: bool, report: &mut Verification) -> Result<()> {
    let config = &context.config;
    let named = config.backup.directory.is_some();
    let uri = match of_backups(config, None) {
        // At the root of a store there is no default place.
        Err(_) if !named => return Ok(()),
        other => other?,
    };
    let options = config.backup.options.as_ref();
    let directory = match Directory::open(config, uri, options, Mode::ReadOnly).await {
        // None was taken yet.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for name in list(&directory, &config.backup.prefix).await? {
        let header = unless_bad(header(&directory, &name, fast).await)?;
        let why = match header {
            Ok(None) => continue, // removed meanwhile
            Ok(Some(header)) if header.journal != context.journal => continue,
            Ok(Some(header)) => {
                report.backups += 1;
                let right =
                    header.kind == BackupKind::Backup && header.created_ms == name.created_ms;
                if right {
                    continue;
                }
                "the file is not what its name says".to_owned()
            }
            Err(why) => why,
        };
        let path = directory.at(&name.path()?);
        report.add(Finding::new(
            FindingKind::Backup,
            Verdict::Corrupt,
            path,
            why,
        ));
    }
    directory.io.close().await
}

/// One file that can't be read is bad, too; those behind it are looked at all the same.
fn unless_bad<T>(result: Result<T>) -> Result<std::result::Result<T, String>> {
    match result {
        Err(e) if e.kind() == ErrorKind::Io => Ok(Err(format!("it can't be read: {e}"))),
        other => unless_corrupt(other),
    }
}

async fn header(
    directory: &Directory,
    name: &BackupName,
    fast: bool,
) -> Result<Option<BackupHeader>> {
    let path = name.path()?;
    let read = match fast {
        true => file::open(directory, &path, Threads::new(1))
            .await
            .map(|reader| reader.header().clone()),
        false => file::check(directory, &path, Threads::all(), |_| {})
            .await
            .map(|checked| checked.header),
    };
    match read {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
