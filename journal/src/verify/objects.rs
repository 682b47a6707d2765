//! Names, claims, starts and checkpoints.

use super::report::unless_corrupt;
use super::{FindingKind, Verifier};
use crate::SeqNo;
use crate::checkpoint::{self, Found};
use crate::format::checkpoint::{CHECKPOINT_HEAD, CheckpointHead, CheckpointReader};
use crate::format::names::{self, CHECKPOINT_FOLDER, CheckpointId};
use crate::format::object::{EpochObject, StartObject};
use crate::format::{CHECKPOINT_INDEX, JournalId, SegmentKey};
use crate::objects::{Starts, list_epochs, objects};
use crate::traces::{lost_between, lost_starts};
use bytes::Bytes;
use flushproof_api::{Epoch, ErrorKind, ListedKind, Result, Source, StorePath};

/// What stands under the name of a start.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// The start of that epoch.
    Good(StartObject),
    /// Nothing of this journal's; it is as if there were none.
    Ignored,
    /// It can't be used; a finding says why, and is of this kind.
    Bad(FindingKind),
}

/// Whose object under a name this is: the journal, and which object, as it says.
type Owner<T> = Option<(JournalId, T)>;

impl<P: FnMut(u64, u64)> Verifier<'_, P> {
    /// Names that are no journal's.
    pub(super) async fn names(&mut self) -> Result<()> {
        for row in self.context.io().list(&StorePath::root()).await? {
            let p = &row.path;
            let known = match row.kind {
                ListedKind::Log => names::parse_log(p).is_some(),
                ListedKind::Object => {
                    p.as_str() == names::FORMAT_NAME
                        || names::parse_epoch(p).is_some()
                        || names::parse_start(p).is_some()
                        || names::parse_checkpoint(p).is_some()
                        || names::parse_request(p).is_some()
                }
                // A fence may outlive its log.
                _ => true,
            };
            if !known {
                let text = "a stray name; the journal ignores it";
                self.report.harmless(FindingKind::WrongName, p, text);
            }
        }
        Ok(())
    }

    pub(super) async fn claims(&mut self) -> Result<()> {
        let io = self.context.io();
        for epoch in list_epochs(&io).await? {
            let path = names::epoch_path(epoch)?;
            let Ok(bytes) = unless_corrupt(io.get(&path).await)? else {
                let text = "too long for a claim";
                self.report.corrupt(FindingKind::Damaged, path, text);
                continue;
            };
            let Some(bytes) = bytes else { continue };
            if bytes.is_empty() {
                self.report
                    .harmless(FindingKind::Superseded, path, RETURNED);
                continue;
            }
            let decoded = EpochObject::decode(&bytes).map_err(|e| e.context(&path));
            match unless_corrupt(decoded)? {
                Err(text) => self.report.corrupt(FindingKind::Damaged, path, text),
                Ok((owner, claim)) if owner != self.context.journal => {
                    self.secrets.learn(owner, claim.epoch, claim.nonce);
                    // A place that is formatted again keeps the claims of before.
                    let text = format!("claimed by journal {owner}; the number counts as used");
                    self.report.harmless(FindingKind::Superseded, path, text);
                }
                Ok((_, claim)) if claim.epoch != epoch => {
                    let text = format!("holds the claim of epoch {}", claim.epoch);
                    self.report.corrupt(FindingKind::WrongName, path, text);
                }
                Ok((owner, claim)) => {
                    self.secrets.learn(owner, epoch, claim.nonce);
                    self.claimed.insert(epoch);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn read_starts(&mut self, starts: &Starts) -> Result<()> {
        for epoch in starts.names() {
            let state = match unless_corrupt(starts.get(*epoch).await)? {
                Ok(Some(start)) => {
                    let journal = self.context.journal;
                    self.secrets.learn(journal, *epoch, start.nonce);
                    Start::Good(start)
                }
                Ok(None) => self.ignored_start(*epoch).await?,
                Err(text) => self.bad_start(*epoch, text).await?,
            };
            self.starts.insert(*epoch, state);
        }
        Ok(())
    }

    async fn start_owner(&self, path: &StorePath) -> Result<(Option<Bytes>, Owner<StartObject>)> {
        let bytes = unless_corrupt(self.context.io().get(path).await)?.unwrap_or_default();
        let owner = bytes.as_ref().map(StartObject::decode);
        Ok((bytes, owner.and_then(Result::ok)))
    }

    async fn ignored_start(&mut self, epoch: Epoch) -> Result<Start> {
        let path = names::start_path(epoch)?;
        match self.start_owner(&path).await? {
            (_, Some((owner, _))) if owner.0 == [0; 16] => {
                let text = "a restore that was cut short; it was decided that it does not count";
                self.report.harmless(FindingKind::Superseded, path, text);
            }
            (_, Some((owner, start))) => {
                self.secrets.learn(owner, start.epoch, start.nonce);
                let text = format!("the start of another journal, {owner}; ignored");
                self.report.harmless(FindingKind::Foreign, path, text);
            }
            (Some(_), None) => self
                .report
                .harmless(FindingKind::Superseded, path, RETURNED),
            (None, None) => {}
        }
        Ok(Start::Ignored)
    }

    async fn bad_start(&mut self, epoch: Epoch, text: String) -> Result<Start> {
        let path = names::start_path(epoch)?;
        let kind = match self.start_owner(&path).await? {
            (_, Some((owner, start))) => {
                self.secrets.learn(owner, start.epoch, start.nonce);
                FindingKind::WrongName
            }
            _ => FindingKind::Damaged,
        };
        self.report.corrupt(kind, path, text);
        Ok(Start::Bad(kind))
    }

    /// The start of the highest epoch that served; `None` also where it is bad.
    pub(super) fn find_head(&self) -> Option<StartObject> {
        let counts = |s: &&Start| !matches!(s, Start::Ignored);
        match self.starts.values().rev().find(counts)? {
            Start::Good(start) => Some(*start),
            _ => None,
        }
    }

    /// Something that can't be read because the start of its epoch is bad.
    pub(super) fn blocked(&mut self, path: &StorePath, epoch: Epoch, kind: FindingKind) {
        let text = format!("can't be checked: the start of epoch {epoch} is bad");
        self.report.corrupt(kind, path, text);
    }

    /// Reads all checkpoints; keeps the next number of the newest whole one.
    pub(super) async fn checkpoints(&mut self) -> Result<()> {
        let mut whole = 0;
        for id in self.list_checkpoints().await? {
            let path = names::checkpoint_path(id)?;
            match self.starts.get(&id.epoch) {
                Some(Start::Good(start)) => {
                    let key = SegmentKey {
                        journal: self.context.journal,
                        nonce: start.nonce,
                        epoch: id.epoch,
                        index: CHECKPOINT_INDEX,
                    };
                    if self.checkpoint(&path, Found { id, key }, whole).await? {
                        self.newest = self.newest.max(id.next_seq);
                        whole += 1;
                    }
                }
                Some(Start::Bad(kind)) => self.blocked(&path, id.epoch, *kind),
                Some(Start::Ignored) | None => self.idle_checkpoint(&path, id).await?,
            }
        }
        Ok(())
    }

    /// The names of checkpoints, the newest first.
    async fn list_checkpoints(&self) -> Result<Vec<CheckpointId>> {
        let folder = names::folder(CHECKPOINT_FOLDER)?;
        let rows = self.context.io().list(&folder).await?;
        let mut found = objects(rows, names::parse_checkpoint);
        found.reverse();
        Ok(found)
    }

    /// Reads one; says whether it is whole.
    async fn checkpoint(&mut self, path: &StorePath, found: Found, whole: usize) -> Result<bool> {
        self.report.checkpoints += 1;
        let read = match self.fast {
            true => self.open_checkpoint(path, found).await,
            false => checkpoint::verify(self.context, &found).await.map(|_| ()),
        };
        let text = match read {
            // Trimmed meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            read => match unless_corrupt(read)? {
                Ok(()) => return Ok(true),
                Err(text) => text,
            },
        };
        let kind = match self.checkpoint_owner(path).await? {
            Some((owner, _)) if owner != self.context.journal => FindingKind::Foreign,
            Some((_, id)) if id != found.id => FindingKind::WrongName,
            _ => FindingKind::Damaged,
        };
        if whole >= self.context.config.keep_checkpoints {
            // Trimmed, and its name has come back after a power cut.
            let text = format!("not needed, for {whole} newer ones are whole; but {text}");
            self.report.harmless(kind, path, text);
        } else {
            self.report.corrupt(kind, path, text);
        }
        Ok(false)
    }

    /// Reads its head only.
    async fn open_checkpoint(&self, path: &StorePath, found: Found) -> Result<()> {
        let Some(reader) = self.context.io().open(path, Source::Medium).await? else {
            return Err(crate::Error::new(ErrorKind::NotFound, "went away"));
        };
        CheckpointReader::open(reader, found.key, found.id)
            .await
            .map(|_| ())
            .map_err(|e| e.context(path))
    }

    async fn checkpoint_owner(&self, path: &StorePath) -> Result<Owner<CheckpointId>> {
        let head = self.look(path, 0, CHECKPOINT_HEAD).await?;
        let decoded = CheckpointHead::decode(&head);
        Ok(decoded.ok().map(|(owner, head)| (owner, head.id)))
    }

    /// One that does not count, for its epoch has no start.
    async fn idle_checkpoint(&mut self, path: &StorePath, id: CheckpointId) -> Result<()> {
        let journal = self.context.journal;
        let (kind, text) = match self.checkpoint_owner(path).await? {
            Some((owner, _)) if owner != journal => (
                FindingKind::Foreign,
                format!("a checkpoint of another journal, {owner}; ignored"),
            ),
            Some((_, own)) if own != id => (
                FindingKind::WrongName,
                format!(
                    "the checkpoint {}-{} under another name; ignored",
                    own.next_seq, own.epoch
                ),
            ),
            _ => (
                FindingKind::Superseded,
                format!(
                    "of epoch {}, which has no start; it does not count",
                    id.epoch
                ),
            ),
        };
        self.report.harmless(kind, path, text);
        Ok(())
    }

    /// Starts that are missing, though their epochs were served.
    pub(super) async fn lost_starts(&mut self) -> Result<()> {
        let lost = crate::view::settled(|| lost_starts(self.context)).await;
        let Err(text) = unless_corrupt(lost)? else {
            return Ok(());
        };
        let head = self.head.map_or(Epoch::NONE, |h| h.epoch);
        let epochs = lost_between(self.context, head, Epoch(u64::MAX)).await?;
        for (epoch, left) in &epochs {
            let text = format!("missing: epoch {epoch} was served, for it left {left}");
            self.lost.insert(*epoch);
            let path = names::start_path(*epoch)?;
            self.report.corrupt(FindingKind::Gap, path, text);
        }
        if epochs.is_empty() {
            self.report.corrupt(FindingKind::Gap, "start", text);
        }
        Ok(())
    }

    /// The next number of the newest checkpoint that is listed now: a primary may have
    /// trimmed for it since.
    pub(super) async fn trimmed_below(&self) -> Result<SeqNo> {
        let starts = Starts::list(&self.context.io(), self.context.journal).await?;
        for id in self.list_checkpoints().await? {
            if let Ok(Some(_)) = unless_corrupt(starts.get(id.epoch).await)? {
                return Ok(id.next_seq);
            }
        }
        Ok(SeqNo::ZERO)
    }
}

/// Of an empty name.
const RETURNED: &str = "empty: deleted, and its name has come back after a power cut; ignored";
