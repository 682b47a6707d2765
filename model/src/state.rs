//! The state of the model: what lies in the store, what each process remembers, and a few ghosts
//! (what the outside world has been told) against which the properties are checked.
//!
//! Everything is a small number. Logs are rows of frames, one frame per flush, one entry per frame.

/// Most epochs a configuration may claim.
pub const MAX_EPOCHS: usize = 4;
/// Most log segments of one epoch (so one less rolls).
pub const MAX_LOGS: usize = 4;
/// Most frames of one segment.
pub const MAX_FRAMES: usize = 7;
/// Most entries of a history.
pub const MAX_SEQ: usize = 4;
/// One process for each epoch, and number 0: one that has no epoch yet.
pub const MAX_PROCS: usize = MAX_EPOCHS + 1;

/// A history: the value at each sequence number. A value is the epoch that appended the entry
/// (no epoch gives one number twice), 0 is "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History(pub [u8; MAX_SEQ]);

/// Whether the bytes of a frame are on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// Its flush has not finished. *Every single read* may see the bytes or not: they may be on
    /// their way, in a cache, or gone (FC-2).
    Unflushed,
    /// Durable, and the flush may resolve Ok.
    Durable,
    /// A storage crash came before the flush had finished and kept the bytes: never resolves Ok.
    Kept,
    /// A storage crash came before the flush had finished and lost the bytes.
    Lost,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// First frame of a segment; its `value` is the exact end of the segment before it.
    Header,
    /// One entry.
    Entry,
    /// Only the durable cursor.
    Mark,
}

/// One frame: what one flush writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub kind: Kind,
    /// First sequence number.
    pub seq: u8,
    /// Value of the entry; of a header: the exact end of the segment before.
    pub value: u8,
    /// Every entry below it was durable when this frame was written.
    pub durable: u8,
    /// Every frame of this segment below it was durable when this frame was written.
    pub durable_offset: u8,
    /// Whether it is on the medium.
    pub bytes: Bytes,
}

impl Default for Frame {
    fn default() -> Self {
        let kind = Kind::Header;
        let bytes = Bytes::Unflushed;
        Frame {
            kind,
            seq: 0,
            value: 0,
            durable: 0,
            durable_offset: 0,
            bytes,
        }
    }
}

/// Whether the name of a log segment leads anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Not created yet.
    #[default]
    Absent,
    /// There.
    Present,
    /// Deleted by a trim.
    Deleted,
}

/// The number of frames that may be read of a log that no broken fence cut short.
pub const NO_LIMIT: u8 = MAX_FRAMES as u8;

/// One log segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Whether it is there.
    pub life: Life,
    /// Whether `fence_log` was called on it.
    pub fenced: bool,
    /// L of FC-9: frames from here on are not read. Only a mutant makes it less than all: that
    /// any unflushed frame may be read or not covers every L that FC-9 allows.
    pub limit: u8,
    /// How many frames its writer has handed over.
    pub len: u8,
    /// The frames.
    pub frames: [Frame; MAX_FRAMES],
}

impl Default for Log {
    fn default() -> Self {
        let frames = [Frame::default(); MAX_FRAMES];
        Log {
            life: Life::Absent,
            fenced: false,
            limit: NO_LIMIT,
            len: 0,
            frames,
        }
    }
}

impl Log {
    /// Hands one more frame over.
    pub fn push(&mut self, frame: Frame) {
        self.frames[self.len as usize] = frame;
        self.len += 1;
    }

    /// The frames handed over so far.
    pub fn frames(&self) -> &[Frame] {
        &self.frames[..self.len as usize]
    }

    /// Whether one more frame has room.
    pub fn has_room(&self) -> bool {
        (self.len as usize) < MAX_FRAMES
    }
}

/// The name of a log segment: `log/<epoch>-<index>`. Epoch 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// Its epoch, from 1.
    pub epoch: u8,
    /// Its index within the epoch, from 0.
    pub index: u8,
}

/// Whether others see a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Published {
    /// Not yet.
    #[default]
    No,
    /// Its commit has not returned: each single listing may show it or not.
    Pending,
    /// For good.
    Yes,
    /// Deleted by a trim, with its claim: nothing of its epoch was left.
    Deleted,
}

