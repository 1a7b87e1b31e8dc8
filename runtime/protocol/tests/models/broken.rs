//! The broken variants: for each property, a fault put into the core's own code that makes it fail.
//!
//! A property that nothing can break proves nothing. Some scenarios are tried in turn until one fails; the
//! other properties look away meanwhile, for a fault often breaks several.

use crate::catalogue::named;
use rhizo_protocol::sabotage::{Sabotage, choose};
use rhizo_verify::{Rule, check_only};

/// Which fault breaks which property, and what the scenarios where it shows have in their names.
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
    (Rule::NoDeadlock, Sabotage::ForgetsTheWayBack, "scripts, Together on 1, Rest, a start fails"),
    (Rule::NoDeadlock, Sabotage::PausesTheLeaving, "chain of three, Together on 1, Rest, nothing fails"),
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

/// A broken scenario may grow without bound; more states than this are not needed to see any of the faults.
const STATES_MAX: u32 = 20_000;

/// So many scenarios are tried for each.
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
