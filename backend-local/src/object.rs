//! Objects: written into a temporary, published whole by an exclusive rename.

use crate::disk::{File, Folder, How, write_all};
use crate::fault::{fault, refusal, refused};
use crate::names;
use crate::store::{Shared, blocking};
use crate::temp::Temp;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flushproof_api::{Error, ErrorKind, ObjectOptions, ObjectWriter, Outcome, Result, StorePath};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes are gathered up to this before they go to the disk: most objects are
/// small, and are written with a single hand-over to a blocking thread.
const GATHER: usize = 256 * 1024;

/// Begins an object. Blocking.
pub(crate) fn begin(
    shared: &Arc<Shared>,
    path: &StorePath,
    options: ObjectOptions,
) -> Result<LocalObject> {
    let folder = shared.folder_to_write(path)?;
    let at = shared.object_file(path);
    let there = folder.exists(&names::object(path));
    if there.map_err(|e| refused("can't look for the object", &at, e))? {
        return Err(taken(&at));
    }
    let inner = Inner {
        shared: shared.clone(),
        folder,
        name: names::object(path),
        at,
        mode: options.mode,
        written: 0,
        state: State::Open(None),
    };
    Ok(LocalObject(Some(Arc::new(Object {
        gathered: Mutex::default(),
        inner: Mutex::new(inner),
    }))))
}

fn taken(at: &std::path::Path) -> Error {
    refusal(ErrorKind::AlreadyExists, at, "the object exists")
}

/// The writer of one object. Taken only by `drop`; shared with calls that go on
/// after their future was dropped.
pub(crate) struct LocalObject(Option<Arc<Object>>);

impl std::fmt::Debug for LocalObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalObject").finish_non_exhaustive()
    }
}

struct Object {
    /// Bytes on their way, in order: whichever call comes first takes them, so
    /// that a dropped future neither loses nor reorders any (FC-10).
    gathered: Mutex<BytesMut>,
    inner: Mutex<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    folder: Arc<dyn Folder>,
    name: String,
    at: PathBuf,
    mode: Option<u32>,
    written: u64,
    state: State,
}

enum State {
    /// The temporary is created with the first bytes that go to the disk.
    Open(Option<(Temp, Arc<dyn File>)>),
    Published,
    /// The first error is final; after an abort it is `Closed`.
    Failed(Error),
}

#[async_trait]
impl ObjectWriter for LocalObject {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let gathered = self.object()?.gather(&bytes);
        match gathered < GATHER {
            true => Ok(()),
            false => self.run(Inner::write).await,
        }
    }

    async fn commit(&mut self) -> Result<u64> {
        self.run(Inner::commit).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.run(|inner, _| {
            if matches!(inner.state, State::Open(_)) {
                let text = "the object was aborted";
                let error = refusal(ErrorKind::Closed, &inner.at, text);
                inner.state = State::Failed(error); // drops the temporary
            }
            Ok(())
        })
        .await
    }
}

impl LocalObject {
    fn object(&self) -> Result<&Arc<Object>> {
        let dropped = || Error::new(ErrorKind::Closed, "the object was dropped");
        self.0.as_ref().ok_or_else(dropped)
    }

    /// Runs a call on a blocking thread, with all that was gathered.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner, &[u8]) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let object = self.object()?.clone();
        blocking(move || {
            let mut inner = object.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = object.take();
            work(&mut inner, &bytes)
        })
        .await
    }
}

impl Object {
    fn gather(&self, bytes: &[u8]) -> usize {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.extend_from_slice(bytes);
        gathered.len()
    }

    fn take(&self) -> BytesMut {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *gathered)
    }
}

/// Removes the temporary, on a blocking thread where there is a runtime.
impl Drop for LocalObject {
    fn drop(&mut self) {
        let object = self.0.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(object));
        }
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(()); // a call that went on alone has taken them
        }
        let result = self.try_write(bytes);
        self.latch(result)
    }

    fn latch<T>(&mut self, result: Result<T>) -> Result<T> {
        if let (Err(e), State::Open(_)) = (&result, &self.state) {
            self.state = State::Failed(e.clone());
        }
        result
    }

    /// The temporary, created when it is first needed.
    fn open(&mut self) -> Result<(&mut Temp, Arc<dyn File>)> {
        match &mut self.state {
            State::Open(slot @ None) => {
                let in_use = &self.shared.in_use;
                let created = Temp::create(&self.folder, in_use, How::WRITE, self.mode);
                let created = created.map_err(|e| refused("can't create the object", &self.at, e));
                let (temp, file) = slot.insert(created?);
                Ok((temp, file.clone()))
            }
            State::Open(Some((temp, file))) => Ok((temp, file.clone())),
            State::Published => {
                let text = "the object is published and never changes";
                Err(refusal(ErrorKind::Closed, &self.at, text))
            }
            State::Failed(first) => Err(first.clone()),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<()> {
        let at = self.written;
        let (_, file) = self.open()?;
        let written = write_all(file.as_ref(), &[bytes], at);
        written.map_err(|s| refused("can't write the object", &self.at, s.error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn commit(&mut self, rest: &[u8]) -> Result<u64> {
        match self.state {
            // A repeat that finds its own earlier success (FC-5).
            State::Published if rest.is_empty() => return Ok(self.written),
            State::Published => return self.open().map(|_| 0),
            State::Open(_) | State::Failed(_) => {}
        }
        let result = self.try_commit(rest);
        self.latch(result)
    }

    fn try_commit(&mut self, rest: &[u8]) -> Result<u64> {
        self.try_write(rest)?;
        let (name, at) = (self.name.clone(), self.at.clone());
        let (temp, file) = self.open()?;
        let synced = file.sync_all();
        synced.map_err(|e| refused("can't make the object durable", &at, e))?;
        temp.publish(&name).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => taken(&at),
            _ => fault("can't publish the object", &at, e).with_outcome(Outcome::Unknown),
        })?;
        let synced = self.folder.sync();
        synced.map_err(|e| fault("can't make the object's name durable", &at, e))?;
        self.state = State::Published;
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LocalStore, SimulatedDisk};
    use flushproof_api::{Mode, Options};

    #[tokio::test]
    async fn fc_10_calls_that_go_on_alone_may_come_late() {
        let disk = SimulatedDisk::new(1);
        let store = LocalStore::open_simulated(&disk, &Options::new(), Mode::ReadWrite)
            .await
            .unwrap();
        let path = StorePath::new("epoch/1").unwrap();
        let mut object = begin(&store.shared(), &path, ObjectOptions::default()).unwrap();
        // Two writes whose futures were dropped before a thread took them up.
        for piece in [b"in ", b"row"] {
            object.object().unwrap().gather(piece);
        }
        assert_eq!(object.commit().await.unwrap(), 6);
        object.run(Inner::write).await.unwrap();
        object.run(Inner::write).await.unwrap();
        assert_eq!(object.commit().await.unwrap(), 6);
        object.write(Bytes::from_static(b"more")).await.unwrap();
        assert_eq!(object.commit().await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(object.commit().await.unwrap(), 6);
    }
}
