//! Taking a backup.

use super::directory::{BackupName, Directory, of_backups};
use super::file::{self, FileWriter, Pace, in_doubt};
use super::parts::{self, Rows};
use super::retention;
use super::{BackupOptions, Phase, Progress};
use crate::JournalReader;
use crate::archive::TOOL;
use crate::checkpoint::CheckpointEntries;
use crate::commit::core::Core;
use crate::commit::serving::Context;
use crate::commit::state::now_ms;
use crate::format::backup::{BackupEncoder, BackupHeader, BackupKind, Threads};
use flushproof_api::{Error, ErrorKind, Mode, Result, SeqNo, Survives};
use std::sync::Arc;

/// A backup that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The full URI of its file.
    pub uri: String,
    /// It begins with the state of all entries below this number.
    pub checkpoint: Option<SeqNo>,
    /// The number of its first entry.
    pub first: SeqNo,
    /// Its position: every entry below it is in it, or in its state.
    pub end: SeqNo,
    /// How many entries it holds.
    pub entries: u64,
    /// How many entries its state has.
    pub state_entries: u64,
    /// The length of the file, in bytes.
    pub bytes: u64,
    /// The bytes that were packed into it.
    pub unpacked: u64,
    /// Whether it was read back, and all of it is right.
    pub verified: bool,
    /// What the file survives where it lies.
    pub survives: Survives,
    /// Whole entries at the journal's end that were left out: a primary is writing
    /// them.
    pub undecided: u64,
    /// Older backups that were removed, by name.
    pub removed: Vec<String>,
}

/// How often a backup begins again because what it reads was trimmed meanwhile.
const ATTEMPTS: u32 = 5;

impl JournalReader {
    /// Takes a backup: the newest checkpoint and the entries behind it, up to a
    /// durable position. The journal may be in use.
    ///
    /// # Errors
    /// `InvalidInput` for a place or a point that can't be; `Corrupt` when the journal
    /// is damaged, or the file does not read back as it was written; the stores'.
    /// # Cancel safety
    /// Nothing is published, or the whole file.
    pub async fn backup(
        &self,
        options: &BackupOptions,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<BackedUp> {
        let config = &self.context.config.backup;
        let pace = Pace {
            threads: config.threads.map_or(Threads::all(), Threads::new),
            rate: config.rate,
        };
        take(&self.context, None, options, pace, progress).await
    }
}

pub(super) async fn take(
    context: &Context,
    core: Option<&Arc<Core>>,
    options: &BackupOptions,
    pace: Pace,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<BackedUp> {
    let config = &context.config;
    let uri = of_backups(config, options.to.as_deref())?;
    let wanted = config.backup.options.as_ref();
    let directory = Directory::open(config, uri, wanted, Mode::ReadWrite).await?;
    // From here on a primary trims nothing that is there now.
    let hold = core.map(|core| core.hold_trim());
    let mut attempt = 0;
    let taken = loop {
        let job = Job {
            context,
            directory: &directory,
            durable: core.map(|c| c.durable()),
            options,
            pace,
        };
        match job.run(&mut progress).await {
            Err(e) if e.kind() == ErrorKind::NotFound && attempt < ATTEMPTS => {
                tracing::info!(error = %e, "the journal was trimmed meanwhile; the backup begins again");
                attempt += 1;
            }
            other => break other,
        }
    };
    drop(hold);
    let closed = directory.io.close().await;
    let taken = taken.map_err(|e| e.context("backup"))?;
    closed?;
    Ok(taken)
}

/// One try.
struct Job<'a> {
    context: &'a Context,
    directory: &'a Directory,
    durable: Option<SeqNo>,
    options: &'a BackupOptions,
    pace: Pace,
}

impl Job<'_> {
    async fn run(&self, progress: &mut (impl FnMut(Progress) + Send)) -> Result<BackedUp> {
        let mut rows = parts::find(self.context, self.durable, self.options.at).await?;
        let (name, file) = self.create().await?;
        let path = name.path()?;
        let config = &self.context.config.backup;
        let mut taken = self
            .write(&mut rows, name.created_ms, file, progress)
            .await?;
        taken.uri = self.directory.at(&path);
        if config.verify || taken.in_doubt {
            let checked = file::check(self.directory, &path, self.pace.threads, progress).await;
            let checked = checked.map_err(|e| e.context("reading the backup back"))?;
            if checked.header != taken.header {
                let text = format!("{}: another backup has this name", taken.uri);
                return Err(Error::new(ErrorKind::AlreadyExists, text));
            }
            taken.len = checked.len;
        }
        let removed = match config.keep {
            // One of an earlier point does not replace those of later ones.
            Some(keep) if self.options.at.is_none() => {
                let good = (config.verify || taken.in_doubt).then_some(&name);
                let journal = self.context.journal;
                retention::apply(self.directory, &config.prefix, journal, keep, good)
                    .await
                    .map_err(|e| {
                        e.context(format!("{} is complete; removing older ones", taken.uri))
                    })?
            }
            _ => Vec::new(),
        };
        Ok(BackedUp {
            uri: taken.uri,
            checkpoint: rows.base.map(|c| c.id.next_seq),
            first: rows.first,
            end: rows.end,
            entries: taken.entries,
            state_entries: taken.state_entries,
            bytes: taken.len,
            unpacked: taken.raw,
            verified: config.verify || taken.in_doubt,
            survives: self.directory.survives,
            undecided: match self.options.at {
                None => rows.undecided,
                Some(_) => 0,
            },
            removed,
        })
    }

