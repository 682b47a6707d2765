//! How entries are printed, by `cat` and `follow`.

use crate::args::Shape;
use crate::failure::{Failure, Result};
use crate::output::Out;
use crate::units::clock;
use flushproof::{Entry, SeqNo};
use serde_json::json;
use std::fmt::Write;

/// Prints entries in one of the shapes.
#[derive(Debug)]
pub struct Printer {
    /// Where they go.
    pub out: Out,
    shape: Shape,
}

impl Printer {
    /// A printer; at most one of the shapes and `--json` is meant.
    pub fn new(out: Out, shape: Shape) -> Result<Printer> {
        if out.json && (shape.raw || shape.delimited) {
            let text = "--json does not go with --raw or --delimited; choose one";
            return Err(Failure::Usage(text.into()));
        }
        Ok(Printer { out, shape })
    }

    /// Prints an entry of a checkpoint's state, which has no number.
    pub fn state(&mut self, bytes: &[u8]) -> Result<()> {
        if self.shape.raw || self.shape.delimited {
            return self.bytes(bytes);
        }
        if self.out.json {
            let mut object = json!({ "state": true });
            text_or_base64(&mut object, bytes);
            return self.out.line(object);
        }
        self.out.line(format_args!("state\t{}", readable(bytes)))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.shape.delimited {
            self.out.bytes(&varint(bytes.len() as u64))?;
            return self.out.bytes(bytes);
        }
        self.out.bytes(bytes)?;
        self.out.bytes(b"\n")
    }

    /// Prints an entry; every one below `durable` is certainly durable.
    pub fn entry(&mut self, entry: &Entry, durable: SeqNo) -> Result<()> {
        if self.shape.raw || self.shape.delimited {
            return self.bytes(&entry.bytes);
        }
        if self.out.json {
            return self.out.line(object(entry, entry.seq < durable));
        }
        self.out
            .line(format_args!("{}\t{}", entry.seq, readable(&entry.bytes)))
    }
}

fn text_or_base64(object: &mut serde_json::Value, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object["text"] = text.into(),
        Err(_) => object["base64"] = base64(bytes).into(),
    }
}

fn object(entry: &Entry, durable: bool) -> serde_json::Value {
    let mut object = json!({
        "seq": entry.seq.0,
        "epoch": entry.epoch.0,
        "clock": clock(entry.clock_ms),
        "durable": durable,
    });
    text_or_base64(&mut object, &entry.bytes);
    object
}

/// Text for a terminal: control characters and what is no UTF-8 are escaped.
fn readable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c.is_control() {
                true => out.extend(c.escape_default()),
                false => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A length as an unsigned LEB128 varint.
pub fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// Base64 of RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let six = (bits >> (18 - 6 * i)) & 63;
            out.push(match i <= chunk.len() {
                true => ALPHABET[six as usize] as char,
                false => '=',
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (text, code) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), code);
        }
    }

    #[test]
    fn varints() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(300), [0xac, 2]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(readable(b"a\tb\x1b[2J\xff"), "a\\tb\\u{1b}[2J\\xff");
        assert_eq!(readable("grüße".as_bytes()), "grüße");
    }
}
