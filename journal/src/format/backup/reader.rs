//! [`BackupReader`]: reads a backup and checks all of it.

use super::member::{MEMBER_HEAD, member_len};
use super::text::MAX_TEXT;
use super::{BackupHeader, BackupTrailer, Piece, PieceKind, corrupt, unpack};
use crate::format::scan::read_exact;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Reader, Result, SeqNo};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Bytes that are read at once.
const WINDOW: u64 = 1 << 20;

/// How many members are packed or unpacked side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(usize);

impl Threads {
    /// All cores of this machine, up to 16.
    pub fn all() -> Threads {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Threads(cores.clamp(1, 16))
    }

    /// So many, from 1 to 16.
    pub fn new(threads: usize) -> Threads {
        Threads(threads.clamp(1, 16))
    }

    /// How many.
    pub fn count(self) -> usize {
        self.0
    }
}

/// Reads a backup from its beginning to its end. Only when [`next`](Self::next) said
/// `None` is the file whole.
///
/// Memory: a window of 1 MiB, and for each thread a member, packed and unpacked.
pub struct BackupReader {
    members: Members,
    /// Members that are being unpacked, in order.
    unpacking: FuturesOrdered<BoxFuture<'static, Result<(u64, Bytes)>>>,
    threads: usize,
    header: BackupHeader,
    /// Where the member stands whose pieces are being read, and what is left of it.
    at: u64,
    part: Bytes,
    sha256: Sha256,
    state_entries: u64,
    entries: u64,
    next: SeqNo,
    trailer: Option<BackupTrailer>,
}

impl BackupReader {
    /// Reads the header.
    ///
    /// # Errors
    /// `NewerFormat`; `Corrupt` when it is no backup; those of the reader.
    /// # Cancel safety
    /// Safe.
    pub async fn open(reader: Arc<dyn Reader>, threads: Threads) -> Result<BackupReader> {
        let len = reader.len().await?;
        let mut members = Members {
            reader,
            len,
            offset: 0,
            window_at: 0,
            window: Bytes::new(),
        };
        let first = members.next().await?;
        let (_, member) = first.ok_or_else(|| corrupt("the file is empty"))?;
        let text = unpack(&member).map_err(|e| e.context("offset 0"))?;
        let header = BackupHeader::decode(text.get(..MAX_TEXT.min(text.len())).unwrap_or(&text))?;
        Ok(BackupReader {
            members,
            unpacking: FuturesOrdered::new(),
            threads: threads.count(),
            at: 0,
            part: Bytes::new(),
            sha256: Sha256::new_with_prefix(&text),
            state_entries: 0,
            entries: 0,
            next: header.first,
            header,
            trailer: None,
        })
    }

    /// What the backup says about itself.
    pub fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// The trailer, once [`next`](Self::next) said `None`.
    pub fn trailer(&self) -> Option<&BackupTrailer> {
        self.trailer.as_ref()
    }

    /// How many bytes of the file were read.
    pub fn offset(&self) -> u64 {
        self.members.offset
    }

    /// The file's length.
    pub fn len(&self) -> u64 {
        self.members.len
    }

