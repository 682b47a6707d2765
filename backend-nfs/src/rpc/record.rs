//! Record marking (RFC 5531, section 11): cutting a stream of bytes into replies.

use bytes::{Buf, Bytes, BytesMut};

/// The bit of a fragment's header that says that it is the last of its record.
pub(crate) const LAST: u32 = 0x8000_0000;
/// Room that is kept for the next read.
const ROOM: usize = 64 * 1024;

/// A record that is longer than any reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong(pub usize);

/// Gathers bytes as they come and gives out whole records.
#[derive(Debug)]
pub(crate) struct Records {
    /// Bytes as they came.
    buffer: BytesMut,
    /// The fragments of a record that came before its last one.
    begun: BytesMut,
    /// The longest record.
    limit: usize,
}

impl Records {
    pub fn new(limit: usize) -> Records {
        Records {
            buffer: BytesMut::new(),
            begun: BytesMut::new(),
            limit,
        }
    }

    /// Where the next bytes go: room for the rest of the present fragment, which
    /// was checked against the limit.
    pub fn room(&mut self) -> &mut BytesMut {
        let rest = self.fragment().map_or(0, |(len, _)| 4 + len);
        let more = rest.saturating_sub(self.buffer.len());
        self.buffer.reserve(more.max(ROOM));
        &mut self.buffer
    }

    /// The length of the fragment at the front, and whether it is the last.
    fn fragment(&self) -> Option<(usize, bool)> {
        let header = self.buffer.first_chunk::<4>()?;
        let header = u32::from_be_bytes(*header);
        Some(((header & !LAST) as usize, header & LAST != 0))
    }

    /// The next whole record, if there is one.
    pub fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        while let Some((len, last)) = self.fragment() {
            let whole = self.begun.len() + len;
            if whole > self.limit {
                return Err(TooLong(whole));
            }
            if self.buffer.len() < 4 + len {
                return Ok(None);
            }
            self.buffer.advance(4);
            let fragment = self.buffer.split_to(len);
            if last && self.begun.is_empty() {
                return Ok(Some(fragment.freeze()));
            }
            self.begun.extend_from_slice(&fragment);
            if last {
                return Ok(Some(self.begun.split().freeze()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(bytes: &[u8], last: bool) -> Vec<u8> {
        let header = bytes.len() as u32 | if last { LAST } else { 0 };
        [&header.to_be_bytes(), bytes].concat()
    }

    #[test]
    fn records_come_whole_however_they_are_cut() {
        let mut stream = fragment(b"one", true);
        stream.extend(fragment(b"t", false));
        stream.extend(fragment(b"", false));
        stream.extend(fragment(b"wo", true));
        stream.extend(fragment(b"", true));
        for step in 1..stream.len() {
            let mut records = Records::new(3);
            let mut found = Vec::new();
            for piece in stream.chunks(step) {
                records.room().extend_from_slice(piece);
                while let Some(record) = records.next().unwrap() {
                    found.push(record);
                }
            }
            assert_eq!(found, [&b"one"[..], b"two", b""]);
        }
    }

    #[test]
    fn fc_13_a_record_over_the_limit_is_refused_by_its_header() {
        let mut records = Records::new(100);
        records.room().extend_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(records.next(), Err(TooLong(0x7fff_ffff)));
        let mut records = Records::new(100);
        records.room().extend(fragment(&[0; 60], false));
        assert_eq!(records.next(), Ok(None));
        records.room().extend(fragment(&[0; 60], false));
        assert_eq!(records.next(), Err(TooLong(120)));
    }
}
