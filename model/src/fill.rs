//! Filling an empty journal: a restore, a copy, a repair; and the void, by which whoever claims
//! higher decides that a filler which has not published never will.

use crate::bounds::{Model, Protection};
use crate::read;
use crate::standby;
use crate::state::{
    Bytes, Checkpoint, Frame, Kind, Life, LogId, MAX_LOGS, Phase, Proc, Published, Start, State,
    log_bit,
};
use crate::step::{Broken, Filling, Step, Steps};
use crate::takeover::{claim, fence_logs, list_again, lost_start, present};

/// What a journal is filled with: the number of its checkpoint and first entry, and its end.
const CONTENTS: [(u8, u8); 3] = [(0, 1), (1, 1), (1, 2)];

/// Somebody who is not running claims the next epoch, to fill it.
pub fn claim_fill(m: &Model, s: &State, out: &mut Steps) {
    if !m.bounds.fill || s.claimed >= m.bounds.epochs {
        return;
    }
    let early = !m.has(Protection::FillClaimBeforeLists);
    if early && s.procs[0].phase == Phase::Idle {
        return lists_before_claim(s, out);
    }
    for (first, end) in CONTENTS.into_iter().filter(|c| c.1 <= m.bounds.entries) {
        let mut next = *s;
        let epoch = claim(&mut next);
        next.fill_mut(epoch).claimed = true;
        *next.start_mut(epoch) = Start {
            d: first,
            carried_end: end,
            ..Start::default()
        };
        let phase = Phase::Claimed;
        next.procs[epoch as usize] = Proc {
            phase,
            ..Proc::default()
        };
        if early {
            next.procs[epoch as usize] = next.procs[0];
            next.procs[0] = Proc::default();
        }
        out.go(Step::Filling(epoch, Filling::Claim(first, end)), next);
    }
}

/// The mutant that lists first and claims later.
fn lists_before_claim(s: &State, out: &mut Steps) {
    let mut next = *s;
    let p = &mut next.procs[0];
    p.head = s.highest_start();
    p.phase = Phase::StartsListed;
    let step = Step::ListStarts(0, p.head);
    out.go(step, next);
}

/// The next step of the process that claimed `epoch` to fill it.
pub fn filler(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let void = m.has(Protection::VoidByFiller);
    match s.procs[epoch as usize].phase {
        Phase::Claimed => {
            for head in s.heads() {
                let mut next = *s;
                let p = &mut next.procs[epoch as usize];
                (p.head, p.phase) = (head, Phase::StartsListed);
                out.go(Step::ListStarts(epoch, head), next);
            }
        }
        Phase::StartsListed if void && void_between(s, epoch, out) => {}
        Phase::StartsListed => {
            let mut next = *s;
            let p = &mut next.procs[epoch as usize];
            (p.listed, p.phase) = (present(s, p.head), Phase::LogsListed);
            out.go(Step::ListLogs(epoch), next);
        }
        Phase::LogsListed if fence_logs(m, s, epoch, out) => {}
        Phase::LogsListed => expect_empty(m, s, epoch, out),
        Phase::Filled => confirm(s, epoch, out),
        Phase::FillConfirmed if void && void_between(s, epoch, out) => {}
        Phase::FillConfirmed | Phase::Publishing => publish_start(m, s, epoch, out),
        Phase::FillPublished => restored(*s, epoch, out),
        _ => {}
    }
}

/// Decides for one more epoch between the head and `epoch` that was claimed to be filled. False:
/// all are decided.
pub fn void_between(s: &State, epoch: u8, out: &mut Steps) -> bool {
    let open = |e: &u8| {
        let fill = s.fill(*e);
        fill.claimed && !fill.dropped && !fill.void
    };
    let head = s.procs[epoch as usize].head;
    let Some(lower) = (head + 1..epoch).find(open) else {
        return false;
    };
    if s.start(lower).published != Published::No {
        // Its start was first: the head is another one.
        list_again(s, epoch, out);
        return true;
    }
    let mut next = *s;
    next.fill_mut(lower).void = true;
    out.go(Step::Filling(epoch, Filling::Void(lower)), next);
    true
}

/// The journal must hold nothing; nobody adds to it any more, for its logs are fenced.
fn expect_empty(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let p = &s.procs[epoch as usize];
    if let Some(broken) = lost_start(m, s, epoch, p.head) {
        return verdict(s, epoch, broken, out);
    }
    if p.head == 0 {
        return write(m, s, epoch, out);
    }
    let mut listed = [false; MAX_LOGS];
    for id in State::names(p.head) {
        listed[id.index as usize] = p.listed & log_bit(id) != 0;
    }
    read::recover(m, s, p.head, listed, s.covered(), &mut |read| match read {
        Ok(found) if found.end == 0 && s.checkpoints.newest.next == 0 => write(m, s, epoch, out),
        Ok(_) => out.go(Step::Filling(epoch, Filling::NotEmpty), without(s, epoch)),
        Err(broken) => verdict(s, epoch, broken, out),
    });
}

/// The same state, and the process has ended.
fn without(s: &State, epoch: u8) -> State {
    let mut next = *s;
    next.procs[epoch as usize] = Proc::default();
    next
}

