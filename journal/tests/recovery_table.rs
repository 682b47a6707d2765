//! The rows of `docs/recovery.md` that are about the chain: objects, segments
//! and checkpoints that are damaged, missing or too many. The rows about the end
//! of one segment are in `format_tail.rs`, those about standbys in `recovery_standbys.rs`.
//!
//! Each test takes the golden journal (two epochs, a roll, a carried entry, a
//! checkpoint at 3, six entries, sealed), changes it, and looks at it with the
//! engine: as the next primary and with `verify`.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod golden_support;

use flushproof::format::object::{EpochObject, StartObject};
use flushproof::format::*;
use flushproof::{Epoch, ErrorKind, JournalStore, SeqNo, StorePath, Tail, Verdict};
use flushproof_api::Source;
use golden_support::changed::*;
use golden_support::*;

// ---- the whole journal --------------------------------------------------------

#[tokio::test]
async fn a_whole_journal_is_clean() {
    let (summary, entries) = golden().recover().await.unwrap();
    assert_eq!(entries, [3, 4, 5]);
    assert_eq!((summary.epoch, summary.previous), (Epoch(3), Epoch(2)));
    assert_eq!(summary.checkpoint, Some(SeqNo(3)));
    assert_eq!((summary.durable, summary.end), (SeqNo(6), SeqNo(6)));
    assert_eq!(summary.tail, Tail::Clean);
    assert_eq!(golden().verify().await.verdict(), Verdict::Clean);
}

#[tokio::test]
async fn an_undecided_entry_is_kept_and_said_to_be_undecided() {
    let (summary, entries) = epoch_one().recover().await.unwrap();
    assert_eq!(entries, [3, 4]);
    assert_eq!((summary.durable, summary.end), (SeqNo(4), SeqNo(5)));
    assert_eq!(summary.tail, Tail::Clean);
}

#[tokio::test]
async fn a_torn_last_frame_is_cut() {
    let torn = epoch_one().flip(SEGMENTS[1], 384 + 70);
    let (summary, entries) = torn.recover().await.unwrap();
    assert_eq!(entries, [3]);
    // The mark before it settles all before it: what follows never counted.
    assert_eq!(summary.tail, Tail::Clean);
    let torn = golden().cut(SEGMENTS[2], 448).flip(SEGMENTS[2], 320 + 64);
    let (summary, entries) = torn.recover().await.unwrap();
    assert_eq!((entries, summary.end), (vec![3, 4], SeqNo(5)));
    assert!(matches!(summary.tail, Tail::Torn { .. }), "{summary:?}");
    assert_eq!(torn.verify().await.verdict(), Verdict::Torn);
}

#[tokio::test]
async fn damage_that_a_later_frame_contradicts_is_corrupt() {
    let text = golden().flip(SEGMENTS[2], 192 + 70).corrupt().await;
    says(&text, &["offset 192", "were durable", "journal verify"]);
}

// ---- segments -----------------------------------------------------------------

#[tokio::test]
async fn a_missing_segment_that_no_checkpoint_replaces_is_corrupt() {
    let text = golden().without(&[SEGMENTS[1]]).corrupt().await;
    says(
        &text,
        &["00001-00000000000000000001", "missing", "entries below 4"],
    );
    let text = golden().without(&[SEGMENTS[0], CHECKPOINT]).corrupt().await;
    says(&text, &["missing", "entries below 3", "no checkpoint"]);
}

#[tokio::test]
async fn a_missing_segment_that_a_checkpoint_replaces_was_trimmed() {
    let trimmed = golden().without(&[SEGMENTS[0]]);
    let (summary, entries) = trimmed.recover().await.unwrap();
    assert_eq!(
        (summary.checkpoint, entries),
        (Some(SeqNo(3)), vec![3, 4, 5])
    );
    assert_eq!(trimmed.verify().await.verdict(), Verdict::Clean);
}

#[tokio::test]
async fn a_head_epoch_without_a_segment_is_corrupt() {
    let text = golden().without(&[SEGMENTS[2]]).corrupt().await;
    says(&text, &["epoch 2 was served", "missing or damaged"]);
}

