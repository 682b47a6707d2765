//! The decision table of `docs/recovery.md`, row by row, and every byte and
//! every length of a small segment.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod format_support;

use flushproof::format::*;
use flushproof::{Epoch, SeqNo};
use format_support::*;

/// A header, a frame that was acknowledged, and one that says so.
fn three_frames() -> (Writer, [u64; 3]) {
    let mut writer = Writer::new(KEY, 64, 40);
    writer.acknowledged();
    let second = writer.entries(&[b"acknowledged", b"together"]);
    writer.acknowledged();
    let third = writer.entries(&[b"perhaps"]);
    (writer, [0, second, third])
}

fn used(writer: &Writer, frame: usize) -> u64 {
    writer.frames[frame].0 + writer.frames[frame].1.len()
}

#[tokio::test]
async fn every_flipped_byte_has_its_class() {
    let (writer, offsets) = three_frames();
    for at in 0..writer.bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = writer.bytes.clone();
            bytes[at] ^= flip;
            let read = read_all(&bytes, KEY, 64).await.unwrap();
            let frame = offsets.iter().rposition(|o| *o <= at as u64).unwrap();
            if at as u64 >= used(&writer, frame) {
                assert_eq!(read.frames.len(), 3, "padding at {at}");
                assert_eq!(read.verdict, TailVerdict::Clean, "padding at {at}");
                continue;
            }
            assert_eq!(read.frames.len(), frame, "byte {at}");
            match (frame, read.verdict) {
                // Both frames behind a bad header contradict it; the second one is attested.
                (0 | 1, TailVerdict::Corrupt { at: bad, claim, .. }) => {
                    assert_eq!(
                        (bad, claim.offset),
                        (offsets[frame], offsets[2]),
                        "byte {at}"
                    );
                    assert_eq!(claim.durable, SeqNo(42));
                }
                (2, TailVerdict::Torn { at: bad, bytes }) => {
                    let len = used(&writer, 2) - offsets[2];
                    assert_eq!((bad, bytes), (offsets[2], len), "byte {at}");
                }
                (_, verdict) => panic!("byte {at}: {verdict:?}"),
            }
        }
    }
}

#[tokio::test]
async fn every_length_has_its_class() {
    let (writer, offsets) = three_frames();
    for len in 0..=writer.bytes.len() {
        let read = read_all(&writer.bytes[..len], KEY, 64).await.unwrap();
        let whole = (0..3)
            .take_while(|f| used(&writer, *f) <= len as u64)
            .count();
        assert_eq!(read.frames.len(), whole, "length {len}");
        for (frame, (at, header, body)) in read.frames.iter().zip(&writer.frames) {
            assert_eq!((frame.offset, frame.header), (*at, *header));
            assert_eq!(frame.body, body);
        }
        let start = offsets.get(whole).copied().unwrap_or(u64::MAX);
        match read.verdict {
            TailVerdict::Clean => assert!(start >= len as u64, "length {len}"),
            TailVerdict::Torn { at, bytes } => {
                assert_eq!(at, start, "length {len}");
                // Trailing zeros do not count.
                assert!(bytes > 0 && at + bytes <= len as u64, "length {len}");
            }
            corrupt => panic!("length {len}: {corrupt:?}"),
        }
    }
}

#[tokio::test]
async fn zeros_behind_the_last_frame_are_clean() {
    for extra in [0, 1, 63, 64, 65, 4096, 3 << 20] {
        let (mut writer, _) = three_frames();
        let len = writer.bytes.len();
        writer.bytes.resize(len + extra, 0);
        let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
        assert_eq!(
            (read.frames.len(), read.verdict),
            (3, TailVerdict::Clean),
            "{extra}"
        );
    }
}

#[tokio::test]
async fn a_prepared_segment_is_clean() {
    for len in [0, 1, 64, 100_000] {
        let read = read_all(&vec![0; len], KEY, 64).await.unwrap();
        assert_eq!(
            (read.frames.len(), read.verdict),
            (0, TailVerdict::Clean),
            "{len}"
        );
    }
}

