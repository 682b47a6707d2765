//! A store around another one that fails, hangs or yields at chosen calls, and
//! answers flushes as it is told.

use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::*;
use futures_util::StreamExt;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::Random;

/// What happens to the call with the chosen number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails; nothing was done.
    Before,
    /// It fails; all of it was done.
    After,
    /// It and everything behind it fails and does nothing: a killed process.
    Dead,
    /// As [`Fault::Dead`], but the chosen call was carried out.
    DeadAfter,
    /// It is carried out, and does not answer before the script releases it.
    Hang,
    /// It is carried out only when the script releases it: a process that was stopped.
    Hold,
}

/// Which call is hit, and how; shared by all handles of one store.
#[derive(Default)]
pub struct Script {
    calls: AtomicU64,
    flushes: AtomicU64,
    plan: Mutex<Option<Plan>>,
    fired: AtomicBool,
    what: Mutex<String>,
    released: Mutex<bool>,
    wake: Condvar,
    /// Every call lets others run before and after it.
    pub yields: AtomicBool,
    /// How long a flush that is answered later may take, beside the usual, in µs.
    pub slow: AtomicU64,
}

#[derive(Clone, Copy)]
struct Plan {
    at: u64,
    fault: Fault,
    only_flushes: bool,
    /// A second call that is hit: so many behind the first.
    then: Option<u64>,
}

/// What became of one call's turn.
enum Turn {
    Go,
    Fail,
    /// Do it, then fail.
    Lie,
    /// Do it, then hang.
    Hang,
    /// Hang, then do it.
    Hold,
}

impl Script {
    /// The call with this number, counted from now on, is hit.
    pub fn hit(&self, at: u64, fault: Fault) {
        self.plan(Plan {
            at: self.calls.load(SeqCst) + at,
            fault,
            only_flushes: false,
            then: None,
        });
    }

    /// The flush with this number, counted from now on, is hit.
    pub fn hit_flush(&self, at: u64, fault: Fault) {
        self.plan(Plan {
            at: self.flushes.load(SeqCst) + at,
            fault,
            only_flushes: true,
            then: None,
        });
    }

    /// This flush fails, and the `then`th call of any kind behind it.
    pub fn hit_flush_and_then(&self, at: u64, fault: Fault, then: u64) {
        self.plan(Plan {
            at: self.flushes.load(SeqCst) + at,
            fault,
            only_flushes: true,
            then: Some(then),
        });
    }

    fn plan(&self, plan: Plan) {
        self.fired.store(false, SeqCst);
        *self.released.lock().unwrap() = false;
        *self.plan.lock().unwrap() = Some(plan);
    }

    /// Nothing is hit any more; what hangs goes on.
    pub fn heal(&self) {
        *self.plan.lock().unwrap() = None;
        *self.released.lock().unwrap() = true;
        self.wake.notify_all();
    }

    /// Whether the chosen call was reached.
    pub fn fired(&self) -> bool {
        self.fired.load(SeqCst)
    }

    /// Which call was hit.
    pub fn what(&self) -> String {
        self.what.lock().unwrap().clone()
    }

    pub fn flushes(&self) -> u64 {
        self.flushes.load(SeqCst)
    }

    fn turn(&self, what: &str) -> Turn {
        let call = self.calls.fetch_add(1, SeqCst);
        let flush = match what {
            "flush" => Some(self.flushes.fetch_add(1, SeqCst)),
            _ => None,
        };
        let Some(plan) = *self.plan.lock().unwrap() else {
            return Turn::Go;
        };
        let number = if plan.only_flushes { flush } else { Some(call) };
        let dead = matches!(plan.fault, Fault::Dead | Fault::DeadAfter)
            && (self.fired() || number.is_some_and(|n| n > plan.at));
        if dead {
            return Turn::Fail;
        }
        if number != Some(plan.at) {
            return Turn::Go;
        }
        *self.what.lock().unwrap() = what.to_owned();
        match plan.then {
            None => self.fired.store(true, SeqCst),
            Some(then) => {
                *self.plan.lock().unwrap() = Some(Plan {
                    at: call + 1 + then,
                    only_flushes: false,
                    then: None,
                    ..plan
                });
            }
        }
        match plan.fault {
            Fault::Before | Fault::Dead => Turn::Fail,
            Fault::After | Fault::DeadAfter => Turn::Lie,
            Fault::Hang => Turn::Hang,
            Fault::Hold => Turn::Hold,
        }
    }

