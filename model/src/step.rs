//! Steps: who does what. Their names are those of the engine's functions.

use crate::bounds::Model;
use crate::state::{LogId, Phase, Proc, State};
use crate::{fill, serve, standby, storage, takeover, trim};
use std::fmt;

/// One step of one process, of the standby or of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A process claims this epoch.
    ClaimEpoch(u8),
    /// The candidate of an epoch lists starts; the second is the highest.
    ListStarts(u8, u8),
    /// The candidate lists logs.
    ListLogs(u8),
    /// The candidate fences one log.
    FenceLogs(u8, LogId),
    /// The candidate finds a log gone, and lists again.
    ListAgain(u8),
    /// The candidate reads what looks corrupt, lists epochs, finds a higher one and stands down.
    StandDown(u8),
    /// The candidate of an epoch has read everything: D and end.
    Recover(u8, u8, u8),
    /// The candidate creates its first log.
    CreateLog(u8),
    /// The candidate writes header and undecided entries, and waits for Ok.
    CarryOver(u8),
    /// The commit of the candidate's start has begun; others may see it.
    StartPending(u8),
    /// The candidate has published its start.
    PublishStart(u8),
    /// The candidate's epoch is the highest: it serves.
    ConfirmEpoch(u8),
    /// The primary of an epoch appends the entry of this number and flushes it.
    Append(u8, u8),
    /// The primary flushes a mark.
    Mark(u8),
    /// The writer of this log acknowledges this frame.
    Acknowledge(LogId, u8),
    /// The primary creates its next log ahead.
    PrepareCreate(LogId),
    /// The answer to that was lost: the primary deletes the log, to create it again.
    PrepareAgain(LogId),
    /// The primary lists epochs after creating the log: it is the highest.
    PrepareConfirm(LogId),
    /// The primary goes on in this log.
    Roll(LogId),
    /// The primary takes over from itself: claims the second epoch.
    Reopen(u8, u8),
    /// The standby has read along this start and applied all below the second number.
    Follow(u8, u8),
    /// The primary of an epoch, or the standby (0), writes a checkpoint of all below the second.
    Checkpoint(u8, u8),
    /// The primary of an epoch deletes a log.
    Trim(u8, LogId),
    /// The primary of an epoch deletes start and claim of an older one.
    DropEpoch(u8, u8),
    /// A step of the process that claimed this epoch, of a filling or against one.
    Filling(u8, Filling),
    /// The primary of an epoch deletes the checkpoint of one that was not filled.
    DropLeftover(u8, u8),
    /// The process of an epoch crashes.
    ProcessCrash(u8),
    /// This frame of this log becomes durable.
    FlushLands(LogId, u8),
    /// The storage crashes; of the unflushed frames it keeps those with a bit.
    StorageCrash(u32),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::ClaimEpoch(n) => write!(f, "{n}: claim_epoch"),
            Step::ListStarts(n, 0) => write!(f, "{n}: list_starts: none"),
            Step::ListStarts(n, m) => write!(f, "{n}: list_starts: the highest is {m}"),
            Step::ListLogs(n) => write!(f, "{n}: list_logs"),
            Step::FenceLogs(n, log) => write!(f, "{n}: fence_logs: {log}"),
            Step::ListAgain(n) => write!(f, "{n}: a log is gone: lists again"),
            Step::StandDown(n) => write!(f, "{n}: finds a higher epoch, stands down"),
            Step::Recover(epoch, d, end) => write!(f, "{epoch}: recover: D {d}, end {end}"),
            Step::CreateLog(n) => write!(f, "{n}: create_log: log/{n}-0"),
            Step::CarryOver(n) => write!(f, "{n}: carry_over"),
            Step::StartPending(n) => write!(f, "{n}: publish_start: begins"),
            Step::PublishStart(n) => write!(f, "{n}: publish_start"),
            Step::ConfirmEpoch(n) => write!(f, "{n}: confirm_epoch: serves"),
            Step::Append(epoch, seq) => write!(f, "{epoch}: append, flush: entry {seq}"),
            Step::Mark(n) => write!(f, "{n}: mark"),
            Step::Acknowledge(log, frame) => {
                write!(f, "{}: acknowledge: frame {frame} of {log}", log.epoch)
            }
            Step::PrepareCreate(log) => write!(f, "{}: prepare: creates {log}", log.epoch),
            Step::PrepareAgain(log) => {
                write!(
                    f,
                    "{}: prepare: no answer, deletes {log} to create it again",
                    log.epoch
                )
            }
            Step::PrepareConfirm(log) => write!(f, "{}: prepare: lists epochs", log.epoch),
            Step::Roll(log) => write!(f, "{}: roll: to {log}", log.epoch),
            Step::Reopen(own, n) => write!(f, "{own}: reopen: claims {n}"),
            Step::Follow(start, cursor) => {
                write!(f, "standby: follow: start {start}, applied below {cursor}")
            }
            Step::Checkpoint(0, next) => write!(f, "standby: checkpoint: below {next}"),
            Step::Checkpoint(by, next) => write!(f, "{by}: checkpoint: below {next}"),
            Step::Trim(n, log) => write!(f, "{n}: trim: deletes {log}"),
            Step::DropEpoch(n, old) => write!(f, "{n}: trim: deletes start/{old} and epoch/{old}"),
            Step::Filling(n, step) => write!(f, "{n}: {step}"),
            Step::DropLeftover(n, old) => {
                write!(f, "{n}: trim: deletes the checkpoint of epoch {old}")
            }
            Step::ProcessCrash(n) => write!(f, "{n}: crashes"),
            Step::FlushLands(log, frame) => {
                write!(f, "storage: frame {frame} of {log} is durable")
            }
            Step::StorageCrash(0) => write!(f, "storage: crash, all unflushed frames are lost"),
            Step::StorageCrash(kept) => {
                write!(
                    f,
                    "storage: crash, of the unflushed frames these stay: {kept:b}"
                )
            }
        }
    }
}

