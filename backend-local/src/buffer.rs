//! Buffers whose address is a multiple of 4096, as `O_DIRECT` asks.

use bytes::Bytes;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Address and length of every direct reading are multiples of this: it is a
/// multiple of the logical block of every common device.
pub(crate) const ALIGN: usize = 4096;

/// As many bytes as wished, their address a multiple of [`ALIGN`].
#[derive(Debug, Default)]
pub(crate) struct AlignedBuf {
    /// Longer than needed by `ALIGN`, so that an aligned part can be cut out.
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// `len` zeros.
    pub fn new(len: usize) -> AlignedBuf {
        let bytes = vec![0; len + ALIGN];
        let start = bytes.as_ptr().addr().wrapping_neg() % ALIGN;
        AlignedBuf { bytes, start, len }
    }

    /// The same buffer with another length, if it has the room; its content is old bytes.
    fn resized(mut self, len: usize) -> Option<AlignedBuf> {
        (self.start + len <= self.bytes.len()).then(|| {
            self.len = len;
            self
        })
    }

    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

/// Keeps a few buffers for the next reading: zeroing a fresh one costs as much
/// as reading it from the page cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<AlignedBuf>>>);

impl Pool {
    const KEPT: usize = 2;

    /// A buffer of this length with any content.
    pub fn take(&self, len: usize) -> AlignedBuf {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.and_then(|b| b.resized(len))
            .unwrap_or_else(|| AlignedBuf::new(len))
    }

    /// Gives a range of a buffer out; the buffer comes back when all are done with it.
    pub fn lend(&self, buffer: AlignedBuf, range: Range<usize>) -> Bytes {
        let lent = Lent {
            buffer,
            pool: self.clone(),
        };
        Bytes::from_owner(lent).slice(range)
    }

    pub fn give_back(&self, buffer: AlignedBuf) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < Pool::KEPT {
            kept.push(buffer);
        }
    }
}

struct Lent {
    buffer: AlignedBuf,
    pool: Pool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.buffer));
    }
}

/// One MiB of zeros, to write into new segments.
pub(crate) fn zeros() -> &'static [u8] {
    #[repr(align(4096))]
    struct Zeros([u8; 1 << 20]);
    static ZEROS: Zeros = Zeros([0; 1 << 20]);
    &ZEROS.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_aligned() {
        for len in [1, 512, 4096, 1 << 20] {
            let buffer = AlignedBuf::new(len);
            assert_eq!(buffer.as_ref().as_ptr().addr() % ALIGN, 0);
            assert_eq!(buffer.as_ref().len(), len);
        }
        assert_eq!(zeros().as_ptr().addr() % ALIGN, 0);
    }

    #[test]
    fn a_buffer_comes_back() {
        let pool = Pool::default();
        let buffer = pool.take(8192);
        let address = buffer.as_ref().as_ptr();
        let bytes = pool.lend(buffer, 1..5);
        assert_eq!(bytes.len(), 4);
        drop(bytes);
        assert_eq!(pool.take(4096).as_ref().as_ptr(), address);
    }
}
