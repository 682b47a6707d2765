//! [`Verification`]: reads everything, changes nothing, and says what is wrong,
//! where, and why. Goes on behind damage, so that all of it is listed.

use crate::chain::{self, Opened, Segment, Tail};
use crate::checkpoint;
use crate::commit::serving::Context;
use crate::format::object::StartObject;
use crate::format::{LastGood, Scanned, SegmentId, SegmentKey, TailVerdict, classify_tail, names};
use crate::hidden::visible_tail;
use crate::objects::{Starts, list_epochs, list_logs, read_epoch};
use crate::traces::check_starts;
use crate::view::settled;
use crate::{JournalReader, SeqNo};
use flushproof_api::{Epoch, ErrorKind, ListedKind, Result, Source, StorePath};
use std::collections::BTreeSet;
use std::time::Duration;

/// What a journal's state is, the worst that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Everything holds; the end is clean.
    Clean,
    /// Everything holds; a primary is writing.
    InProgress,
    /// A flush was under way when the writer stopped: the next primary cuts it.
    Torn,
    /// Bytes that were durable are damaged or missing.
    Corrupt,
}

impl Verdict {
    /// The name in reports and `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Clean => "clean",
            Verdict::InProgress => "in-progress",
            Verdict::Torn => "torn",
            Verdict::Corrupt => "corrupt",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is. `Clean`: worth knowing, but harmless.
    pub verdict: Verdict,
    /// The path, as far as one is concerned.
    pub path: String,
    /// The offset in it.
    pub offset: Option<u64>,
    /// The entries concerned, half-open, as far as they are known.
    pub entries: Option<(SeqNo, SeqNo)>,
    /// What it is.
    pub text: String,
}

/// What [`JournalReader::verify`] found.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Everything that was found, the place first.
    pub findings: Vec<Finding>,
    /// Segments read.
    pub segments: u64,
    /// Checkpoints read.
    pub checkpoints: u64,
    /// Entries read and found good.
    pub entries: u64,
    /// Bytes of segments read.
    pub bytes: u64,
    /// Every entry below it is certainly durable.
    pub durable: SeqNo,
    /// The number after the last whole entry.
    pub end: SeqNo,
}

impl Verification {
    /// The worst finding.
    pub fn verdict(&self) -> Verdict {
        let worst = self.findings.iter().map(|f| f.verdict).max();
        worst.unwrap_or(Verdict::Clean)
    }

    fn add(&mut self, verdict: Verdict, path: impl ToString, text: impl ToString) {
        self.findings.push(Finding {
            verdict,
            path: path.to_string(),
            offset: None,
            entries: None,
            text: text.to_string(),
        });
    }