    fn wait_blocking(&self) {
        let mut released = self.released.lock().unwrap();
        let began = std::time::Instant::now();
        while !*released && began.elapsed() < Duration::from_secs(10) {
            let woken = self.wake.wait_timeout(released, Duration::from_secs(1));
            released = woken.unwrap().0;
        }
    }

    async fn wait(&self) {
        while !*self.released.lock().unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn pause(&self) {
        if self.yields.load(SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    /// One call, as the plan wants it.
    async fn call<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.pause().await;
        let turn = self.turn(what);
        if let Turn::Fail = turn {
            return Err(broken(what));
        }
        if let Turn::Hold = turn {
            self.wait().await;
        }
        let done = work.await;
        self.pause().await;
        match turn {
            Turn::Lie => Err(broken(what)),
            Turn::Hang => {
                self.wait().await;
                done
            }
            Turn::Go | Turn::Hold | Turn::Fail => done,
        }
    }
}

/// An I/O error whose outcome is unknown.
fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{what}: the test lets it fail"))
}

/// How flushes are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// On the calling thread, as the store inside does.
    Inline,
    /// Later and in any order, several under way; a failed one leaves a hole of
    /// zeros, and those behind it may have landed.
    Later,
}

/// The store; its clones share everything.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn JournalStore>,
    pub script: Arc<Script>,
    contract: FlushContract,
    answers: Answers,
}

impl Faulty {
    pub fn new(inner: Arc<dyn JournalStore>, answers: Answers) -> Faulty {
        let mut contract = inner.contract().clone();
        if answers == Answers::Later {
            contract.flush_call = FlushCall::Detached;
            contract.max_inflight = 4;
        }
        Faulty {
            inner,
            script: Arc::default(),
            contract,
            answers,
        }
    }

    /// A factory that opens this store under another scheme.
    pub fn named(&self, scheme: &'static str) -> Factory {
        Factory(self.clone(), scheme)
    }

    /// A registry that opens this store as `faulty:`.
    pub fn registry(&self) -> Registry {
        Registry::new().with(self.named("faulty"))
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

pub struct Factory(Faulty, &'static str);

#[async_trait]
impl StoreFactory for Factory {
    fn schemes(&self) -> &[&str] {
        std::slice::from_ref(&self.1)
    }

    async fn open(&self, _: &StoreUri, _: &Options, _: Mode) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(self.0.clone()))
    }
}

#[async_trait]
impl JournalStore for Faulty {
    fn contract(&self) -> &FlushContract {
        &self.contract
    }

    async fn host_lock(&self, how: HostLock) -> Result<()> {
        self.script
            .call("host_lock", self.inner.host_lock(how))
            .await
    }

    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        let created = self.inner.create_object(path, options);
        let inner = self.script.call("create_object", created).await?;
        let script = self.script.clone();
        Ok(Box::new(FaultyObject { inner, script }))
    }

    async fn create_log(
        &self,
        path: &StorePath,
        options: LogOptions,
    ) -> Result<Box<dyn LogWriter>> {
        let created = self.inner.create_log(path, options);
        let inner = self.script.call("create_log", created).await?;
        Ok(Box::new(FaultyLog {
            inner,
            script: self.script.clone(),
            answers: self.answers,
            failed: Arc::default(),
            random: Random::seeded(path.as_str().len() as u64),
        }))
    }

    async fn open(&self, path: &StorePath, from: Source) -> Result<Box<dyn Reader>> {
        let opened = self.inner.open(path, from);
        let inner = self.script.call("open", opened).await?;
        let script = self.script.clone();
        Ok(Box::new(FaultyReader { inner, script }))
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        self.script
            .call("fence_log", self.inner.fence_log(path))
            .await
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        let rows = self.inner.list(prefix);
        let all = async move { self.script.call("list", async { Ok(rows) }).await };
        let rows = futures_util::stream::once(all).flat_map(|rows| match rows {
            Ok(rows) => rows,
            Err(error) => Box::pin(futures_util::stream::iter([Err(error)])),
        });
        Box::pin(rows)
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.script.call("delete", self.inner.delete(path)).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        self.script
            .call("sweep", self.inner.sweep(older_than))
            .await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.script.call("space", self.inner.space()).await
    }

