//! Saying what was found.

use super::device::{Reaches, Seen};
use super::rates::{Lane, Rates};
use crate::failure::Result;
use crate::info::contract;
use crate::output::Out;
use crate::units::{count, short};
use flushproof::{Fault, FlushContract, Survives};
use flushproof_api::Fencing;
use serde_json::{Value, json};

/// Everything that was found.
#[derive(Debug)]
pub struct Report {
    pub folder: String,
    pub require: Survives,
    pub contract: FlushContract,
    /// Why the place does not do for this configuration.
    pub misfit: Option<String>,
    pub seen: Seen,
    /// `None`: there was no room to measure.
    pub rates: Option<Rates>,
}

impl Report {
    /// Whether a journal with this configuration is in good hands here: the
    /// promise is enough, and where it is a disk's, nothing speaks against it.
    pub fn is_fit(&self) -> bool {
        self.misfit.is_none() && !self.refuted()
    }

    /// Whether what was seen speaks against what is promised.
    fn refuted(&self) -> bool {
        let promised = self.contract.survives.contains(Fault::StorePower);
        promised && self.seen.verdict == Reaches::No
    }

    pub fn print(&self, out: &mut Out) -> Result<()> {
        if out.json {
            return out.result(&self.object(), "");
        }
        out.line(format_args!("{}: {}", self.folder, self.contract.mechanism))?;
        self.promise(out)?;
        out.line("\nDoes a flush reach the device?")?;
        out.line(format_args!(
            "  {:<7} {}",
            self.seen.verdict.as_str(),
            self.seen.text
        ))?;
        self.table(out)?;
        out.line(format_args!("\nverdict: {}", self.verdict()))?;
        out.flush()
    }

    fn promise(&self, out: &mut Out) -> Result<()> {
        out.line("\nA flushed entry survives when")?;
        for fault in Fault::ALL.iter().copied() {
            let answer = match self.contract.survives.contains(fault) {
                true => "yes",
                false => "NO",
            };
            out.line(format_args!("  {answer:<7} {} ({fault})", words(fault)))?;
        }
        if !self.contract.survives.contains(Fault::StorePower) {
            out.line("  A power loss is not survived here.")?;
        }
        for caveat in &self.contract.caveats {
            out.line(format_args!("  note: {caveat}"))?;
        }
        let fencing = match self.contract.fencing {
            Fencing::Store => "An old primary is fenced by the store itself.",
            Fencing::HostLock => {
                "An old primary is stopped by a lock of this host only: no standbys elsewhere."
            }
            Fencing::None => "An old primary can't be stopped here.",
        };
        out.line(fencing)
    }

    fn table(&self, out: &mut Out) -> Result<()> {
        let Some(rates) = &self.rates else {
            return out.line("\nHow fast? Not measured: there is too little room left.");
        };
        out.line(format_args!(
            "\nHow fast, with entries of {} bytes?",
            super::ENTRY
        ))?;
        out.line("  writers            median         p99   per second   of the bare call")?;
        if let Some((method, lane)) = &rates.bare {
            row(out, &format!("bare ({method})"), lane, None)?;
        }
        let floor = rates.bare.as_ref().map(|(_, lane)| lane);
        for (n, lane) in &rates.writers {
            row(out, &n.to_string(), lane, floor)?;
        }
        Ok(())
    }

    fn verdict(&self) -> String {
        match &self.misfit {
            Some(why) => format!("not fit: {why}"),
            None if self.refuted() => {
                "not fit: the place promises what its device does not seem to keep".into()
            }
            None => format!(
                "fit: what the configuration requires ({}) is promised",
                name(self.require)
            ),
        }
    }

    fn object(&self) -> Value {
        let bare = self.rates.as_ref().and_then(|r| r.bare.as_ref());
        let writers = self.rates.iter().flat_map(|r| &r.writers);
        json!({
            "folder": self.folder,
            "fit": self.is_fit(),
            "verdict": self.verdict(),
            "require": name(self.require),
            "contract": contract(&self.contract),
            "device": {
                "reaches": self.seen.verdict.as_str(),
                "text": self.seen.text,
                "devices": self.seen.devices,
                "flushes": self.seen.flushes,
                "writes": self.seen.writes,
                "cache_flushes": self.seen.cache_flushes,
            },
            "bare": bare.map(|(method, lane)| {
                let mut object = lane_object(lane);
                object["method"] = (*method).into();
                object
            }),
            "writers": writers.map(|(n, lane)| {
                let mut object = lane_object(lane);
                object["writers"] = (*n).into();
                object
            }).collect::<Vec<_>>(),
        })
    }
}

/// The name of a requirement, as the configuration has it.
fn name(require: Survives) -> String {
    let worst = require.faults().last().map_or("nothing", Fault::as_str);
    match require.lost_copies() {
        0 => worst.to_owned(),
        n => format!("{worst}+{n}"),
    }
}

/// A fault in words.
fn words(fault: Fault) -> &'static str {
    match fault {
        Fault::WriterCrash => "the writing process is killed",
        Fault::WriterPower => "the writer's machine loses power",
        Fault::StoreCrash => "the storing system crashes",
        Fault::StorePower => "the storing machine loses power",
        _ => "a fault that this command does not know by words",
    }
}

fn row(out: &mut Out, name: &str, lane: &Lane, floor: Option<&Lane>) -> Result<()> {
    let of_floor = floor.map(|f| lane.per_second() as f64 / f.per_second().max(1) as f64);
    let line = format!(
        "  {name:<16} {:>8} {:>11} {:>12}   {}",
        short(lane.quantile(0.5)),
        short(lane.quantile(0.99)),
        count(lane.per_second()),
        of_floor.map_or(String::new(), |x| format!("{x:.2} ×")),
    );
    out.line(line.trim_end())
}

fn lane_object(lane: &Lane) -> Value {
    json!({
        "median_us": lane.quantile(0.5).as_secs_f64() * 1e6,
        "p99_us": lane.quantile(0.99).as_secs_f64() * 1e6,
        "per_second": lane.per_second(),
    })
}
