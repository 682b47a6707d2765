//! Makes the golden journal with the pure encoders, and the worked example of
//! `docs/format.md` out of it.
#![allow(dead_code)] // every test uses a part of it

pub mod changed;
pub mod findings;

use async_trait::async_trait;
use bytes::Bytes;
use flushproof::format::checkpoint::CheckpointEncoder;
use flushproof::format::object::{EpochObject, FormatObject, StartObject};
use flushproof::format::*;
use flushproof::{Epoch, Error, ErrorKind, Result, SeqNo};
use flushproof_api::Reader;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const JOURNAL: JournalId = JournalId([
    0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x49, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0,
]);
/// 2026-01-01, in milliseconds since 1970.
pub const CLOCK: u64 = 1_767_225_600_000;

/// The journal's entries: a name space's history, and one that is empty.
pub const ENTRIES: [&str; 6] = [
    "mkdir /a",
    "mkdir /b",
    "create /a/x",
    "rename /a/x /b/y",
    "delete /a",
    "",
];
/// The state of all entries below 3.
pub const STATE: [&str; 3] = ["dir /a", "dir /b", "file /a/x"];

pub const SEGMENTS: [&str; 3] = [
    "log/00000000000000000001-00000000000000000000.log",
    "log/00000000000000000001-00000000000000000001.log",
    "log/00000000000000000002-00000000000000000000.log",
];
pub const CHECKPOINT: &str = "checkpoint/00000000000000000003-00000000000000000001";

/// The secret of an epoch's claim. (A real one is random.)
pub fn nonce(epoch: Epoch) -> Nonce {
    Nonce([0xa0 + epoch.0 as u8; 16])
}

pub fn key(epoch: Epoch, index: u64) -> SegmentKey {
    SegmentKey {
        journal: JOURNAL,
        nonce: nonce(epoch),
        epoch,
        index,
    }
}

pub fn epoch_object(epoch: Epoch) -> EpochObject {
    EpochObject {
        epoch,
        nonce: nonce(epoch),
        claimed_ms: CLOCK,
        who: format!("golden-{epoch} (pid {})", 100 + epoch.0),
        address: "192.0.2.1:4000".into(),
        fill: None,
    }
}

/// A segment in the making.
pub struct Segment {
    pub key: SegmentKey,
    pub bytes: Vec<u8>,
    pub next: SeqNo,
}

impl Segment {
    pub fn begin(key: SegmentKey, prev: Option<Prev>, durable: SeqNo) -> Segment {
        let mut segment = Segment {
            key,
            bytes: Vec::new(),
            next: durable,
        };
        let mut body = Vec::new();
        SegmentHeader {
            nonce: key.nonce,
            grain: 64,
            prev,
            gap: false,
            durable,
            created_ms: CLOCK,
        }
        .encode(&mut body);
        segment.put(FrameKind::Header, &body, 0, durable);
        segment
    }

    /// Every frame says that all before it in its segment was durable.
    pub fn put(&mut self, kind: FrameKind, body: &[u8], count: u32, durable: SeqNo) {
        let at = self.bytes.len();
        let header = FrameHeader {
            kind,
            body_len: body.len() as u32,
            first_seq: self.next,
            count,
            epoch: self.key.epoch,
            durable,
            durable_offset: at as u64,
            clock_ms: CLOCK,
        };
        self.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        self.bytes.extend_from_slice(body);
        seal_frame(&mut self.bytes[at..], &header, &self.key, at as u64);
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        self.next = header.end_seq();
    }

    pub fn entries(&mut self, range: Range<usize>, durable: u64) {
        let mut body = Vec::new();
        for entry in &ENTRIES[range.clone()] {
            put_entry(&mut body, entry.as_bytes());
        }
        let count = range.len() as u32;
        self.put(FrameKind::Entries, &body, count, SeqNo(durable));
    }

    pub fn end(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Epoch 1 serves, rolls, writes a checkpoint, and stops with its last entry
/// undecided; epoch 2 carries that entry over, goes on and closes.
pub fn files() -> BTreeMap<String, Bytes> {
    let (one, two) = (Epoch(1), Epoch(2));
    let mut files = BTreeMap::new();
    let format = FormatObject { created_ms: CLOCK };
    files.insert("FORMAT".to_owned(), format.encode(JOURNAL));

    let mut first = Segment::begin(key(one, 0), None, SeqNo(0));
    first.entries(0..2, 0);
    first.entries(2..3, 2);
    let prev = Prev {
        segment: first.key.segment(),
        offset: first.end(),
        seq: SeqNo(3),
    };
    let mut second = Segment::begin(key(one, 1), Some(prev), SeqNo(3));
    second.entries(3..4, 3);
    let cut = Prev {
        segment: second.key.segment(),
        offset: second.end(),
        seq: SeqNo(4),
    };
    second.put(FrameKind::Mark, &[], 0, SeqNo(4));
    second.entries(4..5, 4);
    let mut third = Segment::begin(key(two, 0), Some(cut), SeqNo(4));
    third.entries(4..5, 4);
    third.entries(5..6, 5);
    third.put(FrameKind::Seal, &[], 0, SeqNo(6));

    for (epoch, prev, carried) in [(one, None, 0..0), (two, Some(cut), 4..5)] {
        let start = StartObject {
            epoch,
            nonce: nonce(epoch),
            first_log: SegmentId { epoch, index: 0 },
            prev,
            durable: SeqNo(carried.start),
            carried_end: SeqNo(carried.end),
        };
        files.insert(format!("start/{:020}", epoch.0), start.encode(JOURNAL));
        let claim = epoch_object(epoch).encode(JOURNAL);
        files.insert(format!("epoch/{:020}", epoch.0), claim);
    }
    for (name, segment) in SEGMENTS.into_iter().zip([first, second, third]) {
        files.insert(name.to_owned(), segment.bytes.into());
    }
    files.insert(CHECKPOINT.to_owned(), checkpoint(one, 3));
    files
}

pub fn checkpoint(epoch: Epoch, next_seq: u64) -> Bytes {
    let (mut encoder, head) = CheckpointEncoder::new(key(epoch, 0), SeqNo(next_seq), CLOCK);
    let mut bytes = head.to_vec();
    for entry in STATE {
        let full = encoder.push(entry.as_bytes()).unwrap();
        bytes.extend_from_slice(&full.unwrap_or_default());
    }
    bytes.extend_from_slice(&encoder.finish());
    bytes.into()
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub fn document_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format.md")
}

/// All files below a folder, as relative paths.
pub fn walk(folder: &Path, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            names.extend(walk(&entry.path(), &format!("{name}/")));
        } else {
            names.push(name);
        }
    }
    names
}

