//! [`HdfsStore`]: a folder in HDFS.

use crate::conf::Conf;
use crate::connect::{Io, NameNode};
use crate::contract::{Found, contract};
use crate::copies::{self, Copies};
use crate::fault::refusal;
use crate::names::{self, Names};
use crate::options::Settings;
use crate::watch::Watch;
use crate::webhdfs::{Cluster, Failure, Web};
use crate::{fence, list, log, object, probe, reader};
use async_trait::async_trait;
use flushproof_api::{
    Advice, BoxStream, Error, ErrorKind, FlushContract, HostLock, JournalStore, Listed, LogOptions,
    LogWriter, Mode, ObjectOptions, ObjectWriter, Options, Reader, Result, Source, Space,
    StorePath, StoreUri, Survives,
};
use hdfs_native::HdfsError;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A store in a folder of HDFS.
///
/// ```no_run
/// use flushproof_api::*;
/// use flushproof_backend_hdfs::HdfsStore;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let uri = StoreUri::parse("hdfs://namenode:8020/journals/m")?;
/// let store = HdfsStore::open(&uri, &Options::new(), Mode::ReadWrite).await?;
/// println!("{}", store.contract().mechanism);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct HdfsStore {
    shared: Arc<Shared>,
}

/// What the store and the tasks that work for it share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub nn: Arc<NameNode>,
    pub names: Names,
    pub settings: Settings,
    pub contract: FlushContract,
    pub copies: Copies,
    pub web: Option<Arc<Web>>,
    pub watch: Watch,
    mode: Mode,
    closed: AtomicBool,
    /// Temporaries of this process, not to be swept.
    in_use: Arc<Mutex<HashSet<String>>>,
}

