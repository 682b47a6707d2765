//! [`Info`]: what a journal is made of, for operators.

use crate::chain::{self, Segment};
use crate::format::{JournalId, SegmentId, TailVerdict};
use crate::objects::{list_epochs, list_logs, read_epoch};
use crate::view::{View, settled};
use crate::{JournalReader, SeqNo};
use flushproof_api::{Epoch, FlushContract, Result, Space};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// What a journal is made of, as it is now.
#[derive(Clone, Debug)]
pub struct Info {
    /// Its identity.
    pub id: JournalId,
    /// When it was formatted, in ms since 1970.
    pub created_ms: u64,
    /// What the store promises.
    pub contract: FlushContract,
    /// The epoch that serves or served last; 0 before the first.
    pub epoch: Epoch,
    /// The oldest entry that is still in a segment.
    pub first: SeqNo,
    /// Every entry below it is certainly durable.
    pub durable: SeqNo,
    /// The number after the last whole entry.
    pub end: SeqNo,
    /// The newest checkpoint holds the state of all entries below it.
    pub checkpoint: Option<SeqNo>,
    /// Whether the last segment was closed by its owner.
    pub closed: bool,
    /// Bytes behind the last whole entry: torn, or in progress.
    pub undecided_bytes: u64,
    /// Durable bytes of the last segment are damaged: what is said of the end is
    /// what stands before the damage. [`JournalReader::verify`] lists all of it.
    pub damage: Option<String>,
    /// The epochs, the oldest first.
    pub epochs: Vec<EpochInfo>,
    /// The segments, by name.
    pub segments: Vec<SegmentInfo>,
    /// The checkpoints, the newest first.
    pub checkpoints: Vec<CheckpointInfo>,
    /// The room that is left, where the store says.
    pub space: Option<Space>,
}

/// A claimed epoch.
#[derive(Clone, Debug)]
pub struct EpochInfo {
    /// Its number.
    pub epoch: Epoch,
    /// When it was claimed, in ms since 1970.
    pub claimed_ms: u64,
    /// By which process.
    pub who: String,
    /// Where that can be reached.
    pub address: String,
    /// Whether it was served.
    pub served: bool,
}

/// A segment.
#[derive(Clone, Debug)]
pub struct SegmentInfo {
    /// Epoch and index.
    pub id: SegmentId,
    /// Its length on the store, prepared room included.
    pub len: u64,
    /// Its entries and where they end, if it is on the chain.
    pub entries: Option<SegmentRange>,
    /// When it was last written.
    pub modified: Option<SystemTime>,
}

/// What a segment on the chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRange {
    /// The number of its first entry.
    pub first: SeqNo,
    /// The number after its last.
    pub end: SeqNo,
    /// The offset at which they end.
    pub bytes: u64,
}

/// A checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// It holds the state of all entries below this number.
    pub next_seq: SeqNo,
    /// The epoch in which it was written.
    pub epoch: Epoch,
}

/// How often damage at the end is looked at, until it is the same twice.
const LOOKS: usize = 8;

fn range_of(segment: &Segment) -> SegmentRange {
    SegmentRange {
        first: segment.first_seq,
        end: segment.end_seq,
        bytes: segment.end,
    }
}

impl JournalReader {
    /// What the journal is made of.
    ///
    /// # Errors
    /// `Corrupt`, the store's.
    /// # Cancel safety
    /// Safe.
    pub async fn info(&self) -> Result<Info> {
        let mut info = settled(|| self.try_info()).await?;
        // A frame that is being written may look like damage for a moment.
        for _ in 0..LOOKS {
            let Some(damage) = info.damage.clone() else {
                break;
            };
            info = settled(|| self.try_info()).await?;
            if info.damage.as_ref() == Some(&damage) {
                break;
            }
        }
        Ok(info)
    }

    async fn try_info(&self) -> Result<Info> {
        let context = &self.context;
        let io = context.io();
        let view = View::load(context).await?;
        let newest = view.newest();
        let mut info = Info {
            id: context.journal,
            created_ms: self.format.created_ms,
            contract: self.contract().clone(),
            epoch: view.head.map_or(Epoch::NONE, |h| h.epoch),
            // Unless segments can be seen: what the newest checkpoint covers.
            first: newest,
            durable: newest,
            end: newest,
            checkpoint: view.checkpoints.first().map(|c| c.id.next_seq),
            closed: false,
            undecided_bytes: 0,
            damage: None,
            epochs: Vec::new(),
            segments: Vec::new(),
            checkpoints: Vec::new(),
            space: crate::objects::bound(context.config.store_timeout, context.store.space())
                .await?,
        };
        info.checkpoints = view
            .checkpoints
            .iter()
            .map(|c| CheckpointInfo {
                next_seq: c.id.next_seq,
                epoch: c.id.epoch,
            })
            .collect();
        let mut ranges = BTreeMap::new();
        if let Some(tail) = view.tail {
            info.durable = tail.scan.durable;
            info.end = tail.scan.end;
            info.closed = tail.scan.sealed;
            match &tail.scan.verdict {
                TailVerdict::Clean => {}
                TailVerdict::Torn { bytes, .. } => info.undecided_bytes = *bytes,
                TailVerdict::Corrupt { why, .. } => info.damage = Some(why.clone()),
            }
            let chain =
                chain::walk_back(context, &view.starts, tail.segment, SeqNo::ZERO, newest).await?;
            info.first = chain.front().map_or(info.end, |s| s.first_seq);
            ranges.extend(chain.iter().map(|s| (s.id(), range_of(s))));
        }
        for (id, row) in list_logs(&io).await? {
            info.segments.push(SegmentInfo {
                id,
                len: row.len,
                entries: ranges.get(&id).copied(),
                modified: row.modified,
            });
        }
        for epoch in list_epochs(&io).await? {
            if let Some(claim) = read_epoch(&io, context.journal, epoch).await? {
                info.epochs.push(EpochInfo {
                    epoch,
                    claimed_ms: claim.claimed_ms,
                    who: claim.who,
                    address: claim.address,
                    served: view.starts.get(epoch).await?.is_some(),
                });
            }
        }
        Ok(info)
    }
}
