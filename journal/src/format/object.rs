//! The envelope of objects, and the bodies of the small ones.
//!
//! The first [`ENVELOPE`] bytes have this layout in every format version to
//! come, so that an older program can say "newer" instead of "corrupt".

use super::codec::{Fields, array_at, put_text, u32_at};
use super::{FORMAT_VERSION, JournalId, Nonce, Prev, SegmentId};
use bytes::Bytes;
use crc32c::crc32c;
use flushproof_api::{Epoch, Error, ErrorKind, Result, SeqNo};

/// The first bytes of every object.
pub const MAGIC: [u8; 8] = *b"FLPROOF\n";
/// Bytes before the body.
pub const ENVELOPE: usize = 40;
/// The longest small object (all but checkpoints), envelope included.
pub const MAX_OBJECT: usize = 64 * 1024;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ObjectKind {
    /// `FORMAT`: this place is a journal.
    Format = 1,
    /// A claim of an epoch.
    Epoch = 2,
    /// An epoch that was served.
    Start = 3,
    /// The head of a checkpoint.
    Checkpoint = 4,
    /// What an operator asks of the primary.
    Request = 5,
}

impl ObjectKind {
    fn from_u16(kind: u16) -> Option<ObjectKind> {
        [
            ObjectKind::Format,
            ObjectKind::Epoch,
            ObjectKind::Start,
            ObjectKind::Checkpoint,
            ObjectKind::Request,
        ]
        .into_iter()
        .find(|k| *k as u16 == kind)
    }

    fn name(self) -> &'static str {
        match self {
            ObjectKind::Format => "format",
            ObjectKind::Epoch => "epoch",
            ObjectKind::Start => "start",
            ObjectKind::Checkpoint => "checkpoint",
            ObjectKind::Request => "request",
        }
    }
}

/// An object out of its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The format version of its writer.
    pub version: u32,
    /// The journal that it belongs to. An object of another id is ignored:
    /// compare it.
    pub id: JournalId,
    /// The body.
    pub body: Bytes,
}

/// Puts a body into its envelope.
///
/// A body is short by nature: every text in it is cut when it is encoded.
pub fn encode(kind: ObjectKind, id: JournalId, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(ENVELOPE + body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&(kind as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&id.0);
    out.extend_from_slice(body);
    let crc = crc32c(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out.into()
}

/// Takes an object out of its envelope. `bytes` is the whole object.
///
/// # Errors
/// `NewerFormat` when a newer version wrote it; `Corrupt` for everything that
/// is not exactly one whole object of this kind. Add the path as context.
pub fn decode(bytes: &Bytes, expected: ObjectKind) -> Result<Decoded> {
    let len = u32_at(bytes.get(..ENVELOPE).unwrap_or_default(), 20) as usize;
    let whole = ENVELOPE.checked_add(len);
    if bytes.len() >= ENVELOPE && bytes.starts_with(&MAGIC) && whole != Some(bytes.len()) {
        return Err(corrupt(format!(
            "the object says that its body has {len} bytes, the whole has {}",
            bytes.len()
        )));
    }
    decode_head(bytes, expected)
}

/// Takes an envelope and its body off the front of a longer object.
pub(super) fn decode_head(bytes: &Bytes, expected: ObjectKind) -> Result<Decoded> {
    if bytes.len() < ENVELOPE {
        return Err(corrupt(format!(
            "{} bytes are no object of a journal",
            bytes.len()
        )));
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(corrupt("it does not begin as an object of a journal"));
    }
    let len = u32_at(bytes, 20) as usize;
    let end = ENVELOPE.checked_add(len).filter(|end| *end <= bytes.len());
    let Some(end) = end else {
        return Err(corrupt("the object is cut short"));
    };
    // The checksum comes before the version: a rotted version is rot, not news.
    if crc32c(&bytes[12..end]) != u32_at(bytes, 8) {
        return Err(corrupt("the object's checksum does not match"));
    }
    let version = u32_at(bytes, 12);
    if version > FORMAT_VERSION {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "written in format version {version}; this program reads versions up to \
                 {FORMAT_VERSION}: use a newer one"
            ),
        ));
    }
    let kind = u16::from_le_bytes(array_at(bytes, 16));
    let is_expected = kind == expected as u16 && array_at::<2>(bytes, 18) == [0; 2];
    if version == 0 || !is_expected {
        let found = ObjectKind::from_u16(kind).map_or("unknown", ObjectKind::name);
        return Err(corrupt(format!(
            "not {} object of version {FORMAT_VERSION}, but kind {kind} ({found}) of version \
             {version}",
            expected.name(),
        )));
    }
    Ok(Decoded {
        version,
        id: JournalId(array_at(bytes, 24)),
        body: bytes.slice(ENVELOPE..end),
    })
}

