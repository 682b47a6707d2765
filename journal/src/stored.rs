//! [`StoredFile`]: one segment, checkpoint, backup or archived segment, read by its URI.

use crate::backup::directory::{Directory, split_file};
use crate::backup::file;
use crate::chain::{Opened, open_segment};
use crate::checkpoint::{CheckpointEntries, Found};
use crate::commit::serving::Context;
use crate::format::backup::{BackupReader, PieceEntries, PieceKind, Threads};
use crate::format::names::{self, CheckpointId};
use crate::format::object::StartObject;
use crate::format::{
    BadFrame, CHECKPOINT_INDEX, Entries, FrameKind, Nonce, Scanned, Scanner, SegmentId, SegmentKey,
};
use crate::objects::{Starts, read_epoch};
use crate::{Config, Entry, JournalReader};
use bytes::Bytes;
use flushproof_api::{Epoch, Error, ErrorKind, Mode, Result, SeqNo, Source, StorePath, StoreUri};
use std::fmt;

/// What a URI names, when it names no journal but a file of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileUri {
    /// A segment of the journal at this URI.
    Segment(StoreUri, SegmentId),
    /// A checkpoint of the journal at this URI.
    Checkpoint(StoreUri, CheckpointId),
    /// A backup or an archived segment.
    Backup(StoreUri),
}

impl FileUri {
    /// Reads the end of a URI: `…/log/<epoch>-<index>` (a store's own ending such as
    /// `.log` may follow), `…/checkpoint/<next-seq>-<epoch>`, or a name that ends in
    /// `.gz`. `None`: it names a journal.
    pub fn of(uri: &StoreUri) -> Option<FileUri> {
        let text = uri.to_string();
        if text.ends_with(".gz") {
            return Some(FileUri::Backup(uri.clone()));
        }
        let (rest, name) = text.rsplit_once('/')?;
        let (journal, folder) = rest.rsplit_once('/')?;
        let name = name.strip_suffix(".log").unwrap_or(name);
        let path = StorePath::new(format!("{folder}/{name}")).ok()?;
        let journal = match journal {
            "" => StoreUri::parse("/").ok()?,
            journal => StoreUri::parse(journal).ok()?,
        };
        match (names::parse_log(&path), names::parse_checkpoint(&path)) {
            (Some(id), _) => Some(FileUri::Segment(journal, id)),
            (_, Some(id)) => Some(FileUri::Checkpoint(journal, id)),
            _ => None,
        }
    }
}

/// One entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredEntry {
    /// An entry of the journal.
    Entry(Entry),
    /// An entry of a checkpoint's state.
    State(Bytes),
    /// The entries from the first number up to the second were lost.
    Gap(SeqNo, SeqNo),
}

/// A file that is being read, from its beginning.
pub struct StoredFile {
    source: From,
    durable: SeqNo,
    /// Where a segment's whole frames end, and what stands there.
    end: Option<(u64, BadFrame)>,
    about: String,
}

enum From {
    Segment(Box<Scanner>, Option<(Entries, Epoch, u64)>),
    Checkpoint(CheckpointEntries),
    Backup(Box<BackupReader>, Option<(PieceKind, PieceEntries, Epoch)>),
}

impl Config {
    /// Opens a file by its URI, with this configuration's options and limits.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when it is not what its name says; the store's.
    /// # Cancel safety
    /// Safe.
    pub async fn open_file(&self, file: &FileUri) -> Result<StoredFile> {
        let (journal, path) = match file {
            FileUri::Backup(uri) => return self.open_backup(uri).await,
            FileUri::Segment(journal, id) => (journal, names::log_path(*id)?),
            FileUri::Checkpoint(journal, id) => (journal, names::checkpoint_path(*id)?),
        };
        let mut config = self.clone();
        config.folder = journal.clone();
        let reader: JournalReader = config.reader().await?;
        let opened = match file {
            FileUri::Segment(_, id) => segment(&reader.context, *id).await,
            FileUri::Checkpoint(_, id) => checkpoint(&reader.context, *id).await,
            FileUri::Backup(_) => return self.open_backup(journal).await,
        };
        opened.map_err(|e| e.context(format!("{journal}/{path}")))
    }

    async fn open_backup(&self, uri: &StoreUri) -> Result<StoredFile> {
        let (folder, path) = split_file(uri)?;
        let options = self.backup.options.as_ref();
        let directory = Directory::open(self, folder, options, Mode::ReadOnly).await?;
        let reader = file::open(&directory, &path, Threads::all()).await?;
        let header = reader.header();
        let about = format!(
            "{} of journal {}, entries {} to {}",
            header.kind.as_str(),
            header.journal,
            header.first,
            header.end
        );
        Ok(StoredFile {
            durable: header.end,
            source: From::Backup(Box::new(reader), None),
            end: None,
            about,
        })
    }
}

/// The secret of an epoch: of its start, or of its claim.
async fn nonce(context: &Context, epoch: Epoch) -> Result<Nonce> {
    let io = context.io();
    let starts = Starts::list(&io, context.journal).await?;
    if let Some(start) = starts.get(epoch).await? {
        return Ok(start.nonce);
    }
    let claim = read_epoch(&io, context.journal, epoch).await?;
    claim.map(|c| c.nonce).ok_or_else(|| {
        let text = format!("nothing is known of epoch {epoch}: neither its start nor its claim");
        Error::new(ErrorKind::NotFound, text)
    })
}

