//! The flush-durability contract: what a store promises, as a value.
//!
//! # Clauses
//!
//! | | a store must |
//! | --- | --- |
//! | FC-1 | when a flush resolves Ok, its bytes survive every fault in its `survives`, at their place |
//! | FC-2 | outside flushed bytes a log may read as anything once written there, zeros or torn pieces of `torn_unit`; a reader never gets such bytes in place of flushed ones |
//! | FC-3 | the durable length never goes back; `seal` is durable when it returns |
//! | FC-4 | after one failed flush every later operation of that writer fails (poisoned): the state is unknown |
//! | FC-5 | `commit` publishes an object whole and durably, or not at all; of two racing creators exactly one wins; a repeat that finds its own earlier success reports success |
//! | FC-6 | `list` shows every object and log whose creation returned before the call, from any process |
//! | FC-7 | names are as durable as bytes: created, sealed, committed, fenced; deleted too, if the contract says `durable_deletes`: else a deleted name may come back after a fault, whole or without its bytes |
//! | FC-8 | a reader in another process sees flushed bytes as `visibility` says |
//! | FC-9 | `fence_log` returns L: (a) every byte of every flush that resolved Ok, or ever will, is below L; (b) no flush resolves Ok later unless all its bytes were durable when the call returned; (c) what is readable below L is read from the medium, not from a cache; (d) the fence survives `survives` and outlives the log; (e) repeating it returns ≥ L. Bytes that are not flushed may still land or vanish afterwards |
//! | FC-10 | dropping any future at any point neither loses a flushed byte nor acknowledges an unflushed one |
//! | FC-11 | errors say what happened and what to do; `NotFound`, `Busy`, `Fenced`, `NoSpace` are kinds of their own |
//! | FC-12 | full disk, quota, short write, hung or unreachable server: an error in bounded time, never a hang, never an Ok |
//! | FC-13 | a read returns what was written, or an error; hostile bytes never cause a panic or an unbounded allocation |

use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::time::Duration;

/// The least `max_batch` that a store may state: 8 MiB, the longest frame.
/// A journal can so be copied between any two stores.
pub const MIN_MAX_BATCH: usize = 8 * 1024 * 1024;

/// A fault, named by the machine that it hits. On a local disk writer and store
/// are one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The writing process is killed.
    WriterCrash,
    /// The machine of the writing process loses power.
    WriterPower,
    /// The storing process is killed.
    StoreCrash,
    /// The machine that stores loses power.
    StorePower,
}

impl Fault {
    /// All faults, the mildest first.
    pub const ALL: &'static [Fault] = &[
        Fault::WriterCrash,
        Fault::WriterPower,
        Fault::StoreCrash,
        Fault::StorePower,
    ];

    /// The name in configuration, reports and `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::WriterCrash => "writer-crash",
            Fault::WriterPower => "writer-power",
            Fault::StoreCrash => "store-crash",
            Fault::StorePower => "store-power",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The set of faults that bytes survive, and how many copies may be lost.
///
/// ```
/// use flushproof_api::{Fault, Survives};
/// let tmpfs = Survives::NOTHING.with(Fault::WriterCrash);
/// assert!(!tmpfs.covers(Survives::STORE_POWER));
/// assert_eq!(Survives::parse("store-power")?, Survives::STORE_POWER);
/// # Ok::<(), flushproof_api::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Survives {
    faults: u8,
    lost_copies: u8,
}

impl Survives {
    /// No fault at all: memory of the process.
    pub const NOTHING: Survives = Survives {
        faults: 0,
        lost_copies: 0,
    };
    /// Every fault up to a power loss of the storing machine; no lost copy.
    pub const STORE_POWER: Survives = Survives {
        faults: 0b1111,
        lost_copies: 0,
    };

    /// The set with one fault more.
    #[must_use]
    pub fn with(self, fault: Fault) -> Survives {
        Survives {
            faults: self.faults | fault.bit(),
            ..self
        }
    }

    /// The same set with `n` copies (disks, replicas) that may be lost.
    #[must_use]
    pub fn with_lost_copies(self, n: u8) -> Survives {
        Survives {
            lost_copies: n,
            ..self
        }
    }

    /// Whether the fault is in the set.
    pub fn contains(self, fault: Fault) -> bool {
        self.faults & fault.bit() != 0
    }

    /// How many copies may be lost.
    pub fn lost_copies(self) -> u8 {
        self.lost_copies
    }

    /// The faults in the set, the mildest first.
    pub fn faults(self) -> impl Iterator<Item = Fault> {
        let all = Fault::ALL.iter().copied();
        all.filter(move |f| self.contains(*f))
    }

    /// Whether everything that `required` asks for is given.
    pub fn covers(self, required: Survives) -> bool {
        self.faults & required.faults == required.faults && self.lost_copies >= required.lost_copies
    }

    /// What both sets have: the promise of bytes that lie on both.
    #[must_use]
    pub fn and(self, other: Survives) -> Survives {
        Survives {
            faults: self.faults & other.faults,
            lost_copies: self.lost_copies.min(other.lost_copies),
        }
    }

