//! [`MemoryStore`]: the reference implementation, in the memory of this process.
//!
//! Read it to see what each method must do; everything that a real backend adds
//! is about the storage. Handles made by [`Clone`] or by one
//! [`MemoryFactory`] under one name share their content, as processes share a disk.

use crate::*;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A store in memory; nothing survives the process.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    contract: Arc<FlushContract>,
    mode: Mode,
}

#[derive(Debug, Default)]
struct Shared {
    objects: BTreeMap<StorePath, (Bytes, SystemTime)>,
    logs: BTreeMap<StorePath, Arc<Mutex<Log>>>,
    /// Fences outlive their logs (FC-9 d); the value is the length found.
    fences: BTreeMap<StorePath, u64>,
}

#[derive(Debug)]
struct Log {
    bytes: BytesMut,
    fenced: bool,
    sealed: bool,
    modified: SystemTime,
}

impl MemoryStore {
    /// A new, empty store.
    pub fn new() -> MemoryStore {
        MemoryStore {
            shared: Arc::default(),
            contract: Arc::new(contract()),
            mode: Mode::ReadWrite,
        }
    }

    /// What writes asks first.
    fn writable(&self, path: &StorePath) -> Result<()> {
        match self.mode {
            Mode::ReadWrite => Ok(()),
            _ => {
                let text = "the store was opened for reading only";
                let refused = error(ErrorKind::PermissionDenied, path, text);
                Err(refused.with_outcome(Outcome::NotWritten))
            }
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

/// No panic can happen while one of these locks is held, so a poisoned one is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn contract() -> FlushContract {
    FlushContract {
        survives: Survives::NOTHING,
        mechanism: "memory of this process".into(),
        class: Class::Fast,
        fencing: Fencing::Store,
        visibility: Visibility::Now,
        exposes_unflushed: false,
        flush_call: FlushCall::Blocking,
        max_inflight: 1,
        block: 1,
        durable_deletes: true,
        max_batch: MIN_MAX_BATCH,
        max_log: 1 << 40,
        torn_unit: 1,
        caveats: vec!["all is lost when the process ends".into()],
    }
}

fn error(kind: ErrorKind, path: &StorePath, what: &str) -> Error {
    Error::new(kind, format!("{path}: {what}"))
}

#[async_trait]
impl JournalStore for MemoryStore {
    fn contract(&self) -> &FlushContract {
        &self.contract
    }

    async fn host_lock(&self, _how: HostLock) -> Result<()> {
        self.writable(&StorePath::root())
    }

    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        self.writable(path)?;
        if self.shared().objects.contains_key(path) {
            return Err(error(ErrorKind::AlreadyExists, path, "the object exists"));
        }
        let expected = options.size_hint.unwrap_or(0).min(1 << 20) as usize;
        Ok(Box::new(MemoryObject {
            shared: self.shared.clone(),
            path: path.clone(),
            state: State::Open(BytesMut::with_capacity(expected)),
        }))
    }

    async fn create_log(&self, path: &StorePath, _o: LogOptions) -> Result<Box<dyn LogWriter>> {
        self.writable(path)?;
        let mut shared = self.shared();
        if shared.fences.contains_key(path) {
            return Err(error(
                ErrorKind::Fenced,
                path,
                "a fence stands at this name",
            ));
        }
        if shared.logs.contains_key(path) {
            return Err(error(ErrorKind::AlreadyExists, path, "the log exists"));
        }
        let log = Arc::new(Mutex::new(Log {
            bytes: BytesMut::new(),
            fenced: false,
            sealed: false,
            modified: SystemTime::now(),
        }));
        shared.logs.insert(path.clone(), log.clone());
        Ok(Box::new(MemoryLog {
            log,
            path: path.clone(),
            survives: self.contract.survives,
            first_error: None,
        }))
    }

    async fn open(&self, path: &StorePath, _from: Source) -> Result<Box<dyn Reader>> {
        let shared = self.shared();
        if let Some((bytes, _)) = shared.objects.get(path) {
            return Ok(Box::new(MemoryReader::Object(bytes.clone())));
        }
        match shared.logs.get(path) {
            Some(log) => Ok(Box::new(MemoryReader::Log(log.clone()))),
            None => Err(error(ErrorKind::NotFound, path, "no such object or log")),
        }
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        self.writable(path)?;
        let mut shared = self.shared();
        let len = match shared.logs.get(path) {
            Some(log) => {
                let mut log = lock(log);
                log.fenced = true;
                log.bytes.len() as u64
            }
            // Only the fence is left: nothing can be written any more.
            None => match shared.fences.get(path) {
                Some(len) => *len,
                None => return Err(error(ErrorKind::NotFound, path, "no such log")),
            },
        };
        shared.fences.insert(path.clone(), len);
        Ok(len)
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        let shared = self.shared();
        let mut rows = Vec::new();
        for (path, (bytes, modified)) in &shared.objects {
            let len = bytes.len() as u64;
            rows.push(row(path, ListedKind::Object, len).with_modified(Some(*modified)));
        }
        for (path, log) in &shared.logs {
            let log = lock(log);
            let row = row(path, ListedKind::Log, log.bytes.len() as u64);
            rows.push(
                row.with_modified(Some(log.modified))
                    .with_sealed(log.sealed),
            );
        }
        for (path, len) in &shared.fences {
            rows.push(row(path, ListedKind::Fence, *len));
        }
        rows.retain(|r| r.path.is_under(prefix));
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        Box::pin(Rows(rows.into_iter()))
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.writable(path)?;
        let mut shared = self.shared();
        shared.objects.remove(path);
        shared.logs.remove(path);
        Ok(())
    }

    async fn sweep(&self, _older_than: Duration) -> Result<u64> {
        self.writable(&StorePath::root())?;
        Ok(0)
    }

    async fn space(&self) -> Result<Option<Space>> {
        Ok(None)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn row(path: &StorePath, kind: ListedKind, len: u64) -> Listed {
    Listed::new(path.clone(), kind, len)
}

struct Rows(std::vec::IntoIter<Listed>);

impl futures_core::Stream for Rows {
    type Item = Result<Listed>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next().map(Ok))
    }
}

#[derive(Debug)]
struct MemoryLog {
    log: Arc<Mutex<Log>>,
    path: StorePath,
    survives: Survives,
    /// The first error is final (FC-4).
    first_error: Option<Error>,
}

impl MemoryLog {
    fn append(&mut self, batch: &Bytes) -> Result<Flushed> {
        self.usable()?;
        let mut log = lock(&self.log);
        if log.sealed && !log.fenced {
            return Err(self.refusal(ErrorKind::Closed, "the log is sealed"));
        }
        let refused = if log.fenced {
            self.fenced()
        } else if batch.is_empty() || batch.len() > MIN_MAX_BATCH {
            self.refusal(
                ErrorKind::InvalidInput,
                "a batch is empty or over max_batch",
            )
        } else {
            log.bytes.extend_from_slice(batch);
            log.modified = SystemTime::now();
            return Ok(Flushed::new(log.bytes.len() as u64, self.survives));
        };
        self.first_error = Some(refused.clone());
        Err(refused)
    }

