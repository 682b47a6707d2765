//! Listing: one folder at a time.
//!
//! A folder that does not fit in one reply is read in several, and may change in
//! between; then cookies may lead past a name. So it is read again until it was
//! the same from the first reply to the last, or all that was ever seen is taken
//! and looked up (FC-6).

use crate::fault::{fault, refusal};
use crate::names;
use crate::op::{Fail, Op};
use crate::procedures::{Entry, Page};
use crate::store::Shared;
use flushproof_api::{BoxStream, Error, ErrorKind, Listed, ListedKind, Result, StorePath};
use futures_util::{StreamExt, stream};
use nfs3_types::nfs3::{cookieverf3, fattr3, ftype3, nfs_fh3, nfsstat3};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// How many names a folder may have.
const MAX_NAMES: usize = 1_000_000;
/// How often a folder that changes is read.
const READINGS: usize = 4;

/// Lists everything below `prefix`, sorted by path.
pub(crate) fn list<'a>(shared: Arc<Shared>, prefix: StorePath) -> BoxStream<'a, Result<Listed>> {
    let walk = Walk {
        shared,
        todo: vec![Step::Folder(prefix)],
    };
    let chunks = stream::unfold(Some(walk), |walk| async move {
        let mut walk = walk?;
        let shared = walk.shared.clone();
        let step = shared.run(async move {
            let rows = walk.next_rows().await?;
            Ok((rows, walk))
        });
        match step.await {
            Ok((rows, _)) if rows.is_empty() => None,
            Ok((rows, walk)) => Some((rows.into_iter().map(Ok).collect(), Some(walk))),
            Err(e) => Some((vec![Err(e)], None)),
        }
    });
    Box::pin(chunks.flat_map(stream::iter::<Vec<Result<Listed>>>))
}

/// What is left to do, the next on top.
struct Walk {
    shared: Arc<Shared>,
    todo: Vec<Step>,
}

enum Step {
    Row(Listed),
    Folder(StorePath),
}

impl Walk {
    /// The rows up to the next folder; none at the end.
    async fn next_rows(&mut self) -> Result<Vec<Listed>> {
        let mut rows = Vec::new();
        while let Some(step) = self.todo.pop() {
            match step {
                Step::Row(row) => rows.push(row),
                Step::Folder(path) if rows.is_empty() => self.enter(&path).await?,
                folder => {
                    self.todo.push(folder);
                    break;
                }
            }
        }
        Ok(rows)
    }

    async fn enter(&mut self, path: &StorePath) -> Result<()> {
        let op = self.shared.op();
        let Some(folder) = self.shared.find_folder(&op, path).await? else {
            return Ok(());
        };
        let files = read_folder(&self.shared, &folder, &self.shared.at(path)).await?;
        let mut steps: Vec<_> = files
            .into_iter()
            .filter_map(|(name, attributes)| step(path, &name, &attributes))
            .collect();
        steps.sort_by(|(a, _), (b, _)| b.cmp(a));
        self.todo.extend(steps.into_iter().map(|(_, step)| step));
        Ok(())
    }
}

/// Sorts a folder's rows as their full paths sort: a folder `a` stands for
/// `a/…`, and `a-b` < `a/b` < `ab`.
type Key = (String, u8);

/// What a name in a folder stands for; nothing for a stray one.
fn step(folder: &StorePath, name: &str, attributes: &fattr3) -> Option<(Key, Step)> {
    let (component, kind) = names::parse(name)?;
    let full = match folder.as_str() {
        "" => component.to_owned(),
        parent => format!("{parent}/{component}"),
    };
    let path = StorePath::new(full).ok()?;
    match (attributes.type_, kind) {
        (ftype3::NF3DIR, ListedKind::Object) => {
            Some(((format!("{component}/"), 0), Step::Folder(path)))
        }
        (ftype3::NF3REG, _) => {
            let sealed = kind != ListedKind::Log || attributes.mode & 0o222 == 0;
            let row = Listed::new(path, kind, attributes.size)
                .with_modified(modified(attributes))
                .with_sealed(sealed);
            Some(((component.to_owned(), kind as u8), Step::Row(row)))
        }
        _ => None,
    }
}

