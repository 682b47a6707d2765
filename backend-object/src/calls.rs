//! [`Calls`]: the requests that this backend makes, each with a deadline.
//!
//! There is no retry layer below this module. Requests that may be repeated are
//! tried again until the deadline. A conditional PUT is one of them only because
//! of the nonce: where the store says that the key is taken, the head that stands
//! there is read back, and the own nonce in it means that an earlier try of
//! the very same bytes had arrived.

use crate::fault::Failure;
use crate::head::{HEAD, Head, Id, Kind, Strange};
use crate::secrets::Secrets;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Result};
use futures_util::TryStreamExt;
use opendal::options::{ListOptions, ReadOptions, WriteOptions};
use opendal::{Buffer, Operator};
use std::future::Future;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout};

/// The first pause before a request is tried again; each is twice as long.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Bytes that get a second more each.
const BYTES_PER_SECOND: usize = 1 << 20;
/// How often a listing that failed begins again, at most.
const LISTINGS: u32 = 10;
/// The most rows of one listing: a store that never ends is stopped.
pub(crate) const MAX_LISTED: usize = 1 << 22;

/// The service, and how patient we are with it.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    op: Operator,
    /// The root, for messages.
    place: String,
    secrets: Secrets,
    timeout: Duration,
    request_timeout: Duration,
}

/// What became of a conditional PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// The key holds these very bytes.
    Now,
    /// It holds something else: its head, if it is one of ours.
    Taken(std::result::Result<Head, Strange>),
}

/// A listed key.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub key: String,
    pub len: u64,
    pub modified: Option<SystemTime>,
}

impl Calls {
    pub fn new(
        op: Operator,
        place: String,
        secrets: Secrets,
        times: (Duration, Duration),
    ) -> Calls {
        Calls {
            op,
            place,
            secrets,
            timeout: times.0,
            request_timeout: times.1.min(times.0),
        }
    }

    /// The same calls with a shorter deadline.
    pub fn hurried(&self, timeout: Duration) -> Calls {
        let timeout = self.timeout.min(timeout);
        Calls {
            timeout,
            request_timeout: self.request_timeout.min(timeout),
            ..self.clone()
        }
    }

    /// The service itself; for calls of [`again`](Self::again).
    pub fn operator(&self) -> &Operator {
        &self.op
    }

    /// The key as messages show it.
    pub fn at(&self, key: &str) -> String {
        format!("{}/{key}", self.place)
    }

    /// Creates `key` if it is free. One PUT for each try, always the same bytes.
    pub async fn create(&self, key: &str, head: &Head, payload: Bytes) -> Result<Created> {
        let body = Buffer::from(vec![head.encode(), payload]);
        let what = "can't be written";
        let patience = Patience::new(self, body.len());
        let mut tries = 0;
        loop {
            let failure = match self.put(key, body.clone(), patience.limit()).await {
                Ok(()) => return Ok(Created::Now),
                Err(failure) => failure,
            };
            if failure.kind() == Some(opendal::ErrorKind::ConditionNotMatch) {
                // Or an earlier try of ours that seemed to fail. Time for one more
                // request there always is.
                let hurried = self.hurried(patience.left().max(self.request_timeout));
                return match hurried.head(key).await? {
                    Some(Ok(found)) if found.nonce == head.nonce => Ok(Created::Now),
                    Some(found) => Ok(Created::Taken(found)),
                    None => Err(Error::new(
                        ErrorKind::Io,
                        format!(
                            "{}: {what}: the store says that the key is taken, but there is no \
                             object; it was deleted meanwhile",
                            self.at(key)
                        ),
                    )),
                };
            }
            if !failure.passes() || !patience.pause(tries).await {
                return Err(failure.error(what, &self.at(key), &self.secrets));
            }
            tries += 1;
            tracing::debug!(key, tries, "a conditional PUT is tried again");
        }
    }

