//! The drivers of the fuzz targets. The scanner's builds a valid segment, damages
//! it as the input says, and checks that nothing is returned that was not written.
//!
//! Random bytes alone never get past a keyed checksum, so the input is a row of
//! operations; one of them forges a header with right checksums, as only the
//! writer could, to reach the checks behind them.

use super::checkpoint::{CheckpointEncoder, CheckpointReader};
use super::names::{self, CheckpointId};
use super::object::{self, EpochObject, FormatObject, ObjectKind, StartObject};
use super::*;
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{Epoch, Error, ErrorKind, Reader, Result, SeqNo, StorePath};
use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

const KEY: SegmentKey = SegmentKey {
    journal: JournalId([7; 16]),
    nonce: Nonce([9; 16]),
    epoch: Epoch(3),
    index: 2,
};

/// Runs one input; panics when a promise of this module is broken.
#[doc(hidden)]
pub fn fuzz_scanner(data: &[u8]) {
    let mut input = Input(data);
    let mut segment = Segment::build(&mut input);
    let window = 1 + input.u16();
    while !input.0.is_empty() && segment.bytes.len() < 1 << 20 {
        segment.damage(&mut input);
    }
    let reader: Arc<dyn Reader> = Arc::new(InMemory(segment.bytes.clone().into()));
    // The reader is always ready, so every future ends with its first poll.
    let _ = check(&segment, reader, window).now_or_never();
    hostile_objects(data);
}

/// Runs one input: the body of an object in an envelope with the right checksum,
/// and a name. Panics when what is read would not be written the same again.
#[doc(hidden)]
pub fn fuzz_objects(data: &[u8]) {
    const ID: JournalId = JournalId([7; 16]);
    let same = |again: Bytes, bytes: &Bytes| assert_eq!(again, *bytes, "read otherwise");
    let of = |kind| object::encode(kind, ID, data);
    let bytes = of(ObjectKind::Format);
    if let Ok((id, read)) = FormatObject::decode(&bytes) {
        same(read.encode(id), &bytes);
    }
    let bytes = of(ObjectKind::Start);
    if let Ok((id, read)) = StartObject::decode(&bytes) {
        same(read.encode(id), &bytes);
        assert!(EpochObject::decode(&bytes).is_err(), "of another kind");
    }
    let bytes = of(ObjectKind::Epoch);
    if let Ok((id, read)) = EpochObject::decode(&bytes) {
        // A longer text is read, and cut when it is written.
        if read.who.len().max(read.address.len()) <= codec::MAX_TEXT {
            same(read.encode(id), &bytes);
        }
    }
    if let Ok(read) = SegmentHeader::decode(data) {
        let mut again = Vec::new();
        read.encode(&mut again);
        assert_eq!(again, data, "read otherwise");
    }
    let _ = hostile_checkpoint(of(ObjectKind::Checkpoint)).now_or_never();
    hostile_name(data);
}

/// A checkpoint whose head has the right checksum; its frames can't have one.
async fn hostile_checkpoint(bytes: Bytes) -> Result<()> {
    let id = CheckpointId {
        next_seq: SeqNo(5),
        epoch: KEY.epoch,
    };
    let mut reader = CheckpointReader::open(Arc::new(InMemory(bytes)), KEY, id).await?;
    while reader.next().await?.is_some() {}
    Ok(())
}

/// A name that is read as one of ours is the one that would be written.
fn hostile_name(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let Ok(path) = StorePath::new(text) else {
        return;
    };
    let written = [
        names::parse_log(&path).map(names::log_path),
        names::parse_epoch(&path).map(names::epoch_path),
        names::parse_start(&path).map(names::start_path),
        names::parse_checkpoint(&path).map(names::checkpoint_path),
        names::parse_request(&path).map(names::request_path),
    ];
    for again in written.into_iter().flatten() {
        let same = again.is_ok_and(|again| again == path);
        assert!(same, "{path} is another name than is written");
    }
}

