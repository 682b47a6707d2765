//! The end of the journal: the last segment, or why it can't be found.

use super::report::unless_corrupt;
use super::{Finding, FindingKind, HIDDEN, SECOND_LOOK, Verdict, Verifier, WRITING, cut, range};
use crate::chain::{self, Opened, Segment, Tail};
use crate::format::object::StartObject;
use crate::format::{LastGood, Scanner, SegmentId, TailVerdict, classify_tail, names};
use crate::hidden::visible_tail;
use crate::objects::{Starts, list_logs};
use crate::view::settled;
use flushproof_api::{Result, Source};

/// What is known where the engine finds no end.
enum NoEnd {
    /// What stands below this index may be the end.
    Below(u64),
    /// The chain goes on from this segment, as far as it was read.
    From(Segment),
    /// No segment of the head epoch can be read.
    Nowhere,
}

/// Frames behind the end that are looked at.
const BEHIND: usize = 16;
/// Bytes behind the end that are looked through for them.
const LOOK_BEHIND: usize = 64 * 1024;
const STEP: usize = 64;

impl<P: FnMut(u64, u64)> Verifier<'_, P> {
    /// The segment with which the walk back begins.
    pub(super) async fn end(
        &mut self,
        starts: &Starts,
        head: &StartObject,
    ) -> Result<Option<Segment>> {
        let mut below = None;
        loop {
            let text = match unless_corrupt(self.find_tail(head, below).await)? {
                Ok(Some(tail)) => return self.found(head, tail, below).await.map(Some),
                Ok(None) => {
                    // All before it is replaced by the newest checkpoint.
                    (self.report.durable, self.report.end) = (self.newest, self.newest);
                    let path = names::log_path(head.first_log)?;
                    self.report.add(Finding::new(
                        FindingKind::InProgress,
                        Verdict::InProgress,
                        path,
                        HIDDEN,
                    ));
                    return Ok(None);
                }
                Err(text) => text,
            };
            match self.why_no_end(head, below, &text).await? {
                NoEnd::Below(index) => below = Some(index),
                NoEnd::From(segment) => {
                    self.report.durable = segment.first_seq;
                    self.report.end = segment.end_seq;
                    return Ok(Some(segment));
                }
                NoEnd::Nowhere => {
                    (self.report.durable, self.report.end) = (head.durable, head.durable);
                    return match head.prev {
                        Some(prev) => self.predecessor(starts, prev).await,
                        None => Ok(None),
                    };
                }
            }
        }
    }

    async fn found(
        &mut self,
        head: &StartObject,
        tail: Tail,
        below: Option<u64>,
    ) -> Result<Segment> {
        self.report.durable = tail.scan.durable;
        self.report.end = tail.scan.end;
        self.sealed = tail.scan.sealed;
        self.tail(head, &tail, below).await?;
        let path = names::log_path(tail.segment.id())?;
        if let Some(id) = tail.hidden {
            let path = names::log_path(id)?;
            self.report.add(Finding::new(
                FindingKind::InProgress,
                Verdict::InProgress,
                path,
                HIDDEN,
            ));
        } else if below.is_none() && self.newest > tail.scan.end {
            let (newest, end) = (self.newest, tail.scan.end);
            let text = format!(
                "a checkpoint covers entries below {newest}, but the journal ends at {end}"
            );
            let gap = Finding::new(FindingKind::Gap, Verdict::Corrupt, path, text);
            self.report
                .add(gap.at(tail.scan.end_offset).of(end, newest));
        }
        Ok(tail.segment)
    }

    /// The last used segment. A primary may write while it is read: a frame that
    /// was bad when it was looked at may be whole, and attested further on, a
    /// moment later. So only damage that is found twice at one place is damage.
    async fn find_tail(&self, head: &StartObject, below: Option<u64>) -> Result<Option<Tail>> {
        let mut damage = None;
        loop {
            let Some(tail) = settled(|| self.try_find_tail(head, below)).await? else {
                return Ok(None);
            };
            match tail.scan.verdict {
                TailVerdict::Corrupt { at, .. } if damage != Some((tail.segment.id(), at)) => {
                    damage = Some((tail.segment.id(), at));
                }
                _ => return Ok(Some(tail)),
            }
        }
    }

    async fn try_find_tail(&self, head: &StartObject, below: Option<u64>) -> Result<Option<Tail>> {
        let io = self.context.io();
        let starts = Starts::list(&io, self.context.journal).await?;
        let mut logs = list_logs(&io).await?;
        let counts = |id: &SegmentId| below.is_none_or(|b| id.epoch != head.epoch || id.index < b);
        logs.retain(|(id, _)| counts(id));
        // Listed anew: a primary may have trimmed since for one that is newer.
        let trimmed = self.trimmed_below().await?;
        visible_tail(self.context, &starts, head, &logs, Source::Medium, trimmed).await
    }

    /// What is wrong with the last segments. `text` is what the engine says.
    async fn why_no_end(
        &mut self,
        head: &StartObject,
        below: Option<u64>,
        text: &str,
    ) -> Result<NoEnd> {
        let logs = list_logs(&self.context.io()).await?;
        let indexes = chain::indexes(&logs, head.epoch).filter(|i| below.is_none_or(|b| *i < b));
        let indexes: Vec<u64> = indexes.collect();
        let medium = Source::Medium;
        for index in indexes.iter().rev() {
            let key = self.key(head, *index);
            match chain::open_segment(self.context, head, *index, None, medium).await? {
                Opened::Missing => {}
                Opened::Segment(segment, reader) => {
                    let highest = indexes.last().copied().unwrap_or(*index);
                    if highest > *index + 1 {
                        self.gap_at_end(head, *index + 1, highest, text).await?;
                        return Ok(NoEnd::Below(*index + 1));
                    }
                    let mut scanner =
                        Scanner::new(reader, segment.key, segment.grain, 0, segment.end);
                    let counts = (self.report.entries, self.report.bytes);
                    let contradiction = self.contradiction(&segment, &mut scanner).await?;
                    // It is read again as a part of the chain.
                    (self.report.entries, self.report.bytes) = counts;
                    let reached = scanner.next_seq().unwrap_or(segment.first_seq);
                    self.report.findings.extend(contradiction);
                    return Ok(NoEnd::From(cut(segment, scanner.offset(), reached)));
                }
                Opened::Unused(_, reader, len) => {
                    let verdict = classify_tail(&*reader, &key, 0, len, LastGood::Nothing).await?;
                    if let TailVerdict::Corrupt { at, why, claim } = verdict {
                        let bad = self.bad(&key, at, &why).await?;
                        let (from, to) = range(claim.first_seq.min(claim.durable), claim.durable);
                        self.report.add(bad.of(from, to));
                        self.seen.insert(key.segment());
                        return Ok(NoEnd::Below(*index));
                    }
                }
            }
        }
        if below.is_none() {
            self.no_first(head, text).await?;
        }
        Ok(NoEnd::Nowhere)
    }

    /// The epoch was served, but no segment of it has a header.
    async fn no_first(&mut self, head: &StartObject, text: &str) -> Result<()> {
        let id = head.first_log;
        let finding = if self.is_listed(id) {
            self.seen.insert(id);
            self.bad(&self.key(head, id.index), 0, text).await?
        } else {
            self.missing.insert(id);
            let path = names::log_path(id)?;
            Finding::new(FindingKind::Gap, Verdict::Corrupt, path, text).at(0)
        };
        let (from, to) = range(head.durable, head.carried_end);
        self.report.add(finding.of(from, to));
        Ok(())
    }

    /// Segment `index` should be there, for `highest` stands behind it: or is that one's
    /// name wrong?
    async fn gap_at_end(
        &mut self,
        head: &StartObject,
        index: u64,
        highest: u64,
        text: &str,
    ) -> Result<()> {
        let strange = self.key(head, highest);
        let origin = self.origin(&strange, 0).await?;
        let kind = self.kind(&origin);
        if matches!(kind, FindingKind::WrongName | FindingKind::Foreign) {
            let finding = self.bad(&strange, 0, text).await?;
            self.seen.insert(strange.segment());
            self.report.add(finding);
            return Ok(());
        }
        let id = self.key(head, index).segment();
        self.missing.insert(id);
        let path = names::log_path(id)?;
        self.report
            .add(Finding::new(FindingKind::Gap, Verdict::Corrupt, path, text).at(0));
        Ok(())
    }

    /// The end of the journal: looked at twice when it seems torn.
    async fn tail(&mut self, head: &StartObject, tail: &Tail, below: Option<u64>) -> Result<()> {
        let path = names::log_path(tail.segment.id())?;
        let key = tail.segment.key;
        let end = tail.scan.end;
        let finding = match &tail.scan.verdict {
            TailVerdict::Clean | TailVerdict::Torn { .. }
                if tail.hidden.is_none() && end < head.carried_end =>
            {
                let text = format!(
                    "entries below {} were carried over, but are missing",
                    head.carried_end
                );
                let (from, to) = range(end, head.carried_end);
                let at = tail.scan.end_offset;
                match tail.scan.verdict {
                    TailVerdict::Torn { .. } => self.bad(&key, at, &text).await?,
                    _ => Finding::new(FindingKind::Gap, Verdict::Corrupt, path, text).at(at),
                }
                .of(from, to)
            }
            TailVerdict::Clean => return self.behind(tail).await,
            TailVerdict::Corrupt { at, why, claim } => {
                let (from, to) = range(end, claim.durable);
                self.bad(&key, *at, why).await?.of(from, to)
            }
            TailVerdict::Torn { at, bytes } => {
                tokio::time::sleep(SECOND_LOOK).await;
                let again = self.find_tail(head, below).await?;
                let moved = again.is_none_or(|again| {
                    again.segment.id() != tail.segment.id()
                        || again.scan.end_offset != tail.scan.end_offset
                        || again.scan.verdict != tail.scan.verdict
                });
                match moved {
                    true => {
                        Finding::new(FindingKind::InProgress, Verdict::InProgress, path, WRITING)
                    }
                    false => self.torn(&key, *at, *bytes).await?,
                }
                .at(*at)
                .of(end, end)
            }
        };
        self.report.add(finding);
        Ok(())
    }

    /// Bytes behind the last frame that nothing attests.
    async fn torn(&self, key: &crate::format::SegmentKey, at: u64, bytes: u64) -> Result<Finding> {
        let origin = self.origin(key, at).await?;
        let (kind, text) = match self.kind(&origin) {
            FindingKind::Damaged => (
                FindingKind::Torn,
                format!(
                    "{bytes} bytes of a flush that was never acknowledged; the next primary cuts \
                     them"
                ),
            ),
            kind => (
                kind,
                format!("{bytes} bytes behind the end; the next primary cuts them: {origin}"),
            ),
        };
        let path = names::log_path(key.segment())?;
        Ok(Finding::new(kind, Verdict::Torn, path, text))
    }

    /// What stands behind a clean end: it does no harm, but may tell of a wrong write.
    async fn behind(&mut self, tail: &Tail) -> Result<()> {
        let path = names::log_path(tail.segment.id())?;
        let end = tail.scan.end_offset;
        let bytes = self.look(&path, end, LOOK_BEHIND).await?;
        let used = |at: &usize| bytes.iter().skip(*at).take(STEP).any(|b| *b != 0);
        let steps = (0..bytes.len()).step_by(STEP).filter(used).take(BEHIND);
        for step in steps {
            let at = end + step as u64;
            let origin = self.secrets.origin(&bytes[step..], &tail.segment.key, at);
            let kind = self.kind(&origin);
            if kind != FindingKind::Damaged {
                let text = format!("behind the end, where it does no harm: {origin}");
                let finding = Finding::new(kind, Verdict::Clean, path, text);
                self.report.add(finding.at(at));
                return Ok(());
            }
        }
        Ok(())
    }
}
