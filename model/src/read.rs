//! What a reader makes of the logs: the decided row behind a start, and the open logs of the head
//! epoch. Every unflushed frame may be seen or not, so one read has many outcomes.

use crate::bounds::{Model, Protection};
use crate::state::{
    Bytes, Checkpoint, Checkpoints, Frame, History, Kind, Life, Log, LogId, MAX_LOGS, MAX_SEQ,
    Published, State,
};
use crate::step::Broken;

/// Whether a read may show a frame.
fn may_show(f: &Frame) -> bool {
    f.bytes != Bytes::Lost
}

/// Whether a read may miss a frame.
fn may_miss(f: &Frame) -> bool {
    matches!(f.bytes, Bytes::Unflushed | Bytes::Lost)
}

/// The frames of a log that lie below L.
fn below_limit(log: &Log) -> &[Frame] {
    &log.frames()[..log.len.min(log.limit) as usize]
}

/// Every number of frames that a read may find before the first bad one.
fn visible(log: &Log) -> impl Iterator<Item = usize> + '_ {
    let frames = below_limit(log);
    let most = frames
        .iter()
        .position(|f| !may_show(f))
        .unwrap_or(frames.len());
    (0..=most).filter(move |&b| frames.get(b).is_none_or(may_miss))
}

/// Whether a read that stops at frame `b` may find a claim behind it that contradicts the stop.
fn contradicted(log: &Log, b: usize) -> bool {
    let behind = below_limit(log).iter().skip(b + 1);
    // Behind a bad header every frame is a contradiction: a writer flushes nothing else before
    // its header is durable.
    behind
        .filter(|f| may_show(f))
        .any(|f| b == 0 || usize::from(f.durable_offset) > b)
}

/// The decided row behind a start.
pub struct Walk {
    /// The entries found; none below `first`, none from the start's D on.
    pub history: History,
    /// First sequence number of the oldest log that is left.
    pub first: u8,
}

/// Walks from a start's first log back along `prev`, until a log is missing. What is bad behind
/// the checkpoint counts as missing.
pub fn walk_back(m: &Model, s: &State, start: u8) -> Result<Walk, Broken> {
    let mut walk = Walk {
        history: History::default(),
        first: s.start(start).d,
    };
    let mut epoch = start;
    while s.start(epoch).prev.epoch != 0 {
        let (mut id, mut end) = (s.start(epoch).prev, s.start(epoch).prev_end as usize);
        epoch = id.epoch;
        if s.start(epoch).published == Published::Deleted {
            return Ok(walk); // without its start a segment can't be read: as if it were gone
        }
        loop {
            let log = s.log(id);
            if log.life != Life::Present {
                return Ok(walk);
            }
            let frames = below_limit(log);
            if frames.len() < end || frames[..end].iter().any(may_miss) {
                if behind_checkpoint(m, s, walk.first) {
                    return Ok(walk);
                }
                return Err(Broken::FalseCorrupt("a frame of a closed log is missing"));
            }
            for f in frames[..end].iter().filter(|f| f.kind == Kind::Entry) {
                walk.history.0[f.seq as usize] = f.value;
            }
            walk.first = frames[0].seq;
            if id.index == 0 {
                break;
            }
            end = frames[0].value as usize;
            id.index -= 1;
        }
    }
    // A journal that was filled begins behind its checkpoint.
    if walk.first == 0 || s.fill(epoch).claimed {
        Ok(walk)
    } else {
        Err(Broken::FalseCorrupt("the first log is missing"))
    }
}

/// Whether a log with this first sequence number in its successor has been replaced.
fn behind_checkpoint(m: &Model, s: &State, first: u8) -> bool {
    let covered = s.covered();
    m.has(Protection::NoVerdictBehindCheckpoint) && covered > 0 && first <= covered
}

