//! What is encoded is decoded again, and nothing else is.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod format_support;

use bytes::Bytes;
use flushproof::format::names::*;
use flushproof::format::object::*;
use flushproof::format::*;
use flushproof::{Epoch, ErrorKind, SeqNo, StorePath};
use format_support::KEY;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = SegmentKey> {
    (
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<u64>(),
        any::<u64>(),
    )
        .prop_map(|(journal, nonce, epoch, index)| SegmentKey {
            journal: JournalId(journal),
            nonce: Nonce(nonce),
            epoch: Epoch(epoch),
            index,
        })
}

fn prev() -> impl Strategy<Value = Option<Prev>> {
    proptest::option::of(
        (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(epoch, index, offset, seq)| Prev {
                segment: SegmentId {
                    epoch: Epoch(epoch),
                    index,
                },
                offset,
                seq: SeqNo(seq),
            },
        ),
    )
}

proptest! {
    #[test]
    fn entries_round_trip(
        entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..40),
        first in 0..u64::MAX / 2,
    ) {
        let mut body = Vec::new();
        for entry in &entries {
            let before = body.len();
            put_entry(&mut body, entry);
            prop_assert_eq!(body.len() - before, entry.len() + entry_overhead(entry.len()));
        }
        let count = entries.len() as u32;
        let body = Bytes::from(body);
        let read: Vec<_> = Entries::new(body.clone(), SeqNo(first), count).unwrap().collect();
        prop_assert_eq!(read.len(), entries.len());
        for (i, (seq, bytes)) in read.iter().enumerate() {
            prop_assert_eq!(seq.0, first + i as u64);
            prop_assert_eq!(&bytes[..], &entries[i][..]);
        }
        prop_assert!(Entries::new(body.clone(), SeqNo(first), count + 1).is_err());
        prop_assert!(Entries::new(body.clone(), SeqNo(first), count - 1).is_err());
        prop_assert!(Entries::new(body.slice(..body.len() - 1), SeqNo(first), count).is_err());
    }

    #[test]
    fn any_bytes_are_entries_or_refused(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        count in any::<u32>(),
    ) {
        let n = body.len();
        if let Ok(entries) = Entries::new(body.into(), SeqNo(0), count) {
            let read: Vec<_> = entries.collect();
            prop_assert_eq!(read.len(), count as usize);
            let sum: usize = read.iter().map(|(_, b)| b.len() + entry_overhead(b.len())).sum();
            prop_assert_eq!(sum, n); // and only the shortest form of each length is accepted
        }
    }

    #[test]
    fn frames_round_trip(
        key in key(),
        offset in 0..u64::MAX / 128,
        entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..8),
        first in 0..u64::MAX / 2,
        behind in any::<(u64, u64, u64)>(),
    ) {
        let offset = offset * 64;
        let mut buf = vec![0; FRAME_HEADER];
        for entry in &entries {
            put_entry(&mut buf, entry);
        }
        let header = FrameHeader {
            kind: FrameKind::Entries,
            body_len: (buf.len() - FRAME_HEADER) as u32,
            first_seq: SeqNo(first),
            count: entries.len() as u32,
            epoch: key.epoch,
            durable: SeqNo(behind.0 % (first + 1)),
            durable_offset: behind.1 % (offset + 1),
            clock_ms: behind.2,
        };
        seal_frame(&mut buf, &header, &key, offset);
        let (raw, body) = buf.split_first_chunk::<FRAME_HEADER>().unwrap();
        prop_assert_eq!(parse_header(raw, &key, offset), Ok(header));
        prop_assert_eq!(check_body(raw, body, &key, offset), Ok(()));
        prop_assert!(parse_header(raw, &key, offset + 64).is_err());
        prop_assert!(check_body(raw, &body[1..], &key, offset).is_err());
    }

    #[test]
    fn segment_headers_round_trip(
        nonce in any::<[u8; 16]>(),
        shift in 6u32..=20,
        prev in prev(),
        durable in any::<u64>(),
        created_ms in any::<u64>(),
    ) {
        let header = SegmentHeader {
            nonce: Nonce(nonce),
            grain: 1 << shift,
            prev,
            gap: false,
            durable: SeqNo(durable),
            created_ms,
        };
        let mut body = Vec::new();
        header.encode(&mut body);
        prop_assert_eq!(body.len(), SEGMENT_HEADER_BODY);
        prop_assert_eq!(SegmentHeader::decode(&body), Ok(header));
        prop_assert!(SegmentHeader::decode(&body[1..]).is_err());
    }

    #[test]
    fn objects_round_trip_and_any_flip_is_found(
        id in any::<[u8; 16]>(),
        nonce in any::<[u8; 16]>(),
        epoch in any::<u64>(),
        who in ".{0,60}",
        address in ".{0,60}",
        prev in prev(),
        durable in any::<u64>(),
        more in any::<u64>(),
        flip in any::<(usize, u8)>(),
    ) {
        let id = JournalId(id);
        let claim = EpochObject {
            epoch: Epoch(epoch),
            nonce: Nonce(nonce),
            claimed_ms: more,
            who,
            address,
            fill: None,
        };
        let start = StartObject {
            epoch: Epoch(epoch),
            nonce: Nonce(nonce),
            first_log: SegmentId { epoch: Epoch(epoch), index: 0 },
            prev,
            durable: SeqNo(durable),
            carried_end: SeqNo(durable.saturating_add(more)),
        };
        prop_assert_eq!(EpochObject::decode(&claim.encode(id)).unwrap(), (id, claim.clone()));
        prop_assert_eq!(StartObject::decode(&start.encode(id)).unwrap(), (id, start));
        for whole in [claim.encode(id), start.encode(id)] {
            let mut bytes = whole.to_vec();
            let at = flip.0 % bytes.len();
            bytes[at] ^= flip.1.max(1);
            let bytes = Bytes::from(bytes);
            prop_assert!(EpochObject::decode(&bytes).is_err());
            prop_assert!(StartObject::decode(&bytes).is_err());
            let cut = whole.slice(..at);
            prop_assert!(EpochObject::decode(&cut).is_err());
            prop_assert!(StartObject::decode(&cut).is_err());
        }
    }

    #[test]
    fn any_bytes_as_an_object_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        prop_assert!(FormatObject::decode(&bytes).is_err());
        prop_assert!(EpochObject::decode(&bytes).is_err());
    }

    #[test]
    fn names_round_trip_and_sort_like_numbers(a in any::<(u64, u64)>(), b in any::<(u64, u64)>()) {
        let id = |p: (u64, u64)| SegmentId { epoch: Epoch(p.0), index: p.1.min(u64::MAX - 1) };
        let (left, right) = (log_path(id(a)).unwrap(), log_path(id(b)).unwrap());
        prop_assert_eq!(parse_log(&left), Some(id(a)));
        prop_assert_eq!(left.cmp(&right), id(a).cmp(&id(b)));
        let checkpoint = CheckpointId { next_seq: SeqNo(a.0), epoch: Epoch(a.1) };
        let path = checkpoint_path(checkpoint).unwrap();
        prop_assert_eq!(parse_checkpoint(&path), Some(checkpoint));
        prop_assert_eq!(parse_epoch(&epoch_path(Epoch(a.0)).unwrap()), Some(Epoch(a.0)));
        prop_assert_eq!(parse_start(&start_path(Epoch(a.0)).unwrap()), Some(Epoch(a.0)));
        let journal = JournalId([a.0 as u8; 16]);
        prop_assert_eq!(JournalId::parse(&journal.to_string()), Some(journal));
    }
}

