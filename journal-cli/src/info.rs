//! `journal info`: what a journal is made of.

use crate::failure::Result;
use crate::open;
use crate::output::Out;
use crate::units::{clock, count, entries, size};
use flushproof::{Config, FlushContract, Info};
use serde_json::{Value, json};
use std::fmt::Write;

/// Prints what the journal is made of.
pub async fn run(config: &Config, out: &mut Out) -> Result<()> {
    let info = open::reader(config).await?.info().await?;
    let folder = config.folder.to_string();
    if out.json {
        return out.result(&object(&folder, &info), "");
    }
    out.bytes(text(&folder, &info).as_bytes())?;
    out.flush()
}

fn object(folder: &str, info: &Info) -> Value {
    let epochs = info.epochs.iter().map(|e| {
        json!({
            "epoch": e.epoch.0, "claimed": clock(e.claimed_ms), "who": e.who,
            "address": e.address, "served": e.served,
        })
    });
    let segments = info.segments.iter().map(|s| {
        json!({
            "epoch": s.id.epoch.0, "index": s.id.index, "length": s.len,
            "first": s.entries.map(|r| r.first.0), "end": s.entries.map(|r| r.end.0),
            "bytes": s.entries.map(|r| r.bytes),
        })
    });
    let checkpoints = info
        .checkpoints
        .iter()
        .map(|c| json!({ "next_seq": c.next_seq.0, "epoch": c.epoch.0 }));
    json!({
        "folder": folder,
        "id": info.id.to_string(),
        "created": clock(info.created_ms),
        "epoch": info.epoch.0,
        "first": info.first.0,
        "durable": info.durable.0,
        "end": info.end.0,
        "closed": info.closed,
        "undecided_bytes": info.undecided_bytes,
        "damage": info.damage,
        "checkpoint": info.checkpoint.map(|s| s.0),
        "contract": contract(&info.contract),
        "epochs": epochs.collect::<Vec<_>>(),
        "segments": segments.collect::<Vec<_>>(),
        "checkpoints": checkpoints.collect::<Vec<_>>(),
        "space": info.space.map(|s| json!({ "total": s.total, "available": s.available })),
    })
}

/// A contract as JSON.
pub fn contract(c: &FlushContract) -> Value {
    let faults: Vec<_> = c.survives.faults().map(|f| f.as_str()).collect();
    json!({
        "survives": faults,
        "lost_copies": c.survives.lost_copies(),
        "mechanism": c.mechanism,
        "fencing": format!("{:?}", c.fencing).to_lowercase(),
        "visibility": format!("{:?}", c.visibility).to_lowercase(),
        "exposes_unflushed": c.exposes_unflushed,
        "durable_deletes": c.durable_deletes,
        "max_inflight": c.max_inflight,
        "block": c.block,
        "caveats": c.caveats,
    })
}

fn text(folder: &str, info: &Info) -> String {
    let mut t = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(t, "{name:<12} {value}");
    };
    row("journal", format!("{} at {folder}", info.id));
    row("created", clock(info.created_ms));
    row("store", info.contract.mechanism.clone());
    row(
        "",
        format!("flushed bytes survive: {}", info.contract.survives),
    );
    for caveat in &info.contract.caveats {
        row("", format!("note: {caveat}"));
    }
    row("entries", positions(info));
    row("end", ending(info));
    row(
        "epoch",
        format!("{} ({} claimed)", info.epoch, info.epochs.len()),
    );
    for e in &info.epochs {
        let served = if e.served { "served" } else { "never served" };
        let at = match e.address.is_empty() {
            true => String::new(),
            false => format!(" at {}", e.address),
        };
        row(
            "",
            format!(
                "{}: {}{at}, {}, {served}",
                e.epoch,
                e.who,
                clock(e.claimed_ms)
            ),
        );
    }
    let total: u64 = info.segments.iter().map(|s| s.len).sum();
    row(
        "segments",
        format!("{} ({})", info.segments.len(), size(total)),
    );
    for s in &info.segments {
        let holds = match s.entries {
            Some(r) => format!("{}..{}, {} used", r.first, r.end, size(r.bytes)),
            None => "not on the chain (prepared, or of another epoch)".into(),
        };
        row("", format!("{}: {}, {holds}", s.id, size(s.len)));
    }
    row("checkpoints", info.checkpoints.len().to_string());
    for c in &info.checkpoints {
        row(
            "",
            format!("of all below {} (epoch {})", c.next_seq, c.epoch),
        );
    }
    if let Some(space) = info.space {
        row(
            "room",
            format!("{} of {} left", size(space.available), size(space.total)),
        );
    }
    t
}

fn positions(info: &Info) -> String {
    let n = info.end.0.saturating_sub(info.first.0);
    let mut text = format!("{} from {} to {}", entries(n), info.first, info.end);
    if let Some(checkpoint) = info.checkpoint {
        let _ = write!(text, "; a checkpoint replaces those below {checkpoint}");
    }
    text
}

fn ending(info: &Info) -> String {
    let undecided = info.end.0.saturating_sub(info.durable.0);
    let state = match (info.closed, info.epoch.0) {
        (_, 0) => "nobody has written yet",
        (true, _) => "closed by its primary",
        (false, _) => "not closed: a primary writes, or was killed",
    };
    let mut text = format!("durable below {}, {state}", info.durable);
    if undecided > 0 {
        let _ = write!(text, "; {} undecided", entries(undecided));
    }
    if info.undecided_bytes > 0 {
        let bytes = count(info.undecided_bytes);
        let _ = write!(text, "; {bytes} bytes behind are torn or being written");
    }
    if let Some(damage) = &info.damage {
        let _ = write!(text, "; DAMAGED behind it: {damage}. Run: journal verify");
    }
    text
}
