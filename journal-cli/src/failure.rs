//! [`Failure`]: why a command ends with another exit code than 0, and how that
//! is said on stderr.

use flushproof::{Error, ErrorKind, Outcome};
use serde_json::json;
use std::io::Write;

/// The result of a subcommand.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The exit codes, as they stand in `--help` and in the manual.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done; verify: clean
  1    it failed; demo: a check failed; doctor: the place promises too little
  2    wrong usage or configuration
  3    verify: the end is torn (the next primary cuts it)
  4    verify: a primary is writing; all that is durable is whole
  5    corrupt: bytes that were durable are damaged (but for verify: or missing)
  6    fenced: another primary has taken over
  7    busy: in use by another process
  8    verify: gap: entries, a segment or a start are missing
  9    verify: duplicate: the same entry numbers stand twice
  10   verify: foreign: frames or an object of another journal
  11   verify: stale: old frames, or frames of another place
  12   verify: wrong name: something whole under a name that is not its own
  13   verify: backup: a backup or an archived segment is bad
  130  ended by SIGINT (143: by SIGTERM), after a clean shutdown
  141  stdout was closed before all was written";

/// Exit code of a failure without a code of its own.
pub const FAILED: u8 = 1;
/// Exit code for wrong usage and configuration.
pub const USAGE: u8 = 2;
/// Exit code of `verify` for a torn end.
pub const TORN: u8 = 3;
/// Exit code of `verify` while a primary writes.
pub const IN_PROGRESS: u8 = 4;
/// Exit code for corruption, whichever command finds it; of `verify` only for damage.
pub const CORRUPT: u8 = 5;
const FENCED: u8 = 6;
const BUSY: u8 = 7;
/// Exit code of `verify` where entries, a segment or a start are missing.
pub const GAP: u8 = 8;
/// Exit code of `verify` where the same entry numbers stand twice.
pub const DUPLICATE: u8 = 9;
/// Exit code of `verify` for what is another journal's.
pub const FOREIGN: u8 = 10;
/// Exit code of `verify` for old frames, and frames of another place.
pub const STALE: u8 = 11;
/// Exit code of `verify` for what is whole, but under a wrong name.
pub const WRONG_NAME: u8 = 12;
/// Exit code of `verify` for a bad backup or archived segment.
pub const BACKUP: u8 = 13;
const CLOSED_STDOUT: u8 = 141;

/// Why a command ends early or not well.
#[derive(Debug)]
pub enum Failure {
    /// The journal, the store or a file said no. The notes go with it.
    Error(Error, Vec<String>),
    /// Wrong usage or configuration.
    Usage(String),
    /// All was said already; only the exit code is left.
    Said(u8),
    /// Ended by this signal.
    Signal(i32),
    /// Nobody reads stdout any more.
    ClosedStdout,
}

impl Failure {
    /// The same failure with a line more for the operator.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Failure {
        if let Failure::Error(_, notes) = &mut self {
            notes.push(text.into());
        }
        self
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Error(e, _) => match e.kind() {
                ErrorKind::Corrupt => CORRUPT,
                ErrorKind::Fenced => FENCED,
                ErrorKind::Busy => BUSY,
                _ => FAILED,
            },
            Failure::Usage(_) => USAGE,
            Failure::Said(code) => *code,
            Failure::Signal(n) => 128 + *n as u8,
            Failure::ClosedStdout => CLOSED_STDOUT,
        }
    }

    /// Says it on stderr, if there is something to say.
    pub fn report(&self, json: bool) {
        let lines = match self {
            Failure::Error(e, notes) if json => vec![error_json(e, notes).to_string()],
            Failure::Error(e, notes) => {
                let notes = notes.iter().map(|n| format!("note: {n}"));
                std::iter::once(format!("error: {e}"))
                    .chain(notes)
                    .collect()
            }
            Failure::Usage(text) if json => vec![usage_json(text).to_string()],
            Failure::Usage(text) => vec![format!("error: {text}")],
            Failure::Said(_) | Failure::Signal(_) | Failure::ClosedStdout => return,
        };
        let mut stderr = std::io::stderr().lock();
        for line in lines {
            // Where stderr is closed as well, the exit code must do.
            let _ = writeln!(stderr, "{line}");
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error, Vec::new())
    }
}

fn error_json(error: &Error, notes: &[String]) -> serde_json::Value {
    let mut object = json!({
        "kind": error.kind().as_str(),
        "outcome": match error.outcome() {
            Outcome::NotWritten => "not-written",
            Outcome::Unknown => "unknown",
        },
        "advice": error.advice().as_str(),
        "text": error.to_string(),
    });
    if !notes.is_empty() {
        object["notes"] = json!(notes);
    }
    json!({ "error": object })
}

fn usage_json(text: &str) -> serde_json::Value {
    json!({ "error": {
        "kind": "usage", "outcome": "not-written", "advice": "operator", "text": text,
    }})
}
