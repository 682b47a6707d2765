//! Deleting, and sweeping what was left over.
//!
//! A store forgets deleted names: a PUT that was delayed on its way succeeds on
//! a deleted key. So the fence of a row is never deleted, and a log's marker goes
//! before its row: a reader looks at the marker last, and so never takes a row
//! that is being deleted for a shorter log.

use crate::calls::{Calls, Created, Found};
use crate::head::{HEAD, Head, Id, Kind};
use crate::keys::{self, Folder};
use crate::object::InUse;
use crate::{fence, row::Row};
use bytes::Bytes;
use flushproof_api::{Result, StorePath};
use std::time::{Duration, SystemTime};

/// After this time no request can be on its way any more.
const NOTHING_ON_ITS_WAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Deletes an object and a log of this path.
pub(crate) async fn delete(calls: &Calls, path: &StorePath) -> Result<()> {
    delete_object(calls, path).await?;
    delete_log(calls, path).await
}

async fn delete_object(calls: &Calls, path: &StorePath) -> Result<()> {
    let key = keys::object(path);
    let Some(found) = calls.head(&key).await? else {
        return Ok(());
    };
    // Somebody else's object is not ours to delete.
    let head = found.map_err(|strange| strange.error(&calls.at(&key)))?;
    calls.delete(&key).await?;
    if head.kind == Kind::Pieces {
        // Whoever is interrupted here leaves them to `sweep`.
        let folder = keys::upload(path, head.nonce);
        let pieces = calls.list(&folder, true, |found| Some(found.key)).await?;
        calls.delete_all(pieces).await?;
    }
    Ok(())
}

async fn delete_log(calls: &Calls, path: &StorePath) -> Result<()> {
    let marker = keys::marker(path);
    if let Some(found) = calls.head(&marker).await? {
        let head = found.map_err(|strange| strange.error(&calls.at(&marker)))?;
        // A fencer that did not come so far as to name its fence.
        let row = Row::list(calls, &keys::row(path, head.nonce)).await?;
        let folder = keys::row(path, head.nonce);
        if row.ended && !crate::log::is_sealed(calls, &folder, &row).await? {
            fence::name(calls, path, head.nonce, row.len()).await?;
        }
        calls.delete(&marker).await?;
    }
    // Also of one whose deletion was interrupted before.
    let folder = format!("{}{path}/", keys::DATA);
    for key in calls.list(&folder, false, |found| Some(found.key)).await? {
        if let Some(Folder::Row(_, id)) = keys::parse_folder(&key) {
            delete_row(calls, &keys::row(path, id), None).await?;
        }
    }
    Ok(())
}

/// Deletes the flushes of a row that are older; its first fence stays, for ever.
/// Says how many went.
async fn delete_row(calls: &Calls, folder: &str, before: Option<SystemTime>) -> Result<u64> {
    let take = |found: Found| Some((keys::number(folder, &found.key)?, found));
    let mut slots = calls.list(folder, true, take).await?;
    slots.sort_by_key(|(slot, _)| *slot);
    let mut fences = slots.iter().filter(|(_, found)| found.len == HEAD as u64);
    let first = fences.next().map(|(slot, _)| *slot);
    let old = |found: &Found| before.is_none_or(|before| is_older(found, before));
    let doomed: Vec<String> = slots
        .into_iter()
        .filter(|(slot, found)| Some(*slot) != first && old(found))
        .map(|(_, found)| found.key)
        .collect();
    let count = doomed.len() as u64;
    calls.delete_all(doomed).await?;
    Ok(count)
}

fn is_older(found: &Found, before: SystemTime) -> bool {
    found.modified.is_some_and(|modified| modified <= before)
}

/// Removes what was left over and is older; says how many objects.
pub(crate) async fn sweep(calls: &Calls, in_use: &InUse, older_than: Duration) -> Result<u64> {
    let now = SystemTime::now();
    let ago = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let before = ago(older_than);
    let take = |found: Found| is_older(&found, before).then_some(found.key);
    let trials = calls.list(keys::TRIAL, true, take).await?;
    let mut count = trials.len() as u64;
    calls.delete_all(trials).await?;
    let mut folders = vec![keys::DATA.to_owned()];
    while let Some(folder) = folders.pop() {
        for key in calls.list(&folder, false, |found| Some(found.key)).await? {
            match keys::parse_folder(&key) {
                Some(Folder::Path) if key != folder => folders.push(key),
                Some(Folder::Row(path, id)) if !is_at(calls, &keys::marker(&path), id).await? => {
                    count += delete_row(calls, &key, Some(before)).await?;
                }
                Some(Folder::Upload(path, id))
                    if !in_use.contains(id) && !is_at(calls, &keys::object(&path), id).await? =>
                {
                    let certain = ago(older_than.max(NOTHING_ON_ITS_WAY));
                    count += sweep_upload(calls, &key, id, before, certain).await?;
                }
                _ => {}
            }
        }
    }
    Ok(count)
}

/// Whether the object of this nonce stands at a key.
async fn is_at(calls: &Calls, key: &str, nonce: Id) -> Result<bool> {
    let found = calls.head(key).await?;
    Ok(matches!(found, Some(Ok(head)) if head.nonce == nonce))
}

/// Removes the pieces of an upload without a name, unless it may still get one.
async fn sweep_upload(
    calls: &Calls,
    folder: &str,
    id: Id,
    before: SystemTime,
    certain: SystemTime,
) -> Result<u64> {
    let all = calls.list(folder, true, Some).await?;
    if all.is_empty() || !all.iter().all(|found| is_older(found, before)) {
        return Ok(0); // perhaps still being written
    }
    let end = keys::end(folder);
    if all.iter().all(|found| is_older(found, certain)) {
        let count = all.len() as u64;
        calls
            .delete_all(all.into_iter().map(|found| found.key).collect())
            .await?;
        return Ok(count);
    }
    // The writer publishes only if it wins this key.
    let given_up = Head::new(Kind::GivenUp, id, 0, &[])?;
    let won = match calls.create(&end, &given_up, Bytes::new()).await? {
        Created::Now => true,
        Created::Taken(found) => found.is_ok_and(|head| head.kind == Kind::GivenUp),
    };
    if !won {
        return Ok(0);
    }
    let pieces = all
        .into_iter()
        .map(|found| found.key)
        .filter(|key| *key != end);
    let pieces: Vec<String> = pieces.collect();
    let count = pieces.len() as u64;
    calls.delete_all(pieces).await?;
    Ok(count)
}