/// What a filler does, and what others do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// It claims the epoch, to fill it with entries from the first number up to the second.
    Claim(u8, u8),
    /// Any claimer decides that this lower epoch, which was to be filled, gets no start.
    Void(u8),
    /// It finds the journal empty, and writes checkpoint and log.
    Write,
    /// It finds that the journal is not empty.
    NotEmpty,
    /// Its epoch is the highest.
    Confirm,
    /// It gives up, decides against itself, and removes what it wrote.
    Discard,
    /// It is told that the journal is filled.
    Restored,
    /// It is told for certain that nothing was written.
    Refused,
}

impl fmt::Display for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Filling::Claim(first, end) => {
                write!(f, "claim_epoch, to fill it from {first} up to {end}")
            }
            Filling::Void(lower) => write!(f, "void: start/{lower}"),
            Filling::Write => f.write_str("expect_empty; writes checkpoint and log"),
            Filling::NotEmpty => f.write_str("expect_empty: it is not, gives up"),
            Filling::Confirm => f.write_str("confirm_epoch"),
            Filling::Discard => f.write_str("discard"),
            Filling::Restored => f.write_str("is told: restored"),
            Filling::Refused => f.write_str("is told: taken over, not written"),
        }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log/{}-{}", self.epoch, self.index)
    }
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A primary serves, but lacks the entry of this number that the world was told of.
    Lost(u8),
    /// The world was told two different things about this entry.
    Contradicted(u8),
    /// A fenced primary acknowledges this entry, which its successor does not have.
    FencedAck(u8),
    /// A filler was told that this epoch was not written, and it is in the journal.
    Refused(u8),
    /// Of what this epoch was filled with only a part is in the journal.
    Partly(u8),
    /// Nothing has rotted, but a reader says "corrupt".
    FalseCorrupt(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Lost(seq) => write!(f, "entry {seq} is lost"),
            Broken::Contradicted(seq) => write!(f, "entry {seq} is contradicted"),
            Broken::FencedAck(seq) => {
                write!(
                    f,
                    "entry {seq} is acknowledged, and the successor does not have it"
                )
            }
            Broken::Refused(epoch) => {
                write!(
                    f,
                    "epoch {epoch} is told to be not written, and is in the journal"
                )
            }
            Broken::Partly(epoch) => {
                write!(
                    f,
                    "only a part of what epoch {epoch} was filled with is served"
                )
            }
            Broken::FalseCorrupt(why) => write!(f, "falsely corrupt: {why}"),
        }
    }
}

/// Takes the steps that are possible in a state.
#[derive(Default)]
pub struct Steps {
    /// Each step with the state it leads to.
    pub next: Vec<(Step, State)>,
    /// The first step that breaks a property.
    pub broken: Option<(Step, Broken)>,
}

impl Steps {
    /// A step that leads to a state.
    pub fn go(&mut self, step: Step, state: State) {
        self.next.push((step, state));
    }

    /// A step that breaks a property.
    pub fn fail(&mut self, step: Step, broken: Broken) {
        self.broken.get_or_insert((step, broken));
    }
}

/// All steps that are possible in `s`.
pub fn steps(m: &Model, s: &State, out: &mut Steps) {
    // Between `recover` and `publish_start` a candidate touches only its own log, which nobody
    // reads before the start is published. So these steps commute with all others, and looking
    // at one order of them is enough.
    let hidden = |p: &&u8| {
        matches!(
            s.procs[**p as usize].phase,
            Phase::Recovered | Phase::FirstLog
        )
    };
    let epochs: [u8; 4] = [1, 2, 3, 4];
    if let Some(&epoch) = epochs.iter().find(hidden) {
        takeover::candidate(m, s, epoch, out);
        return;
    }
    takeover::claim_epoch(m, s, out);
    fill::claim_fill(m, s, out);
    for epoch in 1..=s.claimed {
        process_crash(m, s, epoch, out);
        match s.procs[epoch as usize].phase {
            Phase::Idle => {}
            _ if s.fill(epoch).claimed => fill::filler(m, s, epoch, out),
            Phase::Serving => {
                serve::primary(m, s, epoch, out);
                standby::checkpoint_of_primary(m, s, epoch, out);
                trim::trim(m, s, epoch, out);
            }
            _ => takeover::candidate(m, s, epoch, out),
        }
    }
    if m.bounds.standby {
        standby::follow(m, s, out);
        standby::checkpoint_of_standby(m, s, out);
    }
    storage::flushes_land(m, s, out);
    storage::crash(m, s, out);
}

/// A process crashes. Whoever comes after it is another process, with another epoch.
fn process_crash(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    if m.bounds.process_crashes && s.procs[epoch as usize].phase != Phase::Idle {
        let mut next = *s;
        next.procs[epoch as usize] = Proc::default();
        out.go(Step::ProcessCrash(epoch), next);
    }
}