#[tokio::test]
async fn a_missing_last_segment_with_one_prepared_behind_it_is_corrupt() {
    let gap = epoch_one()
        .without(&[SEGMENTS[1]])
        .with(NEXT, vec![0; 4096]);
    let text = gap.corrupt().await;
    says(&text, &["missing or empty", "segment 2 was prepared"]);
}

#[tokio::test]
async fn the_loss_of_the_very_last_segment_as_a_whole_cannot_be_told() {
    let lost = epoch_one().without(&[SEGMENTS[1]]);
    let (summary, entries) = lost.recover().await.unwrap();
    assert_eq!((entries, summary.end), (vec![], SeqNo(3)));
    assert_eq!(summary.tail, Tail::Clean);
    // ... unless a checkpoint remembers more.
    let newer = "checkpoint/00000000000000000004-00000000000000000001";
    let text = lost.with(newer, checkpoint(Epoch(1), 4)).corrupt().await;
    says(&text, &["checkpoint at 4", "recovered end 3"]);
}

#[tokio::test]
async fn a_prepared_segment_is_ignored() {
    for len in [0, 64, 4096] {
        let prepared = epoch_one().with(NEXT, vec![0; len]);
        let (summary, entries) = prepared.recover().await.unwrap();
        assert_eq!((entries, summary.tail), (vec![3, 4], Tail::Clean));
        assert_eq!(prepared.verify().await.verdict(), Verdict::Clean);
    }
}

/// The segment that epoch 1 would have rolled to.
fn rolled_to(prev_seq: u64, first: u64) -> Segment {
    let prev = Prev {
        segment: SegmentId {
            epoch: Epoch(1),
            index: 1,
        },
        offset: 512,
        seq: SeqNo(prev_seq),
    };
    Segment::begin(key(Epoch(1), 2), Some(prev), SeqNo(first))
}

#[tokio::test]
async fn a_header_that_was_being_written_is_torn() {
    let mut begun = rolled_to(5, 5).bytes;
    begun[100..].fill(0);
    let torn = epoch_one().with(NEXT, begun);
    let (summary, entries) = torn.recover().await.unwrap();
    assert_eq!(entries, [3, 4]);
    assert!(matches!(summary.tail, Tail::Torn { bytes: 1..=100 }));
    assert_eq!(torn.verify().await.verdict(), Verdict::Torn);
}

#[tokio::test]
async fn a_damaged_header_with_a_frame_behind_it_is_corrupt() {
    let text = golden().flip(SEGMENTS[2], 80).corrupt().await;
    says(&text, &["its header at offset 0 is damaged", "offset 448"]);
}

#[tokio::test]
async fn a_damaged_header_in_a_closed_segment_is_corrupt() {
    let text = golden().flip(SEGMENTS[1], 80).corrupt().await;
    says(&text, &["header is damaged"]);
}

#[tokio::test]
async fn a_trimmed_segment_that_came_back_damaged_is_ignored() {
    for back in [
        golden().with(SEGMENTS[0], vec![0; 448]),
        golden().with(SEGMENTS[0], vec![]),
        golden().flip(SEGMENTS[0], 80),
    ] {
        let (summary, entries) = back.recover().await.unwrap();
        assert_eq!(
            (summary.checkpoint, entries),
            (Some(SeqNo(3)), vec![3, 4, 5])
        );
    }
}

#[tokio::test]
async fn a_last_frame_without_all_of_its_padding_is_torn() {
    let torn = epoch_one().cut(SEGMENTS[1], 500);
    let (summary, entries) = torn.recover().await.unwrap();
    assert_eq!((entries, summary.end), (vec![3], SeqNo(4)));
}

#[tokio::test]
async fn a_bad_frame_in_a_closed_segment_is_corrupt() {
    let text = golden().flip(SEGMENTS[1], 192 + 64).corrupt().await;
    says(&text, &["offset 192", "entries 3 to 4", "acknowledged"]);
}

#[tokio::test]
async fn a_closed_segment_that_is_too_short_is_corrupt() {
    let text = golden().cut(SEGMENTS[1], 256).corrupt().await;
    says(&text, &["has 256 bytes", "ended at offset 320"]);
}

