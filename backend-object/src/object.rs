//! The writer of one object: it gathers parts, stores them, and publishes. How,
//! is a matter of the path: see `plain` for what ends in `.gz`, `pieces` for all else.

use crate::calls::Calls;
use crate::driver::Driver;
use crate::fault::refusal;
use crate::keys;
use crate::pieces::{INLINE, Pieces};
use crate::plain::{self, ONE_PUT, Plain};
use crate::reader::PIECE;
use crate::store::Shared;
use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, ObjectOptions, ObjectWriter, Result, StorePath};
use std::sync::Arc;

/// Begins an object.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    path: &StorePath,
    options: ObjectOptions,
) -> Result<NewObject> {
    let key = keys::object(path);
    let calls = &shared.calls;
    let plain = keys::is_plain(path);
    let small = if plain { ONE_PUT } else { INLINE };
    // A small one learns at its commit whether the key is taken.
    if options.size_hint.is_none_or(|len| len > small as u64) {
        let there = match plain {
            true => plain::look(calls, &key).await?.is_some(),
            false => calls.head(&key).await?.is_some(),
        };
        if there {
            return Err(taken(calls, &key));
        }
    }
    let way = match plain {
        true => Way::Plain(Plain::begin(shared, path)?),
        false => Way::Pieces(Pieces::begin(shared, path)?),
    };
    Ok(NewObject {
        driver: shared.driver.clone(),
        calls: calls.clone(),
        key,
        way: Arc::new(way),
        gathered: BytesMut::new(),
        parts: 0,
        state: State::Open,
    })
}

/// The key holds an object already.
pub(crate) fn taken(calls: &Calls, key: &str) -> Error {
    refusal(
        ErrorKind::AlreadyExists,
        &calls.at(key),
        "the object exists",
    )
}

/// How the bytes of an object are stored.
enum Way {
    Pieces(Pieces),
    Plain(Plain),
}

impl Way {
    /// How long the part of this number is, and how much must be gathered
    /// before it is stored.
    fn part(&self, number: u64) -> (usize, usize) {
        match self {
            Way::Pieces(_) => (PIECE as usize, PIECE as usize),
            Way::Plain(_) => plain::part(number),
        }
    }

    async fn store(&self, number: u64, payload: Bytes) -> Result<()> {
        match self {
            Way::Pieces(pieces) => pieces.store(number, payload).await,
            Way::Plain(plain) => plain.store(number, payload).await,
        }
    }

    async fn publish(&self, parts: u64, rest: Bytes) -> Result<u64> {
        match self {
            Way::Pieces(pieces) => pieces.publish(parts, rest).await,
            Way::Plain(plain) => plain.publish(parts, rest).await,
        }
    }

    async fn discard(&self, parts: u64) -> Result<()> {
        match self {
            Way::Pieces(pieces) => pieces.discard(parts).await,
            Way::Plain(plain) => plain.discard().await,
        }
    }
}

/// The writer of one object.
pub(crate) struct NewObject {
    driver: Driver,
    calls: Calls,
    key: String,
    way: Arc<Way>,
    /// What is not in a part yet.
    gathered: BytesMut,
    /// How many parts are stored.
    parts: u64,
    state: State,
}

impl std::fmt::Debug for NewObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NewObject").field(&self.key).finish()
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
            let (part, full) = self.way.part(self.parts);
            let room = full - self.gathered.len();
            self.gathered
                .extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.gathered.len() == full {
                self.state = State::Torn;
                let stored = self.store(part).await;
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
        let at = self.calls.at(&self.key);
        let error = refusal(ErrorKind::Closed, &at, "the object was aborted");
        self.state = State::Failed(error);
        self.gathered = BytesMut::new();
        let way = self.way.clone();
        let parts = self.parts + 1; // one may be on its way
        match self.parts {
            0 => Ok(()),
            _ => {
                let discard = async move { way.discard(parts).await };
                self.driver.finish(discard).await
            }
        }
    }
}

impl NewObject {
    fn usable(&self) -> Result<()> {
        let refuse = |text| {
            let at = self.calls.at(&self.key);
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

    /// Stores the first `part` bytes of what was gathered as the next part.
    async fn store(&mut self, part: usize) -> Result<()> {
        let way = self.way.clone();
        let payload = Bytes::copy_from_slice(&self.gathered[..part]);
        self.gathered.advance(part);
        let number = self.parts;
        self.parts += 1;
        let store = async move { way.store(number, payload).await };
        self.driver.run(store).await
    }

    /// Publishes; the upload goes on when the future is dropped, and what was
    /// gathered stays, so that a repeat does the same again.
    async fn publish(&mut self) -> Result<u64> {
        let way = self.way.clone();
        let rest = Bytes::copy_from_slice(&self.gathered);
        let parts = self.parts;
        let publish = async move { way.publish(parts, rest).await };
        self.driver.finish(publish).await
    }
}
