//! [`Verification`]: looks at everything, changes nothing, and says what is wrong,
//! where, of which kind, and why. Goes on behind damage, so that all of it is listed.

mod chained;
mod end;
mod files;
mod objects;
mod origin;
mod report;
mod unchained;

pub use report::{Finding, FindingKind, Verdict, Verification};

use crate::chain::Segment;
use crate::commit::serving::Context;
use crate::format::object::StartObject;
use crate::format::{SegmentId, SegmentKey, names};
use crate::objects::{Starts, list_logs};
use crate::unreadable::{Place, Unreadable};
use crate::{JournalReader, SeqNo};
use bytes::Bytes;
use flushproof_api::{Epoch, Listed, Result, Source, StorePath};
use objects::Start;
use origin::{LOOK, Origin, Secrets};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at a tail that seems torn: an idle primary has written its
/// mark by then.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// Of a segment that the store does not show yet.
const HIDDEN: &str = "not sealed: what is in it can't be seen before the primary seals it";

/// Of bytes that change while they are looked at.
const WRITING: &str = "a primary is writing here";

impl JournalReader {
    /// Reads everything: claims, starts, segments, checkpoints. `progress` is
    /// called with the bytes read so far and those to read.
    ///
    /// # Errors
    /// The store's. Damage is not an error but a finding; so are bytes that the store can't read (`Io`).
    /// # Cancel safety
    /// Safe.
    pub async fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verification> {
        verify(&self.context, false, progress).await
    }

    /// Looks at names and marks only: claims, starts, the headers of segments and how they
    /// chain, the heads of checkpoints, and the last segment to its end. The frames of closed
    /// segments and of checkpoints are not read: damage in them is not found. Where something
    /// is missing, the segment before it is read, to say from where on.
    ///
    /// # Errors
    /// The store's. Damage is not an error but a finding; so are bytes that the store can't read (`Io`).
    /// # Cancel safety
    /// Safe.
    pub async fn verify_fast(&self) -> Result<Verification> {
        verify(&self.context, true, |_, _| {}).await
    }
}

async fn verify(
    context: &Context,
    fast: bool,
    progress: impl FnMut(u64, u64),
) -> Result<Verification> {
    let unreadable = Arc::<Unreadable>::default();
    let context = Context {
        around: Some(unreadable.clone()),
        ..context.clone()
    };
    let verifier = Verifier::new(&context, fast, progress);
    verifier.run(&unreadable).await
}

/// A segment of the chain, and what it holds.
struct Link {
    id: SegmentId,
    first: SeqNo,
    end: SeqNo,
}

struct Verifier<'a, P> {
    context: &'a Context,
    report: Verification,
    progress: P,
    total: u64,
    /// Names and marks only.
    fast: bool,
    secrets: Secrets,
    claimed: BTreeSet<Epoch>,
    starts: BTreeMap<Epoch, Start>,
    head: Option<StartObject>,
    /// Sorted.
    logs: Vec<(SegmentId, Listed)>,
    /// The newest checkpoint holds the state of all entries below it.
    newest: SeqNo,
    /// The segments that are dealt with.
    seen: BTreeSet<SegmentId>,
    /// The chain, the last segment first: names and numbers go down.
    links: Vec<Link>,
    /// The last segment was ended by a seal.
    sealed: bool,
    /// The segments that are missing.
    missing: BTreeSet<SegmentId>,
    /// The epochs whose starts are missing.
    lost: BTreeSet<Epoch>,
}