#[tokio::test]
async fn what_stands_behind_the_end_of_a_closed_segment_does_not_matter() {
    let rubbish = golden().flip(SEGMENTS[1], 384 + 20).flip(SEGMENTS[1], 330);
    let (summary, entries) = rubbish.recover().await.unwrap();
    assert_eq!((entries, summary.end), (vec![3, 4, 5], SeqNo(6)));
    assert_eq!(rubbish.verify().await.verdict(), Verdict::Clean);
}

#[tokio::test]
async fn segments_that_do_not_continue_each_other_are_corrupt() {
    // The header says that it begins elsewhere than its predecessor ended.
    let text = epoch_one()
        .with(NEXT, rolled_to(4, 5).bytes)
        .corrupt()
        .await;
    says(&text, &["begins with entry 5", "ends with 4"]);
    // Both agree, but the predecessor has an entry less.
    let text = epoch_one()
        .with(NEXT, rolled_to(6, 6).bytes)
        .corrupt()
        .await;
    says(&text, &["entries end at 5", "continues at 6"]);
    // A segment that names itself as the one before.
    let mut own = rolled_to(5, 5);
    let own_id = own.key.segment();
    let prev = Prev {
        segment: own_id,
        offset: 512,
        seq: SeqNo(5),
    };
    own = Segment::begin(own.key, Some(prev), SeqNo(5));
    let text = epoch_one().with(NEXT, own.bytes).corrupt().await;
    says(&text, &["behind segment 1-2"]);
    // The journal's first segment must begin with entry 0.
    let orphan = Segment::begin(key(Epoch(1), 2), None, SeqNo(5));
    let text = epoch_one().with(NEXT, orphan.bytes).corrupt().await;
    says(&text, &["first segment begins with entry 5"]);
}

#[tokio::test]
async fn strange_segments_are_ignored() {
    let strange = golden()
        .with(
            "log/00000000000000000009-00000000000000000000.log",
            [7; 500],
        ) // never served
        .with("log/notes.log", *b"a stray")
        .with("log/7", *b"a stray");
    let strange = strange.with("readme", *b"another stray");
    let (summary, entries) = strange.recover().await.unwrap();
    assert_eq!((entries, summary.end), (vec![3, 4, 5], SeqNo(6)));
    let report = strange.verify().await;
    assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");
    let stray = report.findings.iter().filter(|f| f.text.contains("stray"));
    assert_eq!(stray.count(), 3, "{report:?}");
}

#[tokio::test]
async fn a_recycled_segment_is_prepared_room() {
    // All of an older segment under the next one's name: not one frame is valid there.
    let old = golden().0[SEGMENTS[0]].clone();
    let recycled = epoch_one().with(NEXT, old);
    let (summary, entries) = recycled.recover().await.unwrap();
    assert_eq!(entries, [3, 4]);
    // What was never zeroed can't be told from a torn header.
    assert!(matches!(summary.tail, Tail::Torn { .. }), "{summary:?}");
}

// ---- carried entries ----------------------------------------------------------

#[tokio::test]
async fn carried_entries_that_are_missing_are_corrupt() {
    for journal in [
        golden().cut(SEGMENTS[2], 192),
        // A damaged frame that nothing attests: the start does.
        golden().cut(SEGMENTS[2], 320).flip(SEGMENTS[2], 192 + 66),
    ] {
        let text = journal.corrupt().await;
        says(&text, &["entries 4 to 5", "epoch 2 was published"]);
    }
}

// ---- starts and claims --------------------------------------------------------

#[tokio::test]
async fn a_missing_start_in_the_middle_is_corrupt() {
    // Its checkpoint does not count either.
    let text = golden().without(&[START_1]).corrupt().await;
    says(&text, &["missing", "entries below 4"]);
}

#[tokio::test]
async fn a_damaged_start_is_corrupt() {
    for (name, at) in [(START_2, 60), (START_1, 30)] {
        let text = golden().flip(name, at).corrupt().await;
        says(&text, &[name, "checksum"]);
    }
    let other = golden().0[START_1].clone();
    let text = golden().with(START_2, other).corrupt().await;
    says(&text, &[START_2, "the start of epoch 1"]);
}

