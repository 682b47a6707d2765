//! From a backup's file to a journal.

use super::fill::Filling;
use super::place::Place;
use crate::Config;
use crate::archive::Archive;
use crate::backup::directory::{Directory, split_file};
use crate::backup::file::{self, Checked};
use crate::backup::{At, Phase, Progress};
use crate::commit::serving::Context;
use crate::format::JournalId;
use crate::format::backup::{BackupReader, PieceKind, Threads};
use crate::format::object::{Fill, FillKind};
use flushproof_api::{Error, ErrorKind, Mode, Options, Result, SeqNo, StorePath, StoreUri};

/// How a backup is restored.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The options of the backend on which the backup lies. Default: the journal's, if
    /// the scheme is the same, else none.
    pub options: Option<Options>,
    /// Format the place first, if it is no journal yet.
    pub format: bool,
    /// With `format`: also if it is a journal with entries, which is erased.
    pub force: bool,
    /// Only up to this point; a later one than the backup's needs the archive of the
    /// journal that was backed up (`archive.directory`).
    pub at: Option<At>,
    /// Check the file and the place, change nothing.
    pub dry_run: bool,
}

/// A backup that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The backup.
    pub from: String,
    /// The journal that it was taken of.
    pub source: JournalId,
    /// When it was taken, in ms since 1970.
    pub created_ms: u64,
    /// It begins with the state of all entries below this number.
    pub checkpoint: Option<SeqNo>,
    /// How many entries that state has.
    pub state_entries: u64,
    /// The number of the first entry.
    pub first: SeqNo,
    /// The number after the last entry.
    pub end: SeqNo,
    /// How many entries were restored, those of the state aside.
    pub entries: u64,
    /// Whether nothing was changed, because only that was asked for.
    pub dry_run: bool,
}

impl Config {
    /// Makes this journal, which must be formatted and empty, what a backup holds. The
    /// whole file is checked first; a crash at any point leaves an empty journal or
    /// the complete one. Sequence numbers are kept.
    ///
    /// # Errors
    /// `Corrupt`, `NewerFormat`: the file is not usable, and why; `AlreadyExists`: the
    /// journal has entries; `NotFormatted`; `Busy`; `ContractTooWeak`; the stores'.
    /// Nothing was changed then. `Unknown` outcome: look with `journal info`.
    /// # Cancel safety
    /// The journal is empty, or complete.
    pub async fn restore(
        &self,
        from: &StoreUri,
        options: &RestoreOptions,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Restored> {
        let backup = Backup::open(self, from, options.options.as_ref()).await?;
        let plan = backup.plan(self, options.at, &mut progress).await?;
        let how = Place {
            format: options.format,
            force: options.force,
        };
        let restored = async {
            self.could_fill(how).await?;
            if options.dry_run {
                return Ok(());
            }
            let context = self.make_ready(how).await?;
            let done = fill(&context, &backup, &plan, &mut progress).await;
            let closed = context.io().close().await;
            done.and(closed)
        };
        let restored = restored.await;
        let closed = backup.directory.io.close().await;
        restored.map_err(|e| e.context(format!("restoring {from}")))?;
        closed?;
        Ok(plan.restored(backup.uri(), options.dry_run))
    }
}

/// A backup's file.
pub(super) struct Backup {
    pub directory: Directory,
    path: StorePath,
}

impl Backup {
    pub(super) async fn open(
        config: &Config,
        from: &StoreUri,
        options: Option<&Options>,
    ) -> Result<Backup> {
        let (uri, path) = split_file(from)?;
        let options = options.or(config.backup.options.as_ref());
        let directory = Directory::open(config, uri, options, Mode::ReadOnly).await?;
        Ok(Backup { directory, path })
    }

    fn uri(&self) -> String {
        self.directory.at(&self.path)
    }

    async fn read(&self) -> Result<BackupReader> {
        file::open(&self.directory, &self.path, Threads::all()).await
    }

