//! Entries from stdin, on a thread of its own: a read that waits must not hold
//! the runtime.

use crate::failure::Result;
use bytes::{Buf, Bytes, BytesMut};
use flushproof::{Error, ErrorKind, Outcome};
use std::io::Read;
use tokio::sync::mpsc;

/// How much is read at once.
const READ: usize = 64 * 1024;
/// How many reads may wait to be appended.
const AHEAD: usize = 16;

/// The entries of stdin, as they come.
#[derive(Debug)]
pub struct Input(mpsc::Receiver<Result<Vec<Bytes>>>);

impl Input {
    /// Starts to read.
    pub fn start(delimited: bool, max_entry: usize) -> Result<Input> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let splitter = Splitter::new(delimited, max_entry);
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || read_all(std::io::stdin().lock(), splitter, &sender))
            .map_err(|e| Error::io("can't start a thread for stdin", e))?;
        Ok(Input(receiver))
    }

    /// The entries of the next read; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Vec<Bytes>>> {
        self.0.recv().await
    }
}

fn read_all(mut from: impl Read, mut splitter: Splitter, to: &mpsc::Sender<Result<Vec<Bytes>>>) {
    let mut piece = vec![0; READ];
    loop {
        let (entries, end) = match from.read(&mut piece) {
            Ok(0) => (splitter.finish(), true),
            Ok(n) => {
                splitter.buffer.extend_from_slice(&piece[..n]);
                (splitter.split(), false)
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => (Split::failed(Error::io("can't read stdin", e)), true),
        };
        if !entries.whole.is_empty() && to.blocking_send(Ok(entries.whole)).is_err() {
            return; // nobody wants more
        }
        if let Some(error) = entries.error {
            // Nobody may be left to hear it.
            let _ = to.blocking_send(Err(error.into()));
            return;
        }
        if end {
            return;
        }
    }
}

/// Whole entries, and what is wrong with the next one.
#[derive(Debug, Default)]
struct Split {
    whole: Vec<Bytes>,
    error: Option<Error>,
}

impl Split {
    fn failed(error: Error) -> Split {
        Split {
            whole: Vec::new(),
            error: Some(error),
        }
    }
}

/// Cuts a stream into entries.
#[derive(Debug)]
struct Splitter {
    delimited: bool,
    max_entry: usize,
    buffer: BytesMut,
    /// How much of the buffer holds no newline.
    searched: usize,
    /// How many entries were found.
    count: u64,
}

impl Splitter {
    fn new(delimited: bool, max_entry: usize) -> Splitter {
        Splitter {
            delimited,
            max_entry,
            buffer: BytesMut::new(),
            searched: 0,
            count: 0,
        }
    }

    /// The whole entries in the buffer.
    fn split(&mut self) -> Split {
        let mut split = Split::default();
        loop {
            let next = match self.delimited {
                true => self.delimited(),
                false => self.line(),
            };
            match next {
                Ok(Some(entry)) => {
                    self.count += 1;
                    split.whole.push(entry);
                }
                Ok(None) => return split,
                Err(error) => {
                    split.error = Some(error);
                    return split;
                }
            }
        }
    }

    /// What is left at the end of stdin.
    fn finish(&mut self) -> Split {
        let mut split = self.split();
        if split.error.is_none() && !self.buffer.is_empty() {
            if self.delimited {
                let text = format!(
                    "stdin ends inside entry {}; it was not appended",
                    self.count
                );
                split.error = Some(refused(ErrorKind::InvalidInput, text));
            } else {
                split.whole.push(self.buffer.split().freeze());
            }
        }
        split
    }

    fn line(&mut self) -> Result<Option<Bytes>, Error> {
        let newline = self.buffer[self.searched..]
            .iter()
            .position(|b| *b == b'\n');
        let len = newline.map_or(self.buffer.len(), |n| self.searched + n);
        if len > self.max_entry {
            return Err(self.too_long());
        }
        let Some(_) = newline else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let entry = self.buffer.split_to(len).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        Ok(Some(entry))
    }

    fn delimited(&mut self) -> Result<Option<Bytes>, Error> {
        let Some((len, width)) = self.varint()? else {
            return Ok(None);
        };
        if len > self.max_entry as u64 {
            return Err(self.too_long());
        }
        let len = len as usize;
        if self.buffer.len() < width + len {
            return Ok(None);
        }
        self.buffer.advance(width);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    /// The length at the front, and how many bytes it takes.
    fn varint(&self) -> Result<Option<(u64, usize)>, Error> {
        let mut value = 0u64;
        for (i, byte) in self.buffer.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(Some((value, i + 1)));
            }
        }
        if self.buffer.len() < 10 {
            return Ok(None);
        }
        let text = format!(
            "the length of entry {} of stdin is no varint; is the input length-delimited?",
            self.count
        );
        Err(refused(ErrorKind::InvalidInput, text))
    }

    fn too_long(&self) -> Error {
        let text = format!(
            "entry {} of stdin (counted from 0) is longer than max_entry, {} bytes; it was not \
             appended, nor what follows it. Raise journal.max_entry (--max-entry), or split it",
            self.count, self.max_entry
        );
        refused(ErrorKind::TooLarge, text)
    }
}

fn refused(kind: ErrorKind, text: String) -> Error {
    Error::new(kind, text).with_outcome(Outcome::NotWritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `bytes`, given in pieces of `size`.
    fn split(delimited: bool, bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<ErrorKind>) {
        let mut splitter = Splitter::new(delimited, 8);
        let mut whole = Vec::new();
        for piece in bytes.chunks(size) {
            splitter.buffer.extend_from_slice(piece);
            let split = splitter.split();
            whole.extend(split.whole.iter().map(|e| e.to_vec()));
            if let Some(error) = split.error {
                return (whole, Some(error.kind()));
            }
        }
        let last = splitter.finish();
        whole.extend(last.whole.iter().map(|e| e.to_vec()));
        (whole, last.error.map(|e| e.kind()))
    }

    #[test]
    fn lines_in_pieces_of_every_size() {
        let text = b"one\n\ntwo\r\n12345678\nend";
        for size in 1..=text.len() {
            let (whole, error) = split(false, text, size);
            let expected: [&[u8]; 5] = [b"one", b"", b"two\r", b"12345678", b"end"];
            assert_eq!(
                (whole, error),
                (expected.map(<[u8]>::to_vec).to_vec(), None)
            );
        }
        assert_eq!(split(false, b"", 1), (vec![], None));
    }

    #[test]
    fn a_long_line_is_refused_before_it_is_whole() {
        let (whole, error) = split(false, b"ok\n123456789", 4);
        assert_eq!((whole.len(), error), (1, Some(ErrorKind::TooLarge)));
    }

    #[test]
    fn delimited_in_pieces_of_every_size() {
        let bytes = b"\x03a\nb\x00\x08\0\0\0\0\0\0\0\0";
        for size in 1..=bytes.len() {
            let (whole, error) = split(true, bytes, size);
            assert_eq!((whole.len(), error), (3, None));
            assert_eq!(whole[0], b"a\nb");
        }
    }

    #[test]
    fn delimited_input_that_is_none() {
        assert_eq!(split(true, b"\x05abc", 2).1, Some(ErrorKind::InvalidInput));
        assert_eq!(split(true, b"\x09", 1).1, Some(ErrorKind::TooLarge));
        assert_eq!(split(true, &[0xff; 12], 5).1, Some(ErrorKind::InvalidInput));
    }
}
