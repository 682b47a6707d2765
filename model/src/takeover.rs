//! Become primary: steps 1-7 of the protocol.

use crate::bounds::{Model, Protection};
use crate::fill;
use crate::read::{self, Recovered};
use crate::serve;
use crate::state::{
    Bytes, Frame, History, Kind, Life, Log, LogId, MAX_LOGS, Phase, Proc, Published, Start, State,
    epoch_bit, log_bit,
};
use crate::step::{Broken, Step, Steps};

/// Step 1: somebody who is not running claims the next epoch.
pub fn claim_epoch(m: &Model, s: &State, out: &mut Steps) {
    if !m.has(Protection::ClaimBeforeLists) {
        lists_before_claim(s, out);
        if s.procs[0].phase != Phase::LogsListed {
            return;
        }
    }
    if s.claimed < m.bounds.epochs {
        let mut next = *s;
        let epoch = claim(&mut next);
        next.procs[epoch as usize] = Proc {
            phase: Phase::Claimed,
            ..Proc::default()
        };
        if !m.has(Protection::ClaimBeforeLists) {
            next.procs[epoch as usize] = next.procs[0];
            next.procs[0] = Proc::default();
        }
        out.go(Step::ClaimEpoch(epoch), next);
    }
}

/// Creates the next epoch's object.
pub fn claim(s: &mut State) -> u8 {
    s.claimed += 1;
    // Whoever has published and not yet confirmed will find a higher epoch now, and stop. This is
    // the same state whether it has looked already or not. (One that takes over from itself may
    // try again instead.)
    for p in s
        .procs
        .iter_mut()
        .filter(|p| p.phase == Phase::Published && p.own == 0)
    {
        *p = Proc::default();
    }
    s.claimed
}

/// The mutant that lists first and claims later.
fn lists_before_claim(s: &State, out: &mut Steps) {
    let mut next = *s;
    let p = &mut next.procs[0];
    match p.phase {
        Phase::Idle => {
            p.head = s.highest_start();
            p.phase = Phase::StartsListed;
            out.go(Step::ListStarts(0, p.head), next);
        }
        Phase::StartsListed => {
            p.listed = present(s, p.head);
            p.phase = Phase::LogsListed;
            out.go(Step::ListLogs(0), next);
        }
        _ => {}
    }
}

/// The logs of an epoch that are there, one bit each.
pub fn present(s: &State, epoch: u8) -> u16 {
    if epoch == 0 {
        return 0;
    }
    State::names(epoch)
        .filter(|id| s.log(*id).life == Life::Present)
        .fold(0, |bits, id| bits | log_bit(id))
}

/// The next step of the candidate that claimed `epoch`.
pub fn candidate(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let mut next = *s;
    let p = &mut next.procs[epoch as usize];
    if p.phase >= Phase::Carried {
        serve::reopen_again(m, s, epoch, out);
    }
    match p.phase {
        Phase::Idle | Phase::Serving => {}
        Phase::Filled | Phase::FillConfirmed | Phase::FillPublished => {}
        Phase::Claimed if !m.has(Protection::LogsListedAfterStarts) => {
            p.listed = (1..=s.claimed).fold(0, |bits, e| bits | present(s, e));
            p.phase = Phase::LogsListedEarly;
            out.go(Step::ListLogs(epoch), next);
        }
        Phase::Claimed | Phase::LogsListedEarly => {
            for head in s.heads() {
                list_starts(m, s, epoch, head, out);
            }
        }
        Phase::StartsListed => {
            let void = match p.own {
                0 => Protection::VoidByPrimary,
                _ => Protection::VoidByReopen,
            };
            if m.has(void) && fill::void_between(s, epoch, out) {
                return;
            }
            p.listed = present(s, p.head);
            p.phase = Phase::LogsListed;
            if !m.has(Protection::CheckpointsListedLast) {
                p.checkpoint = s.checkpoints.newest.next;
            }
            out.go(Step::ListLogs(epoch), next);
        }
        Phase::LogsListed => {
            if !fence_logs(m, s, epoch, out) {
                recover(m, s, epoch, out);
            }
        }
        Phase::Recovered => {
            let log = next.log_mut(LogId { epoch, index: 0 });
            log.life = Life::Present;
            next.procs[epoch as usize].phase = Phase::FirstLog;
            out.go(Step::CreateLog(epoch), next);
        }
        Phase::FirstLog => {
            carry_over(m, &mut next, epoch);
            out.go(Step::CarryOver(epoch), next);
        }
        Phase::Carried => publish_start(m, s, epoch, out),
        Phase::Publishing => {
            publish_start(m, s, epoch, out);
            if !m.has(Protection::StartAwaited) {
                confirm_epoch(s, epoch, out);
            }
        }
        Phase::Published => confirm_epoch(s, epoch, out),
    }
}

