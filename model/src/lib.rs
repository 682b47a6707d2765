//! A model of the journal's protocol, and a search through all its states within bounds.
//!
//! The protocol decides which entries exist when several processes, awake or asleep, believe that
//! they are the primary, and when storage forgets what was not flushed. Tests of the engine show
//! that it works; this crate shows that there is no order of steps in which it does not, within the
//! bounds of each [configuration](configs), and that each of its [protections](bounds::Protection)
//! is needed: a [mutant](mutants) without one must be caught.
//!
//! The steps carry the names of the engine's functions. What is modelled, what is not, and what was
//! measured: `docs/model.md`.
//!
//! # What must never happen
//!
//! A ghost notes what the outside world was told: an entry was acknowledged, a standby applied it,
//! a primary served a state with it. [`Broken`](step::Broken) lists what contradicts that: a
//! primary that serves without such an entry or with another in its place, a fenced primary that
//! acknowledges what its successor does not have, and a reader that says "corrupt" although nothing
//! has rotted.
//!
//! # How storage is modelled
//!
//! A flush that has not resolved may be seen by one read and missed by the next, in any
//! combination. That is more than any storage does: it covers caches, writes on their way, torn
//! ends and crashes. So a storage crash is a step of its own only to lose a fence (in a mutant) and
//! to show that nothing more comes of it.
//!
//! # How processes are modelled
//!
//! Each claim of an epoch is the life of one process. Processes step in any order: a pause is a
//! process that does not step while others do, a crash one that never steps again, and a restart
//! another process.

#![warn(missing_docs)]

pub mod bounds;
pub mod configs;
mod encode;
pub mod explore;
mod fill;
pub mod mutants;
mod read;
mod serve;
mod standby;
pub mod state;
pub mod step;
mod storage;
mod takeover;
mod trim;