#[test]
fn lengths_at_the_edges_of_the_varint() {
    for len in [
        0,
        1,
        127,
        128,
        16_383,
        16_384,
        2_097_151,
        2_097_152,
        MAX_BODY - 4,
    ] {
        let mut body = Vec::new();
        put_entry(&mut body, &vec![5; len]);
        assert_eq!(body.len(), len + entry_overhead(len));
        let mut entries = Entries::new(body.into(), SeqNo(0), 1).unwrap();
        assert_eq!(entries.next().unwrap().1.len(), len);
        assert!(entries.next().is_none());
    }
    // Not the shortest form; no end; more than a body can hold.
    for body in [
        &[0x80, 0][..],
        &[0x80],
        &[0xff, 0xff, 0xff, 0xff, 0x7f],
        &[5, 1],
    ] {
        let body = Bytes::copy_from_slice(body);
        assert_eq!(Entries::new(body, SeqNo(0), 1).err(), Some(BadFrame::Body));
    }
}

#[test]
fn skip_to_passes_over_entries() {
    let mut body = Vec::new();
    (0..5u8).for_each(|i| put_entry(&mut body, &[i]));
    let mut entries = Entries::new(body.into(), SeqNo(10), 5).unwrap();
    entries.skip_to(SeqNo(13));
    assert_eq!((entries.len(), entries.next_seq()), (2, SeqNo(13)));
    assert_eq!(entries.next(), Some((SeqNo(13), Bytes::from_static(&[3]))));
    entries.skip_to(SeqNo(99));
    assert_eq!(entries.next(), None);
}

