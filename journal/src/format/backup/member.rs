//! One gzip member, packed and unpacked as a whole.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..10 | `1f 8b 08 04 00 00 00 00 00 ff`: gzip, deflate, with an extra field, no time, unknown system |
//! | 10..16 | `10 00 46 50 0c 00`: the extra field's length 16, `FP`, its length 12 |
//! | 16..20 | length of the deflated bytes |
//! | 20..24 | length unpacked |
//! | 24..28 | CRC-32C of the deflated bytes |
//! | 28.. | the deflated bytes, then CRC-32 and length of what they hold, as gzip says |

use super::corrupt;
use crate::format::codec::u32_at;
use bytes::Bytes;
use crc32c::crc32c;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};
use flushproof_api::{Error, ErrorKind, Result};

/// Bytes before the deflated ones.
pub const MEMBER_HEAD: usize = 28;
/// Bytes behind them.
const MEMBER_TAIL: usize = 8;
/// The most that a member holds, packed or unpacked: a piece with the longest entry.
pub const MAX_MEMBER: usize = 12 << 20;
const FIXED: [u8; 16] = [
    0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 16, 0, b'F', b'P', 12, 0,
];
/// Beyond this level a backup takes twice the time for a few percent.
const LEVEL: u32 = 3;

/// The memory that a packer keeps.
const KEPT: usize = 1 << 20;

/// Packs bytes into a member.
///
/// # Errors
/// `TooLarge` over [`MAX_MEMBER`]; `Io` when the deflater fails, which it does not.
pub fn pack(raw: &[u8]) -> Result<Bytes> {
    Packer::default().pack(raw)
}

/// Packs members, and keeps its memory from one to the next: threads that take turns would
/// else each keep some of their own.
pub(crate) struct Packer {
    deflate: Compress,
    out: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Packer {
        Packer {
            deflate: Compress::new(Compression::new(LEVEL), false),
            out: Vec::new(),
        }
    }
}

impl Packer {
    /// As [`pack`].
    pub(crate) fn pack(&mut self, raw: &[u8]) -> Result<Bytes> {
        if raw.len() > MAX_MEMBER {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{} bytes do not fit in a member of a backup", raw.len()),
            ));
        }
        let (deflate, out) = (&mut self.deflate, &mut self.out);
        deflate.reset();
        out.clear();
        out.reserve(MEMBER_HEAD + raw.len() / 2 + 1024);
        out.extend_from_slice(&FIXED);
        out.resize(MEMBER_HEAD, 0);
        loop {
            let done = deflate.total_in() as usize;
            let status = deflate.compress_vec(&raw[done..], out, FlushCompress::Finish);
            match status.map_err(|e| Error::new(ErrorKind::Io, format!("can't deflate: {e}")))? {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => out.reserve(raw.len() / 4 + 1024),
            }
        }
        let len = (out.len() - MEMBER_HEAD) as u32;
        let crc = crc32c(&out[MEMBER_HEAD..]);
        out[16..20].copy_from_slice(&len.to_le_bytes());
        out[20..24].copy_from_slice(&(raw.len() as u32).to_le_bytes());
        out[24..28].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&gzip_crc(raw).to_le_bytes());
        out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        let member = Bytes::copy_from_slice(out);
        out.clear();
        out.shrink_to(KEPT); // that of a long entry is not kept
        Ok(member)
    }
}

fn gzip_crc(raw: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(raw);
    crc.sum()
}

/// The length of the whole member whose first [`MEMBER_HEAD`] bytes these are.
///
/// # Errors
/// `Corrupt` when no member begins so.
pub(super) fn member_len(head: &[u8]) -> Result<u64> {
    let known = head.len().min(FIXED.len());
    if head[..known] != FIXED[..known] {
        return Err(match head.starts_with(&FIXED[..3]) {
            true => corrupt("a gzip file, but not as backups are written: was it packed again?"),
            false => corrupt("no part of a backup begins here"),
        });
    }
    if head.len() < MEMBER_HEAD {
        return Err(corrupt("the file is cut short"));
    }
    let (packed, raw) = (u32_at(head, 16) as usize, u32_at(head, 20) as usize);
    if packed > MAX_MEMBER + MAX_MEMBER / 64 || raw > MAX_MEMBER {
        return Err(corrupt("a length is impossible"));
    }
    Ok((MEMBER_HEAD + packed + MEMBER_TAIL) as u64)
}

/// Unpacks a whole member and checks all of it.
///
/// # Errors
/// `Corrupt`.
pub fn unpack(member: &[u8]) -> Result<Vec<u8>> {
    if member_len(member)? != member.len() as u64 {
        return Err(corrupt("the member is cut short"));
    }
    let end = member.len() - MEMBER_TAIL;
    let packed = &member[MEMBER_HEAD..end];
    if crc32c(packed) != u32_at(member, 24) {
        return Err(corrupt("the checksum of the packed bytes does not match"));
    }
    let len = u32_at(member, 20) as usize;
    // A little room more: at the very end the inflater may ask for it.
    let mut raw = Vec::with_capacity(len + 64);
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress_vec(packed, &mut raw, FlushDecompress::Finish);
    let whole = matches!(status, Ok(Status::StreamEnd))
        && inflate.total_in() == packed.len() as u64
        && raw.len() == len;
    let sums = u32_at(member, end) == gzip_crc(&raw) && u32_at(member, end + 4) as usize == len;
    match whole && sums {
        true => Ok(raw),
        false => Err(corrupt("what is unpacked does not match")),
    }
}
