//! `verify` says of which kind each fault is, at which place, and which entries it
//! concerns; and whether the fast one, which looks at names and marks only, sees it.
//! What is another's (foreign, stale, wrongly named) is in `verify_strange.rs`.
//!
//! Each test takes the golden journal (see `recovery_table.rs`) and changes it. Where
//! nothing else is said it has no checkpoint, so that all of its entries are needed.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod golden_support;

use FindingKind::*;
use flushproof::format::*;
use flushproof::{Epoch, Finding, FindingKind, SeqNo, Verdict};
use golden_support::changed::*;
use golden_support::findings::*;
use golden_support::*;

// ---- damaged ------------------------------------------------------------------

#[tokio::test]
async fn a_whole_journal_has_no_findings() {
    for journal in [golden(), bare()] {
        for report in [journal.verify().await, fast(&journal).await] {
            assert!(report.findings.is_empty(), "{report:#?}");
            assert_eq!((report.durable, report.end), (SeqNo(6), SeqNo(6)));
            assert_eq!(report.segments, 3);
        }
    }
    assert_eq!(golden().verify().await.entries, 6);
    assert_eq!(fast(&golden()).await.bytes, 0);
}

#[tokio::test]
async fn a_bad_frame_is_damaged() {
    let closed = bare().flip(SEGMENTS[0], 320 + 70);
    whole(
        &closed,
        corrupt(Damaged, SEGMENTS[0], Some(320), Some((2, 3))),
    )
    .await;
    let last = bare().flip(SEGMENTS[2], 192 + 70);
    both(
        &last,
        corrupt(Damaged, SEGMENTS[2], Some(192), Some((4, 6))),
    )
    .await;
}

#[tokio::test]
async fn a_bad_header_is_damaged_and_the_chain_goes_on_behind_it() {
    // Header, nonce copy, body.
    for at in [20, 70, 100] {
        let journal = bare().flip(SEGMENTS[1], at);
        both(
            &journal,
            corrupt(Damaged, SEGMENTS[1], Some(0), Some((3, 4))),
        )
        .await;
        let journal = journal.flip(SEGMENTS[0], 200);
        let report = journal.verify().await;
        // The place is said once, and nobody is told to run what runs.
        let twice = |f: &Finding| f.text.contains(&f.path) || f.text.contains("Run: journal");
        assert!(!report.findings.iter().any(twice), "{report:#?}");
        // As far as a frame behind it says; the rest is gone with the header.
        finds(
            &report,
            corrupt(Damaged, SEGMENTS[0], Some(192), Some((0, 2))),
        );
        finds(
            &report,
            corrupt(Damaged, SEGMENTS[1], Some(0), Some((2, 4))),
        );
    }
}

#[tokio::test]
async fn damaged_objects_are_damaged() {
    // One that a checkpoint replaces is damaged all the same.
    let trimmed = golden().flip(SEGMENTS[0], 20);
    both(&trimmed, corrupt(Damaged, SEGMENTS[0], Some(0), None)).await;
    for (name, at) in [(EPOCH_2, 50), (CHECKPOINT, 50)] {
        both(&golden().flip(name, at), corrupt(Damaged, name, None, None)).await;
    }
    let body = golden().flip(CHECKPOINT, 64 + 70);
    whole(&body, corrupt(Damaged, CHECKPOINT, None, None)).await;
    // What needs the start is named too.
    let report = golden().flip(START_2, 60).verify().await;
    finds(&report, corrupt(Damaged, START_2, None, None));
    finds(&report, corrupt(Damaged, SEGMENTS[2], None, None));
}

// ---- gaps ---------------------------------------------------------------------

#[tokio::test]
async fn a_missing_segment_is_a_gap_of_exactly_its_entries() {
    for (missing, entries) in [(SEGMENTS[0], (0, 3)), (SEGMENTS[1], (3, 4))] {
        let journal = bare().without(&[missing]);
        both(&journal, corrupt(Gap, missing, None, Some(entries))).await;
    }
    let two = bare().without(&SEGMENTS[..2]);
    both(&two, corrupt(Gap, SEGMENTS[1], None, Some((0, 4)))).await;
    let replaced = golden().without(&SEGMENTS[..2]);
    both(&replaced, corrupt(Gap, SEGMENTS[1], None, Some((3, 4)))).await;
}

#[tokio::test]
async fn the_first_segment_of_the_head_is_a_gap_of_what_was_carried() {
    let journal = bare().without(&[SEGMENTS[2]]);
    both(&journal, corrupt(Gap, SEGMENTS[2], Some(0), Some((4, 5)))).await;
    // What stands before it is read all the same.
    let report = journal.flip(SEGMENTS[0], 200).verify().await;
    let expected = corrupt(Damaged, SEGMENTS[0], Some(192), Some((0, 3)));
    finds(&report, expected);
}

#[tokio::test]
async fn a_segment_that_is_too_short_is_a_gap() {
    let short = bare().cut(SEGMENTS[0], 320);
    let expected = corrupt(Gap, SEGMENTS[0], Some(320), Some((2, 3)));
    only(&short.verify().await, expected);
    // Which of its entries are there is in its frames.
    let expected = corrupt(Gap, SEGMENTS[0], Some(320), Some((0, 3)));
    only(&fast(&short).await, expected);
}

