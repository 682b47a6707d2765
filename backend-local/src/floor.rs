//! The floor: the bare loop of durable writes that no journal can beat, for
//! benches and `journal doctor`.

use crate::buffer::{AlignedBuf, zeros};
use crate::disk::real::RealDisk;
use crate::disk::{Disk, File, How, write_all};
use crate::fault::fault;
use crate::options::{Method, Settings};
use crate::probe;
use crate::temp::{InUse, Temp};
use flushproof_api::{Mode, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The scratch file's length, at least.
const LEN: u64 = 8 << 20;

/// Writes blocks one behind the other into a zero-filled scratch file, each
/// durable before the next, with nothing around the system call. The file is
/// removed when the floor is dropped.
///
/// ```
/// use flushproof_backend_local::floor::Floor;
/// let folder = tempfile::tempdir().unwrap();
/// let mut floor = Floor::best(folder.path(), 256)?;
/// floor.write()?;
/// # Ok::<(), flushproof_api::Error>(())
/// ```
#[derive(Debug)]
pub struct Floor {
    file: Arc<dyn File>,
    method: Method,
    bytes: AlignedBuf,
    at: u64,
    len: u64,
    path: PathBuf,
    _temp: Temp,
}

impl Floor {
    /// The floor with the fastest method in the folder `dir`, for writes of
    /// `bytes` bytes, rounded up to the block. Blocking, as all of `Floor`.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `NoSpace`, `Io`.
    pub fn best(dir: &Path, bytes: usize) -> Result<Floor> {
        Floor::open(dir, bytes, Settings::default())
    }

    /// The floor with a given method.
    ///
    /// # Errors
    /// As [`best`](Floor::best), and `Unsupported` when the method can't work there.
    pub fn with_method(dir: &Path, bytes: usize, method: Method) -> Result<Floor> {
        let settings = Settings {
            method: Some(method),
            ..Settings::default()
        };
        Floor::open(dir, bytes, settings)
    }

    fn open(dir: &Path, bytes: usize, settings: Settings) -> Result<Floor> {
        let failed = |e| fault("can't prepare the scratch file", dir, e);
        let disk = RealDisk::new();
        let folder = disk.folder(dir).map_err(failed)?;
        let place = disk.place(dir).map_err(failed)?;
        let probed = probe::probe(&disk, &folder, &place, settings, Mode::ReadWrite)?;
        let bytes = bytes.max(1).next_multiple_of(probed.block);
        let len = LEN.max(4 * bytes as u64).next_multiple_of(bytes as u64);
        let how = How::WRITE;
        let (temp, file) =
            Temp::create(&folder, &InUse::default(), how, Some(0o600)).map_err(failed)?;
        file.reserve(0, len).map_err(failed)?;
        let mut at = 0;
        while at < len {
            let piece = &zeros()[..(len - at).min(zeros().len() as u64) as usize];
            write_all(file.as_ref(), &[piece], at).map_err(|s| failed(s.error))?;
            at += piece.len() as u64;
        }
        file.sync_all().map_err(failed)?;
        file.forget_cached(0, len).map_err(failed)?;
        let mut buffer = AlignedBuf::new(bytes);
        buffer.as_mut().fill(0x5a);
        Ok(Floor {
            file: temp.open(probed.method.how()).map_err(failed)?,
            method: probed.method,
            bytes: buffer,
            at: 0,
            len,
            path: dir.to_owned(),
            _temp: temp,
        })
    }

    /// Writes one block and makes it durable.
    ///
    /// # Errors
    /// `Io`, `NoSpace`.
    pub fn write(&mut self) -> Result<()> {
        let bytes = self.bytes.as_ref();
        let written = write_all(self.file.as_ref(), &[bytes], self.at).map_err(|s| s.error);
        let durable = written.and_then(|()| match self.method.syncs() {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        durable.map_err(|e| fault("can't write the scratch file", &self.path, e))?;
        self.at += bytes.len() as u64;
        if self.at >= self.len {
            self.at = 0;
        }
        Ok(())
    }

    /// How it writes.
    pub fn method(&self) -> Method {
        self.method
    }

    /// How many bytes one write has.
    pub fn block(&self) -> usize {
        self.bytes.as_ref().len()
    }
}
