//! The floor: the bare call that no journal on HDFS can beat, for benches and
//! `journal doctor`.

use crate::HdfsStore;
use crate::log::options;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Result, StorePath};
use hdfs_native::file::FileWriter;

/// Writes pieces of bytes one behind the other into a scratch file, each with
/// hdfs-native's `write_bytes` and `hsync` and nothing around them: no deadline, no
/// task. The library's own tasks run on the store's threads.
///
/// Its file is a temporary: [`remove`](Floor::remove) it, or `sweep` will.
pub struct Floor {
    file: FileWriter,
    name: String,
    bytes: Bytes,
    left: u64,
    client: hdfs_native::Client,
}

impl std::fmt::Debug for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Floor").field(&self.name).finish()
    }
}

impl Floor {
    /// The floor in the store's folder, for pieces of `len` bytes, with a client of its own.
    ///
    /// # Errors
    /// As creating a log.
    /// # Cancel safety
    /// Safe: at most a temporary is left.
    pub async fn new(store: &HdfsStore, len: usize) -> Result<Floor> {
        let shared = store.shared();
        shared.check_writable()?;
        let name = shared.names.temporary(&StorePath::new("floor")?)?;
        let client = shared.nn.another().await?;
        let size = shared.settings.log_size;
        let created = client
            .create(&name, &options(size, shared.copies.next().0))
            .await;
        let file = created.map_err(|e| crate::fault::fault("can't create it", &name, &e))?;
        Ok(Floor {
            file,
            name,
            bytes: Bytes::from(vec![7; len]),
            left: size,
            client,
        })
    }

    /// One `write_bytes` and `hsync`.
    ///
    /// # Errors
    /// What hdfs-native says; `Closed` when the block is full.
    /// # Cancel safety
    /// A dropped call leaves the floor unfit.
    pub async fn write(&mut self) -> Result<()> {
        let len = self.bytes.len() as u64;
        self.left = self
            .left
            .checked_sub(len)
            .ok_or_else(|| Error::new(ErrorKind::Closed, "the scratch file's block is full"))?;
        let written = async {
            self.file.write_bytes(self.bytes.clone()).await?;
            self.file.hsync().await
        };
        written
            .await
            .map_err(|e| crate::fault::fault("can't write", &self.name, &e))
    }

    /// Removes the scratch file.
    ///
    /// # Errors
    /// What hdfs-native says.
    /// # Cancel safety
    /// Safe: `sweep` removes it later.
    pub async fn remove(self) -> Result<()> {
        crate::retire::close(self.file).await;
        let removed = self.client.delete(&self.name, false).await;
        removed
            .map(|_| ())
            .map_err(|e| crate::fault::fault("can't remove it", &self.name, &e))
    }
}
