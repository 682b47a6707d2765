//! The texts at both ends of a backup: lines of `name value`, for people who look
//! with `zcat`, and strict enough for a program.

use super::{BACKUP_VERSION, corrupt};
use crate::format::JournalId;
use flushproof_api::{Epoch, Error, ErrorKind, Result, SeqNo};
use std::time::{Duration, SystemTime};

/// How every file begins, unpacked; the version follows.
const MAGIC: &str = "flushproof-backup ";
/// How the trailer begins.
const END: &str = "end of backup";
/// The longest text of both, in bytes.
pub(super) const MAX_TEXT: usize = 4096;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackupKind {
    /// A backup: a state and the entries behind it.
    Backup,
    /// The entries of one segment, kept when it was trimmed.
    Segment,
}

impl BackupKind {
    /// The name in headers and `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            BackupKind::Backup => "backup",
            BackupKind::Segment => "segment",
        }
    }
}

/// What a backup says about itself at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupHeader {
    /// Backup or archived segment.
    pub kind: BackupKind,
    /// The journal that it was taken of.
    pub journal: JournalId,
    /// When, in ms since 1970.
    pub created_ms: u64,
    /// The epoch that served then; of a segment its own.
    pub epoch: Epoch,
    /// Whether it begins with the entries of a checkpoint at `first`.
    pub checkpoint: bool,
    /// The number of its first entry.
    pub first: SeqNo,
    /// The number after its last entry: its position.
    pub end: SeqNo,
    /// The program that wrote it.
    pub tool: String,
}

impl BackupHeader {
    /// The text.
    pub fn encode(&self) -> String {
        let tool: String = self.tool.chars().filter(|c| !c.is_control()).collect();
        format!(
            "{MAGIC}{BACKUP_VERSION}\nkind {}\njournal {}\ncreated {}\nepoch {}\ncheckpoint {}\n\
             first {}\nend {}\ntool {}\n",
            self.kind.as_str(),
            self.journal,
            clock(self.created_ms),
            self.epoch,
            if self.checkpoint { "yes" } else { "no" },
            self.first,
            self.end,
            tool.get(..200.min(tool.len())).unwrap_or("?"),
        )
    }

    /// Reads the text.
    ///
    /// # Errors
    /// `NewerFormat`; `Corrupt` when it is no backup's.
    pub fn decode(bytes: &[u8]) -> Result<BackupHeader> {
        let foreign = || corrupt("this is no backup of a journal (its text begins otherwise)");
        let text = std::str::from_utf8(bytes).map_err(|_| foreign())?;
        let mut lines = text.strip_suffix('\n').ok_or_else(foreign)?.split('\n');
        let version = lines.next().and_then(|l| l.strip_prefix(MAGIC));
        let version: u32 = version.and_then(number).ok_or_else(foreign)?;
        if version > BACKUP_VERSION {
            return Err(Error::new(
                ErrorKind::NewerFormat,
                format!(
                    "a backup in version {version}; this program reads versions up to \
                     {BACKUP_VERSION}: use a newer one"
                ),
            ));
        }
        let header = Self::fields(&mut lines).filter(|h| h.encode().as_bytes() == bytes);
        header.ok_or_else(|| corrupt("the header of the backup is malformed"))
    }

    fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<BackupHeader> {
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let header = BackupHeader {
            kind: match field("kind")? {
                "backup" => BackupKind::Backup,
                "segment" => BackupKind::Segment,
                _ => return None,
            },
            journal: JournalId::parse(field("journal")?)?,
            created_ms: parse_clock(field("created")?)?,
            epoch: Epoch(number(field("epoch")?)?),
            checkpoint: match field("checkpoint")? {
                "yes" => true,
                "no" => false,
                _ => return None,
            },
            first: SeqNo(number(field("first")?)?),
            end: SeqNo(number(field("end")?)?),
            tool: field("tool")?.to_owned(),
        };
        (header.first <= header.end).then_some(header)
    }
}

/// What a backup says at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupTrailer {
    /// How many entries the state at its beginning has.
    pub state_entries: u64,
    /// How many entries follow.
    pub entries: u64,
    /// SHA-256 of all that was unpacked before the trailer.
    pub sha256: [u8; 32],
}

impl BackupTrailer {
    /// The text.
    pub fn encode(&self) -> String {
        format!(
            "{END}\nstate-entries {}\nentries {}\nsha256 {}\n",
            self.state_entries,
            self.entries,
            hex(&self.sha256)
        )
    }

    /// Reads the text; `None` when it is no trailer.
    pub fn decode(bytes: &[u8]) -> Option<BackupTrailer> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.strip_suffix('\n')?.split('\n');
        lines.next().filter(|l| *l == END)?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let trailer = BackupTrailer {
            state_entries: number(field("state-entries")?)?,
            entries: number(field("entries")?)?,
            sha256: unhex(field("sha256")?)?,
        };
        (trailer.encode().as_bytes() == bytes).then_some(trailer)
    }
}

/// A number in its shortest form.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// 9999-12-31: what can be written as a date.
const MAX_CLOCK: u64 = 253_402_300_799_999;

/// Milliseconds since 1970 as `2026-01-31T12:00:00.000Z`.
pub(crate) fn clock(ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms.min(MAX_CLOCK));
    humantime::format_rfc3339_millis(time).to_string()
}

fn parse_clock(text: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, b| {
        // Writing to a string does not fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
