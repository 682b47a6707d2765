//! [`Config`]: where a journal lives, what it requires, and its limits.

use crate::backup::{ArchiveConfig, BackupConfig};
use crate::format::MAX_FRAME;
use flushproof_api::{
    Class, Error, ErrorKind, Fencing, FlushContract, JournalStore, Mode, Options, Registry, Result,
    StoreUri, Survives,
};
use std::sync::Arc;
use std::time::Duration;

/// What happens when the outcome of a flush is unknown (a deadline, a lost
/// connection, an I/O error).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// The journal stops: every waiting and later append fails.
    #[default]
    Stop,
    /// The journal takes over from itself: a new epoch, the old log fenced, the
    /// unacknowledged entries carried over, then acknowledged. Appends wait.
    Reopen,
}

/// Everything that opening a journal needs. Set the fields that differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the journal lives.
    pub folder: StoreUri,
    /// The backend's options.
    pub options: Options,
    /// The known backends; `memory:` only unless more are registered.
    pub registry: Registry,
    /// What flushed entries must survive; default: a power loss of the store.
    pub require: Survives,
    /// Consent to a store whose flush is slow (an object store).
    pub accept_slow_flush: bool,
    /// Take over where another primary lives on this host.
    pub take_over: bool,
    /// The name of this process, for operators; default: program and pid.
    pub who: String,
    /// The address at which clients reach this process, for operators.
    pub address: String,
    /// The length at which a segment is full, in bytes. The first one of an
    /// epoch is 1 MiB and they grow, so that a small journal stays small.
    pub segment_size: u64,
    /// The longest entry, in bytes.
    pub max_entry: usize,
    /// How many bytes of entries may wait to be durable before `reserve` waits.
    pub queue_bytes: usize,
    /// How many entries may wait to be durable before `reserve` waits.
    pub queue_entries: usize,
    /// How long one flush may take before its outcome counts as unknown.
    pub flush_timeout: Duration,
    /// How long any other single call to the store may take.
    pub store_timeout: Duration,
    /// How long after the last batch the idle mark is flushed.
    pub idle_mark: Duration,
    /// Where a store shows a log only when it is sealed (HDFS without WebHDFS): how
    /// long an entry may wait until followers see it. The primary then seals the
    /// segment and goes on in the next. Elsewhere without meaning.
    pub seal_interval: Duration,
    /// Repeat the mark at this interval, so that standbys see a live primary.
    pub heartbeat: Option<Duration>,
    /// What happens when the outcome of a flush is unknown.
    pub on_unknown: OnUnknown,
    /// How long a take-over from oneself is tried while the store is away.
    pub reopen_timeout: Duration,
    /// How often a follower looks for more.
    pub poll_interval: Duration,
    /// How many checkpoints are kept; at least 1.
    pub keep_checkpoints: usize,
    /// Where backups go, and when a primary takes them.
    pub backup: BackupConfig,
    /// Where segments are kept before they are trimmed.
    pub archive: ArchiveConfig,
    /// The URI of a backup that a primary imports when it opens a journal that is
    /// formatted and empty; once.
    pub import: Option<StoreUri>,
}

impl Config {
    /// The default configuration of a journal at `folder`.
    pub fn new(folder: StoreUri) -> Config {
        Config {
            folder,
            options: Options::new(),
            registry: Registry::new(),
            require: Survives::STORE_POWER,
            accept_slow_flush: false,
            take_over: false,
            who: default_who(),
            address: String::new(),
            segment_size: 64 << 20,
            max_entry: 1 << 20,
            queue_bytes: 64 << 20,
            queue_entries: 1 << 17,
            flush_timeout: Duration::from_secs(30),
            store_timeout: Duration::from_secs(60),
            idle_mark: Duration::from_millis(20),
            seal_interval: Duration::from_secs(3),
            heartbeat: None,
            on_unknown: OnUnknown::Stop,
            reopen_timeout: Duration::from_secs(60),
            poll_interval: Duration::from_millis(20),
            keep_checkpoints: 2,
            backup: BackupConfig::default(),
            archive: ArchiveConfig::default(),
            import: None,
        }
    }

