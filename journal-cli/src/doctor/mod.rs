//! `journal doctor`: what does a place promise, does a flush really reach the
//! device, and how fast is it.
//!
//! | module | is about |
//! | --- | --- |
//! | `scratch` | a folder of its own, removed however it ends |
//! | `device` | counting what the block device is asked to do |
//! | `floor` | the bare system call |
//! | `rates` | what 1, 8 and 64 writers get |
//! | `report` | saying it |

mod device;
mod floor;
mod rates;
mod report;
mod scratch;

use crate::args;
use crate::failure::{FAILED, Failure, Result};
use crate::output::Out;
use crate::progress;
use crate::signals::Signals;
use floor::Bare;
use flushproof::{Config, FlushContract, Mode, Survives};
use indicatif::ProgressBar;
use rates::Rates;
use report::Report;
use scratch::Scratch;
use std::time::Duration;

/// How many bytes an entry has in the measurements.
const ENTRY: usize = 256;
/// Room that a second of all measurements may take, with a margin.
const ROOM_PER_SECOND: f64 = 512.0 * 1024.0 * 1024.0;

/// Examines a place, in a scratch folder of its own.
pub async fn run(config: Config, args: &args::Doctor, out: &mut Out) -> Result<()> {
    let signals = Signals::listen()?;
    let bar = progress::spinner();
    let scratch = Scratch::create(&config)?;
    bar.set_message("what the place promises");
    // A store that can't be opened has nothing to be removed, and is not asked again.
    let found = look(&config, &scratch).await?;
    let examined = examine(&config, &scratch, found, args.time, &signals, &bar).await;
    bar.finish_and_clear();
    let removed = scratch.remove(&config).await;
    let report = examined?;
    removed?;
    report.print(out)?;
    match report.is_fit() {
        true => Ok(()),
        false => Err(Failure::Said(FAILED)),
    }
}

async fn examine(
    config: &Config,
    scratch: &Scratch,
    (contract, room): (FlushContract, Option<u64>),
    time: Duration,
    signals: &Signals,
    bar: &ProgressBar,
) -> Result<Report> {
    let fit = config.check_contract(&contract);
    signals.check()?;

    bar.set_message("whether a flush reaches the device");
    let mut bare = match scratch.local() {
        Some(folder) => Bare::open(folder, ENTRY).await?,
        None => None,
    };
    let seen = match (&mut bare, scratch.local()) {
        (Some(bare), Some(folder)) => device::watch(bare, folder).await?,
        _ => device::Seen::nothing("this store is not a local disk"),
    };
    signals.check()?;

    let enough = room.is_none_or(|free| free as f64 >= time.as_secs_f64() * ROOM_PER_SECOND);
    let rates = match enough {
        true => Some(Rates::measure(config, scratch, bare, time, signals, bar).await?),
        false => None,
    };
    Ok(Report {
        folder: config.folder.to_string(),
        require: config.require,
        contract,
        misfit: fit.err().map(|e| e.to_string()),
        seen,
        rates,
    })
}

/// The contract of the very place, and the bytes that are free there.
async fn look(config: &Config, scratch: &Scratch) -> Result<(FlushContract, Option<u64>)> {
    let open = config
        .registry
        .open(scratch.uri(), &config.options, Mode::ReadWrite);
    let store = open.await?;
    let contract = store.contract().clone();
    let space = store.space().await?;
    store.close().await?;
    Ok((contract, space.map(|s| s.available)))
}

/// The configuration of the journal in the scratch folder.
fn scratch_config(config: &Config, scratch: &Scratch) -> Result<Config> {
    let mut own = config.clone();
    own.folder = scratch.journal_uri()?;
    own.require = Survives::NOTHING;
    own.accept_slow_flush = true;
    own.take_over = false;
    Ok(own)
}
