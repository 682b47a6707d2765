//! The traits that a backend implements.
//!
//! Every async method documents four things: which clauses of the
//! [contract](crate::contract#clauses) it keeps, its errors, what dropping its
//! future means, and an example. All futures may be dropped at any point
//! (FC-10); "finishes alone" below means that work already handed to the
//! storage is not undone. Under Errors stands what a call fails with beside what
//! every one may: `TimedOut`, `Unreachable`, `Io`, and `Closed` after
//! [`JournalStore::close`]. A store that was opened with [`Mode::ReadOnly`] refuses
//! what would write with `PermissionDenied`.
//!
//! None of the traits is sealed, and methods may be added with a default. A store
//! around another one must then pass the new method on by hand.

use crate::{
    BoxStream, Flush, FlushContract, HostLock, Listed, LogOptions, Mode, ObjectOptions, Options,
    Result, Source, Space, StorePath, StoreUri,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The longest range that one [`Reader::read`] serves, in bytes.
pub const MAX_READ: u64 = 16 * 1024 * 1024;

/// One directory-like place that holds objects and logs.
///
/// Engineers use the engine instead; this is what a backend implements.
#[async_trait]
pub trait JournalStore: Send + Sync + Debug + 'static {
    /// What this very place promises; found out at open.
    fn contract(&self) -> &FlushContract;

    /// Asks for the right to be the one primary of this host.
    ///
    /// A courtesy that gives a second starter a clear answer early. Safety
    /// never rests on it, except with [`Fencing::HostLock`](crate::Fencing).
    /// Stores without such a lock answer Ok. Asked again by its holder: Ok.
    /// Held until [`close`](Self::close) or the end of the process.
    ///
    /// # Contract
    /// FC-11: a live holder is `Busy`, named as well as it is known.
    /// # Errors
    /// `Busy` (only for [`HostLock::Polite`]; always with `Fencing::HostLock`), `PermissionDenied`.
    /// # Cancel safety
    /// Finishes alone: the lock may be held afterwards. Asking again is safe.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// store.host_lock(HostLock::Polite).await?;
    /// # Ok(()) }
    /// ```
    async fn host_lock(&self, how: HostLock) -> Result<()>;

    /// Begins an object. Nothing is visible before [`ObjectWriter::commit`].
    ///
    /// # Contract
    /// FC-5, FC-7.
    /// # Errors
    /// `AlreadyExists` (here or at commit), `NoSpace`, `PermissionDenied`.
    /// # Cancel safety
    /// Safe: at most a temporary is left, which [`sweep`](Self::sweep) removes.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let path = StorePath::new("FORMAT")?;
    /// let mut object = store.create_object(&path, ObjectOptions::default()).await?;
    /// object.write(bytes::Bytes::from_static(b"whole")).await?;
    /// assert_eq!(object.commit().await?, 5);
    /// # Ok(()) }
    /// ```
    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>>;

    /// Creates a log and its only writer, exclusively.
    ///
    /// # Contract
    /// FC-6 and FC-7: listed and durable when this returns. A fence that stands
    /// at this name from an earlier log refuses it.
    /// # Errors
    /// `AlreadyExists`, `Fenced`, `NoSpace`, `PermissionDenied`.
    /// # Cancel safety
    /// Finishes alone: an empty log may stand there afterwards.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let mut log = store.create_log(&StorePath::new("log/1-0")?, LogOptions::default()).await?;
    /// let flushed = log.flush(bytes::Bytes::from(vec![7; 64])).await?;
    /// assert_eq!(flushed.len, 64);
    /// # Ok(()) }
    /// ```
    async fn create_log(&self, path: &StorePath, options: LogOptions)
    -> Result<Box<dyn LogWriter>>;

    /// Opens an object or a log for reading.
    ///
    /// # Contract
    /// FC-8, FC-13; with [`Source::Medium`] FC-9 (c).
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `Unsupported` when the medium can't be read past the cache.
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let error = store.open(&StorePath::new("FORMAT")?, Source::Any).await.err().unwrap();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok(()) }
    /// ```
    async fn open(&self, path: &StorePath, from: Source) -> Result<Box<dyn Reader>>;

    /// Stops the writer of a log for ever and says below which offset all its
    /// acknowledged bytes lie.
    ///
    /// # Contract
    /// FC-9, FC-7. Works on an empty log and repeatedly.
    /// # Errors
    /// `NotFound` when neither log nor fence is there; a fence of a deleted log answers Ok.
    /// # Cancel safety
    /// Finishes alone: the writer may be fenced afterwards. Repeat it.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let path = StorePath::new("log/1-0")?;
    /// let mut log = store.create_log(&path, LogOptions::default()).await?;
    /// log.flush(bytes::Bytes::from(vec![7; 64])).await?;
    /// assert!(store.fence_log(&path).await? >= 64);
    /// let error = log.flush(bytes::Bytes::from(vec![7; 64])).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Fenced);
    /// # Ok(()) }
    /// ```
    async fn fence_log(&self, path: &StorePath) -> Result<u64>;

    /// Lists what lies in the folder `prefix`, at any depth, sorted by path.
    /// Names that are no [`StorePath`] are not listed; a missing folder is empty.
    ///
    /// # Contract
    /// FC-6.
    /// # Errors
    /// As items of the stream; after one the stream ends.
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # use futures_util::StreamExt;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let listed: Vec<_> = store.list(&StorePath::root()).collect().await;
    /// assert!(listed.is_empty());
    /// # Ok(()) }
    /// ```
    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>>;

    /// Removes an object or a log. A log's fence stays.
    ///
    /// # Contract
    /// FC-7, with the contract's `durable_deletes`; idempotent: a missing name is Ok.
    /// Never reads as a shorter one.
    /// # Errors
    /// `PermissionDenied`, `Io`.
    /// # Cancel safety
    /// Finishes alone. Repeat it.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// MemoryStore::new().delete(&StorePath::new("log/1-0")?).await?;
    /// # Ok(()) }
    /// ```
    async fn delete(&self, path: &StorePath) -> Result<()>;

    /// Removes this store's own leftovers (temporaries, uploads, spares) that
    /// are older than `older_than`; says how many.
    ///
    /// # Contract
    /// Never touches an object, a log or a fence.
    /// # Errors
    /// `PermissionDenied`, `Io`.
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// assert_eq!(MemoryStore::new().sweep(std::time::Duration::ZERO).await?, 0);
    /// # Ok(()) }
    /// ```
    async fn sweep(&self, older_than: Duration) -> Result<u64>;

    /// The room that is left, where the storage says.
    ///
    /// # Contract
    /// None: a hint.
    /// # Errors
    /// `Io`.
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// assert!(MemoryStore::new().space().await?.is_none());
    /// # Ok(()) }
    /// ```
    async fn space(&self) -> Result<Option<Space>>;

    /// Gives back what the store holds: the host lock, spares, connections.
    ///
    /// # Contract
    /// Flushed bytes stay flushed; afterwards every call may answer `Closed`.
    /// # Errors
    /// `Io`; the store is closed all the same.
    /// # Cancel safety
    /// Finishes alone. Repeat it.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// MemoryStore::new().close().await?;
    /// # Ok(()) }
    /// ```
    async fn close(&self) -> Result<()>;
}

