//! The configurations that must be clean.

use crate::bounds::{BASE, Bounds, Model};

/// A named configuration of the whole protocol.
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// Its bounds.
    pub bounds: Bounds,
}

impl Config {
    /// The model of it.
    pub fn model(&self) -> Model {
        Model {
            bounds: self.bounds,
            without: None,
        }
    }
}

const fn config(name: &'static str, bounds: Bounds) -> Config {
    Config { name, bounds }
}

const ROLL: Bounds = Bounds { logs: 2, ..BASE };
const MARK: Bounds = Bounds {
    marks: true,
    ..BASE
};
const TRIM: Bounds = Bounds {
    trim: true,
    checkpoints: 2,
    ..BASE
};
const FILL: Bounds = Bounds { fill: true, ..BASE };
const FILL_TRIM: Bounds = Bounds { fill: true, ..TRIM };
const FOUR: Bounds = Bounds { epochs: 4, ..BASE };

/// Those that every test run explores.
pub const SMALL: &[Config] = &[
    config(
        "take-over",
        Bounds {
            any_order: true,
            ..MARK
        },
    ),
    config(
        "three-in-flight",
        Bounds {
            entries: 3,
            in_flight: 3,
            any_order: true,
            ..MARK
        },
    ),
    config("four-epochs", FOUR),
    config(
        "pending-starts",
        Bounds {
            pending_starts: true,
            standby: true,
            reopen: true,
            ..MARK
        },
    ),
    config(
        "follow",
        Bounds {
            standby: true,
            ..MARK
        },
    ),
    config("roll", ROLL),
    config(
        "several-rolls",
        Bounds {
            entries: 3,
            logs: 3,
            ..BASE
        },
    ),
    config(
        "roll-follow",
        Bounds {
            standby: true,
            ..ROLL
        },
    ),
    config(
        "reopen",
        Bounds {
            reopen: true,
            ..MARK
        },
    ),
    config(
        "reopen-roll",
        Bounds {
            reopen: true,
            ..ROLL
        },
    ),
    config(
        "reopen-twice",
        Bounds {
            reopen: true,
            ..FOUR
        },
    ),
    config("trim", Bounds { logs: 2, ..TRIM }),
    config(
        "trim-follow",
        Bounds {
            standby: true,
            ..TRIM
        },
    ),
    config(
        "trim-reopen",
        Bounds {
            logs: 2,
            reopen: true,
            ..TRIM
        },
    ),
    config(
        "lost-answers",
        Bounds {
            lost_answers: true,
            reopen: true,
            ..ROLL
        },
    ),
    config(
        "process-crash",
        Bounds {
            process_crashes: true,
            reopen: true,
            ..ROLL
        },
    ),
    config(
        "storage-crash",
        Bounds {
            store_crashes: 1,
            reopen: true,
            any_order: true,
            ..MARK
        },
    ),
    config(
        "two-storage-crashes",
        Bounds {
            store_crashes: 2,
            ..ROLL
        },
    ),
    config(
        "names-return",
        Bounds {
            store_crashes: 1,
            names_return: true,
            standby: true,
            reopen: true,
            ..TRIM
        },
    ),
    config("fill", FILL),
    config("fill-roll", Bounds { logs: 2, ..FILL }),
    config(
        "fill-follow",
        Bounds {
            standby: true,
            ..FILL
        },
    ),
    config(
        "fill-reopen",
        Bounds {
            reopen: true,
            store_crashes: 1,
            ..FILL
        },
    ),
    config(
        "fill-pending",
        Bounds {
            pending_starts: true,
            standby: true,
            reopen: true,
            ..FILL
        },
    ),
    config(
        "fill-trim",
        Bounds {
            reopen: true,
            ..FILL_TRIM
        },
    ),
    config(
        "fill-trim-follow",
        Bounds {
            standby: true,
            ..FILL_TRIM
        },
    ),
    config(
        "fill-four-epochs",
        Bounds {
            epochs: 4,
            entries: 1,
            ..FILL
        },
    ),
    config(
        "fill-names-return",
        Bounds {
            in_flight: 1,
            store_crashes: 1,
            names_return: true,
            ..FILL_TRIM
        },
    ),
];

