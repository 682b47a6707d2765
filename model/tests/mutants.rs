//! Every protection is needed: without it the search finds what goes wrong.

use flushproof_model::bounds::{Model, Protection};
use flushproof_model::explore::{Search, Verdict, explore};
use flushproof_model::mutants::MUTANTS;

#[test]
fn every_protection_has_a_mutant() {
    for protection in Protection::ALL {
        let mutants = MUTANTS.iter().filter(|m| m.without == protection).count();
        assert_eq!(mutants, 1, "{protection:?}");
    }
}

#[test]
fn every_mutant_is_caught() {
    for mutant in &MUTANTS {
        let found = explore(&mutant.model(), Search::default());
        assert!(
            matches!(found.verdict, Verdict::Broken(_)),
            "{}: {} after {} states",
            mutant.name,
            found.verdict,
            found.states,
        );
    }
}

/// What is caught is the mutant, not the bounds: with the protection in place they are clean.
#[test]
fn the_same_bounds_are_clean_with_the_protection() {
    let mut done = Vec::new();
    for mutant in &MUTANTS {
        if done.contains(&mutant.bounds) {
            continue;
        }
        done.push(mutant.bounds);
        let whole = Model {
            bounds: mutant.bounds,
            without: None,
        };
        // A larger share of these bounds is explored than the mutant needs to be caught.
        let limit = 1_500_000;
        let found = explore(
            &whole,
            Search {
                limit,
                ..Search::default()
            },
        );
        let fine = matches!(found.verdict, Verdict::Clean | Verdict::Unfinished);
        assert!(fine, "{}: {}", mutant.name, found.verdict);
    }
}

#[test]
fn a_trace_leads_from_the_first_step_to_the_last() {
    let mutant = MUTANTS
        .iter()
        .find(|m| m.name == "no-confirm")
        .expect("it exists");
    let found = explore(
        &mutant.model(),
        Search {
            trace: true,
            ..Search::default()
        },
    );
    assert_eq!(found.trace.len() as u32, found.depth);
    assert_eq!(found.trace[0].to_string(), "1: claim_epoch");
}
