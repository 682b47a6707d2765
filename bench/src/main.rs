//! `flushproof-bench`: the journal beside its floors, measured in turns.
//!
//! The machine is noisy, so every figure is a ratio: short blocks of our work
//! and of the floor's alternate, and the medians are compared.

mod null;
mod replay;
mod stats;
mod write;

use serde_json::json;
use std::path::PathBuf;

/// One measured row.
pub struct Row {
    /// What was measured.
    pub bench: &'static str,
    /// On which backend.
    pub backend: &'static str,
    /// Concurrent appenders.
    pub tasks: usize,
    /// The length of an entry.
    pub entry_bytes: usize,
    /// Ours, per block.
    pub ours: Vec<f64>,
    /// The floor, per block.
    pub floor: Vec<f64>,
    /// The unit of both.
    pub unit: &'static str,
}

/// What the command line says.
struct Args {
    quick: bool,
    json: Option<PathBuf>,
    dir: PathBuf,
}

fn args() -> Result<Args, String> {
    let mut args = Args {
        quick: false,
        json: None,
        dir: PathBuf::from("target/bench"),
    };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut value = || given.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--quick" => args.quick = true,
            "--json" => args.json = Some(value()?.into()),
            "--dir" => args.dir = value()?.into(),
            _ => {
                return Err(format!(
                    "unknown {arg}; known: --quick, --json FILE, --dir DIR"
                ));
            }
        }
    }
    Ok(args)
}

fn main() -> std::process::ExitCode {
    match args().and_then(|args| run(&args).map_err(|e| e.to_string())) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let blocks = if args.quick { 200 } else { 600 };
    std::fs::create_dir_all(&args.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut rows = Vec::new();
    println!(
        "{:>10} {:>8} {:>6} {:>6} {:>12} {:>12} {:>8} {:>8}",
        "bench", "backend", "tasks", "bytes", "ours", "floor", "ratio", "low"
    );
    for (tasks, bytes) in [
        (1, 256),
        (8, 256),
        (64, 256),
        (1024, 256),
        (1, 4096),
        (64, 4096),
        (1024, 4096),
    ] {
        let row = write::disk(&runtime, &args.dir, tasks, bytes, blocks)?;
        rows.push(print(&row));
    }
    for tasks in [1, 64, 1024] {
        rows.push(print(&write::null(&runtime, tasks, 256, blocks)?));
    }
    rows.push(print(&replay::page_cache(&runtime, &args.dir, args.quick)?));
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&rows)?)?;
    }
    Ok(())
}

/// Prints a row and gives it for `--json`.
fn print(row: &Row) -> serde_json::Value {
    let (ratio, low) = stats::ratio(&row.ours, &row.floor);
    let ours = stats::median(&mut row.ours.clone());
    let floor = stats::median(&mut row.floor.clone());
    println!(
        "{:>10} {:>8} {:>6} {:>6} {:>12.0} {:>12.0} {:>8.3} {:>8.3}  {}",
        row.bench, row.backend, row.tasks, row.entry_bytes, ours, floor, ratio, low, row.unit
    );
    json!({
        "bench": row.bench, "backend": row.backend, "tasks": row.tasks,
        "entry_bytes": row.entry_bytes, "ours": ours, "floor": floor, "unit": row.unit,
        "ratio": ratio, "ratio_low": low,
    })
}
