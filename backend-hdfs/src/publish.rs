//! The rename that publishes an object, and what became of it when its answer
//! was lost.
//!
//! A temporary's name is random and known to its writer alone. So when it is gone
//! and the target has its length and the very millisecond of its closing, the
//! rename was carried out, and this is one's own success (FC-5).

use crate::fault::{fault, refusal};
use crate::object::taken;
use crate::store::Shared;
use flushproof_api::{Advice, Error, ErrorKind, Outcome, Result};
use hdfs_native::HdfsError;
use hdfs_native::client::FileStatus;
use std::time::{Duration, Instant};

/// The pause before a rename is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// What stands there after a rename that was not simply Ok.
enum Found {
    /// It was carried out.
    Ours,
    /// Another object has the name.
    Theirs,
    /// A folder has the name.
    Folder,
    /// Not carried out yet.
    NotYet,
    /// Neither the temporary nor the object.
    Nothing,
}

/// Renames `temp` to `at`, once.
pub(crate) async fn publish(
    shared: &Shared,
    temp: &str,
    closed: &FileStatus,
    at: &str,
) -> Result<()> {
    let what = "can't publish the object";
    let limit = shared.settings.timeout;
    let began = Instant::now();
    let mut uncertain = false;
    loop {
        let (from, to) = (temp.to_owned(), at.to_owned());
        let renamed = shared.nn.ask(what, at, limit, |client| async move {
            client.rename(&from, &to, false).await
        });
        let error = match renamed.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => {
                uncertain |= may_have_happened(&e);
                fault(what, at, &e)
            }
            Err(e) => {
                uncertain = true;
                e
            }
        };
        let error = match look(shared, temp, closed, at).await {
            Ok(Found::Ours) => return Ok(()),
            Ok(Found::Theirs) => return Err(taken(at)),
            Ok(Found::Folder) => {
                let text = "a folder has the object's name";
                return Err(refusal(ErrorKind::InvalidInput, at, text));
            }
            Ok(Found::NotYet) if !uncertain => {
                return Err(error.with_outcome(Outcome::NotWritten));
            }
            Ok(Found::NotYet) => error,
            Ok(Found::Nothing) => {
                let text = format!("{at}: {what}: its temporary is gone, and no object is there");
                return Err(Error::new(ErrorKind::Io, text));
            }
            Err(e) => e,
        };
        if began.elapsed() > limit {
            return Err(error
                .with_outcome(Outcome::Unknown)
                .with_advice(Advice::Retry));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether the NameNode may have carried out what this answers.
fn may_have_happened(error: &HdfsError) -> bool {
    !matches!(
        error,
        HdfsError::RPCError(..) | HdfsError::AlreadyExists(_) | HdfsError::FileNotFound(_)
    )
}

async fn look(shared: &Shared, temp: &str, closed: &FileStatus, at: &str) -> Result<Found> {
    // In this order: a rename between the two looks shows neither or both, not
    // a wrong one.
    let left = shared.nn.info(temp).await?;
    let there = shared.nn.info(at).await?;
    Ok(match (left, there) {
        (_, Some(there)) if there.isdir => Found::Folder,
        (None, Some(there))
            if there.length == closed.length
                && there.modification_time == closed.modification_time =>
        {
            Found::Ours
        }
        (_, Some(_)) => Found::Theirs,
        (Some(_), None) => Found::NotYet,
        (None, None) => Found::Nothing,
    })
}
