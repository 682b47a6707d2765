//! What a configuration bounds, and what a mutant leaves out.

use std::fmt;

/// How far the model goes in one configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Epochs that are claimed at most; each is the life of one process.
    pub epochs: u8,
    /// Entries: sequence numbers run from 0 to one less.
    pub entries: u8,
    /// Flushes in flight in one process at most.
    pub in_flight: u8,
    /// Log segments of one epoch, so one less rolls.
    pub logs: u8,
    /// Whether a primary flushes marks.
    pub marks: bool,
    /// Whether a standby follows.
    pub standby: bool,
    /// Checkpoints that are written at most. Without any there is nothing to trim on the chain.
    pub checkpoints: u8,
    /// Whether a primary trims.
    pub trim: bool,
    /// Whether a primary with unresolved flushes may take over from itself.
    pub reopen: bool,
    /// Whether the answer to the creation of a prepared log may be lost, so that the primary
    /// deletes it and creates it again.
    pub lost_answers: bool,
    /// Whether a process that crashes does so in a step of its own, which forgets its memory. A
    /// process that never steps again is the same to all others, so this only adds states.
    pub process_crashes: bool,
    /// Whether a start may be seen before its commit has returned, by one listing and not by
    /// the next.
    pub pending_starts: bool,
    /// Whether a storage crash may bring deleted names back: logs with their bytes or without, and
    /// starts.
    pub names_return: bool,
    /// Storage crashes at most.
    pub store_crashes: u8,
    /// Whether flushes become durable in any order, instead of in theirs. Reads do not tell the
    /// difference (they see any combination of unflushed frames); acks might.
    pub any_order: bool,
    /// Whether processes fill the journal while it is empty: a restore, a copy, a repair.
    pub fill: bool,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} epochs, ", self.epochs)?;
        let entries = if self.entries == 1 {
            "entry"
        } else {
            "entries"
        };
        write!(
            f,
            "{} {entries}, {} in flight",
            self.entries, self.in_flight
        )?;
        let counts = [
            (self.logs, "log"),
            (self.checkpoints, "checkpoint"),
            (self.store_crashes, "storage crash"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            let plural = match (count, what) {
                (1, _) => "",
                (_, "storage crash") => "es",
                _ => "s",
            };
            write!(f, ", {count} {what}{plural}")?;
        }
        let also = [
            (self.marks, "marks"),
            (self.standby, "standby"),
            (self.fill, "fill"),
            (self.trim, "trim"),
            (self.reopen, "reopen"),
            (self.lost_answers, "lost answers"),
            (self.pending_starts, "pending starts"),
            (self.names_return, "names return"),
            (self.process_crashes, "process crashes"),
            (self.any_order, "any order"),
        ];
        also.iter()
            .filter(|(on, _)| *on)
            .try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

/// Three epochs and two entries, and nothing but take-overs, appends and acks.
pub const BASE: Bounds = Bounds {
    epochs: 3,
    entries: 2,
    in_flight: 2,
    logs: 1,
    marks: false,
    standby: false,
    checkpoints: 0,
    trim: false,
    reopen: false,
    lost_answers: false,
    pending_starts: false,
    names_return: false,
    process_crashes: false,
    store_crashes: 0,
    any_order: false,
    fill: false,
};

/// A protection of the protocol, or a promise of the store. A mutant is the model without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Logs are listed after the starts, so that all of the head epoch are seen.
    LogsListedAfterStarts,
    /// A start is published only when all carried entries are durable.
    StartAfterFlush,
    /// `prepare` lists epochs after it has created the log.
    LateListOfPrepare,
    /// `fence_logs` fences prepared logs too, though they are empty.
    PreparedLogsFenced,
    /// The claim comes before the lists.
    ClaimBeforeLists,
    /// Logs are fenced at all.
    Fence,
    /// FC-9 (d), first half: a fence survives a storage crash.
    FenceDurable,
    /// FC-9 (d), second half: a fence outlives its log.
    FenceOutlivesLog,
    /// FC-9 (a): what resolved Ok, or ever will, is below L.
    FenceCoversOk,
    /// FC-9 (b): what was not durable at the fence never resolves Ok.
    FenceStopsFlushes,
    /// `durable` in the header of an epoch's first log is D, not the end.
    HeaderSaysD,
    /// Undecided entries are carried over into the new epoch's log.
    CarryOver,
    /// The chain is cut behind an entry, never behind a mark.
    CutBehindEntry,
    /// Followers apply only entries below a durable mark.
    FollowDurableOnly,
    /// `durable` in a frame counts only what resolved Ok.
    DurableCountsOk,
    /// Acks come strictly in order.
    AcksInOrder,
    /// Trim follows the chain, not the order of names.
    TrimAlongChain,
    /// What is off the chain is told by the whole chain, not by a walk that ends at a gap.
    WholeChainKnown,
    /// Trim waits for the header of the current log.
    TrimAfterHeader,
    /// Trim deletes only what the checkpoints replace.
    TrimBehindCheckpoint,
    /// Trim goes by the older of the two kept checkpoints, so that either may be loaded.
    TrimBehindOlder,
    /// A roll waits until every flush of the log before is Ok.
    DrainBeforeRoll,
    /// Nothing else is flushed into a log before its header is Ok.
    HeaderBeforeEntries,
    /// `reopen` carries entries from memory only over its own start.
    ReopenOverOwnStart,
    /// Step 6: the start is durable before step 7.
    StartAwaited,
    /// Step 7: serve only if the own epoch is the highest.
    ConfirmEpoch,
    /// Before a verdict "corrupt" a candidate lists epochs and a follower lists starts: a higher
    /// one explains all.
    ListBeforeVerdict,
    /// Checkpoints are listed (again) after the logs are read: what is gone by then was replaced
    /// before.
    CheckpointsListedLast,
    /// What is bad in a log whose successor begins at or below the checkpoint is no verdict: the
    /// log was trimmed, and its name has come back.
    NoVerdictBehindCheckpoint,
    /// A log of index 1 or higher, or a checkpoint, tells of a lost start only above the head: below it
    /// a start may have been deleted, and the log's name have come back.
    TracesAboveHead,
    /// A standby checkpoints only with an epoch of which it has seen more than what was carried over: a
    /// start that it saw may never have been durable.
    CheckpointOfServed,
    /// A candidate decides, for each lower epoch that was claimed to be filled, that it gets no start.
    VoidByPrimary,
    /// A filler does so too.
    VoidByFiller,
    /// A primary that takes over from itself does so too.
    VoidByReopen,
    /// A filler claims before it lists starts.
    FillClaimBeforeLists,
    /// A filler fences the epoch that served, although the journal is empty.
    FillFences,
    /// A filler's start is created exclusively: it or the void.
    FillPublishesExclusively,
    /// Trims keep voids: a filler may wake at any time, and its start would count.
    VoidsStay,
    /// The checkpoint of an epoch to be filled counts only with its start.
    FillCheckpointNeedsStart,
    /// What an epoch to be filled left does not tell of a lost start.
    FillLeavesNoTraces,
}

