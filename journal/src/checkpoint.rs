//! Checkpoints: writing one, finding those that count, reading one.

use crate::commit::core::Core;
use crate::commit::serving::Context;
use crate::commit::state::now_ms;
use crate::format::checkpoint::{CheckpointEncoder, CheckpointReader};
use crate::format::names::{self, CHECKPOINT_FOLDER, CheckpointId};
use crate::format::{CHECKPOINT_INDEX, Entries, Nonce, SegmentKey};
use crate::objects::{Starts, objects};
use crate::trim::{Trimmed, trim};
use bytes::Bytes;
use flushproof_api::{
    Epoch, Error, ErrorKind, ObjectOptions, ObjectWriter, Outcome, Result, SeqNo, Source,
};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// A checkpoint that counts: its epoch was served, so its secret is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub id: CheckpointId,
    pub key: SegmentKey,
}

/// The checkpoints whose epoch has a start object of this journal, the newest first.
pub(crate) async fn list_counting(context: &Context, starts: &Starts) -> Result<Vec<Found>> {
    let rows = context
        .io()
        .list(&names::folder(CHECKPOINT_FOLDER)?)
        .await?;
    let mut found = Vec::new();
    for id in objects(rows, names::parse_checkpoint).into_iter().rev() {
        if let Some(start) = starts.get(id.epoch).await? {
            found.push(Found {
                id,
                key: key(context, id.epoch, start.nonce),
            });
        }
    }
    Ok(found)
}

fn key(context: &Context, epoch: Epoch, nonce: Nonce) -> SegmentKey {
    SegmentKey {
        journal: context.journal,
        nonce,
        epoch,
        index: CHECKPOINT_INDEX,
    }
}

/// What a whole checkpoint holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub entries: u64,
    pub bytes: u64,
    pub created_ms: u64,
}

/// Reads all of a checkpoint; Ok only if it is whole and undamaged.
pub(crate) async fn verify(context: &Context, found: &Found) -> Result<Contents> {
    let mut reader = open(context, found, Source::Medium).await?;
    let mut contents = Contents {
        created_ms: reader.head().created_ms,
        ..Contents::default()
    };
    let path = names::checkpoint_path(found.id)?;
    while let Some(frame) = reader.next().await.map_err(|e| e.context(&path))? {
        contents.entries += u64::from(frame.header.count);
        contents.bytes += frame.body.len() as u64;
    }
    Ok(contents)
}

async fn open(context: &Context, found: &Found, source: Source) -> Result<CheckpointReader> {
    let path = names::checkpoint_path(found.id)?;
    let Some(reader) = context.io().open(&path, source).await? else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("{path} went away while it was read"),
        ));
    };
    CheckpointReader::open(reader, found.key, found.id)
        .await
        .map_err(|e| e.context(path))
}

/// The newest checkpoint that is whole. Damaged ones are passed over and named:
/// the one before it is kept for that.
pub(crate) async fn newest_whole(
    context: &Context,
    counting: &[Found],
) -> Result<(Option<Found>, Vec<String>)> {
    let mut damaged = Vec::new();
    let mut unread = None;
    for found in counting {
        match verify(context, found).await {
            Ok(_) => return Ok((Some(*found), damaged)),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                tracing::error!(error = %e, "a checkpoint is damaged; using the one before it");
                damaged.push(e.to_string());
            }
            // So is one of which the medium gives not all back, if there is another.
            Err(e) if e.kind() == ErrorKind::Io => {
                tracing::error!(error = %e, "a checkpoint can't be read; using the one before it");
                damaged.push(e.to_string());
                unread.get_or_insert(e);
            }
            Err(e) => return Err(e),
        }
    }
    unread.map_or(Ok((None, damaged)), Err)
}

/// The entries of a checkpoint, which recreate the state of all entries below
/// [`next_seq`](CheckpointEntries::next_seq). Replace your state by them.
pub struct CheckpointEntries {
    id: CheckpointId,
    reader: Box<CheckpointReader>,
    entries: Option<Entries>,
    read: Arc<AtomicBool>,
}

impl CheckpointEntries {
    pub(crate) async fn open(context: &Context, found: &Found) -> Result<CheckpointEntries> {
        Ok(CheckpointEntries {
            id: found.id,
            reader: Box::new(open(context, found, Source::Any).await?),
            entries: None,
            read: Arc::default(),
        })
    }

    /// Tells whether all of it was read.
    pub(crate) fn was_read(&self) -> Arc<AtomicBool> {
        self.read.clone()
    }

    /// The checkpoint holds the state of all entries below this number.
    pub fn next_seq(&self) -> SeqNo {
        self.id.next_seq
    }

