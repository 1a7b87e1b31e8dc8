//! Faults that tests put into the core's own code, so that each check of the models and the simulator is seen to fail.
//!
//! A property has at most one fault. Faults that `cargo-mutants` generates (a function that returns a constant, a
//! condition that is inverted) are left to it where a unit test notices them. Without the feature `sabotage` each
//! question is answered *no* at compile time. With it, a test chooses one fault for the code that its own thread runs.
//! A released build never has the feature.

/// A deliberate fault, named after what the core then does wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sabotage {
    /// Every node that knows a leader coordinates.
    EveryoneCoordinates,
    /// Nodes other than the founder apply only some entries.
    SkipsEntries,
    /// Instances start without their mandatory imports, and never notice a loss.
    StartsUnserved,
    /// A stopped instance keeps the bindings of its program.
    KeepsBindings,
    /// A place is left although an export of it is in use.
    LeavesUnderUsers,
    /// A failed action counts as done.
    FailedIsDone,
    /// An exporter that fails sends its users no *Lost*.
    ForgetsUsers,
    /// An agent starts a generation older than its fence.
    IgnoresFence,
    /// More copies of an exclusive component may run than its replicas allow.
    IgnoresExclusive,
    /// A new copy does not wait for room on its host.
    Overfills,
    /// An unhealthy instance is started again without being stopped.
    RestartsWithoutStop,
    /// A host is ordered before its intent is committed.
    SpendsEarly,
    /// Each call of an intent has another token.
    ChangesToken,
    /// The host of a suspected node is released.
    ReleasesOnSuspicion,
    /// Another node's answer about a suspect counts as a message of the suspect.
    HearsayCounts,
    /// A node that was not heard for 1.5 s is declared dead.
    HastyDeath,
    /// The budget is not checked.
    IgnoresBudget,
    /// Any host in a provider's list is adopted for the intent.
    AdoptsAnyHost,
    /// A name is used again before its former instance is known to be gone.
    ReusesNames,
    /// There are as many voters as members, up to four.
    AnyNumberOfVoters,
    /// A new member gets the number of members as its id.
    ReusesNodeIds,
    /// A node never reports that there is no quorum.
    ClaimsQuorum,
    /// Members that are not needed are not removed.
    KeepsHosts,
    /// Every join is refused.
    RefusesJoins,
    /// A node requests no links for its agent beyond those of the roster.
    LinksByRosterOnly,
    /// An importer does not ask its exporters.
    ForgetsToAsk,
    /// An exporter does not tell waiting users that an export is active.
    ForgetsToServe,
    /// An importer does not tell its exporter that a use has ended.
    ForgetsToRelease,
    /// An importer keeps its use of an older generation beside the new one.
    LeaksUses,
    /// An optional import is treated as mandatory.
    OptionalIsMandatory,
    /// Nodes that left the roster are still dealt with.
    RemembersTheDead,
    /// Agreements with a node's former agent are kept.
    RemembersFormerAgents,
    /// An exporter asks a user for the release that it has asked already.
    AsksAgain,
    /// A message about an unknown use is answered with another one.
    EchoesUnknown,
    /// Each new target stops every instance.
    RestartsOnEveryTarget,
    /// An export is served wherever the tokens are.
    ServesInactive,
    /// A place is entered as soon as one transition of a dock set has arrived.
    EntersEarly,
    /// A token that arrives is lost.
    LosesTokens,
    /// An action is cancelled twice.
    CancelsTwice,
    /// A script does not wait.
    SkipsWaits,
    /// A script never continues.
    StaysInScripts,
    /// A target that follows a missed one is not followed.
    IgnoresOvertaking,
    /// A running program is not given the changes of its imports.
    RebindsNobody,
    /// A running program is given its imports again and again.
    RebindsAlways,
    /// An instance that the target dropped is started all the same.
    KeepsTheUnwanted,
    /// Each run of a generation has number 1.
    ForgetsAttempts,
    /// A service that is being stopped is stopped again.
    StopsTwice,
    /// A failed instance is started again without a wait.
    RestartsAtOnce,
    /// A failed instance is never started again.
    NeverRetries,
    /// A target counts as reached at once.
    SettlesEarly,
    /// A new version of a spec changes no instance.
    NeverUpgrades,
    /// A host is acquired for a version that has never run well.
    AcquiresForUnproven,
    /// A second host is acquired because of failures while the first replacement is outstanding.
    ForgetsSpares,
    /// Copies of a failing component are kept until their successors start.
    PilesUpCopies,
    /// The failures of a version count for the version that replaces it.
    RemembersFormerVersions,
    /// The ledger is not told which versions keep failing.
    HidesFailures,
    /// No host is ever held to be at fault.
    NeverBlamesHosts,
    /// Another host is acquired for a component that did not work on the last one.
    ForgetsReplacements,
    /// A failing version is recorded again and again.
    RecordsAgain,
    /// A copy is placed elsewhere than where its data is.
    MovesPinned,
    /// The host of a dead member is released although data on it is waited for.
    ReleasesData,
}

#[cfg(feature = "sabotage")]
mod chosen {
    use super::Sabotage;
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    /// Chooses the fault for the code that the calling thread runs from now on; none: no fault.
    pub fn choose(sabotage: Option<Sabotage>) {
        CHOSEN.set(sabotage);
    }

    pub(crate) fn is(sabotage: Sabotage) -> bool {
        CHOSEN.get() == Some(sabotage)
    }
}

#[cfg(feature = "sabotage")]
pub use chosen::choose;
#[cfg(feature = "sabotage")]
pub(crate) use chosen::is;

#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is(_: Sabotage) -> bool {
    false
}