fn corrupt(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, text)
}

/// Decodes envelope and body of one kind.
pub(super) fn decode_body<T>(
    bytes: &Bytes,
    kind: ObjectKind,
    body: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<(JournalId, T)> {
    let decoded = decode(bytes, kind)?;
    let mut fields = Fields(&decoded.body);
    let value = body(&mut fields).filter(|_| fields.end().is_some());
    value.map(|v| (decoded.id, v)).ok_or_else(|| {
        corrupt(format!(
            "the body of the {} object is malformed",
            kind.name()
        ))
    })
}

/// The body of `FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatObject {
    /// When, in milliseconds since 1970.
    pub created_ms: u64,
}

impl FormatObject {
    /// The whole object.
    pub fn encode(&self, id: JournalId) -> Bytes {
        encode(ObjectKind::Format, id, &self.created_ms.to_le_bytes())
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// `NewerFormat`, `Corrupt`.
    pub fn decode(bytes: &Bytes) -> Result<(JournalId, FormatObject)> {
        decode_body(bytes, ObjectKind::Format, |f| {
            Some(FormatObject {
                created_ms: f.u64()?,
            })
        })
    }
}

/// The body of `epoch/<epoch>`: a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochObject {
    /// The epoch that is claimed.
    pub epoch: Epoch,
    /// The claim's secret.
    pub nonce: Nonce,
    /// When, in milliseconds since 1970.
    pub claimed_ms: u64,
    /// Which program on which host; only informs, at most 1024 bytes are kept.
    pub who: String,
    /// Where it can be reached; only informs, at most 1024 bytes are kept.
    pub address: String,
    /// What the epoch is to be filled with, if it was claimed for that and not to serve.
    pub fill: Option<Fill>,
}

/// How a journal that is filled comes to its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FillKind {
    /// From a backup.
    Restore = 1,
    /// From another journal.
    Copy = 2,
    /// From what was salvaged of a damaged journal.
    Repair = 3,
}

/// What an epoch is filled with. Its logs and its checkpoint count once its start is
/// there; without one they are left over from an attempt that did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// How.
    pub kind: FillKind,
    /// The journal that the entries come from.
    pub source: JournalId,
    /// The number of the first entry.
    pub first: SeqNo,
    /// The number after the last one.
    pub end: SeqNo,
}

impl Fill {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(&self.source.0);
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.end.0.to_le_bytes());
    }

    fn take(f: &mut Fields<'_>) -> Option<Fill> {
        let kind = match f.u8()? {
            1 => FillKind::Restore,
            2 => FillKind::Copy,
            3 => FillKind::Repair,
            _ => return None,
        };
        let fill = Fill {
            kind,
            source: JournalId(f.bytes()?),
            first: SeqNo(f.u64()?),
            end: SeqNo(f.u64()?),
        };
        (fill.first <= fill.end).then_some(fill)
    }
}