    /// Fails for ever after the first error.
    fn usable(&self) -> Result<()> {
        match &self.first_error {
            None => Ok(()),
            Some(first) if first.kind() == ErrorKind::Fenced => Err(first.clone()),
            Some(first) => Err(self
                .refusal(ErrorKind::Poisoned, "an earlier flush failed")
                .with_source(first.clone())),
        }
    }

    /// Nothing was written, certainly.
    fn refusal(&self, kind: ErrorKind, what: &str) -> Error {
        error(kind, &self.path, what).with_outcome(Outcome::NotWritten)
    }

    fn fenced(&self) -> Error {
        self.refusal(ErrorKind::Fenced, "another primary has taken over")
    }
}

#[async_trait]
impl LogWriter for MemoryLog {
    fn flush(&mut self, batch: Bytes) -> Flush {
        Flush::ready(self.append(&batch))
    }

    async fn seal(&mut self) -> Result<u64> {
        self.usable()?;
        let mut log = lock(&self.log);
        if log.fenced {
            return Err(self.fenced());
        }
        log.sealed = true;
        Ok(log.bytes.len() as u64)
    }
}

#[derive(Debug)]
struct MemoryObject {
    shared: Arc<Mutex<Shared>>,
    path: StorePath,
    state: State,
}

#[derive(Debug)]
enum State {
    Open(BytesMut),
    Published(u64),
    Aborted,
}

impl MemoryObject {
    fn ended<T>(&self, what: &str) -> Result<T> {
        Err(error(ErrorKind::Closed, &self.path, what).with_outcome(Outcome::NotWritten))
    }
}

#[async_trait]
impl ObjectWriter for MemoryObject {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.state {
            State::Open(gathered) => {
                gathered.extend_from_slice(&bytes);
                Ok(())
            }
            State::Published(_) => self.ended("the object is published and never changes"),
            State::Aborted => self.ended("the object was aborted"),
        }
    }