/// The only writer of one log. Dropping it leaves the log as it is, not sealed.
#[async_trait]
pub trait LogWriter: Send + Debug {
    /// Appends `batch` at the end and makes it durable. The write is under way
    /// when this returns, whether the [`Flush`] is polled or not; flushes may
    /// resolve in any order. Length and address of `batch` are multiples of the
    /// contract's `block`; `batch` is at most `max_batch` long and not empty; at
    /// most `max_inflight` are under way, and none goes past `max_log`. What breaks
    /// these rules may be refused with `InvalidInput`, which is final as any error.
    ///
    /// # Contract
    /// FC-1, FC-3, FC-4, FC-12. A `Blocking` store writes on the calling thread.
    /// # Errors
    /// In the [`Flush`]: `Fenced` (stand down), `NoSpace`, `TimedOut`, `Io`; after
    /// any of them `Poisoned`. The outcome is `Unknown` unless nothing was written.
    /// # Cancel safety
    /// Dropping the [`Flush`] cancels nothing.
    /// # Example
    /// See [`JournalStore::create_log`].
    fn flush(&mut self, batch: Bytes) -> Flush;

    /// Ends the log and says its length. No flush may be under way.
    ///
    /// # Contract
    /// FC-3, FC-7; repeatable.
    /// # Errors
    /// As `flush`.
    /// # Cancel safety
    /// Finishes alone. Repeat it.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let mut log = store.create_log(&StorePath::new("log/1-0")?, LogOptions::default()).await?;
    /// assert_eq!(log.seal().await?, 0);
    /// # Ok(()) }
    /// ```
    async fn seal(&mut self) -> Result<u64>;
}

