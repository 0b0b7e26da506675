use super::history::History;
use super::hunt::{Hunt, report};
use super::mutation::Mutation;
use super::run;

/// Enough for every rule to be asked for often; the long run is `make model`.
const HISTORIES: u64 = 300;
/// A fault that is put in on purpose must show within so many. One more takes thousands: see `make model`.
const CAUGHT_WITHIN: u64 = 1000;

fn hunt(count: u64, mutation: Option<Mutation>) -> Option<u64> {
    let hunt = Hunt {
        first: 1,
        count,
        threads: 2,
        mutation,
    };
    hunt.run().seed
}

#[test]
fn no_history_breaks_a_rule() {
    if let Some(seed) = hunt(HISTORIES, None) {
        panic!("{}", report(seed, None).unwrap_or_default());
    }
}

#[test]
fn a_seed_is_repeated_to_the_last_detail() {
    for seed in 1..=20 {
        let history = History::of(seed);

        let [first, second] = [(); 2].map(|()| run(&history, None, true));

        let differing = first
            .trace
            .iter()
            .zip(&second.trace)
            .position(|(one, other)| one != other);
        assert_eq!(
            differing.map(|at| (at, &first.trace[at], &second.trace[at])),
            None,
            "seed {seed}"
        );
        assert_eq!(first.trace.len(), second.trace.len());
        assert_eq!(first.figures, second.figures);
    }
}

#[test]
fn a_manager_that_frees_addresses_too_early_is_caught() {
    assert!(hunt(CAUGHT_WITHIN, Some(Mutation::ReleasesOnRequest)).is_some());
}

#[test]
fn a_manager_that_forgets_what_it_held_is_caught() {
    assert!(hunt(CAUGHT_WITHIN, Some(Mutation::ForgetsRollback)).is_some());
}

#[test]
fn a_manager_that_writes_without_the_lease_is_caught() {
    assert!(hunt(CAUGHT_WITHIN, Some(Mutation::IgnoresLease)).is_some());
}

#[test]
fn a_manager_that_begins_from_old_lists_is_caught() {
    assert!(hunt(CAUGHT_WITHIN, Some(Mutation::ListsStale)).is_some());
}

#[test]
fn a_manager_that_misses_deletions_is_caught() {
    assert!(hunt(CAUGHT_WITHIN, Some(Mutation::MissesDeletions)).is_some());
}

#[test]
fn a_shrunk_history_is_shorter_and_breaks_a_rule_still() {
    let mutation = Some(Mutation::MissesDeletions);
    let seed = hunt(CAUGHT_WITHIN, mutation).unwrap();
    let history = History::of(seed);

    let least = super::shrink::shrunk(&history, mutation);

    assert!(least.events.len() < history.events.len());
    assert!(run(&least, mutation, false).violation.is_some());
}
