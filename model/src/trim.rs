//! Trim: a serving primary deletes logs.

use crate::bounds::{Model, Protection};
use crate::serve::header_ok;
use crate::state::{Life, Log, LogId, Published, State};
use crate::step::{Step, Steps};

/// All deletions the primary of `epoch` may do now.
pub fn trim(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    if !m.bounds.trim || (m.has(Protection::TrimAfterHeader) && !header_ok(s, epoch)) {
        return;
    }
    let chain = chain(m, s, epoch);
    if m.has(Protection::TrimAlongChain) {
        trim_oldest(m, s, epoch, &chain, out);
    } else {
        trim_by_name(m, s, epoch, out);
    }
    for older in 1..epoch {
        for id in State::names(older).filter(|id| !chain.contains(id)) {
            delete(m, s, epoch, id, out);
        }
        drop_leftover(s, epoch, older, out);
        drop_epoch(m, s, epoch, older, out);
    }
}

/// The checkpoint of an older epoch that was claimed to be filled, and was not.
fn drop_leftover(s: &State, epoch: u8, older: u8, out: &mut Steps) {
    let published = s.start(older).published == Published::Yes;
    if s.fill(older).checkpoint == Life::Present && !published {
        let mut next = *s;
        next.fill_mut(older).checkpoint = Life::Deleted;
        out.go(Step::DropLeftover(epoch, older), next);
    }
}

/// Start and claim of an older epoch go when it has neither logs nor checkpoints left.
fn drop_epoch(m: &Model, s: &State, epoch: u8, older: u8, out: &mut Steps) {
    let logs = State::names(older).any(|id| s.log(id).life == Life::Present);
    let kept = [s.checkpoints.newest, s.checkpoints.older];
    let checkpoints = kept.iter().any(|c| c.next > 0 && c.epoch == older);
    let fill = s.fill(older);
    let leftover = fill.checkpoint == Life::Present;
    let published = s.start(older).published == Published::Yes;
    if logs || checkpoints || leftover || !(published || fill.claimed && !fill.dropped) {
        return;
    }
    let mut next = *s;
    if published {
        next.start_mut(older).published = Published::Deleted;
    }
    if fill.claimed {
        let fill = next.fill_mut(older);
        fill.void &= m.has(Protection::VoidsStay);
        fill.dropped = true;
    }
    out.go(Step::DropEpoch(epoch, older), next);
}

/// The names on the chain of the epoch's start, newest first, deleted ones too: a log that a walk
/// does not reach because another is gone is not off the chain.
fn chain(m: &Model, s: &State, epoch: u8) -> Vec<LogId> {
    let whole = m.has(Protection::WholeChainKnown);
    let mut names = Vec::new();
    let mut id = LogId {
        epoch,
        index: s.procs[epoch as usize].cur,
    };
    while id.epoch != 0 && (whole || s.log(id).life == Life::Present) {
        names.push(id);
        id = match id.index {
            0 => s.start(id.epoch).prev,
            _ => LogId {
                index: id.index - 1,
                ..id
            },
        };
    }
    names
}

fn replaced(m: &Model, s: &State, successor: &Log) -> bool {
    let c = &s.checkpoints;
    let older = m.has(Protection::TrimBehindOlder);
    let bound = if older { c.older.next } else { c.newest.next };
    let by_checkpoint = bound > 0 && successor.len > 0 && successor.frames[0].seq <= bound;
    by_checkpoint || !m.has(Protection::TrimBehindCheckpoint)
}

/// The oldest log of the chain goes when its successor on the chain begins at or below the older
/// checkpoint.
fn trim_oldest(m: &Model, s: &State, epoch: u8, chain: &[LogId], out: &mut Steps) {
    let left = chain
        .iter()
        .take_while(|id| s.log(**id).life == Life::Present)
        .count();
    match &chain[..left] {
        [.., successor, oldest] if replaced(m, s, s.log(*successor)) => {
            delete(m, s, epoch, *oldest, out);
        }
        _ => {}
    }
}

/// The mutant that takes the next name for the successor.
fn trim_by_name(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    let names: Vec<LogId> = (1..=epoch)
        .flat_map(State::names)
        .filter(|id| s.log(*id).life == Life::Present && s.log(*id).len > 0)
        .collect();
    match names[..] {
        [oldest, successor, ..] if replaced(m, s, s.log(successor)) => {
            delete(m, s, epoch, oldest, out);
        }
        _ => {}
    }
}

fn delete(m: &Model, s: &State, epoch: u8, id: LogId, out: &mut Steps) {
    if s.log(id).life != Life::Present {
        return;
    }
    let mut next = *s;
    let log = next.log_mut(id);
    log.life = Life::Deleted;
    if !m.has(Protection::FenceOutlivesLog) {
        log.fenced = false;
    }
    out.go(Step::Trim(epoch, id), next);
}
