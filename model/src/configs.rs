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
        Model { bounds: self.bounds, without: None }
    }
}


/// The configurations that every test run looks at.
pub const SMALL: &[Config] = &[
    Config { name: "take-over", bounds: Bounds { marks: true, any_order: true, ..BASE } },
    Config { name: "follow", bounds: Bounds { marks: true, standby: true, ..BASE } },
    Config { name: "roll", bounds: Bounds { logs: 2, ..BASE } },
    Config { name: "reopen", bounds: Bounds { reopen: true, marks: true, ..BASE } },
    Config { name: "storage crash", bounds: Bounds { store_crashes: 1, ..BASE } },
    Config { name: "trim", bounds: Bounds { logs: 2, checkpoints: 2, trim: true, ..BASE } },
    Config { name: "lost answers", bounds: Bounds { logs: 2, lost_answers: true, ..BASE } },
    Config { name: "process crash", bounds: Bounds { logs: 2, process_crashes: true, ..BASE } },
    Config { name: "roll3", bounds: Bounds { logs: 3, entries:3,  ..BASE } },
    Config { name: "rollreopen", bounds: Bounds { logs: 2, entries:2, reopen: true, marks: true, ..BASE } },
    Config { name: "rollfollow", bounds: Bounds { logs: 2, entries:1, standby: true, marks: true, ..BASE } },
    Config { name: "trimfollow", bounds: Bounds { logs: 1, entries:2, standby: true, checkpoints: 2, trim: true, ..BASE } },
    Config { name: "trimreopen", bounds: Bounds { logs: 1, entries:2, reopen: true, checkpoints: 2, trim: true, ..BASE } },
    Config { name: "trimreopenroll", bounds: Bounds { logs: 2, entries:2, reopen: true, checkpoints: 2, trim: true, ..BASE } },
    Config { name: "e3f3", bounds: Bounds { logs: 1, entries:3, in_flight:3, marks: true, any_order: true,..BASE } },
    Config { name: "4 epochs", bounds: Bounds { epochs:4, logs: 1, entries:2, in_flight:2, marks: true, ..BASE } },
    Config { name: "4 epochs roll", bounds: Bounds { epochs:4, logs: 2, entries:2, in_flight:2, ..BASE } },
    Config { name: "4 epochs reopen", bounds: Bounds { epochs:4, logs: 1, entries:2, in_flight:2, reopen: true, ..BASE } },
    Config { name: "all-1", bounds: Bounds { epochs:3, logs: 2, entries:1, in_flight:2, reopen: true, trim: true, checkpoints: 2, standby: true, store_crashes: 1, marks: true, any_order: true,lost_answers:true,process_crashes:false } },
];
