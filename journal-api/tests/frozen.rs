//! A program and a backend that were written against version 0.1 of this crate.
//!
//! **This file changes with a major version only.** If it does not compile any
//! more, something that was frozen is broken: a method without a default, a field
//! of the contract, another signature, a supertrait, a value of an enum whose values
//! are all. What is new is tested elsewhere. `docs/rfcs/0001-the-store-trait.md`
//! says what may change; `cargo xtask semver` looks for more kinds of breaks, and
//! takes minutes to be built.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use async_trait::async_trait;
use flushproof_api::bytes::Bytes;
use flushproof_api::*;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// No more than what each trait asks for.
#[derive(Debug)]
struct Backend(FlushContract);

#[derive(Debug)]
struct Writer;

#[async_trait]
impl JournalStore for Backend {
    fn contract(&self) -> &FlushContract {
        &self.0
    }
    async fn host_lock(&self, _how: HostLock) -> Result<()> {
        Ok(())
    }
    async fn create_object(
        &self,
        _path: &StorePath,
        _options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(Writer))
    }
    async fn create_log(
        &self,
        _path: &StorePath,
        _options: LogOptions,
    ) -> Result<Box<dyn LogWriter>> {
        Ok(Box::new(Writer))
    }
    async fn open(&self, _path: &StorePath, _from: Source) -> Result<Box<dyn Reader>> {
        Ok(Box::new(Writer))
    }
    async fn fence_log(&self, _path: &StorePath) -> Result<u64> {
        Ok(0)
    }
    fn list<'a>(&'a self, _prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        Box::pin(futures_util::stream::empty())
    }
    async fn delete(&self, _path: &StorePath) -> Result<()> {
        Ok(())
    }
    async fn sweep(&self, _older_than: Duration) -> Result<u64> {
        Ok(0)
    }
    async fn space(&self) -> Result<Option<Space>> {
        Ok(Some(Space::new(2, 1)))
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl LogWriter for Writer {
    fn flush(&mut self, batch: Bytes) -> Flush {
        Flush::ready(Ok(Flushed::new(batch.len() as u64, Survives::NOTHING)))
    }
    async fn seal(&mut self) -> Result<u64> {
        Ok(0)
    }
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn write(&mut self, _bytes: Bytes) -> Result<()> {
        Ok(())
    }
    async fn commit(&mut self) -> Result<u64> {
        Ok(0)
    }
    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Reader for Writer {
    async fn len(&self) -> Result<u64> {
        Ok(0)
    }
    async fn read(&self, _range: Range<u64>) -> Result<Bytes> {
        Ok(Bytes::new())
    }
}

struct Factory;

#[async_trait]
impl StoreFactory for Factory {
    fn schemes(&self) -> &[&str] {
        &["frozen"]
    }
    async fn open(
        &self,
        _uri: &StoreUri,
        _options: &Options,
        _mode: Mode,
    ) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(Backend(contract())))
    }
}

/// All fields, and no other.
fn contract() -> FlushContract {
    FlushContract {
        survives: Survives::NOTHING,
        mechanism: String::new(),
        class: Class::Slow {
            reason: String::new(),
        },
        fencing: Fencing::Store,
        visibility: Visibility::Within(Duration::ZERO),
        exposes_unflushed: false,
        flush_call: FlushCall::Detached,
        max_inflight: 1,
        block: 1,
        durable_deletes: true,
        max_batch: MIN_MAX_BATCH,
        max_log: 1 << 40,
        torn_unit: 1,
        caveats: Vec::new(),
    }
}

/// All values, and no other: who serves on a contract must know each.
fn answers(c: &FlushContract, outcome: Outcome) -> [usize; 5] {
    [
        match &c.class {
            Class::Fast => 0,
            Class::Slow { reason } => reason.len(),
        },
        match c.fencing {
            Fencing::None => 0,
            Fencing::HostLock => 1,
            Fencing::Store => 2,
        },
        match c.visibility {
            Visibility::Now => 0,
            Visibility::Within(time) => time.subsec_nanos() as usize,
            Visibility::OnSeal => 2,
        },
        match c.flush_call {
            FlushCall::Detached => 0,
            FlushCall::Blocking => 1,
        },
        match outcome {
            Outcome::NotWritten => 0,
            Outcome::Unknown => 1,
        },
    ]
}