/// The object `start/<epoch>`. Filled when its epoch has recovered, visible when published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Whether it is visible to others.
    pub published: Published,
    /// The log that goes before the first log of this epoch, if any.
    pub prev: LogId,
    /// How many frames of `prev` belong to the chain.
    pub prev_end: u8,
    /// First sequence number of the epoch's first log: all below it is decided.
    pub d: u8,
    /// End of the entries that the epoch took over.
    pub carried_end: u8,
}

/// What belongs to an epoch that was claimed to be filled, besides its start, which says from the
/// claim on what it will be: `d` its first entry, and the number of its checkpoint if that is not
/// 0, `carried_end` its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Its claim says that it is to be filled.
    pub claimed: bool,
    /// An object of no journal stands at its start's name.
    pub void: bool,
    /// A trim deleted its claim.
    pub dropped: bool,
    /// Its checkpoint, as long as it does not count.
    pub checkpoint: Life,
    /// Ghost: its filler was told for certain that it was not written.
    pub refused: bool,
}

/// How far a process has come. The names tell which step was the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not running, or stopped for good.
    #[default]
    Idle,
    /// `claim_epoch` done.
    Claimed,
    /// `list_logs` done before `list_starts` (only in a mutant).
    LogsListedEarly,
    /// `list_starts` done.
    StartsListed,
    /// `list_logs` done; `fence_logs` takes them one by one, then `recover`.
    LogsListed,
    /// `recover` done.
    Recovered,
    /// `create_log` of the first log done.
    FirstLog,
    /// `carry_over` done.
    Carried,
    /// `publish_start` under way (only if starts may be pending).
    Publishing,
    /// `publish_start` done, `confirm_epoch` not yet.
    Published,
    /// Past `confirm_epoch`.
    Serving,
    /// A filler has written its checkpoint and its log, and read them back.
    Filled,
    /// `confirm_epoch` of a filler done.
    FillConfirmed,
    /// A filler's start is published; nobody was told yet.
    FillPublished,
}

impl Phase {
    /// All phases; each stands at its own number.
    pub const ALL: [Phase; 14] = [
        Phase::Idle,
        Phase::Claimed,
        Phase::LogsListedEarly,
        Phase::StartsListed,
        Phase::LogsListed,
        Phase::Recovered,
        Phase::FirstLog,
        Phase::Carried,
        Phase::Publishing,
        Phase::Published,
        Phase::Serving,
        Phase::Filled,
        Phase::FillConfirmed,
        Phase::FillPublished,
    ];
}

/// State of the log that is prepared ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prepared {
    /// There is none.
    #[default]
    No,
    /// Created, epochs not listed since.
    Created,
    /// Usable for ever.
    Ready,
    /// Epochs listed, not created yet (only in a mutant).
    ListedEarly,
}

/// What one process remembers. Each claim of an epoch is the life of one process: a process that
/// crashes is one that never steps again, and after a restart it is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proc {
    /// How far it has come.
    pub phase: Phase,
    /// The highest start it saw: the head epoch.
    pub head: u8,
    /// While taking over from itself: its own epochs so far, one bit each ([`epoch_bit`]); the
    /// lowest is the one it served. Else 0.
    pub own: u8,
    /// The logs it saw, one bit each ([`log_bit`]); of a filler that checks, the starts ([`epoch_bit`]).
    pub listed: u16,
    /// The newest checkpoint it listed with the logs (only in a mutant; else it lists them later).
    pub checkpoint: u8,
    /// Next sequence number to give.
    pub end: u8,
    /// Its acknowledged cursor.
    pub acked: u8,
    /// Index of the log it writes.
    pub cur: u8,
    /// Index of the log whose flushes it waits for (behind `cur` only in a mutant).
    pub ack_log: u8,
    /// How many frames of `ack_log` are acknowledged.
    pub ack_off: u8,
    /// The next log.
    pub prepared: Prepared,
    /// Its state: the value at every number below `end`.
    pub history: History,
}

/// The bit of an epoch in [`Proc::own`].
pub fn epoch_bit(epoch: u8) -> u8 {
    if epoch == 0 { 0 } else { 1 << (epoch - 1) }
}

