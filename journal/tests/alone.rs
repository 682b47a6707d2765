//! On a store that answers later a lone appender begins its flush itself and takes in
//! its answer. Nothing may depend on it: acks that are dropped or never polled again,
//! appenders that come in between, flushes that fail or hang.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use async_trait::async_trait;
use bytes::Bytes;
use flushproof::{Config, ErrorKind, Journal, OnUnknown, Registry, SeqNo, StoreUri, Survives};
use flushproof_api::*;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::ThreadId;
use std::time::{Duration, Instant};
use support::runtime;
use tokio::sync::oneshot;

/// A store in memory whose flushes of entries wait until the test lets them go.
#[derive(Clone, Debug)]
struct Held {
    inner: MemoryStore,
    contract: FlushContract,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// From now on flushes wait.
    holds: bool,
    waiting: Vec<oneshot::Sender<Result<Flushed>>>,
    answers: Vec<Result<Flushed>>,
    threads: Vec<ThreadId>,
}

impl Held {
    fn new(max_inflight: usize) -> Held {
        let inner = MemoryStore::new();
        let mut contract = inner.contract().clone();
        contract.flush_call = FlushCall::Detached;
        contract.max_inflight = max_inflight;
        Held {
            inner,
            contract,
            shared: Arc::default(),
        }
    }

    fn hold(&self) {
        self.shared.lock().unwrap().holds = true;
    }

    /// How many flushes wait.
    fn waiting(&self) -> usize {
        self.shared.lock().unwrap().waiting.len()
    }

    /// Answers everything that waits; later flushes are answered at once.
    fn release(&self, failure: Option<Error>) {
        let mut shared = self.shared.lock().unwrap();
        shared.holds = false;
        let answers = std::mem::take(&mut shared.answers);
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        for (to, answer) in waiting.into_iter().zip(answers) {
            let _ = to.send(failure.clone().map_or(answer, Err));
        }
    }

    /// Waits until so many flushes wait.
    async fn until_waiting(&self, n: usize) {
        let began = Instant::now();
        while self.waiting() < n {
            assert!(began.elapsed() < Duration::from_secs(10), "no flush began");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn journal(&self, change: impl FnOnce(&mut Config)) -> Journal {
        let mut config = Config::new(StoreUri::parse("held:").unwrap());
        config.registry = Registry::new().with(self.clone());
        config.require = Survives::NOTHING;
        // No mark comes in between.
        config.idle_mark = Duration::from_secs(100);
        change(&mut config);
        config.format(false).await.unwrap();
        let mut recovery = config.primary().await.unwrap();
        while recovery.next().await.unwrap().is_some() {}
        let journal = recovery.start().await.unwrap();
        journal.append(b"first").await.unwrap();
        journal
    }
}

#[async_trait]
impl StoreFactory for Held {
    fn schemes(&self) -> &[&str] {
        &["held"]
    }

    async fn open(&self, _: &StoreUri, _: &Options, _: Mode) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl JournalStore for Held {
    fn contract(&self) -> &FlushContract {
        &self.contract
    }
    async fn host_lock(&self, how: HostLock) -> Result<()> {
        self.inner.host_lock(how).await
    }
    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        self.inner.create_object(path, options).await
    }
    async fn create_log(&self, path: &StorePath, o: LogOptions) -> Result<Box<dyn LogWriter>> {
        Ok(Box::new(HeldLog {
            inner: self.inner.create_log(path, o).await?,
            shared: self.shared.clone(),
        }))
    }
    async fn open(&self, path: &StorePath, from: Source) -> Result<Box<dyn Reader>> {
        self.inner.open(path, from).await
    }
    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        self.inner.fence_log(path).await
    }
    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        self.inner.list(prefix)
    }
    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.inner.delete(path).await
    }
    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        self.inner.sweep(older_than).await
    }
    async fn space(&self) -> Result<Option<Space>> {
        self.inner.space().await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[derive(Debug)]
struct HeldLog {
    inner: Box<dyn LogWriter>,
    shared: Arc<Mutex<Shared>>,
}

#[async_trait]
impl LogWriter for HeldLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        let done = self.inner.flush(batch).try_ready().unwrap();
        let mut shared = self.shared.lock().unwrap();
        shared.threads.push(std::thread::current().id());
        if !shared.holds {
            return Flush::later(Box::pin(async { done }));
        }
        let (to, from) = oneshot::channel();
        shared.waiting.push(to);
        shared.answers.push(done);
        Flush::later(Box::pin(async { from.await.unwrap() }))
    }

    async fn seal(&mut self) -> Result<u64> {
        self.inner.seal().await
    }
}