    async fn commit(&mut self) -> Result<u64> {
        let gathered = match &mut self.state {
            State::Open(gathered) => gathered,
            State::Published(len) => return Ok(*len), // its own earlier success (FC-5)
            State::Aborted => return self.ended("the object was aborted"),
        };
        let mut shared = lock(&self.shared);
        if shared.objects.contains_key(&self.path) {
            return Err(error(
                ErrorKind::AlreadyExists,
                &self.path,
                "the object exists",
            ));
        }
        let bytes = std::mem::take(gathered).freeze();
        let len = bytes.len() as u64;
        shared
            .objects
            .insert(self.path.clone(), (bytes, SystemTime::now()));
        self.state = State::Published(len);
        Ok(len)
    }

    async fn abort(&mut self) -> Result<()> {
        if let State::Open(_) = self.state {
            self.state = State::Aborted;
        }
        Ok(())
    }
}

#[derive(Debug)]
enum MemoryReader {
    Object(Bytes),
    Log(Arc<Mutex<Log>>),
}

#[async_trait]
impl Reader for MemoryReader {
    async fn len(&self) -> Result<u64> {
        Ok(match self {
            MemoryReader::Object(bytes) => bytes.len() as u64,
            MemoryReader::Log(log) => lock(log).bytes.len() as u64,
        })
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let cut = |all: &[u8]| {
            let ok = range.start <= range.end
                && range.end <= all.len() as u64
                && range.end - range.start <= MAX_READ;
            ok.then(|| Bytes::copy_from_slice(&all[range.start as usize..range.end as usize]))
        };
        let bytes = match self {
            MemoryReader::Object(bytes) => cut(bytes),
            MemoryReader::Log(log) => cut(&lock(log).bytes),
        };
        bytes.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("read of {range:?} is out of range"),
            )
        })
    }
}

/// Serves `memory:` and `memory:NAME`. One factory, one name: one store.
#[derive(Debug, Default)]
pub struct MemoryFactory(Mutex<HashMap<String, MemoryStore>>);

impl MemoryFactory {
    /// A factory without stores.
    pub fn new() -> MemoryFactory {
        MemoryFactory::default()
    }
}

#[async_trait]
impl StoreFactory for MemoryFactory {
    fn schemes(&self) -> &[&str] {
        &["memory"]
    }

    async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        options.check_known(&[])?;
        let name = format!("{}{}", uri.authority(), uri.path());
        let store = lock(&self.0).entry(name).or_default().clone();
        Ok(Arc::new(MemoryStore { mode, ..store }))
    }
}
