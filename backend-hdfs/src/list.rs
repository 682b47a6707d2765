//! Listing: one folder at a time, in pages of the NameNode's size.

use crate::connect::NameNode;
use crate::fault::{fault, late};
use crate::fence;
use crate::names;
use crate::store::Shared;
use flushproof_api::{BoxStream, Listed, ListedKind, Result, StorePath};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use hdfs_native::HdfsError;
use hdfs_native::client::FileStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How many fences are asked at a time: a journal has one for each log that was ever
/// taken over, and a take-over waits for its list.
const NOTES: usize = 32;

/// A row of a folder.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its last component.
    pub name: String,
    pub status: FileStatus,
}

impl NameNode {
    /// Everything in a folder; `None` if there is no such folder.
    pub async fn list(self: &Arc<NameNode>, folder: &str) -> Result<Option<Vec<Row>>> {
        let (client, turn) = self.client();
        let (at, limit) = (folder.to_owned(), self.limit());
        let pages = self.io.run(async move {
            let pages = client.list_status_iter(&at, false);
            let mut rows = Vec::new();
            loop {
                match tokio::time::timeout(limit, pages.next()).await {
                    Ok(None) => return Ok(Ok(Some(rows))),
                    Ok(Some(Ok(status))) => rows.push(row(status)),
                    Ok(Some(Err(HdfsError::FileNotFound(_)))) => return Ok(Ok(None)),
                    Ok(Some(Err(e))) => return Ok(Err(fault("can't list it", &at, &e))),
                    Err(_) => return Ok(Err(late("listing it", &at, limit, "timeout"))),
                }
            }
        });
        let rows = pages.await?;
        if rows
            .as_ref()
            .is_err_and(|e| e.kind() == flushproof_api::ErrorKind::TimedOut)
        {
            self.renew(turn).await;
        }
        rows
    }
}

fn row(status: FileStatus) -> Row {
    let name = status
        .path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    Row { name, status }
}

/// Lists everything below `prefix`, sorted by path.
pub(crate) fn list<'a>(shared: Arc<Shared>, prefix: StorePath) -> BoxStream<'a, Result<Listed>> {
    let walk = Walk {
        shared,
        todo: vec![Step::Folder(prefix)],
    };
    let rows = stream::unfold(Some(walk), |walk| async move {
        let mut walk = walk?;
        match walk.next().await {
            Ok(None) => None,
            Ok(Some(row)) => Some((Ok(row), Some(walk))),
            Err(e) => Some((Err(e), None)),
        }
    });
    rows.boxed()
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
    async fn next(&mut self) -> Result<Option<Listed>> {
        self.shared.check_open()?;
        loop {
            match self.todo.pop() {
                None => return Ok(None),
                Some(Step::Row(row)) => return Ok(Some(row)),
                Some(Step::Folder(path)) => self.enter(&path).await?,
            }
        }
    }

    async fn enter(&mut self, path: &StorePath) -> Result<()> {
        let folder = self.shared.names.object(path);
        let Some(rows) = self.shared.nn.list(&folder).await? else {
            return Ok(());
        };
        let steps = rows.iter().filter_map(|row| step(path, row));
        let steps = steps.map(|step| self.complete(step).boxed());
        let mut steps: Vec<_> = stream::iter(steps.collect::<Vec<_>>())
            .buffer_unordered(NOTES)
            .try_collect()
            .await?;
        steps.sort_by(|(a, _), (b, _)| b.cmp(a));
        self.todo.extend(steps.into_iter().map(|(_, step)| step));
        Ok(())
    }
}

impl Walk {
    /// A fence's length is asked for: its folder has it.
    async fn complete(&self, (key, step): (Key, Step)) -> Result<(Key, Step)> {
        match step {
            Step::Row(mut row) if row.kind == ListedKind::Fence => {
                let fence = self.shared.names.fence(&row.path);
                row.len = fence::noted(&self.shared, &fence).await?.unwrap_or(0);
                Ok((key, Step::Row(row)))
            }
            step => Ok((key, step)),
        }
    }
}

/// Sorts a folder's rows as their full paths sort: a folder `a` stands for
/// `a/…`, and `a-b` < `a/b` < `ab`.
type Key = (String, u8);

/// What to do with a row; nothing with a stray.
fn step(parent: &StorePath, row: &Row) -> Option<(Key, Step)> {
    let (component, kind) = names::parse(&row.name)?;
    let full = match parent.as_str() {
        "" => component.to_owned(),
        parent => format!("{parent}/{component}"),
    };
    let path = StorePath::new(full).ok()?;
    let status = &row.status;
    let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(status.modification_time);
    let sealed = kind != ListedKind::Log || status.permission & 0o222 == 0;
    let listed = |path: StorePath, len: u64| {
        let row = Listed::new(path, kind, len);
        row.with_modified(Some(modified)).with_sealed(sealed)
    };
    let own = component.to_owned();
    match (kind, status.isdir) {
        (ListedKind::Object, true) => Some(((format!("{own}/"), 0), Step::Folder(path))),
        (ListedKind::Object, false) => {
            Some(((own, 0), Step::Row(listed(path, status.length as u64))))
        }
        // Each hsync notes the length at the NameNode before it answers: so this is
        // at least what was acknowledged.
        (ListedKind::Log, false) => Some(((own, 1), Step::Row(listed(path, status.length as u64)))),
        (ListedKind::Fence, true) => Some(((own, 2), Step::Row(listed(path, 0)))),
        _ => None,
    }
}
