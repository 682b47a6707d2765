//! The command, as an operator runs it: real processes, real folders on a disk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod addresses;
mod backups;
mod bad_input;
mod configuration;
mod doctor_demo;
mod process;
mod processes;
mod servers;
mod stores;
mod subcommands;
mod verify;
