//! A journal made by hand that has everything that salvage must tell apart, and what is
//! known of its layout without reading it.
#![allow(dead_code)] // every test uses a part of it
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use crate::golden_support::changed::Journal;
use crate::golden_support::{CLOCK, JOURNAL, Segment, checkpoint, epoch_object, key, nonce};
use flushproof::format::object::{FormatObject, StartObject};
use flushproof::format::*;
use flushproof::{Epoch, LostRange, Salvage, SeqNo};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What was appended under a number.
pub fn entry(n: u64) -> Vec<u8> {
    let mut bytes = format!("entry {n} ").into_bytes();
    let len = [20, 900, 0, 300, 1500][n as usize % 5];
    bytes.resize(bytes.len() + len, b'a' + (n % 26) as u8);
    bytes
}

/// One frame, as the layout says.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: String,
    /// Header and body, without padding.
    pub bytes: Range<usize>,
    pub kind: FrameKind,
    /// Empty in frames without entries.
    pub entries: Range<u64>,
    /// Whether it is a right copy of what was appended.
    pub right: bool,
    /// Its durable mark.
    pub durable: u64,
}

/// Bytes of files that are damaged.
pub type Damage = Vec<(String, Range<usize>)>;

fn hit(damage: &Damage, file: &str, bytes: &Range<usize>) -> bool {
    let overlaps = |r: &Range<usize>| r.start < bytes.end && bytes.start < r.end;
    damage.iter().any(|(f, range)| f == file && overlaps(range))
}

/// All of a file.
pub fn whole_of(file: &str) -> (String, Range<usize>) {
    (file.to_owned(), 0..usize::MAX)
}

/// The journal.
#[derive(Default)]
pub struct Made {
    pub files: BTreeMap<String, Vec<u8>>,
    pub places: Vec<Place>,
}

pub fn log(epoch: u64, index: u64) -> String {
    format!("log/{epoch:020}-{index:020}.log")
}

pub fn start(epoch: u64) -> String {
    format!("start/{epoch:020}")
}

pub fn claim(epoch: u64) -> String {
    format!("epoch/{epoch:020}")
}

pub fn checkpoint_name(next: u64, epoch: u64) -> String {
    format!("checkpoint/{next:020}-{epoch:020}")
}

/// The number after the last entry, and the last entry alone in its frame, which nothing attests.
pub const END: u64 = 24;
pub const UNDECIDED: u64 = 23;
/// Where what the last epoch carried over ends.
pub const CARRIED: u64 = 16;
/// The checkpoints.
pub const CHECKPOINTS: [(u64, u64); 2] = [(3, 1), (8, 2)];

impl Made {
    fn begin(&mut self, epoch: u64, index: u64, prev: Option<Prev>, durable: u64) -> Segment {
        let segment = Segment::begin(key(Epoch(epoch), index), prev, SeqNo(durable));
        self.note(&segment, 0, FrameKind::Header, 0..0, true);
        segment
    }

    fn note(
        &mut self,
        segment: &Segment,
        at: usize,
        kind: FrameKind,
        entries: Range<u64>,
        right: bool,
    ) {
        let id = segment.key;
        let len = u32::from_le_bytes(segment.bytes[at + 8..at + 12].try_into().unwrap());
        self.places.push(Place {
            file: log(id.epoch.0, id.index),
            bytes: at..at + 64 + len as usize,
            kind,
            durable: u64::from_le_bytes(segment.bytes[at + 40..at + 48].try_into().unwrap()),
            entries,
            right,
        });
    }

    fn put(&mut self, segment: &mut Segment, entries: Range<u64>, durable: u64) {
        self.put_as(segment, entries, durable, entry, true);
    }

    fn put_as(
        &mut self,
        segment: &mut Segment,
        entries: Range<u64>,
        durable: u64,
        bytes: impl Fn(u64) -> Vec<u8>,
        right: bool,
    ) {
        let (at, mut body) = (segment.bytes.len(), Vec::new());
        segment.next = SeqNo(entries.start);
        entries
            .clone()
            .for_each(|n| put_entry(&mut body, &bytes(n)));
        let count = (entries.end - entries.start) as u32;
        segment.put(FrameKind::Entries, &body, count, SeqNo(durable));
        self.note(segment, at, FrameKind::Entries, entries, right);
    }