    /// Never: a backup has at least its header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The next piece; `None` once the trailer was found at the very end and says
    /// of everything before what was found.
    ///
    /// # Errors
    /// `Corrupt` with the offset; those of the reader.
    /// # Cancel safety
    /// Not safe: read the backup again.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        while self.part.is_empty() {
            if !self.next_part().await? {
                return Ok(None);
            }
        }
        let piece = Piece::take(&mut self.part).and_then(|p| self.check(p));
        piece.map(Some).map_err(|e| self.here(e))
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    /// # Cancel safety
    /// Not safe: read the backup again.
    pub async fn verify(&mut self, mut progress: impl FnMut(u64, u64)) -> Result<BackupTrailer> {
        while self.next().await?.is_some() {
            progress(self.offset(), self.len());
        }
        let trailer = self.trailer.clone();
        trailer.ok_or_else(|| corrupt("the backup has no end"))
    }

    fn here(&self, e: Error) -> Error {
        e.context(format!("the part at offset {}", self.at))
    }

    /// Pieces stand in order: the state from 0, then the entries from `first`.
    fn check(&mut self, piece: Piece) -> Result<Piece> {
        let header = &piece.header;
        let (right, expected) = match header.kind {
            PieceKind::State => {
                let place = self.header.checkpoint && self.next == self.header.first;
                (place, SeqNo(self.state_entries))
            }
            PieceKind::Entries | PieceKind::Gap => (header.end() <= self.header.end, self.next),
        };
        if !right || header.first != expected {
            return Err(corrupt(format!(
                "a piece begins with {}, but {expected} comes next",
                header.first
            )));
        }
        match header.kind {
            PieceKind::State => self.state_entries += u64::from(header.count),
            PieceKind::Entries => {
                self.next = header.end();
                self.entries += u64::from(header.count);
            }
            PieceKind::Gap => self.next = header.end(),
        }
        Ok(piece)
    }

    /// Makes the next member's bytes those to take pieces from. `false`: that was all.
    async fn next_part(&mut self) -> Result<bool> {
        if self.trailer.is_some() {
            return Ok(false);
        }
        while self.unpacking.len() < self.threads {
            let Some((at, member)) = self.members.next().await? else {
                break;
            };
            self.unpacking.push_back(unpacked(at, member));
        }
        let Some(part) = self.unpacking.next().await else {
            return Err(self.truncated());
        };
        (self.at, self.part) = part?;
        if self.part.len() <= MAX_TEXT
            && let Some(trailer) = BackupTrailer::decode(&self.part)
        {
            self.finish(&trailer).map_err(|e| self.here(e))?;
            self.trailer = Some(trailer);
            return Ok(false);
        }
        self.sha256.update(&self.part);
        if self.part.is_empty() {
            return Err(self.here(corrupt("a part without entries")));
        }
        Ok(true)
    }

    fn truncated(&self) -> Error {
        corrupt(format!(
            "the file ends at offset {} without a trailer: it was cut short behind entry {}",
            self.members.len, self.next
        ))
    }

    fn finish(&mut self, trailer: &BackupTrailer) -> Result<()> {
        let sha256: [u8; 32] = std::mem::take(&mut self.sha256).finalize().into();
        let all = trailer.state_entries == self.state_entries
            && trailer.entries == self.entries
            && self.next == self.header.end;
        self.part.clear();
        if !all {
            return Err(corrupt(format!(
                "the trailer speaks of {} entries, {} were found up to {}",
                trailer.entries, self.entries, self.next
            )));
        }
        if trailer.sha256 != sha256 {
            return Err(corrupt("the SHA-256 in the trailer does not match"));
        }
        match self.unpacking.is_empty() && self.members.offset == self.members.len {
            true => Ok(()),
            false => Err(corrupt("something stands behind the trailer")),
        }
    }
}

impl std::fmt::Debug for BackupReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupReader")
            .field("header", &self.header)
            .field("offset", &self.members.offset)
            .finish()
    }
}

/// A member on its way through a blocking thread.
fn unpacked(at: u64, member: Bytes) -> BoxFuture<'static, Result<(u64, Bytes)>> {
    let work = tokio::task::spawn_blocking(move || unpack(&member));
    async move {
        let raw = match work.await {
            Ok(raw) => raw.map_err(|e| e.context(format!("the part at offset {at}")))?,
            Err(_) => return Err(Error::new(ErrorKind::Closed, "the runtime ends")),
        };
        Ok((at, raw.into()))
    }
    .boxed()
}

/// The members of a file, one after the other.
struct Members {
    reader: Arc<dyn Reader>,
    len: u64,
    offset: u64,
    window_at: u64,
    window: Bytes,
}

impl Members {
    async fn next(&mut self) -> Result<Option<(u64, Bytes)>> {
        let at = self.offset;
        if at == self.len {
            return Ok(None);
        }
        let head = self.bytes((self.len - at).min(MEMBER_HEAD as u64)).await?;
        let here = |e: Error| e.context(format!("offset {at}"));
        let len = member_len(&head).map_err(here)?;
        let member = self.bytes(len).await?;
        self.offset += len;
        Ok(Some((at, member)))
    }

    /// The next `n` bytes, without going on.
    async fn bytes(&mut self, n: u64) -> Result<Bytes> {
        let left = self.len - self.offset;
        if left < n {
            return Err(corrupt(format!(
                "offset {}: the file is cut short: {left} bytes are there, {n} are needed",
                self.offset
            )));
        }
        let skip = (self.offset - self.window_at) as usize;
        if self.window.len() < skip || ((self.window.len() - skip) as u64) < n {
            self.window = Bytes::new();
            let len = n.max(WINDOW).min(left);
            self.window = read_exact(&*self.reader, self.offset, len).await?;
            self.window_at = self.offset;
            return Ok(self.window.slice(..n as usize));
        }
        Ok(self.window.slice(skip..skip + n as usize))
    }
}