    /// The next entry; `None` behind the last.
    ///
    /// # Errors
    /// The store's; `Corrupt`: discard the state made so far.
    /// # Cancel safety
    /// Safe: no entry is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some((_, entry)) = self.entries.as_mut().and_then(Iterator::next) {
                return Ok(Some(entry));
            }
            match self.reader.next().await? {
                Some(frame) => self.entries = Some(frame.entries()),
                None => {
                    self.read.store(true, SeqCst);
                    return Ok(None);
                }
            }
        }
    }
}

impl fmt::Debug for CheckpointEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointEntries")
            .field("next_seq", &self.next_seq())
            .finish()
    }
}

/// A checkpoint that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// It holds the state of all entries below this number.
    pub next_seq: SeqNo,
    /// How many entries it has.
    pub entries: u64,
    /// What was dropped, because the checkpoint replaces it.
    pub trimmed: Trimmed,
}

/// Writes a checkpoint: a row of entries that recreate a state.
///
/// Nothing is visible before [`commit`](CheckpointWriter::commit); dropping the
/// writer publishes nothing.
pub struct CheckpointWriter {
    context: Context,
    found: Found,
    encoder: CheckpointEncoder,
    object: Option<Box<dyn ObjectWriter>>,
    /// Resolves when every entry below the checkpoint is durable.
    durable: BoxFuture<'static, Result<()>>,
    /// A primary trims behind its checkpoint; a standby does not.
    primary: Option<Arc<Core>>,
    entries: u64,
}

impl CheckpointWriter {
    pub(crate) async fn begin(
        context: &Context,
        epoch: Epoch,
        nonce: Nonce,
        at: SeqNo,
        durable: BoxFuture<'static, Result<()>>,
        primary: Option<Arc<Core>>,
    ) -> Result<CheckpointWriter> {
        let found = Found {
            id: CheckpointId {
                next_seq: at,
                epoch,
            },
            key: key(context, epoch, nonce),
        };
        let (encoder, head) = CheckpointEncoder::new(found.key, at, now_ms());
        let mut writer = CheckpointWriter {
            context: context.clone(),
            found,
            encoder,
            object: None,
            durable,
            primary,
            entries: 0,
        };
        let path = names::checkpoint_path(found.id)?;
        let io = context.io();
        match io.create_object(&path, ObjectOptions::default()).await {
            Ok(object) => writer.object = Some(object),
            // The name is taken: the one that is there is checked at commit.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        writer.write(head).await?;
        Ok(writer)
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let limit = self.context.config.store_timeout;
        match &mut self.object {
            Some(object) => crate::objects::bound(limit, object.write(bytes)).await,
            None => Ok(()),
        }
    }

    /// Adds one entry of the state.
    ///
    /// # Errors
    /// `TooLarge` over a frame; the store's: drop the writer then.
    /// # Cancel safety
    /// A dropped call may leave the object unfit: drop the writer then.
    pub async fn entry(&mut self, entry: &[u8]) -> Result<()> {
        let full = self.encoder.push(entry)?;
        self.entries += 1;
        match full {
            Some(bytes) => self.write(bytes).await,
            None => Ok(()),
        }
    }

    /// Publishes the checkpoint: waits until every entry below it is durable,
    /// reads it back, and drops what it replaces.
    ///
    /// # Errors
    /// The journal's failure; the store's; `Corrupt` when it does not read back
    /// as it was written: nothing is dropped then.
    /// # Cancel safety
    /// The checkpoint is published whole or not at all; the trim may be cut
    /// short and is taken up by the next one.
    pub async fn commit(mut self) -> Result<Checkpointed> {
        let (encoder, _) = CheckpointEncoder::new(self.found.key, self.found.id.next_seq, 0);
        let last = std::mem::replace(&mut self.encoder, encoder).finish();
        self.write(last).await?;
        self.durable.as_mut().await?;
        if let Some(mut object) = self.object.take() {
            let limit = self.context.config.store_timeout;
            match crate::objects::bound(limit, object.commit()).await {
                Ok(_) => {}
                // A good one under this name is success: it is read below.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) if e.outcome() == Outcome::Unknown && e.kind() == ErrorKind::TimedOut => {
                    tracing::warn!(error = %e, "the checkpoint's publication is in doubt");
                }
                Err(e) => return Err(e.context("publishing a checkpoint")),
            }
        }
        let read = verify(&self.context, &self.found)
            .await
            .map_err(|e| e.context("reading the checkpoint back"))?;
        let trimmed = match &self.primary {
            // A take-over from oneself may have raised the epoch meanwhile.
            Some(core) => trim(core, Some(self.found.id))
                .await
                .map_err(|e| e.context("the checkpoint is published; trimming behind it"))?,
            None => Trimmed::default(),
        };
        Ok(Checkpointed {
            next_seq: self.found.id.next_seq,
            entries: read.entries,
            trimmed,
        })
    }
}

impl fmt::Debug for CheckpointWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointWriter")
            .field("next_seq", &self.found.id.next_seq)
            .field("entries", &self.entries)
            .finish()
    }
}
