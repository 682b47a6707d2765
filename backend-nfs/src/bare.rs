//! The bare call, for benches: one WRITE FILE_SYNC through the same client, its
//! reply not looked at.

use crate::fault::{fault, refused};
use crate::names;
use crate::op::{Fail, Op};
use crate::options::Settings;
use crate::procedures::{write_call, written};
use crate::rpc::IoThread;
use crate::store::{Reached, reach};
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Mode, Options, Result, StoreUri};
use nfs3_types::nfs3::{createhow3, nfs_fh3, sattr3, set_mode3};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A file on the server that is appended to.
pub struct BareFile {
    inner: Arc<Inner>,
    name: String,
    offset: u64,
    io: IoThread,
}

struct Inner {
    reached: Reached,
    file: nfs_fh3,
    timeout: Duration,
}

impl std::fmt::Debug for BareFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BareFile({}, {})", self.inner.reached.uri, self.offset)
    }
}

impl BareFile {
    /// Creates a file in the store's root, which is made where it is missing.
    ///
    /// # Errors
    /// As [`NfsStore::open`](crate::NfsStore::open).
    /// # Cancel safety
    /// Safe: a file may be left, which `sweep` removes.
    pub async fn create(uri: &StoreUri, options: &Options) -> Result<BareFile> {
        let settings = Settings::read(options)?;
        let io = IoThread::start()?;
        let name = names::temporary()?;
        let (uri, file_name) = (uri.clone(), name.clone());
        let created = io.run(async move {
            let reached = reach(&uri, &settings, Mode::ReadWrite).await?;
            let op = Op::within(settings.timeout);
            let how = createhow3::UNCHECKED(sattr3 {
                mode: set_mode3::Some(0o600),
                ..sattr3::default()
            });
            let made = reached
                .nfs
                .create(&op, &reached.root, &file_name, how)
                .await;
            let made = made.map_err(|e| refused("can't create a file", &reached.uri, &e))?;
            Ok(Inner {
                reached,
                file: made.handle,
                timeout: settings.timeout,
            })
        });
        Ok(BareFile {
            inner: Arc::new(created.await?),
            name,
            offset: 0,
            io,
        })
    }

    /// Appends bytes with one WRITE FILE_SYNC (at most 1 MiB, and no more than the
    /// server takes at once).
    ///
    /// # Errors
    /// What the server says; `Unreachable` when the connection is down.
    /// # Cancel safety
    /// Finishes alone.
    pub fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<()>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let call = write_call(&self.inner.file, self.offset, bytes.clone());
        self.offset += bytes.len() as u64;
        let down = Error::new(ErrorKind::Unreachable, "the connection is down");
        let deadline = Instant::now() + self.inner.timeout;
        let connection = self.inner.reached.nfs.client.now();
        if let Some(connection) = connection {
            let done = Box::new(move |reply| {
                let _ = answer.send(reply);
            });
            connection.send(&call, deadline, done);
        }
        let inner = self.inner.clone();
        async move {
            let reply = answered.await.map_err(|_| down)?;
            let written = reply.map_err(Fail::Call).and_then(|r| written(r.body));
            let failed = |e| fault("the bare write failed", &inner.reached.uri, &e);
            written.map(|_| ()).map_err(failed)
        }
    }

    /// Removes the file.
    ///
    /// # Errors
    /// What the server says.
    /// # Cancel safety
    /// Finishes alone.
    pub async fn remove(self) -> Result<()> {
        let (inner, name) = (self.inner.clone(), self.name.clone());
        let removed = self.io.run(async move {
            let (nfs, root) = (&inner.reached.nfs, &inner.reached.root);
            let removed = nfs.remove(&Op::within(inner.timeout), root, &name).await;
            removed.map_err(|e| fault("can't remove the file", &inner.reached.uri, &e))
        });
        removed.await
    }
}
