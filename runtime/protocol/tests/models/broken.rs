//! The broken variants: for each property, a fault in the core's own code that violates it.
//!
//! A property that no fault violates proves nothing. Scenarios are explored in turn until one violates the property;
//! the other properties are not checked meanwhile, because a fault often violates several.

use crate::catalogue::named;
use rhizo_protocol::sabotage::{Sabotage, choose};
use rhizo_verify::{Rule, check_only};

/// Each property with its fault, and a text in the names of the scenarios that show the violation.
pub(crate) const BROKEN: &[(Rule, Sabotage, &str)] = &[
    (Rule::StartedHasItsImports, Sabotage::StartsUnserved, "two-tier, Together on 1, Deploy"),
    (Rule::StoppedHasNoBinding, Sabotage::KeepsBindings, "two-tier, Together on 1, Deploy"),
    (Rule::UsedIsStarted, Sabotage::LeavesUnderUsers, "two-tier, Together on 1, Remove"),
    (Rule::FailedHasNoBinding, Sabotage::KeepsBindings, "two-tier, Together on 1, Deploy"),
    (Rule::PhaseIsTrue, Sabotage::RestartsWithoutStop, ""),
    (
        Rule::ExclusiveIsAlone,
        Sabotage::IgnoresExclusive,
        "exclusive, Together on 2, MoveFirst, nothing fails",
    ),
    (Rule::HostsAreNotOverfilled, Sabotage::Overfills, "full hosts, Spread on 2, MoveAll, nothing fails"),
    (Rule::WaitsAreKept, Sabotage::SkipsWaits, "Swap"),
    (Rule::ScriptsEnd, Sabotage::StaysInScripts, "Swap"),
    (Rule::WaitingHasAsked, Sabotage::ForgetsToAsk, "two-tier, Together on 1, Deploy"),
    (Rule::BoundImportsAreHeld, Sabotage::RebindsNobody, "optional, Together on 1, Deploy, nothing fails"),
    (Rule::NothingWithFormerMembers, Sabotage::RemembersTheDead, "Spread on 2, Deploy, a host crashes"),
    (Rule::OneUsePerExporter, Sabotage::LeaksUses, "UpgradeAll, nothing fails"),
    (Rule::NothingUnwantedWaits, Sabotage::KeepsTheUnwanted, ""),
    (Rule::BoundIsServed, Sabotage::ForgetsUsers, "two-tier, Spread on 2, Deploy, an instance ends"),
    (Rule::AddressIsCurrent, Sabotage::RemembersFormerAgents, "Spread on 2, Deploy, a node restarts"),
    (Rule::CalmBindingsAreSymmetric, Sabotage::ForgetsToRelease, "two-tier"),
    (Rule::OneHostPerInstance, Sabotage::ReusesNames, "on 2, Rename, nothing fails"),
    (Rule::LeaversAreEmpty, Sabotage::SettlesEarly, ""),
    (Rule::NothingIsSaidTwice, Sabotage::AsksAgain, "Spread on 2, Remove, nothing fails"),
    (Rule::SettledIsTrue, Sabotage::SettlesEarly, ""),
    (Rule::StartIsWanted, Sabotage::KeepsTheUnwanted, "single, Together on 1, Remove, a start fails"),
    (Rule::GenerationsGrow, Sabotage::IgnoresFence, "a node restarts behind"),
    (Rule::OneRunAtATime, Sabotage::RestartsWithoutStop, ""),
    (Rule::RunsAreNew, Sabotage::ForgetsAttempts, "fails"),
    (Rule::StartIsServed, Sabotage::StartsUnserved, "two-tier, Together on 1, Deploy"),
    (
        Rule::ExporterStartsFirst,
        Sabotage::ServesInactive,
        "docks, used, Together on 1, Deploy, nothing fails",
    ),
    (Rule::StopIsOfARun, Sabotage::StopsTwice, "Remove"),
    (Rule::UsersLetGoFirst, Sabotage::LeavesUnderUsers, "two-tier, Together on 1, Remove"),
    (
        Rule::OptionalStopsNobody,
        Sabotage::OptionalIsMandatory,
        "optional, Together on 1, Deploy, an instance ends",
    ),
    (Rule::KeptIsNotDisturbed, Sabotage::RestartsOnEveryTarget, ""),
    (Rule::FailureWaits, Sabotage::RestartsAtOnce, "fails"),
    (Rule::FailedStartServesNobody, Sabotage::FailedIsDone, "fails"),
    (
        Rule::StartKnowsTheRoster,
        Sabotage::RemembersTheDead,
        "two-tier, Spread on 2, Deploy, a start fails, a host crashes",
    ),
    (Rule::RebindIsNews, Sabotage::RebindsAlways, "two-tier, Together on 1, Deploy"),
    (Rule::MessagesGoToMembers, Sabotage::RemembersTheDead, "two-tier, Spread on 2, Deploy, a host crashes"),
    (Rule::SuccessorsStartAfresh, Sabotage::RemembersFormerAgents, "Spread on 2, Deploy, a node restarts"),
    (Rule::TokensStay, Sabotage::LosesTokens, ""),
    (Rule::CancelIsOfAnAction, Sabotage::CancelsTwice, "script, Together on 1, Remove, nothing fails"),
    (Rule::DocksAreComplete, Sabotage::EntersEarly, "docks"),
    (Rule::LossIsTold, Sabotage::ForgetsUsers, "two-tier, Spread on 2, Deploy, an instance ends"),
    (Rule::TargetIsReached, Sabotage::ForgetsToServe, "two-tier, Together on 1, Deploy"),
    (Rule::NoDeadlock, Sabotage::ForgetsToRelease, "two-tier"),
    (Rule::NoLivelock, Sabotage::EchoesUnknown, "Spread on 2, Deploy, an instance ends"),
    (Rule::EmptiedHostsStopEverything, Sabotage::ForgetsToRelease, "two-tier"),
    (Rule::UnbindsAreAnswered, Sabotage::ForgetsToRelease, "two-tier"),
    (Rule::BindsAreAnswered, Sabotage::ForgetsToServe, "two-tier, Together on 1, Deploy"),
    (Rule::CrashIsRepaired, Sabotage::ForgetsToServe, "two-tier, Spread on 2, Deploy, a host crashes"),
    (Rule::FailureIsRetried, Sabotage::NeverRetries, "fails"),
    (Rule::UnwantedEnds, Sabotage::ForgetsToRelease, "two-tier"),
    (Rule::RestartIsRepaired, Sabotage::RemembersFormerAgents, "Spread on 2, Deploy, a node restarts"),
    (Rule::OptionalBindsLate, Sabotage::RebindsNobody, "optional, Together on 1, Deploy, nothing fails"),
    (Rule::DrainingEnds, Sabotage::ForgetsToRelease, "two-tier"),
    (Rule::UpgradeCompletes, Sabotage::NeverUpgrades, "Upgrade"),
    (Rule::OvertakenLeavesNothing, Sabotage::IgnoresOvertaking, "Grow"),
];

/// The most states of one scenario: a broken one may have no bound, and no fault needs more.
const STATES_MAX: u32 = 20_000;

/// The most scenarios that are explored for one property.
const TRIES_MAX: usize = 150;

/// The first scenario in which the fault breaks the property, with the length of its trace.
pub(crate) fn breaks(rule: Rule, sabotage: Sabotage, hint: &str) -> Option<(String, usize)> {
    let scenarios = named(hint, TRIES_MAX);
    choose(Some(sabotage));
    let found = scenarios.iter().find_map(|scenario| {
        let violation = check_only(scenario, STATES_MAX, rule).violation?;
        (violation.property == rule.name()).then(|| (scenario.name.clone(), violation.trace.len()))
    });
    choose(None);
    found
}