#[tokio::test]
async fn a_start_that_is_newer_than_the_program_says_so() {
    let mut bytes = golden().0[START_2].clone();
    bytes[12] = 2;
    let crc = crc32c::crc32c(&bytes[12..]).to_le_bytes();
    bytes[8..12].copy_from_slice(&crc);
    let error = golden().with(START_2, bytes).recover().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error}");
}

/// The first log of epoch 2 up to its frame of this number.
fn first_frames(count: usize) -> usize {
    let mut log = Segment::begin(key(Epoch(2), 0), None, SeqNo(4));
    let mut ends = vec![log.end()];
    log.entries(4..5, 4);
    ends.push(log.end());
    log.entries(5..6, 5);
    ends.push(log.end());
    ends[count - 1] as usize
}

#[tokio::test]
async fn the_loss_of_the_highest_start_cannot_be_told() {
    // The journal of epoch 1 is whole; entry 4 was carried over, or is the only one of epoch 2.
    for frames in [1, 2] {
        let short = golden().cut(SEGMENTS[2], first_frames(frames));
        let (summary, entries) = short.without(&[START_2]).recover().await.unwrap();
        assert_eq!((entries, summary.end), (vec![3, 4], SeqNo(5)));
    }
}

#[tokio::test]
async fn the_loss_of_a_start_whose_log_attests_more_than_its_header_is_corrupt() {
    let log = SEGMENTS[2].trim_end_matches(".log");
    // Entry 5 stands behind one that is attested; then there is a seal.
    let longer = golden().cut(SEGMENTS[2], first_frames(3));
    for served in [longer, golden()] {
        let lost = served.without(&[START_2]);
        let at = format!("offset {}", first_frames(2));
        says(&lost.corrupt().await, &[START_2, "was served", log, &at]);
        let report = lost.verify().await;
        let names = |f: &&flushproof::Finding| f.path == START_2 && f.verdict == Verdict::Corrupt;
        assert!(report.findings.iter().any(|f| names(&f)), "{report:?}");
        let served = |f: &flushproof::Finding| !f.text.contains("never served");
        assert!(report.findings.iter().all(served), "{report:?}");
    }
    // A mark alone: nothing was carried over, and the only group is attested by it.
    let mut marked = Segment::begin(key(Epoch(2), 0), None, SeqNo(4));
    marked.put(FrameKind::Mark, &[], 0, SeqNo(4));
    let lost = golden().without(&[START_2]).with(SEGMENTS[2], marked.bytes);
    says(&lost.corrupt().await, &[START_2, "was served", log]);
}

#[tokio::test]
async fn the_loss_of_a_start_whose_epoch_left_traces_is_corrupt() {
    // A second log, prepared, or a checkpoint: only an epoch that served makes them.
    let second = "log/00000000000000000002-00000000000000000001.log";
    let newer = "checkpoint/00000000000000000005-00000000000000000002";
    for traced in [
        golden().with(second, vec![0; 64]),
        golden().with(newer, checkpoint(Epoch(2), 5)),
    ] {
        let text = traced.without(&[START_2]).corrupt().await;
        says(&text, &[START_2, "is missing", "was served", "left"]);
    }
    let text = epoch_one().without(&[START_1]).corrupt().await;
    says(&text, &[START_1, "is missing"]);
}

#[tokio::test]
async fn objects_of_another_journal_are_ignored() {
    let start = StartObject {
        epoch: Epoch(8),
        nonce: nonce(Epoch(8)),
        first_log: SegmentId {
            epoch: Epoch(8),
            index: 0,
        },
        prev: None,
        durable: SeqNo(0),
        carried_end: SeqNo(0),
    };
    let claim = EpochObject {
        who: "a stranger".into(),
        ..epoch_object(Epoch(8))
    };
    let other = JournalId([9; 16]);
    let strange = golden()
        .with("start/00000000000000000008", start.encode(other))
        .with("epoch/00000000000000000008", claim.encode(other));
    let (summary, entries) = strange.recover().await.unwrap();
    assert_eq!(entries, [3, 4, 5]);
    // Numbers are never used twice, whoever used them.
    assert_eq!(summary.epoch, Epoch(9));
    assert_eq!(strange.verify().await.verdict(), Verdict::Clean);
}

