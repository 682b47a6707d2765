//! [`Bounded`]: the store with every call bounded in time, and the small
//! objects that the engine keeps on it.

use crate::format::names::{self, EPOCH_FOLDER, START_FOLDER};
use crate::format::object::{EpochObject, FormatObject, MAX_OBJECT, StartObject};
use crate::format::{JournalId, SegmentId};
use crate::unreadable::{Around, Unopened, Unreadable};
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::{
    Epoch, Error, ErrorKind, HostLock, JournalStore, Listed, ListedKind, LogOptions, LogWriter,
    ObjectOptions, ObjectWriter, Reader, Result, Source, StorePath,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A store of which every single call answers within `limit`.
#[derive(Clone, Debug)]
pub(crate) struct Bounded {
    store: Arc<dyn JournalStore>,
    limit: Duration,
    /// Reads go on behind what can't be read, and note it here.
    around: Option<Arc<Unreadable>>,
}

impl Bounded {
    pub(crate) fn new(store: Arc<dyn JournalStore>, limit: Duration) -> Bounded {
        Bounded {
            store,
            limit,
            around: None,
        }
    }

    /// The same, but what can't be read is noted and passed over, if that is given.
    pub(crate) fn around(self, around: Option<Arc<Unreadable>>) -> Bounded {
        Bounded { around, ..self }
    }

    async fn bound<T>(
        &self,
        doing: &str,
        path: &StorePath,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        bound(self.limit, call)
            .await
            .map_err(|e| e.context(format!("{doing} {path}")))
    }

    /// The whole small object, `None` when it is not there.
    pub(crate) async fn get(&self, path: &StorePath) -> Result<Option<Bytes>> {
        let read = async {
            let reader = self.store.open(path, Source::Medium).await?;
            let len = reader.len().await?;
            if len > MAX_OBJECT as u64 {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{len} bytes are too long for this object"),
                ));
            }
            reader.read(0..len).await
        };
        match (self.bound("reading", path, read).await, &self.around) {
            (Err(e), Some(around)) if e.kind() == ErrorKind::Io => {
                Ok(Some(around.object(path, &e)))
            }
            (read, _) => found(read),
        }
    }

    /// Publishes an object.
    pub(crate) async fn put(&self, path: &StorePath, bytes: Bytes) -> Result<()> {
        let options = ObjectOptions::default().with_size_hint(bytes.len() as u64);
        let write = async {
            let mut object = self.store.create_object(path, options).await?;
            object.write(bytes).await?;
            object.commit().await
        };
        self.bound("publishing", path, write).await.map(|_| ())
    }

    /// Everything in a folder, at any depth.
    pub(crate) async fn list(&self, folder: &StorePath) -> Result<Vec<Listed>> {
        let mut stream = self.store.list(folder);
        let mut rows = Vec::new();
        loop {
            // Each row is bounded: a long list may take long.
            let row = async { stream.next().await.transpose() };
            match self.bound("listing", folder, row).await? {
                Some(row) => rows.push(row),
                None => return Ok(rows),
            }
        }
    }

    pub(crate) async fn fence(&self, segment: SegmentId) -> Result<u64> {
        let path = names::log_path(segment)?;
        self.bound("fencing", &path, self.store.fence_log(&path))
            .await
    }

    pub(crate) async fn host_lock(&self, how: HostLock) -> Result<()> {
        bound(self.limit, self.store.host_lock(how)).await
    }

    /// Gives back what the store holds: its lock, its spares.
    pub(crate) async fn close(&self) -> Result<()> {
        let closed = bound(self.limit, self.store.close()).await;
        closed.map_err(|e| e.context("closing the store"))
    }

    pub(crate) async fn delete(&self, path: &StorePath) -> Result<()> {
        self.bound("deleting", path, self.store.delete(path)).await
    }

    pub(crate) async fn create_log(
        &self,
        path: &StorePath,
        size_hint: u64,
    ) -> Result<Box<dyn LogWriter>> {
        let options = LogOptions::default().with_size_hint(size_hint);
        let call = self.store.create_log(path, options);
        self.bound("creating", path, call).await
    }

    pub(crate) async fn create_object(
        &self,
        path: &StorePath,
        options: ObjectOptions,
    ) -> Result<Box<dyn ObjectWriter>> {
        let call = self.store.create_object(path, options);
        self.bound("creating", path, call).await
    }

    /// A reader each of whose calls is bounded; `None` when there is nothing to read.
    pub(crate) async fn open(
        &self,
        path: &StorePath,
        source: Source,
    ) -> Result<Option<Arc<dyn Reader>>> {
        let opened = self.bound("opening", path, self.store.open(path, source));
        let opened = match (opened.await, &self.around) {
            (Err(e), Some(around)) if e.kind() == ErrorKind::Io => {
                around.object(path, &e);
                return Ok(Some(Arc::new(Unopened)));
            }
            (opened, _) => found(opened)?,
        };
        Ok(opened.map(|inner| {
            let inner = BoundedReader {
                inner,
                path: path.clone(),
                limit: self.limit,
            };
            match &self.around {
                None => Arc::new(inner) as Arc<dyn Reader>,
                Some(unreadable) => Arc::new(Around {
                    inner,
                    unreadable: unreadable.clone(),
                }),
            }
        }))
    }
}