    fn mark(&mut self, segment: &mut Segment, kind: FrameKind, durable: u64) {
        let at = segment.bytes.len();
        segment.put(kind, &[], 0, SeqNo(durable));
        self.note(segment, at, kind, 0..0, true);
    }

    fn end(&mut self, segment: Segment) -> Prev {
        let (offset, seq) = (segment.end(), segment.next);
        let id = segment.key.segment();
        self.files.insert(log(id.epoch.0, id.index), segment.bytes);
        Prev {
            segment: id,
            offset,
            seq,
        }
    }

    fn claim(&mut self, epoch: u64) {
        let bytes = epoch_object(Epoch(epoch)).encode(JOURNAL);
        self.files.insert(claim(epoch), bytes.to_vec());
    }

    fn start(&mut self, epoch: u64, prev: Option<Prev>, carried: Range<u64>) {
        self.claim(epoch);
        let epoch = Epoch(epoch);
        let object = StartObject {
            epoch,
            nonce: nonce(epoch),
            first_log: SegmentId { epoch, index: 0 },
            prev,
            durable: SeqNo(carried.start),
            carried_end: SeqNo(carried.end),
        };
        let bytes = object.encode(JOURNAL).to_vec();
        self.files.insert(start(epoch.0), bytes);
    }

    /// Epoch 1 rolls twice and stops with entries 10 and 11 undecided; a frame behind a torn one
    /// has landed, which nobody ever saw.
    fn first(&mut self) -> Prev {
        let mut log = self.begin(1, 0, None, 0);
        self.put(&mut log, 0..2, 0);
        self.put(&mut log, 2..3, 2);
        self.put(&mut log, 3..6, 3);
        let end = self.end(log);
        let mut log = self.begin(1, 1, Some(end), 6);
        self.put(&mut log, 6..8, 6);
        self.mark(&mut log, FrameKind::Mark, 8);
        self.put(&mut log, 8..9, 8);
        let end = self.end(log);
        let mut log = self.begin(1, 2, Some(end), 9);
        self.put(&mut log, 9..10, 9);
        let cut = Prev {
            segment: log.key.segment(),
            offset: log.end(),
            seq: SeqNo(10),
        };
        self.put(&mut log, 10..12, 10);
        log.bytes.extend_from_slice(&[0xee; 320]);
        // It does not say that the torn one was durable.
        let at = log.bytes.len();
        self.put_as(&mut log, 13..15, 10, |n| format!("wrong {n}").into(), false);
        let header = FrameHeader {
            durable_offset: cut.offset,
            ..parse_header(log.bytes[at..].first_chunk().unwrap(), &log.key, at as u64).unwrap()
        };
        let end = at + header.len() as usize;
        seal_frame(&mut log.bytes[at..end], &header, &log.key, at as u64);
        self.end(log);
        self.start(1, None, 0..0);
        cut
    }

    /// Epoch 2 carries two entries over, rolls, and stops with entry 15 undecided.
    fn second(&mut self, prev: Prev) -> Prev {
        let mut log = self.begin(2, 0, Some(prev), 10);
        self.put(&mut log, 10..12, 10);
        self.put(&mut log, 12..13, 12);
        self.mark(&mut log, FrameKind::Mark, 13);
        let end = self.end(log);
        let mut log = self.begin(2, 1, Some(end), 13);
        self.put(&mut log, 13..15, 13);
        let cut = Prev {
            segment: log.key.segment(),
            offset: log.end(),
            seq: SeqNo(15),
        };
        self.put(&mut log, 15..16, 15);
        self.end(log);
        self.start(2, Some(prev), 10..12);
        cut
    }

    /// Epoch 3 carries entry 15 over and never serves; epoch 4 does so again, and serves.
    fn third_and_fourth(&mut self, prev: Prev) {
        let mut log = self.begin(3, 0, Some(prev), 15);
        self.put(&mut log, 15..16, 15);
        self.end(log);
        self.claim(3);
        let mut log = self.begin(4, 0, Some(prev), 15);
        self.put(&mut log, 15..16, 15);
        self.put(&mut log, 16..18, 16);
        self.put(&mut log, 18..22, 18);
        self.put(&mut log, 22..23, 22);
        self.put(&mut log, 23..24, 23);
        log.bytes.extend_from_slice(&[0; 4096]);
        self.end(log);
        self.start(4, Some(prev), 15..16);
    }

