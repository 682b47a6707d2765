//! Damage (FC-13 and recovery's verdicts): every byte of a small journal flipped
//! in turn, every truncation of its logs, and whatever else may lie in its
//! folder. A journal then has the same data, or ends within its last undecided
//! batch and says that it is torn, or refuses with the place. Never wrong data,
//! never less than a durable mark says without a word.
//!
//! `FLUSHPROOF_SOAK=1` flips every bit instead of one in each byte.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Error, ErrorKind, FollowItem, Item, Recovery, SeqNo, Tail, Verdict};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use support::state::{State, entry};
use support::{copy_folder, files, in_memory, memory_folder, runtime, soak};

/// What was read of a journal: the number of the first entry, and the entries.
type Read = (u64, Vec<Vec<u8>>);

/// The small journal. Epoch 1 was closed, epoch 2 was killed: its last entry is
/// not attested. A candidate fenced epoch 2 and went away.
struct Small {
    folder: tempfile::TempDir,
    entries: Vec<Vec<u8>>,
}

/// Where its two checkpoints stand, and where its first epoch ends.
const CHECKPOINTS: [u64; 2] = [3, 5];
const CLOSED_AT: u64 = 8;

fn config(folder: &Path) -> Config {
    let mut config = in_memory(folder);
    config.idle_mark = std::time::Duration::from_secs(3600);
    config
}

async fn append(journal: &flushproof::Journal, state: &mut State) -> Vec<u8> {
    let bytes: Vec<u8> = entry((1, 1), state.count)[..24].to_vec();
    let receipt = journal.append(&bytes).await.unwrap();
    assert_eq!(receipt.seq.0, state.count);
    state.count += 1;
    bytes
}

async fn serve(config: &Config) -> flushproof::Journal {
    let mut recovery = config.primary().await.unwrap();
    read_all(&mut recovery).await.unwrap();
    recovery.start().await.unwrap()
}

/// Everything that a recovery gives; a checkpoint's entries are the entries.
async fn read_all(recovery: &mut Recovery) -> Result<Read, Error> {
    let mut read: Option<Read> = None;
    while let Some(item) = recovery.next().await? {
        match item {
            Item::Checkpoint(mut checkpoint) => {
                let mut entries = Vec::new();
                while let Some(bytes) = checkpoint.next().await? {
                    entries.push(bytes.to_vec());
                }
                assert_eq!(entries.len() as u64, checkpoint.next_seq().0);
                read = Some((0, entries));
            }
            Item::Entry(entry) => {
                let (first, entries) = read.get_or_insert_with(|| (entry.seq.0, Vec::new()));
                assert_eq!(entry.seq.0, *first + entries.len() as u64);
                entries.push(entry.bytes.to_vec());
            }
        }
    }
    Ok(read.unwrap_or_default())
}

impl Small {
    async fn new() -> Small {
        let folder = memory_folder();
        let config = config(folder.path());
        config.format(false).await.unwrap();
        let (mut state, mut entries) = (State::default(), Vec::<Vec<u8>>::new());
        let journal = serve(&config).await;
        while state.count < CLOSED_AT {
            if CHECKPOINTS.contains(&state.count) {
                // The state is all entries: so a checkpoint shows what it holds.
                let mut checkpoint = journal.checkpoint(SeqNo(state.count)).await.unwrap();
                for bytes in &entries {
                    checkpoint.entry(bytes).await.unwrap();
                }
                checkpoint.commit().await.unwrap();
            }
            entries.push(append(&journal, &mut state).await);
        }
        journal.close().await.unwrap();
        let journal = serve(&config).await;
        for _ in 0..4 {
            entries.push(append(&journal, &mut state).await);
        }
        drop(journal);
        while config.primary().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Small { folder, entries }
    }

