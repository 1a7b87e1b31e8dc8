//! The list of properties, with what each one covers.
//!
//! AI1 to AI5 are the invariants of Boyer, Gruber and Pous (ICSE 2013). DS is the protocol of Durán and Salaün
//! (CBSE 2014, JSS 2016): its twelve properties were never published in full; the one that is quoted is
//! `emptied-hosts-stop-everything`, and the double propagation is known from the text. The 35 properties of Abid et
//! al. (ATVA 2013) were not published as a list either. C is Concerto's semantics; H a hole measured in a peer.

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

            /// What it is called in traces and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }

            /// The published property it covers, or why it is ours.
            #[must_use]
            pub const fn covers(self) -> &'static str {
                match self {
                    $(Self::$rule => $covers,)*
                }
            }

            /// What it says.
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
    /// A started instance has every mandatory import bound to as many exporters as it needs to go on.
    StartedHasItsImports = "started-has-its-imports", "AI1; DS invariant";
    /// An instance that waits keeps no binding, mandatory or optional.
    StoppedHasNoBinding = "stopped-has-no-binding", "AI4";
    /// What is used by somebody is started here, in that generation.
    UsedIsStarted = "used-is-started", "AI2, exporter's side";
    /// An instance that failed is used by nobody and uses nothing.
    FailedHasNoBinding = "failed-has-no-binding", "AI3";
    /// What the agent calls started or draining runs, and what it calls waiting does not.
    PhaseIsTrue = "phase-is-true", "ours: the agent against its shell";
    /// An instance that is about to start has asked for, or holds, everything that its target binds it to.
    WaitingHasAsked = "waiting-has-asked", "DS: binding messages";
    /// A running instance was told exactly what its agent holds for it.
    BoundImportsAreHeld = "bound-imports-are-held", "ours: configuration of the running instance";
    /// Nothing is used, held or waited for of a node off the roster.
    NothingWithFormerMembers = "nothing-with-former-members", "AI3 for hosts; SCP 2016";
    /// An instance uses each exporter once per import.
    OneUsePerExporter = "one-use-per-exporter", "ours";
    /// Only instances of the target, or running ones that are to stop, are known to an agent.
    NothingUnwantedWaits = "nothing-unwanted-waits", "ours: no leak";

    /// An instance always has a token somewhere: in a place, or on its way to one.
    TokensStay = "tokens-stay", "C: well-formed markings";

    // States of hosts and channels together.
    /// What an instance was told it is bound to is held by its exporter's agent, or the news is on its way.
    BoundIsServed = "bound-is-served", "AI2, importer's side";
    /// The address that an instance was told is that of the run that serves it.
    AddressIsCurrent = "address-is-current", "C: data of a use port; H: stale cache after a crash";
    /// When nothing is under way, importers and exporters agree on every binding.
    CalmBindingsAreSymmetric = "calm-bindings-are-symmetric", "issue: symmetry at quiescence";
    /// One instance name runs on one host only, unless the other was cut off and is given up.
    OneHostPerInstance = "one-host-per-instance", "ours: names are resolved";
    /// No more copies of an exclusive component run than may, wherever they are.
    ExclusiveIsAlone = "exclusive-is-alone", "issue: exclusive respected";
    /// What runs on a host never needs more than the host has, also while it changes.
    HostsAreNotOverfilled = "hosts-are-not-overfilled", "ours: capacity holds on the way";
    /// A host that left the roster of its own free will had stopped everything.
    LeaversAreEmpty = "leavers-are-empty", "DS: a destroyed VM";
    /// Nothing is said twice of a use while it is under way.
    NothingIsSaidTwice = "nothing-is-said-twice", "ours: everything is bounded";
    /// The target that is called reached is reached.
    SettledIsTrue = "settled-is-true", "ours";

    // Steps.
    /// A start is ordered only for what the agent's target places here, as that generation and version.
    StartIsWanted = "start-is-wanted", "C: only the assembly acts";
    /// No instance is started with an older generation than was started on this host before.
    GenerationsGrow = "generations-grow", "issue: no action of an old generation";
    /// An instance is started only when nothing of it runs: no doubled start.
    OneRunAtATime = "one-run-at-a-time", "issue: no doubled start";
    /// Every start is a new run: attempts of a generation grow.
    RunsAreNew = "runs-are-new", "issue: no doubled start";
    /// An instance starts with as many exporters of each mandatory import as it needs to start.
    StartIsServed = "start-is-served", "AI1; DS: start-up rule; C: use ports";
    /// An instance starts only after the exporters it is told of were started, as long as these were not lost.
    ExporterStartsFirst = "exporter-starts-first", "DS: start order";
    /// What does not run is not stopped, and what is being stopped is not stopped again.
    StopIsOfARun = "stop-is-of-a-run", "issue: no doubled stop";
    /// An instance that was asked to stop is stopped only when nobody uses it.
    UsersLetGoFirst = "users-let-go-first", "DS: double propagation; C: leave refused while in use";
    /// The loss or the request of an optional exporter stops nobody.
    OptionalStopsNobody = "optional-stops-nobody", "AI4; DS: optional imports";
    /// An instance that the target keeps, and whose exporters are kept, is not stopped by a change of the target.
    KeptIsNotDisturbed = "kept-is-not-disturbed", "ours: no up and down phases";
    /// A failed instance starts again only when its waiting time is over.
    FailureWaits = "failure-waits", "ours: damped restarts";
    /// What fails to start is not bound to anybody: failed is not started.
    FailedStartServesNobody = "failed-start-serves-nobody", "H: failed action counted as success";
    /// No instance starts with an exporter on a node that its agent knows to be off the roster.
    StartKnowsTheRoster = "start-knows-the-roster", "H: stale cache after a crash";
    /// A rebinding is told to what runs, and only when something changed.
    RebindIsNews = "rebind-is-news", "C: reconnect";
    /// Messages go to members, about instances that the sender knows.
    MessagesGoToMembers = "messages-go-to-members", "ours";
    /// Whoever learns of a new agent has forgotten what was agreed with its predecessor.
    SuccessorsStartAfresh = "successors-start-afresh", "ours: sessions";

    /// Only an action that is under way is cancelled, and once.
    CancelIsOfAnAction = "cancel-is-of-an-action", "ours";
    /// A place is entered only when all transitions of one of its dock sets have arrived.
    DocksAreComplete = "docks-are-complete", "C: docks; Madeus";
    /// Whoever uses an export that ceases to be active has let go, or is told in the same step.
    LossIsTold = "loss-is-told", "AI2, exporter's side; C: groups";

    /// A script goes on behind a wait only when what it waits for has come.
    WaitsAreKept = "waits-are-kept", "C: wait";

    // In the end, on every fair path, if failures stop.
    /// Every target is reached.
    TargetIsReached = "target-is-reached", "DS; SCP 2016: always terminates";
    /// Nothing comes to rest before its target is reached.
    NoDeadlock = "no-deadlock", "issue; C";
    /// Nothing goes round for ever without reaching its target.
    NoLivelock = "no-livelock", "issue";
    /// A host that shall have no instance stops all it has.
    EmptiedHostsStopEverything = "emptied-hosts-stop-everything", "DS, the quoted one";
    /// Who is asked to let go lets go.
    UnbindsAreAnswered = "unbinds-are-answered", "issue: every request to unbind is answered";
    /// Who asks to be bound to what is started is bound, or asks no more.
    BindsAreAnswered = "binds-are-answered", "issue: every ask is answered; H: hang on equal port names";
    /// After a crash the survivors reach the target of the repair.
    CrashIsRepaired = "crash-is-repaired", "SCP 2016; Boyer: roll forward";
    /// A failed instance that is still wanted runs again.
    FailureIsRetried = "failure-is-retried", "ours: escalation begins with a retry";
    /// An instance that the target does not have ends.
    UnwantedEnds = "unwanted-ends", "DS: shutdown";
    /// After the restart of a node its instances are started again.
    RestartIsRepaired = "restart-is-repaired", "ours";
    /// An optional exporter that is started is bound, late as it may be.
    OptionalBindsLate = "optional-binds-late", "issue: optional imports bind late";
    /// Draining ends.
    DrainingEnds = "draining-ends", "DS: double propagation terminates";
    /// Copies of the old version are replaced by the new one.
    UpgradeCompletes = "upgrade-completes", "Ballet: rolling update";
    /// A script that has begun ends.
    ScriptsEnd = "scripts-end", "C: every program of a verified assembly terminates";
    /// A target that was overtaken leaves nothing behind.
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
