//! Readers of objects and of logs.
//!
//! A small object is read whole when it is opened. The pieces of a large one and
//! the flushes of a log are read when they are asked for, several at a time, and
//! kept for a while: a flush is read whole, so that its checksum can be verified.
//! A plain object (`.gz`) is read in ranges as long as a piece. It has no checksum
//! of this backend's: its reader verifies it.

use crate::calls::Calls;
use crate::driver::Driver;
use crate::fault::refusal;
use crate::head::{HEAD, Head, Id, Kind, Strange};
use crate::row::Row;
use crate::store::Shared;
use crate::{keys, plain};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, MAX_READ, Reader, Result, StorePath};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many GETs are under way.
const AT_ONCE: usize = 16;
/// How much is read ahead of one who reads on, in bytes and in objects.
const AHEAD: u64 = 1 << 20;
const AHEAD_OBJECTS: u64 = 256;
/// The length of a piece of a large object.
pub(crate) const PIECE: u64 = 8 << 20;
/// How much is kept: two pieces.
const KEPT: usize = 2 * (PIECE as usize + HEAD);

/// Opens an object or, if there is none, a log.
pub(crate) async fn open(shared: &Shared, path: &StorePath) -> Result<ObjectReader> {
    let calls = &shared.calls;
    let (object, marker) = (keys::object(path), keys::marker(path));
    let found = future::try_join(object_body(calls, path), calls.get(&marker));
    let body = match found.await? {
        (Some(body), _) => body,
        (None, Some(bytes)) => log_body(calls, path, &bytes)?,
        (None, None) => {
            let text = "there is no such object or log";
            return Err(refusal(ErrorKind::NotFound, &calls.at(&object), text));
        }
    };
    let inner = Inner {
        calls: calls.clone(),
        key: object,
        body,
        kept: Mutex::default(),
    };
    if let Body::Log { .. } = &inner.body {
        inner.look().await?; // a marker alone is no log: it may have come too late
    }
    Ok(ObjectReader {
        driver: shared.driver.clone(),
        inner: Arc::new(inner),
    })
}

async fn object_body(calls: &Calls, path: &StorePath) -> Result<Option<Body>> {
    let key = keys::object(path);
    if keys::is_plain(path) {
        let found = plain::look(calls, &key).await?;
        return Ok(found.map(|found| Body::Plain { len: found.len }));
    }
    let Some(bytes) = calls.get(&key).await? else {
        return Ok(None);
    };
    let at = calls.at(&key);
    let (head, payload) = Head::open(&bytes).map_err(|s| s.error(&at))?;
    match head.kind {
        Kind::Inline => Ok(Some(Body::Whole(payload))),
        Kind::Pieces => Ok(Some(Body::Pieces {
            folder: keys::upload(path, head.nonce),
            id: head.nonce,
            len: head.offset,
        })),
        _ => Err(Strange::Damaged.error(&at)),
    }
}

fn log_body(calls: &Calls, path: &StorePath, bytes: &Bytes) -> Result<Body> {
    let marker = keys::marker(path);
    let (head, _) = Head::open(bytes).map_err(|s| s.error(&calls.at(&marker)))?;
    if head.kind != Kind::Marker {
        return Err(Strange::Damaged.error(&calls.at(&marker)));
    }
    Ok(Body::Log {
        marker,
        folder: keys::row(path, head.nonce),
        id: head.nonce,
        row: Mutex::default(),
    })
}

