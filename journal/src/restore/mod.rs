//! Restore: a backup becomes a journal, all or nothing.
//!
//! | module | is about |
//! | --- | --- |
//! | `fill` | claiming an epoch to be filled, and publishing it |
//! | `sink` | writing entries with their numbers into logs |
//! | `place` | where it goes: formatted, and empty |
//! | `run` | from a backup's file to a journal; `journal restore` |
//! | `import` | the same when a journal is opened, once |

mod fill;
mod import;
mod place;
mod run;
mod sink;

pub(crate) use fill::{Filling, not_empty, void_between};
pub(crate) use import::import_once;
pub(crate) use place::Place;
pub use run::{RestoreOptions, Restored};
