//! Objects: written into a temporary, published whole by an exclusive LINK.

use crate::fault::{fault, refusal, refused};
use crate::folders::File;
use crate::names;
use crate::op::{Fail, Op};
use crate::procedures::Written;
use crate::store::Shared;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, ObjectOptions, ObjectWriter, Outcome, Result, StorePath};
use nfs3_types::nfs3::{nfs_fh3, nfsstat3, stable_how};
use std::sync::{Arc, Mutex, PoisonError};

/// The mode of an object, where the caller does not say one.
const MODE: u32 = 0o644;

/// Begins an object.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    path: &StorePath,
    options: ObjectOptions,
) -> Result<NfsObject> {
    let at = shared.at(path);
    let op = shared.op();
    let folder = shared.folder_to_write(&op, path).await?;
    let there = shared.nfs.find(&op, &folder, &names::object(path)).await;
    if there
        .map_err(|e| refused("can't look for the object", &at, &e))?
        .is_some()
    {
        return Err(taken("object", &at));
    }
    let inner = Inner {
        shared: shared.clone(),
        folder,
        name: names::object(path),
        at,
        mode: options.mode.unwrap_or(MODE) & 0o7777,
        written: 0,
        state: State::Open(None),
    };
    Ok(NfsObject(Arc::new(Object {
        gathered: Mutex::default(),
        piece: shared.limits.write as usize,
        inner: tokio::sync::Mutex::new(inner),
    })))
}

fn taken(what: &str, at: &str) -> Error {
    refusal(ErrorKind::AlreadyExists, at, &format!("the {what} exists"))
}

/// The writer of one object; shared with calls that go on after their future
/// was dropped.
pub(crate) struct NfsObject(Arc<Object>);

impl std::fmt::Debug for NfsObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NfsObject").finish_non_exhaustive()
    }
}

struct Object {
    /// Bytes on their way, in order: whichever call comes first takes them, so
    /// that a dropped future neither loses nor reorders any (FC-10).
    gathered: Mutex<BytesMut>,
    /// How many bytes go into one WRITE.
    piece: usize,
    inner: tokio::sync::Mutex<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    folder: nfs_fh3,
    name: String,
    at: String,
    mode: u32,
    written: u64,
    state: State,
}

enum State {
    /// The temporary is created with the first bytes that go to the server.
    Open(Option<Temporary>),
    Published,
    /// The first error is final; after an abort it is `Closed`.
    Failed(Error),
}

#[derive(Clone)]
struct Temporary {
    name: String,
    file: File,
}

#[async_trait]
impl ObjectWriter for NfsObject {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.0.gather(&bytes) < self.0.piece {
            return Ok(());
        }
        let object = self.0.clone();
        self.run(async move {
            let mut inner = object.inner.lock().await;
            let bytes = object.take();
            inner.write(bytes).await
        })
        .await
    }

    async fn commit(&mut self) -> Result<u64> {
        let object = self.0.clone();
        self.run(async move {
            let mut inner = object.inner.lock().await;
            let rest = object.take();
            inner.commit(rest).await
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let object = self.0.clone();
        self.run(async move {
            let mut inner = object.inner.lock().await;
            let closed = refusal(ErrorKind::Closed, &inner.at, "the object was aborted");
            inner.discard(closed).await;
            Ok(())
        })
        .await
    }
}

impl NfsObject {
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let shared = self.0.inner.lock().await.shared.clone();
        shared.check_open()?;
        shared.io.run(work).await
    }
}

/// Removes the temporary, unless the object is published.
impl Drop for NfsObject {
    fn drop(&mut self) {
        let object = self.0.clone();
        let Ok(inner) = self.0.inner.try_lock() else {
            return; // a call goes on alone; what it leaves is for `sweep`
        };
        if !matches!(inner.state, State::Open(Some(_))) {
            return;
        }
        let io = inner.shared.io.handle().clone();
        drop(inner);
        io.spawn(async move {
            let mut inner = object.inner.lock().await;
            let closed = refusal(ErrorKind::Closed, &inner.at, "the object was dropped");
            inner.discard(closed).await;
        });
    }
}

impl Object {
    fn gather(&self, bytes: &[u8]) -> usize {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.extend_from_slice(bytes);
        gathered.len()
    }

    fn take(&self) -> Bytes {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.split().freeze()
    }
}

