//! Tests of the safety checks: for each check, one fault in the core's own code makes it fail within a few seeds.
//!
//! A check that no fault can trip proves nothing. Each check has one fault at most. The models have the faults that
//! would need thousands of seeds here.

use rhizo_protocol::sabotage::{Sabotage, choose};
use rhizo_sim::{Options, run_seed};

/// Number of seeds that are tried. The fault of most tests shows in the first few.
const SEEDS: u64 = 300;

/// The first violation under a fault is that of `check` (or of one of several that the fault can trip first).
fn trips(sabotage: Sabotage, checks: &[&str]) {
    choose(Some(sabotage));
    let mut others = Vec::new();
    let found = (0..SEEDS).find(|seed| {
        let violation = run_seed(*seed, &Options::default()).violation;
        if let Some(violation) = &violation {
            others.push(violation.check);
        }
        violation.is_some_and(|violation| checks.contains(&violation.check))
    });
    choose(None);
    assert!(found.is_some(), "{sabotage:?} does not trip {checks:?} in {SEEDS} seeds, only {others:?}");
}

#[test]
fn two_coordinators_in_a_term_are_seen() {
    trips(Sabotage::EveryoneCoordinates, &["one-coordinator-per-term"]);
}

#[test]
fn ledgers_that_differ_are_seen() {
    trips(Sabotage::SkipsEntries, &["ledgers-agree"]);
}

#[test]
fn instances_without_their_imports_are_seen() {
    trips(Sabotage::StartsUnserved, &["started-has-its-imports"]);
}

#[test]
fn bindings_of_stopped_instances_are_seen() {
    trips(Sabotage::KeepsBindings, &["stopped-has-no-binding"]);
}

#[test]
fn places_that_are_left_under_their_users_are_seen() {
    trips(Sabotage::LeavesUnderUsers, &["used-is-started"]);
}

#[test]
fn a_second_copy_of_an_exclusive_component_is_seen() {
    trips(Sabotage::IgnoresExclusive, &["exclusive-is-kept"]);
}

#[test]
fn a_host_that_holds_more_than_it_can_is_seen() {
    trips(Sabotage::Overfills, &["no-host-is-overfilled"]);
}

#[test]
fn a_failed_action_that_counts_as_done_is_seen() {
    trips(Sabotage::FailedIsDone, &["failed-is-no-success"]);
}

#[test]
fn users_that_are_not_told_of_a_loss_are_seen() {
    trips(Sabotage::ForgetsUsers, &["bound-is-served"]);
}

#[test]
fn a_second_run_of_an_instance_is_seen() {
    trips(Sabotage::RestartsWithoutStop, &["one-run-at-a-time"]);
}

#[test]
fn spending_without_an_intent_is_seen() {
    trips(Sabotage::SpendsEarly, &["no-spending-without-intent"]);
}

#[test]
fn an_order_that_is_not_the_committed_one_is_seen() {
    trips(Sabotage::ChangesToken, &["orders-are-as-committed"]);
}

#[test]
fn a_release_on_suspicion_is_seen() {
    trips(Sabotage::ReleasesOnSuspicion, &["no-release-without-decision"]);
}

#[test]
fn a_death_without_a_cause_is_seen() {
    trips(Sabotage::HastyDeath, &["no-death-without-cause"]);
}

#[test]
fn observers_that_keep_each_other_believing_are_seen() {
    trips(Sabotage::HearsayCounts, &["death-is-bounded"]);
}

#[test]
fn a_budget_that_is_not_looked_at_is_seen() {
    trips(Sabotage::IgnoresBudget, &["budget-is-kept"]);
}

#[test]
fn a_host_of_two_intents_is_seen() {
    trips(Sabotage::AdoptsAnyHost, &["one-intent-per-host"]);
}

#[test]
fn a_name_that_is_used_too_early_is_seen() {
    trips(Sabotage::ReusesNames, &["names-are-resolved"]);
}

#[test]
fn an_even_number_of_voters_is_seen() {
    trips(Sabotage::AnyNumberOfVoters, &["voters-are-odd"]);
}

#[test]
fn a_node_id_that_is_used_twice_is_seen() {
    trips(Sabotage::ReusesNodeIds, &["node-ids-are-unique"]);
}

#[test]
fn a_minority_that_does_not_say_so_is_seen() {
    trips(Sabotage::ClaimsQuorum, &["minority-spends-nothing"]);
}

#[test]
fn an_application_that_does_not_end_is_seen() {
    trips(Sabotage::KeepsHosts, &["is-taken-down", "converges"]);
}

#[test]
fn an_application_that_does_not_begin_is_seen() {
    trips(Sabotage::RefusesJoins, &["deploys"]);
}

#[test]
fn a_host_for_a_version_that_never_ran_is_seen() {
    trips(Sabotage::AcquiresForUnproven, &["no-purchase-for-what-never-ran"]);
}

#[test]
fn a_second_spare_host_is_seen() {
    trips(Sabotage::ForgetsSpares, &["one-spare-host"]);
}

#[test]
fn a_pinned_copy_that_is_moved_is_seen() {
    trips(Sabotage::MovesPinned, &["pinned-stays"]);
}

#[test]
fn awaited_data_that_is_destroyed_is_seen() {
    trips(Sabotage::ReleasesData, &["awaited-data-is-kept"]);
}

#[test]
fn copies_that_pile_up_are_seen() {
    trips(Sabotage::PilesUpCopies, &["copies-are-bounded"]);
}
