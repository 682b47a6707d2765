//! The scanner and the classifier under random damage, against an oracle.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod format_support;

use async_trait::async_trait;
use bytes::Bytes;
use flushproof::format::*;
use flushproof::{ErrorKind, Result, SeqNo};
use flushproof_api::Reader;
use format_support::*;
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Debug)]
enum Step {
    Entries(Vec<u16>),
    Mark,
    Acknowledged,
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Zero(usize, usize),
    Garbage(usize, Vec<u8>),
    Copy(usize, usize, usize),
    Truncate(usize),
    Append(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => proptest::collection::vec(0u16..700, 1..5).prop_map(Step::Entries),
        1 => Just(Step::Mark),
        2 => Just(Step::Acknowledged),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => any::<(usize, u8)>().prop_map(|(at, x)| Damage::Flip(at, x.max(1))),
        2 => (any::<usize>(), 1usize..600).prop_map(|(at, n)| Damage::Zero(at, n)),
        1 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..200))
            .prop_map(|(at, b)| Damage::Garbage(at, b)),
        2 => (any::<usize>(), any::<usize>(), 1usize..900)
            .prop_map(|(from, to, n)| Damage::Copy(from, to / 64 * 64, n)),
        2 => any::<usize>().prop_map(Damage::Truncate),
        1 => proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 1..300)
            .prop_map(Damage::Append),
    ]
}

fn write(steps: &[Step], grain: u64) -> Writer {
    let mut writer = Writer::new(KEY, grain, 40);
    for step in steps {
        match step {
            Step::Entries(lengths) => {
                let entries: Vec<Vec<u8>> = lengths
                    .iter()
                    .map(|n| vec![*n as u8; usize::from(*n)])
                    .collect();
                writer.entries(&entries.iter().map(|e| &e[..]).collect::<Vec<_>>());
            }
            Step::Mark => {
                writer.mark();
            }
            Step::Acknowledged => writer.acknowledged(),
        }
    }
    writer
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let len = bytes.len().max(1);
    match damage {
        Damage::Flip(at, x) => {
            if let Some(byte) = bytes.get_mut(at % len) {
                *byte ^= x;
            }
        }
        Damage::Zero(at, n) => {
            let end = (at % len + n).min(bytes.len());
            bytes[(at % len).min(end)..end].fill(0);
        }
        Damage::Garbage(at, garbage) => {
            for (byte, g) in bytes.iter_mut().skip(at % len).zip(garbage) {
                *byte = *g;
            }
        }
        Damage::Copy(from, to, n) => {
            let (from, to) = (from % len, to % len / 64 * 64);
            let n = (*n).min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + n, to);
        }
        Damage::Truncate(at) => bytes.truncate(at % (len + 1)),
        Damage::Append(more) => bytes.extend_from_slice(more),
    }
}

/// What the specification demands, computed from what was written and what of
/// it is left: frames that survive, and the verdict on the rest.
fn oracle(writer: &Writer, bytes: &[u8]) -> (usize, TailClass) {
    let same = |range: Range<usize>| bytes.get(range.clone()) == writer.bytes.get(range);
    let whole = |(at, header, _): &(u64, FrameHeader, Vec<u8>)| {
        same(*at as usize..*at as usize + header.len() as usize)
    };
    let good = writer.frames.iter().take_while(|f| whole(f)).count();
    let end = match good {
        0 => 0,
        n => {
            let (at, header, _) = &writer.frames[n - 1];
            (at + header.len()).next_multiple_of(writer.grain) as usize
        }
    };
    let contradicted = writer.frames[good..].iter().any(|(at, header, _)| {
        let intact = same(*at as usize..*at as usize + FRAME_HEADER);
        intact && *at as usize > end && (end == 0 || header.durable_offset > end as u64)
    });
    let rest = bytes.get(end..).unwrap_or(&[]);
    let settled = good > 0 && {
        let (at, header, _) = &writer.frames[good - 1];
        LastGood::of(header, *at) == LastGood::Settled
    };
    let class = match () {
        () if contradicted => TailClass::Corrupt,
        () if settled || rest.iter().all(|b| *b == 0) => TailClass::Clean,
        () => TailClass::Torn,
    };
    (good, class)
}

