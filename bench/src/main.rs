//! `flushproof-bench`: one table of the journal beside its floors, and `--json`.

use flushproof_backend_local::Method;
use flushproof_bench::replay::{self, Filled};
use flushproof_bench::row::Row;
use flushproof_bench::{Result, append, backups, beds, crew::Plan, runtime, stores};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tokio::runtime::Runtime;

const HELP: &str = "\
usage: flushproof-bench [--quick] [--json FILE] [--dir DIR] [--method METHOD] [--only TEXT]
       flushproof-bench --backups [--quick] [--json FILE] [--dir DIR]
       flushproof-bench --stores LIST [--quick | --blocks N] [--json FILE]

  --quick      at most 3 minutes: 200 alternated blocks of each, else 600
  --json FILE  also write the rows there
  --dir DIR    a folder on the disk to measure; default: target/bench
  --method METHOD
               how both write: direct, dsync, fdatasync; default: each by its own probe
  --only TEXT  only benches whose name contains it, such as append-local-64-256,
               append-null, replay-1024, memory
  --backups    instead of all that: backup and restore of 5 million entries (--quick: 1
               million) beside `cat` into pigz, their memory, appends meanwhile
  --stores LIST
               instead of all that: appends on real servers beside the bare call of each,
               in 60 blocks (--quick: 5); all, or some of hdfs,nfs,s3,azure. Their
               servers come from: cargo xtask servers install
  --blocks N   that many blocks";

/// What the command line says.
struct Args {
    quick: bool,
    json: Option<PathBuf>,
    dir: PathBuf,
    method: Option<Method>,
    only: String,
    /// The storages on servers, instead of the rest.
    stores: Vec<String>,
    backups: bool,
    blocks: Option<usize>,
    /// For a process of its own, whose memory is measured: replay this place.
    replay: Option<(PathBuf, usize)>,
    /// The same for a backup or a restore.
    alone: Option<[String; 3]>,
}

fn args() -> std::result::Result<Args, String> {
    let mut args = Args {
        quick: false,
        json: None,
        dir: PathBuf::from("target/bench"),
        method: None,
        only: String::new(),
        stores: Vec::new(),
        backups: false,
        blocks: None,
        replay: None,
        alone: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut value = || given.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--quick" => args.quick = true,
            "--json" => args.json = Some(value()?.into()),
            "--dir" => args.dir = value()?.into(),
            "--method" => {
                let text = value()?;
                let known = Method::ALL.into_iter().find(|m| m.as_str() == text);
                args.method = Some(known.ok_or(format!("unknown method {text}"))?);
            }
            "--only" => args.only = value()?,
            "--backups" => args.backups = true,
            "--alone" => args.alone = Some([value()?, value()?, value()?]),
            "--stores" => args.stores = chosen(&value()?),
            "--blocks" => {
                let blocks = value()?.parse();
                args.blocks = Some(blocks.map_err(|e| format!("--blocks: {e}"))?);
            }
            "--replay" => {
                let place = PathBuf::from(value()?);
                let entries = value()?.parse();
                let entries = entries.map_err(|e| format!("--replay: {e}"))?;
                args.replay = Some((place, entries));
            }
            "--help" | "-h" => return Err(HELP.into()),
            _ => return Err(format!("unknown {arg}\n{HELP}")),
        }
    }
    Ok(args)
}

/// The storages of a list.
fn chosen(list: &str) -> Vec<String> {
    match list {
        "all" => beds::names().into_iter().map(str::to_owned).collect(),
        list => list.split(',').map(str::to_owned).collect(),
    }
}

fn main() -> ExitCode {
    let done = args()
        .map_err(Into::into)
        .and_then(|args| match (&args.replay, &args.alone) {
            (Some((place, entries)), _) => replay_alone(place, *entries),
            (_, Some([what, place, other])) => {
                backups::work_alone(what, Path::new(place), Path::new(other))
            }
            _ => run(&args),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The rows so far; prints each when it is there.
struct Table<'a> {
    args: &'a Args,
    rows: Vec<Row>,
}

impl Table<'_> {
    /// Runs a bench if it is asked for.
    fn add(&mut self, name: &str, bench: impl FnOnce() -> Result<Vec<Row>>) -> Result<()> {
        if !name.contains(&self.args.only) {
            return Ok(());
        }
        for row in bench().map_err(|e| format!("{name}: {e}"))? {
            println!("{}", row.line());
            self.rows.push(row);
        }
        Ok(())
    }
}

fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.dir)?;
    let runtime = runtime()?;
    let mut table = Table {
        args,
        rows: Vec::new(),
    };
    println!("{}", Row::head());
    if args.backups {
        backup_rows(&mut table, &runtime)?;
    } else if args.stores.is_empty() {
        appends(&mut table, &runtime)?;
        replays(&mut table, &runtime)?;
    }
    for name in &args.stores {
        let blocks = args.blocks.unwrap_or(if args.quick { 5 } else { 60 });
        table.add(name, || {
            // The bed goes when the rows are there.
            let (store, _bed) = beds::start(&runtime, name)?;
            stores::store(&runtime, store, blocks)
        })?;
    }
    if let Some(file) = &args.json {
        let rows: Vec<_> = table.rows.iter().map(Row::json).collect();
        std::fs::write(file, serde_json::to_vec_pretty(&rows)?)?;
    }
    Ok(())
}

