//! Reads all logs, epoch by epoch.

use super::decide::EpochFacts;
use super::found::EpochObjects;
use super::notes::Notes;
use super::scan::{LogScan, scan};
use crate::chain;
use crate::commit::serving::Context;
use crate::format::{
    FRAME_HEADER, HeaderVerdict, Nonce, SegmentId, SegmentKey, names, read_segment_header,
};
use crate::hidden::hides;
use crate::objects::list_logs;
use flushproof_api::{Epoch, Reader, Result, Source};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that logs and objects say, by epoch.
///
/// # Errors
/// The store's; `NotFound` when a log goes away; `TooLarge`.
pub(super) async fn survey(
    context: &Context,
    objects: BTreeMap<Epoch, EpochObjects>,
    notes: &mut Notes,
    progress: impl FnMut(u64, u64),
) -> Result<BTreeMap<Epoch, EpochFacts>> {
    let listed = list_logs(&context.io()).await?;
    let mut survey = Survey {
        context,
        notes,
        progress,
        read: 0,
        total: listed.iter().map(|(_, row)| row.len).sum(),
        runs: 0,
    };
    let mut logs = BTreeMap::<Epoch, Vec<SegmentId>>::new();
    for (id, row) in listed {
        logs.entry(id.epoch).or_default().push(id);
        if hides(context) && !row.sealed {
            let path = names::log_path(id)?;
            survey.notes.add(format!(
                "{path} is not sealed, and the store does not show what is in it: its entries count \
                 neither as found nor as lost. A new primary fences it, which ends it"
            ));
        }
    }
    let facts = |objects| EpochFacts {
        objects,
        ..EpochFacts::default()
    };
    let mut epochs: BTreeMap<_, _> = objects.into_iter().map(|(e, o)| (e, facts(o))).collect();
    for (epoch, ids) in logs {
        survey
            .epoch(epoch, &ids, epochs.entry(epoch).or_default())
            .await?;
    }
    Ok(epochs)
}

struct Survey<'a, P> {
    context: &'a Context,
    notes: &'a mut Notes,
    progress: P,
    read: u64,
    total: u64,
    runs: usize,
}

impl<P: FnMut(u64, u64)> Survey<'_, P> {
    async fn epoch(
        &mut self,
        epoch: Epoch,
        ids: &[SegmentId],
        facts: &mut EpochFacts,
    ) -> Result<()> {
        if facts.objects.nonce.is_none() {
            facts.objects.nonce = self.lost_nonce(ids).await?;
        }
        let Some(nonce) = facts.objects.nonce else {
            return self.note_unreadable(epoch, ids).await;
        };
        let grain = self.grain(nonce, ids).await?;
        for id in ids {
            let log = self.scan(self.key(*id, nonce), grain).await?;
            self.runs += log.runs.len();
            facts.logs.push(log);
        }
        Ok(())
    }

    async fn scan(&mut self, key: SegmentKey, grain: Option<u64>) -> Result<LogScan> {
        let reader = self.open(key.segment()).await?;
        scan(reader, key, grain, self.runs, |bytes| {
            self.read = self.read.saturating_add(bytes);
            (self.progress)(self.read.min(self.total), self.total);
        })
        .await
        .map_err(|e| e.context(key.segment()))
    }

    fn key(&self, id: SegmentId, nonce: Nonce) -> SegmentKey {
        SegmentKey {
            journal: self.context.journal,
            nonce,
            epoch: id.epoch,
            index: id.index,
        }
    }

    async fn open(&self, id: SegmentId) -> Result<Arc<dyn Reader>> {
        let path = names::log_path(id)?;
        let reader = self.context.io().open(&path, Source::Medium).await?;
        reader.ok_or_else(|| chain::gone(id))
    }

    /// The grain of an epoch's logs, as the first whole header says.
    async fn grain(&self, nonce: Nonce, ids: &[SegmentId]) -> Result<Option<u64>> {
        for id in ids {
            let reader = self.open(*id).await?;
            let len = reader.len().await?;
            let verdict = read_segment_header(&*reader, &self.key(*id, nonce), len).await?;
            if let HeaderVerdict::Good { segment, .. } = verdict {
                return Ok(Some(u64::from(segment.grain)));
            }
        }
        Ok(None)
    }

    /// The secret of an epoch without start and claim: the copy in a log's header is the right
    /// one if any frame of the log holds under it.
    async fn lost_nonce(&mut self, ids: &[SegmentId]) -> Result<Option<Nonce>> {
        const END: u64 = (FRAME_HEADER + 16) as u64;
        for id in ids {
            let reader = self.open(*id).await?;
            if reader.len().await? < END {
                continue;
            }
            let bytes = reader.read(0..END).await?;
            let copy = bytes.get(FRAME_HEADER..).and_then(|b| b.first_chunk());
            let Some(nonce) = copy.filter(|b| **b != [0; 16]).map(|b| Nonce(*b)) else {
                continue;
            };
            let log = scan(reader, self.key(*id, nonce), None, 0, |_| {}).await?;
            if log.first.is_some() {
                self.notes.add(format!(
                    "the secret of epoch {} is taken from {}: its start and its claim are missing or \
                     damaged",
                    id.epoch,
                    names::log_path(*id)?
                ));
                return Ok(Some(nonce));
            }
        }
        Ok(None)
    }

    /// Logs of an epoch whose secret is lost, or of another journal.
    async fn note_unreadable(&mut self, epoch: Epoch, ids: &[SegmentId]) -> Result<()> {
        let mut used = 0;
        for id in ids {
            let reader = self.open(*id).await?;
            let len = reader.len().await?.min(FRAME_HEADER as u64);
            used += u64::from(reader.read(0..len).await?.iter().any(|b| *b != 0));
        }
        if used > 0 {
            self.notes.add(format!(
                "{used} logs of epoch {epoch} can't be read: its start, its claim and the copies of \
                 its secret in the logs are missing or damaged, or it is of another journal"
            ));
        }
        Ok(())
    }
}
