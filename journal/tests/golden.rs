//! The golden files of the format: a small journal whose identity, secrets and
//! clock are fixed, so that the pure encoders make it byte for byte.
//!
//! The files in `journal/tests/golden/` lie as the local backend lays them, so
//! that a copy of the folder is a journal. A later program must read them for
//! as long as it reads format version 1: they are never changed. Only when the
//! *first* files of a new version are made:
//!
//! ```text
//! FLUSHPROOF_BLESS=1 cargo test -p flushproof --test golden
//! ```
//!
//! writes the folder and the worked example in `docs/format.md` anew. Without
//! that variable nothing is written, and every difference fails.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

#[path = "golden_support/mod.rs"]
mod golden_support;

use bytes::Bytes;
use flushproof::format::checkpoint::CheckpointReader;
use flushproof::format::names::CheckpointId;
use flushproof::format::object::{EpochObject, FormatObject, StartObject};
use flushproof::format::*;
use flushproof::{Config, Epoch, Item, SeqNo, StoreUri, Survives, Verdict};
use flushproof_backend_local::LocalFactory;
use golden_support::*;
use std::path::Path;

fn bless_if_asked() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if std::env::var_os("FLUSHPROOF_BLESS").is_some() {
        ONCE.call_once(|| bless(&files()));
    }
}

fn on_disk(file: &str) -> Bytes {
    bless_if_asked();
    std::fs::read(folder().join(file)).unwrap().into()
}

#[test]
fn the_encoders_make_the_golden_files_byte_for_byte() {
    let files = files();
    for (name, bytes) in &files {
        assert!(on_disk(name) == bytes, "{name} differs");
    }
    let mut names: Vec<_> = walk(&folder(), "");
    names.sort();
    let expected: Vec<_> = files.keys().cloned().collect();
    assert_eq!(names, expected, "a file too many or too few");
}

#[test]
fn the_worked_example_of_the_document_is_the_golden_segment() {
    bless_if_asked();
    let document = std::fs::read_to_string(document_path()).unwrap();
    let (_, block, _) = split_example(&document);
    let expected = example(&on_disk(SEGMENTS[0]));
    assert!(
        block == expected,
        "docs/format.md differs from the bytes; it should say:\n{expected}"
    );
}

#[test]
fn the_objects_say_what_was_put_in() {
    let (id, format) = FormatObject::decode(&on_disk("FORMAT")).unwrap();
    assert_eq!((id, format.created_ms), (JOURNAL, CLOCK));
    assert_eq!(id.to_string(), "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0");
    let (_, epoch) = EpochObject::decode(&on_disk("epoch/00000000000000000002")).unwrap();
    assert_eq!(epoch, epoch_object(Epoch(2)));
    assert!(epoch.is_claim_of(Epoch(2), &nonce(Epoch(2))));
    let (_, first) = StartObject::decode(&on_disk("start/00000000000000000001")).unwrap();
    assert_eq!(first.prev, None);
    assert_eq!((first.durable, first.carried_end), (SeqNo(0), SeqNo(0)));
    let (_, second) = StartObject::decode(&on_disk("start/00000000000000000002")).unwrap();
    let prev = second.prev.unwrap();
    assert_eq!((prev.segment.epoch, prev.segment.index), (Epoch(1), 1));
    assert_eq!((prev.offset, prev.seq), (320, SeqNo(4)));
    assert_eq!((second.durable, second.carried_end), (SeqNo(4), SeqNo(5)));
}