/// Writes the golden files and the worked example.
pub fn bless(files: &BTreeMap<String, Bytes>) {
    for (name, bytes) in files {
        let path = folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let document = std::fs::read_to_string(document_path()).unwrap();
    let (before, _, behind) = split_example(&document);
    let block = example(&files[SEGMENTS[0]]);
    std::fs::write(document_path(), format!("{before}{block}{behind}")).unwrap();
}

const BEGIN: &str = "<!-- example: begin -->\n```text\n";
const END: &str = "```\n<!-- example: end -->\n";

/// The document before, in and behind the worked example.
pub fn split_example(document: &str) -> (&str, &str, &str) {
    let at = document.find(BEGIN).unwrap() + BEGIN.len();
    let end = document.find(END).unwrap();
    (&document[..at], &document[at..end], &document[end..])
}

const HEADER_FIELDS: [(usize, &str); 12] = [
    (4, "CRC-32C of bytes 4..64 of this header"),
    (4, "CRC-32C of the body"),
    (4, "length of the body"),
    (1, "kind"),
    (3, "reserved"),
    (8, "first sequence number"),
    (4, "number of entries"),
    (4, "reserved"),
    (8, "epoch"),
    (8, "durable: all entries below"),
    (8, "durable offset: all bytes below"),
    (8, "wall clock, ms since 1970"),
];
const SEGMENT_FIELDS: [(usize, &str); 9] = [
    (16, "body: the epoch's nonce"),
    (4, "grain"),
    (4, "has a prev"),
    (8, "prev: epoch"),
    (8, "prev: index"),
    (8, "prev: offset"),
    (8, "prev: sequence number"),
    (8, "durable: all entries below, elsewhere"),
    (8, "created, ms since 1970"),
];

/// The bytes of a segment, field by field.
pub fn example(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let kind = bytes[at + 12];
        let body = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        let name = ["", "header", "entries", "mark", "seal"][usize::from(kind)];
        let _ = writeln!(out, "-- frame at {at}: {name}");
        for (len, meaning) in HEADER_FIELDS {
            let value = match meaning {
                "kind" => format!(": {kind}, {name}"),
                _ => number(&bytes[at..at + len], meaning),
            };
            at = field(&mut out, bytes, at, len, &format!("{meaning}{value}"));
        }
        let end = at + body;
        if kind == FrameKind::Header as u8 {
            for (len, meaning) in SEGMENT_FIELDS {
                let value = number(&bytes[at..at + len], meaning);
                at = field(&mut out, bytes, at, len, &format!("{meaning}{value}"));
            }
        }
        while at < end {
            let len = usize::from(bytes[at]); // short ones only
            at = field(
                &mut out,
                bytes,
                at,
                1,
                &format!("length of the entry: {len}"),
            );
            let text = String::from_utf8_lossy(&bytes[at..at + len]).into_owned();
            at = field(&mut out, bytes, at, len, &format!("{text:?}"));
        }
        let grain = at.next_multiple_of(64);
        assert!(bytes[at..grain].iter().all(|b| *b == 0));
        if grain > at {
            let _ = writeln!(
                out,
                "{at:04x}  {:<49}{} zeros up to the grain",
                "00 …",
                grain - at
            );
        }
        at = grain;
    }
    out
}

fn number(bytes: &[u8], meaning: &str) -> String {
    if meaning.contains("CRC") || bytes.is_empty() || bytes.len() > 8 {
        return String::new();
    }
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    format!(": {}", u64::from_le_bytes(wide))
}

fn field(out: &mut String, bytes: &[u8], at: usize, len: usize, meaning: &str) -> usize {
    for (i, row) in bytes[at..at + len].chunks(16).enumerate() {
        let hex: Vec<_> = row.iter().map(|b| format!("{b:02x}")).collect();
        let text = if i == 0 { meaning } else { "" };
        let line = format!("{:04x}  {:<49}{text}", at + i * 16, hex.join(" "));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    at + len
}

/// A reader over bytes.
#[derive(Debug)]
struct InMemory(Bytes);

#[async_trait]
impl Reader for InMemory {
    async fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.start > range.end || range.end > self.0.len() as u64 {
            let text = format!("read of {range:?} is out of range");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(self.0.slice(range.start as usize..range.end as usize))
    }
}

pub fn reader(bytes: &Bytes) -> Arc<dyn Reader> {
    Arc::new(InMemory(bytes.clone()))
}