    /// Begins a file under a name that is free: two backups of one moment differ.
    async fn create(&self) -> Result<(BackupName, FileWriter)> {
        let config = &self.context.config;
        let mut name = BackupName::new(&config.backup.prefix, now_ms());
        for _ in 0..1000 {
            let path = name.path()?;
            let limit = config.store_timeout;
            match FileWriter::create(self.directory, &path, limit, self.pace).await {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => name.created_ms += 1,
                created => return Ok((name, created?)),
            }
        }
        let text = format!("{}: every name is taken", self.directory.uri);
        Err(Error::new(ErrorKind::AlreadyExists, text))
    }

    async fn write(
        &self,
        rows: &mut Rows,
        created_ms: u64,
        mut file: FileWriter,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<Taken> {
        let header = BackupHeader {
            kind: BackupKind::Backup,
            journal: self.context.journal,
            created_ms,
            epoch: rows.epoch,
            checkpoint: rows.base.is_some(),
            first: rows.first,
            end: rows.end,
            tool: TOOL.into(),
        };
        let filled = self.fill(rows, header.clone(), &mut file, progress).await;
        let (state_entries, entries) = match filled {
            Ok(counts) => counts,
            Err(e) => {
                file.abort().await;
                return Err(e);
            }
        };
        let (raw, len) = (file.raw, file.len);
        let (len, in_doubt) = match file.publish().await {
            Ok(len) => (len, false),
            Err(e) if in_doubt(&e) => {
                tracing::warn!(error = %e, "the backup's publication is in doubt; looking");
                (len, true)
            }
            Err(e) => return Err(e.context("publishing the backup")),
        };
        Ok(Taken {
            uri: String::new(),
            header,
            state_entries,
            entries,
            raw,
            len,
            in_doubt,
        })
    }

    /// Writes everything up to the trailer; says how many entries the state has, and how many follow.
    async fn fill(
        &self,
        rows: &mut Rows,
        header: BackupHeader,
        file: &mut FileWriter,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(u64, u64)> {
        let (encoder, head) = BackupEncoder::new(header);
        let mut encoder = encoder.with_parts_of(self.pace.part());
        file.part(head).await?;
        let mut state_entries = 0;
        if let Some(found) = &rows.base {
            let mut state = CheckpointEntries::open(self.context, found).await?;
            while let Some(entry) = state.next().await? {
                state_entries += 1;
                if let Some(part) = encoder.state(&entry)? {
                    file.part_of(&mut encoder, part).await?;
                }
            }
        }
        let (mut done, mut entries, mut next) = (0, 0, rows.first);
        while let Some(e) = rows.next().await? {
            done += e.bytes.len() as u64;
            if e.seq > next {
                encoder.gap(e.seq)?;
            }
            next = e.seq.next();
            entries += 1;
            if let Some(part) = encoder.entry(e.seq, e.epoch, e.clock_ms, &e.bytes)? {
                file.part_of(&mut encoder, part).await?;
                progress(Progress {
                    phase: Phase::Writing,
                    done: done.min(rows.bytes),
                    total: rows.bytes,
                });
            }
        }
        let (rest, trailer) = encoder.finish()?;
        if let Some(rest) = rest {
            file.part(rest).await?;
        }
        file.part(trailer).await?;
        Ok((state_entries, entries))
    }
}

/// A file that was written.
struct Taken {
    uri: String,
    header: BackupHeader,
    state_entries: u64,
    entries: u64,
    raw: u64,
    len: u64,
    /// Whether it was published is to be seen.
    in_doubt: bool,
}