/// What stands in a segment: kind, offset, first number, durable cursor,
/// durable offset, entries.
type Row = (FrameKind, u64, u64, u64, u64, Vec<&'static str>);

async fn check_segment(file: &str, epoch: u64, index: u64, rows: &[Row]) {
    let (bytes, key) = (on_disk(file), key(Epoch(epoch), index));
    let len = bytes.len() as u64;
    let store = reader(&bytes);
    let header = read_segment_header(&*store, &key, len).await.unwrap();
    let HeaderVerdict::Good { segment, .. } = header else {
        panic!("{file}: {header:?}")
    };
    assert_eq!((segment.grain, segment.nonce), (64, key.nonce));
    let mut scanner = Scanner::new(store, key, 64, 0, len);
    for (kind, offset, first, durable, durable_offset, entries) in rows {
        let Scanned::Frame(frame) = scanner.next().await.unwrap() else {
            panic!("{file}: no frame at {offset}")
        };
        let header = frame.header;
        assert_eq!((header.kind, frame.offset), (*kind, *offset), "{file}");
        assert_eq!(header.clock_ms, CLOCK);
        assert_eq!(
            (header.first_seq.0, header.durable.0, header.durable_offset),
            (*first, *durable, *durable_offset),
            "{file}, frame at {offset}"
        );
        let found: Vec<_> = frame.entries().map(|(_, e)| e).collect();
        assert_eq!(found, *entries);
    }
    assert_eq!(scanner.next().await.unwrap(), Scanned::End, "{file}");
}

#[tokio::test]
async fn the_segments_say_what_was_put_in() {
    use FrameKind::{Entries, Header, Mark, Seal};
    let none = Vec::new;
    let rows = [
        (Header, 0, 0, 0, 0, none()),
        (Entries, 192, 0, 0, 192, vec!["mkdir /a", "mkdir /b"]),
        (Entries, 320, 2, 2, 320, vec!["create /a/x"]),
    ];
    check_segment(SEGMENTS[0], 1, 0, &rows).await;
    let rows = [
        (Header, 0, 3, 3, 0, none()),
        (Entries, 192, 3, 3, 192, vec!["rename /a/x /b/y"]),
        (Mark, 320, 4, 4, 320, none()),
        (Entries, 384, 4, 4, 384, vec!["delete /a"]),
    ];
    check_segment(SEGMENTS[1], 1, 1, &rows).await;
    let rows = [
        (Header, 0, 4, 4, 0, none()),
        (Entries, 192, 4, 4, 192, vec!["delete /a"]),
        (Entries, 320, 5, 5, 320, vec![""]),
        (Seal, 448, 6, 6, 448, none()),
    ];
    check_segment(SEGMENTS[2], 2, 0, &rows).await;
}

#[tokio::test]
async fn the_checkpoint_says_what_was_put_in() {
    let id = CheckpointId {
        next_seq: SeqNo(3),
        epoch: Epoch(1),
    };
    let store = reader(&on_disk(CHECKPOINT));
    let key = key(Epoch(1), CHECKPOINT_INDEX);
    let mut checkpoint = CheckpointReader::open(store, key, id).await.unwrap();
    assert_eq!(checkpoint.head().created_ms, CLOCK);
    let frame = checkpoint.next().await.unwrap().unwrap();
    let entries: Vec<_> = frame.entries().map(|(seq, e)| (seq.0, e)).collect();
    let state = STATE.map(|e| Bytes::from_static(e.as_bytes()));
    let expected: Vec<_> = (0..).zip(state).collect();
    assert_eq!(entries, expected);
    assert!(checkpoint.next().await.unwrap().is_none(), "no seal");
}

fn copy(from: &Path, to: &Path) {
    for file in walk(from, "") {
        let target = to.join(&file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), target).unwrap();
    }
}

fn config(root: &Path) -> Config {
    let mut config = Config::new(StoreUri::parse(root.to_str().unwrap()).unwrap());
    config.registry.register(LocalFactory);
    config.require = Survives::NOTHING; // the temporary folder may be on tmpfs
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_replays_a_copy_and_takes_it_over() {
    let root = tempfile::tempdir().unwrap();
    bless_if_asked();
    copy(&folder(), root.path());
    let config = config(root.path());
    let reader = config.reader().await.unwrap();
    assert_eq!(reader.id(), JOURNAL);
    let mut replay = reader.entries(None).await.unwrap();
    assert_eq!((replay.durable(), replay.end()), (SeqNo(6), SeqNo(6)));
    let mut found = Vec::new();
    while let Some(item) = replay.next().await.unwrap() {
        let Item::Entry(entry) = item else {
            panic!("{item:?}")
        };
        assert_eq!((entry.seq.0, entry.clock_ms), (found.len() as u64, CLOCK));
        // The undecided entry counts in the epoch that carried it over.
        assert_eq!(entry.epoch.0, if entry.seq.0 < 4 { 1 } else { 2 });
        found.push(entry.bytes);
    }
    assert_eq!(found, ENTRIES.map(|e| Bytes::from_static(e.as_bytes())));
    let info = reader.info().await.unwrap();
    assert_eq!((info.epoch, info.first), (Epoch(2), SeqNo(0)));
    assert_eq!((info.checkpoint, info.closed), (Some(SeqNo(3)), true));
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");

    // And a primary of today goes on behind it, on whatever grain this disk has.
    let mut recovery = config.primary().await.unwrap();
    let Some(Item::Checkpoint(mut state)) = recovery.next().await.unwrap() else {
        panic!("no checkpoint")
    };
    let mut entries = 0;
    while state.next().await.unwrap().is_some() {
        entries += 1;
    }
    assert_eq!(entries, STATE.len());
    while recovery.next().await.unwrap().is_some() {}
    let journal = recovery.start().await.unwrap();
    assert_eq!(journal.append(b"more").await.unwrap().seq, SeqNo(6));
    journal.close().await.unwrap();
}
