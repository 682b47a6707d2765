//! What the storage does by itself: flushes become durable, and it crashes.

use crate::bounds::{Model, Protection};
use crate::fill;
use crate::state::{Bytes, Life, LogId, MAX_FRAMES, Phase, Published, State};
use crate::step::{Step, Steps};

/// A flush becomes durable, if no fence forbids it. A flush that nobody waits for any more need
/// not be looked at: that it may be read or not at any time allows more.
pub fn flushes_land(m: &Model, s: &State, out: &mut Steps) {
    for epoch in 1..=s.claimed {
        let writer = &s.procs[epoch as usize];
        if writer.phase != Phase::Serving {
            continue;
        }
        for index in writer.ack_log..=writer.cur {
            log_lands(m, s, LogId { epoch, index }, out);
        }
    }
}

fn log_lands(m: &Model, s: &State, id: LogId, out: &mut Steps) {
    let log = s.log(id);
    let stopped = log.fenced && m.has(Protection::FenceStopsFlushes);
    // The mutant lets a flush that began before the fence resolve after it.
    let bound = if stopped {
        0
    } else {
        usize::from(log.len.min(log.limit))
    };
    let waiting = log.frames().iter().take(bound).enumerate();
    let waiting = waiting.filter(|(_, f)| f.bytes == Bytes::Unflushed);
    for (frame, _) in waiting.take(if m.bounds.any_order { MAX_FRAMES } else { 1 }) {
        let mut next = *s;
        next.log_mut(id).frames[frame].bytes = Bytes::Durable;
        out.go(Step::FlushLands(id, frame as u8), next);
    }
}

/// A storage crash: of the unflushed frames any combination stays.
pub fn crash(m: &Model, s: &State, out: &mut Steps) {
    if s.store_crashes >= m.bounds.store_crashes {
        return;
    }
    let mut unflushed = Vec::new();
    for id in (1..=s.claimed).flat_map(State::names) {
        let frames = s.log(id).frames().iter().enumerate();
        unflushed.extend(
            frames
                .filter(|(_, f)| f.bytes == Bytes::Unflushed)
                .map(|(i, _)| (id, i)),
        );
    }
    for kept in 0..1u32 << unflushed.len() {
        let mut next = *s;
        next.store_crashes += 1;
        for (bit, &(id, frame)) in unflushed.iter().enumerate() {
            let stays = kept >> bit & 1 == 1;
            next.log_mut(id).frames[frame].bytes = if stays { Bytes::Kept } else { Bytes::Lost };
        }
        if !m.has(Protection::FenceDurable) {
            next.logs
                .iter_mut()
                .flatten()
                .for_each(|log| log.fenced = false);
        }
        names_return(m, &next, kept, out);
    }
}

/// After a crash any of the deleted names may be there again: a log with its bytes or without, a
/// start with them (one without is taken for none below the head).
fn names_return(m: &Model, s: &State, kept: u32, out: &mut Steps) {
    let mut states = vec![*s];
    if m.bounds.names_return {
        for epoch in 1..=s.claimed {
            if s.start(epoch).published == Published::Deleted {
                also(&mut states, |next| {
                    next.start_mut(epoch).published = Published::Yes;
                });
            }
            if s.fill(epoch).checkpoint == Life::Deleted {
                also(&mut states, |next| fill::checkpoint_returns(next, epoch));
            }
            for id in State::names(epoch).filter(|id| s.log(*id).life == Life::Deleted) {
                let whole = s.log(id).limit > 0;
                let back = states.clone();
                also(&mut states, |next| next.log_mut(id).life = Life::Present);
                if !whole {
                    continue;
                }
                states.extend(back.into_iter().map(|mut next| {
                    let log = next.log_mut(id);
                    log.life = Life::Present;
                    log.limit = 0;
                    next
                }));
            }
        }
    }
    for next in states {
        out.go(Step::StorageCrash(kept), next);
    }
}

/// Each of the states, and each with this change.
fn also(states: &mut Vec<State>, change: impl Fn(&mut State)) {
    let changed: Vec<_> = states
        .iter()
        .map(|s| {
            let mut next = *s;
            change(&mut next);
            next
        })
        .collect();
    states.extend(changed);
}