/// Small objects and a checkpoint out of the input itself, and a damaged checkpoint.
fn hostile_objects(data: &[u8]) {
    let all = Bytes::copy_from_slice(data);
    let _ = FormatObject::decode(&all);
    let _ = EpochObject::decode(&all);
    let _ = StartObject::decode(&all);
    let _ = SegmentHeader::decode(data);

    let (mut encoder, head) = CheckpointEncoder::new(KEY, SeqNo(5), 1);
    let mut bytes = head.to_vec();
    for entry in data.chunks(40) {
        if let Ok(Some(piece)) = encoder.push(entry) {
            bytes.extend_from_slice(&piece);
        }
    }
    bytes.extend_from_slice(&encoder.finish());
    let at = data.iter().fold(1usize, |h, b| {
        h.wrapping_mul(31).wrapping_add(usize::from(*b))
    });
    let at = at % bytes.len();
    let flip = data.first().copied().unwrap_or(0);
    bytes[at] ^= flip;
    let _ = read_checkpoint(bytes.into(), data).now_or_never();
}

async fn read_checkpoint(bytes: Bytes, data: &[u8]) -> Result<()> {
    let id = CheckpointId {
        next_seq: SeqNo(5),
        epoch: KEY.epoch,
    };
    let mut reader = CheckpointReader::open(Arc::new(InMemory(bytes)), KEY, id).await?;
    let mut expected = data.chunks(40);
    while let Some(frame) = reader.next().await? {
        for (_, entry) in frame.entries() {
            assert_eq!(
                Some(&entry[..]),
                expected.next(),
                "another entry than was written"
            );
        }
    }
    assert_eq!(
        expected.next(),
        None,
        "a whole checkpoint with entries missing"
    );
    Ok(())
}

async fn check(segment: &Segment, reader: Arc<dyn Reader>, window: usize) -> Result<()> {
    let limit = segment.bytes.len() as u64;
    read_segment_header(&*reader, &KEY, limit).await?;
    let mut scanner =
        Scanner::new(reader.clone(), KEY, segment.grain, 0, limit).with_window(window as u64);
    let mut last = LastGood::Nothing;
    let at = loop {
        match scanner.next().await? {
            Scanned::Frame(frame) => {
                assert!(frame.end_offset > frame.offset, "no progress");
                segment.check(&frame);
                last = LastGood::of(&frame.header, frame.offset);
            }
            Scanned::Bad { offset, .. } => break offset,
            Scanned::End => break align_up(limit, segment.grain).unwrap_or(limit),
        }
    };
    match classify_tail(&*reader, &KEY, at, limit, last).await? {
        TailVerdict::Clean => {}
        TailVerdict::Torn { at: cut, bytes } => {
            assert!(
                cut == at && bytes > 0 && bytes <= limit - at,
                "torn out of range"
            );
        }
        TailVerdict::Corrupt { claim, .. } => {
            assert!(
                claim.offset > at && claim.offset < limit,
                "claim out of range"
            );
            assert!(at == 0 || claim.durable_offset > at, "claim proves nothing");
        }
    }
    Ok(())
}

/// A segment, what was written to it, and which headers were forged.
struct Segment {
    bytes: Vec<u8>,
    grain: u64,
    written: BTreeMap<u64, (FrameHeader, Vec<u8>)>,
    forged: BTreeSet<u64>,
}

impl Segment {
    fn build(input: &mut Input<'_>) -> Segment {
        let grain = [64, 128, 512, 4096][usize::from(input.u8() % 4)];
        let mut segment = Segment {
            bytes: Vec::new(),
            grain,
            written: BTreeMap::new(),
            forged: BTreeSet::new(),
        };
        let mut body = Vec::new();
        let header = SegmentHeader {
            nonce: KEY.nonce,
            grain: grain as u32,
            prev: None,
            gap: false,
            durable: SeqNo(0),
            created_ms: 0,
        };
        header.encode(&mut body);
        let mut seq = segment.append(FrameKind::Header, &body, SeqNo(0), 0);
        for _ in 0..input.u8() % 6 {
            let shape = input.u8();
            if shape % 4 == 0 {
                segment.append(FrameKind::Mark, &[], seq, 0);
                continue;
            }
            let mut body = Vec::new();
            let count = u32::from(shape % 4);
            for i in 0..count {
                put_entry(&mut body, &vec![i as u8; usize::from(shape) * 2]);
            }
            seq = segment.append(FrameKind::Entries, &body, seq, count);
        }
        segment
    }

