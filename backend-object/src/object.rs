//! Objects: a small one is one conditional PUT. A large one is pieces under a
//! name that nobody else has, then a name that leads to them, by one conditional PUT.
//!
//! That needs nothing of a service but the conditional PUT; a multipart upload
//! that is completed on condition is not known to every one. Between the last
//! piece and the name one key says whether the upload may be published: `sweep`
//! must win that key before it removes the pieces of an upload that seems to be
//! left over, and so never takes them from one that is being published.

use crate::calls::{Calls, Created, NOBODY};
use crate::driver::Driver;
use crate::fault::refusal;
use crate::head::{Head, Id, Kind};
use crate::keys;
use crate::reader::PIECE;
use crate::store::Shared;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, ObjectOptions, ObjectWriter, Result, StorePath};
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

/// Begins an object.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    path: &StorePath,
    options: ObjectOptions,
) -> Result<NewObject> {
    let large = options.size_hint.is_none_or(|len| len > INLINE as u64);
    let key = keys::object(path);
    // A small one learns it from its only PUT.
    if large && shared.calls.head(&key).await?.is_some() {
        return Err(taken(&shared.calls, &key));
    }
    let id = Id::random()?;
    shared.in_use.set().insert(id);
    Ok(NewObject {
        driver: shared.driver.clone(),
        upload: Arc::new(Upload {
            calls: shared.calls.clone(),
            folder: keys::upload(path, id),
            key,
            id,
            in_use: shared.in_use.clone(),
        }),
        gathered: BytesMut::new(),
        pieces: 0,
        state: State::Open,
    })
}

fn taken(calls: &Calls, key: &str) -> Error {
    refusal(
        ErrorKind::AlreadyExists,
        &calls.at(key),
        "the object exists",
    )
}

/// The writer of one object.
pub(crate) struct NewObject {
    driver: Driver,
    upload: Arc<Upload>,
    /// What is not in a piece yet; at most one piece long.
    gathered: BytesMut,
    /// How many pieces are stored.
    pieces: u64,
    state: State,
}

impl std::fmt::Debug for NewObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NewObject").field(&self.upload.key).finish()
    }
}

/// What a call needs that goes on alone.
struct Upload {
    calls: Calls,
    folder: String,
    key: String,
    /// Of the upload; also the nonce of the object at its name.
    id: Id,
    in_use: InUse,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.in_use.set().remove(&self.id);
    }
}

enum State {
    Open,
    /// A write is under way, or its future was dropped.
    Torn,
    Published(u64),
    /// The first error is final; after an abort it is `Closed`.
    Failed(Error),
}

#[async_trait]
impl ObjectWriter for NewObject {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.usable()?;
        while !bytes.is_empty() {
            let room = PIECE as usize - self.gathered.len();
            self.gathered
                .extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.gathered.len() == PIECE as usize {
                self.state = State::Torn;
                let stored = self.store_piece().await;
                self.state = State::Open;
                self.latch(stored)?;
            }
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<u64> {
        if let State::Published(len) = self.state {
            return Ok(len); // a repeat that finds its own earlier success (FC-5)
        }
        self.usable()?;
        let result = self.publish().await;
        let len = self.latch(result)?;
        self.state = State::Published(len);
        Ok(len)
    }

    async fn abort(&mut self) -> Result<()> {
        if !matches!(self.state, State::Open | State::Torn) {
            return Ok(());
        }
        let at = self.upload.calls.at(&self.upload.key);
        let error = refusal(ErrorKind::Closed, &at, "the object was aborted");
        self.state = State::Failed(error);
        self.gathered = BytesMut::new();
        let upload = self.upload.clone();
        let pieces = self.pieces + 1; // one may be on its way
        let remove = async move {
            let keys = (0..pieces).map(|n| keys::numbered(&upload.folder, n));
            upload.calls.delete_all(keys.collect()).await
        };
        match self.pieces {
            0 => Ok(()),
            _ => self.driver.finish(remove).await,
        }
    }
}

impl NewObject {
    fn usable(&self) -> Result<()> {
        let refuse = |text| {
            let at = self.upload.calls.at(&self.upload.key);
            Err(refusal(ErrorKind::Closed, &at, text))
        };
        match &self.state {
            State::Open => Ok(()),
            State::Torn => refuse("an earlier write was dropped half-way; abort the object"),
            State::Published(_) => refuse("the object is published and never changes"),
            State::Failed(first) => Err(first.clone()),
        }
    }

    fn latch<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(e) = &result {
            self.state = State::Failed(e.clone());
        }
        result
    }

    /// Stores what was gathered as the next piece.
    async fn store_piece(&mut self) -> Result<()> {
        let upload = self.upload.clone();
        let payload = std::mem::take(&mut self.gathered).freeze();
        let number = self.pieces;
        self.pieces += 1;
        let store = async move { upload.piece(number, payload).await };
        self.driver.run(store).await
    }

    /// Publishes; the upload goes on when the future is dropped, and what was
    /// gathered stays, so that a repeat does the same again.
    async fn publish(&mut self) -> Result<u64> {
        let upload = self.upload.clone();
        let rest = Bytes::copy_from_slice(&self.gathered);
        let pieces = self.pieces;
        let publish = async move {
            if pieces == 0 && rest.len() <= INLINE {
                return upload.publish_small(rest).await;
            }
            let len = pieces * PIECE + rest.len() as u64;
            if !rest.is_empty() {
                upload.piece(pieces, rest).await?;
            }
            upload.publish_pieces(len).await
        };
        self.driver.finish(publish).await
    }
}

impl Upload {
    async fn piece(&self, number: u64, payload: Bytes) -> Result<()> {
        let key = keys::numbered(&self.folder, number);
        let head = Head::new(Kind::Piece, self.id, number * PIECE, &payload)?;
        match self.calls.create(&key, &head, payload).await? {
            Created::Now => Ok(()),
            // By a commit that was dropped and goes on: the same bytes.
            Created::Taken(Ok(found)) if found.same_bytes(&head) => Ok(()),
            Created::Taken(_) => Err(taken(&self.calls, &key)),
        }
    }

    async fn publish_small(&self, payload: Bytes) -> Result<u64> {
        let len = payload.len() as u64;
        self.name(Kind::Inline, len, payload).await
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
