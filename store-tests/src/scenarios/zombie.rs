//! A primary that is stopped at a random point, superseded, and woken (FC-9).

use super::entries;
use crate::access::Access;
use crate::child::{Child, Role};
use crate::state::{State, entry};
use crate::{Random, figures, runtime};
use nix::sys::signal::Signal;

/// Stops a primary at a random point, takes over, appends, wakes it.
pub fn stop_and_wake(access: &Access, rounds: u64) {
    let mut random = Random::new("SIGSTOP");
    let mut config = access.config();
    config.take_over = true;
    let runtime = runtime();
    runtime.block_on(config.format(false)).unwrap();
    let (mut acks, mut late) = (0, 0);
    for round in 0..rounds {
        // In every second round it would take over from itself if it could.
        let role = match round % 2 {
            0 => Role::Write,
            _ => Role::WriteAndReopen,
        };
        let mut zombie = Child::spawn(access, round, role);
        zombie.wait_for("serving");
        std::thread::sleep(random.micros(40_000));
        zombie.signal(Signal::SIGSTOP);
        let (state, journal) = runtime.block_on(async {
            let mut recovery = config.primary().await.unwrap();
            let state = State::recover(&mut recovery).await.unwrap();
            let early = random.below(3) == 0;
            if early {
                zombie.signal(Signal::SIGCONT);
            }
            let journal = recovery.start().await.unwrap();
            for n in 0..3 {
                let receipt = journal.append(&entry((round, 100), n)).await.unwrap();
                assert_eq!(receipt.seq.0, state.count + n);
            }
            (state, journal)
        });
        let before = zombie.acked().len();
        zombie.signal(Signal::SIGCONT);
        assert!(zombie.end().success());
        let acked = zombie.acked();
        for ack in &acked {
            assert!(
                state.has(ack.writer, ack.n),
                "round {round}: {ack:?} was acknowledged, but the successor does not have it"
            );
            assert!(ack.seq < state.count, "{ack:?} lies behind the take-over");
        }
        check_errors(&zombie, round);
        acks += acked.len();
        late += acked.len() - before;
        runtime.block_on(async {
            journal.append(&entry((round, 100), 3)).await.unwrap();
            let found = entries(&config).await;
            for ack in &acked {
                let is = found.get(&ack.seq);
                assert!(
                    is.is_none_or(|is| *is == (ack.writer, ack.n)),
                    "{ack:?}: {is:?}"
                );
            }
            if round.is_multiple_of(3) {
                journal.close().await.unwrap();
            }
        });
    }
    println!("{rounds} primaries stopped and woken, {acks} acks, {late} heard after the wake");
    figures::note(
        "a stopped and woken primary",
        "FLUSHPROOF_ZOMBIE_ROUNDS",
        rounds,
        &[("acks", acks.to_string()), ("heard-late", late.to_string())],
    );
}

/// Every task of a superseded primary ends with an error that says so.
fn check_errors(zombie: &Child, round: u64) {
    let errors = zombie.said("error");
    assert!(!errors.is_empty());
    for error in &errors {
        let known = ["fenced", "closed", "not-found"].map(|kind| error.starts_with(kind));
        assert!(known.contains(&true), "round {round}: {error}");
    }
    let fenced = errors.iter().filter(|e| e.starts_with("fenced")).count();
    assert!(
        fenced >= 6,
        "round {round}: not all heard of the fence: {errors:?}"
    );
}
