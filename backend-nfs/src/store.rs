//! [`NfsStore`]: a folder on an NFSv3 server.

use crate::address::Address;
use crate::contract::{self, Limits, MAX_TRANSFER, Probed};
use crate::fault::{fault, refusal, refused};
use crate::folders::{as_folder, make_folder};
use crate::op::{Fail, Op};
use crate::options::Settings;
use crate::procedures::{Nfs, call};
use crate::rpc::{Client, Credentials, IoThread, Target};
use crate::{exports, fence, list, object, probe, reader, remove, seal};
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{
    BoxStream, ErrorKind, FlushContract, HostLock, JournalStore, Listed, LogOptions, LogWriter,
    Mode, ObjectOptions, ObjectWriter, Options, Reader, Result, Source, Space, StorePath, StoreUri,
};
use nfs3_types::nfs3::{NFS_PROGRAM, nfs_fh3, sattr3, set_size3};
use nfs3_types::xdr_codec::Void;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a reply has besides the bytes of a READ.
const REPLY_ROOM: usize = 64 * 1024;
/// An idle connection is used this often: servers close one after 5 minutes.
const PING: Duration = Duration::from_secs(60);

/// A store in a folder of an NFSv3 server, which is spoken to directly.
///
/// ```no_run
/// use flushproof_api::*;
/// use flushproof_backend_nfs::NfsStore;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let uri = StoreUri::parse("nfs://nas/vol/journals/a")?;
/// let store = NfsStore::open(&uri, &Options::new(), Mode::ReadWrite).await?;
/// let mut log = store.create_log(&StorePath::new("log/1-0")?, LogOptions::default()).await?;
/// let flushed = log.flush(bytes::Bytes::from(vec![7; store.contract().block])).await?;
/// assert_eq!(flushed.len, store.contract().block as u64);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct NfsStore {
    shared: Arc<Shared>,
}

/// What the store, its writers and readers, and calls under way share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub nfs: Nfs,
    pub io: IoThread,
    pub root: nfs_fh3,
    pub limits: Limits,
    pub contract: FlushContract,
    pub timeout: Duration,
    pub in_use: InUse,
    /// `nfs://server:port/export/folder`.
    uri: String,
    mode: Mode,
    closed: AtomicBool,
}

/// The temporaries that a store is using: `sweep` leaves them alone.
#[derive(Debug, Default)]
pub(crate) struct InUse(Mutex<HashSet<String>>);

impl InUse {
    pub fn contains(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    pub fn insert(&self, name: &str) {
        self.names().insert(name.to_owned());
    }

    pub fn remove(&self, name: &str) {
        self.names().remove(name);
    }

    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// New attributes: a length.
pub(crate) fn size(size: u64) -> sattr3 {
    sattr3 {
        size: set_size3::Some(size),
        ..sattr3::default()
    }
}

/// A root that was reached, before it is known what it promises.
pub(crate) struct Reached {
    pub nfs: Nfs,
    pub root: nfs_fh3,
    pub limits: Limits,
    pub uri: String,
}

/// Finds the export, connects, and walks to the root, which is made where it is
/// missing unless `mode` is [`Mode::ReadOnly`].
pub(crate) async fn reach(uri: &StoreUri, settings: &Settings, mode: Mode) -> Result<Reached> {
    let address = Address::of(uri)?;
    let located = exports::locate(&address, settings).await?;
    let nfs = Nfs {
        client: Client::new(Target {
            name: located.name.clone(),
            addresses: located.addresses,
            credentials: Credentials::new(settings.uid, settings.gid, &settings.groups),
            reserved: settings.reserved,
            longest_reply: MAX_TRANSFER as usize + REPLY_ROOM,
            ping: Some((PING, call(NFS_PROGRAM::NFSPROC3_NULL, &Void, Bytes::new()))),
        }),
    };
    let op = Op::within(settings.timeout);
    let mut at = format!(
        "nfs://{}{}",
        located.name,
        located.exported.trim_end_matches('/')
    );
    // One try: a wrong port is told at once.
    nfs.client
        .connection(op.deadline)
        .await
        .map_err(|e| refused("can't reach the NFS service", &at, &Fail::Call(e)))?;
    let mut root = located.folder;
    for name in &located.rest {
        at = format!("{at}/{name}");
        root = match mode {
            Mode::ReadWrite => make_folder(&nfs, &op, &at, &root, name).await?,
            _ => {
                let found = nfs.lookup(&op, &root, name).await;
                let found =
                    found.map_err(|e| refused("can't open the journal's folder", &at, &e))?;
                as_folder(&nfs, &op, &at, found).await?
            }
        };
    }
    let failed = |e: Fail| refused("can't ask for the server's limits", &at, &e);
    let info = nfs.fsinfo(&op, &root).await.map_err(failed)?;
    let names = nfs.pathconf(&op, &root).await.map_err(failed)?;
    let limits = contract::limits(&at, &info, &names)?;
    Ok(Reached {
        nfs,
        root,
        limits,
        uri: at,
    })
}

impl NfsStore {
    /// Opens `nfs://server[:port]/export/folder`. The folder is created where it
    /// is missing, unless `mode` is [`Mode::ReadOnly`]. Called inside a tokio
    /// runtime; the store has a thread of its own for its connection.
    ///
    /// # Errors
    /// `Unreachable`, `TimedOut`; `NotFound` when the server exports no such
    /// path; `PermissionDenied` (export options, root squash, mode, read-only);
    /// `NoSpace`; `Unsupported` when the server lacks what a journal needs;
    /// `InvalidInput` for an unknown option or a wrong URI.
    /// # Cancel safety
    /// Safe: at most a folder and probe files are left, which `sweep` removes.
    pub async fn open(uri: &StoreUri, options: &Options, mode: Mode) -> Result<NfsStore> {
        let settings = Settings::read(options)?;
        Address::of(uri)?;
        let io = IoThread::start()?;
        let uri = uri.clone();
        let timeout = settings.timeout;
        let reached = io.run(async move {
            let reached = reach(&uri, &settings, mode).await?;
            let probed = match mode {
                Mode::ReadWrite => probe::probe(&reached, settings.timeout).await?,
                _ => Probed::No,
            };
            Ok((reached, probed))
        });
        let (reached, probed) = reached.await?;
        let contract = contract::contract(&reached.nfs, &reached.limits, probed, mode);
        let shared = Shared {
            nfs: reached.nfs,
            io,
            root: reached.root,
            limits: reached.limits,
            contract,
            timeout,
            in_use: InUse::default(),
            uri: reached.uri,
            mode,
            closed: AtomicBool::new(false),
        };
        Ok(NfsStore {
            shared: Arc::new(shared),
        })
    }

    /// Runs a call on the store's thread.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.shared.run(work(self.shared.clone())).await
    }
}

impl Shared {
    /// Runs `work` on the store's thread; it goes on when the future is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.check_open()?;
        self.io.run(work).await
    }