/// The server's time may be anything.
fn modified(attributes: &fattr3) -> Option<SystemTime> {
    let since = std::time::Duration::from_secs(attributes.mtime.seconds.into());
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The names in a folder, with their attributes, each name once.
pub(crate) async fn read_folder(
    shared: &Shared,
    folder: &nfs_fh3,
    at: &str,
) -> Result<BTreeMap<String, fattr3>> {
    let failed = |e: Fail| fault("can't list the folder", at, &e);
    let mut seen: BTreeMap<String, Option<fattr3>> = BTreeMap::new();
    for reading in 1..=READINGS {
        let pass = match read_once(shared, folder, at).await {
            Ok(pass) => pass,
            // The folder changed under its cookies.
            Err(Failed::Nfs(e)) if e.is(nfsstat3::NFS3ERR_BAD_COOKIE) && reading < READINGS => {
                continue;
            }
            Err(Failed::Nfs(e)) if e.is_absent() => return Ok(BTreeMap::new()), // just removed
            Err(Failed::Nfs(e)) => return Err(failed(e)),
            Err(Failed::Told(e)) => return Err(e),
        };
        if pass.steady {
            seen = pass.names;
            break;
        }
        // What only an earlier reading saw may be gone: looked up below.
        seen.values_mut().for_each(|attributes| *attributes = None);
        seen.extend(pass.names);
    }
    let mut files = BTreeMap::new();
    for (name, attributes) in seen {
        let attributes = match attributes {
            Some(attributes) => Some(attributes),
            None => look_up(shared, folder, &name).await.map_err(failed)?,
        };
        if let Some(attributes) = attributes {
            files.insert(name, attributes);
        }
    }
    Ok(files)
}

async fn look_up(shared: &Shared, folder: &nfs_fh3, name: &str) -> Result<Option<fattr3>, Fail> {
    let op = shared.op();
    let found = match shared.nfs.find(&op, folder, name).await? {
        Some(found) => found,
        None => return Ok(None),
    };
    match shared.nfs.attributes(&op, &found).await {
        Ok(attributes) => Ok(Some(attributes)),
        Err(e) if e.is_absent() => Ok(None),
        Err(e) => Err(e),
    }
}

/// One reading of a folder.
struct Pass {
    /// Names that may be ours; attributes where the server gave them.
    names: BTreeMap<String, Option<fattr3>>,
    /// It was the same from the first reply to the last.
    steady: bool,
}

enum Failed {
    Nfs(Fail),
    Told(Error),
}

impl From<Fail> for Failed {
    fn from(e: Fail) -> Failed {
        Failed::Nfs(e)
    }
}

async fn read_once(shared: &Shared, folder: &nfs_fh3, at: &str) -> Result<Pass, Failed> {
    let hostile = |text: &str| Failed::Told(refusal(ErrorKind::Io, at, text));
    let mut names = BTreeMap::new();
    let (mut cookie, mut verifier) = (0, cookieverf3::default());
    let mut first: Option<fattr3> = None;
    let (mut pages, mut count) = (0, 0);
    loop {
        let op = shared.op(); // each piece has a deadline of its own
        let page = read_page(shared, &op, folder, cookie, verifier).await?;
        pages += 1;
        count += page.entries.len();
        if count > MAX_NAMES {
            return Err(hostile("the folder has over a million names"));
        }
        let last = page.entries.last().map(|e| e.cookie);
        for entry in page.entries {
            if let Some((name, attributes)) = keep(entry) {
                names.insert(name, attributes);
            }
        }
        let same = match (&first, &page.attributes) {
            (Some(a), Some(b)) => a.mtime == b.mtime && a.ctime == b.ctime,
            _ => false,
        };
        if page.eof {
            let steady = pages == 1 || same;
            return Ok(Pass { names, steady });
        }
        match last {
            Some(last) if last != cookie => cookie = last,
            _ => return Err(hostile("the server's list of the folder does not go on")),
        }
        verifier = page.verifier;
        first = first.or(page.attributes);
    }
}

/// READDIRPLUS, or READDIR where the server has no such thing.
async fn read_page(
    shared: &Shared,
    op: &Op,
    folder: &nfs_fh3,
    cookie: u64,
    verifier: cookieverf3,
) -> Result<Page, Fail> {
    let size = shared.limits.page;
    match shared
        .nfs
        .readdirplus(op, folder, cookie, verifier, size)
        .await
    {
        Err(e) if e.is(nfsstat3::NFS3ERR_NOTSUPP) => {
            shared.nfs.readdir(op, folder, cookie, verifier, size).await
        }
        other => other,
    }
}

/// A name that can be one of ours; hostile ones are none.
fn keep(entry: Entry) -> Option<(String, Option<fattr3>)> {
    let name = String::from_utf8(entry.name.to_vec()).ok()?;
    let fits = names::is_leftover(&name) || names::parse(&name).is_some();
    fits.then_some((name, entry.attributes))
}

impl Shared {
    /// Every folder of the store, and what is in it, the root first.
    pub async fn walk(&self) -> Result<Vec<(nfs_fh3, BTreeMap<String, fattr3>)>> {
        let mut folders = vec![(self.root.clone(), StorePath::root())];
        let mut all = Vec::new();
        while let Some((folder, path)) = folders.pop() {
            let files = read_folder(self, &folder, &self.at(&path)).await?;
            for (name, attributes) in &files {
                let Some((_, Step::Folder(path))) = step(&path, name, attributes) else {
                    continue;
                };
                if let Some(folder) = self.find_folder(&self.op(), &path).await? {
                    folders.push((folder, path));
                }
            }
            all.push((folder, files));
        }
        Ok(all)
    }
}
