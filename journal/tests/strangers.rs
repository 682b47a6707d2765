//! What else may lie in a journal's folder: segments that are missing, strays,
//! objects of other journals, old frames in recycled segments, later formats, and
//! places that are no journal.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Error, ErrorKind, Tail, Verdict};
use std::path::Path;
use support::small::{Read, Small, config, frames, read_all, serve};
use support::{copy_folder, files, memory_folder, runtime};

/// Opens a journal as a primary and reads all of it.
async fn recover(folder: &Path) -> Result<(Read, Tail), Error> {
    let mut recovery = config(folder).primary().await?;
    let read = read_all(&mut recovery).await?;
    let tail = recovery.summary().tail;
    recovery.start().await?.close().await?;
    Ok((read, tail))
}

/// The small journal is all there, whatever else lies in its folder.
async fn is_whole(small: &Small, folder: &Path) -> Verdict {
    let report = config(folder).reader().await.unwrap();
    let report = report.verify(|_, _| {}).await.unwrap();
    let (read, _) = recover(folder).await.unwrap();
    assert_eq!((read.0, read.1.len() as u64), (0, small.end()));
    small.is_prefix(&read);
    report.verdict()
}

/// A journal of three epochs with several segments each.
async fn three_epochs(config: &Config) {
    config.format(false).await.unwrap();
    for epoch in 0..3u64 {
        let journal = serve(config).await;
        for n in 0..60u64 {
            journal.append(&n.to_le_bytes()).await.unwrap();
            // The next segment is made in the background.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        // In the end more than half of a segment, so that the next is prepared.
        let rolls = journal.counts().rolls;
        while journal.counts().rolls == rolls {
            journal.append(b"more").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        for _ in 0..12 {
            journal.append(b"more").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(
            journal.counts().rolls >= 2,
            "epoch {epoch}: {:?}",
            journal.counts()
        );
        journal.close().await.unwrap();
    }
}

#[test]
fn a_missing_segment_is_corrupt_and_named() {
    runtime().block_on(async {
        let original = memory_folder();
        let config = config(original.path());
        three_epochs(&config).await;
        let logs: Vec<_> = files(&original.path().join("log"))
            .into_iter()
            .filter(|f| f.extension().is_some_and(|e| e == "log"))
            .collect();
        // Which are on the chain, and which was only prepared.
        let info = config.reader().await.unwrap().info().await.unwrap();
        let used = info.segments.iter().filter(|s| s.entries.is_some()).count();
        assert!(used >= 9, "{info:?}");
        let last = info
            .segments
            .iter()
            .rfind(|s| s.entries.is_some())
            .unwrap()
            .id;
        let (mut missed, mut last_missed) = (0, false);
        for log in &logs {
            let name = log.file_stem().unwrap().to_str().unwrap();
            let copy = memory_folder();
            copy_folder(original.path(), &copy.path().join("j"));
            let folder = copy.path().join("j");
            std::fs::remove_file(folder.join("log").join(log.file_name().unwrap())).unwrap();
            let on_chain = info.segments.iter().any(|s| {
                s.entries.is_some() && name == format!("{:020}-{:020}", s.id.epoch.0, s.id.index)
            });
            let is_last = name == format!("{:020}-{:020}", last.epoch.0, last.index);
            // Of the last one nobody knows, unless the next was prepared already.
            let behind = format!("{:020}-{:020}", last.epoch.0, last.index + 1);
            let known = logs
                .iter()
                .any(|l| l.file_stem().unwrap() == behind.as_str());
            if !on_chain || (is_last && !known) {
                continue;
            }
            last_missed |= is_last;
            missed += 1;
            let report = self::config(&folder).reader().await.unwrap();
            let report = report.verify(|_, _| {}).await.unwrap();
            assert_eq!(report.verdict(), Verdict::Corrupt, "{name}: {report:?}");
            let found = report
                .findings
                .iter()
                .any(|f| f.path.contains(name) || f.text.contains(name));
            assert!(found, "{name}: {report:?}");
            let error = recover(&folder).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
        assert!(last_missed);
        assert!(missed >= 8, "{missed} of {}", logs.len());
    });
}

#[test]
fn stray_files_are_ignored() {
    runtime().block_on(async {
        let small = Small::new().await;
        let folder = small.folder.path();
        for name in [
            "notes.txt",
            "README",
            "log/notes",
            "log/1-2.log",
            "log/00000000000000000002-00000000000000000000.log.bak",
            "log/00000000000000000002-x.log",
            "epoch/latest",
            "epoch/00000000000000000009.log",
            "start/9",
            "checkpoint/newest",
            "checkpoint/00000000000000000099",
            "lost+found/x",
            ".tmp-1-2-3",
            "log/.spare-1-2-3",
        ] {
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.join(name), [0x5a; 5000]).unwrap();
        }
        std::fs::create_dir(folder.join("epoch/00000000000000000077")).unwrap();
        assert!(is_whole(&small, folder).await < Verdict::Corrupt);
    });
}

#[test]
fn objects_and_logs_of_another_journal_are_ignored() {
    runtime().block_on(async {
        let (small, other) = (Small::new().await, Small::new().await);
        // A third journal has only marks: its numbers are free in the first one.
        for (from, to) in [
            ("start/00000000000000000002", "start/00000000000000000008"),
            ("start/00000000000000000001", "start/00000000000000000003"),
            ("epoch/00000000000000000002", "epoch/00000000000000000008"),
            (
                "checkpoint/00000000000000000005-00000000000000000001",
                "checkpoint/00000000000000000099-00000000000000000008",
            ),
            (
                "log/00000000000000000002-00000000000000000000.log",
                "log/00000000000000000008-00000000000000000000.log",
            ),
            (
                "log/00000000000000000002-00000000000000000000.log",
                "log/00000000000000000002-00000000000000000001.log",
            ),
        ] {
            std::fs::copy(other.folder.path().join(from), small.folder.path().join(to)).unwrap();
        }
        is_whole(&small, small.folder.path()).await;
    });
}

/// What a recycled segment shows behind its new frames, and a prepared one
/// before its first: frames of another place, whole and with good checksums.
#[test]
fn fc_2_old_frames_in_a_recycled_segment_do_not_count() {
    runtime().block_on(async {
        for settled in [false, true] {
            let small = Small::new().await;
            let (old, used) = (small.bytes(&small.log(1)), small.bytes(&small.log(2)));
            let end = frames(&used).last().unwrap().0;
            let folder = small.folder.path();
            let mut recycled = used.clone();
            // Frames of epoch 1 at their own offsets, then frames of this very
            // segment at other offsets.
            recycled[end..old.len()].copy_from_slice(&old[end..]);
            let at = old.len().max(end).next_multiple_of(4096);
            recycled[at..at + end].copy_from_slice(&used[..end]);
            std::fs::write(folder.join(small.log(2)), &recycled).unwrap();
            let prepared = "log/00000000000000000002-00000000000000000001.log";
            if settled {
                std::fs::write(folder.join(prepared), &old).unwrap();
            }
            assert_eq!(is_whole(&small, folder).await, Verdict::Torn);
        }
    });
}

/// The same object, written by a program of a later format.
fn newer(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let version = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    bytes[12..16].copy_from_slice(&(version + 1).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_newer_format_is_refused_and_says_so() {
    runtime().block_on(async {
        for object in ["FORMAT", "start/00000000000000000002"] {
            let small = Small::new().await;
            newer(&small.folder.path().join(object));
            let before = files(small.folder.path());
            let error = recover(small.folder.path()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NewerFormat, "{object}: {error}");
            assert!(error.to_string().contains(object), "{error}");
            if object == "FORMAT" {
                assert_eq!(files(small.folder.path()), before, "something was written");
                let error = config(small.folder.path()).format(false).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error}");
            }
        }
    });
}

#[test]
fn a_half_formatted_place_is_refused_and_says_what_to_do() {
    runtime().block_on(async {
        let small = Small::new().await;
        let folder = small.folder.path();
        std::fs::remove_file(folder.join("FORMAT")).unwrap();
        let config = config(folder);
        let reader = config.reader().await.map(|_| ()).unwrap_err();
        for error in [
            config.primary().await.unwrap_err(),
            config.standby().await.map(|_| ()).unwrap_err(),
            config.format(false).await.unwrap_err(),
            reader,
        ] {
            assert_eq!(error.kind(), ErrorKind::HalfFormatted, "{error}");
            assert!(
                error.to_string().contains("journal format --force"),
                "{error}"
            );
        }
        config.format(true).await.unwrap();
        let (read, tail) = recover(folder).await.unwrap();
        assert!(read.1.is_empty() && tail == Tail::Clean, "{read:?}");
    });
}

#[test]
fn fc_11_a_place_that_is_no_folder_says_so() {
    runtime().block_on(async {
        let folder = memory_folder();
        let file = folder.path().join("file");
        std::fs::write(&file, b"text").unwrap();
        for place in [file.clone(), file.join("below")] {
            for error in [
                config(&place).primary().await.unwrap_err(),
                config(&place).format(false).await.unwrap_err(),
                config(&place).reader().await.map(|_| ()).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(error.to_string().contains("file"), "{error}");
            }
        }
        let empty = folder.path().join("empty");
        let error = config(&empty).primary().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFormatted, "{error}");
        assert!(error.to_string().contains("journal format"), "{error}");
    });
}