    /// One conditional PUT, tried once.
    pub async fn put(
        &self,
        key: &str,
        body: Buffer,
        limit: Duration,
    ) -> std::result::Result<(), Failure> {
        let options = WriteOptions {
            if_not_exists: true,
            ..WriteOptions::default()
        };
        match timeout(limit, self.op.write_options(key, body, options)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Failure::Said(e)),
            Err(_) => Err(Failure::Silent(limit)),
        }
    }

    /// The whole object; `None` when there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let read = || self.op.read(key);
        let found = self.again(0, read).await;
        Ok(self.found(key, found)?.map(|buffer| buffer.to_bytes()))
    }

    /// Head and payload of an object of this kind; `None` when there is none.
    pub async fn open(&self, key: &str, kind: Kind) -> Result<Option<(Head, Bytes)>> {
        let Some(bytes) = self.get(key).await? else {
            return Ok(None);
        };
        let (head, payload) = Head::open(&bytes).map_err(|s| s.error(&self.at(key)))?;
        match head.kind == kind {
            true => Ok(Some((head, payload))),
            false => Err(Strange::Damaged.error(&self.at(key))),
        }
    }

    /// The head of an object, whatever follows it; `None` when there is none.
    pub async fn head(&self, key: &str) -> Result<Option<std::result::Result<Head, Strange>>> {
        let begin = || {
            let options = ReadOptions {
                range: (0..HEAD as u64).into(),
                ..ReadOptions::default()
            };
            self.op.read_options(key, options)
        };
        let found = match self.again(0, begin).await {
            // Shorter than a head: somebody else's.
            Err(f) if !f.passes() && f.kind().is_some_and(short) => {
                return Ok(self.get(key).await?.map(|bytes| Head::decode(&bytes)));
            }
            found => found,
        };
        let found = self.found(key, found)?;
        Ok(found.map(|buffer| Head::decode(&buffer.to_bytes())))
    }

    /// What a reading found; `None` when there is no such object.
    pub fn found<T>(&self, key: &str, found: std::result::Result<T, Failure>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(f) if f.is_missing() => Ok(None),
            Err(f) => Err(f.error("can't be read", &self.at(key), &self.secrets)),
        }
    }

    /// Lists what begins with `prefix`; with `deep` below folders too, else
    /// folders end with a slash. What `take` does not want is left out.
    pub async fn list<T>(
        &self,
        prefix: &str,
        deep: bool,
        take: impl Fn(Found) -> Option<T>,
    ) -> Result<Vec<T>> {
        let mut patience = Patience::new(self, 0);
        let mut tries = 0;
        loop {
            let mut listed = 0;
            let failure = match self.list_once(prefix, deep, &take, &mut listed).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            if listed > 0 {
                // A long one begins again: the server answers, for a while.
                patience = Patience::new(self, 0);
            }
            if !failure.passes() || tries >= LISTINGS || !patience.pause(tries).await {
                return Err(failure.error("can't be listed", &self.at(prefix), &self.secrets));
            }
            tries += 1;
        }
    }

    async fn list_once<T>(
        &self,
        prefix: &str,
        deep: bool,
        take: &impl Fn(Found) -> Option<T>,
        listed: &mut usize,
    ) -> std::result::Result<Vec<T>, Failure> {
        let limit = self.request_timeout;
        let options = ListOptions {
            recursive: deep,
            ..ListOptions::default()
        };
        let lister = timeout(limit, self.op.lister_options(prefix, options)).await;
        let mut lister = lister
            .map_err(|_| Failure::Silent(limit))?
            .map_err(Failure::Said)?;
        let mut rows = Vec::new();
        // Each page is bounded: a long list may take long.
        while let Some(entry) = timeout(limit, lister.try_next())
            .await
            .map_err(|_| Failure::Silent(limit))?
            .map_err(Failure::Said)?
        {
            *listed += 1;
            if *listed > MAX_LISTED {
                let text = "the listing does not end";
                let error = opendal::Error::new(opendal::ErrorKind::Unexpected, text);
                return Err(Failure::Said(error));
            }
            let meta = entry.metadata();
            rows.extend(take(Found {
                key: entry.path().to_owned(),
                len: meta.content_length(),
                modified: meta.last_modified().map(SystemTime::from),
            }));
        }
        Ok(rows)
    }

    /// Deletes one key; a missing one is Ok.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.again(0, || self.op.delete(key)).await {
            Ok(()) => Ok(()),
            Err(f) if f.is_missing() => Ok(()),
            Err(f) => Err(f.error("can't be deleted", &self.at(key), &self.secrets)),
        }
    }

    /// Deletes many keys, as many with one request as the service takes.
    pub async fn delete_all(&self, keys: Vec<String>) -> Result<()> {
        for some in keys.chunks(1000) {
            let call = || self.op.delete_iter(some.to_vec());
            if let Err(f) = self.again(some.len() << 14, call).await {
                let at = self.at(some.first().map_or("", String::as_str));
                return Err(f.error("can't be deleted", &at, &self.secrets));
            }
        }
        Ok(())
    }

    /// Tries a request that moves `len` bytes and may be repeated until it works,
    /// fails for good, or the deadline has passed.
    pub async fn again<T, F>(
        &self,
        len: usize,
        call: impl Fn() -> F,
    ) -> std::result::Result<T, Failure>
    where
        F: Future<Output = opendal::Result<T>>,
    {
        let patience = Patience::new(self, len);
        let mut tries = 0;
        loop {
            let limit = patience.limit();
            let failure = match timeout(limit, call()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(e)) => Failure::Said(e),
                Err(_) => Failure::Silent(limit),
            };
            if !failure.passes() || !patience.pause(tries).await {
                return Err(failure);
            }
            tries += 1;
        }
    }

    /// The error of a request that should have written.
    pub fn failed(&self, key: &str, failure: &Failure) -> Error {
        failure.error("can't be written", &self.at(key), &self.secrets)
    }

    /// How long one request that moves `len` bytes may take.
    pub fn request_limit(&self, len: usize) -> Duration {
        self.request_timeout + extra(len)
    }
}

/// Whether a reading of a head failed because the object is shorter.
fn short(kind: opendal::ErrorKind) -> bool {
    use opendal::ErrorKind as K;
    matches!(kind, K::Unexpected | K::RangeNotSatisfied)
}

/// More time for more bytes.
fn extra(len: usize) -> Duration {
    Duration::from_millis((len as u64) * 1000 / BYTES_PER_SECOND as u64)
}

/// The deadlines of one operation.
struct Patience {
    until: Instant,
    request: Duration,
}

impl Patience {
    fn new(calls: &Calls, len: usize) -> Patience {
        Patience {
            until: Instant::now() + calls.timeout + extra(len),
            request: calls.request_limit(len),
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// How long the next request may take.
    fn limit(&self) -> Duration {
        self.request.min(self.left())
    }

    /// Waits before the next try; false: there is no time for one.
    async fn pause(&self, tries: u32) -> bool {
        let pause = PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
        if Instant::now() + pause >= self.until {
            return false;
        }
        sleep(pause).await;
        true
    }
}

/// The nonce of nobody, for objects that belong to no log and no upload.
pub(crate) const NOBODY: Id = Id::NONE;
