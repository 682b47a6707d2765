//! Every byte of a small backup flipped, every length cut, and files that are no
//! backup at all: each is refused with what and where, and nothing is changed.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod backup_support;
mod support;

use backup_support::*;
use flushproof::{BackupOptions, Config, Error, ErrorKind, RestoreOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{files, in_memory, memory_folder};

/// A small backup with a state and entries, and an empty journal to restore to.
struct Bed {
    folder: tempfile::TempDir,
    target: Config,
    good: Vec<u8>,
}

impl Bed {
    async fn new() -> Bed {
        let folder = memory_folder();
        let config = in_memory(&folder.path().join("journal"));
        config.format(false).await.unwrap();
        let journal = primary(&config).await;
        append_to(&journal, 20).await;
        checkpoint(&journal).await;
        append_to(&journal, 77).await;
        journal.close().await.unwrap();
        let reader = config.reader().await.unwrap();
        let taken = reader
            .backup(&BackupOptions::default(), quiet)
            .await
            .unwrap();
        let target = at(&config, &folder.path().join("target"));
        target.format(false).await.unwrap();
        let good = std::fs::read(&taken.uri).unwrap();
        Bed {
            folder,
            target,
            good,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("x.gz")
    }

    async fn restore(&self, bytes: &[u8], dry_run: bool) -> Result<u64, Error> {
        std::fs::write(self.file(), bytes).unwrap();
        let mut options = RestoreOptions::default();
        options.dry_run = dry_run;
        let from = uri(self.file().to_str().unwrap());
        let restored = self.target.restore(&from, &options, quiet).await?;
        Ok(restored.entries)
    }

    /// Refused, with the place in the file.
    async fn refused(&self, bytes: &[u8], case: &str) -> Error {
        let error = self.restore(bytes, true).await.err();
        let error = error.unwrap_or_else(|| panic!("{case}: accepted"));
        let known = [ErrorKind::Corrupt, ErrorKind::NewerFormat];
        assert!(known.contains(&error.kind()), "{case}: {error}");
        assert!(error.to_string().contains("x.gz"), "{case}: {error}");
        error
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_byte_is_refused() {
    let bed = Bed::new().await;
    println!("{} bytes", bed.good.len());
    for at in 0..bed.good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = bed.good.clone();
            bad[at] ^= flip;
            bed.refused(&bad, &format!("byte {at} ^ {flip:#x}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_truncation_is_refused() {
    let bed = Bed::new().await;
    for len in 0..bed.good.len() {
        let error = bed.refused(&bed.good[..len], &format!("{len} bytes")).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

/// Packs a text as gzip would.
fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(text).unwrap();
    gzip.wait_with_output().unwrap().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_are_refused_and_nothing_is_changed() {
    let bed = Bed::new().await;
    let before = contents(bed.folder.path());
    let packed = |text: &[u8]| flushproof::format::backup::pack(text).unwrap();
    let header = flushproof::format::backup::unpack(&bed.good[..first_len(&bed.good)]).unwrap();
    let newer = String::from_utf8(header).unwrap();
    let newer = newer.replacen("flushproof-backup 1", "flushproof-backup 2", 1);
    let newer = [&packed(newer.as_bytes()), &bed.good[first_len(&bed.good)..]].concat();
    let twice = [bed.good.clone(), bed.good.clone()].concat();
    let trailing = [&bed.good[..], b"x"].concat();
    let more = [&bed.good[..], &packed(b"more")].concat();
    let headless = bed.good[first_len(&bed.good)..].to_vec();
    for (bytes, says) in [
        (gzip(b"hello"), "packed again"),
        (b"hello".to_vec(), "no part of a backup"),
        (vec![0; 4096], "no part of a backup"),
        (packed(b"hello\n").to_vec(), "no backup of a journal"),
        (newer, "use a newer one"),
        (twice, "behind the trailer"),
        (trailing, "no part of a backup"),
        (more, "behind the trailer"),
        (headless, "no backup of a journal"),
    ] {
        let dry = bed.refused(&bytes, says).await;
        assert!(dry.to_string().contains(says), "{says}: {dry}");
        let error = bed.restore(&bytes, false).await.unwrap_err();
        assert_eq!(error.to_string(), dry.to_string());
    }
    std::fs::remove_file(bed.file()).unwrap();
    assert_eq!(contents(bed.folder.path()), before);
    assert_eq!(bed.restore(&bed.good, false).await.unwrap(), 57);
}

/// The length of the first member.
fn first_len(file: &[u8]) -> usize {
    let packed = u32::from_le_bytes(file[16..20].try_into().unwrap());
    28 + packed as usize + 8
}

fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let all = files(folder).into_iter();
    all.map(|f| (f.clone(), std::fs::read(f).unwrap()))
        .collect()
}
