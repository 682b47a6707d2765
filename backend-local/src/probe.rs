//! The short probe at open: which [`Method`] is fastest here, and how writes
//! must be aligned.
//!
//! It writes single blocks into a zero-filled scratch file, the methods in
//! turns, and compares medians. [`Method::Direct`] wins unless another is at
//! least a tenth faster (the hysteresis: noise does not flip the choice from
//! one open to the next). It takes about 12 ms on a disk that flushes in 110 µs.
//! On a slow or busy one it stops after [`LIMIT`]; with too few rounds for a
//! median it decides nothing, and the first method that works is taken.

use crate::buffer::{ALIGN, AlignedBuf, zeros};
use crate::disk::{Disk, File, Folder, How, Kind, Place, write_all};
use crate::fault::{fault, refusal};
use crate::options::{Method, Settings};
use crate::temp::{InUse, Temp};
use flushproof_api::{ErrorKind, Mode, Result};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No write of the probe begins after this time.
const LIMIT: Duration = Duration::from_millis(40);
const ROUNDS: usize = 24;
/// Fewer than this say nothing.
const LEAST_ROUNDS: usize = 8;
/// No device asks for more; a contract's block is at most this.
const LARGEST_BLOCK: usize = 64 * 1024;

/// What the probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    pub method: Method,
    /// Length and offset of batches are multiples of this.
    pub block: usize,
    /// Whether files can be read past the page cache; `None`: not tried.
    pub direct_reads: Option<bool>,
    /// The shortest median time of a flush; `None`: not measured.
    pub fastest: Option<Duration>,
}

/// Chooses the method for a place. [`Mode::ReadOnly`] writes nothing.
pub(crate) fn probe(
    disk: &dyn Disk,
    root: &Arc<dyn Folder>,
    place: &Place,
    settings: Settings,
    mode: Mode,
) -> Result<Probed> {
    let block = likely_block(place);
    if mode == Mode::ReadOnly {
        return Ok(unmeasured(root.as_ref(), block, settings));
    }
    let failed = |e| fault("the probe of the disk failed", root.path(), e);
    let mut bench = match Bench::new(root, block) {
        Ok(bench) => bench,
        Err(e) if e.kind() == io::ErrorKind::StorageFull => {
            // A journal on a full disk has to open, so that it can be trimmed.
            tracing::warn!(root = %root.path().display(), "the disk is full; it was not probed");
            return Ok(unmeasured(root.as_ref(), block, settings));
        }
        Err(e) => return Err(failed(e)),
    };
    let direct_reads = bench.temp.open(DIRECT_READ).is_ok();
    if let Some(method) = settings.method {
        bench.add(method).map_err(|e| forced(root, method, e))?;
        return Ok(bench.chosen(method, direct_reads, None));
    }
    for method in Method::ALL {
        match bench.add(method) {
            Ok(()) => {}
            // The file system does not know O_DIRECT, or not with blocks of any size.
            Err(e) if method == Method::Direct && e.kind() == io::ErrorKind::InvalidInput => {}
            Err(e) => return Err(failed(e)),
        }
    }
    if matches!(place.fs.as_str(), "tmpfs" | "devtmpfs" | "ramfs") {
        // Nothing reaches a device, whichever way; this one is a single call.
        return Ok(bench.chosen(Method::Dsync, direct_reads, None));
    }
    if !disk.has_time() {
        return Ok(bench.chosen(Method::Direct, direct_reads, None));
    }
    let (rounds, medians) = bench.run().map_err(failed)?;
    let fastest = medians.iter().map(|(_, t)| *t).min();
    let compared = match rounds < LEAST_ROUNDS {
        true => &medians[..1],
        false => &medians[..],
    };
    let method = choose(compared);
    tracing::debug!(%method, ?medians, "flush method chosen");
    Ok(bench.chosen(method, direct_reads, fastest))
}

/// What can be said without writing.
fn unmeasured(root: &dyn Folder, block: usize, settings: Settings) -> Probed {
    let direct_reads = direct_reads(root);
    let method = settings.method.unwrap_or(match direct_reads {
        Some(false) => Method::Dsync,
        _ => Method::Direct,
    });
    Probed {
        method,
        block: match method {
            Method::Direct => block,
            _ => block.max(ALIGN),
        },
        direct_reads,
        fastest: None,
    }
}

/// The first method, unless another one is at least a tenth faster.
fn choose(medians: &[(Method, Duration)]) -> Method {
    let Some(&(first, time)) = medians.first() else {
        return Method::Fdatasync;
    };
    let faster = medians.iter().filter(|(_, t)| *t * 10 <= time * 9);
    faster
        .min_by_key(|(_, t)| *t)
        .map_or(first, |(method, _)| *method)
}

const DIRECT_READ: How = How {
    write: false,
    direct: true,
    dsync: false,
};

fn forced(root: &Arc<dyn Folder>, method: Method, e: io::Error) -> flushproof_api::Error {
    if e.kind() == io::ErrorKind::InvalidInput {
        return refusal(
            ErrorKind::Unsupported,
            root.path(),
            &format!("this file system can't do method={method}; leave it out or say method=auto"),
        );
    }
    fault("the probe of the disk failed", root.path(), e)
}

