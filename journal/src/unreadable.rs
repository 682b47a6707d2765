//! [`Unreadable`]: bytes that a medium does not give back.
//!
//! Whoever looks for damage (`verify`, `salvage`) must not stop at the first bad sector. So for
//! bytes of which a read fails with [`ErrorKind::Io`] others stand, which prove nothing: whatever
//! lies there counts as damaged, and the place is noted. Nobody who serves, recovers or copies reads
//! like this. A store that does not answer at all is another matter, and an error.

use crate::objects::BoundedReader;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, Reader, Result, StorePath};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands for a byte: no frame and no object holds with it, and it is not room that was
/// never written.
const NOTHING: u8 = 0xff;
/// A page of a cache and a sector of a disk: parts of it are not read alone.
const BLOCK: u64 = 4096;
/// So many blocks of one file are found one by one; behind them only the ends of a bad stretch.
const MAX_BLOCKS: u64 = 1024;

/// What could not be read, by path.
#[derive(Debug, Default)]
pub(crate) struct Unreadable(Mutex<BTreeMap<StorePath, Places>>);

/// The places of one path.
#[derive(Clone, Debug)]
struct Places {
    /// Ascending, apart from each other.
    ranges: Vec<Range<u64>>,
    why: String,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub path: StorePath,
    pub offset: u64,
    /// In words: how much, and why.
    pub text: String,
}

impl Unreadable {
    /// All places, by path and offset.
    pub(crate) fn places(&self) -> Vec<Place> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_path = |(path, places): (&StorePath, &Places)| {
            let place = |range: &Range<u64>| Place {
                path: path.clone(),
                offset: range.start,
                text: format!(
                    "{} bytes can't be read: {}",
                    range.end - range.start,
                    places.why
                ),
            };
            places.ranges.iter().map(place).collect::<Vec<_>>()
        };
        places.iter().flat_map(of_path).collect()
    }

    /// Notes a place; says how many there are of this path.
    pub(crate) fn note(&self, path: &StorePath, range: Range<u64>, why: &Error) -> u64 {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places.entry(path.clone()).or_insert_with(|| Places {
            ranges: Vec::new(),
            why: why.to_string(),
        });
        places.ranges.push(range);
        places.ranges.sort_by_key(|r| r.start);
        places.ranges.dedup_by(|next, known| {
            let touches = next.start <= known.end;
            if touches {
                known.end = known.end.max(next.end);
            }
            touches
        });
        let lens = places
            .ranges
            .iter()
            .map(|r| (r.end - r.start).div_ceil(BLOCK));
        lens.fold(0, u64::saturating_add)
    }

    /// What stands for a small object that can't be read.
    pub(crate) fn object(&self, path: &StorePath, why: &Error) -> Bytes {
        self.note(path, 0..1, why);
        Bytes::from_static(&[NOTHING])
    }
}

/// A reader that goes on behind what can't be read.
#[derive(Debug)]
pub(crate) struct Around {
    pub inner: BoundedReader,
    pub unreadable: Arc<Unreadable>,
}

#[async_trait]
impl Reader for Around {
    async fn len(&self) -> Result<u64> {
        match self.inner.len().await {
            Err(e) if e.kind() == ErrorKind::Io => {
                self.unreadable.object(&self.inner.path, &e);
                Ok(1)
            }
            len => len,
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        match self.inner.read(range.clone()).await {
            Err(e) if e.kind() == ErrorKind::Io => self.read_around(range, e).await,
            read => read,
        }
    }
}

/// What stands for a log or an object that can't even be opened.
#[derive(Debug)]
pub(crate) struct Unopened;

#[async_trait]
impl Reader for Unopened {
    async fn len(&self) -> Result<u64> {
        Ok(1)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        Ok(vec![NOTHING; (range.end - range.start) as usize].into())
    }
}

impl Around {
    /// Halves what can't be read, down to single blocks.
    async fn read_around(&self, range: Range<u64>, first: Error) -> Result<Bytes> {
        let mut bytes = BytesMut::with_capacity((range.end - range.start) as usize);
        let mut parts = Vec::new();
        let mut failed = Some((range, first));
        let mut blocks = 0;
        loop {
            if let Some((part, why)) = failed.take() {
                let middle = match blocks < MAX_BLOCKS || self.has_good_end(&part).await? {
                    true => middle(&part),
                    false => None,
                };
                match middle {
                    Some(middle) => parts.extend([middle..part.end, part.start..middle]),
                    None => {
                        let len = (part.end - part.start) as usize;
                        bytes.resize(bytes.len() + len, NOTHING);
                        blocks = self.unreadable.note(&self.inner.path, part, &why);
                    }
                }
            }
            let Some(part) = parts.pop() else {
                return Ok(bytes.freeze());
            };
            match self.inner.read(part.clone()).await {
                Ok(read) => bytes.extend_from_slice(&read),
                Err(e) if e.kind() == ErrorKind::Io => failed = Some((part, e)),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Around {
    /// Whether the first or the last block of a range can be read.
    async fn has_good_end(&self, range: &Range<u64>) -> Result<bool> {
        let first = range.start..range.end.min(range.start - range.start % BLOCK + BLOCK);
        let last = range.start.max((range.end - 1) - (range.end - 1) % BLOCK)..range.end;
        for end in [last, first] {
            match self.inner.read(end).await {
                Ok(_) => return Ok(true),
                Err(e) if e.kind() == ErrorKind::Io => {}
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }
}

/// Where a range is halved: between two blocks; `None` within one.
fn middle(range: &Range<u64>) -> Option<u64> {
    let half = range.start + (range.end - range.start) / 2;
    let down = half - half % BLOCK;
    let up = range.start - range.start % BLOCK + BLOCK;
    Some(down.max(up)).filter(|m| *m < range.end)
}