#[tokio::test]
async fn a_backend_of_version_0_1_serves() {
    let registry = Registry::new().with(Factory);
    let uri = StoreUri::parse("frozen:").unwrap();
    let options = Options::new();
    let store = registry.open(&uri, &options, Mode::ReadWrite).await;
    let store = store.unwrap();
    assert_eq!(answers(store.contract(), Outcome::Unknown), [0, 2, 0, 0, 1]);
    let path = StorePath::new("log/1-0").unwrap();
    store.host_lock(HostLock::TakeOver).await.unwrap();
    let mut log = store
        .create_log(&path, LogOptions::default())
        .await
        .unwrap();
    assert_eq!(log.flush(Bytes::from_static(b"four")).await.unwrap().len, 4);
    assert_eq!(log.seal().await.unwrap(), 0);
    let object = store.create_object(&path, ObjectOptions::default());
    let mut object = object.await.unwrap();
    object.write(Bytes::new()).await.unwrap();
    object.commit().await.unwrap();
    object.abort().await.unwrap();
    let reader = store.open(&path, Source::Medium).await.unwrap();
    assert!(reader.is_empty().await.unwrap());
    assert!(reader.read(0..0).await.unwrap().is_empty());
    assert_eq!(store.fence_log(&path).await.unwrap(), 0);
    assert_eq!(store.space().await.unwrap().unwrap().total, 2);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
    store.delete(&path).await.unwrap();
    store.close().await.unwrap();
}

