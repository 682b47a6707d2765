//! What the command line says.

use crate::config::{Flags, Sources};
use crate::failure::EXIT_CODES;
use clap::{Args, Parser, Subcommand};
use flushproof::At;
use std::path::PathBuf;

/// A durable journal (write-ahead log) on the storage your site already trusts
///
/// Each subcommand takes the journal's place, a path or a URI, or finds it in the
/// configuration: journal.folder in journal.toml, or JOURNAL_FOLDER.
#[derive(Debug, Parser)]
#[command(name = "journal", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What goes for all subcommands.
    #[command(flatten)]
    pub common: Common,
}

/// What goes for all subcommands.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// The configuration's file [default: $JOURNAL_CONFIG, else ./journal.toml, else
    /// /etc/flushproof/journal.toml]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Configuration"
    )]
    pub config: Option<PathBuf>,
    /// The keys of the configuration.
    #[command(flatten)]
    pub flags: Flags,
}

/// The journal's place.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// The journal's place: a path, or a URI such as file:///var/lib/m/journal
    #[arg(value_name = "URI")]
    pub uri: Option<String>,
}

impl Common {
    /// Where the configuration comes from.
    pub fn sources(&self, place: &Place) -> Sources {
        Sources {
            file: self.config.clone(),
            flags: self.flags.clone(),
            uri: place.uri.clone(),
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a place an empty journal
    Format(Format),
    /// Append entries from stdin, one a line
    Append(Append),
    /// Print entries: of a journal, or of one segment, checkpoint or backup
    Cat(Cat),
    /// Print durable entries as they come
    Follow(Follow),
    /// Say what the journal is made of
    Info(Place),
    /// Say whether the journal is clean, torn, being written, or corrupt, and list all faults
    Verify(Verify),
    /// Take a backup, while the journal is in use
    Backup(Backup),
    /// Make an empty journal what a backup holds, all or nothing
    Restore(Restore),
    /// Copy a journal to another place, on any store
    Copy(Copy),
    /// Save what is whole of a damaged journal into a new one; without --accept-loss only look
    Repair(Repair),
    /// Say what a place promises, whether a flush reaches the device, and how fast it is
    Doctor(Doctor),
    /// Show on real processes that what is acknowledged survives, in some seconds
    Demo(Place),
    /// Print completions for a shell
    Completions(Completions),
}

/// `journal format`.
#[derive(Args, Debug)]
pub struct Format {
    #[command(flatten)]
    pub place: Place,
    /// Erase the journal that is there; its primary is fenced first
    #[arg(long)]
    pub force: bool,
}

/// `journal append`.
#[derive(Args, Debug)]
pub struct Append {
    #[command(flatten)]
    pub place: Place,
    /// Entries are preceded by their length as a varint (LEB128) instead of lines
    #[arg(long)]
    pub delimited: bool,
    /// Print each entry's sequence number when the entry is durable
    #[arg(long)]
    pub acks: bool,
    /// Take over where another primary lives: it is fenced
    #[arg(long)]
    pub take_over: bool,
}

/// `journal backup`.
#[derive(Args, Debug)]
pub struct Backup {
    #[command(flatten)]
    pub place: Place,
    /// Where it goes: a path on the journal's store, a name beside its folder, or a full URI
    /// [default: backup.directory, else journal_backups beside the journal's folder]
    #[arg(long, value_name = "DIR_OR_URI")]
    pub to: Option<String>,
    /// Only the entries below this sequence number, or until this time
    /// (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "SEQ|TIME", value_parser = at)]
    pub at: Option<At>,
    /// Don't read the file back
    #[arg(long)]
    pub no_verify: bool,
}

/// `journal restore`.
#[derive(Args, Debug)]
pub struct Restore {
    /// The backup: a path or a URI
    #[arg(value_name = "BACKUP_URI")]
    pub backup: String,
    /// The journal to fill; it must be formatted and empty [default: the configured one]
    #[arg(long, value_name = "URI")]
    pub to: Option<String>,
    /// Format the place first, unless it is a journal already
    #[arg(long)]
    pub format: bool,
    /// With --format: erase the journal that is there; its primary is fenced first
    #[arg(long, requires = "format")]
    pub force: bool,
    /// Only the entries below this sequence number, or until this time
    /// (2026-01-31T12:00:00Z); beyond the backup's end from the archive
    #[arg(long, value_name = "SEQ|TIME", value_parser = at)]
    pub at: Option<At>,
    /// Check the file and the place, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Restore where a primary lives: it is fenced
    #[arg(long)]
    pub take_over: bool,
}

/// `journal copy`.
#[derive(Args, Debug)]
pub struct Copy {
    /// The journal to copy
    #[arg(value_name = "FROM")]
    pub source: String,
    /// The place to fill; it must be formatted and empty
    #[arg(value_name = "TO")]
    pub target: String,
    /// Only entries from this sequence number on, and the checkpoints behind it
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    /// Format the other place first, unless it is a journal already
    #[arg(long)]
    pub format: bool,
}

/// `journal repair`.
#[derive(Args, Debug)]
pub struct Repair {
    #[command(flatten)]
    pub place: Place,
    /// The new journal's place; the damaged one is never touched
    #[arg(long, value_name = "NEW_URI")]
    pub to: String,
    /// Write the new journal: the number of lost entries, as printed without this
    #[arg(long, value_name = "N")]
    pub accept_loss: Option<u64>,
}

fn at(text: &str) -> Result<At, String> {
    text.parse().map_err(|e: flushproof::Error| e.to_string())
}

/// How entries are printed.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
pub struct Shape {
    /// Each entry's bytes and a newline
    #[arg(long)]
    pub raw: bool,
    /// Each entry's bytes preceded by their length as a varint, as `append --delimited` reads
    #[arg(long)]
    pub delimited: bool,
}

/// `journal cat`.
#[derive(Args, Debug)]
pub struct Cat {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub shape: Shape,
    /// Begin with this sequence number
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    /// End before this sequence number
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
    /// Print at most so many entries
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// `journal follow`.
#[derive(Args, Debug)]
pub struct Follow {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub shape: Shape,
    /// Begin with this sequence number [default: the newest checkpoint, or the beginning]
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    /// End after so many entries
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// `journal verify`.
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    pub place: Place,
    /// Look at names and marks only: not at the entries of closed segments and checkpoints
    #[arg(long)]
    pub fast: bool,
    /// End with their exit code also where foreign, stale or wrongly named things do no harm
    #[arg(long)]
    pub strict: bool,
}

/// `journal doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub place: Place,
    /// How long each measurement takes
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub time: std::time::Duration,
}

/// `journal completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}