    /// Takes corruption as a finding; passes other errors on.
    fn note<T>(&mut self, path: impl ToString, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.add(Verdict::Corrupt, path, e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

/// Between two looks at a tail that seems torn: an idle primary has written its
/// mark by then.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// Of a segment that the store does not show yet.
const HIDDEN: &str = "not sealed: what is in it can't be seen before the primary seals it";

impl JournalReader {
    /// Reads everything: claims, starts, segments, checkpoints. `progress` is
    /// called with the bytes read so far and those to read.
    ///
    /// # Errors
    /// The store's. Damage is not an error but a finding.
    /// # Cancel safety
    /// Safe.
    pub async fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verification> {
        let mut verifier = Verifier {
            context: &self.context,
            report: Verification::default(),
            progress,
            total: 0,
            seen: BTreeSet::new(),
        };
        verifier.run().await?;
        Ok(verifier.report)
    }
}

/// What a segment that is not on the chain is.
enum OffChain {
    /// It went away meanwhile.
    Gone,
    /// Nothing that matters, in words.
    Harmless(String),
    /// So many bytes of a header that is not whole.
    Torn(u64),
}

struct Verifier<'a, P> {
    context: &'a Context,
    report: Verification,
    progress: P,
    total: u64,
    /// The segments on the chain.
    seen: BTreeSet<SegmentId>,
}

impl<P: FnMut(u64, u64)> Verifier<'_, P> {
    async fn run(&mut self) -> Result<()> {
        let io = self.context.io();
        let starts = Starts::list(&io, self.context.journal).await?;
        let logs = list_logs(&io).await?;
        self.total = logs.iter().map(|(_, row)| row.len).sum();
        self.names().await?;
        self.epochs(&starts).await?;
        let newest = self.checkpoints(&starts).await?;
        let head = starts.head().await;
        let head = self.report.note("start", head)?.flatten();
        if let Some(head) = head {
            self.chain(&starts, head, newest).await?;
        }
        let lost = settled(|| lost_starts(self.context)).await;
        self.report.note("start", lost)?;
        for (id, row) in logs {
            if !self.seen.contains(&id) {
                let head = head.filter(|h| h.epoch == id.epoch);
                self.off_chain(&starts, head, id, row.len).await?;
            }
        }
        self.report
            .findings
            .sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
        Ok(())
    }

    /// Names that are no journal's.
    async fn names(&mut self) -> Result<()> {
        for row in self.context.io().list(&StorePath::root()).await? {
            let p = &row.path;
            let known = p.as_str() == names::FORMAT_NAME
                || names::parse_log(p).is_some()
                || names::parse_epoch(p).is_some()
                || names::parse_start(p).is_some()
                || names::parse_checkpoint(p).is_some()
                || names::parse_request(p).is_some();
            if !known && row.kind != ListedKind::Fence {
                self.report
                    .add(Verdict::Clean, p, "a stray name; the journal ignores it");
            }
        }
        Ok(())
    }

    async fn epochs(&mut self, starts: &Starts) -> Result<()> {
        let io = self.context.io();
        for epoch in list_epochs(&io).await? {
            let path = names::epoch_path(epoch)?;
            let read = read_epoch(&io, self.context.journal, epoch).await;
            self.report.note(path, read)?;
        }
        for epoch in starts.names() {
            let path = names::start_path(*epoch)?;
            let read = starts.get(*epoch).await;
            if let Some(None) = self.report.note(&path, read)? {
                self.report.add(
                    Verdict::Clean,
                    path,
                    "the start of another journal, or an empty name; ignored",
                );
            }
        }
        Ok(())
    }

    /// Reads all checkpoints; says the next number of the newest whole one.
    async fn checkpoints(&mut self, starts: &Starts) -> Result<SeqNo> {
        let counting = checkpoint::list_counting(self.context, starts).await;
        let Some(counting) = self.report.note("checkpoint", counting)? else {
            return Ok(SeqNo::ZERO);
        };
        let mut newest = SeqNo::ZERO;
        let mut whole = 0;
        for found in counting {
            let path = names::checkpoint_path(found.id)?;
            self.report.checkpoints += 1;
            match checkpoint::verify(self.context, &found).await {
                // Trimmed, and its name has come back after a power cut.
                Err(e) if e.kind() == ErrorKind::Corrupt && whole >= self.kept() => {
                    let text = format!("not needed, for {whole} newer ones are whole; but {e}");
                    self.report.add(Verdict::Clean, path, text);
                }
                read => {
                    if self.report.note(path, read)?.is_some() {
                        newest = newest.max(found.id.next_seq);
                        whole += 1;
                    }
                }
            }
        }
        Ok(newest)
    }

    /// How many checkpoints are kept.
    fn kept(&self) -> usize {
        self.context.config.keep_checkpoints
    }

    async fn chain(&mut self, starts: &Starts, head: StartObject, newest: SeqNo) -> Result<()> {
        let tail = self.find_tail(&head).await;
        let path = names::start_path(head.epoch)?;
        let Some(tail) = self.report.note(path, tail)? else {
            return Ok(());
        };
        let Some(tail) = tail else {
            // All before it is replaced by the newest checkpoint.
            self.report.durable = newest;
            self.report.end = newest;
            let path = names::log_path(head.first_log)?;
            self.report.add(Verdict::InProgress, path, HIDDEN);
            return Ok(());
        };
        self.report.durable = tail.scan.durable;
        self.report.end = tail.scan.end;
        self.tail(&head, &tail).await?;
        if let Some(id) = tail.hidden {
            self.report
                .add(Verdict::InProgress, names::log_path(id)?, HIDDEN);
        } else if newest > tail.scan.end {
            let text = format!(
                "a checkpoint covers entries below {newest}, but the journal ends at {}",
                tail.scan.end
            );
            self.report
                .add(Verdict::Corrupt, names::log_path(tail.segment.id())?, text);
        }
        let mut segment = tail.segment;
        loop {
            self.seen.insert(segment.id());
            self.segment(&segment).await?;
            let older = chain::step_back(self.context, starts, &segment, newest).await;
            let path = names::log_path(segment.prev.map_or(segment.id(), |p| p.segment))?;
            match self.report.note(path, older)? {
                Some(Some(older)) => segment = older,
                Some(None) | None => return Ok(()),
            }
        }
    }

    /// The last used segment. A primary may write while it is read: a frame that
    /// was bad when it was looked at may be whole, and attested further on, a
    /// moment later. So only damage that is found twice at one place is damage.
    async fn find_tail(&self, head: &StartObject) -> Result<Option<Tail>> {
        let mut damage = None;
        loop {
            let Some(tail) = settled(|| self.try_find_tail(head)).await? else {
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

    async fn try_find_tail(&self, head: &StartObject) -> Result<Option<Tail>> {
        let io = self.context.io();
        let starts = Starts::list(&io, self.context.journal).await?;
        let logs = list_logs(&io).await?;
        // Listed anew: a primary may have trimmed since for one that is newer.
        let counting = checkpoint::list_counting(self.context, &starts).await?;
        let trimmed = counting.first().map_or(SeqNo::ZERO, |c| c.id.next_seq);
        visible_tail(self.context, &starts, head, &logs, Source::Medium, trimmed).await
    }

    /// The end of the journal: looked at twice when it seems torn.
    async fn tail(&mut self, head: &StartObject, tail: &Tail) -> Result<()> {
        let path = names::log_path(tail.segment.id())?;
        let (offset, text, verdict) = match &tail.scan.verdict {
            TailVerdict::Clean | TailVerdict::Torn { .. }
                if tail.hidden.is_none() && tail.scan.end < head.carried_end =>
            {
                (
                    tail.scan.end_offset,
                    format!(
                        "entries below {} were carried over, but are missing",
                        head.carried_end
                    ),
                    Verdict::Corrupt,
                )
            }
            TailVerdict::Clean => return Ok(()),
            TailVerdict::Corrupt { at, why, .. } => (*at, why.clone(), Verdict::Corrupt),
            TailVerdict::Torn { at, bytes } => {
                tokio::time::sleep(SECOND_LOOK).await;
                let again = self.find_tail(head).await?;
                let moved = again.is_none_or(|again| {
                    again.segment.id() != tail.segment.id()
                        || again.scan.end_offset != tail.scan.end_offset
                        || again.scan.verdict != tail.scan.verdict
                });
                let (text, verdict) = if moved {
                    ("a primary is writing here".to_owned(), Verdict::InProgress)
                } else {
                    let text = format!(
                        "{bytes} bytes of a flush that was never acknowledged; the next primary \
                         cuts them"
                    );
                    (text, Verdict::Torn)
                };
                (*at, text, verdict)
            }
        };
        self.report.findings.push(Finding {
            verdict,
            path: path.to_string(),
            offset: Some(offset),
            entries: Some((tail.scan.end, tail.scan.end)),
            text,
        });
        Ok(())
    }

    /// Reads a segment of the chain up to its end.
    async fn segment(&mut self, segment: &Segment) -> Result<()> {
        self.report.segments += 1;
        let path = names::log_path(segment.id())?;
        let opened = segment.scanner(self.context).await;
        let Some(Some(mut scanner)) = self.report.note(&path, opened)? else {
            return Ok(());
        };
        loop {
            let scanned = scanner.next().await;
            let (offset, text) = match self.report.note(&path, scanned)? {
                None => return Ok(()),
                Some(Scanned::Frame(frame)) => {
                    self.report.entries += u64::from(frame.header.count);
                    self.report.bytes += frame.end_offset - frame.offset;
                    (self.progress)(self.report.bytes.min(self.total), self.total);
                    continue;
                }
                Some(Scanned::Bad { offset, why }) => (offset, why.to_string()),
                Some(Scanned::End)
                    if scanner.next_seq().unwrap_or(segment.first_seq) == segment.end_seq =>
                {
                    return Ok(());
                }
                Some(Scanned::End) => (segment.end, "entries are missing at its end".to_owned()),
            };
            let reached = scanner.next_seq().unwrap_or(segment.first_seq);
            self.report.findings.push(Finding {
                verdict: Verdict::Corrupt,
                path: path.to_string(),
                offset: Some(offset),
                entries: Some((reached, segment.end_seq)),
                text,
            });
            return Ok(());
        }
    }

    /// A segment that is not on the chain: prepared, superseded, or behind
    /// damage. `head`: the start of its epoch, if that is the head.
    async fn off_chain(
        &mut self,
        starts: &Starts,
        head: Option<StartObject>,
        id: SegmentId,
        len: u64,
    ) -> Result<()> {
        (self.progress)(self.report.bytes.min(self.total), self.total);
        let path = names::log_path(id)?;
        let start = starts.get(id.epoch).await;
        let Some(start) = self.report.note(&path, start)? else {
            return Ok(());
        };
        let Some(start) = start else {
            let text = format!("of epoch {}, which never served; ignored", id.epoch);
            self.report.add(Verdict::Clean, path, text);
            return Ok(());
        };
        let looked = settled(|| self.look_off_chain(&start, id, len)).await;
        match self.report.note(&path, looked)? {
            Some(OffChain::Torn(bytes)) if head.is_some() => self.begun(&start, id, bytes).await?,
            Some(OffChain::Torn(_)) => {
                let text = format!("prepared, {len} bytes, not used");
                self.report.add(Verdict::Clean, path, text);
            }
            Some(OffChain::Harmless(text)) => self.report.add(Verdict::Clean, path, text),
            Some(OffChain::Gone) | None => {}
        }
        Ok(())
    }

    async fn look_off_chain(
        &self,
        start: &StartObject,
        id: SegmentId,
        len: u64,
    ) -> Result<OffChain> {
        let opened = chain::open_segment(self.context, start, id.index, None, Source::Any).await?;
        let (reader, end) = match opened {
            Opened::Missing => return Ok(OffChain::Gone),
            Opened::Segment(segment, _) => {
                let first = segment.first_seq;
                let text = format!("begins with entry {first}, but is not on the chain");
                return Ok(OffChain::Harmless(text));
            }
            Opened::Unused(_, reader, end) => (reader, end),
        };
        let key = SegmentKey {
            journal: self.context.journal,
            nonce: start.nonce,
            epoch: id.epoch,
            index: id.index,
        };
        match classify_tail(&*reader, &key, 0, end, LastGood::Nothing).await? {
            TailVerdict::Corrupt { at, why, .. } => Err(chain::corrupt(id, at, why)),
            TailVerdict::Torn { bytes, .. } => Ok(OffChain::Torn(bytes)),
            TailVerdict::Clean => Ok(OffChain::Harmless(format!(
                "prepared, {len} bytes, not used"
            ))),
        }
    }

    /// A segment of the head epoch whose header is not whole: looked at twice,
    /// for a primary may be rolling to it.
    async fn begun(&mut self, start: &StartObject, id: SegmentId, bytes: u64) -> Result<()> {
        tokio::time::sleep(SECOND_LOOK).await;
        let again = chain::open_segment(self.context, start, id.index, None, Source::Any).await?;
        let path = names::log_path(id)?;
        match again {
            Opened::Unused(..) => self.report.add(
                Verdict::Torn,
                path,
                format!("{bytes} bytes of a header that was being written; nothing is in it"),
            ),
            _ => self
                .report
                .add(Verdict::InProgress, path, "a primary is writing here"),
        }
        Ok(())
    }
}

/// Starts that are missing, though their epochs were served.
async fn lost_starts(context: &Context) -> Result<()> {
    let starts = Starts::list(&context.io(), context.journal).await?;
    let head = starts.head().await?;
    let highest = head.map_or(Epoch::NONE, |h| h.epoch);
    // Without a claim of one's own, an epoch may begin to serve meanwhile: `settled`.
    check_starts(context, highest, Epoch(u64::MAX)).await
}
