//! Writing one file: parts are packed on several threads, written in order,
//! published whole, and read back.

use super::directory::Directory;
use super::{Phase, Progress};
use crate::format::backup::{
    BackupEncoder, BackupHeader, BackupReader, BackupTrailer, Packer, Threads,
};
use crate::objects::bound;
use bytes::Bytes;
use flushproof_api::{
    Error, ErrorKind, ObjectOptions, ObjectWriter, Outcome, Result, Source, StorePath,
};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use std::time::{Duration, Instant};

/// Only its owner reads it: a backup holds all that the journal does.
const MODE: u32 = 0o600;
/// To make a byte durable takes no longer than at this rate, beside the usual time-out.
const BYTES_PER_SECOND: u64 = 4 << 20;

/// How fast a file may be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub threads: Threads,
    /// Unpacked bytes in a second.
    pub rate: Option<u64>,
}

impl Pace {
    /// How much is packed at once: little where others wait for the processor.
    pub(crate) fn part(self) -> usize {
        match self.rate {
            Some(_) => 64 << 10,
            None => 1 << 20,
        }
    }
}

/// A part that was packed, and what it took.
struct Packed {
    bytes: Bytes,
    part: Bytes,
    packer: Packer,
}

/// The writer of one file. Dropping it publishes nothing.
pub(crate) struct FileWriter {
    object: Box<dyn ObjectWriter>,
    limit: Duration,
    pace: Pace,
    packing: FuturesOrdered<BoxFuture<'static, Result<Packed>>>,
    /// Those that pack nothing now.
    packers: Vec<Packer>,
    /// The memory of the part that was packed last.
    spare: Option<Vec<u8>>,
    began: Instant,
    /// Unpacked bytes.
    pub raw: u64,
    /// Bytes of the file.
    pub len: u64,
}

impl FileWriter {
    /// Begins a file.
    pub(crate) async fn create(
        directory: &Directory,
        path: &StorePath,
        limit: Duration,
        pace: Pace,
    ) -> Result<FileWriter> {
        let options = ObjectOptions::default().with_mode(MODE);
        let object = directory.io.create_object(path, options).await;
        Ok(FileWriter {
            object: object.map_err(|e| e.context(&directory.uri))?,
            limit,
            pace,
            packing: FuturesOrdered::new(),
            packers: Vec::new(),
            spare: None,
            began: Instant::now(),
            raw: 0,
            len: 0,
        })
    }

    /// Adds a part; waits while enough are being packed.
    pub(crate) async fn part(&mut self, part: Bytes) -> Result<()> {
        self.keep_pace(part.len() as u64).await;
        while self.packing.len() >= self.pace.threads.count() {
            self.write_next().await?;
        }
        let mut packer = self.packers.pop().unwrap_or_default();
        let packed = tokio::task::spawn_blocking(move || {
            let bytes = packer.pack(&part)?;
            Ok(Packed {
                bytes,
                part,
                packer,
            })
        });
        let packed = async move {
            match packed.await {
                Ok(packed) => packed,
                Err(_) => Err(Error::new(ErrorKind::Closed, "the runtime ends")),
            }
        };
        self.packing.push_back(packed.boxed());
        Ok(())
    }

    /// Adds a part, and gives the encoder memory for another.
    pub(crate) async fn part_of(&mut self, encoder: &mut BackupEncoder, part: Bytes) -> Result<()> {
        self.part(part).await?;
        if let Some(memory) = self.spare.take() {
            encoder.recycle(memory);
        }
        Ok(())
    }

    /// Waits as the rate asks for.
    async fn keep_pace(&mut self, more: u64) {
        if let Some(rate) = self.pace.rate {
            let due = Duration::from_secs_f64(self.raw as f64 / rate as f64);
            tokio::time::sleep(due.saturating_sub(self.began.elapsed())).await;
        }
        self.raw += more;
    }

    async fn write_next(&mut self) -> Result<()> {
        let Some(packed) = self.packing.next().await else {
            return Ok(());
        };
        let packed = packed?;
        self.packers.push(packed.packer);
        self.spare = Some(packed.part.into()); // nobody else has it: not copied
        self.len += packed.bytes.len() as u64;
        bound(self.limit, self.object.write(packed.bytes)).await
    }

    /// Publishes the file. An outcome that is unknown is an error that says so.
    pub(crate) async fn publish(mut self) -> Result<u64> {
        while !self.packing.is_empty() {
            self.write_next().await?;
        }
        let limit = self.limit + Duration::from_secs(self.len / BYTES_PER_SECOND);
        bound(limit, self.object.commit()).await?;
        Ok(self.len)
    }

    /// Gives the file up, and what was written of it.
    pub(crate) async fn abort(mut self) {
        if let Err(error) = bound(self.limit, self.object.abort()).await {
            tracing::warn!(%error, "the beginning of a file was not removed; a sweep does it");
        }
    }
}

/// Opens a file to read it as a backup.
pub(crate) async fn open(
    directory: &Directory,
    path: &StorePath,
    threads: Threads,
) -> Result<BackupReader> {
    let at = || directory.at(path);
    let reader = directory.io.open(path, Source::Medium).await;
    let reader = match reader {
        Err(e) if e.kind() == ErrorKind::Unsupported => directory.io.open(path, Source::Any).await,
        other => other,
    };
    let reader = reader.map_err(|e| e.context(&directory.uri))?;
    let reader = reader.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("{}: there is no such file", at()),
        )
    })?;
    BackupReader::open(reader, threads)
        .await
        .map_err(|e| e.context(at()))
}

/// What a whole file holds.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub header: BackupHeader,
    pub trailer: BackupTrailer,
    pub len: u64,
}

/// Reads a whole file; Ok only if nothing is wrong with it.
pub(crate) async fn check(
    directory: &Directory,
    path: &StorePath,
    threads: Threads,
    mut progress: impl FnMut(Progress),
) -> Result<Checked> {
    let mut reader = open(directory, path, threads).await?;
    let told = |done, total| {
        progress(Progress {
            phase: Phase::Checking,
            done,
            total,
        });
    };
    let trailer = reader.verify(told).await;
    Ok(Checked {
        trailer: trailer.map_err(|e| e.context(directory.at(path)))?,
        header: reader.header().clone(),
        len: reader.len(),
    })
}

/// Whether publishing may have worked although it failed.
pub(crate) fn in_doubt(error: &Error) -> bool {
    error.outcome() == Outcome::Unknown
        && !matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NoSpace)
}
