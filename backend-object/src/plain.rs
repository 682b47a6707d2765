//! How an object whose path ends in `.gz` is stored: as exactly its bytes, at
//! exactly that key, so that any program reads it, and one of another program
//! can be read here. It has no head.
//!
//! * Up to [`ONE_PUT`] it is one PUT; a longer one is a multipart upload (a block
//!   list at Azure, a resumable upload at Google), whose completion publishes it.
//!   Both on condition that the key is free.
//! * The nonce is in the object's metadata. Who is refused looks at what stands
//!   there, as with a head, and knows an earlier try of its own by it.
//! * A completion's condition is not enough: of two completions at the same moment
//!   SeaweedFS let both succeed in 1 of 20 races, Azurite in none, and some servers
//!   may not know it at all. So every creator first creates a claim,
//!   `.data/PATH/claim`, by the conditional PUT that was tried at open, then looks
//!   whether the key is free, then publishes, then removes the claim. A loser is
//!   told that the object exists. A claim that was left over (its owner died, or
//!   never learned how its last request ended) refuses that path until `sweep`
//!   removes it. Against other programs only the condition helps.
//! * Where blocks of an upload lie that is not complete, Azurite refuses a one-PUT
//!   object: its creator is told so, and takes another name.
//! * OpenDAL's writer holds one part back and sends it with the next call; a part
//!   that it can't send stays there, and the call is repeated. But it loses one
//!   shorter than 5 MiB, the least that S3 takes, when that is refused: so a part goes
//!   only when 8 MiB more are there, and the last one is at least that long.
//! * S3 takes 10,000 parts. They are 8 MiB long, and 8 MiB more after each 1,000: about
//!   430 GiB in all. One is on its way; in memory are 32 to 48 MiB for an object below
//!   8 GB, and about 400 MiB for the longest.
//! * What an upload that was never completed has stored is shown by no listing, and
//!   can't be swept. Whoever drops a writer aborts it; after a kill only a
//!   lifecycle rule of the bucket (abort incomplete multipart uploads) removes it.
//!   Azure and Google do so by themselves after a week.

use crate::calls::{Calls, Created};
use crate::driver::Driver;
use crate::fault::{Failure, refusal};
use crate::head::{Head, Id, Kind};
use crate::keys;
use crate::object::taken;
use crate::reader::PIECE;
use crate::store::Shared;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Outcome, Result, StorePath};
use opendal::Writer;
use opendal::options::{ReadOptions, WriteOptions};
use std::collections::HashMap;
use std::ops::Range;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Below this length an object is one PUT.
pub(crate) const ONE_PUT: usize = 2 * PIECE as usize;
/// After so many parts they grow.
const GROWS: u64 = 1000;
/// S3 takes no more.
const MOST_PARTS: u64 = 10_000;
/// Where the nonce is in the metadata. Azure allows no hyphen, some proxies no underscore.
const NONCE: &str = "flushobjnonce";
/// So many times faster than it takes them a server puts the parts together.
const TOGETHER: u64 = 64;

/// How long the part of this number is, and how much must be gathered before
/// it is stored.
pub(crate) fn part(number: u64) -> (usize, usize) {
    let len = PIECE * (1 + number / GROWS);
    (len as usize, (len + PIECE) as usize)
}

/// What stands at a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub len: u64,
    /// None: another program put it there.
    nonce: Option<Id>,
}

/// What stands at the key of a plain object; `None`: nothing.
pub(crate) async fn look(calls: &Calls, key: &str) -> Result<Option<Standing>> {
    let stat = || calls.operator().stat(key);
    let found = calls.again(0, stat).await;
    let Some(meta) = calls.found(key, found)? else {
        return Ok(None);
    };
    let metadata = meta.user_metadata();
    let nonce = metadata.and_then(|all| Id::parse(all.get(NONCE)?));
    let len = meta.content_length();
    Ok(Some(Standing { len, nonce }))
}