    /// The store inside stays open for the next user.
    async fn close(&self) -> Result<()> {
        self.script.call("close", async { Ok(()) }).await
    }
}

#[derive(Debug)]
struct FaultyObject {
    inner: Box<dyn ObjectWriter>,
    script: Arc<Script>,
}

#[async_trait]
impl ObjectWriter for FaultyObject {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.script.call("write", self.inner.write(bytes)).await
    }

    async fn commit(&mut self) -> Result<u64> {
        self.script.call("commit", self.inner.commit()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.script.call("abort", self.inner.abort()).await
    }
}

#[derive(Debug)]
struct FaultyReader {
    inner: Box<dyn Reader>,
    script: Arc<Script>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

#[async_trait]
impl Reader for FaultyReader {
    async fn len(&self) -> Result<u64> {
        self.script.call("len", self.inner.len()).await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.script.call("read", self.inner.read(range)).await
    }
}

#[derive(Debug)]
struct FaultyLog {
    inner: Box<dyn LogWriter>,
    script: Arc<Script>,
    answers: Answers,
    /// The first failure; every flush behind it fails too (FC-4).
    failed: Arc<AtomicBool>,
    random: Random,
}

impl FaultyLog {
    fn now(&mut self, batch: Bytes) -> Result<Flushed> {
        match self.inner.flush(batch).try_ready() {
            Ok(result) => result,
            Err(_) => Err(broken("a store that answers later")),
        }
    }

    fn flush_inline(&mut self, batch: Bytes) -> Result<Flushed> {
        let turn = self.script.turn("flush");
        if self.failed.load(SeqCst) || matches!(turn, Turn::Fail) {
            self.failed.store(true, SeqCst);
            return Err(broken("flush"));
        }
        if let Turn::Hold = turn {
            self.script.wait_blocking();
        }
        let done = self.now(batch);
        match turn {
            Turn::Lie => {
                self.failed.store(true, SeqCst);
                Err(broken("flush"))
            }
            Turn::Hang => {
                self.script.wait_blocking();
                done
            }
            Turn::Go | Turn::Hold | Turn::Fail => done,
        }
    }

    /// Where the bytes land is decided at once, when they do at the answer.
    fn flush_later(&mut self, batch: Bytes) -> Flush {
        let turn = self.script.turn("flush");
        // Those that are under way already when one fails may be good.
        let failed = self.failed.load(SeqCst);
        let fails = failed || matches!(turn, Turn::Fail | Turn::Lie);
        let lands = !fails || matches!(turn, Turn::Lie) || self.random.below(2) == 0;
        let bytes = match lands {
            true => batch,
            false => vec![0; batch.len()].into(),
        };
        let done = match failed && self.random.below(2) == 0 {
            true => Err(broken("flush")), // nothing of it landed
            false => self.now(bytes),
        };
        let script = self.script.clone();
        let delay = self.random.micros(800 + script.slow.load(SeqCst));
        let known = self.failed.clone();
        let hangs = matches!(turn, Turn::Hang | Turn::Hold);
        let answer = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if hangs {
                script.wait().await;
            }
            match fails {
                true => {
                    known.store(true, SeqCst);
                    Err(broken("flush"))
                }
                false => done,
            }
        });
        Flush::later(Box::pin(async move {
            answer.await.unwrap_or_else(|_| Err(broken("flush")))
        }))
    }
}

#[async_trait]
impl LogWriter for FaultyLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        match self.answers {
            Answers::Inline => Flush::ready(self.flush_inline(batch)),
            Answers::Later => self.flush_later(batch),
        }
    }

    async fn seal(&mut self) -> Result<u64> {
        if self.failed.load(SeqCst) {
            return Err(broken("seal"));
        }
        self.script.call("seal", self.inner.seal()).await
    }
}
