//! NameNode and DataNodes killed, stopped and restarted under a store. One bed,
//! one test after the other; each begins with everything up.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::*;
use flushproof_api::*;
use flushproof_backend_hdfs::HdfsStore;
use flushproof_testbed::Bed;
use flushproof_testbed::hdfs::Hdfs;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

const DATANODES: [&str; 3] = ["datanode-1", "datanode-2", "datanode-3"];

/// The bed for one test alone, whole.
async fn whole() -> (&'static Bed, MutexGuard<'static, ()>) {
    static ONE: Mutex<()> = Mutex::const_new(());
    let guard = ONE.lock().await;
    let bed = tokio::task::spawn_blocking(bed).await.unwrap();
    for id in bed.processes() {
        let process = bed.process(id);
        if process.state() == Some('T') {
            process.cont().unwrap();
        }
        if process.state().is_none() {
            process.start().unwrap();
        }
    }
    for id in bed.processes() {
        bed.process(id).wait_ready().unwrap();
    }
    (bed, guard)
}

/// Appends as the engine does with `on_unknown = reopen`: after a failure the
/// log is fenced and the next one goes on.
struct Appender<'a> {
    store: &'a HdfsStore,
    log: Option<Box<dyn LogWriter>>,
    index: u32,
    /// Acknowledged batches of each log, all bytes of a batch alike.
    acknowledged: Vec<(StorePath, Vec<u8>)>,
    next: u8,
}

impl<'a> Appender<'a> {
    fn new(store: &'a HdfsStore) -> Appender<'a> {
        Appender {
            store,
            log: None,
            index: 0,
            acknowledged: Vec::new(),
            next: 0,
        }
    }

    /// A new one on the same store, behind one whose logs were fenced by a check.
    fn again(store: &'a HdfsStore, before: Appender<'_>) -> Appender<'a> {
        Appender {
            index: before.index,
            ..Appender::new(store)
        }
    }

    async fn flush(&mut self) -> Result<Flushed> {
        let log = match &mut self.log {
            Some(log) => log,
            slot => {
                let at = path(&format!("log/{}", self.index));
                self.index += 1;
                let log = self.store.create_log(&at, LogOptions::default()).await?;
                self.acknowledged.push((at, Vec::new()));
                slot.insert(log)
            }
        };
        let flushed = log.flush(batch(1, self.next)).await?;
        let (_, batches) = self.acknowledged.last_mut().unwrap();
        batches.push(self.next);
        self.next = self.next.wrapping_add(1);
        Ok(flushed)
    }

    /// One step of a take-over from oneself.
    async fn reopen(&mut self) -> Result<Flushed> {
        self.log = None;
        let (at, _) = self.acknowledged.last().unwrap();
        let began = Instant::now();
        let fenced = self.store.fence_log(at).await;
        println!("fencing {at} took {:?}", began.elapsed());
        fenced?;
        // As the engine: an object is claimed, too.
        put(self.store, &format!("epoch/{}", self.index), b"claim").await?;
        self.flush().await
    }