    fn end(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The files that are damaged, relative to the folder.
    fn files(&self) -> Vec<PathBuf> {
        let relative = |f: PathBuf| f.strip_prefix(self.folder.path()).unwrap().to_owned();
        files(self.folder.path())
            .into_iter()
            .map(relative)
            .collect()
    }

    fn log(&self, epoch: u64) -> PathBuf {
        format!("log/{epoch:020}-{:020}.log", 0).into()
    }

    fn bytes(&self, file: &Path) -> Vec<u8> {
        std::fs::read(self.folder.path().join(file)).unwrap()
    }

    fn is_prefix(&self, (first, read): &Read) {
        let all = &self.entries[*first as usize..];
        assert!(
            read.len() <= all.len() && read[..] == all[..read.len()],
            "wrong data: {read:?}"
        );
    }
}

/// What a damaged copy of a journal looks like from all sides.
struct Seen {
    primary: Result<(u64, Tail), Error>,
    reader: Result<u64, Error>,
    verify: Result<Verdict, Error>,
}

/// Looks at a copy; checks that nobody gets wrong data. `deep`: also serves.
async fn look(small: &Small, folder: &Path, deep: bool) -> Seen {
    let config = config(folder);
    let opened = config.reader().await;
    let verify = async {
        opened
            .as_ref()
            .map_err(Clone::clone)?
            .verify(|_, _| {})
            .await
    };
    let verify = verify.await.map(|report| report.verdict());
    let reader = async {
        let mut replay = opened.as_ref().map_err(Clone::clone)?.entries(None).await?;
        let (mut read, begin): (Vec<_>, _) = (Vec::new(), replay.next_seq().0);
        while let Some(item) = replay.next().await? {
            if let Item::Entry(entry) = item {
                assert_eq!(entry.seq.0, begin + read.len() as u64);
                read.push(entry.bytes.to_vec());
            }
        }
        let end = begin + read.len() as u64;
        small.is_prefix(&(begin, read));
        Ok(end)
    };
    let reader: Result<u64, Error> = reader.await;
    let follow = async {
        let reader = opened.as_ref().map_err(Clone::clone)?;
        let mut follow = reader.follow(Some(SeqNo(0))).await?;
        let mut read = Vec::new();
        loop {
            match follow.next().await? {
                FollowItem::Entry(entry) => read.push(entry.bytes.to_vec()),
                FollowItem::Checkpoint(_) => panic!("nothing was trimmed"),
                FollowItem::CaughtUp => return Ok(read),
            }
        }
    };
    if deep && let Ok(read) = follow.await as Result<_, Error> {
        small.is_prefix(&(0, read));
    }
    let primary = async {
        let mut recovery = config.primary().await?;
        let read = read_all(&mut recovery).await?;
        small.is_prefix(&read);
        let (end, tail) = (recovery.summary().end.0, recovery.summary().tail);
        assert_eq!(read.0 + read.1.len() as u64, end);
        if deep {
            serve_on(&config, recovery, read).await?;
        }
        Ok((end, tail))
    };
    Seen {
        primary: primary.await,
        reader,
        verify,
    }
}

/// What a primary goes on with is what it found.
async fn serve_on(config: &Config, recovery: Recovery, read: Read) -> Result<(), Error> {
    let journal = recovery.start().await?;
    journal.append(b"one more").await?;
    drop(journal);
    let mut replay = config.reader().await?.entries(Some(SeqNo(read.0))).await?;
    for expected in read.1.iter().map(Vec::as_slice).chain([&b"one more"[..]]) {
        let Some(Item::Entry(entry)) = replay.next().await? else {
            panic!("too short")
        };
        assert_eq!(entry.bytes, expected);
    }
    Ok(())
}

/// The error must say where.
fn names_the_place(case: &str, error: &Error) {
    let kinds = [
        ErrorKind::Corrupt,
        ErrorKind::NewerFormat,
        ErrorKind::HalfFormatted,
    ];
    assert!(
        kinds.contains(&error.kind()),
        "{case}: {:?}: {error}",
        error.kind()
    );
    let places = ["log/", "start/", "epoch/", "checkpoint/", "FORMAT"];
    let text = error.to_string();
    assert!(
        places.iter().any(|p| text.contains(p)),
        "{case}: no place: {error}"
    );
}

/// Checks what was seen: at least the entries below `least`, all below `whole`
/// unless the end is torn.
fn check(case: &str, seen: &Seen, least: u64, whole: u64) {
    match &seen.primary {
        Ok((end, tail)) => {
            assert!(
                *end >= least,
                "{case}: {end} of {whole} entries are left, without a word"
            );
            assert!(
                *end == whole || *tail != Tail::Clean,
                "{case}: {end}, and clean"
            );
        }
        Err(error) => names_the_place(case, error),
    }
    match &seen.reader {
        Ok(end) => assert!(
            *end >= least,
            "{case}: the reader ends at {end} without a word"
        ),
        Err(error) => names_the_place(case, error),
    }
    match (&seen.verify, &seen.primary) {
        (Err(error), Err(_)) => names_the_place(case, error),
        (Err(error), Ok(_)) => panic!("{case}: verify fails, opening does not: {error}"),
        (Ok(verdict), Err(error)) => {
            assert_eq!(*verdict, Verdict::Corrupt, "{case}: opening says {error}");
        }
        (Ok(verdict), Ok((end, _))) if *end < whole => {
            assert_eq!(*verdict, Verdict::Torn, "{case}: {end} of {whole} are left");
        }
        (Ok(_), Ok(_)) => {}
    }
    if let (Ok(Verdict::Clean), Ok(end)) = (&seen.verify, &seen.reader) {
        assert_eq!(*end, whole, "{case}");
    }
}

type Case = (String, Box<dyn Fn(&Path) + Send + Sync>, u64, u64);

/// Runs all cases on copies of the small journal, several at a time: a look
/// twice at a torn end takes its time.
async fn run(small: Small, cases: Vec<Case>) -> [usize; 3] {
    let (small, cases) = (Arc::new(small), Arc::new(cases));
    let next = Arc::new(AtomicUsize::new(0));
    let verdicts = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (small, cases, next) = (small.clone(), cases.clone(), next.clone());
        let verdicts = verdicts.clone();
        workers.spawn(async move {
            let copy = memory_folder();
            loop {
                let i = next.fetch_add(1, SeqCst);
                let Some((case, damage, least, whole)) = cases.get(i) else {
                    break;
                };
                let folder = copy.path().join("journal");
                copy_folder(small.folder.path(), &folder);
                damage(&folder);
                let seen = look(&small, &folder, i % 8 == 0).await;
                check(case, &seen, *least, *whole);
                let verdict = match &seen.primary {
                    Ok((end, _)) if end == whole => 0,
                    Ok(_) => 1,
                    Err(_) => 2,
                };
                verdicts[verdict].fetch_add(1, SeqCst);
                std::fs::remove_dir_all(&folder).unwrap();
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    [0, 1, 2].map(|i| verdicts[i].load(SeqCst))
}

/// The offsets of a log worth damaging: every byte of every 64 that hold
/// something, and a few of the zeros between and behind them.
fn places(bytes: &[u8]) -> Vec<usize> {
    let zeros = |at: &usize| bytes[at & !63..].iter().take(64).all(|b| *b == 0);
    (0..bytes.len())
        .filter(|at| !zeros(at) || at % 449 == 0)
        .collect()
}

#[test]
fn fc_13_every_flipped_byte_is_harmless_or_found() {
    runtime().block_on(async {
        let small = Small::new().await;
        let end = small.end();
        let mut cases: Vec<Case> = Vec::new();
        for file in small.files() {
            let bytes = small.bytes(&file);
            for at in places(&bytes) {
                let bits = if soak() { 0..8 } else { at % 8..at % 8 + 1 };
                for bit in bits {
                    let (name, target) = (format!("{}:{at}^{bit}", file.display()), file.clone());
                    let damage = move |folder: &Path| {
                        let path = folder.join(&target);
                        let mut bytes = std::fs::read(&path).unwrap();
                        bytes[at] ^= 1 << bit;
                        std::fs::write(&path, bytes).unwrap();
                    };
                    // The last entry is attested by no frame behind it.
                    cases.push((name, Box::new(damage), end - 1, end));
                }
            }
        }
        let n = cases.len();
        let [same, torn, refused] = run(small, cases).await;
        println!("{n} flips: {same} with the same data, {torn} torn, {refused} refused");
        assert!(torn > 60 && refused > 1000);
    });
}

/// The frames of a log of the small journal, read without the engine: offset
/// of the end, number after the last entry, durable mark.
fn frames(bytes: &[u8]) -> Vec<(usize, u64, u64)> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    (0..bytes.len())
        .step_by(4096)
        .take_while(|at| number(*at) != 0)
        .map(|at| {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let end = (at + 64 + word(at + 8) as usize).next_multiple_of(4096);
            (
                end,
                number(at + 16) + u64::from(word(at + 24)),
                number(at + 40),
            )
        })
        .collect()
}

#[test]
fn fc_13_every_truncated_length_of_a_log_is_torn_or_found() {
    runtime().block_on(async {
        let small = Small::new().await;
        let end = small.end();
        let mut cases: Vec<Case> = Vec::new();
        // Of a closed log the next one says how long it was: one error for all.
        for (epoch, step) in [(1, if soak() { 1 } else { 7 }), (2, 1)] {
            let file = small.log(epoch);
            let bytes = small.bytes(&file);
            let frames = frames(&bytes);
            for len in places(&bytes).into_iter().step_by(step) {
                let kept = frames.iter().filter(|(end, ..)| *end <= len);
                // A closed log must be whole. Of the last one nobody knows how
                // long it was: what its frames still attest has to be there, and
                // every whole one.
                let whole = match epoch {
                    1 => end,
                    _ => kept.clone().map(|f| f.1).max().unwrap_or(end),
                };
                let least = match epoch {
                    1 => end,
                    _ => kept.map(|f| f.2).max().unwrap_or(end).max(whole),
                };
                let target = file.clone();
                let damage = move |folder: &Path| {
                    let mut options = std::fs::OpenOptions::new();
                    let log = options.write(true).open(folder.join(&target)).unwrap();
                    log.set_len(len as u64).unwrap();
                    // Its fence was not there then.
                    let _ = std::fs::remove_file(folder.join(&target).with_extension("fence"));
                };
                cases.push((
                    format!("{} cut at {len}", file.display()),
                    Box::new(damage),
                    least,
                    whole,
                ));
            }
        }
        let n = cases.len();
        let [same, torn, refused] = run(small, cases).await;
        println!(
            "{n} truncations: {same} with all that is left, {torn} shorter, {refused} refused"
        );
    });
}

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

#[test]
fn a_missing_segment_is_corrupt_and_named() {
    runtime().block_on(async {
        let original = memory_folder();
        let config = config(original.path());
        config.format(false).await.unwrap();
        for epoch in 0..3u64 {
            let journal = serve(&config).await;
            for n in 0..60u64 {
                journal.append(&n.to_le_bytes()).await.unwrap();
                // The next segment is made in the background.
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            assert!(
                journal.counts().rolls >= 2,
                "epoch {epoch}: {:?}",
                journal.counts()
            );
            journal.close().await.unwrap();
        }
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
        let mut missed = 0;
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
            if !on_chain || is_last {
                continue;
            }
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
