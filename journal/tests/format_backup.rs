//! The bytes of a backup: what is written is read back, an older file is still read, and
//! hostile bytes with right checksums neither panic nor pass.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use async_trait::async_trait;
use bytes::Bytes;
use flushproof::format::JournalId;
use flushproof::format::backup::{
    BackupEncoder, BackupHeader, BackupKind, BackupReader, BackupTrailer, PieceKind, Threads, pack,
    unpack,
};
use flushproof::{Epoch, ErrorKind, Result, SeqNo};
use flushproof_api::Reader;
use std::ops::Range;
use std::sync::Arc;

/// Bytes as a reader.
#[derive(Debug)]
struct InMemory(Vec<u8>);

#[async_trait]
impl Reader for InMemory {
    async fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let range = range.start as usize..range.end as usize;
        Ok(Bytes::copy_from_slice(&self.0[range]))
    }
}

fn header() -> BackupHeader {
    BackupHeader {
        kind: BackupKind::Backup,
        journal: JournalId(*b"golden journal.."),
        created_ms: 1_769_860_800_123,
        epoch: Epoch(3),
        checkpoint: true,
        first: SeqNo(20),
        end: SeqNo(33),
        tool: "flushproof 0.1.0".into(),
    }
}

/// What the golden backup holds, unpacked: a state, entries of two epochs with clocks
/// that go back, and a gap.
fn parts() -> Vec<Bytes> {
    let (mut encoder, head) = BackupEncoder::new(header());
    let mut parts = vec![head];
    for n in 0..5 {
        parts.extend(encoder.state(format!("state {n}").as_bytes()).unwrap());
    }
    for n in 20..25u64 {
        let entry = format!("create /a/{n}");
        let clock = 1_769_860_000_000 + 7 * (n % 3);
        let full = encoder.entry(SeqNo(n), Epoch(1), clock, entry.as_bytes());
        parts.extend(full.unwrap());
    }
    encoder.gap(SeqNo(30)).unwrap();
    for n in 30..33u64 {
        parts.extend(encoder.entry(SeqNo(n), Epoch(3), 5, b"").unwrap());
    }
    let (rest, trailer) = encoder.finish().unwrap();
    parts.extend(rest);
    parts.push(trailer);
    parts
}

fn packed(parts: &[Bytes]) -> Vec<u8> {
    parts.iter().flat_map(|part| pack(part).unwrap()).collect()
}

/// Every entry: whether it is the state's, number, epoch, clock, bytes.
type Row = (bool, u64, u64, u64, Vec<u8>);

async fn read(file: Vec<u8>) -> Result<(BackupHeader, Vec<Row>, BackupTrailer)> {
    let mut reader = BackupReader::open(Arc::new(InMemory(file)), Threads::new(2)).await?;
    let header = reader.header().clone();
    let mut rows = Vec::new();
    while let Some(piece) = reader.next().await? {
        let (state, epoch) = (piece.header.kind == PieceKind::State, piece.header.epoch.0);
        let all = piece.entries();
        rows.extend(all.map(|(seq, clock, bytes)| (state, seq.0, epoch, clock, bytes.to_vec())));
    }
    Ok((header, rows, reader.trailer().unwrap().clone()))
}

fn expected() -> Vec<Row> {
    let state = (0..5).map(|n| (true, n, 0, 0, format!("state {n}").into_bytes()));
    let first = (20..25).map(|n| {
        let clock = 1_769_860_000_000 + 7 * (n % 3);
        (false, n, 1, clock, format!("create /a/{n}").into_bytes())
    });
    let last = (30..33).map(|n| (false, n, 3, 5, Vec::new()));
    state.chain(first).chain(last).collect()
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let (found, rows, trailer) = read(packed(&parts())).await.unwrap();
    assert_eq!(found, header());
    assert_eq!(rows, expected());
    assert_eq!((trailer.state_entries, trailer.entries), (5, 8));
}

/// `FLUSHPROOF_GOLDEN=1` writes it anew: only with a new version of the format.
#[tokio::test]
async fn the_golden_backup_is_still_read() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden_backup/backup-1.gz"
    );
    if std::env::var("FLUSHPROOF_GOLDEN").is_ok_and(|v| v == "1") {
        std::fs::write(path, packed(&parts())).unwrap();
    }
    let (found, rows, _) = read(std::fs::read(path).unwrap()).await.unwrap();
    assert_eq!((found, rows), (header(), expected()));
}

#[tokio::test]
async fn large_and_many_entries_are_cut_into_members() {
    let header = BackupHeader {
        checkpoint: false,
        first: SeqNo(0),
        end: SeqNo(70_010),
        ..header()
    };
    let (mut encoder, head) = BackupEncoder::new(header);
    let mut parts = vec![head];
    let entry = |n: u64| match n {
        70_005 => vec![7; 8 << 20],
        n => vec![n as u8; (n % 90) as usize],
    };
    for n in 0..70_010 {
        parts.extend(encoder.entry(SeqNo(n), Epoch(1), n, &entry(n)).unwrap());
    }
    let (rest, trailer) = encoder.finish().unwrap();
    parts.extend(rest);
    parts.push(trailer);
    assert!(parts.len() > 5, "{} parts", parts.len());
    let (_, rows, _) = read(packed(&parts)).await.unwrap();
    assert_eq!(rows.len(), 70_010);
    for (n, row) in rows.iter().enumerate() {
        assert!(
            row.1 == n as u64 && row.3 == n as u64 && row.4 == entry(n as u64),
            "{n}"
        );
    }
}

#[tokio::test]
async fn every_changed_byte_under_right_checksums_is_refused_or_harmless() {
    let good = parts();
    let (mut refused, mut harmless) = (0, 0);
    for part in 0..good.len() {
        for at in 0..good[part].len() {
            for flip in [1, 0x10, 0x80] {
                let mut bad = good.clone();
                let mut bytes = bad[part].to_vec();
                bytes[at] ^= flip;
                bad[part] = bytes.into();
                resum(&mut bad);
                match read(packed(&bad)).await {
                    Err(e) => {
                        let known = [ErrorKind::Corrupt, ErrorKind::NewerFormat];
                        assert!(known.contains(&e.kind()), "{e}");
                        refused += 1;
                    }
                    // Other bytes of an entry, another clock, another tool.
                    Ok(_) => harmless += 1,
                }
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(
        refused > harmless / 2,
        "{refused} refused, {harmless} harmless"
    );
}

/// The trailer's SHA-256, made anew, if it still is a trailer.
fn resum(parts: &mut [Bytes]) {
    use sha2::Digest;
    let last = parts.len() - 1;
    let Some(mut trailer) = BackupTrailer::decode(&parts[last]) else {
        return;
    };
    let mut sha = sha2::Sha256::new();
    parts[..last].iter().for_each(|part| sha.update(part));
    trailer.sha256 = sha.finalize().into();
    parts[last] = trailer.encode().into();
}

#[test]
fn a_member_that_announces_too_much_is_refused_before_it_is_unpacked() {
    let mut member = pack(b"hello").unwrap().to_vec();
    assert_eq!(unpack(&member).unwrap(), b"hello");
    member[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(unpack(&member).unwrap_err().kind(), ErrorKind::Corrupt);
    let mut member = pack(b"hello").unwrap().to_vec();
    member[20..24].copy_from_slice(&6u32.to_le_bytes());
    assert!(unpack(&member).is_err());
}