/// Damage must be found twice in the same words: with new lists a higher epoch explains it.
fn verdict(s: &State, epoch: u8, broken: Broken, out: &mut Steps) {
    if s.claimed > epoch {
        return list_again(s, epoch, out);
    }
    out.fail(Step::Filling(epoch, Filling::Write), broken);
}

/// Writes checkpoint and log, all Ok; the end of the log says so.
fn write(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let mut next = *s;
    let Start {
        d: first,
        carried_end: end,
        ..
    } = *s.start(epoch);
    let frame = |kind, seq, value, durable, durable_offset| Frame {
        kind,
        seq,
        value,
        durable,
        durable_offset,
        bytes: Bytes::Durable,
    };
    let log = next.log_mut(LogId { epoch, index: 0 });
    log.life = Life::Present;
    log.push(frame(Kind::Header, first, 0, first, 0));
    for seq in first..end {
        log.push(frame(Kind::Entry, seq, epoch, first, 1));
    }
    log.push(frame(Kind::Mark, end, 0, end, log.len));
    let head = s.procs[epoch as usize].head;
    let phase = Phase::Filled;
    next.procs[epoch as usize] = Proc {
        phase,
        head,
        ..Proc::default()
    };
    if first > 0 {
        next.fill_mut(epoch).checkpoint = Life::Present;
        if !m.has(Protection::FillCheckpointNeedsStart) {
            count_checkpoint(&mut next, epoch);
        }
    }
    out.go(Step::Filling(epoch, Filling::Write), next);
}

/// Its checkpoint counts from now on.
fn count_checkpoint(next: &mut State, epoch: u8) {
    if next.fill(epoch).checkpoint == Life::Present {
        next.fill_mut(epoch).checkpoint = Life::Absent;
        let number = next.start(epoch).d;
        standby::count(
            next,
            Checkpoint {
                next: number,
                epoch,
            },
        );
    }
}

/// A deleted checkpoint is there again after a storage crash; with a start it counts.
pub fn checkpoint_returns(next: &mut State, epoch: u8) {
    next.fill_mut(epoch).checkpoint = Life::Present;
    if next.start(epoch).published == Published::Yes {
        count_checkpoint(next, epoch);
    }
}

/// With a higher epoch in sight it gives up, or because something else failed.
fn confirm(s: &State, epoch: u8, out: &mut Steps) {
    if s.claimed == epoch {
        let mut next = *s;
        next.procs[epoch as usize].phase = Phase::FillConfirmed;
        out.go(Step::Filling(epoch, Filling::Confirm), next);
    }
    let mut next = without(s, epoch);
    next.fill_mut(epoch).void = true;
    remove(&mut next, epoch);
    out.go(Step::Filling(epoch, Filling::Discard), next);
}

/// Removes what was written of an epoch that gets no start.
fn remove(next: &mut State, epoch: u8) {
    next.log_mut(LogId { epoch, index: 0 }).life = Life::Deleted;
    if next.fill(epoch).checkpoint == Life::Present {
        next.fill_mut(epoch).checkpoint = Life::Deleted;
    }
}

/// The start or the void: one of both is first. If starts may be pending, in two steps.
fn publish_start(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let mut next = *s;
    if s.fill(epoch).void && m.has(Protection::FillPublishesExclusively) {
        remove(&mut next, epoch);
        return refuse(next, epoch, out);
    }
    next.fill_mut(epoch).void = false;
    count_checkpoint(&mut next, epoch);
    if m.bounds.pending_starts && s.start(epoch).published == Published::No {
        next.start_mut(epoch).published = Published::Pending;
        next.procs[epoch as usize].phase = Phase::Publishing;
        return out.go(Step::StartPending(epoch), next);
    }
    next.start_mut(epoch).published = Published::Yes;
    next.procs[epoch as usize].phase = Phase::FillPublished;
    out.go(Step::PublishStart(epoch), next);
}

/// The world is told that what was filled in is durable.
fn restored(mut next: State, epoch: u8, out: &mut Steps) {
    let step = Step::Filling(epoch, Filling::Restored);
    next.procs[epoch as usize] = Proc::default();
    for seq in 0..next.start(epoch).carried_end {
        let kept = &mut next.kept.0[seq as usize];
        if *kept != 0 && *kept != epoch {
            return out.fail(step, Broken::Contradicted(seq));
        }
        if next.top > epoch && *kept == 0 {
            return out.fail(step, Broken::FencedAck(seq));
        }
        *kept = epoch;
    }
    out.go(step, next);
}

/// The world is told for certain that nothing of it was written.
fn refuse(mut next: State, epoch: u8, out: &mut Steps) {
    next.procs[epoch as usize] = Proc::default();
    next.fill_mut(epoch).refused = true;
    let step = Step::Filling(epoch, Filling::Refused);
    match partly(&next) {
        Some(broken) => out.fail(step, broken),
        None => out.go(step, next),
    }
}

/// What was filled in is in the journal as a whole or not at all, and not at all if its filler was
/// told so.
pub fn partly(s: &State) -> Option<Broken> {
    for epoch in (1..=s.claimed).filter(|e| s.fill(*e).claimed && s.kept.0.contains(e)) {
        let whole = &s.kept.0[..usize::from(s.start(epoch).carried_end)];
        if whole.iter().any(|value| *value != epoch) {
            return Some(Broken::Partly(epoch));
        }
        if s.fill(epoch).refused {
            return Some(Broken::Refused(epoch));
        }
    }
    None
}