impl Inner {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(()); // a call that went on alone has taken them
        }
        let written = self.try_write(bytes).await;
        self.latch(written)
    }

    fn latch<T>(&mut self, result: Result<T>) -> Result<T> {
        if let (Err(e), State::Open(temporary)) = (&result, &mut self.state) {
            if let Some(temporary) = temporary.take() {
                self.shared.in_use.remove(&temporary.name); // `sweep` may have it
            }
            self.state = State::Failed(e.clone());
        }
        result
    }

    /// The temporary, created when it is first needed.
    async fn open(&mut self, op: &Op) -> Result<Temporary> {
        match &mut self.state {
            State::Open(Some(temporary)) => return Ok(temporary.clone()),
            State::Open(None) => {}
            State::Published => {
                let text = "the object is published and never changes";
                return Err(refusal(ErrorKind::Closed, &self.at, text));
            }
            State::Failed(first) => return Err(first.clone()),
        }
        let name = names::temporary()?;
        self.shared.in_use.insert(&name);
        let made = self
            .shared
            .make_temporary(op, &self.folder, &name, self.mode)
            .await;
        let file = made.map_err(|e| {
            self.shared.in_use.remove(&name);
            refused("can't create the object", &self.at, &e)
        })?;
        let temporary = Temporary { name, file };
        self.state = State::Open(Some(temporary.clone()));
        Ok(temporary)
    }

    /// Writes bytes, each piece with a deadline of its own; durable afterwards.
    async fn try_write(&mut self, bytes: Bytes) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let op = self.shared.op();
            let temporary = self.open(&op).await?;
            let piece = rest.split_to(rest.len().min(self.shared.limits.write as usize));
            let handle = &temporary.file.handle;
            write_whole(
                &self.shared,
                &op,
                handle,
                self.written,
                piece.clone(),
                &self.at,
            )
            .await?;
            self.written += piece.len() as u64;
        }
        Ok(())
    }

    async fn commit(&mut self, rest: Bytes) -> Result<u64> {
        match self.state {
            // A repeat that finds its own earlier success (FC-5).
            State::Published if rest.is_empty() => return Ok(self.written),
            State::Published => {
                let text = "the object is published and never changes";
                return Err(refusal(ErrorKind::Closed, &self.at, text));
            }
            State::Open(_) | State::Failed(_) => {}
        }
        self.write(rest).await?;
        let published = self.try_commit().await;
        match published {
            Ok(len) => Ok(len),
            // It may be there: a repetition finds out.
            Err(e) if e.outcome() == Outcome::Unknown => Err(e),
            Err(e) => {
                self.discard(e.clone()).await;
                Err(e)
            }
        }
    }

    async fn try_commit(&mut self) -> Result<u64> {
        let op = self.shared.op();
        let temporary = self.open(&op).await?;
        publish(
            &self.shared,
            &op,
            &temporary.file,
            &self.folder,
            &self.name,
            ("object", &self.at),
        )
        .await?;
        self.state = State::Published;
        // Durable or not: nobody looks at it, and `sweep` removes it.
        if let Err(e) = self.shared.remove(&op, &self.folder, &temporary.name).await {
            tracing::warn!(name = temporary.name, error = ?e, "temporary left to sweep");
        }
        self.shared.in_use.remove(&temporary.name);
        Ok(self.written)
    }

    /// Removes the temporary of an object that will not be published.
    async fn discard(&mut self, why: Error) {
        let State::Open(temporary) = &mut self.state else {
            return;
        };
        let temporary = temporary.take();
        self.state = State::Failed(why);
        let Some(temporary) = temporary else { return };
        let op = self.shared.op();
        if let Err(e) = self.shared.remove(&op, &self.folder, &temporary.name).await {
            tracing::warn!(name = temporary.name, error = ?e, "temporary left to sweep");
        }
        self.shared.in_use.remove(&temporary.name);
    }
}

/// A WRITE of bytes that nobody else writes, all of them, durable.
pub(crate) async fn write_whole(
    shared: &Shared,
    op: &Op,
    handle: &nfs_fh3,
    offset: u64,
    bytes: Bytes,
    at: &str,
) -> Result<()> {
    let mut rest = bytes;
    let mut offset = offset;
    while !rest.is_empty() {
        let written = shared.nfs.write(op, handle, offset, rest.clone()).await;
        let Written {
            count, committed, ..
        } = written.map_err(|e| refused("can't write", at, &e))?;
        let taken = (count as usize).min(rest.len());
        if committed != stable_how::FILE_SYNC || taken == 0 {
            let text = format!("{at}: the server took {count} bytes {committed}, not FILE_SYNC");
            return Err(Error::new(ErrorKind::Io, text));
        }
        // A short count is allowed where nobody else looks yet.
        let _ = rest.split_to(taken);
        offset += taken as u64;
    }
    Ok(())
}

/// Gives a durable file its name, exclusively, and makes the name durable.
pub(crate) async fn publish(
    shared: &Shared,
    op: &Op,
    file: &File,
    folder: &nfs_fh3,
    name: &str,
    (what, at): (&str, &str),
) -> Result<()> {
    let failed = |e: Fail| fault(&format!("can't publish the {what}"), at, &e);
    loop {
        op.begin_anew();
        match shared.nfs.link(op, &file.handle, folder, name).await {
            Ok(()) => {}
            Err(e) if e.is(nfsstat3::NFS3ERR_EXIST) => {
                let there = shared.nfs.find(op, folder, name).await.map_err(failed)?;
                let Some(there) = there else { continue }; // just deleted
                let there = shared.nfs.attributes(op, &there).await.map_err(failed)?;
                if crate::folders::FileId::from(&there) != file.id() {
                    return Err(taken(what, at));
                }
                // Our own, of an earlier try whose answer was lost.
            }
            Err(e) => return Err(failed(e)),
        }
        shared.nfs.commit(op, &file.handle).await.map_err(failed)?;
        // Over two connections: a server that lost its power in between has lost
        // the name, and its COMMIT said Ok all the same.
        if op.on_one_connection() {
            return Ok(());
        }
    }
}