fn backup_rows(table: &mut Table<'_>, runtime: &Runtime) -> Result<()> {
    let args = table.args;
    let dir = std::path::absolute(&args.dir)?;
    let (entries, rounds) = if args.quick {
        (1_000_000, 3)
    } else {
        (5_000_000, 5)
    };
    table.add("backup-files", || {
        let place = dir.join("backed-up");
        let filled = backups::fill(runtime, &place, entries)?;
        let rows = backups::files(&filled, &dir, rounds)?;
        flushproof_bench::remove(&place)?;
        Ok(rows)
    })?;
    let blocks = args.blocks.unwrap_or(if args.quick { 20 } else { 60 });
    table.add("backup-appends", || {
        let place = dir.join("appends/journal");
        backups::appends(runtime, &place, entries / 2, blocks).map(|row| vec![row])
    })
}

fn blocks(args: &Args) -> usize {
    args.blocks.unwrap_or(if args.quick { 200 } else { 600 })
}

fn appends(table: &mut Table<'_>, runtime: &Runtime) -> Result<()> {
    let args = table.args;
    for entry_bytes in [256, 4096] {
        for tasks in [1, 8, 64, 1024] {
            let name = format!("append-local-{tasks}-{entry_bytes}");
            let plan = append::plan(tasks, entry_bytes);
            let disk = append::Disk {
                dir: &args.dir,
                method: args.method,
                blocks: blocks(args),
            };
            table.add(&name, || append::disk(runtime, disk, plan))?;
        }
    }
    for tasks in [1, 8, 64, 1024] {
        let plan = Plan {
            tasks,
            entry_bytes: 256,
            each: (16_384 / tasks).min(2048),
        };
        let name = format!("append-null-{tasks}-256");
        table.add(&name, || {
            append::null(runtime, plan, blocks(args)).map(|row| vec![row])
        })?;
    }
    Ok(())
}

fn replays(table: &mut Table<'_>, runtime: &Runtime) -> Result<()> {
    let args = table.args;
    let entries = if args.quick { 300_000 } else { 1_000_000 };
    for group in [64, 1024] {
        table.add(&format!("replay-{group}"), || {
            let place = args.dir.join(format!("replay-{group}"));
            let filled = replay::fill(runtime, &place, entries, group)?;
            let rows = filled.beside_bare_read(runtime, group, blocks(args).min(200))?;
            flushproof_bench::remove(&place)?;
            Ok(rows)
        })?;
    }
    table.add("replay-memory", || memory(runtime, &args.dir, entries))
}

/// The memory of a replay of a journal ten times as large: ours; the floor is
/// that of the small one. Each in a process of its own.
fn memory(runtime: &Runtime, dir: &Path, entries: usize) -> Result<Vec<Row>> {
    let mut row = Row::new("replay_memory", "local", (1024, replay::ENTRY), "KiB");
    for (entries, values) in [(entries, &mut row.floor), (10 * entries, &mut row.ours)] {
        let place = dir.join("memory");
        let filled = replay::fill(runtime, &place, entries, 1024)?;
        for _ in 0..5 {
            values.push(memory_of(&filled)?);
        }
        flushproof_bench::remove(&place)?;
    }
    Ok(vec![row])
}

fn memory_of(filled: &Filled) -> Result<f64> {
    let out = Command::new(std::env::current_exe()?)
        .arg("--replay")
        .arg(&filled.place)
        .arg(filled.entries.to_string())
        .output()?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().parse()?)
}

fn replay_alone(place: &Path, entries: usize) -> Result<()> {
    let filled = Filled {
        place: place.to_owned(),
        entries,
    };
    filled.replay(&runtime()?)?;
    println!("{}", replay::peak_memory()?);
    Ok(())
}