#[test]
fn stray_names_are_nobodys() {
    for name in [
        "log/1-0",
        "log/00000000000000000001",
        "log/00000000000000000001-00000000000000000000-x",
        "log/99999999999999999999-00000000000000000000",
        "log/x0000000000000000001-00000000000000000000",
        "log/00000000000000000001-18446744073709551615",
        "log/a/00000000000000000001-00000000000000000000",
        "logs/00000000000000000001-00000000000000000000",
        "epoch/1",
        "epoch",
    ] {
        let path = StorePath::new(name).unwrap();
        assert_eq!(parse_log(&path), None, "{name}");
        assert_eq!(parse_epoch(&path), None, "{name}");
        assert_eq!(parse_checkpoint(&path), None, "{name}");
    }
    assert_eq!(
        parse_request(&request_path("step-down").unwrap()),
        Some("step-down")
    );
    assert!(request_path("a/b").is_err() && request_path("").is_err());
    assert_eq!(
        JournalId::parse("11111111-1111-1111-1111-11111111111"),
        None
    );
    assert_eq!(
        JournalId::parse("11111111-1111-1111-1111_111111111111"),
        None
    );
    assert_eq!(
        JournalId::parse("é1111111-1111-1111-1111-11111111111"),
        None
    );
}

#[test]
fn a_newer_version_is_named_and_rot_of_the_version_is_rot() {
    let bytes = FormatObject { created_ms: 1 }.encode(KEY.journal);
    let mut newer = bytes.to_vec();
    newer[12..16].copy_from_slice(&9u32.to_le_bytes());
    let rotted = FormatObject::decode(&newer.clone().into()).unwrap_err();
    assert_eq!(rotted.kind(), ErrorKind::Corrupt);
    let crc = crc32c::crc32c(&newer[12..]);
    newer[8..12].copy_from_slice(&crc.to_le_bytes());
    let error = FormatObject::decode(&newer.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFormat);
    let text = error.to_string();
    assert!(
        text.contains("version 9") && text.contains("up to 1"),
        "{text}"
    );
}

#[test]
fn one_object_is_not_another() {
    let bytes = FormatObject { created_ms: 1 }.encode(KEY.journal);
    let error = EpochObject::decode(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("kind 1 (format)"), "{error}");
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(FormatObject::decode(&longer.into()).is_err());
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let claim = EpochObject {
        epoch: Epoch(1),
        nonce: KEY.nonce,
        claimed_ms: 0,
        who: "é".repeat(1000),
        address: format!("x{}", "é".repeat(1000)),
        fill: None,
    };
    let (_, read) = EpochObject::decode(&claim.encode(KEY.journal)).unwrap();
    assert_eq!(read.who, "é".repeat(512));
    assert_eq!(read.address, format!("x{}", "é".repeat(511)));
    assert!(read.is_claim_of(Epoch(1), &KEY.nonce));
    assert!(!read.is_claim_of(Epoch(1), &Nonce([0; 16])));
}

#[test]
fn a_nonce_is_not_printed() {
    assert!(!format!("{KEY:?}").contains("34"), "{KEY:?}");
}

#[test]
fn grains() {
    assert!(valid_grain(64) && valid_grain(4096) && valid_grain(MAX_GRAIN));
    assert!(!valid_grain(0) && !valid_grain(32) && !valid_grain(96) && !valid_grain(2 * MAX_GRAIN));
    assert_eq!(align_up(1, 64), Some(64));
    assert_eq!(align_up(128, 64), Some(128));
    assert_eq!(align_up(u64::MAX, 64), None);
    assert_eq!(align_up(1, 0), None);
}