/// The bit of a log in [`Proc::listed`].
pub fn log_bit(id: LogId) -> u16 {
    1 << ((id.epoch as usize - 1) * MAX_LOGS + id.index as usize)
}

/// A standby. What it applied is `History` below its cursor of [`State::kept`]: applying is
/// checked against that ghost and then noted in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standby {
    /// Next sequence number to apply.
    pub cursor: u8,
    /// The highest start it has used.
    pub seen: u8,
}

/// The name of a checkpoint: `checkpoint/<next-seq>-<epoch>`. Ordered as the names are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint {
    /// Next sequence number: it holds the state of all entries below. 0: there is none.
    pub next: u8,
    /// The epoch in its name.
    pub epoch: u8,
}

/// The two checkpoints that are kept. Their content is checked when they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// The newest.
    pub newest: Checkpoint,
    /// The one before.
    pub older: Checkpoint,
    /// How many were written (bounded).
    pub written: u8,
}

/// One state of the whole system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Epochs 1..=claimed have an `epoch/` object.
    pub claimed: u8,
    /// `start/` objects, by epoch - 1.
    pub starts: [Start; MAX_EPOCHS],
    /// Epochs to be filled, by epoch - 1.
    pub fills: [Fill; MAX_EPOCHS],
    /// Logs, by epoch - 1 and index.
    pub logs: [[Log; MAX_LOGS]; MAX_EPOCHS],
    /// The processes, by the epoch they claimed. Number 0 has none yet (only in a mutant).
    pub procs: [Proc; MAX_PROCS],
    /// The standby.
    pub standby: Standby,
    /// The checkpoints.
    pub checkpoints: Checkpoints,
    /// Storage crashes so far (bounded).
    pub store_crashes: u8,
    /// Ghost: the highest epoch that ever served.
    pub top: u8,
    /// Ghost: what the world relies on: acknowledged, served from, applied or checkpointed.
    pub kept: History,
}

impl State {
    /// The log of that name.
    pub fn log(&self, id: LogId) -> &Log {
        &self.logs[id.epoch as usize - 1][id.index as usize]
    }

    /// The log of that name.
    pub fn log_mut(&mut self, id: LogId) -> &mut Log {
        &mut self.logs[id.epoch as usize - 1][id.index as usize]
    }

    /// The start of that epoch.
    pub fn start(&self, epoch: u8) -> &Start {
        &self.starts[epoch as usize - 1]
    }

    /// The start of that epoch.
    pub fn start_mut(&mut self, epoch: u8) -> &mut Start {
        &mut self.starts[epoch as usize - 1]
    }

    /// What there is of the epoch as one to be filled.
    pub fn fill(&self, epoch: u8) -> &Fill {
        &self.fills[epoch as usize - 1]
    }

    /// What there is of the epoch as one to be filled.
    pub fn fill_mut(&mut self, epoch: u8) -> &mut Fill {
        &mut self.fills[epoch as usize - 1]
    }

    /// The highest published start, 0 if none.
    pub fn highest_start(&self) -> u8 {
        (1..=self.claimed)
            .rev()
            .find(|&e| self.start(e).published == Published::Yes)
            .unwrap_or(0)
    }

    /// Every start that a listing may find to be the highest, 0 if none.
    pub fn heads(&self) -> impl Iterator<Item = u8> + '_ {
        let sure = self.highest_start();
        let pending = |e: &u8| self.start(*e).published == Published::Pending;
        std::iter::once(sure).chain((sure + 1..=self.claimed).filter(pending))
    }

    /// Entries below it are in each checkpoint that may be loaded: the newest may turn out to be
    /// damaged, so the older must do as well.
    pub fn covered(&self) -> u8 {
        let Checkpoints { newest, older, .. } = self.checkpoints;
        if older.next > 0 {
            older.next
        } else {
            newest.next
        }
    }

    /// Names of all logs an epoch can have.
    pub fn names(epoch: u8) -> impl Iterator<Item = LogId> {
        (0..MAX_LOGS as u8).map(move |index| LogId { epoch, index })
    }
}
