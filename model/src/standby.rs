//! The standby's `follow`, and `checkpoint` by a standby or a primary.

use crate::bounds::{Model, Protection};
use crate::read::{self, Open, Walk};
use crate::state::{Bytes, Checkpoint, Checkpoints, Life, MAX_LOGS, Published, Standby, State};
use crate::step::{Broken, Step, Steps};

/// The standby reads on along the highest start, or still along the one it knows.
pub fn follow(m: &Model, s: &State, out: &mut Steps) {
    let highest = s.highest_start();
    for head in s.heads().filter(|&head| head != 0) {
        follow_start(m, s, head, head >= highest, out);
    }
    let seen = s.standby.seen;
    if seen != 0 && !s.heads().any(|head| head == seen) {
        follow_start(m, s, seen, false, out);
    }
}

fn follow_start(m: &Model, s: &State, start: u8, highest: bool, out: &mut Steps) {
    // A start that is no longer the highest explains all: no verdict.
    let judge = highest || !m.has(Protection::ListBeforeVerdict);
    let fail = |broken, out: &mut Steps| {
        if judge {
            out.fail(Step::Follow(start, s.standby.cursor), broken);
        }
    };
    let mut there = [false; MAX_LOGS];
    for id in State::names(start) {
        there[id.index as usize] = s.log(id).life == Life::Present;
    }
    let found = read::oldest(m, s, start, &there).and_then(|id| {
        let walk = (id.index == 0).then(|| read::walk_back(m, s, start));
        Ok((id, walk.transpose()?))
    });
    let (oldest, walk) = match found {
        Ok(found) => found,
        Err(broken) => return fail(broken, out),
    };
    read::read_open(s, oldest, there, false, &mut |open| match open
        .and_then(|open| apply(m, s, start, walk.as_ref(), &open))
    {
        Ok(next) if next != *s => {
            out.go(Step::Follow(start, next.standby.cursor), next);
        }
        Ok(_) => {}
        Err(broken) => fail(broken, out),
    });
}

/// Applies what one read found.
fn apply(
    m: &Model,
    s: &State,
    start: u8,
    walk: Option<&Walk>,
    open: &Open,
) -> Result<State, Broken> {
    let mut next = *s;
    let first = walk.map_or(open.first, |w| w.first);
    let mut cursor = s.standby.cursor;
    if first > cursor {
        // What comes next was trimmed: loads the newest checkpoint.
        load(&mut next)?;
        cursor = cursor.max(s.checkpoints.newest.next);
    }
    if first > cursor {
        return Err(Broken::FalseCorrupt("logs and checkpoints leave a gap"));
    }
    let bound = if m.has(Protection::FollowDurableOnly) {
        open.durable
    } else {
        open.end
    };
    while cursor < bound {
        let seq = cursor;
        let i = usize::from(seq);
        let of_walk = walk.map_or(0, |w| w.history.0[i]);
        let found = if open.history.0[i] == 0 {
            of_walk
        } else {
            open.history.0[i]
        };
        if found == 0 {
            return Err(Broken::FalseCorrupt("the row of entries has a gap"));
        }
        let kept = &mut next.kept.0[i];
        if *kept != 0 && *kept != found {
            return Err(Broken::Contradicted(seq));
        }
        *kept = found;
        cursor += 1;
    }
    next.standby = Standby {
        cursor,
        seen: start.max(s.standby.seen),
    };
    Ok(next)
}

/// The state of the newest checkpoint is applied.
fn load(next: &mut State) -> Result<(), Broken> {
    let base = read::base(next);
    for seq in 0..next.checkpoints.newest.next {
        let kept = &mut next.kept.0[usize::from(seq)];
        let found = base.0[usize::from(seq)];
        if *kept != 0 && *kept != found {
            return Err(Broken::Contradicted(seq));
        }
        *kept = found;
    }
    Ok(())
}

/// A primary writes a checkpoint of a state that was acknowledged at some time.
pub fn checkpoint_of_primary(m: &Model, s: &State, epoch: u8, out: &mut Steps) {
    for next in 1..=s.procs[epoch as usize].acked {
        write(m, s, epoch, Checkpoint { next, epoch }, out);
    }
}

/// The standby writes a checkpoint of what it has applied.
pub fn checkpoint_of_standby(m: &Model, s: &State, out: &mut Steps) {
    let Standby { cursor, seen } = s.standby;
    let known = !m.has(Protection::CheckpointOfServed) || seen_to_serve(s, seen);
    if cursor > 0 && known {
        write(
            m,
            s,
            0,
            Checkpoint {
                next: cursor,
                epoch: seen,
            },
            out,
        );
    }
}

/// Whether a reader may see what an epoch writes only past step 7: then its start is there for all.
fn seen_to_serve(s: &State, epoch: u8) -> bool {
    if epoch == 0 {
        return false;
    }
    let start = s.start(epoch);
    let carried = 1 + usize::from(start.carried_end - start.d);
    let mut names = State::names(epoch);
    names.any(|id| {
        let before = if id.index == 0 { carried } else { 0 };
        let mut served = s.log(id).frames().iter().skip(before);
        served.any(|f| f.bytes != Bytes::Lost)
    })
}

/// Its content is what the writer was told or has applied, so it agrees with the ghost.
fn write(m: &Model, s: &State, by: u8, c: Checkpoint, out: &mut Steps) {
    let Checkpoints {
        newest,
        older,
        written,
    } = s.checkpoints;
    // A checkpoint below the two that are kept changes nothing.
    if written >= m.bounds.checkpoints || c == newest || c <= older {
        return;
    }
    // One of an epoch whose start is gone does not count.
    if s.start(c.epoch).published == Published::Deleted {
        return;
    }
    let mut next = *s;
    next.checkpoints.written = written + 1;
    count(&mut next, c);
    out.go(Step::Checkpoint(by, c.next), next);
}

/// One more checkpoint counts; the two with the highest names are kept.
pub fn count(next: &mut State, c: Checkpoint) {
    let Checkpoints { newest, older, .. } = &mut next.checkpoints;
    if c > *newest {
        (*newest, *older) = (c, *newest);
    } else if c > *older {
        *older = c;
    }
}