    /// Every flush was acknowledged before the next: the strongest claims.
    fn append(&mut self, kind: FrameKind, body: &[u8], first: SeqNo, count: u32) -> SeqNo {
        let at = self.bytes.len() as u64;
        let header = FrameHeader {
            kind,
            body_len: body.len() as u32,
            first_seq: first,
            count,
            epoch: KEY.epoch,
            durable: first,
            durable_offset: at,
            clock_ms: at,
        };
        self.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        self.bytes.extend_from_slice(body);
        seal_frame(&mut self.bytes[at as usize..], &header, &KEY, at);
        let padded = self.bytes.len().next_multiple_of(self.grain as usize);
        self.bytes.resize(padded, 0);
        self.written.insert(at, (header, body.to_vec()));
        header.end_seq()
    }

    fn check(&self, frame: &Frame) {
        let entries = frame.entries();
        assert_eq!(
            entries.count(),
            frame.header.count as usize,
            "entries missing"
        );
        if !self.forged.contains(&frame.offset) {
            let written = self.written.get(&frame.offset);
            let same = written.is_some_and(|(h, b)| *h == frame.header && *b == frame.body);
            assert!(same, "a frame that was never written: {frame:?}");
        }
    }

    fn damage(&mut self, input: &mut Input<'_>) {
        let len = self.bytes.len();
        let (op, at) = (input.u8() % 8, input.u16() % len.max(1));
        let size = input.u16() % 512;
        let range = at..(at + size).min(len);
        match op {
            0 if len > 0 => self.bytes[at] ^= input.u8(),
            1 => self.bytes.truncate(at),
            2 => self.bytes[range].fill(0),
            3 => {
                let to = input.u16() % len.max(1);
                let n = range.len().min(len - to);
                self.bytes.copy_within(range.start..range.start + n, to);
            }
            4 => {
                let other = SegmentKey {
                    epoch: Epoch(2),
                    ..KEY
                };
                self.put_header(at, input, &other);
            }
            5 => {
                for byte in &mut self.bytes[range] {
                    *byte = input.u8();
                }
            }
            6 => {
                if let Some(at) = self.put_header(at, input, &KEY) {
                    self.forged.insert(at);
                }
            }
            _ => self.bytes.resize(len + size, input.u8()),
        }
    }

    /// Edits one byte of the header that stands at or before `at`, then makes
    /// its checksums right under `key`.
    fn put_header(&mut self, at: usize, input: &mut Input<'_>, key: &SegmentKey) -> Option<u64> {
        let at = at - at % FRAME_HEADER;
        let (field, value) = (8 + input.u16() % 56, input.u8());
        let (_, rest) = self.bytes.split_at_mut_checked(at)?;
        let (head, rest) = rest.split_first_chunk_mut::<FRAME_HEADER>()?;
        head[field] = value;
        let (header_seed, body_seed) = key.seeds(at as u64);
        let body_len = (codec::u32_at(head, 8) as usize).min(rest.len());
        let body_crc = crc32c::crc32c_append(body_seed, &rest[..body_len]);
        head[4..8].copy_from_slice(&body_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(header_seed, &head[4..]);
        head[..4].copy_from_slice(&crc.to_le_bytes());
        Some(at as u64)
    }
}

/// The input, byte by byte; zeros once it is used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn u8(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn u16(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.u8(), self.u8()]))
    }
}

#[derive(Debug)]
struct InMemory(Bytes);

#[async_trait]
impl Reader for InMemory {
    async fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let valid = range.start <= range.end && range.end <= self.0.len() as u64;
        if !valid {
            return Err(Error::new(ErrorKind::InvalidInput, "out of range"));
        }
        Ok(self.0.slice(range.start as usize..range.end as usize))
    }
}
