//! The table, its footnotes, and its rows as JSON.

use crate::measure::Series;
use crate::peer::{Contestant, ENTRY_BYTES};
use crate::{ours, stats};
use serde_json::{Value, json};

/// Prints the head of the table.
pub fn head() {
    println!(
        "{:>6} {:>6}  {:<24} {:>12} {:>12} {:>8} {:>8}",
        "tasks", "bytes", "peer", "ours/s", "peer/s", "ratio", "low"
    );
}

/// Prints a row for each peer; gives them for `--json`. Without our own series
/// there are no ratios.
pub fn rows(tasks: usize, all: &[Series]) -> Vec<Value> {
    let ours = all.iter().find(|series| is_ours(&series.who));
    let peers = all.iter().filter(|series| !is_ours(&series.who));
    peers.map(|peer| row(tasks, ours, peer)).collect()
}

fn is_ours(who: &Contestant) -> bool {
    who.name == ours::OURS.name
}

fn row(tasks: usize, ours: Option<&Series>, peer: &Series) -> Value {
    let ratio = ours.map(|ours| stats::ratio(&ours.rates, &peer.rates));
    let rate = ours.map(Series::median);
    let text = |value: Option<f64>, digits: usize| {
        value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
    };
    println!(
        "{tasks:>6} {ENTRY_BYTES:>6}  {:<24} {:>12} {:>12.0} {:>8} {:>8}",
        peer.who.name,
        text(rate, 0),
        peer.median(),
        text(ratio.map(|r| r.0), 2),
        text(ratio.map(|r| r.1), 2),
    );
    json!({
        "bench": "peers", "backend": "local", "peer": peer.who.name, "tasks": tasks,
        "entry_bytes": ENTRY_BYTES, "ours": rate, "theirs": peer.median(), "unit": "entries/s",
        "ratio": ratio.map(|r| r.0), "ratio_low": ratio.map(|r| r.1), "ack": peer.who.ack,
    })
}

/// Prints what an acknowledgement of each contestant is.
pub fn footnotes(contestants: &[Contestant]) {
    println!(
        "\nMedians of alternated blocks; ratio = ours / peer; low = 2.5 % quantile of its \
         bootstrap.\nEvery entry is awaited durable before its appender goes on. The calls used:"
    );
    for who in contestants {
        println!("* {}: {}.", who.name, who.ack);
    }
}
