//! Listing names. The rows of logs lie in a folder of their own, so a listing of
//! names is short however many flushes there were.

use crate::calls::{Calls, Found};
use crate::head::{HEAD, Head, Kind};
use crate::pieces::INLINE;
use crate::row::Row;
use crate::store::Shared;
use crate::{keys, log};
use flushproof_api::{Listed, ListedKind, Result, StorePath};
use futures_util::{StreamExt, TryStreamExt, stream};

/// How many logs are looked at at the same time.
const AT_ONCE: usize = 8;

/// Everything below `prefix`, sorted by path.
pub(crate) async fn list(shared: &Shared, prefix: &StorePath) -> Result<Vec<Listed>> {
    let calls = &shared.calls;
    let mut names = Vec::new();
    match prefix.as_str() {
        "" => {
            // Not into `.data`, which is long.
            let top = calls.list("", false, Some).await?;
            let (folders, own): (Vec<_>, Vec<_>) =
                top.into_iter().partition(|f| f.key.ends_with('/'));
            names.extend(own);
            for folder in folders {
                if !folder.key.starts_with('.') {
                    names.extend(calls.list(&folder.key, true, Some).await?);
                }
            }
        }
        folder => names = calls.list(&format!("{folder}/"), true, Some).await?,
    }
    let rows = names.into_iter().map(|found| row(calls, found));
    let mut rows: Vec<Listed> = stream::iter(rows)
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|row| async move { Ok(row) })
        .try_collect()
        .await?;
    rows.sort_by(|a, b| (&a.path, rank(a.kind)).cmp(&(&b.path, rank(b.kind))));
    Ok(rows)
}

fn rank(kind: ListedKind) -> u8 {
    match kind {
        ListedKind::Object => 0,
        ListedKind::Log => 1,
        _ => 2,
    }
}

/// The row of a key; none for a stray, and for what has just been deleted.
async fn row(calls: &Calls, found: Found) -> Result<Option<Listed>> {
    let Some((path, kind, fenced)) = keys::parse(&found.key) else {
        return Ok(None);
    };
    let payload = found.len.checked_sub(HEAD as u64);
    let (len, sealed) = match (kind, payload) {
        (ListedKind::Object, _) if keys::is_plain(&path) => (found.len, true),
        (ListedKind::Fence, Some(_)) => (fenced, true),
        (ListedKind::Object, Some(len)) if len <= INLINE as u64 => (len, true),
        (ListedKind::Object, Some(_)) => match calls.head(&found.key).await? {
            Some(Ok(head)) if head.kind == Kind::Pieces => (head.offset, true),
            _ => return Ok(None),
        },
        (ListedKind::Log, Some(_)) => match log_row(calls, &path, &found.key).await? {
            Some(row) => row,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let row = Listed::new(path, kind, len);
    Ok(Some(row.with_modified(found.modified).with_sealed(sealed)))
}

/// Length and whether it is sealed.
async fn log_row(calls: &Calls, path: &StorePath, marker: &str) -> Result<Option<(u64, bool)>> {
    let Some(Ok(Head {
        kind: Kind::Marker,
        nonce,
        ..
    })) = calls.head(marker).await?
    else {
        return Ok(None);
    };
    let folder = keys::row(path, nonce);
    let row = Row::list(calls, &folder).await?;
    if row.gone {
        return Ok(None); // its marker was late
    }
    let sealed = row.ended && log::is_sealed(calls, &folder, &row).await?;
    Ok(Some((row.len(), sealed)))
}
