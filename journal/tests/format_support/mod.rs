//! Shared by the tests of the format: a reader over bytes and a segment writer.
#![allow(dead_code)] // every test uses a part of it

use async_trait::async_trait;
use bytes::Bytes;
use flushproof::format::*;
use flushproof::{Epoch, Error, ErrorKind, Result, SeqNo};
use flushproof_api::Reader;
use std::ops::Range;
use std::sync::Arc;

pub const KEY: SegmentKey = SegmentKey {
    journal: JournalId([0x11; 16]),
    nonce: Nonce([0x22; 16]),
    epoch: Epoch(3),
    index: 1,
};

/// A reader over bytes that refuses every read outside of them.
#[derive(Debug)]
pub struct InMemory(pub Bytes);

#[async_trait]
impl Reader for InMemory {
    async fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let fits = range.start <= range.end
            && range.end <= self.0.len() as u64
            && range.end - range.start <= flushproof_api::MAX_READ;
        if !fits {
            let text = format!("read of {range:?} is out of range");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(self.0.slice(range.start as usize..range.end as usize))
    }
}

pub fn reader(bytes: &[u8]) -> Arc<dyn Reader> {
    Arc::new(InMemory(Bytes::copy_from_slice(bytes)))
}

/// Writes a segment frame by frame and remembers what it wrote.
#[derive(Clone, Debug)]
pub struct Writer {
    pub key: SegmentKey,
    pub grain: u64,
    pub bytes: Vec<u8>,
    pub frames: Vec<(u64, FrameHeader, Vec<u8>)>,
    pub seq: SeqNo,
    /// What the next frame claims.
    pub durable: SeqNo,
    pub durable_offset: u64,
    pub clock_ms: u64,
}

impl Writer {
    /// A writer without a header frame yet, whose first entry is `seq`.
    pub fn empty(key: SegmentKey, grain: u64, seq: u64) -> Writer {
        Writer {
            key,
            grain,
            bytes: Vec::new(),
            frames: Vec::new(),
            seq: SeqNo(seq),
            durable: SeqNo(seq),
            durable_offset: 0,
            clock_ms: 1_700_000_000_000,
        }
    }

    pub fn new(key: SegmentKey, grain: u64, seq: u64) -> Writer {
        let mut writer = Writer::empty(key, grain, seq);
        let header = SegmentHeader {
            nonce: key.nonce,
            grain: grain as u32,
            prev: Some(Prev {
                segment: SegmentId {
                    epoch: Epoch(key.epoch.0 - 1),
                    index: 4,
                },
                offset: 8192,
                seq: SeqNo(seq),
            }),
            gap: false,
            durable: SeqNo(seq),
            created_ms: writer.clock_ms,
        };
        let mut body = Vec::new();
        header.encode(&mut body);
        writer.put(FrameKind::Header, &body, 0);
        writer
    }

    pub fn put(&mut self, kind: FrameKind, body: &[u8], count: u32) -> u64 {
        let at = self.bytes.len() as u64;
        let header = FrameHeader {
            kind,
            body_len: body.len() as u32,
            first_seq: self.seq,
            count,
            epoch: self.key.epoch,
            durable: self.durable,
            durable_offset: self.durable_offset,
            clock_ms: self.clock_ms,
        };
        self.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        self.bytes.extend_from_slice(body);
        seal_frame(&mut self.bytes[at as usize..], &header, &self.key, at);
        let padded = self.bytes.len().next_multiple_of(self.grain as usize);
        self.bytes.resize(padded, 0);
        self.frames.push((at, header, body.to_vec()));
        self.seq = header.end_seq();
        at
    }

    pub fn entries(&mut self, entries: &[&[u8]]) -> u64 {
        let mut body = Vec::new();
        for entry in entries {
            put_entry(&mut body, entry);
        }
        self.put(FrameKind::Entries, &body, entries.len() as u32)
    }

    pub fn mark(&mut self) -> u64 {
        self.put(FrameKind::Mark, &[], 0)
    }

    /// All that was written so far was acknowledged.
    pub fn acknowledged(&mut self) {
        self.durable = self.seq;
        self.durable_offset = self.bytes.len() as u64;
    }
}

/// Everything that a recovery learns from one segment.
#[derive(Debug)]
pub struct Read {
    pub frames: Vec<Frame>,
    /// Why the scan ended before the limit.
    pub bad: Option<(u64, BadFrame)>,
    pub verdict: TailVerdict,
}

pub async fn read_all(bytes: &[u8], key: SegmentKey, grain: u64) -> Result<Read> {
    read_windowed(bytes, key, grain, 1 << 20).await
}

pub async fn read_windowed(bytes: &[u8], key: SegmentKey, grain: u64, window: u64) -> Result<Read> {
    let reader = reader(bytes);
    let limit = bytes.len() as u64;
    let mut scanner = Scanner::new(reader.clone(), key, grain, 0, limit).with_window(window);
    let mut frames = Vec::new();
    let mut last = LastGood::Nothing;
    let bad = loop {
        match scanner.next().await? {
            Scanned::Frame(frame) => {
                last = LastGood::of(&frame.header, frame.offset);
                frames.push(frame);
            }
            Scanned::Bad { offset, why } => break Some((offset, why)),
            Scanned::End => break None,
        }
    };
    let verdict = classify_tail(&*reader, &key, scanner.offset(), limit, last).await?;
    Ok(Read {
        frames,
        bad,
        verdict,
    })
}