    /// Appends until it works with what is left; says after how long it did, and what
    /// failed first. Nothing fails where hdfs-native itself goes on without the
    /// DataNode.
    async fn recover(&mut self, limit: Duration) -> (Duration, Option<Error>) {
        let began = Instant::now();
        let first = match self.flush().await {
            Ok(_) => return (began.elapsed(), None),
            Err(e) => e,
        };
        println!("after {:?}: {first}", began.elapsed());
        assert_eq!(first.outcome(), Outcome::Unknown);
        while let Err(e) = self.reopen().await {
            println!("after {:?}: {e}", began.elapsed());
            assert!(began.elapsed() < limit, "{e}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (began.elapsed(), Some(first))
    }

    /// Everything acknowledged is there.
    async fn check(&self, store: &HdfsStore) {
        for (at, batches) in &self.acknowledged {
            let len = store.fence_log(at).await.unwrap();
            assert!(len >= batches.len() as u64 * BLOCK, "{at}");
            let bytes = read_all(store, at).await;
            for (n, fill) in batches.iter().enumerate() {
                let piece = &bytes[n * BLOCK as usize..][..BLOCK as usize];
                assert!(piece.iter().all(|b| b == fill), "{at} batch {n}");
            }
        }
    }
}

/// Kills a DataNode under load, so that a packet is in flight; says after how long
/// appends went on.
async fn kill_under_load(appender: &mut Appender<'_>, bed: &'static Bed, victim: &str) -> Duration {
    for _ in 0..20 {
        appender.flush().await.unwrap();
    }
    let name = victim.to_owned();
    let kill = tokio::task::spawn_blocking(move || bed.process(&name).kill().unwrap());
    let mut longest = Duration::ZERO;
    let mut first = None;
    while !kill.is_finished() || (longest.is_zero() && first.is_none()) {
        let (took, failed) = appender.recover(Duration::from_secs(20)).await;
        longest = longest.max(took);
        first = first.or(failed);
    }
    kill.await.unwrap();
    for _ in 0..20 {
        let (took, failed) = appender.recover(Duration::from_secs(20)).await;
        longest = longest.max(took);
        first = first.or(failed);
    }
    println!("{victim} died: appends went on after {longest:?}; {first:?}");
    if let Some(first) = first {
        assert_eq!(first.advice(), Advice::Reopen, "{first}");
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_appends_go_on_after_a_datanode_died_under_load() {
    let (bed, _guard) = whole().await;
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let mut appender = Appender::new(&store);
    for n in 0..2 {
        let victim = DATANODES[(std::process::id() as usize + n) % 3];
        let longest = kill_under_load(&mut appender, bed, victim).await;
        assert!(longest <= Duration::from_secs(5), "{longest:?}");
        appender.check(&open(bed, &uri).await).await;
        appender = Appender::again(&store, appender);
        bed.process(victim).start().unwrap();
    }
}

/// The port of a dead DataNode tells it; nothing waits for the deadline of a flush.
#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_dead_datanode_is_found_out_before_the_deadline() {
    for victim in DATANODES {
        let (bed, _guard) = whole().await;
        let uri = fresh(bed);
        let store = open_with(bed, &uri, &[("flush_timeout", "40s")]).await;
        let mut appender = Appender::new(&store);
        let longest = kill_under_load(&mut appender, bed, victim).await;
        assert!(longest <= Duration::from_secs(5), "{longest:?}");
        appender.check(&store).await;
    }
}

/// What a standby does first on a store that it has just opened: it claims an epoch,
/// fences and reads the old log, and writes one of its own. Says after how long it had
/// claimed, which is when it had written at all.
async fn take_over(bed: &Bed, uri: &StoreUri, old: &StorePath, n: usize) -> Duration {
    let began = Instant::now();
    let store = open(bed, uri).await;
    let opened = began.elapsed();
    put(&store, &format!("epoch/{n}"), b"claim").await.unwrap();
    let claimed = began.elapsed();
    assert_eq!(store.fence_log(old).await.unwrap(), 3 * BLOCK);
    assert_eq!(read_all(&store, old).await, batch(3, 7));
    let fenced = began.elapsed();
    let log = create_log(&store, &format!("log/{n}")).await;
    let flushed = log.unwrap().flush(batch(1, 8)).await.unwrap();
    assert_eq!(flushed.len, BLOCK);
    put(&store, &format!("start/{n}"), b"start").await.unwrap();
    let all = began.elapsed();
    println!("{n}: opened after {opened:?}, claimed {claimed:?}, fenced {fenced:?}, all {all:?}");
    claimed
}

/// A store that was not open when a DataNode died knows nothing of it, and for a while
/// the NameNode puts the dead one into every pipeline.
#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_store_is_opened_and_written_right_after_a_datanode_died() {
    for victim in DATANODES {
        let (bed, _guard) = whole().await;
        let uri = fresh(bed);
        let store = open(bed, &uri).await;
        let olds: Vec<_> = (0..2).map(|n| path(&format!("log/old-{n}"))).collect();
        let mut logs = Vec::new();
        for old in &olds {
            let mut log = store.create_log(old, LogOptions::default()).await.unwrap();
            log.flush(batch(3, 7)).await.unwrap();
            logs.push(log);
        }
        bed.process(victim).kill().unwrap();
        let standbys = olds.iter().enumerate();
        let standbys = standbys.map(|(n, old)| take_over(bed, &uri, old, n));
        let slowest = futures_util::future::join_all(standbys).await;
        let slowest = slowest.into_iter().max().unwrap();
        println!("{victim} died: the slower of two had claimed after {slowest:?}");
        // The NameNode counts it as dead 12 s after its last heartbeat: then all is easy.
        assert!(slowest < Duration::from_secs(11), "{slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_1_a_flush_says_that_a_copy_is_gone() {
    let (bed, _guard) = whole().await;
    let uri = fresh(bed);
    let store = open_with(bed, &uri, &[("check_pipeline", "true")]).await;
    let mut appender = Appender::new(&store);
    assert_eq!(appender.flush().await.unwrap().survives.lost_copies(), 2);
    let victim = DATANODES[(std::process::id() as usize + 2) % 3];
    bed.process(victim).kill().unwrap();
    let (took, _) = appender.recover(Duration::from_secs(20)).await;
    println!("{victim} died: an append worked after {took:?}");
    assert!(took <= Duration::from_secs(5), "{took:?}");
    for _ in 0..5 {
        let flushed = appender.flush().await.unwrap();
        assert_eq!(flushed.survives.lost_copies(), 1);
    }
    appender.check(&open(bed, &uri).await).await;
    // And that it is back: the next log gets all copies again.
    bed.process(victim).start().unwrap();
    let began = Instant::now();
    loop {
        appender.reopen().await.unwrap();
        if appender.flush().await.unwrap().survives.lost_copies() == 2 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_hung_datanode_is_an_error_within_the_deadline() {
    let (bed, _guard) = whole().await;
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let mut appender = Appender::new(&store);
    for _ in 0..5 {
        appender.flush().await.unwrap();
    }
    bed.process("datanode-2").stop().unwrap();
    let began = Instant::now();
    let e = error(appender.flush().await);
    let took = began.elapsed();
    assert_eq!(
        (e.kind(), e.advice()),
        (ErrorKind::TimedOut, Advice::Reopen),
        "{e}"
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
    while let Err(e) = appender.reopen().await {
        println!("after {:?}: {e}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(60), "{e}");
    }
    println!(
        "datanode-2 hung: appends went on after {:?}",
        began.elapsed()
    );
    // Reading passes a hung DataNode over.
    appender.check(&open(bed, &uri).await).await;
    bed.process("datanode-2").cont().unwrap();
    appender.check(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_a_hung_namenode_is_an_error_within_the_deadline() {
    let (bed, _guard) = whole().await;
    let uri = fresh(bed);
    let store = open_with(bed, &uri, &[("timeout", "2s")]).await;
    let mut appender = Appender::new(&store);
    appender.flush().await.unwrap();
    bed.process("namenode").stop().unwrap();
    let began = Instant::now();
    let e = error(appender.flush().await);
    assert_eq!(
        (e.kind(), e.outcome()),
        (ErrorKind::TimedOut, Outcome::Unknown),
        "{e}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    for what in 0..4 {
        let began = Instant::now();
        let e = match what {
            0 => error(create_log(&store, "log/x").await),
            1 => error(put(&store, "x", b"x").await),
            2 => error(store.delete(&path("x")).await),
            _ => error(try_open(bed, &uri, &[("timeout", "2s")], Mode::ReadOnly).await),
        };
        assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
        assert!(e.to_string().contains("option timeout"), "{e}");
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{what}: {:?}",
            began.elapsed()
        );
    }
    bed.process("namenode").cont().unwrap();
    while let Err(e) = appender.reopen().await {
        assert!(began.elapsed() < Duration::from_secs(40), "{e}");
    }
    appender.check(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_appends_go_on_after_the_namenode_was_restarted() {
    let (bed, _guard) = whole().await;
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let mut sealed = create_log(&store, "log/sealed").await.unwrap();
    sealed.flush(batch(2, 1)).await.unwrap();
    sealed.seal().await.unwrap();
    let mut gone = create_log(&store, "log/gone").await.unwrap();
    gone.flush(batch(2, 1)).await.unwrap();
    store.fence_log(&path("log/gone")).await.unwrap();
    store.delete(&path("log/gone")).await.unwrap();
    let mut appender = Appender::new(&store);
    for _ in 0..20 {
        appender.flush().await.unwrap();
    }
    bed.process("namenode").kill().unwrap();
    let began = Instant::now();
    let e = error(appender.flush().await);
    println!("the NameNode died: {e}");
    assert_eq!(e.outcome(), Outcome::Unknown);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    let began = Instant::now();
    let e = error(create_log(&store, "log/x").await);
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    bed.process("namenode").start().unwrap();
    let began = Instant::now();
    while let Err(e) = appender.reopen().await {
        println!("after {:?}: {e}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(30), "{e}");
    }
    println!(
        "the NameNode is back: appends went on after {:?}",
        began.elapsed()
    );
    let other = open(bed, &uri).await;
    appender.check(&other).await;
    let rows = names(&other).await;
    for there in ["log/sealed Log 1024", "log/gone Fence 1024"] {
        assert!(rows.iter().any(|row| row == there), "{there} in {rows:?}");
    }
    assert_eq!(
        kind(create_log(&other, "log/gone").await),
        ErrorKind::Fenced
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_12_safe_mode_is_told() {
    let (bed, _guard) = whole().await;
    let uri = fresh(bed);
    let store = open(bed, &uri).await;
    let mut appender = Appender::new(&store);
    appender.flush().await.unwrap();
    Hdfs.dfsadmin(bed.place(), &["-safemode", "enter"]).unwrap();
    let e = error(appender.flush().await);
    assert_eq!(
        (e.kind(), e.advice()),
        (ErrorKind::Unreachable, Advice::Reopen),
        "{e}"
    );
    for e in [
        e,
        error(create_log(&store, "log/x").await),
        error(put(&store, "x", b"x").await),
        error(try_open(bed, &fresh(bed), &[], Mode::ReadWrite).await),
    ] {
        assert!(e.to_string().contains("-safemode get"), "{e}");
    }
    // Reading works.
    let reads = try_open(bed, &uri, &[], Mode::ReadOnly).await.unwrap();
    assert!(!names(&reads).await.is_empty());
    Hdfs.dfsadmin(bed.place(), &["-safemode", "leave"]).unwrap();
    appender.reopen().await.unwrap();
    appender.check(&store).await;
}
