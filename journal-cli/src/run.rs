//! From the command line to a subcommand and an exit code.

use crate::args::{Cli, Command, Place};
use crate::failure::{Failure, Result, USAGE};
use crate::output::Out;
use crate::{
    append, backup, cat, config, copy, demo, doctor, follow, format, info, repair, restore, verify,
    warnings,
};
use clap::{CommandFactory, Parser};
use flushproof::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let json = cli.common.json;
    warnings::show(json);
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(json);
            ExitCode::from(failure.code())
        }
    }
}

/// Says what is wrong with the command line, or what was asked (`--help`).
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|a| a == "--json");
    if error.use_stderr() && json {
        let text = error.to_string();
        let text = text.trim().trim_start_matches("error: ");
        Failure::Usage(text.to_owned()).report(true);
        return ExitCode::from(USAGE);
    }
    // A closed stdout is no reason to complain.
    let _ = error.print();
    ExitCode::from(error.exit_code() as u8)
}

fn start(cli: Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("can't start the runtime", e))?;
    let done = runtime.block_on(dispatch(cli));
    // A thread that waits for the disk or for stdin must not hold us.
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

async fn dispatch(cli: Cli) -> Result<()> {
    let common = &cli.common;
    let mut out = Out::new(common.json)?;
    let load = |place| config::load(&common.sources(place));
    match &cli.command {
        Command::Format(args) => format::run(&load(&args.place)?, args.force, &mut out).await,
        Command::Append(args) => append::run(load(&args.place)?, args, out).await,
        Command::Cat(args) => cat::run(&load(&args.place)?, args, out).await,
        Command::Follow(args) => follow::run(&load(&args.place)?, args, out).await,
        Command::Info(place) => info::run(&load(place)?, &mut out).await,
        Command::Verify(args) => verify::run(&load(&args.place)?, args, &mut out).await,
        Command::Backup(args) => backup::run(load(&args.place)?, args, &mut out).await,
        Command::Restore(args) => {
            let place = Place {
                uri: args.to.clone(),
            };
            restore::run(load(&place)?, args, &mut out).await
        }
        Command::Copy(args) => {
            let place = Place {
                uri: Some(args.source.clone()),
            };
            let config = load(&place)?;
            let other = config::load_other(&common.sources(&place), &config, &args.target)?;
            copy::run(&config, &other, args, &mut out).await
        }
        Command::Repair(args) => {
            let config = load(&args.place)?;
            let other = config::load_other(&common.sources(&args.place), &config, &args.to)?;
            repair::run(&config, &other, args, &mut out).await
        }
        Command::Doctor(args) => doctor::run(load(&args.place)?, args, &mut out).await,
        Command::Demo(place) => demo::run(common, place, &mut out).await,
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "journal", &mut script);
            out.bytes(&script)?;
            out.flush()
        }
    }
}