/// Those for a long run.
pub const LARGE: &[Config] = &[
    config(
        "trim-roll-follow",
        Bounds {
            logs: 2,
            standby: true,
            ..TRIM
        },
    ),
    config(
        "trim-three-entries",
        Bounds {
            entries: 3,
            standby: true,
            reopen: true,
            ..TRIM
        },
    ),
    config(
        "four-epochs-marks",
        Bounds {
            marks: true,
            ..FOUR
        },
    ),
    config(
        "four-epochs-roll",
        Bounds {
            logs: 2,
            reopen: true,
            ..FOUR
        },
    ),
    config(
        "four-epochs-follow",
        Bounds {
            standby: true,
            reopen: true,
            ..FOUR
        },
    ),
    config(
        "four-epochs-trim",
        Bounds {
            trim: true,
            checkpoints: 2,
            reopen: true,
            ..FOUR
        },
    ),
    config(
        "four-epochs-pending",
        Bounds {
            pending_starts: true,
            reopen: true,
            ..FOUR
        },
    ),
    config(
        "four-in-flight",
        Bounds {
            entries: 4,
            in_flight: 4,
            ..MARK
        },
    ),
    config(
        "three-rolls",
        Bounds {
            entries: 4,
            logs: 4,
            ..BASE
        },
    ),
    config(
        "roll-marks",
        Bounds {
            marks: true,
            any_order: true,
            ..ROLL
        },
    ),
    config(
        "roll-marks-reopen",
        Bounds {
            marks: true,
            reopen: true,
            ..ROLL
        },
    ),
    config(
        "roll-marks-follow",
        Bounds {
            entries: 1,
            marks: true,
            standby: true,
            ..ROLL
        },
    ),
    config(
        "roll-in-flight",
        Bounds {
            entries: 3,
            in_flight: 3,
            any_order: true,
            ..ROLL
        },
    ),
    config(
        "follow-in-flight",
        Bounds {
            entries: 3,
            in_flight: 3,
            standby: true,
            ..MARK
        },
    ),
    config(
        "storage-crashes",
        Bounds {
            entries: 3,
            in_flight: 3,
            store_crashes: 2,
            reopen: true,
            ..ROLL
        },
    ),
    config(
        "names-return-roll",
        Bounds {
            logs: 2,
            store_crashes: 1,
            names_return: true,
            standby: true,
            entries: 1,
            ..TRIM
        },
    ),
    config(
        "starts-return",
        Bounds {
            logs: 2,
            in_flight: 1,
            store_crashes: 1,
            names_return: true,
            ..TRIM
        },
    ),
    config(
        "everything",
        Bounds {
            entries: 1,
            logs: 2,
            standby: true,
            checkpoints: 2,
            trim: true,
            reopen: true,
            lost_answers: true,
            pending_starts: true,
            store_crashes: 1,
            names_return: true,
            ..BASE
        },
    ),
    config(
        "fill-four-trim",
        Bounds {
            epochs: 4,
            entries: 1,
            standby: true,
            reopen: true,
            ..FILL_TRIM
        },
    ),
    config(
        "fill-trim-roll",
        Bounds {
            logs: 2,
            standby: true,
            ..FILL_TRIM
        },
    ),
    config(
        "fill-names-roll",
        Bounds {
            entries: 1,
            logs: 2,
            store_crashes: 1,
            names_return: true,
            standby: true,
            ..FILL_TRIM
        },
    ),
    config(
        "fill-everything",
        Bounds {
            entries: 1,
            logs: 2,
            standby: true,
            reopen: true,
            lost_answers: true,
            pending_starts: true,
            store_crashes: 1,
            ..FILL_TRIM
        },
    ),
];