/// The oldest log that is left of the head epoch, among those listed.
pub fn oldest(m: &Model, s: &State, epoch: u8, listed: &[bool; MAX_LOGS]) -> Result<LogId, Broken> {
    let mut broken = None;
    for id in State::names(epoch).filter(|id| listed[id.index as usize]) {
        let header = below_limit(s.log(id)).first().filter(|h| !may_miss(h));
        // Behind a bad one only a log that begins behind the checkpoint will do.
        if header.is_some_and(|h| broken.is_none() || behind_checkpoint(m, s, h.seq)) {
            return Ok(id);
        }
        broken = Some(Broken::FalseCorrupt(
            "the header of the oldest log left is missing",
        ));
    }
    Err(broken.unwrap_or(Broken::FalseCorrupt("no log of the head epoch is left")))
}

/// What was read of the open logs of the head epoch, in contiguous valid frames.
#[derive(Clone, Copy)]
pub struct Open {
    /// Behind the last entry.
    pub end: u8,
    /// The highest durable mark.
    pub durable: u8,
    /// The entries found.
    pub history: History,
    /// First sequence number of the oldest log left.
    pub first: u8,
    /// Where the chain can be cut behind each entry; `NONE` if it lies in another epoch's log.
    behind: [(LogId, u8); MAX_SEQ],
    /// Behind the header of the oldest log left.
    header: (LogId, u8),
}

const NONE: (LogId, u8) = (LogId { epoch: 0, index: 0 }, 0);

impl Open {
    fn take(&mut self, id: LogId, frames: &[Frame]) {
        for (i, f) in frames.iter().enumerate() {
            self.durable = self.durable.max(f.durable);
            if f.kind == Kind::Entry {
                self.history.0[f.seq as usize] = f.value;
                self.behind[f.seq as usize] = (id, i as u8 + 1);
                self.end = f.seq + 1;
            }
        }
    }

    /// Where to cut the chain for D: right behind the last entry below D, or behind the header
    /// of the oldest log if there is none.
    pub fn cut(&self, d: u8) -> (LogId, u8) {
        let last = usize::from(d).checked_sub(1).map(|seq| self.behind[seq]);
        last.filter(|place| *place != NONE).unwrap_or(self.header)
    }
}

/// How one read of the open logs ends.
pub type Outcome<'a> = dyn FnMut(Result<Open, Broken>) + 'a;

/// Reads the open logs of an epoch from the [`oldest`] on, every way it may turn out. A recovery
/// judges the tail; a follower of a live log does not.
pub fn read_open(
    s: &State,
    oldest: LogId,
    listed: [bool; MAX_LOGS],
    judge: bool,
    out: &mut Outcome<'_>,
) {
    let first = s.log(oldest).frames[0].seq;
    let open = Open {
        end: first,
        durable: first,
        history: History::default(),
        first,
        behind: [NONE; MAX_SEQ],
        header: (oldest, 1),
    };
    Reading { s, listed, judge }.log(oldest, open, out);
}

struct Reading<'a> {
    s: &'a State,
    listed: [bool; MAX_LOGS],
    judge: bool,
}

impl Reading<'_> {
    fn log(&self, id: LogId, open: Open, out: &mut Outcome<'_>) {
        let log = self.s.log(id);
        let next = LogId {
            index: id.index + 1,
            ..id
        };
        let listed = self
            .listed
            .get(next.index as usize)
            .copied()
            .unwrap_or(false);
        let header = listed
            .then(|| below_limit(self.s.log(next)).first())
            .flatten();
        let may_show_next = header.is_some_and(may_show);
        let may_end_here = header.is_none_or(may_miss);
        for b in visible(log).filter(|&b| b > 0) {
            let mut open = open;
            if may_end_here {
                let mut open = open;
                open.take(id, &log.frames()[..b]);
                out(self.tail(id, next, listed, b).map(|()| open));
            }
            if may_show_next {
                // The next header says where this log ends.
                let end = usize::from(header.map_or(0, |h| h.value));
                if b < end {
                    out(Err(Broken::FalseCorrupt(
                        "a frame of a rolled log is missing",
                    )));
                    continue;
                }
                open.take(id, &log.frames()[..end]);
                self.log(next, open, out);
            }
        }
    }

    fn tail(&self, id: LogId, next: LogId, listed: bool, b: usize) -> Result<(), Broken> {
        if !self.judge {
            return Ok(());
        }
        if listed && contradicted(self.s.log(next), 0) {
            return Err(Broken::FalseCorrupt("a frame stands behind a bad header"));
        }
        if contradicted(self.s.log(id), b) {
            return Err(Broken::FalseCorrupt("a mark contradicts the end of a log"));
        }
        Ok(())
    }
}