pub(crate) async fn bound<T>(limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(
            ErrorKind::TimedOut,
            format!("the store did not answer within {limit:?} (store_timeout); is it up?"),
        )),
    }
}

fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[derive(Debug)]
pub(crate) struct BoundedReader {
    inner: Box<dyn Reader>,
    pub path: StorePath,
    limit: Duration,
}

#[async_trait]
impl Reader for BoundedReader {
    async fn len(&self) -> Result<u64> {
        bound(self.limit, self.inner.len())
            .await
            .map_err(|e| e.context(&self.path))
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let end = range.end;
        match bound(self.limit, self.inner.read(range)).await {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.shorter_now(end, e).await),
            read => read.map_err(|e| e.context(&self.path)),
        }
    }
}

impl BoundedReader {
    /// The length that was asked before a read is an upper bound: a log that is
    /// sealed meanwhile loses what was prepared behind its end. That is no fault;
    /// whoever reads looks again, as after a trim.
    async fn shorter_now(&self, end: u64, error: Error) -> Error {
        match bound(self.limit, self.inner.len()).await {
            Ok(len) if len < end => Error::new(
                ErrorKind::NotFound,
                format!(
                    "{}: it became shorter while it was read: {error}",
                    self.path
                ),
            ),
            _ => error.context(&self.path),
        }
    }
}

/// What the root of a store holds.
#[derive(Debug)]
pub(crate) enum Root {
    /// A journal.
    Journal(JournalId, FormatObject),
    /// Nothing that is a journal's.
    Empty,
    /// A journal's names, but no `FORMAT`: a format that did not end.
    Half,
}

/// Looks for a journal.
pub(crate) async fn look(io: &Bounded) -> Result<Root> {
    let path = names::format_path()?;
    if let Some(bytes) = io.get(&path).await? {
        let (id, format) = FormatObject::decode(&bytes).map_err(|e| e.context(&path))?;
        return Ok(Root::Journal(id, format));
    }
    for folder in FOLDERS {
        if !io.list(&names::folder(folder)?).await?.is_empty() {
            return Ok(Root::Half);
        }
    }
    Ok(Root::Empty)
}

/// The folders of a journal.
pub(crate) const FOLDERS: [&str; 5] = [
    EPOCH_FOLDER,
    START_FOLDER,
    names::LOG_FOLDER,
    names::CHECKPOINT_FOLDER,
    names::REQUEST_FOLDER,
];

/// The journal at this root.
///
/// # Errors
/// `NotFormatted`, `HalfFormatted`, `NewerFormat`, `Corrupt`.
pub(crate) async fn journal_id(
    io: &Bounded,
    folder: &flushproof_api::StoreUri,
) -> Result<(JournalId, FormatObject)> {
    match look(io).await.map_err(|e| e.context(folder))? {
        Root::Journal(id, format) => Ok((id, format)),
        Root::Empty => Err(Error::new(
            ErrorKind::NotFormatted,
            format!("{folder} holds no journal; make one with: journal format {folder}"),
        )),
        Root::Half => Err(half_formatted(folder)),
    }
}

pub(crate) fn half_formatted(folder: &flushproof_api::StoreUri) -> Error {
    Error::new(
        ErrorKind::HalfFormatted,
        format!(
            "{folder} holds parts of a journal but no FORMAT: a format was cut short. If nothing \
             there is needed, run: journal format --force {folder}"
        ),
    )
}

/// The epochs in `epoch/`, whichever journal's: numbers are never used twice.
pub(crate) async fn list_epochs(io: &Bounded) -> Result<Vec<Epoch>> {
    let rows = io.list(&names::folder(EPOCH_FOLDER)?).await?;
    Ok(objects(rows, names::parse_epoch))
}

