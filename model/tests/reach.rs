//! The model does reach what it is meant to check: a clean verdict is not empty.

use flushproof_model::bounds::{BASE, Bounds, Model};
use flushproof_model::explore::{Search, Verdict, explore};
use flushproof_model::state::{Bytes, Life, LogId, Phase, Published, State};

fn reached(what: &str, bounds: Bounds, goal: fn(&State) -> bool) {
    let model = Model {
        bounds,
        without: None,
    };
    let search = Search {
        goal: Some(goal),
        ..Search::default()
    };
    let found = explore(&model, search);
    assert_eq!(
        found.verdict,
        Verdict::Reached,
        "{what}: after {} states",
        found.states
    );
}

fn log(epoch: u8, index: u8) -> LogId {
    LogId { epoch, index }
}

fn serves(s: &State, epoch: usize) -> bool {
    s.procs[epoch].phase == Phase::Serving
}

#[test]
fn a_zombie_still_serves_when_the_third_epoch_acknowledges() {
    reached("zombie", BASE, |s| {
        serves(s, 1) && serves(s, 3) && s.kept.0[..2] == [1, 3]
    });
}

#[test]
fn an_undecided_entry_is_carried_over_twice() {
    reached("carry", BASE, |s| {
        let undecided = |epoch| s.start(epoch).d == 0 && s.start(epoch).carried_end > 0;
        undecided(2) && undecided(3) && s.start(3).prev.epoch == 2 && serves(s, 3)
    });
}

#[test]
fn the_chain_leads_through_three_epochs() {
    let bounds = Bounds {
        marks: true,
        ..BASE
    };
    reached("chain", bounds, |s| {
        serves(s, 3) && s.start(3).prev.epoch == 2 && s.start(3).d == 2 && s.start(2).d == 1
    });
}

#[test]
fn one_epoch_rolls_twice() {
    let bounds = Bounds {
        logs: 3,
        entries: 3,
        ..BASE
    };
    reached("two rolls", bounds, |s| {
        s.procs[1].cur == 2 && s.procs[1].ack_off == 2
    });
}

#[test]
fn a_roll_goes_on_in_a_fenced_log() {
    let bounds = Bounds { logs: 2, ..BASE };
    reached("roll", bounds, |s| {
        s.log(log(1, 1)).fenced && s.log(log(1, 1)).len > 0 && serves(s, 2)
    });
}

#[test]
fn a_reopened_primary_acknowledges_what_it_carried_from_memory() {
    let bounds = Bounds {
        reopen: true,
        ..BASE
    };
    reached("reopen", bounds, |s| {
        let lost = s
            .log(log(1, 0))
            .frames()
            .iter()
            .any(|f| f.bytes == Bytes::Unflushed);
        lost && s.procs[1].phase == Phase::Idle && serves(s, 2) && s.kept.0[..2] == [1, 2]
    });
}

#[test]
fn a_standby_loads_a_checkpoint_behind_trimmed_logs() {
    let bounds = Bounds {
        standby: true,
        trim: true,
        checkpoints: 2,
        ..BASE
    };
    reached("reload", bounds, |s| {
        s.log(log(1, 0)).life == Life::Deleted && s.standby.cursor > 0 && s.standby.seen == 3
    });
}

#[test]
fn a_candidate_recovers_behind_trimmed_logs() {
    let bounds = Bounds {
        trim: true,
        checkpoints: 2,
        logs: 2,
        ..BASE
    };
    reached("trimmed", bounds, |s| {
        s.log(log(1, 0)).life == Life::Deleted && serves(s, 2) && s.kept.0[..2] == [1, 2]
    });
}

#[test]
fn a_storage_crash_leaves_a_hole() {
    let bounds = Bounds {
        store_crashes: 1,
        ..BASE
    };
    reached("hole", bounds, |s| {
        let frames = s.log(log(1, 0)).frames();
        let hole = frames
            .windows(2)
            .any(|w| w[0].bytes == Bytes::Lost && w[1].bytes == Bytes::Kept);
        hole && serves(s, 2)
    });
}

#[test]
fn a_log_is_created_again_after_a_lost_answer() {
    let bounds = Bounds {
        logs: 2,
        lost_answers: true,
        ..BASE
    };
    reached("again", bounds, |s| {
        let prepared = s.log(log(1, 1));
        prepared.fenced && prepared.life == Life::Present && serves(s, 1) && s.claimed == 2
    });
}

#[test]
fn a_reopen_tries_again_over_its_own_new_start() {
    let bounds = Bounds {
        reopen: true,
        ..BASE
    };
    reached("reopen again", bounds, |s| {
        let third = &s.procs[3];
        third.phase == Phase::Published && third.own == 0b011 && s.start(3).prev.epoch == 2
    });
}

#[test]
fn a_pending_start_is_seen_by_one_candidate_and_missed_by_the_next() {
    let bounds = Bounds {
        pending_starts: true,
        ..BASE
    };
    reached("pending", bounds, |s| {
        let heads = (s.procs[2].head, s.procs[3].head);
        heads == (1, 0) && s.procs[2].phase == s.procs[3].phase
    });
}

#[test]
fn a_deleted_start_and_a_deleted_log_come_back_whole() {
    let bounds = Bounds {
        trim: true,
        checkpoints: 2,
        store_crashes: 1,
        names_return: true,
        logs: 2,
        in_flight: 1,
        ..BASE
    };
    reached("start comes back", bounds, |s| {
        let back = s.log(log(1, 1));
        let trimmed = s.log(log(1, 0)).life == Life::Deleted;
        let whole = back.life == Life::Present && back.limit > 0 && s.store_crashes == 1;
        trimmed && whole && s.start(1).published == Published::Deleted && serves(s, 3)
    });
}

#[test]
fn a_deleted_log_comes_back_empty() {
    let bounds = Bounds {
        trim: true,
        checkpoints: 2,
        store_crashes: 1,
        names_return: true,
        ..BASE
    };
    reached("come back", bounds, |s| {
        let back = s.log(log(1, 0));
        back.life == Life::Present && back.limit == 0 && serves(s, 3)
    });
}

const FILL: Bounds = Bounds { fill: true, ..BASE };

#[test]
fn a_primary_goes_on_behind_what_was_filled_in() {
    reached("filled", FILL, |s| {
        let filled = s.start(1).d == 1 && s.start(1).carried_end == 2;
        filled && serves(s, 2) && s.start(2).prev.epoch == 1 && s.kept.0[..2] == [1, 1]
    });
}

#[test]
fn a_filler_that_wakes_late_finds_the_void() {
    reached("void", FILL, |s| {
        s.fill(1).void && s.fill(1).refused && serves(s, 2) && s.kept.0[0] == 2
    });
}

#[test]
fn a_served_but_empty_journal_is_filled() {
    reached("served", FILL, |s| {
        let fenced = s.log(log(1, 0)).fenced && s.log(log(1, 0)).len > 1;
        fenced && serves(s, 1) && s.fill(2).claimed && s.kept.0[0] == 2
    });
}

#[test]
fn a_checkpoint_that_does_not_count_comes_back() {
    let bounds = Bounds {
        trim: true,
        checkpoints: 2,
        store_crashes: 1,
        names_return: true,
        in_flight: 1,
        ..FILL
    };
    reached("checkpoint comes back", bounds, |s| {
        let back = s.fill(1).checkpoint == Life::Present && s.fill(1).dropped;
        back && s.store_crashes == 1 && serves(s, 2)
    });
}
