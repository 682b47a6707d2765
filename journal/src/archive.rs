//! The archive: the entries of segments, kept on any store before they are
//! trimmed, so that a backup can be taken of any point behind them.
//!
//! A segment is kept as one file in the form of a backup, in a folder named by the
//! journal's id: `<journal id>/<first>-<end>-<epoch>-<index>.gz`, numbers with 20
//! digits. It is read back and verified before the segment goes.

use crate::Config;
use crate::backup::directory::{Directory, resolve};
use crate::backup::file::{self, Checked, FileWriter, Pace, in_doubt};
use crate::chain::Segment;
use crate::commit::serving::Context;
use crate::commit::state::now_ms;
use crate::format::backup::{
    BackupEncoder, BackupHeader, BackupKind, BackupReader, PieceKind, Threads,
};
use crate::format::{JournalId, SegmentId};
use crate::replay::{Item, Replay};
use crate::restore::Filling;
use flushproof_api::{Epoch, Error, ErrorKind, ListedKind, Mode, Result, SeqNo, StorePath};
use std::collections::VecDeque;
use std::ops::Range;

/// The program that writes files.
pub(crate) const TOOL: &str = concat!("flushproof ", env!("CARGO_PKG_VERSION"));

/// The archive of one journal.
#[derive(Debug)]
pub(crate) struct Archive {
    pub directory: Directory,
    journal: JournalId,
    limit: std::time::Duration,
}

/// An archived segment, as its name says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    pub first: SeqNo,
    pub end: SeqNo,
    pub segment: SegmentId,
    /// The length of its file.
    pub len: u64,
}

impl Kept {
    pub(crate) fn path(&self, journal: JournalId) -> Result<StorePath> {
        StorePath::new(format!(
            "{journal}/{:020}-{:020}-{:020}-{:020}.gz",
            self.first.0, self.end.0, self.segment.epoch.0, self.segment.index
        ))
    }

    fn parse(path: &StorePath, len: u64) -> Option<Kept> {
        let mut numbers = path.name().strip_suffix(".gz")?.split('-');
        let mut number = || {
            let text = numbers.next().filter(|t| t.len() == 20)?;
            text.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| text.parse::<u64>().ok())?
        };
        let kept = Kept {
            first: SeqNo(number()?),
            end: SeqNo(number()?),
            segment: SegmentId {
                epoch: Epoch(number()?),
                index: number()?,
            },
            len,
        };
        (numbers.next().is_none() && kept.first < kept.end).then_some(kept)
    }
}

impl Archive {
    /// The configured archive; `None` when there is none.
    pub(crate) async fn open(config: &Config, journal: JournalId) -> Result<Option<Archive>> {
        Self::open_as(config, journal, Mode::ReadOnly).await
    }

    async fn open_as(config: &Config, journal: JournalId, mode: Mode) -> Result<Option<Archive>> {
        let Some(named) = &config.archive.directory else {
            return Ok(None);
        };
        let uri = resolve(&config.folder, named, "archive.directory")?;
        let options = config.archive.options.as_ref();
        let directory = match Directory::open(config, uri, options, mode).await {
            // Nothing was kept yet.
            Err(e) if e.kind() == ErrorKind::NotFound && mode == Mode::ReadOnly => return Ok(None),
            other => other.map_err(|e| e.context("archive.directory"))?,
        };
        Ok(Some(Archive {
            directory,
            journal,
            limit: config.store_timeout,
        }))
    }

    /// What is kept, by number.
    pub(crate) async fn list(&self) -> Result<Vec<Kept>> {
        let folder = StorePath::new(self.journal.to_string())?;
        let rows = self.directory.io.list(&folder).await;
        let rows = rows.map_err(|e| e.context(&self.directory.uri))?;
        let objects = rows.iter().filter(|r| r.kind == ListedKind::Object);
        let mut kept: Vec<_> = objects
            .filter_map(|r| Kept::parse(&r.path, r.len))
            .collect();
        kept.sort();
        Ok(kept)
    }