/// These bytes of a plain object; `None` when it is gone.
pub(crate) async fn read(calls: &Calls, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
    let len = range.end - range.start;
    let get = || {
        let options = ReadOptions {
            range: range.clone().into(),
            ..ReadOptions::default()
        };
        calls.operator().read_options(key, options)
    };
    let found = calls.again(len as usize, get).await;
    let Some(bytes) = calls.found(key, found)? else {
        return Ok(None);
    };
    match bytes.len() as u64 == len {
        true => Ok(Some(bytes.to_bytes())),
        false => {
            let text = "it has another length than when it was opened: somebody replaced it; open \
                        it again";
            Err(refusal(ErrorKind::Io, &calls.at(key), text))
        }
    }
}

/// A new plain object.
pub(crate) struct Plain {
    calls: Calls,
    driver: Driver,
    key: String,
    claim: String,
    nonce: Id,
    /// Locked by each request: a commit that was dropped and its repeat.
    upload: Mutex<Upload>,
}

/// A multipart upload.
#[derive(Default)]
struct Upload {
    /// None: not begun, completed or aborted.
    writer: Option<Writer>,
    /// How many parts the writer has got.
    parts: u64,
}

impl Plain {
    pub fn begin(shared: &Shared, path: &StorePath) -> Result<Plain> {
        Ok(Plain {
            calls: shared.calls.clone(),
            driver: shared.driver.clone(),
            key: keys::object(path),
            claim: keys::claim(path),
            nonce: Id::random()?,
            upload: Mutex::default(),
        })
    }

    /// Stores a part; the same one a second time is nothing.
    pub async fn store(&self, number: u64, payload: Bytes) -> Result<()> {
        if number >= MOST_PARTS {
            let text = "the object is too long: a store takes 10,000 parts, about 430 GiB";
            return Err(refusal(
                ErrorKind::TooLarge,
                &self.calls.at(&self.key),
                text,
            ));
        }
        let store = || async {
            let mut upload = self.upload.lock().await;
            if upload.parts > number {
                return Ok(());
            }
            let writer = match &mut upload.writer {
                Some(writer) => writer,
                none => {
                    let writer = self
                        .calls
                        .operator()
                        .writer_options(&self.key, self.options());
                    none.insert(writer.await?)
                }
            };
            writer.write(payload.clone()).await?;
            upload.parts = number + 1;
            Ok(())
        };
        let stored = self.calls.again(payload.len(), store).await;
        stored.map_err(|failure| self.calls.failed(&self.key, &failure))
    }

    /// Publishes what was stored as `parts`, and the `rest` behind them.
    pub async fn publish(&self, parts: u64, rest: Bytes) -> Result<u64> {
        let stored: u64 = (0..parts).map(|n| part(n).0 as u64).sum();
        let len = stored + rest.len() as u64;
        let last = rest.len();
        if parts > 0 {
            self.store(parts, rest.clone()).await?;
        }
        let claimed = match self.claim().await {
            Ok(claimed) => claimed == Created::Now,
            // Perhaps it was taken, and removed since: then the object is there.
            Err(e) if e.kind() == ErrorKind::Io && self.is_there().await? => return Ok(len),
            Err(e) => return Err(e),
        };
        let published = match self.is_there().await {
            Ok(true) => Ok(()),
            Err(e) => Err(e),
            Ok(false) if !claimed => Err(self.claimed_by_another()),
            Ok(false) if parts == 0 => self.put(rest).await,
            Ok(false) => self.complete(last, len).await,
        };
        let known = match &published {
            Ok(()) => true,
            Err(e) => e.outcome() == Outcome::NotWritten,
        };
        // Else a request of ours may still be on its way.
        if claimed
            && known
            && let Err(e) = self.calls.delete(&self.claim).await
        {
            tracing::warn!("a claim is left to be swept: {e}");
        }
        published.map(|()| len)
    }

    /// Gives up what was stored.
    pub async fn discard(&self) -> Result<()> {
        let abort = || async {
            let mut upload = self.upload.lock().await;
            if let Some(writer) = &mut upload.writer {
                writer.abort().await?;
            }
            upload.writer = None;
            Ok(())
        };
        let aborted = self.calls.again(0, abort).await;
        aborted.map_err(|failure| self.calls.failed(&self.key, &failure))
    }

