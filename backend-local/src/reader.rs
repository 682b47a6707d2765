//! Readers of objects and logs.
//!
//! A reader holds the file open, so a deleted file would read on, and a
//! recycled one would read as another log. After each reading it looks whether
//! the name still leads to its file.

use crate::buffer::{ALIGN, Pool};
use crate::disk::{File, FileId, Folder, How, Kind, read_full};
use crate::fault::{fault, refusal};
use crate::names;
use crate::store::{Shared, blocking};
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{ErrorKind, MAX_READ, Reader, Result, Source, StorePath};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

const DIRECT: How = How {
    write: false,
    direct: true,
    dsync: false,
};

/// Opens an object or, if there is none, a log. Blocking.
pub(crate) fn open(shared: &Shared, path: &StorePath, from: Source) -> Result<LocalReader> {
    let at = shared.object_file(path);
    let absent = || refusal(ErrorKind::NotFound, &at, "there is no such object or log");
    let Some(folder) = crate::folders::find(&shared.root, &path.parent())? else {
        return Err(absent());
    };
    for name in [names::object(path), names::log(path)] {
        match folder.stat(&name) {
            Ok(meta) if meta.kind == Kind::File => {}
            Ok(_) => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(fault("can't look at it", &at, e)),
        }
        let at = folder.path().join(&name);
        let failed = |e: io::Error| fault("can't open it", &at, e);
        let how = match from {
            Source::Any => How::READ,
            _ => DIRECT,
        };
        let (file, unit) = match folder.open(&name, how) {
            Ok(file) => (file, if how.direct { ALIGN } else { 1 }),
            // No O_DIRECT on this file system.
            Err(e) if how.direct && e.kind() == io::ErrorKind::InvalidInput => {
                (folder.open(&name, How::READ).map_err(failed)?, 1)
            }
            Err(e) => return Err(failed(e)),
        };
        let id = file.stat().map_err(failed)?.id;
        return Ok(LocalReader(Arc::new(Inner {
            file,
            folder,
            name,
            id,
            at,
            unit,
            medium: from != Source::Any,
            buffered: OnceLock::new(),
            pool: Pool::default(),
        })));
    }
    Err(absent())
}

/// A reader; cheap to share.
#[derive(Debug)]
pub(crate) struct LocalReader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<dyn File>,
    folder: Arc<dyn Folder>,
    name: String,
    id: FileId,
    at: PathBuf,
    /// Readings begin and end at multiples of this.
    unit: usize,
    medium: bool,
    /// Another opening, where direct readings turned out to be impossible.
    buffered: OnceLock<Arc<dyn File>>,
    pool: Pool,
}

#[async_trait]
impl Reader for LocalReader {
    async fn len(&self) -> Result<u64> {
        let inner = self.0.clone();
        blocking(move || inner.len()).await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let inner = self.0.clone();
        blocking(move || inner.read(range)).await
    }
}

impl Inner {
    /// The length, if the name still leads to this file.
    fn len(&self) -> Result<u64> {
        let gone = || {
            let text = "it was deleted while it was read";
            refusal(ErrorKind::NotFound, &self.at, text)
        };
        match self.folder.stat(&self.name) {
            Ok(meta) if meta.id == self.id => Ok(meta.len),
            Ok(_) => Err(gone()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(gone()),
            Err(e) => Err(fault("can't look at it", &self.at, e)),
        }
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let failed = |e| fault("can't read", &self.at, e);
        let len = self.file.stat().map_err(failed)?.len;
        if range.start > range.end || range.end > len || range.end - range.start > MAX_READ {
            self.len()?; // a deleted one is not found, whatever is asked
            let text = format!("a read of {range:?} in {len} bytes is out of range");
            return Err(refusal(ErrorKind::InvalidInput, &self.at, &text));
        }
        let bytes = match self.buffered.get() {
            None => self.read_as_opened(&range),
            Some(file) => self.read_buffered(file.as_ref(), &range),
        };
        let bytes = match bytes {
            // The file opens, but does not read past the cache with this alignment.
            Err(e) if self.unit > 1 && e.kind() == io::ErrorKind::InvalidInput => {
                let file = self.folder.open(&self.name, How::READ).map_err(failed)?;
                let file = self.buffered.get_or_init(|| file);
                self.read_buffered(file.as_ref(), &range)
            }
            other => other,
        };
        let bytes = bytes.map_err(failed)?;
        self.len()?;
        Ok(bytes)
    }

    fn read_as_opened(&self, range: &Range<u64>) -> io::Result<Bytes> {
        match self.unit {
            1 => self.read_buffered(self.file.as_ref(), range),
            unit => self.read_at(self.file.as_ref(), range, unit),
        }
    }

    fn read_buffered(&self, file: &dyn File, range: &Range<u64>) -> io::Result<Bytes> {
        if self.medium {
            // The nearest thing to a reading past the cache: only clean pages can be dropped.
            file.sync_data()?;
            let start = range.start - range.start % ALIGN as u64;
            let end = range.end.next_multiple_of(ALIGN as u64);
            file.forget_cached(start, end - start)?;
        }
        self.read_at(file, range, 1)
    }

    fn read_at(&self, file: &dyn File, range: &Range<u64>, unit: usize) -> io::Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let start = range.start - range.start % unit as u64;
        let end = range.end.next_multiple_of(unit as u64);
        let wanted = (range.start - start) as usize..(range.end - start) as usize;
        let mut buffer = self.pool.take((end - start) as usize);
        let n = read_full(file, buffer.as_mut(), start, unit)?;
        if n < wanted.end {
            self.pool.give_back(buffer);
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        Ok(self.pool.lend(buffer, wanted))
    }
}