impl EpochObject {
    /// The whole object.
    pub fn encode(&self, id: JournalId) -> Bytes {
        let mut body = Vec::with_capacity(64);
        body.extend_from_slice(&self.epoch.0.to_le_bytes());
        body.extend_from_slice(&self.nonce.0);
        body.extend_from_slice(&self.claimed_ms.to_le_bytes());
        put_text(&mut body, &self.who);
        put_text(&mut body, &self.address);
        if let Some(fill) = &self.fill {
            fill.put(&mut body);
        }
        encode(ObjectKind::Epoch, id, &body)
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// `NewerFormat`, `Corrupt`.
    pub fn decode(bytes: &Bytes) -> Result<(JournalId, EpochObject)> {
        decode_body(bytes, ObjectKind::Epoch, |f| {
            Some(EpochObject {
                epoch: Epoch(f.u64()?),
                nonce: Nonce(f.bytes()?),
                claimed_ms: f.u64()?,
                who: f.text()?,
                address: f.text()?,
                fill: match f.end() {
                    Some(()) => None,
                    None => Some(Fill::take(f)?),
                },
            })
        })
    }

    /// Whether this is the very claim made with `nonce` for `epoch`.
    pub fn is_claim_of(&self, epoch: Epoch, nonce: &Nonce) -> bool {
        self.epoch == epoch && self.nonce == *nonce
    }
}

/// The owner of a [void](StartObject::void).
pub(crate) const NO_JOURNAL: JournalId = JournalId([0; 16]);

/// The body of `start/<epoch>`: from where on the epoch served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartObject {
    /// The epoch.
    pub epoch: Epoch,
    /// The secret of its claim.
    pub nonce: Nonce,
    /// Its first log.
    pub first_log: SegmentId,
    /// The end of the log before it; none for a journal's first epoch.
    pub prev: Option<Prev>,
    /// Every entry below it was durable when the epoch began.
    pub durable: SeqNo,
    /// The number after the last entry that was carried over into `first_log`.
    pub carried_end: SeqNo,
}

impl StartObject {
    /// Decides for good that an epoch which was claimed to be filled has no start: an
    /// object of no journal at the start's name. Who looks for starts ignores it.
    pub fn void(epoch: Epoch) -> Bytes {
        let start = StartObject {
            epoch,
            nonce: Nonce([0; 16]),
            first_log: SegmentId { epoch, index: 0 },
            prev: None,
            durable: SeqNo::ZERO,
            carried_end: SeqNo::ZERO,
        };
        start.encode(NO_JOURNAL)
    }

    /// The whole object.
    pub fn encode(&self, id: JournalId) -> Bytes {
        let mut body = Vec::with_capacity(96);
        body.extend_from_slice(&self.epoch.0.to_le_bytes());
        body.extend_from_slice(&self.nonce.0);
        body.extend_from_slice(&self.first_log.epoch.0.to_le_bytes());
        body.extend_from_slice(&self.first_log.index.to_le_bytes());
        body.push(u8::from(self.prev.is_some()));
        Prev::put(&self.prev, &mut body);
        body.extend_from_slice(&self.durable.0.to_le_bytes());
        body.extend_from_slice(&self.carried_end.0.to_le_bytes());
        encode(ObjectKind::Start, id, &body)
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// `NewerFormat`, `Corrupt`.
    pub fn decode(bytes: &Bytes) -> Result<(JournalId, StartObject)> {
        decode_body(bytes, ObjectKind::Start, |f| {
            let start = StartObject {
                epoch: Epoch(f.u64()?),
                nonce: Nonce(f.bytes()?),
                first_log: SegmentId {
                    epoch: Epoch(f.u64()?),
                    index: f.u64()?,
                },
                prev: match f.u8()? {
                    0 => Prev::take(false, f)?,
                    1 => Prev::take(true, f)?,
                    _ => return None,
                },
                durable: SeqNo(f.u64()?),
                carried_end: SeqNo(f.u64()?),
            };
            // An epoch's log is its own, and what is carried begins at `durable`.
            (start.first_log.epoch == start.epoch && start.durable <= start.carried_end)
                .then_some(start)
        })
    }
}