    fn options(&self) -> WriteOptions {
        WriteOptions {
            if_not_exists: true,
            // Not as an encoding: then clients would unpack it on their own.
            content_type: Some("application/gzip".to_owned()),
            user_metadata: Some(HashMap::from([(NONCE.to_owned(), self.nonce.to_string())])),
            ..WriteOptions::default()
        }
    }

    /// When it is ours no other creator publishes.
    async fn claim(&self) -> Result<Created> {
        let head = Head::new(Kind::Ready, self.nonce, 0, &[])?.with_nonce(self.nonce);
        self.calls.create(&self.claim, &head, Bytes::new()).await
    }

    fn claimed_by_another(&self) -> Error {
        let text = "another creator of this object is publishing it, or died while it did so; \
                    look whether it is there, or take another name";
        let at = self.calls.at(&self.key);
        refusal(ErrorKind::AlreadyExists, &at, text)
    }

    /// Whether our object stands at the key; another's is an error.
    async fn is_there(&self) -> Result<bool> {
        match look(&self.calls, &self.key).await? {
            None => Ok(false),
            Some(found) if found.nonce == Some(self.nonce) => Ok(true),
            Some(_) => Err(taken(&self.calls, &self.key)),
        }
    }

    async fn put(&self, body: Bytes) -> Result<()> {
        let put = || {
            let (op, options) = (self.calls.operator(), self.options());
            op.write_options(&self.key, body.clone(), options)
        };
        match self.calls.again(body.len(), put).await {
            Ok(_) => Ok(()),
            Err(failure) => self.refused(&failure).await,
        }
    }

    /// Completes the upload, whose `last` part goes first.
    async fn complete(&self, last: usize, len: u64) -> Result<()> {
        let complete = || async {
            let mut upload = self.upload.lock().await;
            if let Some(writer) = &mut upload.writer {
                writer.close().await?;
            }
            upload.writer = None;
            Ok(())
        };
        let more = (len / TOGETHER) as usize;
        match self.calls.again(last + more, complete).await {
            Ok(()) => Ok(()),
            Err(failure) => self.refused(&failure).await,
        }
    }

    /// What stands at the key decides: an earlier try of ours may have arrived,
    /// and the next was refused in whatever words.
    async fn refused(&self, failure: &Failure) -> Result<()> {
        if !failure.passes() && self.is_there().await? {
            self.upload.lock().await.writer = None;
            return Ok(());
        }
        if failure.kind() == Some(opendal::ErrorKind::ConditionNotMatch) {
            let text = "the store says that the key is taken, but there is no object: another \
                        creator has begun to upload one, or it was deleted meanwhile; take another \
                        name";
            let text = format!("{}: {text}", self.calls.at(&self.key));
            return Err(Error::new(ErrorKind::AlreadyExists, text));
        }
        Err(self.calls.failed(&self.key, failure))
    }
}

impl Drop for Plain {
    /// Aborts an upload that was not completed, as well as that goes.
    fn drop(&mut self) {
        let Some(mut writer) = self.upload.get_mut().writer.take() else {
            return;
        };
        let (driver, limit) = (self.driver.clone(), self.calls.request_limit(0));
        self.driver.spawn(async move {
            if !matches!(timeout(limit, writer.abort()).await, Ok(Ok(()))) {
                tracing::debug!("an upload that was dropped could not be aborted");
            }
            drop(driver); // lives until here
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_430_gib_and_each_is_long_enough_for_s3() {
        assert_eq!(part(0), (8 << 20, ONE_PUT));
        let all: u64 = (0..MOST_PARTS).map(|n| part(n).0 as u64).sum();
        assert_eq!(all >> 30, 429);
        for number in [0, 1, GROWS - 1, GROWS, MOST_PARTS - 1] {
            let (len, full) = part(number);
            assert!(len >= 5 << 20 && full - len >= 5 << 20, "{number}");
            // The last part is one that never became full.
            assert!(full <= 88 << 20, "{number}");
        }
    }
}
