//! Fencing and deleting (FC-7, FC-9), on a real server.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::*;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_a_fenced_writer_never_acknowledges_again() {
    let at = fresh();
    let (old, new) = (open_at(&at).await, open_at(&at).await);
    let name = path("log/1-0");
    let mut log = create_log(&old, "log/1-0").await.unwrap();
    let flushed = log.flush(batch(&old, 3, 1)).await.unwrap();
    assert_eq!(new.fence_log(&name).await.unwrap(), flushed.len);
    for _ in 0..2 {
        let e = error(log.flush(batch(&old, 1, 2)).await);
        assert_eq!(
            (e.kind(), e.advice()),
            (ErrorKind::Fenced, Advice::StandDown)
        );
    }
    assert_eq!(kind(log.seal().await), ErrorKind::Fenced);
    // The first of the two went to the server before it said so.
    assert!(old.fence_log(&name).await.unwrap() >= flushed.len);
    let bytes = read_all(&new, &name).await;
    assert!(bytes[..flushed.len as usize].iter().all(|b| *b == 1));
    for missing in ["log/9-9", "none/9-9"] {
        let fenced = new.fence_log(&path(missing)).await;
        assert_eq!(kind(fenced), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_a_log_that_was_fenced_through_a_mount_is_refused() {
    // Empty while whoever fences is between two steps; then the length, twice.
    for note in [String::new(), format!("{:020} {0:020}\n", 8192)] {
        let at = fresh();
        let logs = folder(bed(), &at).join("log");
        std::fs::create_dir_all(&logs).unwrap();
        std::fs::write(logs.join("1-0.log"), vec![7; 8192]).unwrap();
        std::fs::write(logs.join("1-0.fence"), &note).unwrap();
        let e = error(open_at(&at).await.fence_log(&path("log/1-0")).await);
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("nfs:///"), "{e}");
        assert_eq!(files(&logs), ["1-0.fence", "1-0.log"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_an_idle_writer_learns_it_when_it_seals() {
    let store = open_at(&fresh()).await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 0);
    assert_eq!(kind(log.seal().await), ErrorKind::Fenced);
    assert_eq!(
        kind(log.flush(batch(&store, 1, 1)).await),
        ErrorKind::Fenced
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_every_acknowledged_byte_lies_below_the_fence() {
    let at = fresh();
    let old = Arc::new(open_at(&at).await);
    let new = open_at(&at).await;
    for round in 0..30 {
        let name = format!("log/{round}");
        let mut log = create_log(old.as_ref(), &name).await.unwrap();
        let writer = old.clone();
        let task = tokio::spawn(async move {
            let mut acknowledged = 0;
            loop {
                // Several under way, and more than one WRITE in some.
                let blocks = [1, 3, 300, 1];
                let flushes = blocks.map(|n| log.flush(batch(writer.as_ref(), n, 1)));
                for flush in flushes {
                    match flush.await {
                        Ok(flushed) => acknowledged = flushed.len,
                        Err(e) => return (acknowledged, e.kind()),
                    }
                }
            }
        });
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        let len = new.fence_log(&path(&name)).await.unwrap();
        let reader = new.open(&path(&name), Source::Medium).await.unwrap();
        let bytes = reader.read(0..len.min(MAX_READ)).await.unwrap();
        let (acknowledged, kind) = task.await.unwrap();
        assert_eq!(kind, ErrorKind::Fenced);
        assert!(acknowledged <= len, "{acknowledged} > {len}");
        let read = acknowledged.min(MAX_READ) as usize;
        assert!(bytes[..read].iter().all(|b| *b == 1));
        assert!(new.fence_log(&path(&name)).await.unwrap() >= len);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_a_creation_that_races_with_a_fence_has_no_window() {
    let at = fresh();
    let old = Arc::new(open_at(&at).await);
    let new = open_at(&at).await;
    for round in 0..40u64 {
        let name = format!("log/{round}");
        let (creator, at) = (old.clone(), name.clone());
        let task = tokio::spawn(async move {
            let mut log = create_log(creator.as_ref(), &at).await?;
            log.flush(batch(creator.as_ref(), 1, 1)).await
        });
        let len = loop {
            match new.fence_log(&path(&name)).await {
                Ok(len) => break len,
                Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
            }
        };
        match task.await.unwrap() {
            Ok(flushed) => assert!(flushed.len <= len),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Fenced, "{e}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_7_a_deleted_logs_fence_stays_and_stops_its_writer() {
    let at = fresh();
    let store = open_at(&at).await;
    let name = path("log/1-0");
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(Bytes::from(vec![9; 1 << 20])).await.unwrap();
    let reader = store.open(&name, Source::Medium).await.unwrap();
    let len = store.fence_log(&name).await.unwrap();
    assert_eq!(len, 1 << 20);
    for _ in 0..2 {
        store.delete(&name).await.unwrap();
        store.delete(&path("never/there")).await.unwrap();
    }
    // Not read as a shorter one, nor as zeros.
    assert_eq!(kind(reader.read(0..10).await), ErrorKind::NotFound);
    assert_eq!(kind(reader.len().await), ErrorKind::NotFound);
    assert_eq!(names(&store).await, ["log/1-0 Fence 1048576"]);
    assert_eq!(store.fence_log(&name).await.unwrap(), len);
    let seen = folder(bed(), &at);
    assert_eq!(files(&seen), ["log/1-0.fence", "log/1-0.fence2"]);
    let meta = std::fs::metadata(seen.join("log/1-0.fence")).unwrap();
    assert_eq!((meta.nlink(), meta.blocks()), (2, 0), "its room is free");
    assert_eq!(
        kind(log.flush(batch(&store, 1, 2)).await),
        ErrorKind::Fenced
    );
    let e = error(create_log(&store, "log/1-0").await);
    assert_eq!(
        (e.kind(), e.advice()),
        (ErrorKind::Fenced, Advice::StandDown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_a_fence_that_stopped_half_way_is_completed() {
    // A fencer that died after its first link, and a deleter that came then: the
    // file has one link, its fence's. (By hand, and ganesha told by a restart.)
    let bed = bed_of_its_own();
    let at = uri(&bed.fresh_uri());
    let store = open_on(&bed, &at, "10s").await;
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    log.flush(batch(&store, 2, 1)).await.unwrap();
    bed.process(GANESHA).kill().unwrap();
    let seen = folder(&bed, &at);
    std::fs::rename(seen.join("log/1-0.log"), seen.join("log/1-0.fence")).unwrap();
    bed.process(GANESHA).start().unwrap();
    assert_eq!(store.fence_log(&path("log/1-0")).await.unwrap(), 8192);
    assert_eq!(files(&seen), ["log/1-0.fence", "log/1-0.fence2"]);
    assert_eq!(
        kind(log.flush(batch(&store, 1, 1)).await),
        ErrorKind::Fenced
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_the_writer_of_a_deleted_log_is_not_acknowledged() {
    let at = fresh();
    let (old, new) = (open_at(&at).await, open_at(&at).await);
    let mut log = create_log(&old, "log/1-0").await.unwrap();
    log.flush(batch(&old, 1, 1)).await.unwrap();
    new.delete(&path("log/1-0")).await.unwrap();
    for _ in 0..3 {
        error(log.flush(batch(&old, 1, 1)).await);
    }
    assert_eq!(names(&new).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_7_a_fence_that_appears_while_a_log_is_created_refuses_it() {
    // The old fence leads to another file than the new log: made by hand, with
    // ganesha down.
    let bed = bed_of_its_own();
    let at = uri(&bed.fresh_uri());
    let store = open_on(&bed, &at, "10s").await;
    put(&store, "log/other", &b"x"[..]).await.unwrap();
    bed.process(GANESHA).kill().unwrap();
    let seen = folder(&bed, &at);
    std::fs::hard_link(seen.join("log/other"), seen.join("log/1-0.fence2")).unwrap();
    bed.process(GANESHA).start().unwrap();
    assert_eq!(kind(create_log(&store, "log/1-0").await), ErrorKind::Fenced);
    assert!(!seen.join("log/1-0.log").exists());
}

const GANESHA: &str = flushproof_testbed::nfs::GANESHA;

fn bed_of_its_own() -> flushproof_testbed::Bed {
    flushproof_testbed::Bed::start(&flushproof_testbed::nfs::NFS).unwrap()
}

/// Says to which place a test process of ours writes as a primary.
const ZOMBIE: &str = "FLUSHPROOF_ZOMBIE";

/// Not a test of its own: the old primary of the one below, in a process that
/// can be stopped. It prints the length of each acknowledgement.
#[tokio::test(flavor = "multi_thread")]
async fn zombie() {
    let Ok(text) = std::env::var(ZOMBIE) else {
        return;
    };
    let (port, at) = text.split_once(' ').unwrap();
    let options = Options::new().with("mount_port", port);
    let at = uri(at);
    let store = flushproof_backend_nfs::NfsStore::open(&at, &options, Mode::ReadWrite);
    let store = store.await.unwrap();
    let mut log = create_log(&store, "log/1-0").await.unwrap();
    let mut out = std::io::stdout();
    loop {
        let flushes = [1, 2, 3, 4].map(|n| log.flush(batch(&store, n, 1)));
        for flush in flushes {
            match flush.await {
                Ok(flushed) => writeln!(out, "acknowledged {}", flushed.len).unwrap(),
                Err(e) => {
                    writeln!(out, "ended {}", e.kind()).unwrap();
                    return;
                }
            }
        }
    }
}

struct Zombie(Child);

impl Drop for Zombie {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Zombie {
    fn start(at: &StoreUri) -> Zombie {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["zombie", "--exact", "--nocapture"]);
        command.env(ZOMBIE, format!("{} {at}", bed().place().ports[1]));
        Zombie(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, signal).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_a_stopped_and_woken_primary_acknowledges_nothing_that_is_not_below() {
    use nix::sys::signal::Signal;
    for round in 0..rounds(5) {
        let at = fresh();
        let store = open_at(&at).await;
        let mut zombie = Zombie::start(&at);
        let mut lines = BufReader::new(zombie.0.stdout.take().unwrap()).lines();
        let acknowledged = |line: &str| {
            let n = line.strip_prefix("acknowledged ")?;
            n.parse::<u64>().ok()
        };
        // Somewhere between a write and its look at the reply.
        let mut last = 0;
        while last < 4096 * 100 {
            last = acknowledged(&lines.next().unwrap().unwrap()).unwrap_or(last);
        }
        std::thread::sleep(Duration::from_micros(137 * (round % 13)));
        zombie.signal(Signal::SIGSTOP);
        let len = store.fence_log(&path("log/1-0")).await.unwrap();
        let before = read_all(&store, &path("log/1-0")).await;
        zombie.signal(Signal::SIGCONT);
        let mut ended = String::new();
        for line in lines {
            let line = line.unwrap();
            match acknowledged(&line) {
                Some(n) => last = n,
                None if line.starts_with("ended ") => ended = line,
                None => {}
            }
        }
        assert_eq!(ended, "ended fenced");
        assert!(last <= len, "acknowledged {last}, fenced at {len}");
        assert!(before[..last as usize].iter().all(|b| *b == 1));
    }
}

fn rounds(default: u64) -> u64 {
    let set = std::env::var("FLUSHPROOF_ZOMBIE_ROUNDS");
    set.map_or(default, |n| n.parse().unwrap())
}
