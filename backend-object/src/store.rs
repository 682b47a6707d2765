//! [`ObjectStore`]: a prefix in a bucket or container.

use crate::calls::{Calls, Created, NOBODY};
use crate::contract::contract;
use crate::driver::Driver;
use crate::fault::refusal;
use crate::head::{Head, Kind, Strange};
use crate::options::Env;
use crate::pieces::InUse;
use crate::probe::{Probed, probe};
use crate::{delete, fence, keys, list, log, object, options, reader, service};
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{
    BoxStream, Error, ErrorKind, FlushContract, HostLock, JournalStore, Listed, LogOptions,
    LogWriter, Mode, ObjectOptions, ObjectWriter, Options, Reader, Result, Source, Space,
    StorePath, StoreUri,
};
use futures_util::{StreamExt, stream};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the first request of an opening may take with its retries: a wrong
/// address should be known soon.
const FIRST: Duration = Duration::from_secs(5);

/// A store in a bucket or container, opened by [`ObjectFactory`](crate::ObjectFactory).
#[derive(Debug)]
pub struct ObjectStore {
    shared: Arc<Shared>,
}

/// What the store and the calls that go on alone share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub calls: Calls,
    pub driver: Driver,
    pub contract: FlushContract,
    pub in_use: InUse,
    mode: Mode,
    closed: AtomicBool,
}

impl ObjectStore {
    /// Opens the place that `uri` names. Called inside a tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown or unfit option, `NotFound` for a missing bucket or,
    /// opened for reading only, an empty place; `PermissionDenied` for missing or wrong
    /// credentials; `Unreachable`, `TimedOut`.
    /// # Cancel safety
    /// Safe: at most trial objects are left, which `sweep` removes.
    pub async fn open(uri: &StoreUri, options: &Options, mode: Mode) -> Result<ObjectStore> {
        let env = |key: &str| std::env::var(key).ok();
        ObjectStore::open_with(uri, options, mode, &env).await
    }

    pub(crate) fn open_with(
        uri: &StoreUri,
        options: &Options,
        mode: Mode,
        env: Env<'_>,
    ) -> impl Future<Output = Result<ObjectStore>> + Send + use<> {
        let begun = begin(uri, options, env);
        let scheme = uri.scheme().to_owned();
        async move {
            let (calls, settings, endpoint) = begun?;
            let driver = Driver::start()?;
            let looking = calls.clone();
            let looked = driver.run(async move {
                look(&looking.hurried(FIRST), mode).await?;
                match mode {
                    Mode::ReadWrite => probe(&looking).await,
                    _ => Ok(Probed::Unlooked),
                }
            });
            let looked = looked.await.map_err(|e| nowhere(e, endpoint.as_deref()))?;
            let plain = endpoint.is_some_and(|e| e.starts_with("http://"));
            let contract = contract(&scheme, &settings, &looked, plain);
            Ok(ObjectStore {
                shared: Arc::new(Shared {
                    calls,
                    driver,
                    contract,
                    in_use: InUse::default(),
                    mode,
                    closed: AtomicBool::new(false),
                }),
            })
        }
    }

    /// Runs a call that goes on when its future is dropped.
    async fn finish<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.shared.check_open()?;
        self.shared.check_writable()?;
        self.shared.driver.finish(work(self.shared.clone())).await
    }
}

/// An error of the first requests: one that nobody answered says where it went.
fn nowhere(error: Error, endpoint: Option<&str>) -> Error {
    match (error.kind(), endpoint) {
        (ErrorKind::Unreachable | ErrorKind::TimedOut, Some(endpoint)) => {
            error.context(format_args!("endpoint {endpoint}"))
        }
        _ => error,
    }
}