/// Writes one object. Dropping it before [`commit`](Self::commit) publishes nothing.
#[async_trait]
pub trait ObjectWriter: Send + Debug {
    /// Appends bytes; nothing is visible yet.
    ///
    /// # Contract
    /// None until commit.
    /// # Errors
    /// `NoSpace`, `TimedOut`, `Io`; the writer is of no use afterwards.
    /// # Cancel safety
    /// A dropped write leaves the object unfit: abort it.
    /// # Example
    /// See [`JournalStore::create_object`].
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Publishes the object, whole and durable, and says its length.
    ///
    /// # Contract
    /// FC-5, FC-7.
    /// # Errors
    /// `AlreadyExists` for the loser of a race; `Unknown` outcome: list, and look.
    /// # Cancel safety
    /// Finishes alone: the object may be there afterwards, whole.
    /// # Example
    /// See [`JournalStore::create_object`].
    async fn commit(&mut self) -> Result<u64>;

    /// Removes what was written. Nothing was ever visible.
    ///
    /// # Contract
    /// Idempotent.
    /// # Errors
    /// `Io`; [`JournalStore::sweep`] removes the rest later.
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let path = StorePath::new("FORMAT")?;
    /// let mut object = store.create_object(&path, ObjectOptions::default()).await?;
    /// object.abort().await?;
    /// assert!(store.open(&path, Source::Any).await.is_err());
    /// # Ok(()) }
    /// ```
    async fn abort(&mut self) -> Result<()>;
}

/// Reads one object or log, at any offset, from several tasks at once.
#[async_trait]
pub trait Reader: Send + Sync + Debug {
    /// The present length; for a log that is not sealed an upper bound of the
    /// durable length, which may grow.
    ///
    /// # Contract
    /// FC-3.
    /// # Errors
    /// `NotFound` when it was deleted meanwhile, `Io`.
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// See [`read`](Self::read).
    async fn len(&self) -> Result<u64>;

    /// Whether there is nothing to read.
    ///
    /// # Contract
    /// As [`len`](Self::len).
    /// # Errors
    /// As [`len`](Self::len).
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// See [`read`](Self::read).
    async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// Reads the whole range, at most [`MAX_READ`] bytes.
    ///
    /// # Contract
    /// FC-13: exactly the bytes of the range, or an error.
    /// # Errors
    /// `InvalidInput` past the end or over [`MAX_READ`], `NotFound`, `Io`.
    /// # Cancel safety
    /// Safe.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let store = MemoryStore::new();
    /// let path = StorePath::new("log/1-0")?;
    /// let mut log = store.create_log(&path, LogOptions::default()).await?;
    /// log.flush(bytes::Bytes::from(vec![7; 64])).await?;
    /// let reader = store.open(&path, Source::Medium).await?;
    /// assert_eq!(reader.read(0..reader.len().await?).await?, vec![7; 64]);
    /// # Ok(()) }
    /// ```
    async fn read(&self, range: Range<u64>) -> Result<Bytes>;
}

/// Opens stores of one or more URI schemes. Called inside a tokio runtime.
#[async_trait]
pub trait StoreFactory: Send + Sync {
    /// The schemes that it serves, without `://`.
    fn schemes(&self) -> &[&str];

    /// Opens the place, finds out what it promises, and says so in the
    /// store's contract.
    ///
    /// # Contract
    /// [`Mode::ReadOnly`] never writes, not even a probe. The root itself is
    /// created by [`Mode::ReadWrite`] when it is missing.
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `Unreachable`, `InvalidInput` for an unknown option.
    /// # Cancel safety
    /// Safe: at most a probe file is left, which `sweep` removes.
    /// # Example
    /// ```
    /// # use flushproof_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// let uri = StoreUri::parse("memory:example")?;
    /// let store = MemoryFactory::new().open(&uri, &Options::new(), Mode::ReadWrite).await?;
    /// assert_eq!(store.contract().survives, Survives::NOTHING);
    /// # Ok(()) }
    /// ```
    async fn open(
        &self,
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
    ) -> Result<Arc<dyn JournalStore>>;
}
