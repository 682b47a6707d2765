//! What is salvaged of a damaged journal, and what is said to be lost: exactly the
//! entries of the damaged frames, and never wrong bytes.
//!
//! The journal is made by hand (`salvage_support`), so that its layout is known without reading it.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod golden_support;
mod salvage_support;

use flushproof::format::object::{EpochObject, Fill, FillKind, StartObject};
use flushproof::format::{FrameKind, JournalId};
use flushproof::{Epoch, ErrorKind, Item, SeqNo};
use golden_support::changed::Journal;
use golden_support::{JOURNAL, Segment, checkpoint, epoch_object, key};
use salvage_support::*;
use std::collections::BTreeSet;

/// Salvages and compares what is lost with what the layout says.
async fn check(case: &str, made: &Made, journal: &Journal, base: u64, damage: Damage) {
    let (found, lost) = salvage(journal, case).await;
    let checkpoint = found.checkpoint.map_or(0, |s| s.0);
    assert_eq!(checkpoint, base, "{case}: {found:?}");
    let expected = made.lost(base, &damage);
    assert_eq!((lost, found.end.0), expected, "{case}: {found:?}");
}

/// The places of frames that hold an entry.
fn damage_of(made: &Made, bad: impl Fn(&Place) -> bool) -> Damage {
    let places = made.places.iter().filter(|p| bad(p));
    places.map(|p| (p.file.clone(), p.bytes.clone())).collect()
}

