//! What the configuration says of backups and of the archive, and what a caller says.

use flushproof_api::{Error, ErrorKind, Options, Result, SeqNo};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// `backup.…`: where backups go, how many are kept, and when they are taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupConfig {
    /// Where they go: an absolute path on the journal's store, a name beside the
    /// journal's folder, or the full URI of any backend. Default: `journal_backups`
    /// beside the journal's folder.
    pub directory: Option<String>,
    /// The options of that store's backend. Default: the journal's, if the scheme is
    /// the same, else none.
    pub options: Option<Options>,
    /// How their names begin: `A-Z a-z 0-9 _ -`. Default: `journal-backup`.
    pub prefix: String,
    /// When a primary takes one every day. Default: never.
    pub schedule: Option<DailyAt>,
    /// How many backups of this journal are kept; older ones are removed after a new
    /// one was verified. Default: all.
    pub keep: Option<usize>,
    /// Whether each is read back and verified. Default: yes.
    pub verify: bool,
    /// How many threads pack it. Default: all cores; one where a primary takes it
    /// while it serves.
    pub threads: Option<usize>,
    /// How many bytes of the journal are packed in a second at most. Default: no
    /// limit; where a primary takes it while it serves, what leaves its appends alone.
    pub rate: Option<u64>,
}

impl Default for BackupConfig {
    fn default() -> BackupConfig {
        BackupConfig {
            directory: None,
            options: None,
            prefix: "journal-backup".into(),
            schedule: None,
            keep: None,
            verify: true,
            threads: None,
            rate: None,
        }
    }
}

impl BackupConfig {
    /// Checks the values by themselves.
    ///
    /// # Errors
    /// `InvalidInput` that names the field and its range.
    pub(crate) fn validate(&self) -> Result<()> {
        let bad = |text: &str| Err(Error::new(ErrorKind::InvalidInput, text));
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if self.prefix.is_empty() || self.prefix.len() > 80 || !self.prefix.bytes().all(fine) {
            return bad("backup.prefix takes 1 to 80 characters: A-Z a-z 0-9 _ -");
        }
        if self.keep == Some(0) {
            return bad("backup.keep must be at least 1");
        }
        if self.threads.is_some_and(|n| n == 0 || n > 16) {
            return bad("backup.threads must be from 1 to 16");
        }
        if self.rate == Some(0) {
            return bad("backup.rate must be more than 0");
        }
        Ok(())
    }
}

/// `archive.…`: where segments go before they are trimmed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ArchiveConfig {
    /// As `backup.directory`. Default: trimmed segments are not kept.
    pub directory: Option<String>,
    /// The options of that store's backend, as for backups.
    pub options: Option<Options>,
}

/// A time of the day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyAt {
    /// Minutes since midnight.
    minutes: u16,
}

const DAY: u64 = 24 * 60 * 60 * 1000;

impl DailyAt {
    /// How long it is from `now_ms` (since 1970) to the next such time; never 0.
    pub(crate) fn from(self, now_ms: u64) -> Duration {
        let wanted = u64::from(self.minutes) * 60_000;
        let now = now_ms % DAY;
        Duration::from_millis(match wanted > now {
            true => wanted - now,
            false => wanted + DAY - now,
        })
    }
}

impl FromStr for DailyAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<DailyAt> {
        let number = |t: &str, below: u16| {
            let digits = t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
            digits
                .then(|| t.parse().ok())
                .flatten()
                .filter(|n: &u16| *n < below)
        };
        let parts = text.split_once(':');
        let time = parts.and_then(|(h, m)| Some(number(h, 24)? * 60 + number(m, 60)?));
        time.map(|minutes| DailyAt { minutes }).ok_or_else(|| {
            let text = format!("{text:?} is no time of the day; write 02:30 (UTC)");
            Error::new(ErrorKind::InvalidInput, text)
        })
    }
}

impl fmt::Display for DailyAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

/// A point in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before the entry of this number: the state of all entries below it.
    Seq(SeqNo),
    /// Before the first entry that was flushed later, in ms since 1970, by the
    /// clock of the machine that wrote it.
    Time(u64),
}

impl FromStr for At {
    type Err = Error;

    /// A sequence number, or a time such as `2026-01-31T12:00:00Z`.
    fn from_str(text: &str) -> Result<At> {
        if let Ok(seq) = text.parse() {
            return Ok(At::Seq(SeqNo(seq)));
        }
        let time = humantime::parse_rfc3339_weak(text).ok();
        let since = time.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        let ms = since.and_then(|s| u64::try_from(s.as_millis()).ok());
        ms.map(At::Time).ok_or_else(|| {
            let text = format!(
                "{text:?} is neither a sequence number nor a time such as 2026-01-31T12:00:00Z (UTC)"
            );
            Error::new(ErrorKind::InvalidInput, text)
        })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Seq(seq) => write!(f, "{seq}"),
            At::Time(ms) => f.write_str(&crate::format::backup::clock(*ms)),
        }
    }
}

/// How one backup is taken; the rest is in [`BackupConfig`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Another place than `backup.directory`, written in the same way.
    pub to: Option<String>,
    /// Up to this point instead of the durable end.
    pub at: Option<At>,
}

/// What long work is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// A backup is written.
    Writing,
    /// A backup is read back, or checked before it is used.
    Checking,
    /// Entries are written into a journal.
    Restoring,
}

/// How far long work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all, as far as they are known.
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_day_comes_today_or_tomorrow() {
        let at: DailyAt = "02:30".parse().unwrap();
        let wanted = (2 * 60 + 30) * 60_000;
        assert_eq!(at.from(0), Duration::from_millis(wanted));
        assert_eq!(at.from(DAY * 9 + wanted), Duration::from_millis(DAY));
        assert_eq!(at.from(wanted - 1), Duration::from_millis(1));
        assert_eq!(at.to_string(), "02:30");
        for wrong in ["2:30", "24:00", "12:60", "12", "12:3x", "", "+1:00"] {
            assert!(wrong.parse::<DailyAt>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_point_is_a_number_or_a_time() {
        assert_eq!("17".parse::<At>().unwrap(), At::Seq(SeqNo(17)));
        let time: At = "1970-01-01T00:00:01Z".parse().unwrap();
        assert_eq!(time, At::Time(1000));
        assert!("soon".parse::<At>().is_err() && "-1".parse::<At>().is_err());
    }
}
