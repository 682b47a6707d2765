//! What was measured: one row of the table and of `--json`.

use crate::stats;
use serde_json::{Value, json};

/// One measured row.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub bench: &'static str,
    /// On which backend.
    pub backend: &'static str,
    /// Concurrent appenders; of a replay: entries of a group.
    pub tasks: usize,
    /// The length of an entry.
    pub entry_bytes: usize,
    /// Ours, per block.
    pub ours: Vec<f64>,
    /// The floor, per block.
    pub floor: Vec<f64>,
    /// The unit of both.
    pub unit: &'static str,
    /// Times and sizes: less is better.
    pub less: bool,
    /// How many entries one flush of ours had on average.
    pub group: f64,
    /// How ours and the floor write.
    pub methods: String,
}

impl Row {
    /// A row without values.
    pub fn new(
        bench: &'static str,
        backend: &'static str,
        (tasks, entry_bytes): (usize, usize),
        unit: &'static str,
    ) -> Row {
        Row {
            bench,
            backend,
            tasks,
            entry_bytes,
            ours: Vec::new(),
            floor: Vec::new(),
            unit,
            less: matches!(unit, "us" | "KiB" | "s"),
            group: 0.0,
            methods: String::new(),
        }
    }

    /// How much of the floor is reached, and its lower bound: ours / floor, or
    /// floor / ours where less is better. So more is always better.
    pub fn ratio(&self) -> (f64, f64) {
        match self.less {
            false => stats::ratio(&self.ours, &self.floor),
            true => stats::ratio(&self.floor, &self.ours),
        }
    }

    /// The head of the table.
    pub fn head() -> String {
        format!(
            "{:<14} {:<8} {:>5} {:>6} {:>12} {:>12} {:>8} {:>8} {:>7}  unit       methods",
            "bench", "backend", "tasks", "bytes", "ours", "floor", "ratio", "low", "group"
        )
    }

    /// Its line of the table.
    pub fn line(&self) -> String {
        let (ratio, low) = self.ratio();
        format!(
            "{:<14} {:<8} {:>5} {:>6} {:>12.1} {:>12.1} {:>8.3} {:>8.3} {:>7.1}  {:<9}  {}",
            self.bench,
            self.backend,
            self.tasks,
            self.entry_bytes,
            stats::median(&mut self.ours.clone()),
            stats::median(&mut self.floor.clone()),
            ratio,
            low,
            self.group,
            self.unit,
            self.methods
        )
    }

    /// Its object in `--json`.
    pub fn json(&self) -> Value {
        let (ratio, low) = self.ratio();
        json!({
            "bench": self.bench,
            "backend": self.backend,
            "tasks": self.tasks,
            "entry_bytes": self.entry_bytes,
            "ours": stats::median(&mut self.ours.clone()),
            "floor": stats::median(&mut self.floor.clone()),
            "unit": self.unit,
            "ratio": ratio,
            "ratio_low": low,
            "entries_per_flush": self.group,
            "methods": self.methods,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_better_in_every_unit() {
        for (unit, ours) in [("entries/s", 8.0), ("us", 12.5)] {
            let mut row = Row::new("append", "local", (1, 256), unit);
            row.ours = vec![ours; 10];
            row.floor = vec![10.0; 10];
            assert_eq!(row.ratio(), (0.8, 0.8));
            assert_eq!(row.json()["ratio_low"], 0.8);
        }
    }
}