impl Protection {
    /// All of them.
    pub const ALL: [Protection; 40] = [
        Protection::LogsListedAfterStarts,
        Protection::StartAfterFlush,
        Protection::LateListOfPrepare,
        Protection::PreparedLogsFenced,
        Protection::ClaimBeforeLists,
        Protection::Fence,
        Protection::FenceDurable,
        Protection::FenceOutlivesLog,
        Protection::FenceCoversOk,
        Protection::FenceStopsFlushes,
        Protection::HeaderSaysD,
        Protection::CarryOver,
        Protection::CutBehindEntry,
        Protection::FollowDurableOnly,
        Protection::DurableCountsOk,
        Protection::AcksInOrder,
        Protection::TrimAlongChain,
        Protection::WholeChainKnown,
        Protection::TrimAfterHeader,
        Protection::TrimBehindCheckpoint,
        Protection::TrimBehindOlder,
        Protection::DrainBeforeRoll,
        Protection::HeaderBeforeEntries,
        Protection::ReopenOverOwnStart,
        Protection::StartAwaited,
        Protection::ConfirmEpoch,
        Protection::ListBeforeVerdict,
        Protection::CheckpointsListedLast,
        Protection::NoVerdictBehindCheckpoint,
        Protection::TracesAboveHead,
        Protection::CheckpointOfServed,
        Protection::VoidByPrimary,
        Protection::VoidByFiller,
        Protection::VoidByReopen,
        Protection::FillClaimBeforeLists,
        Protection::FillFences,
        Protection::FillPublishesExclusively,
        Protection::VoidsStay,
        Protection::FillCheckpointNeedsStart,
        Protection::FillLeavesNoTraces,
    ];
}

/// The protocol within bounds, with at most one protection left out.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The bounds.
    pub bounds: Bounds,
    /// What is left out.
    pub without: Option<Protection>,
}

impl Model {
    /// Whether a protection is in place.
    pub fn has(&self, protection: Protection) -> bool {
        self.without != Some(protection)
    }
}
