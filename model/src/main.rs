//! Explores the model: all configurations and all mutants, or one of them with its trace.

use flushproof_model::bounds::Model;
use flushproof_model::configs::{Config, LARGE, SMALL};
use flushproof_model::explore::{Found, Search, Verdict, explore};
use flushproof_model::mutants::{MUTANTS, Mutant};
use std::process::ExitCode;

const HELP: &str = "\
usage: flushproof-model [--large] [--list] [--trace NAME]

Explores every state of the journal's protocol within bounds. Without arguments: the small
configurations, which must be clean, and the mutants, which must be caught.

  --large       the large configurations too; they take long and up to 4 GiB
  --list        names and bounds of all configurations and mutants
  --trace NAME  only this one, and the steps to what goes wrong

Exit status: 0 all as it must be, 1 not so, 2 wrong usage.";

/// States at which a search gives up, so that it stays below 4 GiB.
const LIMIT: u64 = 100_000_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => run(SMALL),
        ["--large"] => {
            let small = run(SMALL);
            if small == ExitCode::SUCCESS {
                configurations(LARGE)
            } else {
                small
            }
        }
        ["--list"] => list(),
        ["--trace", name] => trace(name),
        ["--help" | "-h"] => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{HELP}");
            ExitCode::from(2)
        }
    }
}

fn run(configs: &[Config]) -> ExitCode {
    let clean = configurations(configs);
    let caught = mutants();
    if clean == ExitCode::SUCCESS {
        caught
    } else {
        clean
    }
}

/// Each must be clean, and explored to its end.
fn configurations(configs: &[Config]) -> ExitCode {
    println!(
        "{:26} {:>11} {:>6} {:>8}  verdict    bounds",
        "configuration", "states", "steps", "seconds"
    );
    let mut code = ExitCode::SUCCESS;
    for config in configs {
        let found = explore(
            &config.model(),
            Search {
                limit: LIMIT,
                ..Search::default()
            },
        );
        line(config.name, &found, &config.bounds.to_string());
        if found.verdict != Verdict::Clean {
            code = ExitCode::FAILURE;
        }
    }
    println!();
    code
}

/// Each must be caught.
fn mutants() -> ExitCode {
    println!(
        "{:26} {:>11} {:>6} {:>8}  verdict    bounds",
        "mutant", "states", "steps", "seconds"
    );
    let mut code = ExitCode::SUCCESS;
    for mutant in &MUTANTS {
        let found = explore(
            &mutant.model(),
            Search {
                limit: LIMIT,
                ..Search::default()
            },
        );
        line(mutant.name, &found, &mutant.bounds.to_string());
        if !matches!(found.verdict, Verdict::Broken(_)) {
            code = ExitCode::FAILURE;
        }
    }
    println!();
    code
}

fn line(name: &str, found: &Found, bounds: &str) {
    let (states, depth, seconds) = (found.states, found.depth, found.time.as_secs_f64());
    let verdict = found.verdict;
    println!("{name:26} {states:11} {depth:6} {seconds:8.2}  {verdict:10} {bounds}");
    if let Verdict::Broken(broken) = verdict {
        println!("{:26} {broken}", "");
    }
}

fn list() -> ExitCode {
    for config in SMALL.iter().chain(LARGE) {
        println!("{:26} {}", config.name, config.bounds);
    }
    for mutant in &MUTANTS {
        println!(
            "{:26} {}; without {:?}",
            mutant.name, mutant.bounds, mutant.without
        );
    }
    ExitCode::SUCCESS
}

fn trace(name: &str) -> ExitCode {
    let config = SMALL
        .iter()
        .chain(LARGE)
        .find(|c| c.name == name)
        .map(Config::model);
    let mutant = MUTANTS.iter().find(|m| m.name == name);
    let expected = mutant.is_some();
    let Some(model): Option<Model> = config.or(mutant.map(Mutant::model)) else {
        eprintln!("there is no configuration or mutant {name}; --list shows all");
        return ExitCode::from(2);
    };
    let search = Search {
        limit: LIMIT,
        ..Search::default()
    };
    let mut found = explore(&model, search);
    if let Verdict::Broken(_) = found.verdict {
        // Only now the way to each state is worth its memory.
        found = explore(
            &model,
            Search {
                trace: true,
                ..search
            },
        );
    }
    line(name, &found, &model.bounds.to_string());
    for (i, step) in found.trace.iter().enumerate() {
        println!("{:4}  {step}", i + 1);
    }
    let caught = matches!(found.verdict, Verdict::Broken(_));
    if caught == expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
