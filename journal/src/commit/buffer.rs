//! [`AlignedBuf`]: a byte buffer at an aligned address, and the pool that
//! keeps a few of them.

use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// A growing buffer whose first byte lies at a multiple of `align`.
///
/// The memory is a plain `Vec` that is a little too long: no unsafe code, and
/// the start is found again after every growth.
pub(crate) struct AlignedBuf {
    memory: Vec<u8>,
    start: usize,
    len: usize,
    align: usize,
}

impl AlignedBuf {
    /// An empty buffer with room for `capacity` bytes.
    pub(crate) fn new(capacity: usize, align: usize) -> AlignedBuf {
        let memory = vec![0; capacity + align];
        let start = memory.as_ptr().align_offset(align);
        AlignedBuf {
            memory,
            start,
            len: 0,
            align,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.memory.len() - self.align
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `more` bytes; moves what is there when it must.
    fn grow(&mut self, more: usize) {
        let wanted = self.len + more;
        if wanted <= self.capacity() {
            return;
        }
        let mut larger = AlignedBuf::new(wanted.max(self.capacity() * 2), self.align);
        larger.extend_from_slice(self.as_slice());
        *self = larger;
    }

    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        let at = self.start + self.len;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Makes the length `len`; new bytes are `fill`.
    pub(crate) fn resize(&mut self, len: usize, fill: u8) {
        if len > self.len {
            self.grow(len - self.len);
            self.memory[self.start + self.len..self.start + len].fill(fill);
        }
        self.len = len;
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// The bytes, at the same address.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// Buffers for reuse. A buffer comes back when the last `Bytes` of it is dropped.
pub(crate) struct Pool {
    free: Mutex<Vec<AlignedBuf>>,
    align: usize,
}

/// How many buffers are kept.
const KEPT: usize = 4;
/// The room of a new buffer: a group of a few hundred small entries.
const ROOM: usize = 64 << 10;
/// A buffer that grew beyond this is not kept.
const KEPT_ROOM: usize = 2 << 20;

impl Pool {
    pub(crate) fn new(align: usize) -> Arc<Pool> {
        Arc::new(Pool {
            free: Mutex::new(Vec::with_capacity(KEPT)),
            align,
        })
    }

    pub(crate) fn take(&self) -> AlignedBuf {
        let kept = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        kept.unwrap_or_else(|| AlignedBuf::new(ROOM, self.align))
    }

    fn give_back(&self, mut buf: AlignedBuf) {
        if buf.capacity() > KEPT_ROOM {
            return;
        }
        buf.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(buf);
        }
    }

    /// The bytes of `buf`, which comes back to this pool.
    pub(crate) fn freeze(self: &Arc<Pool>, buf: AlignedBuf) -> Bytes {
        Bytes::from_owner(Pooled {
            buf: Some(buf),
            pool: self.clone(),
        })
    }
}

struct Pooled {
    buf: Option<AlignedBuf>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        self.buf.as_ref().map_or(&[], AlignedBuf::as_slice)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            self.pool.give_back(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_aligned_and_keeps_bytes_while_it_grows() {
        let mut buf = AlignedBuf::new(8, 4096);
        for i in 0..10_000u32 {
            buf.extend_from_slice(&i.to_le_bytes());
        }
        buf.resize(49_152, 0);
        assert_eq!(buf.as_slice().as_ptr() as usize % 4096, 0);
        assert_eq!(&buf.as_slice()[39_996..40_000], &9999u32.to_le_bytes());
        assert!(buf.freeze()[40_000..].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_buffer_comes_back_when_its_bytes_are_dropped() {
        let pool = Pool::new(512);
        let mut buf = pool.take();
        buf.extend_from_slice(&[1; 100]);
        let bytes = pool.freeze(buf);
        assert_eq!(pool.free.lock().unwrap().len(), 0);
        drop(bytes);
        assert_eq!(pool.free.lock().unwrap().len(), 1);
        assert_eq!(pool.take().len(), 0);
    }
}