/// Step 2, first half. Taking over from itself needs its own start to be the highest.
fn list_starts(m: &Model, s: &State, epoch: u8, head: u8, out: &mut Steps) {
    let mut next = *s;
    let p = &mut next.procs[epoch as usize];
    p.head = head;
    p.phase = match p.phase {
        Phase::LogsListedEarly => Phase::LogsListed,
        _ => Phase::StartsListed,
    };
    let mine = p.own & epoch_bit(head) != 0;
    if mine || (p.own != 0 && !m.has(Protection::ReopenOverOwnStart)) {
        let base = if mine {
            head
        } else {
            p.own.trailing_zeros() as u8 + 1
        };
        *next.start_mut(epoch) = serve::own_start(s, base, &s.procs[epoch as usize]);
    } else {
        // An ordinary candidate; what it had not acknowledged stays unknown.
        p.own = 0;
        p.end = 0;
        p.acked = 0;
        p.history = History::default();
        *next.start_mut(epoch) = Start::default();
    }
    out.go(Step::ListStarts(epoch, head), next);
}

/// Step 3: fences one more of the listed logs. False: all are.
pub fn fence_logs(m: &Model, s: &State, epoch: u8, out: &mut Steps) -> bool {
    let p = &s.procs[epoch as usize];
    if p.head == 0 {
        return false;
    }
    let mut any = false;
    for id in State::names(p.head).filter(|id| p.listed & log_bit(*id) != 0) {
        let log = s.log(id);
        if log.life == Life::Deleted {
            list_again(s, epoch, out);
            return true;
        }
        let skipped = !m.has(Protection::Fence)
            || (s.fill(epoch).claimed && !m.has(Protection::FillFences))
            || (!m.has(Protection::PreparedLogsFenced) && log.len == 0 && id.index > 0);
        if log.fenced || skipped {
            continue;
        }
        let mut next = *s;
        let ok = resolved(s, id);
        let log = next.log_mut(id);
        log.fenced = true;
        if !m.has(Protection::FenceCoversOk) {
            log.limit = ok;
        }
        if !m.has(Protection::FenceStopsFlushes) {
            log.limit = log.len;
        }
        out.go(Step::FenceLogs(epoch, id), next);
        any = true;
    }
    any
}

/// How many frames of a log have resolved Ok to its writer, if that is still there.
fn resolved(s: &State, id: LogId) -> u8 {
    let writer = &s.procs[id.epoch as usize];
    if writer.phase == Phase::Serving && writer.ack_log == id.index {
        return writer.ack_off;
    }
    s.log(id)
        .frames()
        .iter()
        .take_while(|f| f.bytes == Bytes::Durable)
        .count() as u8
}

/// Back to step 2.
pub fn list_again(s: &State, epoch: u8, out: &mut Steps) {
    let mut next = *s;
    let p = &mut next.procs[epoch as usize];
    p.phase = Phase::Claimed;
    p.head = 0;
    p.listed = 0;
    p.checkpoint = 0;
    out.go(Step::ListAgain(epoch), next);
}

/// Step 4, every way the read may turn out.
fn recover(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let p = s.procs[epoch as usize];
    if p.own != 0 {
        // Faster and also safe: D = what I have acknowledged, cut behind it. Noted by `reopen`.
        recovered(s, epoch, *s.start(epoch), p.history, out);
    }
    if let Some(broken) = lost_start(m, s, epoch, p.head) {
        return verdict(m, s, epoch, broken, out);
    }
    if p.head == 0 {
        recovered(s, epoch, Start::default(), History::default(), out);
        return;
    }
    let mut listed = [false; MAX_LOGS];
    for id in State::names(p.head) {
        listed[id.index as usize] = p.listed & log_bit(id) != 0;
    }
    // Of the two checkpoints the mutant knows what it listed early.
    let mut cover = s.covered();
    if !m.has(Protection::CheckpointsListedLast) {
        if p.checkpoint != 0 && p.checkpoint < cover {
            // Deleted since, behind two newer ones.
            return list_again(s, epoch, out);
        }
        cover = p.checkpoint;
    }
    read::recover(m, s, p.head, listed, cover, &mut |read| match read {
        Ok(Recovered {
            mut history,
            mut end,
            d,
            cut: (prev, prev_end),
        }) => {
            if p.own != 0 {
                // All that is not decided comes from memory, at the same numbers.
                (history, end) = (p.history, p.end);
            }
            let start = Start {
                published: Published::No,
                prev,
                prev_end,
                d,
                carried_end: end,
            };
            recovered(s, epoch, start, history, out);
        }
        Err(broken) => verdict(m, s, epoch, broken, out),
    });
}

/// Traces of an epoch that served, where its start is missing: a candidate that never served leaves
/// its first log only, in which each frame attests what the header does.
pub fn lost_start(m: &Model, s: &State, epoch: u8, head: u8) -> Option<Broken> {
    let above = match m.has(Protection::TracesAboveHead) {
        true => head + 1,
        false => 1,
    };
    let kept = [s.checkpoints.newest, s.checkpoints.older];
    let served = |e: &u8| {
        if s.fill(*e).claimed {
            let left = s.fill(*e).checkpoint == Life::Present;
            return left && !m.has(Protection::FillLeavesNoTraces);
        }
        let mut names = State::names(*e);
        let marked = names.next().is_some_and(|id| attests_more(s.log(id)));
        let rolled = names.any(|id| s.log(id).life == Life::Present);
        marked || rolled || kept.iter().any(|c| c.next > 0 && c.epoch == *e)
    };
    let mut silent = (above..epoch).filter(|e| s.start(*e).published != Published::Yes);
    silent
        .any(|e| served(&e))
        .then_some(Broken::FalseCorrupt("a start seems to be lost"))
}