#[tokio::test]
async fn a_journal_without_its_format_is_half_formatted() {
    let error = golden().without(&["FORMAT"]).recover().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HalfFormatted, "{error}");
    says(&error.to_string(), &["journal format --force"]);
}

#[tokio::test]
async fn a_damaged_format_is_corrupt() {
    let error = golden().flip("FORMAT", 44).recover().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    says(&error.to_string(), &["FORMAT", "checksum"]);
}

#[tokio::test]
async fn a_damaged_claim_does_not_stop_a_primary() {
    let damaged = golden().flip(EPOCH_2, 50);
    assert_eq!(damaged.recover().await.unwrap().1, [3, 4, 5]);
    assert_eq!(damaged.verify().await.verdict(), Verdict::Corrupt);
}

// ---- checkpoints --------------------------------------------------------------

#[tokio::test]
async fn a_damaged_checkpoint_is_passed_over_for_the_one_before_it() {
    let older = "checkpoint/00000000000000000002-00000000000000000001";
    let len = golden().0[CHECKPOINT].len();
    for at in [4, 50, 64, 64 + 70, len - 10] {
        let damaged = golden()
            .with(older, checkpoint(Epoch(1), 2))
            .flip(CHECKPOINT, at);
        let (summary, entries) = damaged.recover().await.unwrap();
        assert_eq!(summary.checkpoint, Some(SeqNo(2)), "byte {at}");
        assert_eq!(entries, [2, 3, 4, 5]);
        assert_eq!(summary.damaged_checkpoints.len(), 1);
        assert_eq!(damaged.verify().await.verdict(), Verdict::Corrupt);
    }
}

#[tokio::test]
async fn without_a_whole_checkpoint_everything_is_replayed_if_it_is_there() {
    for damaged in [
        golden().flip(CHECKPOINT, 70),
        golden().cut(CHECKPOINT, 128),
        golden().without(&[CHECKPOINT]),
    ] {
        let (summary, entries) = damaged.recover().await.unwrap();
        assert_eq!(
            (summary.checkpoint, entries),
            (None, vec![0, 1, 2, 3, 4, 5])
        );
    }
    let text = golden()
        .flip(CHECKPOINT, 70)
        .without(&[SEGMENTS[0]])
        .corrupt()
        .await;
    says(&text, &["missing", "no checkpoint replaces"]);
}

#[tokio::test]
async fn a_checkpoint_beyond_the_end_is_corrupt() {
    let beyond = "checkpoint/00000000000000000007-00000000000000000002";
    let text = golden()
        .with(beyond, checkpoint(Epoch(2), 7))
        .corrupt()
        .await;
    says(&text, &["checkpoint", "7", "beyond the recovered end 6"]);
}

#[tokio::test]
async fn a_checkpoint_of_an_epoch_that_never_served_does_not_count() {
    let never = "checkpoint/00000000000000000900-00000000000000000005";
    let strange = golden().with(never, checkpoint(Epoch(5), 900));
    let (summary, entries) = strange.recover().await.unwrap();
    assert_eq!(
        (summary.checkpoint, entries),
        (Some(SeqNo(3)), vec![3, 4, 5])
    );
}

// ---- nothing is changed -------------------------------------------------------

#[tokio::test]
async fn a_refused_recovery_changes_nothing_but_claims_and_fences() {
    let journal = golden().flip(SEGMENTS[2], 192 + 70);
    let (store, config) = journal.store().await;
    assert!(config.primary().await.is_err());
    for (name, bytes) in &journal.0 {
        let path = StorePath::new(name.strip_suffix(".log").unwrap_or(name)).unwrap();
        let reader = store.open(&path, Source::Any).await.unwrap();
        let found = reader.read(0..reader.len().await.unwrap()).await.unwrap();
        assert!(found == *bytes, "{name} was changed");
    }
    assert!(
        store
            .fence_log(&StorePath::new("log/none").unwrap())
            .await
            .is_err()
    );
}