async fn segment(context: &Context, id: SegmentId) -> Result<StoredFile> {
    let start = StartObject {
        epoch: id.epoch,
        nonce: nonce(context, id.epoch).await?,
        first_log: SegmentId { index: 0, ..id },
        prev: None,
        durable: SeqNo::ZERO,
        carried_end: SeqNo::ZERO,
    };
    match open_segment(context, &start, id.index, None, Source::Any).await? {
        Opened::Segment(segment, reader) => {
            let scanner = Scanner::new(reader, segment.key, segment.grain, 0, segment.end);
            Ok(StoredFile {
                source: From::Segment(Box::new(scanner), None),
                durable: segment.first_seq,
                end: None,
                about: format!("segment {id}, entries from {}", segment.first_seq),
            })
        }
        Opened::Unused(BadFrame::Zeros, ..) => Err(Error::new(
            ErrorKind::NotFound,
            "the segment is prepared, but nothing was written into it",
        )),
        Opened::Unused(why, ..) => Err(Error::new(
            ErrorKind::Corrupt,
            format!("the segment's header is damaged: {why}. journal repair saves what is whole"),
        )),
        Opened::Missing => Err(Error::new(ErrorKind::NotFound, "there is no such segment")),
    }
}

async fn checkpoint(context: &Context, id: CheckpointId) -> Result<StoredFile> {
    let key = SegmentKey {
        journal: context.journal,
        nonce: nonce(context, id.epoch).await?,
        epoch: id.epoch,
        index: CHECKPOINT_INDEX,
    };
    let entries = CheckpointEntries::open(context, &Found { id, key }).await?;
    Ok(StoredFile {
        source: From::Checkpoint(entries),
        durable: id.next_seq,
        end: None,
        about: format!("the state of all entries below {}", id.next_seq),
    })
}

impl StoredFile {
    /// What the file is, in words.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// What the file says of its entries so far: those below it are durable.
    pub fn durable(&self) -> SeqNo {
        self.durable
    }

    /// Once [`next`](Self::next) said `None`: where a segment's whole frames end
    /// although bytes follow, and what is wrong there. At the end of a segment that is
    /// being written, or was cut short by a crash, that is no damage.
    pub fn ends_at(&self) -> Option<(u64, String)> {
        let (offset, why) = self.end.as_ref()?;
        Some((*offset, why.to_string()))
    }

    /// The next entry; `None` behind the last.
    ///
    /// # Errors
    /// The store's; `Corrupt` of a checkpoint or a backup.
    /// # Cancel safety
    /// Not safe: read the file again.
    pub async fn next(&mut self) -> Result<Option<StoredEntry>> {
        match &mut self.source {
            From::Checkpoint(entries) => Ok(entries.next().await?.map(StoredEntry::State)),
            From::Segment(scanner, frame) => loop {
                if let Some((entries, epoch, clock_ms)) = frame
                    && let Some((seq, bytes)) = entries.next()
                {
                    return Ok(Some(StoredEntry::Entry(Entry {
                        seq,
                        bytes,
                        epoch: *epoch,
                        clock_ms: *clock_ms,
                    })));
                }
                match scanner.next().await? {
                    Scanned::Frame(f) => {
                        self.durable = self.durable.max(f.header.durable);
                        let (epoch, clock_ms) = (f.header.epoch, f.header.clock_ms);
                        *frame = (f.header.kind == FrameKind::Entries)
                            .then(|| (f.entries(), epoch, clock_ms));
                    }
                    Scanned::End
                    | Scanned::Bad {
                        why: BadFrame::Zeros,
                        ..
                    } => return Ok(None),
                    Scanned::Bad { offset, why } => {
                        self.end = Some((offset, why));
                        return Ok(None);
                    }
                }
            },
            From::Backup(reader, piece) => loop {
                if let Some((kind, entries, epoch)) = piece
                    && let Some((seq, clock_ms, bytes)) = entries.next()
                {
                    return Ok(Some(match kind {
                        PieceKind::State => StoredEntry::State(bytes),
                        _ => StoredEntry::Entry(Entry {
                            seq,
                            bytes,
                            epoch: *epoch,
                            clock_ms,
                        }),
                    }));
                }
                let Some(next) = reader.next().await? else {
                    return Ok(None);
                };
                let header = next.header;
                if header.kind == PieceKind::Gap {
                    return Ok(Some(StoredEntry::Gap(header.first, header.end())));
                }
                *piece = Some((header.kind, next.entries(), header.epoch));
            },
        }
    }
}

impl fmt::Debug for StoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFile")
            .field("about", &self.about)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_journal_or_a_file_of_one() {
        let of = |text: &str| FileUri::of(&StoreUri::parse(text).unwrap());
        let number = |n: u64| format!("{n:020}");
        let id = SegmentId {
            epoch: Epoch(3),
            index: 4,
        };
        let name = format!("{}-{}", number(3), number(4));
        for (root, journal) in [("/m/j", "/m/j"), ("s3://b/j", "s3://b/j"), ("", "/")] {
            let journal = StoreUri::parse(journal).unwrap();
            for ending in ["", ".log"] {
                let found = of(&format!("{root}/log/{name}{ending}"));
                assert_eq!(found, Some(FileUri::Segment(journal.clone(), id)));
            }
            let found = of(&format!("{root}/checkpoint/{name}"));
            assert!(matches!(found, Some(FileUri::Checkpoint(j, _)) if j == journal));
        }
        for backup in ["x.gz", "/b/x.gz", "s3://b/x.gz"] {
            assert!(matches!(of(backup), Some(FileUri::Backup(_))), "{backup}");
        }
        for journal in ["/m/j", "j", "/m/log/1-2", "s3://b/log", "memory:"] {
            assert_eq!(of(journal), None, "{journal}");
        }
    }
}
