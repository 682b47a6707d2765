//! What is another's: `verify` tells frames and objects of another journal, old frames and
//! frames of another place, and names that are not a thing's own. The other kinds are in
//! `verify_kinds.rs`.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod golden_support;

use FindingKind::*;
use flushproof::format::checkpoint::CheckpointEncoder;
use flushproof::format::object::{EpochObject, StartObject};
use flushproof::format::*;
use flushproof::{Epoch, FindingKind, SeqNo, Verdict};
use golden_support::changed::*;
use golden_support::findings::*;
use golden_support::*;

const OTHER: JournalId = JournalId([9; 16]);

// ---- foreign ------------------------------------------------------------------

fn foreign(epoch: Epoch, index: u64) -> SegmentKey {
    SegmentKey {
        journal: OTHER,
        nonce: Nonce([7; 16]),
        epoch,
        index,
    }
}

#[tokio::test]
async fn a_segment_of_another_journal_is_foreign() {
    let mut other = Segment::begin(foreign(Epoch(1), 1), None, SeqNo(0));
    other.entries(0..2, 0);
    let journal = bare().with(SEGMENTS[1], other.bytes.clone());
    both(
        &journal,
        corrupt(Foreign, SEGMENTS[1], Some(0), Some((3, 4))),
    )
    .await;
    // Where no segment is needed it does no harm.
    let free = "log/00000000000000000008-00000000000000000000.log";
    both(
        &bare().with(free, other.bytes),
        harmless(Foreign, free, None),
    )
    .await;
}

#[tokio::test]
async fn a_frame_of_another_journal_is_foreign_if_that_left_its_claim() {
    let mut other = Segment::begin(foreign(Epoch(5), 0), None, SeqNo(0));
    other.entries(0..1, 0);
    let journal = put_at(bare(), SEGMENTS[0], 192, &other.bytes[192..320]);
    let expected = (Some(192), Some((0, 3)));
    let unproven = corrupt(Damaged, SEGMENTS[0], expected.0, expected.1);
    whole(&journal, unproven).await;
    let text = &journal.verify().await.findings[0].text;
    says(text, &["not this segment's", "perhaps foreign"]);
    let claim = EpochObject {
        nonce: Nonce([7; 16]),
        ..epoch_object(Epoch(5))
    };
    let claimed = journal.with("epoch/00000000000000000005", claim.encode(OTHER));
    let proven = corrupt(Foreign, SEGMENTS[0], expected.0, expected.1);
    only(&claimed.verify().await, proven);
}

#[tokio::test]
async fn objects_of_another_journal_are_foreign() {
    let start = StartObject {
        epoch: Epoch(8),
        nonce: Nonce([7; 16]),
        first_log: foreign(Epoch(8), 0).segment(),
        prev: None,
        durable: SeqNo(0),
        carried_end: SeqNo(0),
    };
    let name = "start/00000000000000000008";
    let strange = golden().with(name, start.encode(OTHER));
    both(&strange, harmless(Foreign, name, None)).await;
    let (encoder, mut bytes) = {
        let (encoder, head) = CheckpointEncoder::new(foreign(Epoch(1), 0), SeqNo(3), CLOCK);
        (encoder, head.to_vec())
    };
    bytes.extend_from_slice(&encoder.finish());
    let strange = golden().with(CHECKPOINT, bytes.clone());
    both(&strange, corrupt(Foreign, CHECKPOINT, None, None)).await;
    let idle = "checkpoint/00000000000000000003-00000000000000000007";
    both(&golden().with(idle, bytes), harmless(Foreign, idle, None)).await;
}

// ---- stale --------------------------------------------------------------------

#[tokio::test]
async fn old_frames_in_a_closed_segment_are_stale() {
    // Another segment's of this offset; this one's of another; another epoch's.
    for (from, range) in [(1, 320..384), (0, 192..256), (2, 320..384)] {
        let old = &bytes(SEGMENTS[from])[range];
        let journal = put_at(bare(), SEGMENTS[0], 320, old);
        whole(
            &journal,
            corrupt(Stale, SEGMENTS[0], Some(320), Some((2, 3))),
        )
        .await;
    }
}

