//! `peers`: Flushproof beside other write-ahead logs, on the same work in the
//! same run. The machine is noisy, so short blocks of all of them alternate and
//! the medians are compared.

mod args;
mod crew;
mod measure;
mod okaywal;
mod open_wal;
mod ours;
mod peer;
mod queue;
mod raft_engine;
#[path = "../../src/stats.rs"]
mod stats;
mod table;
mod tasks;

use args::Args;
use peer::{Plan, Result};

fn main() -> std::process::ExitCode {
    match Args::parse(std::env::args().skip(1)).and_then(|args| run(&args)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.dir)?;
    let mut rows = Vec::new();
    table::head();
    for &tasks in &args.tasks {
        // Long enough that starting the appenders does not count.
        let each = (1024 / tasks).clamp(8, 48);
        let plan = Plan {
            tasks,
            each,
            blocks: args.blocks + measure::WARM_UP,
        };
        let all = measure::alternate(&args.dir, &args.contestants, plan)?;
        rows.extend(table::rows(tasks, &all));
    }
    table::footnotes(&args.contestants);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&rows)?)?;
    }
    Ok(())
}