    /// The longest `max_entry` that fits in a frame on every store.
    pub const MAX_ENTRY: usize = MAX_FRAME - 64 * 1024 - 4096;

    /// Checks the limits against each other.
    ///
    /// # Errors
    /// `InvalidInput` that names the field and its range.
    pub fn validate(&self) -> Result<()> {
        let bad = |text: String| Err(Error::new(ErrorKind::InvalidInput, text));
        if self.max_entry == 0 || self.max_entry > Self::MAX_ENTRY {
            return bad(format!("max_entry must be from 1 to {}", Self::MAX_ENTRY));
        }
        if self.segment_size < 64 << 10 {
            return bad("segment_size must be at least 64 KiB".into());
        }
        if self.queue_bytes < self.max_entry || self.queue_entries == 0 {
            return bad("queue_bytes must be at least max_entry, queue_entries at least 1".into());
        }
        // The queue counts its room in 32 bits.
        if self.queue_bytes > u32::MAX as usize {
            return bad("queue_bytes must be less than 4 GiB".into());
        }
        if self.keep_checkpoints == 0 {
            return bad("keep_checkpoints must be at least 1".into());
        }
        if self.seal_interval < Duration::from_millis(10) {
            return bad("seal_interval must be at least 10 ms: each time a segment ends".into());
        }
        self.backup.validate()?;
        if self.flush_timeout.is_zero() || self.store_timeout.is_zero() {
            return bad("time-outs must be longer than 0".into());
        }
        Ok(())
    }

    /// Opens the store; for a primary or a standby also compares its contract
    /// with what this configuration requires.
    pub(crate) async fn open_store(&self, mode: Mode) -> Result<Arc<dyn JournalStore>> {
        self.validate()?;
        let open = self.registry.open(&self.folder, &self.options, mode);
        let store = match tokio::time::timeout(self.store_timeout, open).await {
            Ok(store) => store?,
            Err(_) => {
                return Err(Error::new(
                    ErrorKind::TimedOut,
                    format!(
                        "{} did not answer within {:?}; is the store up? (store_timeout)",
                        self.folder, self.store_timeout
                    ),
                ));
            }
        };
        if mode == Mode::ReadWrite {
            self.check_contract(store.contract())?;
        }
        Ok(store)
    }

    /// Compares a contract with what is required.
    ///
    /// # Errors
    /// `ContractTooWeak` that names the gap and the option that lowers the requirement.
    pub fn check_contract(&self, contract: &FlushContract) -> Result<()> {
        let weak = |text: String| Err(Error::new(ErrorKind::ContractTooWeak, text));
        if !contract.survives.covers(self.require) {
            let missing: Vec<_> = self
                .require
                .faults()
                .filter(|f| !contract.survives.contains(*f))
                .map(|f| f.to_string())
                .collect();
            return weak(format!(
                "{}: flushed entries survive {} there ({}), but the journal requires {}; missing: \
                 {}. Choose another place, or lower the requirement with journal.require \
                 (--require, JOURNAL_REQUIRE)",
                self.folder,
                contract.survives,
                contract.mechanism,
                self.require,
                if missing.is_empty() {
                    "lost copies".into()
                } else {
                    missing.join(", ")
                },
            ));
        }
        if contract.fencing == Fencing::None {
            return weak(format!(
                "{}: an old primary can't be stopped there, so two could write; choose another \
                 place",
                self.folder
            ));
        }
        if let (Class::Slow { reason }, false) = (&contract.class, self.accept_slow_flush) {
            return weak(format!(
                "{}: a flush is slow there: {reason}. If that is acceptable, set \
                 journal.accept_slow_flush = true (--accept-slow-flush, JOURNAL_ACCEPT_SLOW_FLUSH)",
                self.folder
            ));
        }
        Ok(())
    }
}

fn default_who() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&program)
        .file_name()
        .unwrap_or_default();
    format!("{} (pid {})", name.to_string_lossy(), std::process::id())
}