#[tokio::test]
async fn behind_a_seal_or_a_settling_mark_anything_is_clean() {
    for kind in [FrameKind::Seal, FrameKind::Mark] {
        let (mut writer, _) = three_frames();
        writer.acknowledged();
        writer.put(kind, &[], 0);
        writer.bytes.extend_from_slice(&[0xee; 200]);
        let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
        assert_eq!(
            (read.frames.len(), read.verdict),
            (4, TailVerdict::Clean),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn behind_a_mark_that_settles_nothing_garbage_is_torn() {
    let (mut writer, _) = three_frames();
    writer.mark(); // the third frame is not acknowledged yet
    let at = writer.bytes.len() as u64;
    writer.bytes.extend_from_slice(&[0xee; 200]);
    writer.bytes.extend_from_slice(&[0; 300]);
    let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
    assert_eq!(read.verdict, TailVerdict::Torn { at, bytes: 200 });
}

#[tokio::test]
async fn garbage_shorter_than_a_step_is_torn() {
    let (mut writer, _) = three_frames();
    let at = writer.bytes.len() as u64;
    writer.bytes.extend_from_slice(&[0xee; 3]);
    let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
    assert_eq!(
        read.bad,
        Some((at, BadFrame::Truncated { needs: 64, has: 3 }))
    );
    assert_eq!(read.verdict, TailVerdict::Torn { at, bytes: 3 });
}

#[tokio::test]
async fn frames_of_one_lost_flush_are_torn_however_many_landed() {
    let mut writer = Writer::new(KEY, 64, 0);
    writer.acknowledged();
    let at = writer.entries(&[b"lost"]);
    writer.entries(&[b"landed"]);
    writer.entries(&[b"landed too"]);
    writer.bytes[at as usize..at as usize + 64].fill(0);
    let bytes = used(&writer, 3) - at;
    let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
    assert_eq!(read.verdict, TailVerdict::Torn { at, bytes });
}

#[tokio::test]
async fn a_claim_behind_a_settling_mark_is_corrupt_all_the_same() {
    let (mut writer, _) = three_frames();
    writer.acknowledged();
    writer.mark();
    let at = writer.entries(&[b"durable"]);
    writer.acknowledged();
    let claim = writer.mark();
    writer.bytes[at as usize + 70] ^= 1;
    let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
    let TailVerdict::Corrupt {
        at: bad,
        why,
        claim: found,
    } = read.verdict
    else {
        panic!("{:?}", read.verdict);
    };
    assert_eq!(
        (bad, found.offset, found.durable_offset),
        (at, claim, claim)
    );
    assert!(
        why.contains(&format!("segment 3-1: the frame at offset {at} is damaged")),
        "{why}"
    );
    assert!(why.contains("all entries below 44 were durable"), "{why}");
}

#[tokio::test]
async fn a_claim_is_found_at_any_distance_and_the_furthest_is_named() {
    // Across the window of the classifier, and with damaged bodies: only headers count.
    let mut writer = Writer::new(KEY, 64, 0);
    let at = writer.entries(&[b"damaged"]);
    writer.acknowledged();
    let mut last = 0;
    for _ in 0..40 {
        last = writer.entries(&[&[3; 70_000]]);
        writer.bytes[last as usize + 500] ^= 1;
        writer.acknowledged();
    }
    writer.bytes[at as usize + 64] ^= 1;
    let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
    let TailVerdict::Corrupt { at: bad, claim, .. } = read.verdict else {
        panic!("{:?}", read.verdict);
    };
    assert_eq!((bad, claim.offset), (at, last));
}

#[tokio::test]
async fn a_bad_header_frame_with_a_frame_behind_it_is_corrupt() {
    let mut writer = Writer::new(KEY, 64, 0);
    let claim = writer.entries(&[b"entry"]); // claims nothing: durable offset 0
    writer.bytes[100] ^= 1;
    let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
    let TailVerdict::Corrupt {
        at: 0,
        why,
        claim: found,
    } = read.verdict
    else {
        panic!("{:?}", read.verdict);
    };
    assert_eq!((found.offset, found.durable_offset), (claim, 0));
    assert!(why.contains("its header at offset 0 is damaged"), "{why}");
    let cut = &writer.bytes[..claim as usize];
    let read = read_all(cut, KEY, 64).await.unwrap();
    // Of 136 bytes the last two are zero: the high bytes of a time.
    assert_eq!(read.verdict, TailVerdict::Torn { at: 0, bytes: 134 });
}

/// Frames of others: they are neither frames nor claims here.
fn strangers() -> Vec<(&'static str, SegmentKey)> {
    vec![
        (
            "an older epoch",
            SegmentKey {
                epoch: Epoch(2),
                ..KEY
            },
        ),
        ("a recycled segment", SegmentKey { index: 0, ..KEY }),
        (
            "a checkpoint",
            SegmentKey {
                index: CHECKPOINT_INDEX,
                ..KEY
            },
        ),
        (
            "another journal",
            SegmentKey {
                journal: JournalId([0x12; 16]),
                ..KEY
            },
        ),
        (
            "another claim of the epoch",
            SegmentKey {
                nonce: Nonce([0x23; 16]),
                ..KEY
            },
        ),
    ]
}

#[tokio::test]
async fn strange_frames_at_the_end_are_not_accepted() {
    for (name, stranger) in strangers() {
        // The stranger's segment has the same shape and goes on for longer.
        let mut old = Writer::new(stranger, 64, 40);
        for _ in 0..6 {
            old.acknowledged();
            old.entries(&[b"stale but once whole"]);
        }
        let (mut writer, _) = three_frames();
        let at = writer.bytes.len();
        writer.bytes.extend_from_slice(&old.bytes[at..]);
        let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
        assert_eq!(read.frames.len(), 3, "{name}");
        let torn = matches!(read.verdict, TailVerdict::Torn { at: t, .. } if t == at as u64);
        assert!(torn, "{name}: {:?}", read.verdict);
    }
}

#[tokio::test]
async fn a_frame_at_another_offset_is_not_accepted() {
    let (mut writer, offsets) = three_frames();
    let at = writer.bytes.len() as u64;
    let copy = writer.bytes[offsets[1] as usize..].to_vec();
    writer.bytes.extend_from_slice(&copy);
    let read = read_all(&writer.bytes, KEY, 64).await.unwrap();
    assert_eq!(read.frames.len(), 3);
    assert_eq!(read.bad, Some((at, BadFrame::HeaderChecksum)));
    assert!(
        matches!(read.verdict, TailVerdict::Torn { .. }),
        "{:?}",
        read.verdict
    );
}

#[tokio::test]
async fn a_payload_made_to_look_like_a_frame_is_no_claim() {
    // A frame that is right in all but the secret, at each place where a
    // reader that lost its way would look.
    let mut writer = Writer::new(KEY, 64, 0);
    writer.acknowledged();
    let at = writer.bytes.len() as u64;
    for (_, stranger) in strangers() {
        let mut payload = vec![0; 4096];
        for place in (0..4096).step_by(64) {
            let offset = at + 128 + place as u64;
            let header = FrameHeader {
                kind: FrameKind::Mark,
                body_len: 0,
                first_seq: SeqNo(900),
                count: 0,
                epoch: KEY.epoch,
                durable: SeqNo(900),
                durable_offset: offset,
                clock_ms: 1,
            };
            seal_frame(&mut payload[place..place + 64], &header, &stranger, offset);
        }
        let mut attacked = writer.clone();
        attacked.entries(&[&[0; 62], &payload]); // 64 + 1 + 62 + 2: the payload begins at a step
        let body = attacked.bytes[at as usize..]
            .windows(64)
            .position(|w| w == &payload[..64]);
        assert_eq!(body.map(|b| b % 64), Some(1), "one byte off: shift it");
        let mut attacked = writer.clone();
        attacked.entries(&[&[0; 61], &payload]);
        let body = attacked.bytes[at as usize..]
            .windows(64)
            .position(|w| w == &payload[..64]);
        assert_eq!(body, Some(128));
        let read = read_all(&attacked.bytes, KEY, 64).await.unwrap();
        assert_eq!((read.frames.len(), read.verdict), (2, TailVerdict::Clean));
        attacked.bytes[at as usize] ^= 1;
        let read = read_all(&attacked.bytes, KEY, 64).await.unwrap();
        assert_eq!(read.frames.len(), 1);
        assert!(
            matches!(read.verdict, TailVerdict::Torn { .. }),
            "{:?}",
            read.verdict
        );
    }
}

/// A header that only a writer with the secret could make, with one wrong field.
fn forged(change: impl Fn(&mut [u8])) -> Result<FrameHeader, BadFrame> {
    let mut writer = Writer::new(KEY, 64, 40);
    writer.acknowledged();
    let at = writer.entries(&[b"entry"]);
    let mut raw = [0; FRAME_HEADER];
    raw.copy_from_slice(&writer.bytes[at as usize..at as usize + FRAME_HEADER]);
    change(&mut raw);
    let crc = crc32c::crc32c_append(KEY.seeds(at).0, &raw[4..]);
    raw[..4].copy_from_slice(&crc.to_le_bytes());
    parse_header(&raw, &KEY, at)
}

#[test]
fn hostile_headers_are_refused() {
    assert!(forged(|_| ()).is_ok());
    let u32s = |at: usize, value: u32| {
        forged(move |raw| raw[at..at + 4].copy_from_slice(&value.to_le_bytes()))
    };
    let u64s = |at: usize, value: u64| {
        forged(move |raw| raw[at..at + 8].copy_from_slice(&value.to_le_bytes()))
    };
    for len in [0, MAX_BODY as u32 + 1, u32::MAX] {
        assert_eq!(u32s(8, len), Err(BadFrame::Length(len)));
    }
    for count in [0, 7, u32::MAX] {
        assert_eq!(u32s(24, count), Err(BadFrame::Count(count)));
    }
    for kind in [0, 5, 255] {
        assert_eq!(forged(|raw| raw[12] = kind), Err(BadFrame::Kind(kind)));
    }
    for kind in [1, 3, 4] {
        assert_eq!(forged(|raw| raw[12] = kind), Err(BadFrame::Length(6)));
    }
    for reserved in [13, 14, 15, 28, 29, 30, 31] {
        assert_eq!(forged(|raw| raw[reserved] = 1), Err(BadFrame::Reserved));
    }
    assert_eq!(u64s(16, u64::MAX), Err(BadFrame::Count(1)));
    assert_eq!(u64s(32, 2), Err(BadFrame::Epoch(Epoch(2))));
    assert_eq!(u64s(40, 41), Err(BadFrame::Claim));
    assert_eq!(u64s(48, u64::MAX), Err(BadFrame::Claim));
    assert_eq!(parse_header(&[0; 64], &KEY, 0), Err(BadFrame::Zeros));
}

#[tokio::test]
async fn a_frame_longer_than_its_segment_is_torn() {
    let mut writer = Writer::new(KEY, 64, 0);
    writer.acknowledged();
    let at = writer.entries(&[&[9; 5000]]);
    let cut = &writer.bytes[..at as usize + 1000];
    let read = read_all(cut, KEY, 64).await.unwrap();
    let why = BadFrame::Truncated {
        needs: 64 + 5002,
        has: 1000,
    };
    assert_eq!(read.bad, Some((at, why)));
    assert_eq!(read.verdict, TailVerdict::Torn { at, bytes: 1000 });
}
