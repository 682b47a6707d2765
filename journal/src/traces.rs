//! Traces of an epoch that served, where its start is missing.
//!
//! A candidate that never served leaves its claim and log 0, nothing else: the
//! next log is prepared, and a checkpoint written, only past step 7 (by a standby:
//! when it has seen what the primary wrote past it). So any of
//! these behind the head tells that a start was lost, and acknowledged entries
//! with it. An epoch that was claimed to be filled (a restore) is another matter: its
//! logs and its checkpoint are written before its start, and do not count without it.

use crate::commit::serving::Context;
use crate::format::names::{self, CHECKPOINT_FOLDER};
use crate::objects::{list_logs, objects, read_epoch};
use flushproof_api::{Epoch, Error, ErrorKind, Result};

/// Looks for traces of epochs between `head`, the highest with a start (list the
/// starts first), and `below`, an epoch that was claimed before that list: none
/// of those between can have begun to serve since.
///
/// # Errors
/// `Corrupt` that names the missing start; the store's.
pub(crate) async fn check_starts(context: &Context, head: Epoch, below: Epoch) -> Result<()> {
    let io = context.io();
    let mut traces = Vec::new();
    for (id, _) in list_logs(&io).await? {
        if id.index > 0 {
            traces.push((id.epoch, names::log_path(id)?));
        }
    }
    let rows = io.list(&names::folder(CHECKPOINT_FOLDER)?).await?;
    for id in objects(rows, names::parse_checkpoint) {
        traces.push((id.epoch, names::checkpoint_path(id)?));
    }
    for (epoch, path) in traces {
        if epoch <= head || epoch >= below {
            continue;
        }
        match read_epoch(&io, context.journal, epoch).await {
            // What a restore left that did not end.
            Ok(Some(claim)) if claim.fill.is_some() => continue,
            Ok(Some(_)) => {}
            // A stray, or left by another journal in this place.
            Ok(None) => continue,
            Err(e) if e.kind() == ErrorKind::Corrupt => continue,
            Err(e) => return Err(e),
        }
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "{} is missing: epoch {epoch} was served, for it left {path}. Nothing was \
                 changed. Put that object back from a copy",
                names::start_path(epoch)?
            ),
        ));
    }
    Ok(())
}
