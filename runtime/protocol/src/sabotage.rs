//! Faults that tests put into the core's own code, to see each check of the simulator fail.
//!
//! Without the feature `sabotage` every question is answered *no* at compile time and nothing of this is left. With
//! it, a test chooses one fault for the code that it runs itself. Never on in a build that is shipped.

/// One deliberate fault, named after what the core then does wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sabotage {
    /// Every node that knows a leader coordinates.
    EveryoneCoordinates,
    /// A node other than the founder leaves out some entries.
    SkipsEntries,
    /// Instances start without their mandatory imports, and never miss one.
    StartsUnserved,
    /// A stopped instance keeps what it was told.
    KeepsBindings,
    /// An exporter stops while it is used.
    StopsUnderUsers,
    /// A place is left although an export of it is used.
    LeavesUnderUsers,
    /// A user is paused for its exporter although its own behaviours let go of it.
    PausesTheLeaving,
    /// A user that failed lets go of what it needs again on its way to where its behaviours let go of it.
    ForgetsTheWayBack,
    /// An action that failed counts as done.
    FailedIsDone,
    /// An exporter that fails does not tell its users.
    ForgetsUsers,
    /// An agent starts a generation older than its fence.
    IgnoresFence,
    /// Copies of an exclusive component may overlap.
    IgnoresExclusive,
    /// What comes to a host does not wait for what leaves it.
    Overfills,
    /// An unhealthy instance is started again without having been stopped.
    RestartsWithoutStop,
    /// A host is ordered before its intent is committed.
    SpendsEarly,
    /// Every call of an intent has another token.
    ChangesToken,
    /// The host of a suspected node is released.
    ReleasesOnSuspicion,
    /// A node that was not heard for a moment is dead.
    HastyDeath,
    /// Voters are declared dead although the decision needed their votes.
    BuriesQuorum,
    /// The budget is not looked at.
    IgnoresBudget,
    /// Any host in a provider's list is taken for the intent's own.
    AdoptsAnyHost,
    /// A name is used again before its former instance is known to be gone.
    ReusesNames,
    /// As many voters as there are members.
    AnyNumberOfVoters,
    /// Members are numbered by how many there are.
    ReusesNodeIds,
    /// A node never says that there is no quorum.
    ClaimsQuorum,
    /// Lost messages between agents are not sent again.
    NeverResends,
    /// Unneeded hosts are kept.
    KeepsHosts,
    /// Nobody is let in.
    RefusesJoins,
    /// Agents get no links beyond those of the roster.
    LinksByRosterOnly,
    /// An importer does not ask its exporters.
    ForgetsToAsk,
    /// An exporter does not tell those who wait that it is started.
    ForgetsToServe,
    /// An importer does not tell its exporter that it let go.
    ForgetsToRelease,
    /// An importer keeps its use of an older generation beside the new one.
    LeaksUses,
    /// An optional import is treated as a mandatory one.
    OptionalIsMandatory,
    /// Nodes off the roster are dealt with as before.
    RemembersTheDead,
    /// Agreements with the former agent of a node are kept.
    RemembersFormerAgents,
    /// An exporter asks again and again to let go.
    AsksAgain,
    /// What is not known is answered by what the other end does not know.
    EchoesUnknown,
    /// Every new target stops everything.
    RestartsOnEveryTarget,
    /// An export is served wherever the tokens are.
    ServesInactive,
    /// A place is entered as soon as one transition of a dock set has arrived.
    EntersEarly,
    /// A token that arrives is lost.
    LosesTokens,
    /// What is being cancelled is cancelled again.
    CancelsTwice,
    /// A script does not wait.
    SkipsWaits,
    /// A script does not go on.
    StaysInScripts,
    /// A target that overtook another one is not followed.
    IgnoresOvertaking,
    /// A running instance is not told of changes.
    RebindsNobody,
    /// A running instance is told what it knows.
    RebindsAlways,
    /// An instance that the target does not have is started all the same.
    KeepsTheUnwanted,
    /// Every start of a generation is its first.
    ForgetsAttempts,
    /// What is being stopped is stopped again.
    StopsTwice,
    /// A failed instance is started again at once.
    RestartsAtOnce,
    /// A failed instance is never started again.
    NeverRetries,
    /// A target is taken to be reached at once.
    SettlesEarly,
    /// A new version of a spec changes no instance.
    NeverUpgrades,
}

#[cfg(feature = "sabotage")]
mod chosen {
    use super::Sabotage;
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    /// Chooses the fault for everything that the calling test runs from now on.
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
