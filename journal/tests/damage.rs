//! Damage (FC-13 and recovery's verdicts): every byte of a small journal flipped
//! in turn, every truncation of its logs. A journal then has the same data, or
//! ends within its last undecided batch and says that it is torn, or refuses
//! with the place. Never wrong data, never less than a durable mark says without
//! a word.
//!
//! `FLUSHPROOF_SOAK=1` flips every bit instead of one in each byte.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Error, ErrorKind, FollowItem, Item, Recovery, SeqNo, Tail, Verdict};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use support::small::{Read, Small, config, frames, read_all};
use support::{copy_folder, memory_folder, runtime, soak};

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
                let seen = look(&small, &folder, i % 16 == 0).await;
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
        .filter(|at| !zeros(at) || at % 1499 == 0)
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
