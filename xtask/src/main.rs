//! Project tasks: `cargo xtask ci` runs what the README promises.

use std::process::{Command, ExitCode};

/// One step: what it is called, and the command.
const STEPS: [(&str, &[&str]); 2] = [
    ("format", &["fmt", "--all", "--check"]),
    ("test", &["test", "--workspace"]),
];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("ci") => ci(),
        _ => {
            eprintln!("usage: cargo xtask ci");
            ExitCode::from(2)
        }
    }
}

fn ci() -> ExitCode {
    for (name, args) in STEPS {
        println!("== {name}: cargo {}", args.join(" "));
        let began = std::time::Instant::now();
        let status = Command::new("cargo").args(args).status();
        println!("== {name}: {} s", began.elapsed().as_secs());
        if !status.is_ok_and(|s| s.success()) {
            eprintln!("failed: run again with: cargo {}", args.join(" "));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
