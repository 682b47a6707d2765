//! The mutants: the protocol with one protection left out, each within bounds in which the search
//! must find what goes wrong.

use crate::bounds::{BASE, Bounds, Model, Protection};

/// A mutant.
pub struct Mutant {
    /// Its name: what is wrong with it.
    pub name: &'static str,
    /// What is left out.
    pub without: Protection,
    /// The bounds within which it is caught.
    pub bounds: Bounds,
}

impl Mutant {
    /// The model of it.
    pub fn model(&self) -> Model {
        Model {
            bounds: self.bounds,
            without: Some(self.without),
        }
    }
}

const ROLL: Bounds = Bounds { logs: 2, ..BASE };
const MARK: Bounds = Bounds {
    marks: true,
    ..BASE
};
const FOLLOW: Bounds = Bounds {
    standby: true,
    ..BASE
};
const TRIM: Bounds = Bounds {
    trim: true,
    checkpoints: 2,
    standby: true,
    ..BASE
};
const REOPEN: Bounds = Bounds {
    reopen: true,
    ..BASE
};
const CRASH: Bounds = Bounds {
    store_crashes: 1,
    ..BASE
};

const FILL: Bounds = Bounds { fill: true, ..BASE };
const FILL_TRIM: Bounds = Bounds {
    fill: true,
    standby: false,
    ..TRIM
};

const fn mutant(name: &'static str, without: Protection, bounds: Bounds) -> Mutant {
    Mutant {
        name,
        without,
        bounds,
    }
}

/// All mutants.
pub const MUTANTS: [Mutant; 40] = [
    mutant("list-after-start", Protection::LogsListedAfterStarts, ROLL),
    mutant("start-after-flush", Protection::StartAfterFlush, BASE),
    mutant("early-list-of-roller", Protection::LateListOfPrepare, ROLL),
    mutant("prepared-not-fenced", Protection::PreparedLogsFenced, ROLL),
    mutant("claim-after-lists", Protection::ClaimBeforeLists, BASE),
    mutant("no-fence", Protection::Fence, BASE),
    mutant("fence-not-durable", Protection::FenceDurable, CRASH),
    mutant(
        "fence-dies-with-log",
        Protection::FenceOutlivesLog,
        Bounds {
            logs: 2,
            trim: true,
            ..BASE
        },
    ),
    mutant("fc9a-l-too-low", Protection::FenceCoversOk, BASE),
    mutant("fc9b-late-ok", Protection::FenceStopsFlushes, BASE),
    mutant("header-says-end", Protection::HeaderSaysD, FOLLOW),
    mutant("no-carry", Protection::CarryOver, BASE),
    mutant("cut-behind-mark", Protection::CutBehindEntry, MARK),
    mutant("follow-undurable", Protection::FollowDurableOnly, FOLLOW),
    mutant(
        "durable-ahead",
        Protection::DurableCountsOk,
        Bounds {
            any_order: true,
            ..BASE
        },
    ),
    mutant(
        "acks-out-of-order",
        Protection::AcksInOrder,
        Bounds {
            any_order: true,
            ..BASE
        },
    ),
    mutant(
        "trim-by-name",
        Protection::TrimAlongChain,
        Bounds { entries: 3, ..TRIM },
    ),
    mutant(
        "trim-forgets-chain",
        Protection::WholeChainKnown,
        Bounds {
            logs: 2,
            checkpoints: 0,
            ..TRIM
        },
    ),
    mutant(
        "trim-before-header",
        Protection::TrimAfterHeader,
        Bounds { logs: 2, ..TRIM },
    ),
    mutant(
        "trim-without-checkpoint",
        Protection::TrimBehindCheckpoint,
        TRIM,
    ),
    mutant(
        "trim-by-newest",
        Protection::TrimBehindOlder,
        Bounds { logs: 2, ..TRIM },
    ),
    mutant("no-drain", Protection::DrainBeforeRoll, ROLL),
    mutant(
        "header-not-awaited",
        Protection::HeaderBeforeEntries,
        Bounds {
            any_order: true,
            ..ROLL
        },
    ),
    mutant("reopen-over-other", Protection::ReopenOverOwnStart, REOPEN),
    mutant("no-confirm", Protection::ConfirmEpoch, BASE),
    mutant("verdict-at-once", Protection::ListBeforeVerdict, TRIM),
    mutant(
        "checkpoints-listed-first",
        Protection::CheckpointsListedLast,
        Bounds { logs: 2, ..TRIM },
    ),
    mutant(
        "start-not-awaited",
        Protection::StartAwaited,
        Bounds {
            pending_starts: true,
            ..BASE
        },
    ),
    mutant(
        "verdict-behind-checkpoint",
        Protection::NoVerdictBehindCheckpoint,
        Bounds {
            names_return: true,
            store_crashes: 1,
            ..TRIM
        },
    ),
    mutant(
        "checkpoint-of-unserved",
        Protection::CheckpointOfServed,
        Bounds {
            pending_starts: true,
            checkpoints: 1,
            ..FOLLOW
        },
    ),
    mutant(
        "traces-anywhere",
        Protection::TracesAboveHead,
        Bounds {
            logs: 2,
            in_flight: 1,
            standby: false,
            names_return: true,
            store_crashes: 1,
            ..TRIM
        },
    ),
    mutant("no-void-by-primary", Protection::VoidByPrimary, FILL),
    mutant("no-void-by-filler", Protection::VoidByFiller, FILL),
    mutant(
        "no-void-by-reopen",
        Protection::VoidByReopen,
        Bounds {
            reopen: true,
            ..FILL
        },
    ),
    mutant("fill-lists-first", Protection::FillClaimBeforeLists, FILL),
    mutant("fill-no-fence", Protection::FillFences, FILL),
    mutant(
        "fill-not-exclusive",
        Protection::FillPublishesExclusively,
        FILL,
    ),
    mutant("trim-drops-voids", Protection::VoidsStay, FILL_TRIM),
    mutant(
        "fill-checkpoint-counts",
        Protection::FillCheckpointNeedsStart,
        FILL,
    ),
    mutant("fill-leaves-traces", Protection::FillLeavesNoTraces, FILL),
];