/// What a recovery makes of the head epoch.
pub struct Recovered {
    /// Every entry below `end`.
    pub history: History,
    /// Behind the last entry.
    pub end: u8,
    /// Everything below it is decided.
    pub d: u8,
    /// Where the chain is cut.
    pub cut: (LogId, u8),
}

/// Recovers along a start, every way it may turn out, from a checkpoint of all below `cover`.
pub fn recover(
    m: &Model,
    s: &State,
    head: u8,
    listed: [bool; MAX_LOGS],
    cover: u8,
    out: &mut dyn FnMut(Result<Recovered, Broken>),
) {
    let found = oldest(m, s, head, &listed).and_then(|id| {
        let walk = (id.index == 0).then(|| walk_back(m, s, head));
        Ok((id, walk.transpose()?))
    });
    match found {
        Err(broken) => out(Err(broken)),
        Ok((id, walk)) => read_open(s, id, listed, true, &mut |open| {
            out(open.and_then(|open| judge(m, s, head, cover, walk.as_ref(), &open)));
        }),
    }
}

/// The state that the checkpoints hold: what their writers were told, or what was filled in.
pub fn base(s: &State) -> History {
    let mut history = s.kept;
    if let Some(c) = filled(s) {
        history.0[..usize::from(c.next)].fill(c.epoch);
    }
    history
}

/// The checkpoint with which the journal was filled, as long as it may be loaded.
fn filled(s: &State) -> Option<Checkpoint> {
    let Checkpoints { newest, older, .. } = s.checkpoints;
    let mut kept = [newest, older].into_iter();
    kept.find(|c| c.next > 0 && s.fill(c.epoch).claimed)
}

fn filled_below(s: &State) -> usize {
    filled(s).map_or(0, |c| usize::from(c.next))
}

/// Lays checkpoint, walk and open logs together.
fn judge(
    m: &Model,
    s: &State,
    head: u8,
    cover: u8,
    walk: Option<&Walk>,
    open: &Open,
) -> Result<Recovered, Broken> {
    let mut history = base(s);
    let first = walk.map_or(open.first, |w| w.first);
    if first > cover {
        return Err(Broken::FalseCorrupt("logs and checkpoints leave a gap"));
    }
    if s.checkpoints.newest.next > open.end {
        return Err(Broken::FalseCorrupt("a checkpoint lies beyond the end"));
    }
    if s.start(head).carried_end > open.end {
        return Err(Broken::FalseCorrupt("a carried entry is missing"));
    }
    for seq in usize::from(first)..MAX_SEQ {
        if seq < filled_below(s) {
            continue; // the checkpoint's state
        }
        let of_walk = walk.map_or(0, |w| w.history.0[seq]);
        let of_open = open.history.0[seq];
        history.0[seq] = if of_open == 0 { of_walk } else { of_open };
        if (history.0[seq] == 0) != (seq >= usize::from(open.end)) {
            return Err(Broken::FalseCorrupt("the row of entries has a gap"));
        }
    }
    for value in &mut history.0[usize::from(open.end)..] {
        *value = 0;
    }
    let mut d = open.durable;
    let mut cut = open.cut(d);
    if !m.has(Protection::CarryOver) {
        d = open.end;
        cut = open.cut(d);
    }
    if !m.has(Protection::CutBehindEntry) {
        cut = behind_marks(s, cut);
    }
    Ok(Recovered {
        history,
        end: open.end,
        d,
        cut,
    })
}

/// The mutant that cuts behind the marks that follow the last entry below D.
fn behind_marks(s: &State, (id, mut at): (LogId, u8)) -> (LogId, u8) {
    let frames = below_limit(s.log(id));
    while frames
        .get(at as usize)
        .is_some_and(|f| f.kind == Kind::Mark && may_show(f))
    {
        at += 1;
    }
    (id, at)
}
