//! All faults that a world can have, by name, with the number of times that each occurred.
//!
//! A campaign fails when a fault never fired, because the reaction to it was not tested.

use std::collections::BTreeMap;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One kind of fault.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// A process is killed; its machine resets the links.
    Kill = "kill",
    /// A process is killed and started again with its disk.
    Restart = "restart",
    /// A machine vanishes without closing its links.
    PowerLoss = "power-loss",
    /// A process stands still for a while.
    Pause = "pause",
    /// A node of a world without other faults hangs or ends.
    Hang = "hang",
    /// The coordinator itself is hit by a fault.
    CoordinatorHit = "coordinator-hit",
    /// Two groups of nodes receive no messages of each other.
    Partition = "partition",
    /// One node receives the messages of another, but not the other way round.
    OneWay = "one-way",
    /// A link breaks and comes back.
    Flap = "flap",
    /// A message is lost.
    Loss = "loss",
    /// A message arrives twice.
    Duplicate = "duplicate",
    /// A message is overtaken.
    Reorder = "reorder",
    /// The majority of the voters is lost for good, and an operator begins a new lineage.
    QuorumLost = "quorum-lost",
    /// A node of a former lineage comes back.
    FormerReturns = "former-returns",
    /// The log's leader changes although there is no fault.
    LeaderLost = "leader-lost",
    /// A proposal is committed, and the proposer receives *unknown*.
    UnknownCommitted = "unknown-committed",
    /// A proposal is lost with its leader.
    UnknownDropped = "unknown-dropped",
    /// A follower applies entries late.
    LateApply = "late-apply",
    /// A membership change is made, and the leader receives the answer that it was not made.
    MembershipUnknown = "membership-unknown",
    /// The provider has no capacity.
    NoCapacity = "no-capacity",
    /// The provider refuses an order.
    Refused = "refused",
    /// The machine of the coordinator cannot make the call of an order.
    NotCalled = "not-called",
    /// The provider requires fewer calls.
    Throttled = "throttled",
    /// An order fails, and the host is created all the same.
    LateSuccess = "late-success",
    /// An order fails without a host, and the answer leaves it open whether there is one.
    UnknownNothing = "unknown-nothing",
    /// An order creates two hosts.
    DoubleHost = "double-host",
    /// The provider's API does not answer for a while.
    ApiDown = "api-down",
    /// The provider's list shows an older state.
    ListLag = "list-lag",
    /// A release is accepted and not carried out.
    ReleaseLost = "release-lost",
    /// All hosts of a provider are lost, and its API with them.
    ProviderLost = "provider-lost",
    /// A host boots slowly.
    SlowBoot = "slow-boot",
    /// A host never boots.
    NeverBoots = "never-boots",
    /// An instance cannot be started.
    StartFails = "start-fails",
    /// An action of a life-cycle fails.
    ActionFails = "action-fails",
    /// An action of a life-cycle does not end by itself.
    ActionHangs = "action-hangs",
    /// An operator starts a script.
    Script = "script",
    /// A component keeps failing in a new version.
    BadVersion = "bad-version",
    /// Nothing starts on a host.
    BadHost = "bad-host",
    /// An instance ends by itself.
    Exits = "exits",
    /// An instance fails its health check.
    Unhealthy = "unhealthy",
    /// The spec changes.
    SpecChange = "spec-change",
    /// A node is drained.
    Drain = "drain",
    /// A better configuration becomes possible.
    BetterAppears = "better-appears",
}

/// How often each fault fired.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Coverage(pub BTreeMap<Fault, u64>);

impl Coverage {
    /// Counts one.
    pub fn fired(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }

    /// The faults that never fired.
    #[must_use]
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| !self.0.contains_key(fault)).collect()
    }
}
