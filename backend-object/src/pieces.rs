//! How an object with a head is stored: a small one by one conditional PUT. A
//! large one as pieces under a name that nobody else has, then a name that leads
//! to them, by one conditional PUT.
//!
//! That needs nothing of a service but the conditional PUT; a multipart upload
//! that is completed on condition is not known to every one. Between the last
//! piece and the name one key says whether the upload may be published: `sweep`
//! must win that key before it removes the pieces of an upload that seems to be
//! left over, and so never takes them from one that is being published.

use crate::calls::{Calls, Created, NOBODY};
use crate::fault::refusal;
use crate::head::{Head, Id, Kind};
use crate::keys;
use crate::object::taken;
use crate::reader::PIECE;
use crate::store::Shared;
use bytes::Bytes;
use flushproof_api::{ErrorKind, Result, StorePath};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Up to this length an object is one PUT.
pub(crate) const INLINE: usize = 64 << 10;
/// What follows the head of a large object's name: more than any small object
/// has, so that a listing tells them apart by their lengths.
const PADDING: usize = INLINE + 1;

/// The uploads of this process; `sweep` leaves them alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse(Arc<Mutex<HashSet<Id>>>);

impl InUse {
    pub fn contains(&self, id: Id) -> bool {
        self.set().contains(&id)
    }

    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call needs that goes on alone.
pub(crate) struct Pieces {
    calls: Calls,
    folder: String,
    key: String,
    /// Of the upload; also the nonce of the object at its name.
    id: Id,
    in_use: InUse,
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.in_use.set().remove(&self.id);
    }
}

impl Pieces {
    pub fn begin(shared: &Shared, path: &StorePath) -> Result<Pieces> {
        let id = Id::random()?;
        shared.in_use.set().insert(id);
        Ok(Pieces {
            calls: shared.calls.clone(),
            folder: keys::upload(path, id),
            key: keys::object(path),
            id,
            in_use: shared.in_use.clone(),
        })
    }

    /// Stores a piece.
    pub async fn store(&self, number: u64, payload: Bytes) -> Result<()> {
        let key = keys::numbered(&self.folder, number);
        let head = Head::new(Kind::Piece, self.id, number * PIECE, &payload)?;
        match self.calls.create(&key, &head, payload).await? {
            Created::Now => Ok(()),
            // By a commit that was dropped and goes on: the same bytes.
            Created::Taken(Ok(found)) if found.same_bytes(&head) => Ok(()),
            Created::Taken(_) => Err(taken(&self.calls, &key)),
        }
    }

    /// Publishes what was stored as `pieces`, and the `rest` behind them.
    pub async fn publish(&self, pieces: u64, rest: Bytes) -> Result<u64> {
        let len = pieces * PIECE + rest.len() as u64;
        if len <= INLINE as u64 {
            return self.name(Kind::Inline, len, rest).await;
        }
        if !rest.is_empty() {
            self.store(pieces, rest).await?;
        }
        self.publish_pieces(len).await
    }

    /// Removes the pieces below this number.
    pub async fn discard(&self, pieces: u64) -> Result<()> {
        let keys = (0..pieces).map(|n| keys::numbered(&self.folder, n));
        self.calls.delete_all(keys.collect()).await
    }

    /// From here on `sweep` leaves the upload alone, or has won it.
    async fn publish_pieces(&self, len: u64) -> Result<u64> {
        let ready = Head::new(Kind::Ready, self.id, len, &[])?;
        let key = keys::end(&self.folder);
        match self.calls.create(&key, &ready, Bytes::new()).await? {
            Created::Now => {}
            Created::Taken(Ok(found)) if found.kind == Kind::Ready => {}
            Created::Taken(_) => {
                let text = "the upload took so long that it was swept away; begin again";
                return Err(refusal(ErrorKind::Io, &self.calls.at(&self.key), text));
            }
        }
        let padding = Bytes::from(vec![0; PADDING]);
        self.name(Kind::Pieces, len, padding).await
    }

    /// Creates the object at its name. Its nonce is the upload's id, in every
    /// try and every repeat, so that an own earlier success is known.
    async fn name(&self, kind: Kind, len: u64, payload: Bytes) -> Result<u64> {
        let head = Head::new(kind, NOBODY, len, &payload)?.with_nonce(self.id);
        match self.calls.create(&self.key, &head, payload).await? {
            Created::Now => Ok(len),
            Created::Taken(_) => Err(taken(&self.calls, &self.key)),
        }
    }
}
