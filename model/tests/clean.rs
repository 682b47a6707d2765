//! Every small configuration is clean, and explored to its end.

use flushproof_model::configs::SMALL;
use flushproof_model::explore::{Search, Verdict, explore};

/// Several tests, so that they run on several cores: test `part` takes every fourth configuration.
fn explore_part(part: usize) {
    for config in SMALL.iter().skip(part).step_by(4) {
        let found = explore(
            &config.model(),
            Search {
                trace: false,
                ..Search::default()
            },
        );
        assert_eq!(
            found.verdict,
            Verdict::Clean,
            "see: cargo run --release -p flushproof-model -- --trace {}",
            config.name,
        );
    }
}

#[test]
fn clean_first_part() {
    explore_part(0);
}

#[test]
fn clean_second_part() {
    explore_part(1);
}

#[test]
fn clean_third_part() {
    explore_part(2);
}

#[test]
fn clean_fourth_part() {
    explore_part(3);
}