/// Whether a frame of the log comes past step 7 only; any frame that was handed over may be seen.
fn attests_more(log: &Log) -> bool {
    let mut frames = log.frames.iter().take(usize::from(log.len));
    let more = |f: &Frame| f.kind == Kind::Mark || f.durable > log.frames[0].durable;
    log.life == Life::Present && frames.any(more)
}

/// Only a verdict if no higher epoch explains it: its owner may have served, checkpointed and
/// trimmed since the lists. The candidate will not serve anyway, so it stands down.
fn verdict(m: &Model, s: &State, epoch: u8, broken: Broken, out: &mut Steps) {
    if m.has(Protection::ListBeforeVerdict) && s.claimed > epoch {
        let mut next = *s;
        next.procs[epoch as usize] = Proc::default();
        out.go(Step::StandDown(epoch), next);
        return;
    }
    out.fail(Step::Recover(epoch, 0, 0), broken);
}

fn recovered(s: &State, epoch: u8, start: Start, history: History, out: &mut Steps) {
    let mut next = *s;
    *next.start_mut(epoch) = start;
    let end = start.carried_end;
    let Proc { own, acked, .. } = s.procs[epoch as usize];
    next.procs[epoch as usize] = Proc {
        phase: Phase::Recovered,
        own,
        acked,
        end,
        history,
        ..Proc::default()
    };
    out.go(Step::Recover(epoch, start.d, end), next);
}

/// Step 5: header and undecided entries, all Ok.
fn carry_over(m: &Model, next: &mut State, epoch: u8) {
    let start = *next.start(epoch);
    let history = next.procs[epoch as usize].history;
    next.procs[epoch as usize].phase = Phase::Carried;
    let later = !m.has(Protection::StartAfterFlush);
    let bytes = if later {
        Bytes::Unflushed
    } else {
        Bytes::Durable
    };
    let durable = if m.has(Protection::HeaderSaysD) {
        start.d
    } else {
        start.carried_end
    };
    let header = Frame {
        kind: Kind::Header,
        seq: start.d,
        value: start.prev_end,
        durable,
        durable_offset: 0,
        bytes: Bytes::Durable,
    };
    let log = next.log_mut(LogId { epoch, index: 0 });
    log.push(header);
    for seq in start.d..start.carried_end {
        let value = history.0[seq as usize];
        let durable = start.d;
        let kind = Kind::Entry;
        log.push(Frame {
            kind,
            seq,
            value,
            durable,
            durable_offset: 1,
            bytes,
        });
    }
}

/// Step 6. If starts may be pending, in two steps.
fn publish_start(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let mut next = *s;
    if m.bounds.pending_starts && s.start(epoch).published == Published::No {
        next.start_mut(epoch).published = Published::Pending;
        next.procs[epoch as usize].phase = Phase::Publishing;
        out.go(Step::StartPending(epoch), next);
        return;
    }
    next.start_mut(epoch).published = Published::Yes;
    let step = Step::PublishStart(epoch);
    if !m.has(Protection::ConfirmEpoch) {
        serve(next, epoch, step, out);
        return;
    }
    // With a higher epoch in sight it will stop at step 7.
    next.procs[epoch as usize] = match s.claimed > epoch && s.procs[epoch as usize].own == 0 {
        true => Proc::default(),
        false => Proc {
            phase: Phase::Published,
            ..next.procs[epoch as usize]
        },
    };
    out.go(step, next);
}

/// Step 7.
fn confirm_epoch(s: &State, epoch: u8, out: &mut Steps) {
    if s.claimed == epoch {
        serve(*s, epoch, Step::ConfirmEpoch(epoch), out);
    }
}

/// From here on the world sees the state that was recovered.
fn serve(mut next: State, epoch: u8, step: Step, out: &mut Steps) {
    let p = next.procs[epoch as usize];
    for (seq, (&mine, kept)) in p.history.0.iter().zip(&mut next.kept.0).enumerate() {
        let seq = seq as u8;
        if *kept != 0 && mine == 0 {
            return out.fail(step, Broken::Lost(seq));
        }
        if *kept != 0 && mine != *kept {
            return out.fail(step, Broken::Contradicted(seq));
        }
        *kept = mine;
    }
    if let Some(broken) = fill::partly(&next) {
        return out.fail(step, broken);
    }
    next.top = next.top.max(epoch);
    let len = next.log(LogId { epoch, index: 0 }).len;
    next.procs[epoch as usize] = Proc {
        phase: Phase::Serving,
        end: p.end,
        acked: p.end,
        ack_off: len,
        history: p.history,
        ..Proc::default()
    };
    out.go(step, next);
}