/// The unit that the device writes whole: what is smaller makes it read,
/// change and write again, and so touch bytes that were acknowledged earlier.
fn likely_block(place: &Place) -> usize {
    let block = place.device.as_ref().map_or(4096, |d| {
        d.physical_block.max(d.logical_block).next_power_of_two()
    });
    block.clamp(512, LARGEST_BLOCK)
}

/// Tries a direct opening of any file that is there.
fn direct_reads(root: &dyn Folder) -> Option<bool> {
    let names = root.names().ok()?;
    let file = names
        .iter()
        .find(|n| root.stat(n).is_ok_and(|m| m.kind == Kind::File))?;
    match root.open(file, DIRECT_READ) {
        Ok(_) => Some(true),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Some(false),
        Err(_) => None,
    }
}

/// A scratch file with one opening and one region for each method.
struct Bench {
    temp: Temp,
    lanes: Vec<(Method, Arc<dyn File>)>,
    block: usize,
    bytes: AlignedBuf,
}

impl Bench {
    const BLOCKS: usize = 16;

    fn new(root: &Arc<dyn Folder>, block: usize) -> io::Result<Bench> {
        let (temp, file) = Temp::create(root, &InUse::default(), How::WRITE, Some(0o600))?;
        let len = Method::ALL.len() * Bench::BLOCKS * block;
        for at in (0..len).step_by(zeros().len()) {
            let piece = &zeros()[..zeros().len().min(len - at)];
            write_all(file.as_ref(), &[piece], at as u64).map_err(|s| s.error)?;
        }
        file.sync_all()?;
        let mut bytes = AlignedBuf::new(LARGEST_BLOCK);
        bytes.as_mut().fill(0xa5);
        Ok(Bench {
            temp,
            lanes: Vec::new(),
            block,
            bytes,
        })
    }

    /// Opens a lane and tries it once; for a direct one finds the block.
    fn add(&mut self, method: Method) -> io::Result<()> {
        let file = self.temp.open(method.how())?;
        if method == Method::Direct {
            let mut block = self.block;
            while let Err(e) = write(&file, method, &self.bytes.as_ref()[..block], 0) {
                if e.kind() != io::ErrorKind::InvalidInput || block == LARGEST_BLOCK {
                    return Err(e);
                }
                block *= 2;
            }
            self.block = block;
        } else {
            write(&file, method, &self.bytes.as_ref()[..self.block], 0)?;
        }
        self.lanes.push((method, file));
        Ok(())
    }

    /// How many rounds were made, and the medians of all lanes, in their order.
    fn run(&self) -> io::Result<(usize, Vec<(Method, Duration)>)> {
        let began = Instant::now();
        let mut times = vec![Vec::with_capacity(ROUNDS); self.lanes.len()];
        let bytes = &self.bytes.as_ref()[..self.block];
        let turns = (0..ROUNDS).flat_map(|round| {
            let lanes = self.lanes.len();
            (0..lanes).map(move |turn| (round, (turn + round) % lanes))
        });
        for (round, lane) in turns {
            if began.elapsed() > LIMIT && times.iter().all(|t| !t.is_empty()) {
                break;
            }
            let (method, file) = &self.lanes[lane];
            let at = (lane * Bench::BLOCKS + round % Bench::BLOCKS) * self.block;
            let start = Instant::now();
            write(file, *method, bytes, at as u64)?;
            times[lane].push(start.elapsed());
        }
        let rounds = times.iter().map(Vec::len).min().unwrap_or(0);
        let median = |mut t: Vec<Duration>| {
            t.sort_unstable();
            t.get(t.len() / 2).copied().unwrap_or_default()
        };
        let lanes = self.lanes.iter().map(|(method, _)| *method);
        Ok((rounds, lanes.zip(times.into_iter().map(median)).collect()))
    }

    fn chosen(&self, method: Method, direct_reads: bool, fastest: Option<Duration>) -> Probed {
        let block = match method {
            Method::Direct => self.block,
            // The page cache writes whole pages, whatever was changed in them.
            _ => self.block.max(ALIGN),
        };
        Probed {
            method,
            block,
            direct_reads: Some(direct_reads),
            fastest,
        }
    }
}

fn write(file: &Arc<dyn File>, method: Method, bytes: &[u8], at: u64) -> io::Result<()> {
    write_all(file.as_ref(), &[bytes], at).map_err(|s| s.error)?;
    match method.syncs() {
        true => file.sync_data(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_wins_unless_another_is_a_tenth_faster() {
        let us = Duration::from_micros;
        let of = |direct, dsync, fdatasync| {
            choose(&[
                (Method::Direct, us(direct)),
                (Method::Dsync, us(dsync)),
                (Method::Fdatasync, us(fdatasync)),
            ])
        };
        assert_eq!(of(130, 120, 125), Method::Direct);
        assert_eq!(of(130, 110, 117), Method::Dsync);
        assert_eq!(of(130, 116, 100), Method::Fdatasync);
        assert_eq!(choose(&[(Method::Dsync, us(9))]), Method::Dsync);
    }
}
