//! What the socket has not taken yet.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// How many pieces one write takes.
const SLICES: usize = 16;
const PADDING: [u8; 3] = [0; 3];

/// Records in the order of their calls.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    /// The connection is over: nothing more is taken.
    closed: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// With its last byte this call is sent.
    ends: Option<u32>,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes a record; the bytes of its body are not copied.
    pub fn push(&mut self, xid: u32, head: Vec<u8>, body: Bytes, padding: usize) {
        if self.closed {
            return;
        }
        let padding = Bytes::from_static(&PADDING[..padding.min(PADDING.len())]);
        for bytes in [Bytes::from(head), body, padding] {
            if !bytes.is_empty() {
                self.pieces.push_back(Piece { bytes, ends: None });
            }
        }
        if let Some(last) = self.pieces.back_mut() {
            last.ends = Some(xid);
        }
    }

    /// Calls `write` with what comes next.
    pub fn with_slices(
        &self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut n = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(&piece.bytes);
            n += 1;
        }
        write(&slices[..n])
    }

    /// Takes away what was written; tells which calls are sent.
    pub fn advance(&mut self, mut n: usize, mut sent: impl FnMut(u32)) {
        while let Some(piece) = self.pieces.front_mut() {
            if n < piece.bytes.len() {
                piece.bytes.advance(n);
                return;
            }
            n -= piece.bytes.len();
            if let Some(xid) = piece.ends {
                sent(xid);
            }
            self.pieces.pop_front();
        }
    }

    /// Nothing is written any more.
    pub fn close(&mut self) {
        self.closed = true;
        self.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_sent_with_its_last_byte() {
        let mut output = Output::default();
        output.push(1, vec![1; 4], Bytes::from_static(b"abcde"), 3);
        output.push(2, vec![2; 4], Bytes::new(), 0);
        let mut sent = Vec::new();
        let mut wire: Vec<u8> = Vec::new();
        while !output.is_empty() {
            let wrote = output.with_slices(|slices| {
                let all = slices.iter().flat_map(|s| s.iter());
                wire.extend(all.take(5));
                Ok(5.min(slices.iter().map(|s| s.len()).sum()))
            });
            output.advance(wrote.unwrap(), |xid| sent.push((xid, wire.len())));
        }
        assert_eq!(wire, b"\x01\x01\x01\x01abcde\0\0\0\x02\x02\x02\x02");
        assert_eq!(sent, [(1, 15), (2, 16)]);
        output.close();
        output.push(3, vec![3; 4], Bytes::new(), 0);
        assert!(output.is_empty());
    }
}
