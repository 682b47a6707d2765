//! Placeholder.
pub mod bounds;
pub mod configs;
pub mod encode;
pub mod explore;
mod read;
mod serve;
mod standby;
pub mod state;
pub mod step;
mod storage;
mod takeover;
mod trim;
pub mod mutants;
