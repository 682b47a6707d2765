//! Fencing a log (FC-9).
//!
//! A flush is acknowledged when its own key, and every key before it in the row,
//! holds the writer's own object. A fence is an object at the first free slot of
//! the contiguous row: of fencer and writer exactly one gets that key, for ever,
//! because a fence is never deleted. What the writer lands behind it is never
//! acknowledged and never read.
//!
//! A writer that lives and is fast may take each slot before the fencer does. So
//! a fencer that lost puts a barrier first: a fence further ahead than any slot
//! that this writer can have begun, [`MAX_INFLIGHT`] behind the first free one.
//! The writer runs into it; from then on there are few slots to lose.

use crate::calls::{Calls, Created};
use crate::fault::refusal;
use crate::head::{HEAD, Head, Id, Kind};
use crate::keys;
use crate::options::MAX_INFLIGHT;
use crate::row::Row;
use bytes::Bytes;
use flushproof_api::{ErrorKind, Result, StorePath};

/// The offset in a barrier, whose place in the log is not known.
const AHEAD: u64 = u64::MAX;

/// Fences a log; says below which offset its acknowledged bytes lie.
pub(crate) async fn fence(calls: &Calls, path: &StorePath) -> Result<u64> {
    let marker = calls.open(&keys::marker(path), Kind::Marker).await?;
    if let Some(id) = marker.map(|(head, _)| head.nonce)
        && let Some(len) = stop(calls, &keys::row(path, id), id).await?
    {
        name(calls, path, id, len).await?;
        return Ok(len);
    }
    // Only the fence is left: nothing can be written any more.
    find(calls, path).await?.ok_or_else(|| {
        let text = "there is no such log, and no fence of one";
        refusal(ErrorKind::NotFound, &calls.at(path.as_str()), text)
    })
}

/// The length at which a log of this path was fenced, if one was.
pub(crate) async fn find(calls: &Calls, path: &StorePath) -> Result<Option<u64>> {
    let take = |found: crate::calls::Found| {
        let (of, _, len) = keys::parse(&found.key)?;
        (of == *path).then_some(len)
    };
    let lens = calls.list(&keys::fence_prefix(path), false, take).await?;
    Ok(lens.into_iter().max())
}

/// Makes the fence's name, which is listed and outlives the log.
pub(crate) async fn name(calls: &Calls, path: &StorePath, id: Id, len: u64) -> Result<()> {
    let head = Head::new(Kind::Fenced, id, len, &[])?;
    let key = keys::fence(path, len);
    match calls.create(&key, &head, Bytes::new()).await? {
        Created::Now => Ok(()),
        Created::Taken(Ok(found)) if found.kind == Kind::Fenced => Ok(()),
        Created::Taken(Ok(_)) => Err(crate::head::Strange::Damaged.error(&calls.at(&key))),
        Created::Taken(Err(strange)) => Err(strange.error(&calls.at(&key))),
    }
}

/// Puts the fence into the row; says the length of the log; `None`: it was deleted.
async fn stop(calls: &Calls, folder: &str, id: Id) -> Result<Option<u64>> {
    let mut row = Row::list(calls, folder).await?;
    let mut reach = MAX_INFLIGHT;
    loop {
        if row.gone {
            return Ok(None);
        }
        if row.ended {
            return Ok(Some(row.len()));
        }
        let slot = row.slots();
        if try_slot(calls, folder, id, slot, row.len()).await? == Stopped::Here {
            return Ok(Some(row.len()));
        }
        if !row.barred {
            // Further and further, if the writer has come there meanwhile.
            let ahead = slot.saturating_add(reach);
            reach = reach.saturating_mul(2);
            try_slot(calls, folder, id, ahead, AHEAD).await?;
        }
        row = Row::list(calls, folder).await?;
        if row.slots() == slot && !row.ended {
            // A listing that lags behind: the key is taken, so the object is there.
            let key = keys::numbered(folder, slot);
            let object = calls.get(&key).await?;
            let payload = object.and_then(|o| (o.len() as u64).checked_sub(HEAD as u64));
            let pushed = payload.and_then(|payload| row.push(payload));
            pushed.ok_or_else(|| {
                let text = "an object of the row went away while the log was fenced";
                refusal(ErrorKind::Io, &calls.at(&key), text)
            })?;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// A fence or a seal stands in the slot.
    Here,
    /// A flush does.
    No,
}

/// Tries to put a fence into a slot.
async fn try_slot(calls: &Calls, folder: &str, id: Id, slot: u64, offset: u64) -> Result<Stopped> {
    let head = Head::new(Kind::Fence, id, offset, &[])?;
    let key = keys::numbered(folder, slot);
    match calls.create(&key, &head, Bytes::new()).await? {
        Created::Now => Ok(Stopped::Here),
        Created::Taken(Ok(found)) if matches!(found.kind, Kind::Fence | Kind::Seal) => {
            Ok(Stopped::Here)
        }
        Created::Taken(Ok(_)) => Ok(Stopped::No),
        Created::Taken(Err(strange)) => Err(strange.error(&calls.at(&key))),
    }
}