#[derive(Debug, PartialEq, Eq)]
enum TailClass {
    Clean,
    Torn,
    Corrupt,
}

fn class(verdict: &TailVerdict) -> TailClass {
    match verdict {
        TailVerdict::Clean => TailClass::Clean,
        TailVerdict::Torn { .. } => TailClass::Torn,
        TailVerdict::Corrupt { .. } => TailClass::Corrupt,
    }
}

/// The reader is always ready.
fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    futures_util::FutureExt::now_or_never(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn under_any_damage_only_what_was_written_is_read(
        steps in proptest::collection::vec(step(), 0..12),
        shift in 6u32..=12,
        damages in proptest::collection::vec(damage(), 0..4),
        window in 1u64..5000,
    ) {
        let writer = write(&steps, 1 << shift);
        let mut bytes = writer.bytes.clone();
        damages.iter().for_each(|d| apply(&mut bytes, d));
        let read = run(read_windowed(&bytes, KEY, writer.grain, window)).unwrap().unwrap();
        for (frame, (at, header, body)) in read.frames.iter().zip(&writer.frames) {
            prop_assert_eq!((frame.offset, &frame.header, &frame.body[..]), (*at, header, &body[..]));
        }
        let (good, expected) = oracle(&writer, &bytes);
        prop_assert_eq!(read.frames.len(), good);
        prop_assert_eq!(class(&read.verdict), expected, "{:?}", read);
    }
}

/// Counts bytes and the longest read.
#[derive(Debug)]
struct Counting {
    inner: InMemory,
    longest: AtomicU64,
    total: AtomicU64,
}

#[async_trait]
impl Reader for Counting {
    async fn len(&self) -> Result<u64> {
        self.inner.len().await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let len = range.end - range.start;
        self.longest.fetch_max(len, Ordering::Relaxed);
        self.total.fetch_add(len, Ordering::Relaxed);
        self.inner.read(range).await
    }
}

#[tokio::test]
async fn memory_is_bounded_and_little_is_read_twice() {
    let mut writer = Writer::new(KEY, 4096, 0);
    let largest = vec![7u8; MAX_BODY - 4];
    writer.entries(&[&largest]);
    for _ in 0..200 {
        writer.entries(&[&[1; 60_000]]);
    }
    let limit = writer.bytes.len() as u64;
    let reader = Arc::new(Counting {
        inner: InMemory(writer.bytes.clone().into()),
        longest: AtomicU64::new(0),
        total: AtomicU64::new(0),
    });
    let mut scanner = Scanner::new(reader.clone(), KEY, 4096, 0, limit);
    let mut frames = 0;
    while let Scanned::Frame(frame) = scanner.next().await.unwrap() {
        assert_eq!(frame.end_offset % 4096, 0);
        frames += 1;
    }
    assert_eq!(frames, 202);
    assert_eq!(scanner.next_seq(), Some(SeqNo(201)));
    let longest = reader.longest.load(Ordering::Relaxed);
    assert!(
        longest <= MAX_FRAME as u64 + (1 << 18),
        "one read of {longest} bytes"
    );
    let total = reader.total.load(Ordering::Relaxed);
    assert!(
        total < limit * 115 / 100 + (2 << 20),
        "{total} of {limit} bytes read"
    );
}

#[tokio::test]
async fn a_whole_frame_out_of_sequence_is_corrupt() {
    let mut writer = Writer::new(KEY, 64, 10);
    writer.entries(&[b"a"]);
    writer.seq = SeqNo(12); // 11 was never written
    writer.entries(&[b"c"]);
    let error = read_all(&writer.bytes, KEY, 64).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .to_string()
            .contains("begins with entry 12, but entry 11"),
        "{error}"
    );
}

