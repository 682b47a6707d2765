//! The keys of `[journal]`, `[backup]` and `[archive]`.

use crate::units::parse_size;
use flushproof::{Config, OnUnknown, StoreUri, Survives};
use std::time::Duration;

/// A key: its name, what it takes, what it means, and how it is set.
pub struct Key {
    /// Its section in `journal.toml`.
    pub section: &'static str,
    /// Its name there; the flag has dashes, the variable capitals.
    pub name: &'static str,
    /// The kind of value, for messages.
    pub takes: &'static str,
    /// The placeholder in `--help`; empty for a switch.
    pub placeholder: &'static str,
    /// What it means, for `--help`.
    pub help: &'static str,
    /// Sets the field.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
}

const SIZE: &str = "a size such as 64MiB";
const NUMBER: &str = "a whole number";
const TIME: &str = "a time such as 500ms or 10s";

/// All keys.
pub const KEYS: [Key; 27] = [
    Key {
        section: "journal",
        name: "folder",
        takes: "a path or a URI",
        placeholder: "URI",
        help: "Where the journal lives",
        set: |c, v| put(&mut c.folder, StoreUri::parse(v).map_err(|e| e.to_string())),
    },
    Key {
        section: "journal",
        name: "require",
        takes: "nothing, writer-crash, writer-power, store-crash or store-power",
        placeholder: "FAULT",
        help: "What flushed entries must survive [default: store-power]",
        set: |c, v| {
            put(
                &mut c.require,
                Survives::parse(v).map_err(|e| e.to_string()),
            )
        },
    },
    Key {
        section: "journal",
        name: "accept_slow_flush",
        takes: "true or false",
        placeholder: "",
        help: "Accept a store whose flush is slow",
        set: |c, v| put(&mut c.accept_slow_flush, boolean(v)),
    },
    Key {
        section: "journal",
        name: "segment_size",
        takes: SIZE,
        placeholder: "SIZE",
        help: "The length at which a segment is full [default: 64MiB]",
        set: |c, v| put(&mut c.segment_size, size(v)),
    },
    Key {
        section: "journal",
        name: "max_entry",
        takes: SIZE,
        placeholder: "SIZE",
        help: "The longest entry [default: 1MiB]",
        set: |c, v| put(&mut c.max_entry, usize_size(v)),
    },
    Key {
        section: "journal",
        name: "queue_bytes",
        takes: SIZE,
        placeholder: "SIZE",
        help: "How many bytes may wait to be durable [default: 64MiB]",
        set: |c, v| put(&mut c.queue_bytes, usize_size(v)),
    },
    Key {
        section: "journal",
        name: "queue_entries",
        takes: NUMBER,
        placeholder: "N",
        help: "How many entries may wait to be durable [default: 131072]",
        set: |c, v| put(&mut c.queue_entries, number(v)),
    },
    Key {
        section: "journal",
        name: "flush_timeout",
        takes: TIME,
        placeholder: "TIME",
        help: "How long one flush may take [default: 30s]",
        set: |c, v| put(&mut c.flush_timeout, time(v)),
    },
    Key {
        section: "journal",
        name: "store_timeout",
        takes: TIME,
        placeholder: "TIME",
        help: "How long any other call to the store may take [default: 60s]",
        set: |c, v| put(&mut c.store_timeout, time(v)),
    },
    Key {
        section: "journal",
        name: "idle_mark",
        takes: TIME,
        placeholder: "TIME",
        help: "How long after the last batch the idle mark is flushed [default: 20ms]",
        set: |c, v| put(&mut c.idle_mark, time(v)),
    },
    Key {
        section: "journal",
        name: "seal_interval",
        takes: TIME,
        placeholder: "TIME",
        help: "Where a store shows only sealed logs: how long entries may be unseen [default: 3s]",
        set: |c, v| put(&mut c.seal_interval, time(v)),
    },
    Key {
        section: "journal",
        name: "heartbeat",
        takes: "a time such as 1s, or off",
        placeholder: "TIME",
        help: "Repeat the mark at this interval, for standbys [default: off]",
        set: |c, v| match v {
            "off" => put(&mut c.heartbeat, Ok(None)),
            _ => put(&mut c.heartbeat, time(v).map(Some)),
        },
    },
    Key {
        section: "journal",
        name: "on_unknown",
        takes: "stop or reopen",
        placeholder: "WHAT",
        help: "When a flush's outcome is unknown: stop or reopen [default: stop]",
        set: |c, v| put(&mut c.on_unknown, on_unknown(v)),
    },
    Key {
        section: "journal",
        name: "reopen_timeout",
        takes: TIME,
        placeholder: "TIME",
        help: "How long a reopening is tried [default: 60s]",
        set: |c, v| put(&mut c.reopen_timeout, time(v)),
    },
    Key {
        section: "journal",
        name: "keep_checkpoints",
        takes: NUMBER,
        placeholder: "N",
        help: "How many checkpoints are kept [default: 2]",
        set: |c, v| put(&mut c.keep_checkpoints, number(v)),
    },
    Key {
        section: "journal",
        name: "who",
        takes: "a text",
        placeholder: "TEXT",
        help: "The name of this process, for operators [default: program and pid]",
        set: |c, v| put(&mut c.who, Ok(v.to_owned())),
    },
    Key {
        section: "journal",
        name: "address",
        takes: "a text",
        placeholder: "TEXT",
        help: "Where clients reach this process, for operators",
        set: |c, v| put(&mut c.address, Ok(v.to_owned())),
    },
    Key {
        section: "journal",
        name: "poll_interval",
        takes: TIME,
        placeholder: "TIME",
        help: "How often a follower looks for more [default: 20ms]",
        set: |c, v| put(&mut c.poll_interval, time(v)),
    },
    Key {
        section: "journal",
        name: "import",
        takes: "the URI of a backup",
        placeholder: "URI",
        help: "A backup that a primary imports when it opens an empty journal, once",
        set: |c, v| {
            put(
                &mut c.import,
                StoreUri::parse(v).map(Some).map_err(|e| e.to_string()),
            )
        },
    },
    Key {
        section: "backup",
        name: "directory",
        takes: "a path on the journal's store, a name beside its folder, or a URI",
        placeholder: "DIR",
        help: "Where backups go [default: journal_backups beside the journal's folder]",
        set: |c, v| put(&mut c.backup.directory, Ok(Some(v.to_owned()))),
    },
    Key {
        section: "backup",
        name: "prefix",
        takes: "A-Z a-z 0-9 _ -",
        placeholder: "TEXT",
        help: "How the names of backups begin [default: journal-backup]",
        set: |c, v| put(&mut c.backup.prefix, Ok(v.to_owned())),
    },
    Key {
        section: "backup",
        name: "schedule",
        takes: "a time of the day such as 02:30 (UTC), or off",
        placeholder: "HH:MM",
        help: "When a primary takes a backup every day, UTC [default: off]",
        set: |c, v| match v {
            "off" => put(&mut c.backup.schedule, Ok(None)),
            _ => put(
                &mut c.backup.schedule,
                v.parse().map(Some).map_err(|_| wrong(v)),
            ),
        },
    },
    Key {
        section: "backup",
        name: "keep",
        takes: "a whole number, or all",
        placeholder: "N",
        help: "How many backups of the journal are kept [default: all]",
        set: |c, v| match v {
            "all" => put(&mut c.backup.keep, Ok(None)),
            _ => put(&mut c.backup.keep, number(v).map(Some)),
        },
    },
    Key {
        section: "backup",
        name: "verify",
        takes: "true or false",
        placeholder: "",
        help: "Read each backup back and verify it [default: true]",
        set: |c, v| put(&mut c.backup.verify, boolean(v)),
    },
    Key {
        section: "backup",
        name: "threads",
        takes: "a whole number, or all",
        placeholder: "N",
        help: "How many threads pack a backup [default: all cores; 1 in a primary]",
        set: |c, v| match v {
            "all" => put(&mut c.backup.threads, Ok(None)),
            _ => put(&mut c.backup.threads, number(v).map(Some)),
        },
    },
    Key {
        section: "backup",
        name: "rate",
        takes: "a size such as 64MiB, or off",
        placeholder: "SIZE",
        help: "How much of the journal is packed in a second at most [default: off]",
        set: |c, v| match v {
            "off" => put(&mut c.backup.rate, Ok(None)),
            _ => put(&mut c.backup.rate, size(v).map(Some)),
        },
    },
    Key {
        section: "archive",
        name: "directory",
        takes: "a path on the journal's store, a name beside its folder, or a URI",
        placeholder: "DIR",
        help: "Where segments are kept before they are trimmed [default: nowhere]",
        set: |c, v| put(&mut c.archive.directory, Ok(Some(v.to_owned()))),
    },
];