/// A reader; cheap to share.
#[derive(Debug)]
pub(crate) struct ObjectReader {
    driver: Driver,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    calls: Calls,
    key: String,
    body: Body,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
enum Body {
    Whole(Bytes),
    Pieces {
        folder: String,
        id: Id,
        len: u64,
    },
    Plain {
        len: u64,
    },
    Log {
        marker: String,
        folder: String,
        id: Id,
        /// As far as it is known; none: it was not listed yet.
        row: Mutex<Option<Row>>,
    },
}

/// What was read lately, by number.
#[derive(Debug, Default)]
struct Kept {
    objects: BTreeMap<u64, Bytes>,
    len: usize,
    /// Where the last reading ended.
    read_to: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Reader for ObjectReader {
    async fn len(&self) -> Result<u64> {
        match &self.inner.body {
            Body::Whole(bytes) => Ok(bytes.len() as u64),
            Body::Pieces { len, .. } | Body::Plain { len } => Ok(*len),
            Body::Log { .. } => {
                let inner = self.inner.clone();
                let row = self.driver.run(async move { inner.look().await });
                Ok(row.await?.len())
            }
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if let Body::Whole(bytes) = &self.inner.body {
            self.inner.check(&range, bytes.len() as u64)?;
            return Ok(bytes.slice(range.start as usize..range.end as usize));
        }
        let inner = self.inner.clone();
        self.driver
            .run(async move { inner.read(range).await })
            .await
    }
}

impl Inner {
    fn check(&self, range: &Range<u64>, len: u64) -> Result<()> {
        let fine =
            range.start <= range.end && range.end <= len && range.end - range.start <= MAX_READ;
        match fine {
            true => Ok(()),
            false => {
                let text = format!("a read of {range:?} in {len} bytes is out of range");
                let at = self.calls.at(&self.key);
                Err(refusal(ErrorKind::InvalidInput, &at, &text))
            }
        }
    }

    fn gone(&self) -> Error {
        let text = "it was deleted while it was read";
        refusal(ErrorKind::NotFound, &self.calls.at(&self.key), text)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let row = match &self.body {
            Body::Whole(_) => return Err(self.gone()),
            Body::Pieces { len, .. } | Body::Plain { len } => {
                self.check(&range, *len)?;
                None
            }
            Body::Log { row, .. } => {
                let known = lock(row).clone();
                let row = match known {
                    Some(row) if range.end <= row.len() => row,
                    _ => self.look().await?,
                };
                self.check(&range, row.len())?;
                Some(row)
            }
        };
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let parts = Parts {
            row: row.as_ref(),
            len: self.total(row.as_ref()),
        };
        let last = parts.number(range.end - 1);
        let wanted = parts.number(range.start)..last + 1;
        let ahead = self.ahead(&parts, &range, last);
        // Taken out now: another reading may push them out meanwhile.
        let (found, missing) = {
            let kept = lock(&self.kept);
            let found: BTreeMap<u64, Bytes> = kept
                .objects
                .range(wanted.clone())
                .map(|(n, bytes)| (*n, bytes.clone()))
                .collect();
            let all = wanted.start..ahead;
            let missing: Vec<_> = all.filter(|n| !kept.objects.contains_key(n)).collect();
            (found, missing)
        };
        let reads = missing.into_iter().map(|n| self.fetch(n, parts.range(n)));
        let fetched: BTreeMap<u64, Bytes> = stream::iter(reads)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let read = self.gather(&parts, range, wanted, |n| {
            fetched.get(&n).or_else(|| found.get(&n))
        });
        lock(&self.kept).keep(fetched);
        read
    }

    fn total(&self, row: Option<&Row>) -> u64 {
        match &self.body {
            Body::Pieces { len, .. } | Body::Plain { len } => *len,
            _ => row.map_or(0, Row::len),
        }
    }

    /// The number of the first object that is not worth reading now.
    fn ahead(&self, parts: &Parts<'_>, range: &Range<u64>, last: u64) -> u64 {
        let mut kept = lock(&self.kept);
        let reads_on = kept.read_to.replace(range.end) == Some(range.start);
        let mut next = last + 1;
        if parts.row.is_none() || !reads_on {
            return next; // pieces are long enough
        }
        while next <= last + AHEAD_OBJECTS {
            let part = parts.range(next);
            if part.is_empty() || part.end - range.end > AHEAD {
                break;
            }
            next += 1;
        }
        next
    }

    /// Puts the range together.
    fn gather<'a>(
        &self,
        parts: &Parts<'_>,
        range: Range<u64>,
        wanted: Range<u64>,
        get: impl Fn(u64) -> Option<&'a Bytes>,
    ) -> Result<Bytes> {
        let mut out = BytesMut::new();
        let only = wanted.end - wanted.start == 1;
        for n in wanted {
            let object = get(n).ok_or_else(|| self.gone())?;
            let part = parts.range(n);
            let from = range.start.max(part.start) - part.start;
            let to = range.end.min(part.end) - part.start;
            let piece = object.slice(from as usize..to as usize);
            if only {
                return Ok(piece);
            }
            out.extend_from_slice(&piece);
        }
        Ok(out.freeze())
    }

    /// Reads one object of the row or one piece, and verifies it.
    async fn fetch(&self, n: u64, part: Range<u64>) -> Result<(u64, Bytes)> {
        let (folder, id, kind) = match &self.body {
            Body::Log { folder, id, .. } => (folder, *id, Kind::Flush),
            Body::Pieces { folder, id, .. } => (folder, *id, Kind::Piece),
            Body::Plain { .. } => {
                let bytes = plain::read(&self.calls, &self.key, part).await?;
                return Ok((n, bytes.ok_or_else(|| self.gone())?));
            }
            Body::Whole(_) => return Err(self.gone()),
        };
        let key = keys::numbered(folder, n);
        let bytes = self.calls.get(&key).await?.ok_or_else(|| self.gone())?;
        let at = || self.calls.at(&key);
        let (head, payload) = Head::open(&bytes).map_err(|s| s.error(&at()))?;
        let right = head.kind == kind
            && head.id == id
            && head.offset == part.start
            && payload.len() as u64 == part.end - part.start;
        match right {
            true => Ok((n, payload)),
            false => Err(Strange::Damaged.error(&at())),
        }
    }

    /// The row of a log as it is now.
    async fn look(&self) -> Result<Row> {
        let Body::Log {
            marker,
            folder,
            id,
            row,
        } = &self.body
        else {
            return Err(self.gone());
        };
        let known = lock(row).clone();
        let fresh = match known {
            None => self.first_look(folder, *id).await?,
            Some(known) if known.ended => known,
            Some(known) => self.advance(folder, *id, known).await?,
        };
        // Looked at last: what was listed before was not being deleted.
        match self.calls.head(marker).await? {
            Some(Ok(found)) if found.nonce == *id => {}
            _ => return Err(self.gone()),
        }
        let mut row = lock(row);
        // Another look may have seen more.
        if row.as_ref().is_none_or(|r| r.slots() <= fresh.slots()) {
            *row = Some(fresh.clone());
        }
        Ok(row.clone().unwrap_or(fresh))
    }

    async fn first_look(&self, folder: &str, id: Id) -> Result<Row> {
        let row = Row::list(&self.calls, folder).await?;
        match (row.gone, row.ended) {
            (true, _) => Err(self.gone()),
            (_, true) => Ok(row),
            // What a listing lags behind is found one by one.
            _ => self.advance(folder, id, row).await,
        }
    }

    /// Looks for what came behind a known row: one object, then more at a time.
    async fn advance(&self, folder: &str, id: Id, mut row: Row) -> Result<Row> {
        let mut step = 1;
        loop {
            let first = row.slots();
            let slots: Vec<_> = (first..first + step)
                .map(|n| keys::numbered(folder, n))
                .collect();
            let found = future::try_join_all(slots.iter().map(|key| self.calls.get(key))).await?;
            let mut fetched = BTreeMap::new();
            for (key, bytes) in slots.iter().zip(found) {
                let Some(bytes) = bytes.filter(|_| !row.ended) else {
                    break;
                };
                let (head, payload) =
                    Head::open(&bytes).map_err(|s| s.error(&self.calls.at(key)))?;
                if matches!(head.kind, Kind::Fence | Kind::Seal) {
                    row.ended = true;
                    break;
                }
                let slot = row.slots();
                let ours = head.kind == Kind::Flush && head.id == id && head.offset == row.len();
                let pushed = ours.then(|| row.push(payload.len() as u64)).flatten();
                pushed.ok_or_else(|| Strange::Damaged.error(&self.calls.at(key)))?;
                fetched.insert(slot, payload);
            }
            let all = fetched.len() as u64 == step;
            lock(&self.kept).keep(fetched);
            if !all {
                return Ok(row);
            }
            step = (step * 4).min(AT_ONCE as u64);
        }
    }
}

/// Where the objects of a log, or the pieces of an object, lie.
struct Parts<'a> {
    row: Option<&'a Row>,
    len: u64,
}

impl Parts<'_> {
    fn number(&self, offset: u64) -> u64 {
        match self.row {
            Some(row) => row.slot_of(offset),
            None => offset / PIECE,
        }
    }

    fn range(&self, n: u64) -> Range<u64> {
        match self.row {
            Some(row) => row.range(n),
            None => {
                let start = n.saturating_mul(PIECE).min(self.len);
                start..start.saturating_add(PIECE).min(self.len)
            }
        }
    }
}

impl Kept {
    fn keep(&mut self, fetched: BTreeMap<u64, Bytes>) {
        let mut new = BTreeSet::new();
        for (n, bytes) in fetched {
            new.insert(n);
            self.len += bytes.len() + HEAD;
            if let Some(old) = self.objects.insert(n, bytes) {
                self.len -= old.len() + HEAD;
            }
        }
        // One who reads on needs the lowest least, but what was just read; another
        // may read at the same time, elsewhere.
        while self.len > KEPT {
            let old = self.objects.keys().find(|n| !new.contains(n)).copied();
            let Some(n) = old.or_else(|| new.pop_first()) else {
                return;
            };
            if let Some(old) = self.objects.remove(&n) {
                self.len -= old.len() + HEAD;
            }
        }
    }
}
