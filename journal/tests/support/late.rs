//! A store around another one whose flushes are answered after a fixed time, by
//! a thread of its own that keeps time better than a runtime's timer. It may also
//! hide every log that is neither sealed nor fenced.

use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::*;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

type Answer = (Instant, oneshot::Sender<Result<Flushed>>, Result<Flushed>);

/// The store; its clones share everything.
#[derive(Clone, Debug)]
pub struct Late {
    inner: MemoryStore,
    contract: FlushContract,
    delay: Duration,
    answers: Arc<Mutex<Sender<Answer>>>,
    /// Where logs are hidden: those that can be seen.
    seen: Option<Arc<Mutex<BTreeSet<StorePath>>>>,
    /// This one sees what others hide.
    sighted: bool,
}

/// A reader of a log that can't be seen. It stays empty: a real one has taken the
/// length when it was opened.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Reader for Nothing {
    async fn len(&self) -> Result<u64> {
        Ok(0)
    }

    async fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes> {
        let text = format!("read of {range:?} is out of range");
        Err(Error::new(ErrorKind::InvalidInput, text))
    }
}

impl Late {
    /// The same, but a log can't be seen before it is sealed or fenced.
    pub fn hiding(mut self) -> Late {
        self.contract.visibility = Visibility::OnSeal;
        self.seen = Some(Arc::default());
        self
    }

    /// The same logs, all of them to be seen.
    pub fn sighted(mut self) -> Late {
        self.contract.visibility = Visibility::Now;
        self.sighted = true;
        self
    }

    fn show(&self, path: &StorePath) {
        if let Some(seen) = &self.seen {
            seen.lock().unwrap().insert(path.clone());
        }
    }

    fn shows(&self, path: &StorePath) -> bool {
        let seen = self.seen.as_ref();
        seen.is_none_or(|seen| seen.lock().unwrap().contains(path))
    }

    fn hides(&self, path: &StorePath) -> bool {
        path.as_str().starts_with("log/") && !self.sighted && !self.shows(path)
    }

    pub fn new(inner: MemoryStore, delay: Duration, max_inflight: usize) -> Late {
        let mut contract = inner.contract().clone();
        contract.flush_call = FlushCall::Detached;
        contract.max_inflight = max_inflight;
        let (sender, receiver) = channel::<Answer>();
        std::thread::spawn(move || {
            // All take the same time, so they are due in the order of their coming.
            let mut due = VecDeque::new();
            loop {
                match due.front() {
                    None => match receiver.recv() {
                        Ok(answer) => due.push_back(answer),
                        Err(_) => return,
                    },
                    Some((at, _, _)) => {
                        let wait = at.saturating_duration_since(Instant::now());
                        match receiver.recv_timeout(wait) {
                            Ok(answer) => due.push_back(answer),
                            Err(_) => answer(due.pop_front()),
                        }
                    }
                }
            }
        });
        Late {
            inner,
            contract,
            delay,
            answers: Arc::new(Mutex::new(sender)),
            seen: None,
            sighted: false,
        }
    }
}

/// Serves `memory:` by stores that hide what is not sealed, one for each name.
#[derive(Default)]
pub struct Hiding {
    stores: Mutex<BTreeMap<String, Late>>,
    from_readers: bool,
}

impl Hiding {
    /// Those that may write see everything.
    pub fn from_readers() -> Hiding {
        Hiding {
            from_readers: true,
            ..Hiding::default()
        }
    }
}

#[async_trait]
impl StoreFactory for Hiding {
    fn schemes(&self) -> &[&str] {
        &["memory"]
    }

    async fn open(&self, uri: &StoreUri, _: &Options, mode: Mode) -> Result<Arc<dyn JournalStore>> {
        let new = || Late::new(MemoryStore::new(), Duration::from_micros(100), 1).hiding();
        let mut stores = self.stores.lock().unwrap();
        let store = stores.entry(uri.to_string()).or_insert_with(new).clone();
        Ok(match self.from_readers && mode == Mode::ReadWrite {
            true => Arc::new(store.sighted()),
            false => Arc::new(store),
        })
    }
}

fn answer(due: Option<Answer>) {
    if let Some((at, to, result)) = due {
        while Instant::now() < at {
            std::hint::spin_loop();
        }
        let _ = to.send(result);
    }
}

#[async_trait]
impl StoreFactory for Late {
    fn schemes(&self) -> &[&str] {
        &["late"]
    }

    async fn open(&self, _: &StoreUri, _: &Options, _: Mode) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl JournalStore for Late {
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

    async fn create_log(
        &self,
        path: &StorePath,
        options: LogOptions,
    ) -> Result<Box<dyn LogWriter>> {
        Ok(Box::new(LateLog {
            inner: self.inner.create_log(path, options).await?,
            delay: self.delay,
            answers: self.answers.lock().unwrap().clone(),
            store: self.clone(),
            path: path.clone(),
        }))
    }

    async fn open(&self, path: &StorePath, from: Source) -> Result<Box<dyn Reader>> {
        let reader = self.inner.open(path, from).await?;
        Ok(if self.hides(path) {
            Box::new(Nothing)
        } else {
            reader
        })
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        let len = self.inner.fence_log(path).await?;
        self.show(path);
        Ok(len)
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        let rows = self.inner.list(prefix).map(|row| {
            let mut row = row?;
            if row.kind == ListedKind::Log && self.seen.is_some() {
                row.sealed = self.shows(&row.path);
                row.len *= u64::from(!self.hides(&row.path));
            }
            Ok(row)
        });
        Box::pin(rows)
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
struct LateLog {
    inner: Box<dyn LogWriter>,
    delay: Duration,
    answers: Sender<Answer>,
    store: Late,
    path: StorePath,
}

#[async_trait]
impl LogWriter for LateLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        let done = match self.inner.flush(batch).try_ready() {
            Ok(done) => done,
            Err(later) => return later,
        };
        let (to, from) = oneshot::channel();
        let due = Instant::now() + self.delay;
        let _ = self.answers.send((due, to, done));
        Flush::later(Box::pin(async move {
            from.await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the test has ended")))
        }))
    }

    async fn seal(&mut self) -> Result<u64> {
        let len = self.inner.seal().await?;
        self.store.show(&self.path);
        Ok(len)
    }
}