/// Polls a future once.
async fn is_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// Waits until everything below `seq` is durable without asking for it, at most a
/// few seconds.
async fn durable(journal: &Journal, seq: u64) {
    let began = Instant::now();
    while journal.durable() < SeqNo(seq) {
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(5), "it is not taken in");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_lone_appender_flushes_on_its_own_thread() {
    let store = Held::new(4);
    let runtime = runtime();
    runtime.block_on(async {
        let journal = store.journal(|_| {}).await;
        store.shared.lock().unwrap().threads.clear();
        for _ in 0..10 {
            journal.append(b"entry").await.unwrap();
        }
        let threads = store.shared.lock().unwrap().threads.clone();
        // This very thread drives the future.
        assert_eq!(threads, vec![std::thread::current().id(); 10]);
        assert_eq!(journal.durable(), SeqNo(11));
        journal.close().await.unwrap();
    });
}

#[test]
fn fc_10_an_ack_that_is_dropped_leaves_its_flush_to_the_journal() {
    for max_inflight in [1, 4] {
        let store = Held::new(max_inflight);
        runtime().block_on(async {
            let journal = store.journal(|_| {}).await;
            store.hold();
            let short = Duration::from_millis(5);
            let append = tokio::time::timeout(short, journal.append(b"dropped"));
            append.await.unwrap_err();
            assert_eq!(store.waiting(), 1);
            store.release(None);
            durable(&journal, 2).await;
            journal.close().await.unwrap();
        });
    }
}

#[test]
fn an_ack_that_is_never_polled_again_stops_nobody() {
    let store = Held::new(4);
    runtime().block_on(async {
        let journal = store.journal(|_| {}).await;
        store.hold();
        let mut stuck = Box::pin(journal.append(b"stuck"));
        assert!(is_pending(&mut stuck).await);
        assert_eq!(store.waiting(), 1);
        store.release(None);
        durable(&journal, 2).await;
        stuck.await.unwrap();
        // A barrier does not wait for the ack either.
        store.hold();
        let mut stuck = Box::pin(journal.append(b"stuck again"));
        assert!(is_pending(&mut stuck).await);
        store.release(None);
        journal.durable_through(SeqNo(3)).await.unwrap();
        stuck.await.unwrap();
        journal.close().await.unwrap();
    });
}

#[test]
fn who_comes_in_between_is_flushed_beside_and_acknowledged_behind() {
    let store = Held::new(4);
    runtime().block_on(async {
        let journal = store.journal(|_| {}).await;
        store.hold();
        let mut first = Box::pin(journal.append(b"one"));
        assert!(is_pending(&mut first).await);
        let other = journal.clone();
        let second = tokio::spawn(async move { other.append(b"two").await });
        store.until_waiting(2).await; // beside the first, whose ack nobody polls
        store.release(None);
        let second = second.await.unwrap().unwrap();
        assert_eq!(second.seq, SeqNo(2));
        assert_eq!(journal.durable(), SeqNo(3));
        assert_eq!(first.await.unwrap().seq, SeqNo(1));
        journal.close().await.unwrap();
    });
}

#[test]
fn where_one_flush_is_under_way_the_next_follows_the_lone_one() {
    let store = Held::new(1);
    runtime().block_on(async {
        let journal = store.journal(|_| {}).await;
        store.hold();
        let mut first = Box::pin(journal.append(b"one"));
        assert!(is_pending(&mut first).await);
        let other = journal.clone();
        let second = tokio::spawn(async move { other.append(b"two").await });
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(store.waiting(), 1);
        store.release(None);
        assert_eq!(second.await.unwrap().unwrap().seq, SeqNo(2));
        assert_eq!(first.await.unwrap().seq, SeqNo(1));
        journal.close().await.unwrap();
    });
}

#[test]
fn fc_4_a_lone_flush_that_fails_is_reopened_or_final() {
    for on_unknown in [OnUnknown::Stop, OnUnknown::Reopen] {
        let store = Held::new(4);
        runtime().block_on(async {
            let journal = store.journal(|c| c.on_unknown = on_unknown).await;
            store.hold();
            let mut append = Box::pin(journal.append(b"unknown"));
            assert!(is_pending(&mut append).await);
            store.release(Some(Error::new(ErrorKind::Io, "the answer is lost")));
            match on_unknown {
                OnUnknown::Stop => {
                    let error = append.await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                    journal.append(b"more").await.unwrap_err();
                }
                _ => {
                    assert_eq!(append.await.unwrap().seq, SeqNo(1));
                    assert_eq!(journal.counts().reopens, 1);
                    journal.append(b"more").await.unwrap();
                    journal.close().await.unwrap();
                }
            }
        });
    }
}

#[test]
fn fc_12_a_lone_flush_that_hangs_is_an_error_in_time() {
    let store = Held::new(4);
    runtime().block_on(async {
        let limit = Duration::from_millis(200);
        let journal = store.journal(|c| c.flush_timeout = limit).await;
        store.hold();
        let began = Instant::now();
        let error = journal.append(b"hangs").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("200ms"), "{error}");
        assert!(began.elapsed() >= limit);
        store.release(None);
    });
}