impl Key {
    /// As a flag without its dashes, and, in capitals, as a variable: keys of
    /// `[journal]` by their name, others with their section before it.
    pub fn full(&self) -> String {
        match self.section {
            "journal" => self.name.to_owned(),
            section => format!("{section}_{}", self.name),
        }
    }
}

/// Sections whose keys are options of a backend: of the journal's, of those of the
/// backups and the archive, and of the place that is copied or repaired to.
pub const BACKENDS: [&str; 4] = ["backend", "backup_backend", "archive_backend", "to_backend"];

fn put<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

fn wrong(value: &str) -> String {
    format!("{value:?} does not fit")
}

fn boolean(v: &str) -> Result<bool, String> {
    v.parse().map_err(|_| wrong(v))
}

fn number(v: &str) -> Result<usize, String> {
    v.parse().map_err(|_| wrong(v))
}

fn size(v: &str) -> Result<u64, String> {
    parse_size(v).ok_or_else(|| wrong(v))
}

fn usize_size(v: &str) -> Result<usize, String> {
    usize::try_from(size(v)?).map_err(|_| wrong(v))
}

fn time(v: &str) -> Result<Duration, String> {
    humantime::parse_duration(v).map_err(|_| wrong(v))
}

fn on_unknown(v: &str) -> Result<OnUnknown, String> {
    match v {
        "stop" => Ok(OnUnknown::Stop),
        "reopen" => Ok(OnUnknown::Reopen),
        _ => Err(wrong(v)),
    }
}
