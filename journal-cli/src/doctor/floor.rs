//! The bare system call: durable writes with nothing around them.
// Without the local backend there is no bare call, and little of this is used.
#![cfg_attr(not(feature = "local"), allow(dead_code, unused_imports))]

use crate::failure::Result;
use flushproof::{Error, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

#[cfg(feature = "local")]
use flushproof_backend_local::floor::Floor;

/// The bare write loop, run on threads that may block.
#[derive(Debug)]
pub struct Bare {
    #[cfg(feature = "local")]
    floor: Option<Floor>,
}

/// When a loop of bare writes ends.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub writes: usize,
    pub time: Duration,
}

#[cfg(feature = "local")]
impl Bare {
    /// Prepares a scratch file in a local folder.
    pub async fn open(folder: &Path, bytes: usize) -> Result<Option<Bare>> {
        let folder = folder.to_owned();
        let floor = blocking(move || Floor::best(&folder, bytes)).await?;
        Ok(Some(Bare { floor: Some(floor) }))
    }

    /// How it writes.
    pub fn method(&self) -> &'static str {
        self.floor.as_ref().map_or("", |f| f.method().as_str())
    }

    /// Writes one behind the other; the time of each.
    pub async fn write(&mut self, until: Until) -> Result<Vec<Duration>> {
        let Some(mut floor) = self.floor.take() else {
            return Ok(Vec::new());
        };
        let (floor, times) = blocking(move || {
            let began = Instant::now();
            let mut times = Vec::new();
            while times.len() < until.writes && began.elapsed() < until.time {
                let start = Instant::now();
                floor.write()?;
                times.push(start.elapsed());
            }
            Ok((floor, times))
        })
        .await?;
        self.floor = Some(floor);
        Ok(times)
    }
}

#[cfg(not(feature = "local"))]
impl Bare {
    /// Without the local backend there is no bare call to compare with.
    pub async fn open(_folder: &Path, _bytes: usize) -> Result<Option<Bare>> {
        Ok(None)
    }

    /// How it writes.
    pub fn method(&self) -> &'static str {
        ""
    }

    /// Writes nothing.
    pub async fn write(&mut self, _until: Until) -> Result<Vec<Duration>> {
        Ok(Vec::new())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> flushproof::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(e) => Err(Error::new(ErrorKind::Io, format!("measuring: {e}")).into()),
    }
}
