//! A backup, and an archived segment: one gzip file that holds a row of entries
//! with their numbers, and before them the state they build on.
//!
//! The file is a row of gzip *members* (RFC 1952), so any `zcat` reads it; each
//! says its lengths and a checksum of its compressed bytes in an extra field, so
//! that members are packed and unpacked side by side, and that no bit of the file
//! is without a checksum. What they hold, one behind the other:
//!
//! * a text: the [header](BackupHeader), in a member of its own;
//! * pieces: a [`PieceHeader`] and entries, some in each member;
//! * a text: the [trailer](BackupTrailer), in a member of its own.
//!
//! The layout is specified in `docs/format.md`.

mod encoder;
mod member;
mod piece;
mod reader;
mod text;

pub use encoder::BackupEncoder;
pub(crate) use member::Packer;
pub use member::{MAX_MEMBER, MEMBER_HEAD, pack, unpack};
pub use piece::{Piece, PieceEntries, PieceHeader, PieceKind};
pub use reader::{BackupReader, Threads};
pub(crate) use text::clock;
pub use text::{BackupHeader, BackupKind, BackupTrailer};

use flushproof_api::{Error, ErrorKind};

/// The version that this code writes, and the highest that it reads.
pub const BACKUP_VERSION: u32 = 1;

fn corrupt(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, text)
}