    /// Begins to read a file, and makes sure that it is what its name says.
    pub(crate) async fn read(&self, kept: &Kept) -> Result<BackupReader> {
        let path = kept.path(self.journal)?;
        let reader = file::open(&self.directory, &path, Threads::all()).await?;
        self.is_right(kept, reader.header())
            .map_err(|e| e.context(self.directory.at(&path)))?;
        Ok(reader)
    }

    fn is_right(&self, kept: &Kept, header: &BackupHeader) -> Result<()> {
        let right = header.kind == BackupKind::Segment
            && header.journal == self.journal
            && (header.first, header.end) == (kept.first, kept.end);
        match right {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the file is a {} of journal {} with entries {} to {}: it stands under a wrong \
                     name",
                    header.kind.as_str(),
                    header.journal,
                    header.first,
                    header.end
                ),
            )),
        }
    }

    /// Reads all of a file; Ok only if nothing is wrong with it.
    pub(crate) async fn check(&self, kept: &Kept) -> Result<(StorePath, Checked)> {
        let path = kept.path(self.journal)?;
        let checked = file::check(&self.directory, &path, Threads::all(), |_| {}).await?;
        self.is_right(kept, &checked.header)
            .map_err(|e| e.context(self.directory.at(&path)))?;
        Ok((path, checked))
    }

    /// The clock of a file's first entry.
    pub(crate) async fn first_clock(&self, kept: &Kept) -> Result<u64> {
        let mut reader = self.read(kept).await?;
        while let Some(piece) = reader.next().await? {
            if let Some((_, clock_ms, _)) = piece.entries().next() {
                return Ok(clock_ms);
            }
        }
        Ok(u64::MAX)
    }

    /// The number of the first entry of `range` that was flushed after `ms`.
    pub(crate) async fn first_after(
        &self,
        kept: &[Kept],
        range: Range<SeqNo>,
        ms: u64,
    ) -> Result<SeqNo> {
        let (from, end) = (range.start, range.end);
        let files = covering(kept, range).ok_or_else(|| {
            let text = format!("{}: files are missing", self.directory.uri);
            Error::new(ErrorKind::Corrupt, text)
        })?;
        for file in files {
            let mut reader = self.read(&file).await?;
            while let Some(piece) = reader.next().await? {
                if piece.header.kind != PieceKind::Entries {
                    continue;
                }
                for (seq, clock_ms, _) in piece.entries() {
                    if clock_ms > ms && seq >= from {
                        return Ok(seq.min(end));
                    }
                }
            }
        }
        Ok(end)
    }

    /// Whether all entries of the range are kept.
    pub(crate) async fn reaches(&self, range: Range<SeqNo>) -> Result<bool> {
        Ok(covering(&self.list().await?, range).is_some())
    }

    /// As [`first_after`](Self::first_after), from `from` on as far as all are kept.
    pub(crate) async fn first_after_from(&self, from: SeqNo, ms: u64) -> Result<SeqNo> {
        let kept = self.list().await?;
        let mut end = from;
        while let Some(longer) = kept.iter().find(|k| k.first <= end && k.end > end) {
            end = longer.end;
        }
        self.first_after(&kept, from..end, ms).await
    }

    /// Writes the entries of the range into a journal that is being filled.
    pub(crate) async fn copy(&self, range: Range<SeqNo>, filling: &mut Filling) -> Result<()> {
        let kept = self.list().await?;
        let files = covering(&kept, range.clone()).unwrap_or_default();
        for file in files {
            let mut reader = self.read(&file).await?;
            while let Some(piece) = reader.next().await? {
                for (seq, clock_ms, bytes) in piece.entries() {
                    if seq == filling.next_seq() && seq < range.end {
                        filling.entry(seq, clock_ms, &bytes).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps a segment of the chain: its file is there and verified when this returns.
    async fn keep(&self, context: &Context, segment: &Segment) -> Result<()> {
        let kept = Kept {
            first: segment.first_seq,
            end: segment.end_seq,
            segment: segment.id(),
            len: 0,
        };
        let path = kept.path(self.journal)?;
        let written = self.write(context, segment, &kept, &path).await;
        match written {
            // Kept before, by a trim that was cut short.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if in_doubt(&e) => {
                tracing::warn!(error = %e, "an archived segment's publication is in doubt");
            }
            other => other?,
        }
        match self.check(&kept).await {
            Ok(_) => Ok(()),
            Err(e) => {
                Err(e.context("reading an archived segment back (remove it if it is damaged)"))
            }
        }
    }

    async fn write(
        &self,
        context: &Context,
        segment: &Segment,
        kept: &Kept,
        path: &StorePath,
    ) -> Result<()> {
        let pace = Pace {
            threads: Threads::new(1),
            rate: None,
        };
        let mut file = FileWriter::create(&self.directory, path, self.limit, pace).await?;
        let range = kept.first..kept.end;
        let row = VecDeque::from([segment.clone()]);
        let mut replay = Replay::new(context.clone(), None, row, range);
        let header = BackupHeader {
            kind: BackupKind::Segment,
            journal: self.journal,
            created_ms: now_ms(),
            epoch: segment.id().epoch,
            checkpoint: false,
            first: kept.first,
            end: kept.end,
            tool: TOOL.into(),
        };
        let (mut encoder, head) = BackupEncoder::new(header);
        file.part(head).await?;
        while let Some(item) = replay.next().await? {
            let Item::Entry(e) = item else { continue };
            if let Some(part) = encoder.entry(e.seq, e.epoch, e.clock_ms, &e.bytes)? {
                file.part_of(&mut encoder, part).await?;
            }
        }
        let (rest, trailer) = encoder.finish()?;
        if let Some(rest) = rest {
            file.part(rest).await?;
        }
        file.part(trailer).await?;
        file.publish().await.map(|_| ())
    }
}

/// Files that together hold all entries of the range; `None` when some are missing.
pub(crate) fn covering(kept: &[Kept], range: Range<SeqNo>) -> Option<VecDeque<Kept>> {
    let mut files = VecDeque::new();
    let mut next = range.start;
    while next < range.end {
        let holds = kept.iter().filter(|k| k.first <= next && next < k.end);
        let best = holds.max_by_key(|k| (k.end, k.segment))?;
        next = best.end;
        files.push_back(best.clone());
    }
    Some(files)
}

/// Keeps those segments of the chain that are to be trimmed, if there is an archive.
///
/// # Errors
/// The stores'; `Corrupt`. Nothing may be trimmed then.
pub(crate) async fn keep(context: &Context, doomed: &[Segment]) -> Result<()> {
    if context.config.archive.directory.is_none() || doomed.is_empty() {
        return Ok(());
    }
    let archive = Archive::open_as(&context.config, context.journal, Mode::ReadWrite).await?;
    let Some(archive) = archive else {
        return Ok(());
    };
    let mut kept = Ok(());
    for segment in doomed.iter().filter(|s| s.first_seq < s.end_seq) {
        kept = archive.keep(context, segment).await;
        if kept.is_err() {
            break;
        }
    }
    let closed = archive.directory.io.close().await;
    kept.map_err(|e| e.context("archiving; nothing was trimmed"))?;
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(first: u64, end: u64) -> Kept {
        Kept {
            first: SeqNo(first),
            end: SeqNo(end),
            segment: SegmentId {
                epoch: Epoch(1),
                index: 0,
            },
            len: 1,
        }
    }

    #[test]
    fn names_are_read_back() {
        let journal = JournalId([7; 16]);
        let file = kept(3, 9);
        let path = file.path(journal).unwrap();
        assert_eq!(Kept::parse(&path, 1), Some(file));
        for wrong in ["x/1-2.gz", "x/y", &path.as_str().replace(".gz", "-1.gz")] {
            assert_eq!(Kept::parse(&StorePath::new(wrong).unwrap(), 1), None);
        }
    }

    #[test]
    fn a_hole_in_the_archive_is_seen() {
        let files = [kept(0, 5), kept(0, 3), kept(3, 8), kept(9, 12)];
        let found = |range: Range<u64>| {
            let range = SeqNo(range.start)..SeqNo(range.end);
            covering(&files, range).map(|f| f.iter().map(|k| k.first.0).collect::<Vec<_>>())
        };
        assert_eq!(found(0..8), Some(vec![0, 3]));
        assert_eq!(found(4..4), Some(vec![]));
        assert_eq!(found(0..9), None);
        assert_eq!(found(9..12), Some(vec![9]));
    }
}
