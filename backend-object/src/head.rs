//! The first bytes of every object that this backend writes, but for those whose
//! path ends in `.gz`.
//!
//! A head says what the object is, whose it is and how much follows, and carries
//! a nonce of its own: who is told that a key is taken reads the head back, and
//! knows by the nonce whether it was its own earlier attempt.
//!
//! | bytes | field (little-endian) |
//! | --- | --- |
//! | 0..8 | `flushobj` |
//! | 8 | version of the layout: 1 |
//! | 9 | kind |
//! | 10..16 | zeros |
//! | 16..32 | nonce of this object |
//! | 32..48 | id of the log or the upload that it belongs to |
//! | 48..56 | offset: of a flush or a row's end within the log; of an upload its length |
//! | 56..60 | CRC-32C of what follows the head |
//! | 60..64 | CRC-32C of bytes 0..60 |

use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Result};

/// The length of a head.
pub(crate) const HEAD: usize = 64;
const MAGIC: &[u8; 8] = b"flushobj";
const VERSION: u8 = 1;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The place itself: a store was opened here.
    Root = 1,
    /// A log exists.
    Marker = 2,
    /// One flush.
    Flush = 3,
    /// The end of a row, put there to stop its writer.
    Fence = 4,
    /// The end of a row, put there by its writer.
    Seal = 5,
    /// A log of this name was fenced.
    Fenced = 6,
    /// A small object.
    Inline = 7,
    /// The name of a large object; its bytes are in pieces.
    Pieces = 8,
    /// One of the pieces.
    Piece = 9,
    /// An upload may be published.
    Ready = 10,
    /// An upload was given up.
    GivenUp = 11,
    /// A trial at open.
    Trial = 12,
    /// A log was deleted.
    Gone = 13,
}

impl Kind {
    const ALL: [Kind; 13] = [
        Kind::Root,
        Kind::Marker,
        Kind::Flush,
        Kind::Fence,
        Kind::Seal,
        Kind::Fenced,
        Kind::Inline,
        Kind::Pieces,
        Kind::Piece,
        Kind::Ready,
        Kind::GivenUp,
        Kind::Trial,
        Kind::Gone,
    ];
}

/// Sixteen random bytes; never the same twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub [u8; 16]);

impl Id {
    pub const NONE: Id = Id([0; 16]);

    pub fn random() -> Result<Id> {
        let mut bytes = [0; 16];
        match getrandom::fill(&mut bytes) {
            Ok(()) => Ok(Id(bytes)),
            Err(e) => Err(Error::new(
                ErrorKind::Io,
                format!("the system gives no random bytes: {e}"),
            )),
        }
    }

    pub fn parse(text: &str) -> Option<Id> {
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() != 32 || !plain {
            return None;
        }
        let number = u128::from_str_radix(text, 16).ok()?;
        Some(Id(number.to_be_bytes()))
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A head, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: Kind,
    pub nonce: Id,
    pub id: Id,
    pub offset: u64,
    crc: u32,
}

impl Head {
    /// A head for `payload`, with a fresh nonce.
    pub fn new(kind: Kind, id: Id, offset: u64, payload: &[u8]) -> Result<Head> {
        Ok(Head {
            kind,
            nonce: Id::random()?,
            id,
            offset,
            crc: crc32c::crc32c(payload),
        })
    }

    /// The same head with another nonce.
    pub fn with_nonce(self, nonce: Id) -> Head {
        Head { nonce, ..self }
    }

    /// Whether another object differs from this one by its nonce only.
    pub fn same_bytes(&self, other: &Head) -> bool {
        *self == other.with_nonce(self.nonce)
    }

    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEAD);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, self.kind as u8, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.nonce.0);
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.into()
    }

    /// The head at the beginning of `bytes`, without a look at what follows.
    pub fn decode(bytes: &[u8]) -> Result<Head, Strange> {
        let head: &[u8; HEAD] = bytes.first_chunk().ok_or(Strange::Foreign)?;
        if head[..8] != *MAGIC {
            return Err(Strange::Foreign);
        }
        if u32::from_le_bytes(array(&head[60..])) != crc32c::crc32c(&head[..60]) {
            return Err(Strange::Damaged);
        }
        if head[8] != VERSION {
            return Err(Strange::Newer);
        }
        let kind = Kind::ALL.into_iter().find(|k| *k as u8 == head[9]);
        Ok(Head {
            kind: kind.ok_or(Strange::Newer)?,
            nonce: Id(array(&head[16..32])),
            id: Id(array(&head[32..48])),
            offset: u64::from_le_bytes(array(&head[48..56])),
            crc: u32::from_le_bytes(array(&head[56..60])),
        })
    }

    /// Head and payload of a whole object.
    pub fn open(bytes: &Bytes) -> Result<(Head, Bytes), Strange> {
        let head = Head::decode(bytes)?;
        let payload = bytes.slice(HEAD..);
        match crc32c::crc32c(&payload) == head.crc {
            true => Ok((head, payload)),
            false => Err(Strange::Damaged),
        }
    }
}

/// Copies a part whose length is right by construction.
fn array<const N: usize>(part: &[u8]) -> [u8; N] {
    part.first_chunk().copied().unwrap_or([0; N])
}

/// Why an object can't be taken for one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strange {
    /// Not written by this backend.
    Foreign,
    /// Written by it, but not as it stands there.
    Damaged,
    /// Written by a newer version.
    Newer,
}

impl Strange {
    pub fn error(self, at: &str) -> Error {
        let (kind, text) = match self {
            Strange::Foreign => (
                ErrorKind::Corrupt,
                "is no object of a journal's store: somebody else put it there; move it away, \
                 or give the journal a prefix of its own",
            ),
            Strange::Damaged => (
                ErrorKind::Corrupt,
                "is damaged: its checksum does not match",
            ),
            Strange::Newer => (
                ErrorKind::NewerFormat,
                "was written by a newer version of this program; upgrade it",
            ),
        };
        Error::new(kind, format!("{at} {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(payload: &[u8]) -> (Head, Bytes) {
        let head = Head::new(Kind::Flush, Id([7; 16]), 42, payload).unwrap();
        let bytes = [head.encode().as_ref(), payload].concat();
        (head, bytes.into())
    }

    #[test]
    fn fc_13_a_head_is_read_back_and_any_changed_bit_is_seen() {
        let (head, bytes) = whole(b"payload");
        let (read, payload) = Head::open(&bytes).unwrap();
        assert_eq!((read, payload.as_ref()), (head, b"payload".as_ref()));
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.to_vec();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Head::open(&bent.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn fc_13_short_foreign_and_newer_objects_are_told_apart() {
        let (_, bytes) = whole(b"");
        for len in 0..HEAD {
            assert_eq!(Head::decode(&bytes[..len]), Err(Strange::Foreign));
        }
        assert_eq!(Head::decode(&[0; 100]), Err(Strange::Foreign));
        for at in [8, 9] {
            let mut newer = bytes.to_vec();
            newer[at] = 200;
            let crc = crc32c::crc32c(&newer[..60]);
            newer[60..64].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(Head::decode(&newer), Err(Strange::Newer));
        }
    }

    #[test]
    fn an_id_is_read_back_from_its_text_only() {
        let id = Id::random().unwrap();
        assert_ne!(id, Id::random().unwrap());
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        let upper = format!("{:032X}", u128::MAX);
        for wrong in ["", "0", "+0000000000000000000000000000000", &upper] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
    }
}