/// Those of the rows that are objects with a name of the right form, sorted.
pub(crate) fn objects<T: Ord>(
    rows: Vec<Listed>,
    parse: impl Fn(&StorePath) -> Option<T>,
) -> Vec<T> {
    let mut out: Vec<T> = rows
        .iter()
        .filter(|r| r.kind == ListedKind::Object)
        .filter_map(|r| parse(&r.path))
        .collect();
    out.sort();
    out
}

/// The claim of an epoch, if it is this journal's.
pub(crate) async fn read_epoch(
    io: &Bounded,
    id: JournalId,
    epoch: Epoch,
) -> Result<Option<EpochObject>> {
    let path = names::epoch_path(epoch)?;
    let Some(bytes) = io.get(&path).await? else {
        return Ok(None);
    };
    if bytes.is_empty() {
        return Ok(None); // deleted, and its name has come back after a power cut
    }
    let (owner, object) = EpochObject::decode(&bytes).map_err(|e| e.context(&path))?;
    Ok((owner == id && object.epoch == epoch).then_some(object))
}

/// The starts of a journal: which epochs were served.
#[derive(Debug)]
pub(crate) struct Starts {
    io: Bounded,
    id: JournalId,
    /// By name, sorted; whether each is this journal's shows when it is read.
    names: Vec<Epoch>,
}

impl Starts {
    /// Lists `start/`.
    pub(crate) async fn list(io: &Bounded, id: JournalId) -> Result<Starts> {
        let rows = io.list(&names::folder(START_FOLDER)?).await?;
        Ok(Starts {
            io: io.clone(),
            id,
            names: objects(rows, names::parse_start),
        })
    }

    /// The start of an epoch; `None` when there is none of this journal.
    pub(crate) async fn get(&self, epoch: Epoch) -> Result<Option<StartObject>> {
        if self.names.binary_search(&epoch).is_err() {
            return Ok(None);
        }
        let path = names::start_path(epoch)?;
        let Some(bytes) = self.io.get(&path).await? else {
            return Ok(None);
        };
        // Below the head an empty one was deleted, and its name has come back after a
        // power cut: no object is published empty. The head is never deleted.
        if bytes.is_empty() && self.names.last() != Some(&epoch) {
            return Ok(None);
        }
        let (owner, start) = StartObject::decode(&bytes).map_err(|e| e.context(&path))?;
        if owner != self.id {
            return Ok(None);
        }
        if start.epoch != epoch {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("{path} holds the start of epoch {}", start.epoch),
            ));
        }
        Ok(Some(start))
    }

    /// Whether it was decided that the epoch never gets a start.
    pub(crate) async fn is_void(&self, epoch: Epoch) -> Result<bool> {
        if self.names.binary_search(&epoch).is_err() {
            return Ok(false);
        }
        let found = self.io.get(&names::start_path(epoch)?).await?;
        Ok(found.is_some_and(|bytes| bytes == StartObject::void(epoch)))
    }

    /// The head: the highest start of this journal.
    pub(crate) async fn head(&self) -> Result<Option<StartObject>> {
        for epoch in self.names.iter().rev() {
            if let Some(start) = self.get(*epoch).await? {
                return Ok(Some(start));
            }
        }
        Ok(None)
    }

    /// The names, sorted.
    pub(crate) fn names(&self) -> &[Epoch] {
        &self.names
    }
}

/// The segments in `log/`, with their rows; fences are left out.
pub(crate) async fn list_logs(io: &Bounded) -> Result<Vec<(SegmentId, Listed)>> {
    let rows = io.list(&names::folder(names::LOG_FOLDER)?).await?;
    let mut logs: Vec<_> = rows
        .into_iter()
        .filter(|r| r.kind == ListedKind::Log)
        .filter_map(|r| names::parse_log(&r.path).map(|id| (id, r)))
        .collect();
    logs.sort_by_key(|(id, _)| *id);
    Ok(logs)
}

/// How many logs are fenced at a time: a fence is mostly waiting.
const FENCES: usize = 8;

/// Fences every log of an epoch, prepared empty ones too; each with its L, by index. In
/// which order they are fenced does not matter: the model has all of them.
///
/// # Errors
/// `NotFound` if a listed log is gone: it was trimmed meanwhile.
pub(crate) async fn fence_epoch(io: &Bounded, epoch: Epoch) -> Result<Vec<(SegmentId, u64)>> {
    let mut fences = Vec::new();
    for (id, _) in list_logs(io).await? {
        if id.epoch == epoch {
            fences.push(fence(io, id).boxed());
        }
    }
    stream::iter(fences).buffered(FENCES).try_collect().await
}

async fn fence(io: &Bounded, id: SegmentId) -> Result<(SegmentId, u64)> {
    Ok((id, io.fence(id).await?))
}