impl<'a, P: FnMut(u64, u64)> Verifier<'a, P> {
    fn new(context: &'a Context, fast: bool, progress: P) -> Verifier<'a, P> {
        Verifier {
            context,
            report: Verification::default(),
            progress,
            total: 0,
            fast,
            secrets: Secrets::new(context.journal),
            claimed: BTreeSet::new(),
            starts: BTreeMap::new(),
            head: None,
            logs: Vec::new(),
            newest: SeqNo::ZERO,
            seen: BTreeSet::new(),
            links: Vec::new(),
            sealed: false,
            missing: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    async fn run(mut self, unreadable: &Unreadable) -> Result<Verification> {
        let io = self.context.io();
        let starts = Starts::list(&io, self.context.journal).await?;
        self.logs = list_logs(&io).await?;
        self.total = self.logs.iter().map(|(_, row)| row.len).sum();
        for (id, _) in &self.logs {
            self.secrets.listed(*id);
        }
        self.names().await?;
        self.claims().await?;
        self.read_starts(&starts).await?;
        self.checkpoints().await?;
        self.head = self.find_head();
        if let Some(head) = self.head {
            self.chain(&starts, head).await?;
        }
        // Without its head nobody can tell what lies behind it.
        let blind = self.head.is_none() && self.starts.values().any(|s| matches!(s, Start::Bad(_)));
        if !blind {
            self.lost_starts().await?;
        }
        let rest = self.logs.iter().map(|(id, row)| (*id, row.len));
        let rest = rest.filter(|(id, _)| !self.seen.contains(id));
        for (id, len) in rest.collect::<Vec<_>>() {
            self.unchained(id, len).await?;
        }
        let oldest = self.links.last().map_or(self.newest, |l| l.first);
        files::look(self.context, self.fast, oldest, &mut self.report).await?;
        unreadable
            .places()
            .into_iter()
            .for_each(|p| self.unreadable(p));
        self.report.finish();
        Ok(self.report)
    }

    /// A place that the store can't read. It is as bad as what was found of that name; without
    /// the end of the chain in sight nobody can say that it is not needed.
    fn unreadable(&mut self, place: Place) {
        let id = names::parse_log(&place.path);
        let head = self.head.map(|head| head.epoch);
        let chained = id.is_some_and(|id| self.seen.contains(&id) || Some(id.epoch) == head);
        let blind = self.head.is_none() || !self.missing.is_empty() || !self.lost.is_empty();
        let path = place.path.to_string();
        let others = self.report.findings.iter().filter(|f| f.path == path);
        let needed = match others.map(|f| f.verdict).max() {
            Some(worst) => worst == Verdict::Corrupt,
            None => id.is_none(),
        };
        let needed = chained || blind || needed;
        let verdict = match needed {
            true => Verdict::Corrupt,
            false => Verdict::Clean,
        };
        let finding = Finding::new(FindingKind::Damaged, verdict, &place.path, &place.text);
        self.report.add(finding.at(place.offset));
    }

    /// The chain, from its end to its beginning, over what is missing.
    async fn chain(&mut self, starts: &Starts, head: StartObject) -> Result<()> {
        let mut next = self.end(starts, &head).await?;
        while let Some(segment) = next {
            self.seen.insert(segment.id());
            self.links.push(Link {
                id: segment.id(),
                first: segment.first_seq,
                end: segment.end_seq,
            });
            self.report.segments += 1;
            if segment.gap {
                self.accepted(&segment)?;
            }
            match self.fast {
                true => self.measure(&segment).await?,
                false => self.read(&segment).await?,
            }
            next = self.older(starts, &segment).await?;
        }
        Ok(())
    }

    /// A gap that a repair left.
    fn accepted(&mut self, segment: &Segment) -> Result<()> {
        let from = segment.prev.map_or(SeqNo::ZERO, |p| p.seq);
        let path = names::log_path(segment.id())?;
        let text = "the entries before it were lost, and that was accepted when it was written";
        let finding = Finding::new(FindingKind::Gap, Verdict::Clean, path, text);
        self.report.add(finding.of(from, segment.first_seq));
        Ok(())
    }

    fn key(&self, start: &StartObject, index: u64) -> SegmentKey {
        SegmentKey {
            journal: self.context.journal,
            nonce: start.nonce,
            epoch: start.epoch,
            index,
        }
    }

    fn is_listed(&self, id: SegmentId) -> bool {
        self.logs.binary_search_by_key(&id, |(id, _)| *id).is_ok()
    }

    /// At most so many bytes of a place; fewer at the end, none of what is gone.
    async fn look(&self, path: &StorePath, offset: u64, len: usize) -> Result<Bytes> {
        let Some(reader) = self.context.io().open(path, Source::Any).await? else {
            return Ok(Bytes::new());
        };
        let end = reader.len().await?.min(offset.saturating_add(len as u64));
        if end <= offset {
            return Ok(Bytes::new());
        }
        match reader.read(offset..end).await {
            // Shorter or gone meanwhile.
            Err(e) if e.kind() == crate::ErrorKind::NotFound => Ok(Bytes::new()),
            read => read,
        }
    }

    /// What stands at a place of a segment.
    async fn origin(&self, key: &SegmentKey, offset: u64) -> Result<Origin> {
        let path = names::log_path(key.segment())?;
        let bytes = self.look(&path, offset, LOOK).await?;
        Ok(self.secrets.origin(&bytes, key, offset))
    }

    /// Of which kind a bad place is, given what stands there.
    fn kind(&self, origin: &Origin) -> FindingKind {
        match origin {
            Origin::Foreign(_) => FindingKind::Foreign,
            Origin::Moved(_) | Origin::Checkpoint(_) => FindingKind::Stale,
            Origin::Segment(id, 0) if self.is_wanted(*id) => FindingKind::WrongName,
            Origin::Segment(..) => FindingKind::Stale,
            Origin::Nothing | Origin::Own | Origin::Strange | Origin::Unknown => {
                FindingKind::Damaged
            }
        }
    }

    /// Whether this segment is more than what a file held before it was used again: it
    /// stands under its own name too, or is missing there, or was never trimmed.
    fn is_wanted(&self, id: SegmentId) -> bool {
        self.missing.contains(&id) || self.is_listed(id) || self.newest == SeqNo::ZERO
    }

    /// A bad frame or header: damage, or something else that stands there.
    async fn bad(&self, segment: &SegmentKey, offset: u64, why: &str) -> Result<Finding> {
        let origin = self.origin(segment, offset).await?;
        let kind = self.kind(&origin);
        let text = match (kind, &origin) {
            (FindingKind::Damaged, Origin::Strange) => format!("{why}: {origin}"),
            (FindingKind::Damaged, _) => why.to_owned(),
            (FindingKind::WrongName, Origin::Segment(id, _)) => format!(
                "{why}: it is segment {id}, whose name is {}",
                names::log_path(*id)?
            ),
            _ => format!("{why}: {origin}"),
        };
        let path = names::log_path(segment.segment())?;
        Ok(Finding::new(kind, Verdict::Corrupt, path, text).at(offset))
    }
}

/// The number of an entry range's end, never before its beginning.
fn range(from: SeqNo, to: SeqNo) -> (SeqNo, SeqNo) {
    (from, to.max(from))
}

/// A segment of which only what stands before a contradiction counts.
fn cut(mut segment: Segment, end: u64, end_seq: SeqNo) -> Segment {
    segment.end = end;
    segment.end_seq = end_seq;
    segment
}
