//! The primary: append, acknowledge, mark, prepare, roll, reopen.

use crate::bounds::{Model, Protection};
use crate::state::{
    Bytes, Frame, Kind, Life, LogId, MAX_LOGS, Phase, Prepared, Proc, Published, Start, State,
    epoch_bit,
};
use crate::step::{Broken, Step, Steps};
use crate::takeover;

/// All steps of the primary of `epoch`.
pub fn primary(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    append(m, s, epoch, out);
    mark(m, s, epoch, out);
    acknowledge(m, s, epoch, out);
    prepare(m, s, epoch, out);
    roll(m, s, epoch, out);
    reopen(m, s, epoch, out);
}

fn current(s: &State, epoch: u8) -> LogId {
    LogId {
        epoch,
        index: s.procs[epoch as usize].cur,
    }
}

/// Flushes that have not resolved Ok.
fn in_flight(s: &State, epoch: u8) -> u8 {
    let p = &s.procs[epoch as usize];
    let waiting =
        s.log(LogId {
            epoch,
            index: p.ack_log,
        })
        .len - p.ack_off;
    if p.ack_log == p.cur {
        waiting
    } else {
        waiting + s.log(current(s, epoch)).len
    }
}

/// Whether the current log's header is Ok.
pub fn header_ok(s: &State, epoch: u8) -> bool {
    let p = &s.procs[epoch as usize];
    p.ack_log == p.cur && p.ack_off > 0
}

/// Hands a frame over: its flush starts.
fn flush(m: &Model, next: &mut State, epoch: u8, kind: Kind, value: u8) {
    let p = next.procs[epoch as usize];
    let known = if p.ack_log == p.cur { p.ack_off } else { 0 };
    let log = next.log_mut(LogId {
        epoch,
        index: p.cur,
    });
    // `durable` counts only what resolved Ok.
    let counts_ok = m.has(Protection::DurableCountsOk);
    let (durable, durable_offset) = if counts_ok {
        (p.acked, known)
    } else {
        (p.end, log.len)
    };
    let bytes = Bytes::Unflushed;
    log.push(Frame {
        kind,
        seq: p.end,
        value,
        durable,
        durable_offset,
        bytes,
    });
}

fn append(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let p = &s.procs[epoch as usize];
    let free = in_flight(s, epoch) < m.bounds.in_flight && s.log(current(s, epoch)).has_room();
    let header = header_ok(s, epoch) || !m.has(Protection::HeaderBeforeEntries);
    // A mutant that does not drain goes on behind an unresolved header too.
    let header = header || p.ack_log < p.cur;
    if !free || !header || p.end >= m.bounds.entries {
        return;
    }
    let mut next = *s;
    flush(m, &mut next, epoch, Kind::Entry, epoch);
    let p = &mut next.procs[epoch as usize];
    let seq = p.end;
    p.history.0[seq as usize] = epoch;
    p.end += 1;
    out.go(Step::Append(epoch, seq), next);
}

/// The idle mark and the heartbeat: all is Ok, and says so.
fn mark(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let log = s.log(current(s, epoch));
    let idle = in_flight(s, epoch) == 0 && log.has_room();
    // A second mark right behind a mark says nothing new.
    let news = log.frames().last().is_some_and(|f| f.kind != Kind::Mark);
    if m.bounds.marks && idle && news {
        let mut next = *s;
        flush(m, &mut next, epoch, Kind::Mark, 0);
        out.go(Step::Mark(epoch), next);
    }
}

/// A flush resolves Ok, perhaps long after, and the world is told.
fn acknowledge(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let p = &s.procs[epoch as usize];
    let id = LogId {
        epoch,
        index: p.ack_log,
    };
    let waiting = s
        .log(id)
        .frames()
        .iter()
        .enumerate()
        .skip(p.ack_off as usize);
    let in_order = m.has(Protection::AcksInOrder);
    for (frame, f) in waiting.take(if in_order { 1 } else { usize::MAX }) {
        if f.bytes != Bytes::Durable {
            continue;
        }
        let mut next = *s;
        let step = Step::Acknowledge(id, frame as u8);
        let p = &mut next.procs[epoch as usize];
        p.ack_off = frame as u8 + 1;
        if p.ack_off == s.log(id).len && p.ack_log < p.cur {
            p.ack_log += 1;
            p.ack_off = 0;
        }
        if f.kind == Kind::Entry {
            p.acked = f.seq + 1;
            if let Some(broken) = tell(&mut next, epoch, f) {
                out.fail(step, broken);
                continue;
            }
        }
        out.go(step, next);
    }
}

