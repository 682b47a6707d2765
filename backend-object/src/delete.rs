//! Deleting, and sweeping what was left over.
//!
//! A store forgets deleted names: a PUT that was delayed on its way succeeds on
//! a deleted key. So the fence of a row is never deleted, and a deleted log leaves
//! a mark in its row, for a while: its marker may come back.
//!
//! What an incomplete multipart upload has stored (see `plain`) is in no listing, so
//! `sweep` can't remove it: a lifecycle rule of the bucket does.
//!
//! A log's marker goes before its row: a reader looks at the marker last, and so
//! never takes a row that is being deleted for a shorter log.

use crate::calls::{Calls, Created, Found};
use crate::head::{HEAD, Head, Id, Kind, Strange};
use crate::keys::{self, Folder};
use crate::pieces::InUse;
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
    if keys::is_plain(path) {
        return calls.delete(&key).await;
    }
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
        let folder = keys::row(path, head.nonce);
        let row = Row::list(calls, &folder).await?;
        if row.ended && !crate::log::is_sealed(calls, &folder, &row).await? {
            fence::name(calls, path, head.nonce, row.len()).await?;
        }
        if !row.gone {
            mark_gone(calls, &folder, head.nonce).await?;
        }
        calls.delete(&marker).await?;
    }
    // Also of one whose deletion was interrupted before.
    let folder = format!("{}{path}/", keys::DATA);
    let folders = calls.list(&folder, false, |found| Some(found.key)).await?;
    // Looked at behind the listing: a row is not older than its marker.
    let living = calls.head(&marker).await?;
    for key in folders {
        match keys::parse_folder(&key) {
            Some(Folder::Row(_, id)) if !is_of(&living, id) => {
                delete_row(calls, &keys::row(path, id), None).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Says in the row that the log is deleted, for good.
async fn mark_gone(calls: &Calls, folder: &str, id: Id) -> Result<()> {
    let key = keys::gone(folder);
    let head = Head::new(Kind::Gone, id, 0, &[])?;
    match calls.create(&key, &head, Bytes::new()).await? {
        Created::Now => Ok(()),
        Created::Taken(Ok(found)) if found.kind == Kind::Gone => Ok(()),
        Created::Taken(found) => {
            let strange = found.err().unwrap_or(Strange::Damaged);
            Err(strange.error(&calls.at(&key)))
        }
    }
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
    let certain = ago(older_than.max(NOTHING_ON_ITS_WAY));
    let take = |found: Found| is_older(&found, before).then_some(found.key);
    let trials = calls.list(keys::TRIAL, true, take).await?;
    let mut count = trials.len() as u64;
    calls.delete_all(trials).await?;
    let mut folders = vec![keys::DATA.to_owned()];
    while let Some(folder) = folders.pop() {
        for found in calls.list(&folder, false, Some).await? {
            if keys::is_claim(&found.key) && is_older(&found, before) {
                calls.delete(&found.key).await?;
                count += 1;
                continue;
            }
            let key = found.key;
            match keys::parse_folder(&key) {
                Some(Folder::Path) if key != folder => folders.push(key),
                Some(Folder::Row(path, id)) => {
                    count += sweep_row(calls, &path, &key, id, before, certain).await?;
                }
                Some(Folder::Upload(path, id))
                    if !in_use.contains(id) && !is_at(calls, &keys::object(&path), id).await? =>
                {
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
    Ok(is_of(&calls.head(key).await?, nonce))
}

fn is_of(found: &Option<std::result::Result<Head, Strange>>, nonce: Id) -> bool {
    matches!(found, Some(Ok(head)) if head.nonce == nonce)
}

/// Removes what is left of a deleted log, but for its fence; a marker that was
/// late, too.
async fn sweep_row(
    calls: &Calls,
    path: &StorePath,
    folder: &str,
    id: Id,
    before: SystemTime,
    certain: SystemTime,
) -> Result<u64> {
    let gone = keys::gone(folder);
    let take = |found: Found| (found.key == gone).then_some(found);
    let mark = calls.list(&gone, false, take).await?.pop();
    let marker = keys::marker(path);
    let mut count = 0;
    match (is_at(calls, &marker, id).await?, &mark) {
        (true, None) => return Ok(0),
        (true, Some(_)) => {
            calls.delete(&marker).await?;
            count += 1;
        }
        (false, _) => {}
    }
    count += delete_row(calls, folder, Some(before)).await?;
    if mark.is_some_and(|mark| is_older(&mark, certain)) {
        calls.delete(&gone).await?;
        count += 1;
    }
    Ok(count)
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
