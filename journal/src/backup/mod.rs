//! Backups: the newest checkpoint and the entries behind it, up to a durable
//! position, in one file on any store. The journal may be in use.
//!
//! | module | is about |
//! | --- | --- |
//! | `options` | what the configuration says of backups and of the archive; what a caller says |
//! | `directory` | where backups lie: a directory of the journal's store, or any URI; their names |
//! | `parts` | the rows of entries that a journal and its archive hold, as one |
//! | `file` | writing one file: packed on several threads, published whole, read back |
//! | `take` | taking a backup |
//! | `beside` | the same by a primary, beside its appends |
//! | `retention` | which old backups go |
//! | `schedule` | taking one every day |

mod beside;
pub(crate) mod directory;
pub(crate) mod file;
mod options;
pub(crate) mod parts;
mod retention;
mod schedule;
mod take;

pub use directory::BackupName;
pub use options::{ArchiveConfig, At, BackupConfig, BackupOptions, DailyAt, Phase, Progress};
pub(crate) use schedule::start as start_schedule;
pub use take::BackedUp;
