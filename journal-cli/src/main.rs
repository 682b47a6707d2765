//! `journal`: the command for operators of Flushproof journals.
//!
//! | module | is about |
//! | --- | --- |
//! | `args` | what the command line says |
//! | `config` | `journal.toml`, `JOURNAL_…` variables and flags, in one table of keys |
//! | `failure`, `output`, `units`, `progress` | how things are said, and exit codes |
//! | `signals`, `warnings` | SIGINT and SIGTERM; what the engine warns of |
//! | `open` | opening a journal |
//! | `run` | from the command line to a subcommand and an exit code |
//! | `format`, `append`, `cat`, `follow`, `info`, `verify`, `backup`, `restore`, `copy`, `repair`, `doctor`, `demo` | the subcommands |
//!
//! `docs/command.md` is the manual.

mod append;
mod args;
mod backup;
mod cat;
mod config;
mod copy;
mod demo;
mod doctor;
mod entries;
mod failure;
mod follow;
mod format;
mod info;
mod open;
mod output;
mod progress;
mod repair;
mod restore;
mod run;
mod signals;
mod units;
mod verify;
mod warnings;

fn main() -> std::process::ExitCode {
    run::main()
}
