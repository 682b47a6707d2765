//! What everything is called below a journal's root.
//!
//! Numbers in names are decimal with 20 digits, so that the order of names is
//! the order of numbers. Anything else in a folder is a stray file: the parse
//! functions answer `None`, and the engine leaves it alone.

use super::{CHECKPOINT_INDEX, SegmentId};
use flushproof_api::{Epoch, Result, SeqNo, StorePath};

/// The folder of the log segments.
pub const LOG_FOLDER: &str = "log";
/// The folder of the claims.
pub const EPOCH_FOLDER: &str = "epoch";
/// The folder of the starts.
pub const START_FOLDER: &str = "start";
/// The folder of the checkpoints.
pub const CHECKPOINT_FOLDER: &str = "checkpoint";
/// The folder of an operator's requests.
pub const REQUEST_FOLDER: &str = "request";
/// The object that makes a place a journal.
pub const FORMAT_NAME: &str = "FORMAT";

/// Which checkpoint: the state of all entries below a number, written in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId {
    /// It holds the state of all entries below this number.
    pub next_seq: SeqNo,
    /// The epoch whose secret keys its frames.
    pub epoch: Epoch,
}

/// One of the folders, as a path to list.
///
/// # Errors
/// Never for the constants of this module.
pub fn folder(name: &str) -> Result<StorePath> {
    StorePath::new(name)
}

/// `FORMAT`.
///
/// # Errors
/// Never: the name is a valid path.
pub fn format_path() -> Result<StorePath> {
    StorePath::new(FORMAT_NAME)
}

/// `log/<epoch>-<index>`.
///
/// # Errors
/// Never: the name is a valid path.
pub fn log_path(id: SegmentId) -> Result<StorePath> {
    StorePath::new(format!("{LOG_FOLDER}/{:020}-{:020}", id.epoch.0, id.index))
}

/// `epoch/<epoch>`.
///
/// # Errors
/// Never: the name is a valid path.
pub fn epoch_path(epoch: Epoch) -> Result<StorePath> {
    StorePath::new(format!("{EPOCH_FOLDER}/{:020}", epoch.0))
}

/// `start/<epoch>`.
///
/// # Errors
/// Never: the name is a valid path.
pub fn start_path(epoch: Epoch) -> Result<StorePath> {
    StorePath::new(format!("{START_FOLDER}/{:020}", epoch.0))
}

/// `checkpoint/<next-seq>-<epoch>`.
///
/// # Errors
/// Never: the name is a valid path.
pub fn checkpoint_path(id: CheckpointId) -> Result<StorePath> {
    StorePath::new(format!(
        "{CHECKPOINT_FOLDER}/{:020}-{:020}",
        id.next_seq.0, id.epoch.0
    ))
}

/// `request/<id>`.
///
/// # Errors
/// `InvalidInput` when `id` is not one component of a path.
pub fn request_path(id: &str) -> Result<StorePath> {
    if id.contains('/') {
        return StorePath::new(format!("{REQUEST_FOLDER}//{id}")); // refused, with the text
    }
    StorePath::new(format!("{REQUEST_FOLDER}/{id}"))
}

/// Reads `log/<epoch>-<index>`.
pub fn parse_log(path: &StorePath) -> Option<SegmentId> {
    let (epoch, index) = pair(in_folder(path, LOG_FOLDER)?)?;
    // The number of checkpoints is no segment's.
    (index != CHECKPOINT_INDEX).then_some(SegmentId {
        epoch: Epoch(epoch),
        index,
    })
}

/// Reads `epoch/<epoch>`.
pub fn parse_epoch(path: &StorePath) -> Option<Epoch> {
    number(in_folder(path, EPOCH_FOLDER)?).map(Epoch)
}

/// Reads `start/<epoch>`.
pub fn parse_start(path: &StorePath) -> Option<Epoch> {
    number(in_folder(path, START_FOLDER)?).map(Epoch)
}

/// Reads `checkpoint/<next-seq>-<epoch>`.
pub fn parse_checkpoint(path: &StorePath) -> Option<CheckpointId> {
    let (next_seq, epoch) = pair(in_folder(path, CHECKPOINT_FOLDER)?)?;
    Some(CheckpointId {
        next_seq: SeqNo(next_seq),
        epoch: Epoch(epoch),
    })
}

/// Reads `request/<id>`.
pub fn parse_request(path: &StorePath) -> Option<&str> {
    in_folder(path, REQUEST_FOLDER)
}

/// The name, when the path lies directly in the folder.
fn in_folder<'a>(path: &'a StorePath, folder: &str) -> Option<&'a str> {
    let name = path.as_str().strip_prefix(folder)?.strip_prefix('/')?;
    (!name.contains('/')).then_some(name)
}

fn pair(name: &str) -> Option<(u64, u64)> {
    let (a, b) = name.split_once('-')?;
    Some((number(a)?, number(b)?))
}

/// Exactly 20 digits that fit in 64 bits: one name per number.
fn number(text: &str) -> Option<u64> {
    if text.len() != 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
