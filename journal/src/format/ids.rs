//! Identities: of a journal, of a claim, of a segment; and the seeds they make.

use flushproof_api::{Epoch, Error, ErrorKind, Result};
use siphasher::sip::SipHasher24;
use std::fmt;

/// The identity of a journal: a random UUID, given when it is formatted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalId(pub [u8; 16]);

impl JournalId {
    /// A new random identity (a UUID of version 4).
    ///
    /// # Errors
    /// `Io` when the system gives no random bytes.
    pub fn random() -> Result<JournalId> {
        let mut b = random_bytes()?;
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        Ok(JournalId(b))
    }

    /// Reads the hyphenated text form, in either case.
    pub fn parse(text: &str) -> Option<JournalId> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return None;
        }
        let mut out = [0u8; 16];
        let mut digits = 0usize;
        for (i, &c) in bytes.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if c != b'-' {
                    return None;
                }
                continue;
            }
            let digit = char::from(c).to_digit(16)? as u8;
            out[digits / 2] = (out[digits / 2] << 4) | digit;
            digits += 1;
        }
        Some(JournalId(out))
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for JournalId {
    type Err = Error;

    fn from_str(text: &str) -> Result<JournalId> {
        JournalId::parse(text).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{text:?} is not a journal id (a UUID with hyphens)"),
            )
        })
    }
}

/// The secret of one claim of an epoch: it keys the seeds of all checksums of
/// that epoch, so nobody who only chooses payloads can make bytes that pass as
/// a frame. Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// A new random secret.
    ///
    /// # Errors
    /// `Io` when the system gives no random bytes.
    pub fn random() -> Result<Nonce> {
        random_bytes().map(Nonce)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(secret)")
    }
}

fn random_bytes() -> Result<[u8; 16]> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(
            ErrorKind::Io,
            format!("no random bytes from the system: {e}"),
        )
    })?;
    Ok(bytes)
}

/// Which segment: the epoch that wrote it, and its number in that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The epoch of the primary that created the segment.
    pub epoch: Epoch,
    /// Its number in that epoch, from 0.
    pub index: u64,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.index)
    }
}

/// All that makes the frames of one segment its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentKey {
    /// The journal's identity.
    pub journal: JournalId,
    /// The secret of the epoch's claim.
    pub nonce: Nonce,
    /// The epoch.
    pub epoch: Epoch,
    /// The segment's number in the epoch;
    /// [`CHECKPOINT_INDEX`](super::CHECKPOINT_INDEX) in a checkpoint.
    pub index: u64,
}

impl SegmentKey {
    /// The start values of the two checksums of a frame at `offset`: of the
    /// header, of the body. They tie a frame to its place, so that a stale,
    /// foreign, recycled or misdirected frame does not pass.
    pub fn seeds(&self, offset: u64) -> (u32, u32) {
        let mut place = [0u8; 40];
        place[..16].copy_from_slice(&self.journal.0);
        place[16..24].copy_from_slice(&self.epoch.0.to_le_bytes());
        place[24..32].copy_from_slice(&self.index.to_le_bytes());
        place[32..].copy_from_slice(&offset.to_le_bytes());
        let hash = SipHasher24::new_with_key(&self.nonce.0).hash(&place);
        (hash as u32, (hash >> 32) as u32)
    }

    /// The segment that this key belongs to.
    pub fn segment(&self) -> SegmentId {
        SegmentId {
            epoch: self.epoch,
            index: self.index,
        }
    }
}