/// What a program may call, and how.
#[test]
fn signatures_are_what_they_were() {
    let _: fn(StorePath, ListedKind, u64) -> Listed = Listed::new;
    let _: fn(Listed, Option<SystemTime>) -> Listed = Listed::with_modified;
    let _: fn(Listed, bool) -> Listed = Listed::with_sealed;
    let _: fn(u64, u64) -> Space = Space::new;
    let _: fn(u64, Survives) -> Flushed = Flushed::new;
    let _: fn(ObjectOptions, u32) -> ObjectOptions = ObjectOptions::with_mode;
    let _: fn(ObjectOptions, u64) -> ObjectOptions = ObjectOptions::with_size_hint;
    let _: fn(LogOptions, u64) -> LogOptions = LogOptions::with_size_hint;
    let _: fn(Result<Flushed>) -> Flush = Flush::ready;
    let _: fn(BoxFuture<'static, Result<Flushed>>) -> Flush = Flush::later;
    let _: fn(Flush) -> std::result::Result<Result<Flushed>, Flush> = Flush::try_ready;
    let _: fn(&FlushContract) -> Result<()> = FlushContract::validate;
    let _: fn(Survives, Fault) -> Survives = Survives::with;
    let _: fn(Survives, u8) -> Survives = Survives::with_lost_copies;
    let _: fn(Survives, Fault) -> bool = Survives::contains;
    let _: fn(Survives) -> u8 = Survives::lost_copies;
    let _: fn(Survives, Survives) -> bool = Survives::covers;
    let _: fn(Survives, Survives) -> Survives = Survives::and;
    let _: fn(&str) -> Result<Survives> = Survives::parse;
    let _: fn(Fault) -> &'static str = Fault::as_str;
    let _: fn(ErrorKind) -> &'static str = ErrorKind::as_str;
    let _: fn(Advice) -> &'static str = Advice::as_str;
    let _: fn(Error, Outcome) -> Error = Error::with_outcome;
    let _: fn(Error, Advice) -> Error = Error::with_advice;
    let _: fn(&Error) -> ErrorKind = Error::kind;
    let _: fn(&Error) -> Outcome = Error::outcome;
    let _: fn(&Error) -> Advice = Error::advice;
    let _: fn(&str) -> Result<StoreUri> = StoreUri::parse;
    let _: fn(&StoreUri) -> &str = StoreUri::scheme;
    let _: fn(&StoreUri) -> &str = StoreUri::authority;
    let _: fn(&StoreUri) -> &str = StoreUri::path;
    let _: fn() -> StorePath = StorePath::root;
    let _: fn(&StorePath) -> &str = StorePath::as_str;
    let _: fn(&StorePath) -> &str = StorePath::name;
    let _: fn(&StorePath) -> StorePath = StorePath::parent;
    let _: fn(&StorePath, &StorePath) -> bool = StorePath::is_under;
    let _: fn() -> Options = Options::new;
    let _: for<'a> fn(&'a Options, &str) -> Option<&'a str> = Options::get;
    let _: fn(&Options, &[&str]) -> Result<()> = Options::check_known;
    let _: fn(&Options, &str) -> Result<Option<bool>> = Options::bool;
    let _: fn(&Options, &str) -> Result<Option<u64>> = Options::u64;
    let _: fn(&Options, &str) -> Result<Option<Duration>> = Options::duration;
    let _: fn(SeqNo) -> SeqNo = SeqNo::next;
    let _: fn(SeqNo, u64) -> Option<SeqNo> = SeqNo::checked_add;
    let _: fn(Epoch) -> Epoch = Epoch::next;
    let _: fn() -> MemoryStore = MemoryStore::new;
    let _: fn() -> MemoryFactory = MemoryFactory::new;
    let mut options = Options::new().with("a", String::from("b"));
    options.set(String::from("c"), "d");
    assert_eq!(options.keys().collect::<Vec<_>>(), ["a", "c"]);
    let text = Error::new(ErrorKind::Io, "text").context("where");
    let io = Error::io("what", std::io::Error::other("why")).with_source(text);
    assert_eq!(io.clone().kind(), ErrorKind::Io);
    assert!(Registry::default().schemes().eq(["memory"]));
    assert_eq!(Survives::STORE_POWER.faults().count(), Fault::ALL.len());
    assert_eq!((SeqNo::ZERO.0, Epoch::NONE.0), (0, 0));
    let (read, batch): (u64, usize) = (MAX_READ, MIN_MAX_BATCH);
    assert_eq!((read, batch), (16 << 20, 8 << 20));
}

/// What values can be done with.
#[test]
fn values_are_what_they_were() {
    fn plain<T: Copy + Clone + Debug + PartialEq + Eq + Hash + Send + Sync + 'static>() {}
    fn owned<T: Clone + Debug + PartialEq + Eq + Send + Sync + 'static>() {}
    fn shown<T: Display>() {}
    plain::<Mode>();
    plain::<HostLock>();
    plain::<Source>();
    plain::<ListedKind>();
    plain::<Fault>();
    plain::<Survives>();
    plain::<Fencing>();
    plain::<Visibility>();
    plain::<FlushCall>();
    plain::<Outcome>();
    plain::<Advice>();
    plain::<ErrorKind>();
    plain::<SeqNo>();
    plain::<Epoch>();
    owned::<Listed>();
    owned::<Flushed>();
    owned::<Space>();
    owned::<ObjectOptions>();
    owned::<LogOptions>();
    owned::<FlushContract>();
    owned::<Class>();
    owned::<Options>();
    owned::<StorePath>();
    owned::<StoreUri>();
    shown::<StorePath>();
    shown::<StoreUri>();
    shown::<Survives>();
    shown::<Fault>();
    shown::<ErrorKind>();
    shown::<Error>();
    shown::<SeqNo>();
    shown::<Epoch>();
    fn future<T: Future<Output = Result<Flushed>> + Unpin + Send>() {}
    future::<Flush>();
    // The alias is what it says.
    fn same(future: BoxFuture<'static, u8>) -> Pin<Box<dyn Future<Output = u8> + Send>> {
        future
    }
    drop(same(Box::pin(async { 1 })));
}