#[tokio::test]
async fn old_frames_in_the_last_segment_are_stale() {
    let old = &bytes(SEGMENTS[1])[192..320];
    let journal = put_at(bare(), SEGMENTS[2], 192, old);
    both(
        &journal,
        corrupt(Stale, SEGMENTS[2], Some(192), Some((4, 6))),
    )
    .await;
}

#[tokio::test]
async fn old_frames_behind_the_end_are_stale_and_do_no_harm() {
    let mut closed = bytes(SEGMENTS[2]);
    closed.extend_from_slice(&[0; 128]);
    closed.extend_from_slice(&bytes(SEGMENTS[1])[192..320]);
    let journal = bare().with(SEGMENTS[2], closed.clone());
    both(&journal, harmless(Stale, SEGMENTS[2], Some(640))).await;
    // Without the seal and right behind the end they are cut.
    closed.drain(448..640);
    let journal = bare().with(SEGMENTS[2], closed);
    let torn = (Stale, Verdict::Torn, SEGMENTS[2], Some(448), Some((6, 6)));
    both(&journal, torn).await;
}

#[tokio::test]
async fn the_header_of_a_trimmed_segment_is_stale() {
    let old = Segment::begin(key(Epoch(1), 7), None, SeqNo(0)).bytes;
    let journal = put_at(golden(), SEGMENTS[1], 0, &old);
    both(&journal, corrupt(Stale, SEGMENTS[1], Some(0), Some((3, 4)))).await;
    // In a log that was prepared it does no harm behind a seal.
    let prepared = "log/00000000000000000002-00000000000000000001.log";
    let journal = golden().with(prepared, old);
    both(&journal, harmless(Stale, prepared, Some(0))).await;
}

// ---- wrong names --------------------------------------------------------------

#[tokio::test]
async fn a_stray_name_is_wrong_and_does_no_harm() {
    both(
        &golden().with("notes", *b"a stray"),
        harmless(WrongName, "notes", None),
    )
    .await;
}

#[tokio::test]
async fn a_segment_in_the_place_of_another_has_a_wrong_name() {
    let journal = bare().with(SEGMENTS[0], bytes(SEGMENTS[1]));
    both(
        &journal,
        corrupt(WrongName, SEGMENTS[0], Some(0), Some((0, 3))),
    )
    .await;
    let text = &journal.verify().await.findings[0].text;
    says(text, &["it is segment 1-1", "00001-00000000000000000001"]);
}

#[tokio::test]
async fn a_renamed_segment_is_a_gap_and_a_wrong_name() {
    let renamed = "log/00000000000000000001-00000000000000000007.log";
    let journal = bare().without(&[SEGMENTS[0]]);
    let journal = journal.with(renamed, bytes(SEGMENTS[0]));
    for report in [journal.verify().await, fast(&journal).await] {
        only(&report, corrupt(Gap, SEGMENTS[0], None, Some((0, 3))));
        finds(&report, harmless(WrongName, renamed, Some(0)));
    }
    // A copy does no harm.
    let journal = golden().with(renamed, bytes(SEGMENTS[0]));
    both(&journal, harmless(WrongName, renamed, Some(0))).await;
    // In the head epoch the engine takes it for one that was prepared behind a gap.
    let copied = epoch_one().with(
        "log/00000000000000000001-00000000000000000003.log",
        bytes(SEGMENTS[0]),
    );
    let path = "log/00000000000000000001-00000000000000000003.log";
    both(&copied, corrupt(WrongName, path, Some(0), None)).await;
}

#[tokio::test]
async fn objects_under_the_names_of_others_have_wrong_names() {
    let wrong = golden().with(EPOCH_2, bytes("epoch/00000000000000000001"));
    both(&wrong, corrupt(WrongName, EPOCH_2, None, None)).await;
    let newer = "checkpoint/00000000000000000004-00000000000000000001";
    let wrong = golden().with(newer, bytes(CHECKPOINT));
    both(&wrong, corrupt(WrongName, newer, None, None)).await;
    let wrong = golden().with(START_2, bytes(START_1));
    for report in [wrong.verify().await, fast(&wrong).await] {
        finds(&report, corrupt(WrongName, START_2, None, None));
        let mut bad = report.findings.iter();
        let bad = bad.all(|f| f.verdict == Verdict::Clean || f.kind == WrongName);
        assert!(bad, "{report:#?}");
    }
}
