//! The contestants in turns, and what came out.

use crate::peer::{Contestant, Peer, Plan, Result};
use crate::stats;
use std::path::Path;

/// How many rounds warm up and are not counted.
pub const WARM_UP: usize = 5;

/// What a contestant did in each round, in entries per second.
pub struct Series {
    /// Who.
    pub who: Contestant,
    /// One value for each counted round.
    pub rates: Vec<f64>,
}

impl Series {
    /// The median.
    pub fn median(&self) -> f64 {
        stats::median(&mut self.rates.clone())
    }
}

/// Opens all contestants below `dir` and lets them take turns, a block each. In
/// each round another one begins, and every second round goes backwards, so
/// that no one always follows the same one.
///
/// # Errors
/// The first failure of any, with its name.
pub fn alternate(dir: &Path, contestants: &[Contestant], plan: Plan) -> Result<Vec<Series>> {
    let mut open: Vec<(Box<dyn Peer>, Series)> = Vec::new();
    for who in contestants {
        let place = place(dir, who);
        remove(&place)?;
        std::fs::create_dir_all(&place)?;
        let peer = (who.open)(&place, plan).map_err(|e| format!("{}: {e}", who.name))?;
        open.push((
            peer,
            Series {
                who: *who,
                rates: Vec::new(),
            },
        ));
    }
    for round in 0..plan.blocks {
        for turn in order(open.len(), round) {
            let (peer, series) = &mut open[turn];
            let took = peer
                .block()
                .map_err(|e| format!("{}: {e}", series.who.name))?;
            if round >= WARM_UP {
                series
                    .rates
                    .push(plan.block_entries() as f64 / took.as_secs_f64().max(1e-9));
            }
        }
    }
    let mut all = Vec::new();
    for (peer, series) in open {
        peer.close()
            .map_err(|e| format!("{}: {e}", series.who.name))?;
        remove(&place(dir, &series.who))?;
        all.push(series);
    }
    Ok(all)
}

fn place(dir: &Path, who: &Contestant) -> std::path::PathBuf {
    dir.join(who.name.replace(", ", "-"))
}

fn remove(place: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(place) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Who comes when in a round.
fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).map(|turn| (turn + round / 2) % count).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_in_every_round() {
        for round in 0..20 {
            let mut turns = order(5, round);
            turns.sort_unstable();
            assert_eq!(turns, [0, 1, 2, 3, 4]);
        }
        assert_eq!(order(3, 0), [0, 1, 2]);
        assert_eq!(order(3, 1), [2, 1, 0]);
        assert_eq!(order(3, 2), [1, 2, 0]);
    }
}
