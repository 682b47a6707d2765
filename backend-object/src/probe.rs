//! The trials at open: does this store honour "create only if it is not there"?
//!
//! Some ignore the condition, some look first and write later, so that of two
//! creators at the same moment both succeed. No fence would hold there. The trial
//! with two creators in turn finds the first kind always; the races find the
//! second with a probability that grows with their number.

use crate::calls::{Calls, Created, NOBODY};
use crate::fault::{Failure, refusal};
use crate::head::{Head, Id, Kind};
use crate::keys;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Result};
use futures_util::future::join_all;
use opendal::Buffer;
use std::time::Duration;
use tokio::time::Instant;

/// How many keys are raced for.
const RACES: u64 = 24;
/// How many race for each. Two: some stores serve more of them very slowly.
const RACERS: usize = 2;
/// How many races run at the same time.
const AT_ONCE: u64 = 8;

/// What the trials found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    /// Conditions are honoured; how long a PUT took.
    Trusted {
        /// The median of a few.
        put: Duration,
    },
    /// Opened for reading only: nothing was tried.
    Unlooked,
    /// They are not.
    Broken {
        /// What happened.
        what: String,
    },
}

/// Tries it, and removes what it made.
pub(crate) async fn probe(calls: &Calls) -> Result<Probed> {
    let folder = format!("{}{}/", keys::TRIAL, Id::random()?);
    let found = try_all(calls, &folder).await;
    let mut made: Vec<_> = (0..RACES).map(|n| keys::numbered(&folder, n)).collect();
    made.push(keys::end(&folder));
    made.push(warm(&folder));
    // What is left is swept later; it is no reason to refuse the store.
    if let Err(e) = calls.delete_all(made).await {
        tracing::warn!("the trials' objects could not be deleted: {e}");
    }
    found
}

/// The key of the trial that takes the time.
fn warm(folder: &str) -> String {
    format!("{folder}time")
}

async fn try_all(calls: &Calls, folder: &str) -> Result<Probed> {
    if let Some(what) = in_turn(calls, &keys::end(folder)).await? {
        return Ok(Probed::Broken { what });
    }
    let put = one_put(calls, &warm(folder)).await?;
    for first in (0..RACES).step_by(AT_ONCE as usize) {
        let keys: Vec<_> = (first..RACES.min(first + AT_ONCE))
            .map(|n| keys::numbered(folder, n))
            .collect();
        let races = keys.iter().map(|key| race(calls, key));
        for found in join_all(races).await {
            if let Some(what) = found? {
                return Ok(Probed::Broken { what });
            }
        }
    }
    Ok(Probed::Trusted { put })
}

fn trial() -> Result<(Head, Bytes)> {
    let payload = Bytes::copy_from_slice(&Id::random()?.0);
    Ok((Head::new(Kind::Trial, NOBODY, 0, &payload)?, payload))
}

/// Two creators, one after the other: what is wrong, if anything.
async fn in_turn(calls: &Calls, key: &str) -> Result<Option<String>> {
    let (first, payload) = trial()?;
    if calls.create(key, &first, payload).await? != Created::Now {
        let text = format!("{}: a key that nobody can know is taken", calls.at(key));
        return Err(Error::new(ErrorKind::Io, text));
    }
    let (second, payload) = trial()?;
    let created = calls.create(key, &second, payload).await?;
    let stands = standing(calls, key).await.map_err(|e| match e.kind() {
        // Nobody else can know this key.
        ErrorKind::Corrupt => {
            let text = "what was stored there a moment ago can't be read back; is the endpoint \
                        that of an object store? (option endpoint)";
            refusal(ErrorKind::InvalidInput, &calls.at(key), text)
        }
        _ => e,
    })?;
    Ok(match (created, stands) {
        (Created::Now, _) => Some(
            "it ignores If-None-Match: a second PUT of the same key, on condition that it is not \
             there, succeeded"
                .to_owned(),
        ),
        (Created::Taken(_), Some(nonce)) if nonce == first.nonce => None,
        (Created::Taken(_), _) => Some(
            "it refused a second PUT of the same key, but lost or replaced the bytes of the first"
                .to_owned(),
        ),
    })
}

/// The nonce of the trial that stands at `key`, whole.
async fn standing(calls: &Calls, key: &str) -> Result<Option<Id>> {
    let found = calls.open(key, Kind::Trial).await?;
    Ok(found.map(|(head, _)| head.nonce))
}

/// How long one PUT takes, once the connection is there.
async fn one_put(calls: &Calls, key: &str) -> Result<Duration> {
    let (head, payload) = trial()?;
    let began = Instant::now();
    calls.create(key, &head, payload).await?;
    Ok(began.elapsed())
}

/// Several creators at the same moment: what is wrong, if anything.
async fn race(calls: &Calls, key: &str) -> Result<Option<String>> {
    let mut heads = Vec::new();
    let mut bodies = Vec::new();
    for _ in 0..RACERS {
        let (head, payload) = trial()?;
        bodies.push(Buffer::from(vec![head.encode(), payload]));
        heads.push(head.nonce);
    }
    let limit = calls.request_limit(0);
    let puts = bodies.into_iter().map(|body| calls.put(key, body, limit));
    let results = join_all(puts).await;
    let winners: Vec<Id> = results
        .iter()
        .zip(&heads)
        .filter_map(|(result, nonce)| result.is_ok().then_some(*nonce))
        .collect();
    if winners.len() > 1 {
        return Ok(Some(
            "of two creators of one key at the same moment both succeeded".to_owned(),
        ));
    }
    let stands = standing(calls, key).await?;
    // Who got no clear answer may have won all the same.
    let unclear = results
        .iter()
        .any(|r| r.as_ref().is_err_and(Failure::passes));
    match winners.first() {
        Some(winner) if stands != Some(*winner) => Ok(Some(
            "of two creators of one key at the same moment one was told that it had succeeded, but \
             the bytes are not its own"
                .to_owned(),
        )),
        None if stands.is_none() && !unclear => Ok(Some(
            "two creators of one key at the same moment were both refused, and there is nothing"
                .to_owned(),
        )),
        _ => Ok(None),
    }
}