    /// Reads a requirement: `nothing`, or the name of the worst fault to be
    /// survived, perhaps with `+N` lost copies. Milder faults are included.
    ///
    /// # Errors
    /// `InvalidInput` that lists the known names.
    pub fn parse(text: &str) -> Result<Survives> {
        let (name, copies) = match text.split_once('+') {
            Some((name, n)) => (name, n.parse::<u8>().ok()),
            None => (text, Some(0)),
        };
        let set = match name {
            "nothing" => Some(Survives::NOTHING),
            "writer-crash" => Some(Survives::NOTHING.with(Fault::WriterCrash)),
            "writer-power" => Some(
                Survives::NOTHING
                    .with(Fault::WriterCrash)
                    .with(Fault::WriterPower),
            ),
            "store-crash" => Some(
                Survives::NOTHING
                    .with(Fault::WriterCrash)
                    .with(Fault::StoreCrash),
            ),
            "store-power" => Some(Survives::STORE_POWER),
            _ => None,
        };
        match (set, copies) {
            (Some(set), Some(n)) => Ok(set.with_lost_copies(n)),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "{text:?} is not a requirement: say nothing, writer-crash, writer-power, \
                     store-crash or store-power, perhaps with +N for N lost copies"
                ),
            )),
        }
    }
}

impl fmt::Display for Survives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.faults == 0 {
            f.write_str("nothing")?;
        }
        for (i, fault) in self.faults().enumerate() {
            write!(f, "{}{fault}", if i == 0 { "" } else { ", " })?;
        }
        match self.lost_copies {
            0 => Ok(()),
            1 => f.write_str(", 1 lost copy"),
            n => write!(f, ", {n} lost copies"),
        }
    }
}

/// Whether a flush is fast enough for a program that waits for each.
///
/// Like the other answers in a contract, this enum is exhaustive on purpose: who
/// does not know an answer can't serve on it, so a new one is a major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// One write on a device or one round trip.
    Fast,
    /// Much more; opening asks for consent (`accept_slow_flush`).
    Slow {
        /// Why, in words for an operator.
        reason: String,
    },
}

/// How an old writer is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fencing {
    /// It can't be: refused for a primary.
    None,
    /// By a lock of this host: one primary, no standbys on other hosts.
    HostLock,
    /// By the store: FC-9 holds for every process anywhere.
    Store,
}

/// When a reader in another process sees flushed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// With the next read after the flush resolved.
    Now,
    /// At the latest after this time.
    Within(Duration),
    /// When the log is sealed or fenced, which [`Listed::sealed`](crate::Listed::sealed) then
    /// says. Before, its length reads as 0. Such a store answers flushes later
    /// ([`FlushCall::Detached`]), for a log is sealed at every roll.
    OnSeal,
}

/// On which thread a flush does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlushCall {
    /// `flush` returns at once; the work goes on elsewhere, on threads of the store's
    /// own: `flush` may be called on an appender's thread, whose runtime may end.
    Detached,
    /// `flush` writes on the calling thread and returns a ready [`Flush`](crate::Flush).
    Blocking,
}

/// What a store promises at this very place; found out at open.
///
/// There is no `Default` and no constructor: a backend answers every question.
/// A new question is a major version, on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushContract {
    /// The faults that flushed bytes survive.
    pub survives: Survives,
    /// By which means, in words: "O_DIRECT|O_DSYNC write on ext4".
    pub mechanism: String,
    /// Fast, or slow with the reason.
    pub class: Class,
    /// How an old writer is stopped.
    pub fencing: Fencing,
    /// When another process sees flushed bytes.
    pub visibility: Visibility,
    /// Whether a reader may see bytes whose flush has not resolved.
    pub exposes_unflushed: bool,
    /// On which thread a flush works.
    pub flush_call: FlushCall,
    /// How many flushes of one writer may be under way; at least 1.
    pub max_inflight: usize,
    /// Batch length and address are multiples of this; a power of two.
    pub block: usize,
    /// Whether a deleted name stays deleted through every fault in `survives`
    /// (FC-7). Engines must bear that it does not.
    pub durable_deletes: bool,
    /// The longest batch, in bytes; at least [`MIN_MAX_BATCH`].
    pub max_batch: usize,
    /// The longest log, in bytes. A store that takes only N flushes into one log
    /// says N times the shortest: `block`, or 64 bytes, which a journal's always have.
    pub max_log: u64,
    /// A crash tears unflushed bytes at multiples of this.
    pub torn_unit: usize,
    /// What an operator should know besides; each a sentence.
    pub caveats: Vec<String>,
}

impl FlushContract {
    /// Checks the contract against its own rules. The engine calls it at open.
    ///
    /// # Errors
    /// `InvalidInput` that names the field: the backend has a bug.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: &str| {
            Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the store's contract is not valid: {what}; report it to the backend"),
            ))
        };
        if !self.block.is_power_of_two() || self.block > 64 * 1024 {
            return bad("block must be a power of two of at most 64 KiB");
        }
        if self.max_inflight == 0 {
            return bad("max_inflight must be at least 1");
        }
        if self.flush_call == FlushCall::Blocking && self.max_inflight != 1 {
            return bad("a blocking store has one flush in flight");
        }
        if self.flush_call == FlushCall::Blocking && self.visibility == Visibility::OnSeal {
            return bad("a store that shows logs only when they are sealed must be detached");
        }
        if self.max_batch < MIN_MAX_BATCH {
            return bad("max_batch must be at least 8 MiB");
        }
        if self.max_log < self.max_batch as u64 {
            return bad("max_log must be at least max_batch");
        }
        Ok(())
    }
}