#[tokio::test]
async fn a_missing_last_segment_with_one_prepared_behind_it_is_a_gap() {
    let gap = epoch_one()
        .without(&[CHECKPOINT, SEGMENTS[1]])
        .with(NEXT, vec![0; 4096]);
    both(&gap, corrupt(Gap, SEGMENTS[1], Some(0), None)).await;
    finds(&gap.verify().await, harmless(Prepared, NEXT, None));
    // What stands before it is looked at as the end.
    let report = gap.flip(SEGMENTS[0], 320 + 70).verify().await;
    finds(&report, corrupt(Gap, SEGMENTS[1], Some(0), None));
    let torn = (Torn, Verdict::Torn, SEGMENTS[0], Some(320), Some((2, 2)));
    finds(&report, torn);
}

#[tokio::test]
async fn a_missing_start_is_a_gap() {
    let journal = bare().without(&[START_1]);
    for report in [journal.verify().await, fast(&journal).await] {
        finds(&report, corrupt(Gap, START_1, None, Some((0, 4))));
        finds(&report, corrupt(Gap, SEGMENTS[0], None, None));
    }
    // Of an epoch behind the head only its traces tell.
    let second = "log/00000000000000000002-00000000000000000001.log";
    let traced = golden().with(second, vec![0; 64]).without(&[START_2]);
    for report in [traced.verify().await, fast(&traced).await] {
        finds(&report, corrupt(Gap, START_2, None, None));
    }
}

#[tokio::test]
async fn a_checkpoint_beyond_the_end_is_a_gap() {
    let beyond = "checkpoint/00000000000000000009-00000000000000000002";
    let journal = bare().with(beyond, checkpoint(Epoch(2), 9));
    both(&journal, corrupt(Gap, SEGMENTS[2], Some(512), Some((6, 9)))).await;
}

// ---- duplicates ---------------------------------------------------------------

fn rolled(prev: Prev, first: usize, entries: usize) -> Journal {
    let journal = epoch_one().without(&[CHECKPOINT]);
    journal.with(NEXT, rolled_to(prev, first, entries))
}

#[tokio::test]
async fn entries_that_stand_twice_are_duplicates() {
    // The header begins below what it says of its predecessor.
    let journal = rolled(prev(1, 512, 5), 4, 2);
    both(&journal, corrupt(Duplicate, NEXT, Some(0), Some((4, 5)))).await;
    // Both agree, but the predecessor has an entry more.
    let journal = rolled(prev(1, 512, 4), 4, 2);
    let expected = corrupt(Duplicate, SEGMENTS[1], Some(512), Some((4, 5)));
    whole(&journal, expected).await;
    // And an entry less: that one is missing.
    let journal = rolled(prev(1, 384, 5), 5, 1);
    whole(&journal, corrupt(Gap, SEGMENTS[1], Some(384), Some((4, 5)))).await;
}

#[tokio::test]
async fn frames_of_the_last_segment_that_do_not_continue_each_other_are_named() {
    for (next, kind, entries) in [(4, Duplicate, (4, 5)), (6, Gap, (5, 6))] {
        let mut last = Segment::begin(key(Epoch(2), 0), Some(prev(1, 320, 4)), SeqNo(4));
        last.entries(4..5, 4);
        last.next = SeqNo(next);
        last.entries(4..5, 4);
        let journal = bare().with(SEGMENTS[2], last.bytes);
        let expected = corrupt(kind, SEGMENTS[2], Some(320), Some(entries));
        both(&journal, expected).await;
        assert_eq!(journal.verify().await.entries, 5);
    }
}

#[tokio::test]
async fn two_segments_of_an_epoch_with_the_same_numbers_are_duplicates() {
    // The chain goes past segment 1, which holds what segment 2 holds too.
    let journal = rolled(prev(0, 448, 3), 3, 2);
    let report = journal.verify().await;
    only(
        &report,
        corrupt(Duplicate, SEGMENTS[1], Some(0), Some((3, 5))),
    );
    // The first frame is all that the fast one looks at.
    only(
        &fast(&journal).await,
        corrupt(Duplicate, SEGMENTS[1], Some(0), Some((3, 4))),
    );
}

#[tokio::test]
async fn what_an_epoch_left_behind_the_next_ones_beginning_is_superseded() {
    let journal = bare().with(NEXT, rolled_to(prev(1, 512, 5), 5, 1));
    for report in [journal.verify().await, fast(&journal).await] {
        only(&report, harmless(Superseded, NEXT, None));
    }
}

// ---- harmless -----------------------------------------------------------------

#[tokio::test]
async fn a_flush_that_was_cut_short_is_torn() {
    let torn = bare().cut(SEGMENTS[2], 448).flip(SEGMENTS[2], 320 + 64);
    let expected = (Torn, Verdict::Torn, SEGMENTS[2], Some(320), Some((5, 5)));
    both(&torn, expected).await;
    let mut begun = rolled_to(prev(1, 512, 5), 5, 0);
    begun.truncate(192);
    begun[100..].fill(0);
    let torn = epoch_one().with(NEXT, begun);
    both(&torn, (Torn, Verdict::Torn, NEXT, Some(0), None)).await;
}

#[tokio::test]
async fn what_never_counted_is_superseded_and_room_is_prepared() {
    let never = "log/00000000000000000009-00000000000000000000.log";
    let room = "log/00000000000000000002-00000000000000000001.log";
    let idle = "checkpoint/00000000000000000900-00000000000000000005";
    let journal = golden()
        .with(never, [7; 500])
        .with(room, [0; 4096])
        .with(idle, checkpoint(Epoch(5), 900));
    for report in [journal.verify().await, fast(&journal).await] {
        assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
        finds(&report, harmless(Superseded, never, None));
        finds(&report, harmless(Superseded, idle, None));
        finds(&report, harmless(Prepared, room, None));
    }
}