#[tokio::test]
async fn a_growing_segment_is_followed() {
    let mut writer = Writer::new(KEY, 512, 0);
    let first = writer.bytes.len() as u64;
    writer.entries(&[b"one"]);
    let all = Bytes::from(writer.bytes.clone());
    let reader = Arc::new(InMemory(all.clone()));
    let mut scanner = Scanner::new(reader, KEY, 512, 0, first);
    assert!(matches!(scanner.next().await.unwrap(), Scanned::Frame(_)));
    assert_eq!(scanner.next().await.unwrap(), Scanned::End);
    scanner.extend(first + 10);
    let torn = BadFrame::Truncated { needs: 64, has: 10 };
    for _ in 0..2 {
        let bad = scanner.next().await.unwrap();
        assert_eq!(
            bad,
            Scanned::Bad {
                offset: first,
                why: torn
            }
        );
    }
    scanner.extend(all.len() as u64);
    let Scanned::Frame(frame) = scanner.next().await.unwrap() else {
        panic!("the frame is there now");
    };
    assert_eq!(frame.entries().next().unwrap().1, "one");
    assert_eq!(scanner.next().await.unwrap(), Scanned::End);
}

#[tokio::test]
async fn a_segment_says_its_grain_and_its_predecessor() {
    let writer = Writer::new(KEY, 4096, 7);
    let reader = reader(&writer.bytes);
    let verdict = read_segment_header(&*reader, &KEY, 4096).await.unwrap();
    let HeaderVerdict::Good {
        segment,
        frame,
        end_offset,
    } = verdict
    else {
        panic!("{verdict:?}");
    };
    assert_eq!(
        (segment.grain, end_offset, frame.first_seq),
        (4096, 4096, SeqNo(7))
    );
    assert_eq!(segment.prev.unwrap().offset, 8192);
    for limit in [0, 1, 135] {
        let verdict = read_segment_header(&*reader, &KEY, limit).await.unwrap();
        assert_eq!(
            verdict,
            HeaderVerdict::Bad(BadFrame::Truncated {
                needs: 136,
                has: limit
            })
        );
    }
}

/// Answers fewer bytes than asked for.
#[derive(Debug)]
struct Short(InMemory);

#[async_trait]
impl Reader for Short {
    async fn len(&self) -> Result<u64> {
        self.0.len().await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.0.read(range).await?;
        Ok(bytes.slice(..bytes.len() - 1))
    }
}

#[tokio::test]
async fn a_short_answer_of_the_store_is_an_error() {
    let writer = Writer::new(KEY, 64, 0);
    let limit = writer.bytes.len() as u64;
    let reader = Arc::new(Short(InMemory(writer.bytes.clone().into())));
    let mut scanner = Scanner::new(reader.clone(), KEY, 64, 0, limit);
    assert_eq!(scanner.next().await.unwrap_err().kind(), ErrorKind::Io);
    let error = read_segment_header(&*reader, &KEY, limit)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let verdict = classify_tail(&*reader, &KEY, 0, limit, LastGood::Nothing).await;
    assert_eq!(verdict.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test]
async fn impossible_arguments_are_errors() {
    let writer = Writer::new(KEY, 64, 0);
    let reader = reader(&writer.bytes);
    for grain in [0, 63, 96, 1 << 40] {
        let mut scanner = Scanner::new(reader.clone(), KEY, grain, 0, 192);
        assert_eq!(
            scanner.next().await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
    let mut scanner = Scanner::new(reader.clone(), KEY, 64, 0, u64::MAX);
    assert_eq!(
        scanner.next().await.unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let mut scanner = Scanner::new(reader.clone(), KEY, 64, u64::MAX, u64::MAX);
    assert_eq!(scanner.next().await.unwrap(), Scanned::End);
    let verdict = classify_tail(&*reader, &KEY, 1, 192, LastGood::Nothing).await;
    assert_eq!(verdict.unwrap_err().kind(), ErrorKind::InvalidInput);
}