impl HdfsStore {
    /// Opens the folder that `uri` names, created where it is missing unless `mode`
    /// is [`Mode::ReadOnly`].
    ///
    /// # Errors
    /// `InvalidInput` for an unknown option or a place that is no folder, `NotFound`,
    /// `PermissionDenied`, `NoSpace`, `Unsupported` for an erasure-coded folder, `Unreachable` and
    /// `TimedOut` when NameNode or DataNodes don't answer.
    /// # Cancel safety
    /// Safe: at most a folder or a probe file is left, which `sweep` removes.
    pub async fn open(uri: &StoreUri, options: &Options, mode: Mode) -> Result<HdfsStore> {
        let settings = Settings::read(options)?;
        let names = Names::new(root(uri)?);
        let io = Io::start()?;
        let (authority, wanted) = (uri.authority().to_owned(), settings.clone());
        let conf = io.blocking(move || Conf::read(&authority, &wanted)).await?;
        let replication = settings.replication.or_else(|| conf.replication());
        let addresses = conf.web(&settings);
        let hostnames = conf.get("dfs.client.use.datanode.hostname") == Some("true");
        let web = addresses.map(|a| Arc::new(Web::new(a, &settings, hostnames)));
        let nn = NameNode::new(io.clone(), conf, settings.clone()).await?;
        let shared = io.run(async move {
            let nn = Arc::new(nn);
            root_folder(&nn, names.root(), mode).await?;
            let mut found = Found {
                replication,
                cluster: None,
                web: web.as_ref().map(|w| w.shown()).map_err(Clone::clone),
                read_only: mode == Mode::ReadOnly,
            };
            let mut web = web.ok();
            if let Some(asked) = &web {
                match ask_web(asked, names.root(), mode, &settings).await? {
                    Ok(cluster) => found.cluster = Some(cluster),
                    Err(why) => {
                        found.web = Err(why);
                        web = None;
                    }
                }
            }
            let watch = Watch::new(web.clone());
            let mut fewer = false;
            if mode == Mode::ReadWrite {
                let probed = probe::probe(&nn, &names, &settings, &watch, replication).await?;
                found.replication = probed.replication;
                fewer = probed.fewer;
            }
            let shared = Arc::new(Shared {
                contract: contract(&found, &settings),
                nn,
                names,
                settings,
                copies: Copies::new(replication, found.replication, fewer),
                web,
                watch,
                mode,
                closed: AtomicBool::new(false),
                in_use: Arc::default(),
            });
            if fewer {
                copies::watch(&shared);
            }
            Ok(shared)
        });
        Ok(HdfsStore {
            shared: shared.await?,
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn opened(&self) -> Result<Arc<Shared>> {
        self.shared.check_open()?;
        Ok(self.shared.clone())
    }
}

/// The folder that a URI names.
fn root(uri: &StoreUri) -> Result<&str> {
    let wrong = |text: &str| {
        let text = format!("{uri}: {text}; say hdfs://namenode:8020/folder");
        Err(Error::new(ErrorKind::InvalidInput, text))
    };
    let path = uri.path();
    if !path.starts_with('/') {
        return wrong("no folder is named");
    }
    let parts = path.trim_matches('/').split('/');
    if path != "/"
        && parts
            .clone()
            .any(|p| matches!(p, "" | "." | "..") || p.contains(':'))
    {
        return wrong("an empty part, a dot, two dots or a colon can't be in a path of HDFS");
    }
    Ok(path)
}

async fn root_folder(nn: &Arc<NameNode>, root: &str, mode: Mode) -> Result<()> {
    match (nn.info(root).await?, mode) {
        (Some(info), _) if info.isdir => Ok(()),
        (Some(_), _) => Err(refusal(ErrorKind::InvalidInput, root, "it is not a folder")),
        (None, Mode::ReadWrite) => nn.make_folder(root).await,
        (None, _) => Err(refusal(
            ErrorKind::NotFound,
            root,
            "there is no such folder",
        )),
    }
}

/// Whether the HTTP server can be used, and what it says; the outer error is final.
async fn ask_web(
    web: &Web,
    root: &str,
    mode: Mode,
    settings: &Settings,
) -> Result<std::result::Result<Cluster, String>> {
    let limit = settings.timeout;
    let policy = probe::bounded(limit, root, web.erasure_coding(root)).await;
    match (policy, mode) {
        (Ok(Ok(Some(policy))), Mode::ReadWrite) => {
            return Err(probe::erasure_coded(root, &policy));
        }
        (Ok(Ok(_)), _) => {}
        (Ok(Err(Failure::NotFound)), _) => {
            let text = format!("{} does not know {root}: another cluster", web.shown());
            return Ok(Err(text));
        }
        (Ok(Err(Failure::Other(text))), _) => return Ok(Err(text)),
        (Err(e), _) => return Ok(Err(e.to_string())),
    }
    Ok(match probe::bounded(limit, root, web.cluster()).await {
        Ok(Ok(cluster)) => Ok(cluster),
        Ok(Err(Failure::Other(text))) => Err(text),
        Ok(Err(Failure::NotFound)) => Err(format!("{} has no /jmx", web.shown())),
        Err(e) => Err(e.to_string()),
    })
}

impl Shared {
    pub fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(refusal(
                ErrorKind::Closed,
                self.names.root(),
                "the store is closed; open it again",
            )),
        }
    }

    pub fn check_writable(&self) -> Result<()> {
        match self.mode {
            Mode::ReadWrite => Ok(()),
            _ => Err(refusal(
                ErrorKind::PermissionDenied,
                self.names.root(),
                "the store was opened for reading only",
            )),
        }
    }

    /// Whether something may be put, fenced or deleted at a path.
    pub fn check_path(&self, path: &StorePath) -> Result<()> {
        self.check_writable()?;
        match path.as_str() {
            "" => {
                let text = "the root is a folder, not an object or a log";
                Err(refusal(ErrorKind::InvalidInput, self.names.root(), text))
            }
            _ => Ok(()),
        }
    }

    /// What a flush that just answered Ok survives.
    pub async fn survives_now(&self, log: &str) -> Survives {
        let promised = self.contract.survives;
        let (true, Some(web)) = (self.settings.check_pipeline, &self.web) else {
            return promised;
        };
        let width = tokio::time::timeout(self.settings.flush_timeout, web.width(log)).await;
        let copies = match width {
            Ok(Ok(width)) => width,
            _ => 1,
        };
        let lost = u8::try_from(copies.saturating_sub(1)).unwrap_or(u8::MAX);
        promised.with_lost_copies(lost.min(promised.lost_copies()))
    }

    /// Turns "no DataNode took the block" into `NoSpace` where they are full.
    pub async fn no_room(&self, error: Error, source: &HdfsError) -> Error {
        let Some(web) = self
            .web
            .as_ref()
            .filter(|_| crate::fault::is_no_datanode(source))
        else {
            return error;
        };
        let cluster = tokio::time::timeout(self.settings.timeout, web.cluster()).await;
        match cluster {
            Ok(Ok(c)) if c.live > 0 && c.remaining / c.live < self.settings.log_size => {
                let text = format!("{error}; they have {} bytes left", c.remaining);
                Error::new(ErrorKind::NoSpace, text).with_advice(Advice::Operator)
            }
            _ => error,
        }
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        let (object, log) = (self.names.object(path), self.names.log(path));
        // A folder of that name is not the object.
        if self.nn.info(&object).await?.is_some_and(|info| !info.isdir) {
            self.nn.remove(&object).await?;
        }
        self.nn.remove(&log).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        let before = SystemTime::now().checked_sub(older_than);
        let before = before.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        let before = before.map_or(0, |t| t.as_millis() as u64);
        let mut removed = 0;
        let mut folders = vec![StorePath::root()];
        while let Some(folder) = folders.pop() {
            let at = self.names.object(&folder);
            for row in self.nn.list(&at).await?.unwrap_or_default() {
                let full = format!("{}/{}", at.trim_end_matches('/'), row.name);
                if row.status.isdir {
                    let below = full.strip_prefix(&self.names.object(&StorePath::root()));
                    let below = below.map(|b| b.trim_start_matches('/'));
                    folders.extend(below.and_then(|b| StorePath::new(b).ok()));
                } else if names::is_leftover(&row.name)
                    && row.status.modification_time <= before
                    && !self.uses(&full)
                {
                    self.nn.remove(&full).await?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn uses(&self, name: &str) -> bool {
        let in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.contains(name)
    }
}

/// A temporary that `sweep` of this process leaves alone.
#[derive(Debug)]
pub(crate) struct InUse {
    name: String,
    nn: Arc<NameNode>,
    all: Arc<Mutex<HashSet<String>>>,
}

impl InUse {
    pub fn new(shared: &Shared, name: String) -> InUse {
        let all = shared.in_use.clone();
        let mut names = all.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.clone());
        drop(names);
        let nn = shared.nn.clone();
        InUse { name, nn, all }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes the file; what can't be removed is left to `sweep`.
    pub async fn remove(&self) {
        if let Err(e) = self.nn.remove(&self.name).await {
            tracing::warn!(name = self.name, error = %e, "temporary left to sweep");
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.name);
    }
}

#[async_trait]
impl JournalStore for HdfsStore {
    fn contract(&self) -> &FlushContract {
        &self.shared.contract
    }

    async fn host_lock(&self, _how: HostLock) -> Result<()> {
        self.opened()?.check_writable()
    }

    async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        let object = object::begin(self.opened()?, path.clone(), options);
        Ok(Box::new(object.await?))
    }

    async fn create_log(&self, path: &StorePath, _: LogOptions) -> Result<Box<dyn LogWriter>> {
        Ok(Box::new(log::create(self.opened()?, path.clone()).await?))
    }

    async fn open(&self, path: &StorePath, _from: Source) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::open(self.opened()?, path).await?))
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        fence::fence(self.opened()?, path.clone()).await
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        list::list(self.shared.clone(), prefix.clone())
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        let shared = self.opened()?;
        shared.check_path(path)?;
        let (io, path) = (shared.nn.io.clone(), path.clone());
        io.run(async move { shared.delete(&path).await }).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        let shared = self.opened()?;
        shared.check_writable()?;
        let io = shared.nn.io.clone();
        io.run(async move { shared.sweep(older_than).await }).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        let shared = self.opened()?;
        if shared.web.is_none() {
            return Ok(None);
        }
        let io = shared.nn.io.clone();
        io.run(async move {
            let Some(web) = &shared.web else {
                return Ok(None);
            };
            let cluster =
                probe::bounded(shared.settings.timeout, shared.names.root(), web.cluster());
            match cluster.await? {
                Ok(c) => Ok(Some(Space::new(c.total, c.remaining))),
                Err(_) => Ok(None),
            }
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        self.shared.closed.store(true, Ordering::Release);
        Ok(())
    }
}