    /// Checks the whole file and finds out up to which entry it is wanted.
    pub(super) async fn plan(
        &self,
        config: &Config,
        at: Option<At>,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<Plan> {
        let checked =
            file::check(&self.directory, &self.path, Threads::all(), &mut *progress).await?;
        let archive = match at {
            Some(_) => Archive::open(config, checked.header.journal).await?,
            None => None,
        };
        let end = self.wanted(&checked, archive.as_ref(), at).await?;
        let entries = match end < checked.header.end {
            true => self.count_below(end).await?,
            false => checked.trailer.entries + (end.0 - checked.header.end.0),
        };
        Ok(Plan {
            checked,
            end,
            entries,
            archive,
        })
    }

    async fn wanted(
        &self,
        checked: &Checked,
        archive: Option<&Archive>,
        at: Option<At>,
    ) -> Result<SeqNo> {
        let (first, end) = (checked.header.first, checked.header.end);
        let out = |what: String| Err(Error::new(ErrorKind::InvalidInput, what));
        match at {
            None => Ok(end),
            Some(At::Seq(seq)) if seq < first => out(format!(
                "{}: the state at {seq} can't be restored: the backup begins at {first}",
                self.uri()
            )),
            Some(At::Seq(seq)) if seq <= end => Ok(seq),
            Some(At::Seq(seq)) => match archive {
                Some(archive) if archive.reaches(end..seq).await? => Ok(seq),
                _ => out(format!(
                    "{}: the state at {seq} can't be restored: the backup ends at {end}, and no \
                     archive (archive.directory) holds what follows",
                    self.uri()
                )),
            },
            Some(At::Time(ms)) => {
                if let Some(seq) = self.first_after(ms).await? {
                    return match seq > first || first == SeqNo::ZERO {
                        true => Ok(seq),
                        false => out(format!(
                            "{}: at {} the state was an earlier one than the backup begins with",
                            self.uri(),
                            At::Time(ms)
                        )),
                    };
                }
                match archive {
                    Some(archive) => archive.first_after_from(end, ms).await,
                    None => Ok(end),
                }
            }
        }
    }

    async fn count_below(&self, end: SeqNo) -> Result<u64> {
        let mut reader = self.read().await?;
        let mut count = 0;
        while let Some(piece) = reader.next().await? {
            let header = &piece.header;
            if header.kind == PieceKind::Entries {
                let below = end.0.saturating_sub(header.first.0);
                count += below.min(u64::from(header.count));
            }
        }
        Ok(count)
    }

    /// The number of the first entry that was flushed after `ms`.
    async fn first_after(&self, ms: u64) -> Result<Option<SeqNo>> {
        let mut reader = self.read().await?;
        while let Some(piece) = reader.next().await? {
            if piece.header.kind == PieceKind::Entries {
                let late = piece.entries().find(|(_, clock_ms, _)| *clock_ms > ms);
                if let Some((seq, ..)) = late {
                    return Ok(Some(seq));
                }
            }
        }
        Ok(None)
    }
}

/// What is to be restored.
pub(super) struct Plan {
    pub checked: Checked,
    pub end: SeqNo,
    /// How many entries there are below `end`.
    entries: u64,
    archive: Option<Archive>,
}

impl Plan {
    fn restored(&self, from: String, dry_run: bool) -> Restored {
        let header = &self.checked.header;
        Restored {
            from,
            source: header.journal,
            created_ms: header.created_ms,
            checkpoint: header.checkpoint.then_some(header.first),
            state_entries: self.checked.trailer.state_entries,
            first: header.first,
            end: self.end,
            entries: self.entries,
            dry_run,
        }
    }
}

/// Fills an empty journal. What was written is removed when it fails.
pub(super) async fn fill(
    context: &Context,
    backup: &Backup,
    plan: &Plan,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<()> {
    let header = &plan.checked.header;
    let fill = Fill {
        kind: FillKind::Restore,
        source: header.journal,
        first: header.first,
        end: plan.end,
    };
    let gap = !header.checkpoint && header.first > SeqNo::ZERO;
    let mut filling = Filling::begin(context, fill, gap).await?;
    let done = match write(&mut filling, backup, plan, progress).await {
        Ok(()) => filling.publish().await,
        Err(e) => Err(e),
    };
    if done.is_err() {
        filling.discard().await;
    }
    done
}

async fn write(
    filling: &mut Filling,
    backup: &Backup,
    plan: &Plan,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<()> {
    let mut reader = backup.read().await?;
    if *reader.header() != plan.checked.header {
        let text = format!("{} changed while it was restored", backup.uri());
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    let mut state = match reader.header().checkpoint {
        true => Some(filling.checkpoint(plan.checked.header.first).await?),
        false => None,
    };
    while let Some(piece) = reader.next().await? {
        progress(Progress {
            phase: Phase::Restoring,
            done: reader.offset(),
            total: reader.len(),
        });
        match (piece.header.kind, &mut state) {
            (PieceKind::State, Some(state)) => {
                for (_, _, bytes) in piece.entries() {
                    state.entry(&bytes).await?;
                }
            }
            (PieceKind::Gap, _) if piece.header.end() <= plan.end => {
                filling.gap(piece.header.end()).await?;
            }
            (PieceKind::Entries, _) => {
                for (seq, clock_ms, bytes) in piece.entries() {
                    if seq < plan.end {
                        filling.entry(seq, clock_ms, &bytes).await?;
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(state) = state {
        state.commit().await?;
    }
    if let (true, Some(archive)) = (filling.next_seq() < plan.end, &plan.archive) {
        archive.copy(filling.next_seq()..plan.end, filling).await?;
    }
    Ok(())
}