    /// An operation that begins now.
    pub fn op(&self) -> Op {
        Op::within(self.timeout)
    }

    pub fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => {
                let text = "the store is closed; open it again";
                Err(refusal(ErrorKind::Closed, &self.uri, text))
            }
        }
    }

    pub fn check_writable(&self) -> Result<()> {
        match self.mode {
            Mode::ReadWrite => Ok(()),
            _ => {
                let text = "the store was opened for reading only";
                Err(refusal(ErrorKind::PermissionDenied, &self.uri, text))
            }
        }
    }

    /// The folder of a path, for something to be put in it.
    pub async fn folder_to_write(&self, op: &Op, path: &StorePath) -> Result<nfs_fh3> {
        self.check_writable()?;
        if path.as_str().is_empty() {
            let text = "the root is a folder, not an object or a log";
            return Err(refusal(ErrorKind::InvalidInput, &self.uri, text));
        }
        self.make_folder(op, &path.parent()).await
    }

    /// Where a path lies, for messages.
    pub fn at(&self, path: &StorePath) -> String {
        match path.as_str() {
            "" => self.uri.clone(),
            path => format!("{}/{path}", self.uri),
        }
    }

    /// Where a log lies, for messages.
    pub fn at_log(&self, path: &StorePath) -> String {
        format!("{}.log", self.at(path))
    }
}

#[async_trait]
impl JournalStore for NfsStore {
    fn contract(&self) -> &FlushContract {
        &self.shared.contract
    }

    /// There is none: the fence decides.
    async fn host_lock(&self, _how: HostLock) -> Result<()> {
        self.shared.check_open()?;
        self.shared.check_writable()
    }

    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        let path = path.clone();
        let begun = self.run(|s| async move { object::begin(&s, &path, options).await });
        Ok(Box::new(begun.await?))
    }

    async fn create_log(
        &self,
        path: &StorePath,
        _options: LogOptions,
    ) -> Result<Box<dyn LogWriter>> {
        let path = path.clone();
        let created = self.run(|s| async move { seal::create(&s, &path).await });
        Ok(Box::new(created.await?))
    }

    async fn open(&self, path: &StorePath, _from: Source) -> Result<Box<dyn Reader>> {
        let path = path.clone();
        let opened = self.run(|s| async move { reader::open(&s, &path).await });
        Ok(Box::new(opened.await?))
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        let path = path.clone();
        self.run(|s| async move { fence::fence(&s, &path).await })
            .await
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        list::list(self.shared.clone(), prefix.clone())
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        let path = path.clone();
        self.run(|s| async move { remove::delete(&s, &path).await })
            .await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        self.run(|s| async move { remove::sweep(&s, older_than).await })
            .await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.run(|s| async move {
            let stat = s.nfs.fsstat(&s.op(), &s.root).await;
            let stat = stat.map_err(|e| fault("can't ask how full it is", &s.uri, &e))?;
            Ok(Some(Space::new(stat.tbytes, stat.abytes)))
        })
        .await
    }

    /// The connection ends with the last writer or reader.
    async fn close(&self) -> Result<()> {
        self.shared.closed.store(true, Ordering::Release);
        Ok(())
    }
}