#[tokio::test]
async fn of_a_whole_journal_everything_is_salvaged() {
    for made in [Made::new(), Made::with_checkpoints()] {
        let config = made.journal().config().await;
        let mut replay = config.reader().await.unwrap().entries(None).await.unwrap();
        let mut replayed = BTreeSet::new();
        while let Some(item) = replay.next().await.unwrap() {
            if let Item::Entry(entry) = item {
                replayed.insert(entry.seq.0);
            }
        }
        let base = if made.files.len() > 15 { 8 } else { 0 };
        check("whole", &made, &made.journal(), base, vec![]).await;
        let (found, _) = salvage(&made.journal(), "whole").await;
        let all = entries(&found).await;
        assert_eq!(found.end.0, END);
        // The reader replays from the oldest entry, not from the checkpoint.
        let expected: BTreeSet<_> = replayed.into_iter().filter(|n| *n >= base).collect();
        assert_eq!(all.into_keys().collect::<BTreeSet<_>>(), expected);
        assert_eq!(found.notes, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_flipped_byte_loses_the_entries_of_its_frame_and_no_others() {
    let made = Made::new();
    let mut losses = 0;
    for place in made.places.iter() {
        let headers = place.bytes.start..place.bytes.start + 64;
        let body = (headers.end..place.bytes.end).step_by(97);
        for at in headers.chain(body) {
            let case = format!("{}:{at}", place.file);
            let journal = made.journal().flip(&place.file, at);
            let damage = vec![(place.file.clone(), at..at + 1)];
            losses += made.lost(0, &damage).0.len();
            check(&case, &made, &journal, 0, damage).await;
        }
    }
    assert!(losses > 500, "{losses}");
}

#[tokio::test]
async fn a_zeroed_page_loses_the_entries_of_the_frames_in_it_and_no_others() {
    let made = Made::new();
    for (file, bytes) in made.files.iter().filter(|(f, _)| f.starts_with("log/")) {
        for at in (0..bytes.len()).step_by(512) {
            for len in [512, 4096] {
                let page = at..(at + len).min(bytes.len());
                let mut journal = made.journal();
                journal.0.get_mut(file).unwrap()[page.clone()].fill(0);
                let case = format!("{file}: {page:?}");
                let damage = vec![(file.clone(), page)];
                check(&case, &made, &journal, 0, damage).await;
            }
        }
    }
}

#[tokio::test]
async fn a_missing_segment_loses_its_entries_and_no_others() {
    let made = Made::new();
    for file in made.files.keys().filter(|f| f.starts_with("log/")) {
        let journal = made.journal().without(&[file]);
        check(file, &made, &journal, 0, vec![whole_of(file)]).await;
    }
    let (found, _) = salvage(&made.journal().without(&[&log(1, 1)]), "").await;
    let note = format!("{} is missing", log(1, 1).strip_suffix(".log").unwrap());
    assert!(found.notes.iter().any(|n| n.contains(&note)), "{found:?}");
}

#[tokio::test]
async fn two_segments_under_each_others_names_are_both_lost() {
    let made = Made::new();
    let logs: Vec<_> = made
        .files
        .keys()
        .filter(|f| f.starts_with("log/"))
        .collect();
    for (a, b) in logs.iter().zip(&logs[1..]) {
        let mut journal = made.journal();
        journal.0.insert((*a).clone(), made.files[*b].clone());
        journal.0.insert((*b).clone(), made.files[*a].clone());
        let case = format!("{a} and {b}");
        let damage = vec![whole_of(a), whole_of(b)];
        check(&case, &made, &journal, 0, damage).await;
    }
}

#[tokio::test]
async fn small_objects_that_are_gone_or_damaged_lose_nothing() {
    let made = Made::with_checkpoints();
    let small = |f: &&String| {
        ["start/", "epoch/", "FORMAT"]
            .iter()
            .any(|p| f.starts_with(p))
    };
    for file in made.files.keys().filter(small) {
        check(file, &made, &made.journal().without(&[file]), 8, vec![]).await;
        for at in 0..made.files[file].len() {
            let case = format!("{file}:{at}");
            check(&case, &made, &made.journal().flip(file, at), 8, vec![]).await;
        }
        let cut = made.journal().cut(file, 0);
        check(file, &made, &cut, 8, vec![]).await;
    }
}

#[tokio::test]
async fn an_epoch_without_start_and_claim_is_read_with_the_secret_in_its_logs() {
    let made = Made::new();
    for epoch in [1, 2, 4] {
        let journal = made.journal().without(&[&start(epoch), &claim(epoch)]);
        check(&format!("epoch {epoch}"), &made, &journal, 0, vec![]).await;
        let (found, _) = salvage(&journal, "").await;
        let note = format!("the secret of epoch {epoch} is taken from");
        assert!(found.notes.iter().any(|n| n.contains(&note)), "{found:?}");
    }
    // All of them, and FORMAT: nothing says whose they are.
    let mut bare = made.journal();
    bare.0.retain(|name, _| name.starts_with("log/"));
    let error = bare.config().await.salvage(|_, _| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFormatted);
    // One object is enough.
    bare.0.insert(claim(1), made.files[&claim(1)].clone());
    check("one claim", &made, &bare, 0, vec![]).await;
}

#[tokio::test]
async fn without_a_start_a_frame_that_nobody_saw_does_not_come_back() {
    // Epoch 1's log ends with one, under numbers that epoch 2 wrote.
    let made = Made::new();
    let gone = [start(2), claim(2), log(2, 0), log(2, 1)];
    let gone: Vec<_> = gone.iter().map(String::as_str).collect();
    for n in 1..=gone.len() {
        let journal = made.journal().without(&gone[..n]);
        let bad = gone[..n].iter().map(|f| whole_of(f)).collect();
        check(
            &format!("without {:?}", &gone[..n]),
            &made,
            &journal,
            0,
            bad,
        )
        .await;
    }
    let journal = made.journal().flip(&start(2), 60).without(&[&log(2, 0)]);
    check("damaged", &made, &journal, 0, vec![whole_of(&log(2, 0))]).await;
}

#[tokio::test]
async fn with_a_damaged_checkpoint_the_one_before_it_is_the_base() {
    let made = Made::with_checkpoints();
    let newest = checkpoint_name(8, 2);
    for at in 0..made.files[&newest].len() {
        let mut journal = made.journal().flip(&newest, at);
        let (_, lost) = salvage(&journal, "").await;
        // The seal's padding is nobody's.
        let (found, _) = salvage(&journal, "").await;
        if found.checkpoint == Some(SeqNo(8)) {
            let zeros = made.files[&newest][at] == 0;
            assert!(zeros, "byte {at} of the checkpoint does not matter?");
            continue;
        }
        assert_eq!(found.checkpoint, Some(SeqNo(3)), "{at}: {found:?}");
        assert!(lost.is_empty(), "{at}: {found:?}");
        assert!(found.notes.iter().any(|n| n.contains("checkpoint/")));
        // What was trimmed for it is lost.
        journal = journal.without(&[&log(1, 0), &log(1, 1)]);
        let bad = vec![whole_of(&log(1, 0)), whole_of(&log(1, 1))];
        check("trimmed", &made, &journal, 3, bad).await;
    }
    let journal = made.journal().without(&[&newest, &checkpoint_name(3, 1)]);
    check("none", &made, &journal, 0, vec![]).await;
}

#[tokio::test]
async fn a_checkpoint_beyond_all_entries_replaces_them() {
    let mut made = Made::with_checkpoints();
    made.checkpoint(30, 4);
    let (found, lost) = salvage(&made.journal(), "beyond").await;
    assert_eq!((found.checkpoint, found.end), (Some(SeqNo(30)), SeqNo(30)));
    assert!(lost.is_empty() && found.entries == 0, "{found:?}");
    let mut state = found.checkpoint_entries().await.unwrap().unwrap();
    assert_eq!(state.next().await.unwrap().unwrap(), "dir /a");
    // Damaged, it still says how far the journal went.
    let damaged = made.journal().flip(&checkpoint_name(30, 4), 70);
    let (found, lost) = salvage(&damaged, "damaged").await;
    assert_eq!((found.checkpoint, found.end), (Some(SeqNo(8)), SeqNo(END)));
    assert_eq!(lost, (END..30).collect());
    // Of an epoch that nobody knows it says nothing.
    let stranger = made.journal().without(&[&checkpoint_name(30, 4)]);
    let name = checkpoint_name(30, 7);
    let stranger = stranger.with(&name, golden_support::checkpoint(flushproof::Epoch(7), 30));
    check("a stranger", &made, &stranger, 8, vec![]).await;
}

#[tokio::test]
async fn a_copy_of_an_epoch_that_never_served_is_taken_if_there_is_no_other() {
    let made = Made::new();
    let others = |p: &Place| p.entries.contains(&15) && p.file != log(3, 0);
    let mut journal = made.journal();
    for place in made.places.iter().filter(|p| others(p)) {
        journal = journal.flip(&place.file, place.bytes.start + 70);
    }
    check(
        "two of three copies",
        &made,
        &journal,
        0,
        damage_of(&made, others),
    )
    .await;
    let (found, _) = salvage(&journal, "").await;
    assert!(
        found.notes.iter().any(|n| n.contains("taken from a copy")),
        "{found:?}"
    );
}

#[tokio::test]
async fn an_undecided_entry_at_the_end_is_kept_unless_it_stands_behind_a_damaged_place() {
    let made = Made::new();
    let last = made
        .places
        .iter()
        .rev()
        .find(|p| p.kind == FrameKind::Entries)
        .unwrap();
    assert_eq!(last.entries, UNDECIDED..END);
    let torn = made.journal().flip(&last.file, last.bytes.start + 70);
    let (found, lost) = salvage(&torn, "torn").await;
    assert_eq!((found.end.0, lost.len()), (UNDECIDED, 0), "{found:?}");
    // As epoch 1 left it: behind the undecided ones a torn frame, and a whole one behind that.
    let mut first = made.journal();
    let later = |name: &str| {
        (2..5).any(|n| [start(n), claim(n), log(n, 0), log(n, 1)].contains(&name.to_owned()))
    };
    first.0.retain(|name, _| !later(name));
    let (found, lost) = salvage(&first, "epoch 1").await;
    assert_eq!((found.end.0, lost.len()), (12, 0), "{found:?}");
    assert!(
        found.notes[0].contains("entries 13 to 15 are left out"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_newer_format_is_no_damage() {
    let mut newer = Made::new().journal();
    newer.0.get_mut("FORMAT").unwrap()[12] = 2;
    let bytes = newer.0.get_mut("FORMAT").unwrap();
    let crc = crc32c::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    let error = newer.config().await.salvage(|_, _| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error}");
}

/// A restore that did not end, of which a trim left the void only, or the claim only: it has no
/// say, and what it wrote is no copy.
#[tokio::test]
async fn what_a_restore_left_that_did_not_end_is_nothing() {
    let made = Made::new();
    let whole = |journal: Journal| journal.with(&start(9), StartObject::void(Epoch(9)));
    let fill = Fill {
        kind: FillKind::Restore,
        source: JournalId([3; 16]),
        first: SeqNo(2),
        end: SeqNo(40),
    };
    let claimed = EpochObject {
        fill: Some(fill),
        ..epoch_object(Epoch(9))
    };
    let mut left = Segment::begin(key(Epoch(9), 0), None, SeqNo(2));
    left.entries(0..3, 2);
    left.entries(3..6, 5);
    let written = |journal: Journal| {
        let name = checkpoint_name(30, 9);
        let journal = journal.with(&name, checkpoint(Epoch(9), 30));
        journal.with(&log(9, 0), left.bytes.clone())
    };
    let claim_only = |journal: Journal| journal.with(&claim(9), claimed.encode(JOURNAL));
    for (case, add) in [
        ("void", &whole as &dyn Fn(Journal) -> Journal),
        ("claim", &claim_only),
    ] {
        check(case, &made, &written(add(made.journal())), 0, vec![]).await;
        // Entries 2 to 5 are gone, and what the restore has under these numbers is not them.
        let damage = damage_of(&made, |p| p.entries.contains(&2) || p.entries.contains(&4));
        let mut journal = written(add(made.journal()));
        for (file, bytes) in &damage {
            journal.0.get_mut(file).unwrap()[bytes.clone()].fill(0xee);
        }
        check(case, &made, &journal, 0, damage).await;
    }
    // Voids do not vote either.
    let mut lost = made.journal().without(&["FORMAT"]);
    for epoch in 20..40 {
        lost = lost.with(&start(epoch), StartObject::void(Epoch(epoch)));
    }
    check("voids", &made, &lost, 0, vec![]).await;
}
