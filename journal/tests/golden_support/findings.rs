//! What `verify` must find in a golden journal that was changed.

use super::changed::*;
use super::*;
use flushproof::{Finding, FindingKind, Verdict, Verification};

/// What must be found: kind, verdict, path (as in the store), offset, entries.
pub type Expected<'a> = (
    FindingKind,
    Verdict,
    &'a str,
    Option<u64>,
    Option<(u64, u64)>,
);

pub fn is(finding: &Finding, expected: &Expected<'_>) -> bool {
    let (kind, verdict, path, offset, entries) = expected;
    (finding.kind, finding.verdict, finding.offset) == (*kind, *verdict, *offset)
        && finding.path == path.trim_end_matches(".log")
        && finding.entries == entries.map(|(from, to)| (SeqNo(from), SeqNo(to)))
}

pub async fn fast(journal: &Journal) -> Verification {
    let reader = journal.config().await.reader().await.unwrap();
    reader.verify_fast().await.unwrap()
}

/// The finding, and no other one that is as bad.
#[track_caller]
pub fn only(report: &Verification, expected: Expected<'_>) {
    let same = |f: &&Finding| f.verdict >= expected.1;
    let bad: Vec<_> = report.findings.iter().filter(same).collect();
    assert!(bad.len() == 1 && is(bad[0], &expected), "{report:#?}");
}

#[track_caller]
pub fn finds(report: &Verification, expected: Expected<'_>) {
    let found = report.findings.iter().any(|f| is(f, &expected));
    assert!(found, "{expected:?} is not in {report:#?}");
}

/// Both the whole and the fast look find this and nothing as bad.
pub async fn both(journal: &Journal, expected: Expected<'_>) {
    only(&journal.verify().await, expected);
    only(&fast(journal).await, expected);
}

/// Only the whole look finds it: it lies in what the fast one does not read.
pub async fn whole(journal: &Journal, expected: Expected<'_>) {
    only(&journal.verify().await, expected);
    let report = fast(journal).await;
    assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
}

pub fn corrupt(
    kind: FindingKind,
    path: &str,
    offset: Option<u64>,
    entries: Option<(u64, u64)>,
) -> Expected<'_> {
    (kind, Verdict::Corrupt, path, offset, entries)
}

pub fn harmless(kind: FindingKind, path: &str, offset: Option<u64>) -> Expected<'_> {
    (kind, Verdict::Clean, path, offset, None)
}

/// The golden journal without its checkpoint.
pub fn bare() -> Journal {
    golden().without(&[CHECKPOINT])
}

pub fn bytes(name: &str) -> Vec<u8> {
    golden().0[name].clone()
}

/// The journal with other bytes at a place of a file.
pub fn put_at(mut journal: Journal, name: &str, at: usize, bytes: &[u8]) -> Journal {
    let file = journal.0.get_mut(name).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    journal
}

/// The segment that epoch 1 would have rolled to, with entries from `first` on.
pub fn rolled_to(prev: Prev, first: usize, entries: usize) -> Vec<u8> {
    let first_seq = SeqNo(first as u64);
    let mut segment = Segment::begin(key(Epoch(1), 2), Some(prev), first_seq);
    segment.entries(first..first + entries, first as u64);
    segment.bytes
}

pub fn prev(index: u64, offset: u64, seq: u64) -> Prev {
    Prev {
        segment: SegmentId {
            epoch: Epoch(1),
            index,
        },
        offset,
        seq: SeqNo(seq),
    }
}