    pub fn new() -> Made {
        let mut made = Made::default();
        let format = FormatObject { created_ms: CLOCK };
        let format = format.encode(JOURNAL).to_vec();
        made.files.insert("FORMAT".to_owned(), format);
        let cut = made.first();
        let cut = made.second(cut);
        made.third_and_fourth(cut);
        made
    }

    /// The same with its checkpoints.
    pub fn with_checkpoints() -> Made {
        let mut made = Made::new();
        for (next, epoch) in CHECKPOINTS {
            made.checkpoint(next, epoch);
        }
        made
    }

    pub fn checkpoint(&mut self, next: u64, epoch: u64) {
        let bytes = checkpoint(Epoch(epoch), next).to_vec();
        self.files.insert(checkpoint_name(next, epoch), bytes);
    }

    pub fn journal(&self) -> Journal {
        Journal(self.files.clone())
    }

    /// The numbers of entries of which a whole copy is left.
    fn there(&self, damage: &Damage) -> BTreeSet<u64> {
        let whole = |p: &&Place| p.right && !hit(damage, &p.file, &p.bytes);
        // Without its header nobody knows what epoch 3, which never served, copied.
        let never = hit(damage, &log(3, 0), &(0..64 + SEGMENT_HEADER_BODY));
        let counts = |p: &&Place| whole(p) && !(never && p.file == log(3, 0));
        let there = self.places.iter().filter(counts);
        there.flat_map(|p| p.entries.clone()).collect()
    }

    /// The numbers of entries that are whole nowhere, and were durable as far as anything
    /// that is whole says; and the number after the last that is left.
    pub fn lost(&self, base: u64, damage: &Damage) -> (BTreeSet<u64>, u64) {
        let there = self.there(damage);
        // A header testifies even where its body is damaged; so does the last start.
        let header = |p: &&Place| !hit(damage, &p.file, &(p.bytes.start..p.bytes.start + 64));
        let marks = self.places.iter().filter(header).map(|p| p.durable);
        let known = marks.chain([CARRIED]).max().unwrap();
        let end = there.last().map_or(base, |n| base.max(n + 1));
        let lost = (base..known.max(end)).filter(|n| !there.contains(n));
        (lost.collect(), end)
    }
}

/// What was salvaged, by number.
pub async fn entries(salvage: &Salvage) -> BTreeMap<u64, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut stream = salvage.entries();
    let mut last = None;
    while let Some(entry) = stream.next().await.unwrap() {
        assert!(last < Some(entry.seq), "{} behind {last:?}", entry.seq);
        last = Some(entry.seq);
        found.insert(entry.seq.0, entry.bytes.to_vec());
    }
    found
}

/// The lost numbers; what the salvage says of itself must fit together.
pub fn lost(salvage: &Salvage, found: &BTreeMap<u64, Vec<u8>>) -> BTreeSet<u64> {
    let base = salvage.checkpoint.unwrap_or_default();
    let mut at = base;
    let mut lost = BTreeSet::new();
    for LostRange { first, end } in &salvage.lost {
        assert!(at <= *first && first < end, "{:?}", salvage.lost);
        at = *end;
        lost.extend(first.0..end.0);
    }
    assert_eq!(salvage.lost_entries(), lost.len() as u64);
    assert_eq!(salvage.entries, found.len() as u64);
    let end = found.keys().last().map_or(base, |n| SeqNo(n + 1));
    assert_eq!(salvage.end, end);
    // Nothing is both, and nothing is neither.
    for n in base.0..end.0 {
        assert_ne!(lost.contains(&n), found.contains_key(&n), "entry {n}");
    }
    lost
}

/// Salvages a journal; every entry must be what was appended.
pub async fn salvage(journal: &Journal, case: &str) -> (Salvage, BTreeSet<u64>) {
    let config = journal.config().await;
    let salvage = config.salvage(|_, _| {}).await;
    let salvage = salvage.unwrap_or_else(|e| panic!("{case}: {e}"));
    let found = entries(&salvage).await;
    for (n, bytes) in &found {
        assert!(
            *bytes == entry(*n),
            "{case}: entry {n} is wrong: {salvage:?}"
        );
    }
    let lost = lost(&salvage, &found);
    (salvage, lost)
}