/// Reads options and builds the service; makes no request. Gives the endpoint,
/// where one is known, besides.
pub(crate) fn begin(
    uri: &StoreUri,
    options: &Options,
    env: Env<'_>,
) -> Result<(Calls, options::Settings, Option<String>)> {
    let (settings, place, secrets) = options::read(uri, options, env)?;
    let shown = uri.to_string();
    let shown = shown.trim_end_matches('/').to_owned();
    let operator = service::operator(&place, &shown)?;
    let times = (settings.timeout, settings.request_timeout);
    let calls = Calls::new(operator, shown, secrets, times);
    Ok((calls, settings, place.endpoint))
}

/// The first look at the place: whether it can be used, and is one of ours.
async fn look(calls: &Calls, mode: Mode) -> Result<()> {
    let head = Head::new(Kind::Root, NOBODY, 0, &[])?;
    let found = match mode {
        Mode::ReadWrite => match calls.create(keys::ROOT, &head, Bytes::new()).await? {
            Created::Now => return Ok(()),
            Created::Taken(found) => found,
        },
        _ => match calls.head(keys::ROOT).await? {
            Some(found) => found,
            None => {
                let text = "nothing of a journal is there; check bucket and prefix";
                return Err(refusal(ErrorKind::NotFound, &calls.at(""), text));
            }
        },
    };
    let at = calls.at(keys::ROOT);
    match found.map_err(|strange| strange.error(&at))?.kind {
        Kind::Root => Ok(()),
        _ => Err(Strange::Damaged.error(&at)),
    }
}

impl Shared {
    fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => {
                let text = "the store is closed; open it again";
                Err(refusal(ErrorKind::Closed, &self.calls.at(""), text))
            }
        }
    }

    fn check_writable(&self) -> Result<()> {
        match self.mode {
            Mode::ReadWrite => Ok(()),
            _ => {
                let text = "the store was opened for reading only";
                let at = self.calls.at("");
                Err(refusal(ErrorKind::PermissionDenied, &at, text))
            }
        }
    }
}

#[async_trait]
impl JournalStore for ObjectStore {
    fn contract(&self) -> &FlushContract {
        &self.shared.contract
    }

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
        let begin =
            |shared: Arc<Shared>| async move { object::begin(&shared, &path, options).await };
        Ok(Box::new(self.finish(begin).await?))
    }

    async fn create_log(
        &self,
        path: &StorePath,
        _options: LogOptions,
    ) -> Result<Box<dyn LogWriter>> {
        let path = path.clone();
        let create = |shared: Arc<Shared>| async move { log::create(&shared, &path).await };
        Ok(Box::new(self.finish(create).await?))
    }

    async fn open(&self, path: &StorePath, _from: Source) -> Result<Box<dyn Reader>> {
        self.shared.check_open()?;
        let (shared, path) = (self.shared.clone(), path.clone());
        let open = async move { reader::open(&shared, &path).await };
        Ok(Box::new(self.shared.driver.run(open).await?))
    }

    async fn fence_log(&self, path: &StorePath) -> Result<u64> {
        let path = path.clone();
        self.finish(|shared| async move { fence::fence(&shared.calls, &path).await })
            .await
    }

    fn list<'a>(&'a self, prefix: &StorePath) -> BoxStream<'a, Result<Listed>> {
        let (shared, prefix) = (self.shared.clone(), prefix.clone());
        let rows = async move {
            self.shared.check_open()?;
            let listed = async move { list::list(&shared, &prefix).await };
            self.shared.driver.run(listed).await
        };
        Box::pin(stream::once(rows).flat_map(|rows| {
            stream::iter(match rows {
                Ok(rows) => rows.into_iter().map(Ok).collect(),
                Err(e) => vec![Err(e)],
            })
        }))
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        let path = path.clone();
        self.finish(|shared| async move { delete::delete(&shared.calls, &path).await })
            .await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64> {
        self.finish(|shared| async move {
            delete::sweep(&shared.calls, &shared.in_use, older_than).await
        })
        .await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.shared.check_open()?;
        Ok(None)
    }

    async fn close(&self) -> Result<()> {
        self.shared.closed.store(true, Ordering::Release);
        Ok(())
    }
}
