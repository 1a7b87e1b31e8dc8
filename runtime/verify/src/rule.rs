//! The list of properties, with the published property that each one covers.
//!
//! AI1 to AI5 are the invariants of Boyer, Gruber and Pous (ICSE 2013). DS is the protocol of Durán and Salaün (CBSE
//! 2014, JSS 2016). Its twelve properties were never published in full: the only quoted one is
//! `emptied-hosts-stop-everything`, and the double propagation is described in the text. The 35 properties of Abid et
//! al. (ATVA 2013) were not published as a list either. C is the semantics of Concerto. H is a defect that was
//! measured in another system.

macro_rules! rules {
    ($($(#[doc = $says:literal])* $rule:ident = $name:literal, $covers:literal;)*) => {
        /// One property.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule {
            $($(#[doc = $says])* $rule,)*
        }

        impl Rule {
            /// Every property, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$rule,)*];

            /// Returns the name of the property in traces and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }

            /// Returns the published property that it covers, or the reason for a property of our own.
            #[must_use]
            pub const fn covers(self) -> &'static str {
                match self {
                    $(Self::$rule => $covers,)*
                }
            }

            /// Returns the property as a sentence.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$rule => concat!($($says,)*),)*
                }
            }
        }
    };
}

rules! {
    // States of one host.
    /// A started instance has every mandatory import bound to as many exporters as it needs to stay started.
    StartedHasItsImports = "started-has-its-imports", "AI1; DS invariant";
    /// An instance that waits keeps no binding, mandatory or optional.
    StoppedHasNoBinding = "stopped-has-no-binding", "AI4";
    /// An instance that an importer uses is started here, in the generation that is used.
    UsedIsStarted = "used-is-started", "AI2, exporter's side";
    /// An instance that failed has no users and uses nothing.
    FailedHasNoBinding = "failed-has-no-binding", "AI3";
    /// An instance that the agent has as started or draining runs, and one that it has as waiting does not run.
    PhaseIsTrue = "phase-is-true", "ours: the agent against its shell";
    /// An instance that is about to start has requested, or holds, every binding of its target.
    WaitingHasAsked = "waiting-has-asked", "DS: binding messages";
    /// The bindings in the last notice to a running instance are exactly those that its agent holds for it.
    BoundImportsAreHeld = "bound-imports-are-held", "ours: configuration of the running instance";
    /// An agent neither uses, holds nor awaits anything of a node that is not on the roster.
    NothingWithFormerMembers = "nothing-with-former-members", "AI3 for hosts; SCP 2016";
    /// An instance uses each exporter once per import.
    OneUsePerExporter = "one-use-per-exporter", "ours";
    /// An agent knows only instances of the target, and running ones that are to stop.
    NothingUnwantedWaits = "nothing-unwanted-waits", "ours: no leak";

    /// An instance always has a token: in a place, or in a transition to one.
    TokensStay = "tokens-stay", "C: well-formed markings";

    // States of hosts and channels together.
    /// Every binding in the last notice to an instance is held by its exporter's agent, or its change is in transit.
    BoundIsServed = "bound-is-served", "AI2, importer's side";
    /// The address that an instance received for a binding is that of the run that serves it.
    AddressIsCurrent = "address-is-current", "C: data of a use port; H: stale cache after a crash";
    /// When no message is in transit, importers and exporters agree on every binding.
    CalmBindingsAreSymmetric = "calm-bindings-are-symmetric", "issue: symmetry at quiescence";
    /// An instance name runs on one host only, unless the other host was cut off and declared dead.
    OneHostPerInstance = "one-host-per-instance", "ours: names are resolved";
    /// On all hosts together, no more copies of an exclusive component run than its spec allows.
    ExclusiveIsAlone = "exclusive-is-alone", "issue: exclusive respected";
    /// The services that run on a host never need more than the host has, even during a change.
    HostsAreNotOverfilled = "hosts-are-not-overfilled", "ours: capacity holds on the way";
    /// A host that left the roster in order had stopped everything.
    LeaversAreEmpty = "leavers-are-empty", "DS: a destroyed VM";
    /// No message about a use is sent twice while the first one is in transit.
    NothingIsSaidTwice = "nothing-is-said-twice", "ours: everything is bounded";
    /// A target that the ledger records as reached is reached.
    SettledIsTrue = "settled-is-true", "ours";

    // Steps.
    /// A start is ordered only for an instance that the agent's target places here, in that generation and version.
    StartIsWanted = "start-is-wanted", "C: only the assembly acts";
    /// No instance is started in an older generation than was started on this host before.
    GenerationsGrow = "generations-grow", "issue: no action of an old generation";
    /// An instance is started only when none of its services and actions runs: no doubled start.
    OneRunAtATime = "one-run-at-a-time", "issue: no doubled start";
    /// Every start is a new run: the attempts of a generation grow.
    RunsAreNew = "runs-are-new", "issue: no doubled start";
    /// An instance starts with as many exporters of each mandatory import as it needs to start.
    StartIsServed = "start-is-served", "AI1; DS: start-up rule; C: use ports";
    /// An instance starts only after the exporters that it is bound to were started, as long as these were not lost.
    ExporterStartsFirst = "exporter-starts-first", "DS: start order";
    /// A stop is ordered only for a service that runs and is not being stopped already.
    StopIsOfARun = "stop-is-of-a-run", "issue: no doubled stop";
    /// An instance that has to stop is stopped only when it has no users.
    UsersLetGoFirst = "users-let-go-first", "DS: double propagation; C: leave refused while in use";
    /// The loss or the leaving of an optional exporter stops no instance.
    OptionalStopsNobody = "optional-stops-nobody", "AI4; DS: optional imports";
    /// An instance that the target keeps, and whose exporters are kept, is not stopped by a change of the target.
    KeptIsNotDisturbed = "kept-is-not-disturbed", "ours: no up and down phases";
    /// A failed instance starts again only when its waiting time is over.
    FailureWaits = "failure-waits", "ours: damped restarts";
    /// An instance that fails to start is bound to no importer: failed is not started.
    FailedStartServesNobody = "failed-start-serves-nobody", "H: failed action counted as success";
    /// No instance starts with an exporter on a node that its agent knows to be off the roster.
    StartKnowsTheRoster = "start-knows-the-roster", "H: stale cache after a crash";
    /// An instance is notified of a rebinding only while it runs, and only when something changed.
    RebindIsNews = "rebind-is-news", "C: reconnect";
    /// Messages go to members, about instances that the sender knows.
    MessagesGoToMembers = "messages-go-to-members", "ours";
    /// An agent that learns of a new agent of a peer has dropped all agreements with the former one.
    SuccessorsStartAfresh = "successors-start-afresh", "ours: sessions";

    /// Only an action that is under way is cancelled, and once.
    CancelIsOfAnAction = "cancel-is-of-an-action", "ours";
    /// A place is entered only when all transitions of one of its dock sets have arrived.
    DocksAreComplete = "docks-are-complete", "C: docks; Madeus";
    /// When an export ceases to be active, each of its users has released it or is notified in the same step.
    LossIsTold = "loss-is-told", "AI2, exporter's side; C: groups";

    /// A script continues after a wait only when the awaited state is reached.
    WaitsAreKept = "waits-are-kept", "C: wait";

    // In the end, on every fair path, if failures stop.
    /// Every target is reached.
    TargetIsReached = "target-is-reached", "DS; SCP 2016: always terminates";
    /// No execution comes to rest before its target is reached.
    NoDeadlock = "no-deadlock", "issue; C";
    /// No execution repeats steps without end and without reaching its target.
    NoLivelock = "no-livelock", "issue";
    /// A host for which the target has no instance stops all its instances.
    EmptiedHostsStopEverything = "emptied-hosts-stop-everything", "DS, the quoted one";
    /// An importer that is asked to release a use releases it.
    UnbindsAreAnswered = "unbinds-are-answered", "issue: every request to unbind is answered";
    /// An importer that requests a use of a started exporter is bound, or withdraws the request.
    BindsAreAnswered = "binds-are-answered", "issue: every ask is answered; H: hang on equal port names";
    /// After a crash the survivors reach the target of the repair.
    CrashIsRepaired = "crash-is-repaired", "SCP 2016; Boyer: roll forward";
    /// A failed instance that is still wanted runs again.
    FailureIsRetried = "failure-is-retried", "ours: escalation begins with a retry";
    /// An instance that the target does not have ends.
    UnwantedEnds = "unwanted-ends", "DS: shutdown";
    /// After the restart of a node its instances are started again.
    RestartIsRepaired = "restart-is-repaired", "ours";
    /// An optional exporter that is started is bound eventually.
    OptionalBindsLate = "optional-binds-late", "issue: optional imports bind late";
    /// Draining ends.
    DrainingEnds = "draining-ends", "DS: double propagation terminates";
    /// Copies of the old version are replaced by the new one.
    UpgradeCompletes = "upgrade-completes", "Ballet: rolling update";
    /// A script that has begun ends.
    ScriptsEnd = "scripts-end", "C: every program of a verified assembly terminates";
    /// A target that was replaced before it was reached leaves nothing behind.
    OvertakenLeavesNothing = "overtaken-leaves-nothing", "ours: no phases, newer targets overtake";
}

/// A set of properties.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules(u128);

impl Rules {
    /// Adds one.
    pub fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u32;
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether one is in it.
    #[must_use]
    pub fn contains(self, rule: Rule) -> bool {
        self.0 >> (rule as u32) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_fit_the_set() {
        let names: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        assert!(Rule::ALL.len() <= 128);
        let mut set = Rules::default();
        set.add(Rule::NoLivelock);
        assert!(set.contains(Rule::NoLivelock) && !set.contains(Rule::NoDeadlock));
    }
}
