//! What 1, 8 and 64 writers get, next to the bare system call. All are measured
//! in turns, so that a noisy minute hits them alike.

use super::floor::{Bare, Until};
use super::scratch::Scratch;
use super::{ENTRY, scratch_config};
use crate::failure::Result;
use crate::open;
use crate::signals::Signals;
use flushproof::{Config, Error, ErrorKind, Journal};
use indicatif::ProgressBar;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often the lanes take turns.
const TURNS: u32 = 4;
const WRITERS: [usize; 3] = [1, 8, 64];

/// All lanes.
#[derive(Debug)]
pub struct Rates {
    /// The bare call and how it writes, where there is one.
    pub bare: Option<(&'static str, Lane)>,
    /// By number of writers.
    pub writers: Vec<(usize, Lane)>,
}

/// What one kind of writer got.
#[derive(Debug, Default)]
pub struct Lane {
    times: Vec<Duration>,
    spent: Duration,
}

impl Lane {
    fn add(&mut self, times: Vec<Duration>, spent: Duration) {
        self.times.extend(times);
        self.spent += spent;
    }

    fn sorted(mut self) -> Lane {
        self.times.sort_unstable();
        self
    }

    /// The time that this part of all flushes stayed below.
    pub fn quantile(&self, part: f64) -> Duration {
        let at = (self.times.len() as f64 * part) as usize;
        let last = self.times.len().saturating_sub(1);
        self.times.get(at.min(last)).copied().unwrap_or_default()
    }

    /// How many in a second.
    pub fn per_second(&self) -> u64 {
        crate::units::rate(self.times.len() as u64, self.spent)
    }
}

impl Rates {
    /// Measures, `time` for each lane.
    pub async fn measure(
        config: &Config,
        scratch: &Scratch,
        mut bare: Option<Bare>,
        time: Duration,
        signals: &Signals,
        bar: &ProgressBar,
    ) -> Result<Rates> {
        let own = scratch_config(config, scratch)?;
        own.format(false).await?;
        let journal = open::primary(&own).await?;
        let slot = time / TURNS;
        let mut floor = Lane::default();
        let mut writers: Vec<_> = WRITERS.map(|n| (n, Lane::default())).into();
        for turn in 1..=TURNS {
            if let Some(bare) = &mut bare {
                bar.set_message(format!("turn {turn} of {TURNS}: the bare call"));
                let began = Instant::now();
                let until = Until {
                    writes: usize::MAX,
                    time: slot,
                };
                let times = bare.write(until).await?;
                floor.add(times, began.elapsed());
                signals.check()?;
            }
            for (n, lane) in &mut writers {
                bar.set_message(format!("turn {turn} of {TURNS}: {n} writers"));
                let began = Instant::now();
                let times = write(&journal, *n, slot).await?;
                lane.add(times, began.elapsed());
                signals.check()?;
            }
        }
        journal.close().await?;
        Ok(Rates {
            bare: bare.map(|b| (b.method(), floor.sorted())),
            writers: writers.into_iter().map(|(n, l)| (n, l.sorted())).collect(),
        })
    }
}

/// Each writer awaits every append.
async fn write(journal: &Journal, writers: usize, time: Duration) -> Result<Vec<Duration>> {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let journal = journal.clone();
        tasks.spawn(async move {
            let entry = [0x5a; ENTRY];
            let mut times = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                journal.append(&entry).await?;
                times.push(start.elapsed());
            }
            Ok::<_, Error>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let times = done.map_err(|e| Error::new(ErrorKind::Io, format!("a writer: {e}")))?;
        all.extend(times?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_few() {
        let mut lane = Lane::default();
        assert_eq!(lane.quantile(0.5), Duration::ZERO);
        lane.add(
            (1..=100).map(Duration::from_millis).collect(),
            Duration::from_secs(1),
        );
        let lane = lane.sorted();
        assert_eq!(lane.quantile(0.5), Duration::from_millis(51));
        assert_eq!(lane.quantile(0.99), Duration::from_millis(100));
        assert_eq!(lane.quantile(1.0), Duration::from_millis(100));
        assert_eq!(lane.per_second(), 100);
    }
}
