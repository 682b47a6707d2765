//! The body of a frame of entries: lengths as varints, each followed by bytes.

use super::{BadFrame, MAX_BODY};
use bytes::Bytes;
use flushproof_api::SeqNo;

/// Appends one entry: its length, then its bytes.
///
/// The caller keeps the body within [`MAX_BODY`].
pub fn put_entry(buf: &mut Vec<u8>, bytes: &[u8]) {
    let mut len = bytes.len();
    while len >= 0x80 {
        buf.push(len as u8 | 0x80);
        len >>= 7;
    }
    buf.push(len as u8);
    buf.extend_from_slice(bytes);
}

/// Bytes that [`put_entry`] adds to an entry of `len` bytes.
pub const fn entry_overhead(len: usize) -> usize {
    match len {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// A length and the bytes that it took; `None` when it is not the shortest
/// form of a number that a body can hold.
#[inline]
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((usize::from(first), 1));
    }
    let mut value = usize::from(first & 0x7f);
    // Four bytes of seven bits hold every length below MAX_BODY.
    for (i, &byte) in bytes.iter().enumerate().take(4).skip(1) {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return (byte != 0).then_some((value, i + 1));
        }
    }
    None
}

/// The entries of one frame: an iterator over their numbers and bytes, which
/// are slices of the body without a copy.
///
/// ```
/// use flushproof::format::{Entries, put_entry};
/// use flushproof::SeqNo;
/// let mut body = Vec::new();
/// put_entry(&mut body, b"one");
/// put_entry(&mut body, b"two");
/// let mut entries = Entries::new(body.into(), SeqNo(7), 2).unwrap();
/// assert_eq!(entries.next(), Some((SeqNo(7), "one".into())));
/// assert_eq!(entries.next(), Some((SeqNo(8), "two".into())));
/// assert_eq!(entries.next(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Entries {
    body: Bytes,
    at: usize,
    seq: SeqNo,
    left: u32,
}

impl Entries {
    /// Checks the whole body once: exactly `count` entries and nothing else.
    ///
    /// # Errors
    /// [`BadFrame::Body`].
    pub fn new(body: Bytes, first: SeqNo, count: u32) -> Result<Entries, BadFrame> {
        check(&body, count)?;
        Ok(Entries::checked(body, first, count))
    }

    /// Of a body that [`check`] has passed.
    pub(super) fn checked(body: Bytes, first: SeqNo, count: u32) -> Entries {
        Entries {
            body,
            at: 0,
            seq: first,
            left: count,
        }
    }

    /// The number of the next entry.
    pub fn next_seq(&self) -> SeqNo {
        self.seq
    }

    /// Passes over the entries below `seq`.
    pub fn skip_to(&mut self, seq: SeqNo) {
        while self.left > 0 && self.seq < seq && self.advance().is_some() {}
    }

    /// Passes over one entry and says where its bytes lie.
    #[inline]
    fn advance(&mut self) -> Option<(usize, usize)> {
        if self.left == 0 {
            return None;
        }
        let (len, used) = varint(self.body.get(self.at..)?)?;
        let start = self.at.checked_add(used)?;
        let end = start.checked_add(len).filter(|e| *e <= self.body.len())?;
        self.at = end;
        self.left -= 1;
        self.seq = self.seq.next();
        Some((start, end))
    }
}

/// Whether a body is exactly `count` entries.
pub(super) fn check(body: &[u8], count: u32) -> Result<(), BadFrame> {
    if body.len() > MAX_BODY {
        return Err(BadFrame::Body);
    }
    let mut rest = body;
    for _ in 0..count {
        let (len, used) = varint(rest).ok_or(BadFrame::Body)?;
        // Both are far below the limits of usize: `len` has 28 bits, `used` is at most 4.
        rest = rest.get(used + len..).ok_or(BadFrame::Body)?;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(BadFrame::Body)
    }
}

impl Iterator for Entries {
    type Item = (SeqNo, Bytes);

    #[inline]
    fn next(&mut self) -> Option<(SeqNo, Bytes)> {
        let seq = self.seq;
        let (start, end) = self.advance()?;
        Some((seq, self.body.slice(start..end)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Entries {}
impl std::iter::FusedIterator for Entries {}