/// Tells the world that an entry is durable.
fn tell(next: &mut State, epoch: u8, f: &Frame) -> Option<Broken> {
    let seq = f.seq;
    let kept = &mut next.kept.0[seq as usize];
    if *kept != 0 && *kept != f.value {
        return Some(Broken::Contradicted(seq));
    }
    if next.top > epoch && *kept == 0 {
        return Some(Broken::FencedAck(seq));
    }
    *kept = f.value;
    None
}

/// Creates the next log ahead, *then* lists epochs.
fn prepare(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let p = &s.procs[epoch as usize];
    let id = LogId {
        epoch,
        index: p.cur + 1,
    };
    if id.index >= m.bounds.logs || usize::from(id.index) >= MAX_LOGS {
        return;
    }
    prepare_again(m, s, id, out);
    let late = m.has(Protection::LateListOfPrepare);
    let highest = s.claimed == epoch;
    let mut next = *s;
    let (step, prepared) = match p.prepared {
        Prepared::No if late => (Step::PrepareCreate(id), Prepared::Created),
        Prepared::No if highest => (Step::PrepareConfirm(id), Prepared::ListedEarly),
        Prepared::ListedEarly => (Step::PrepareCreate(id), Prepared::Ready),
        Prepared::Created if highest => (Step::PrepareConfirm(id), Prepared::Ready),
        _ => return,
    };
    if let Step::PrepareCreate(_) = step {
        next.log_mut(id).life = Life::Present;
    }
    next.procs[epoch as usize].prepared = prepared;
    out.go(step, next);
}

/// Whether the log was created is unknown: deletes it (its fence stays), and begins again.
fn prepare_again(m: &Model, s: &State, id: LogId, out: &mut Steps) {
    if !m.bounds.lost_answers || s.procs[id.epoch as usize].prepared != Prepared::Created {
        return;
    }
    let mut next = *s;
    next.procs[id.epoch as usize].prepared = Prepared::No;
    next.log_mut(id).life = Life::Deleted;
    if !m.has(Protection::FenceOutlivesLog) {
        next.log_mut(id).fenced = false;
    }
    out.go(Step::PrepareAgain(id), next);
}

/// Goes on in the prepared log.
fn roll(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let p = &s.procs[epoch as usize];
    let drained = in_flight(s, epoch) == 0;
    let full = s.log(current(s, epoch)).len >= 2;
    let drained = drained || (!m.has(Protection::DrainBeforeRoll) && p.ack_log == p.cur);
    if p.prepared != Prepared::Ready || !drained || !full {
        return;
    }
    let mut next = *s;
    let end = s.log(current(s, epoch)).len;
    let p = &mut next.procs[epoch as usize];
    p.prepared = Prepared::No;
    p.cur += 1;
    if p.ack_off == end {
        p.ack_log = p.cur;
        p.ack_off = 0;
    }
    flush(m, &mut next, epoch, Kind::Header, end);
    out.go(Step::Roll(current(&next, epoch)), next);
}

/// Takes over from itself, because the outcome of a flush is unknown.
fn reopen(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    if !m.bounds.reopen || s.claimed >= m.bounds.epochs || in_flight(s, epoch) == 0 {
        return;
    }
    claim_again(s, epoch, out);
}

/// A take-over from oneself failed half-way, with an answer that says neither yes nor no: tries
/// once more. Its new start may be published or not.
pub fn reopen_again(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    if s.procs[epoch as usize].own != 0 && s.claimed < m.bounds.epochs {
        claim_again(s, epoch, out);
    }
}

fn claim_again(s: &State, epoch: u8, out: &mut Steps) {
    let p = s.procs[epoch as usize];
    let mut next = *s;
    // The writer is poisoned: no late Ok of it counts any more.
    next.procs[epoch as usize] = Proc::default();
    let claimed = takeover::claim(&mut next);
    next.procs[claimed as usize] = Proc {
        phase: Phase::Claimed,
        own: p.own | epoch_bit(epoch),
        end: p.end,
        acked: p.acked,
        history: p.history,
        ..Proc::default()
    };
    out.go(Step::Reopen(epoch, claimed), next);
}

/// What a take-over from oneself over the start of `epoch` publishes: all below the acknowledged
/// cursor is decided, and the chain is cut where the last acknowledged entry ends; without any,
/// behind the first header.
pub fn own_start(s: &State, epoch: u8, p: &Proc) -> Start {
    let mut cut = (LogId { epoch, index: 0 }, 1);
    for id in State::names(epoch) {
        let last = |f: &Frame| f.kind == Kind::Entry && f.seq + 1 == p.acked;
        if let Some(at) = s.log(id).frames().iter().position(last) {
            cut = (id, at as u8 + 1);
        }
    }
    let (prev, prev_end) = cut;
    Start {
        published: Published::No,
        prev,
        prev_end,
        d: p.acked,
        carried_end: p.end,
    }
}
