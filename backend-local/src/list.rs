//! Listing: one folder at a time, on a blocking thread.

use crate::disk::{Folder, Kind, Meta};
use crate::fault::fault;
use crate::names;
use crate::store::{Shared, blocking};
use flushproof_api::{BoxStream, Error, Listed, ListedKind, Result, StorePath};
use futures_util::{StreamExt, stream};
use std::io;
use std::sync::Arc;

/// How many rows are gathered before they are handed over.
const CHUNK: usize = 256;

/// Lists everything below `prefix`, sorted by path.
pub(crate) fn list<'a>(shared: Arc<Shared>, prefix: StorePath) -> BoxStream<'a, Result<Listed>> {
    let chunks = stream::unfold(Some(Walk::new(shared, prefix)), |walk| async move {
        let mut walk = walk?;
        let step = blocking(move || {
            let chunk = walk.chunk();
            Ok((chunk, walk))
        });
        match step.await {
            Ok((Ok(rows), _)) if rows.is_empty() => None,
            Ok((Ok(rows), walk)) => Some((rows.into_iter().map(Ok).collect(), Some(walk))),
            Ok((Err(e), _)) | Err(e) => Some((vec![Err(e)], None)),
        }
    });
    Box::pin(chunks.flat_map(stream::iter::<Vec<Result<Listed>>>))
}

/// What is left to do, the next on top.
struct Walk {
    shared: Arc<Shared>,
    /// Where to begin; taken by the first step.
    start: Option<StorePath>,
    todo: Vec<Step>,
}

enum Step {
    Row(Listed),
    /// Opened only when its turn comes, so that few are open at a time.
    Folder(Arc<dyn Folder>, String, StorePath),
}

impl Walk {
    fn new(shared: Arc<Shared>, prefix: StorePath) -> Walk {
        Walk {
            shared,
            start: Some(prefix),
            todo: Vec::new(),
        }
    }

    /// The next rows; none at the end.
    fn chunk(&mut self) -> Result<Vec<Listed>> {
        if let Some(prefix) = self.start.take() {
            self.shared.check_open()?;
            if let Some(folder) = crate::folders::find(&self.shared.root, &prefix)? {
                self.enter(&folder, &prefix)?;
            }
        }
        let mut rows = Vec::new();
        while rows.len() < CHUNK {
            match self.todo.pop() {
                None => break,
                Some(Step::Row(row)) => rows.push(row),
                Some(Step::Folder(parent, name, path)) => match parent.folder(&name) {
                    Ok(folder) => self.enter(&folder, &path)?,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(failed(parent.as_ref(), e)),
                },
            }
        }
        Ok(rows)
    }

    fn enter(&mut self, folder: &Arc<dyn Folder>, path: &StorePath) -> Result<()> {
        let mut steps = read_folder(folder, path)?;
        steps.sort_by(|(a, _), (b, _)| b.cmp(a));
        self.todo.extend(steps.into_iter().map(|(_, step)| step));
        Ok(())
    }
}

fn failed(folder: &dyn Folder, e: io::Error) -> Error {
    fault("can't list the folder", folder.path(), e)
}

/// Sorts a folder's rows as their full paths sort: a folder `a` stands for
/// `a/…`, and `a-b` < `a/b` < `ab`.
type Key = (String, u8);

fn read_folder(folder: &Arc<dyn Folder>, path: &StorePath) -> Result<Vec<(Key, Step)>> {
    let failed = |e| failed(folder.as_ref(), e);
    let mut steps = Vec::new();
    for name in folder.names().map_err(failed)? {
        let Some((component, kind)) = names::parse(&name) else {
            continue;
        };
        let full = match path.as_str() {
            "" => component.to_owned(),
            parent => format!("{parent}/{component}"),
        };
        let Some(full) = StorePath::new(full).ok().filter(|_| !component.is_empty()) else {
            continue; // a stray file
        };
        let meta = match folder.stat(&name) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue, // just deleted
            Err(e) => return Err(failed(e)),
        };
        match (meta.kind, kind) {
            (Kind::Folder, ListedKind::Object) => {
                let key = (format!("{component}/"), 0);
                steps.push((key, Step::Folder(folder.clone(), name, full)));
            }
            (Kind::File, _) => {
                let row = row(folder.as_ref(), &name, full, kind, &meta).map_err(failed)?;
                steps.push(((component.to_owned(), rank(kind)), Step::Row(row)));
            }
            _ => {}
        }
    }
    Ok(steps)
}

fn rank(kind: ListedKind) -> u8 {
    match kind {
        ListedKind::Object => 0,
        ListedKind::Log => 1,
        _ => 2,
    }
}

fn row(
    folder: &dyn Folder,
    name: &str,
    path: StorePath,
    kind: ListedKind,
    meta: &Meta,
) -> io::Result<Listed> {
    let len = match kind {
        ListedKind::Fence => crate::fence::read(folder, name)?.unwrap_or(0),
        _ => meta.len,
    };
    let sealed = kind != ListedKind::Log || meta.mode & 0o222 == 0;
    let row = Listed::new(path, kind, len);
    Ok(row.with_modified(Some(meta.modified)).with_sealed(sealed))
}
