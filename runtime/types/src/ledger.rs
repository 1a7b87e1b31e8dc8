//! Commands of the ledger: the entries of an overlay's Raft log, apart from changes of the Raft membership.
//!
//! Only data. `rhizo-protocol::ledger` applies them, with the same result on every node. No command carries a time.
//! Every command is guarded (by a revision, a state or a key), so that applying it twice changes nothing.

use crate::counter::Revision;
use crate::failure::{Failing, Proven};
use crate::id::{
    AppName, ComponentName, HostId, InstanceId, IntentId, Lineage, NodeId, PeerKey, ProviderName, RegionName,
};
use crate::intent::{AcquireOrder, Outcome};
use crate::script::Script;
use crate::spec::Spec;
use crate::state::Home;
use crate::target::{Configuration, Placed, Plan};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// The founder's id. Later ids are indexes of entries after the genesis entry, so they are greater.
pub const FOUNDER: NodeId = NodeId(1);

/// One command of the ledger.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Begins the lineage. The founder proposes it as the first command.
    Genesis(Box<Genesis>),
    /// Puts a spec in force.
    SetSpec(Box<SetSpec>),
    /// Puts a plan in force and creates its intents.
    Plan(Box<Plan>),
    /// One step of an intent.
    Outcome {
        /// The intent.
        intent: IntentId,
        /// The step.
        outcome: Outcome,
    },
    /// Creates an intent, already in release, for a host that belongs to no intent.
    Reclaim {
        /// The provider whose list contains it.
        provider: ProviderName,
        /// The host.
        host: HostId,
        /// Offer, region and price, as the provider's list states them.
        order: Box<AcquireOrder>,
    },
    /// Consumes the ticket of an intent and adds a member; its id is the index of this entry.
    Join(Join),
    /// Drains a member: it stops being a voter, and plans move its instances elsewhere.
    Drain {
        /// The member.
        node: NodeId,
    },
    /// Removes a member from the roster and starts the release of its host.
    Leave {
        /// The member.
        node: NodeId,
    },
    /// Removes members that enough observers reported, and starts the release of their hosts.
    Dead {
        /// Each member with the observers that reported it.
        nodes: BTreeMap<NodeId, BTreeSet<NodeId>>,
    },
    /// Puts a target in force.
    Target(Arc<Configuration>),
    /// Records that all agents have reached this target and that the instances it dropped are gone.
    Settled {
        /// The target.
        target: Revision,
    },
    /// Takes the application down: nothing is acquired, every instance is stopped and every host released.
    TakeDown,
    /// Changes nothing. Once it is committed, every earlier proposal of its term is either committed or lost.
    Mark,
    /// Several commands in one entry, each with its own guard. Contains at most one [`Command::Join`] and no batch.
    Batch(Vec<Command>),
    /// Records that these instances, which a target dropped, are gone. The rest of the target may not be reached yet.
    Gone {
        /// The target in force; the reporting agents follow it.
        target: Revision,
        /// The instances, as they were placed.
        instances: BTreeMap<InstanceId, Placed>,
    },
    /// Returns a component to the last version that worked, until there is another spec.
    Unwind {
        /// The component.
        component: ComponentName,
        /// The spec revision that the component abandons: the one in force.
        version: Revision,
    },
    /// Begins a script, if the ledger's checks of all its statements pass.
    RunScript {
        /// Its number: one more than the last.
        number: u64,
        /// Its statements.
        script: Box<Script>,
    },
    /// Applies the next statements of the running script.
    Advance {
        /// Its number.
        number: u64,
        /// The first statement that is not applied yet.
        from: u32,
        /// The first statement that is not applied by this command.
        to: u32,
    },
    /// Ends the running script at its current statement. The statements before it stay in effect.
    EndScript {
        /// Its number.
        number: u64,
    },
    /// Ends the script at a `wait` that would never return: an instance needs the export of one that does not serve it
    /// where it rests.
    Stall {
        /// The script's number.
        number: u64,
        /// The number of the `wait` statement.
        at: u32,
        /// The instance that cannot start.
        instance: InstanceId,
        /// The instance whose export is inactive at rest.
        exporter: InstanceId,
    },
    /// Records that versions of components keep failing.
    Failing {
        /// The failing version of each component.
        components: BTreeMap<ComponentName, Failing>,
    },
    /// Records that every copy of these components has been started for longer than the failure window.
    Steady {
        /// The version of each component, with nodes on which it runs.
        components: BTreeMap<ComponentName, Proven>,
    },
    /// Gives up the data of copies whose host is lost: an operator no longer waits for it.
    GiveUpData {
        /// Each copy, with the data that is given up.
        copies: BTreeMap<InstanceId, Home>,
    },
    /// Ends marks of components against nodes, because the marks are old.
    Forgive {
        /// The component and the node of each mark.
        marks: BTreeSet<(ComponentName, NodeId)>,
    },
}

/// The initial content of the ledger.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Genesis {
    /// The application.
    pub app: AppName,
    /// The lineage's number.
    pub lineage: Lineage,
    /// The founder's record; its id is [`FOUNDER`].
    pub founder: MemberRecord,
    /// Keys that may act as operator.
    pub operators: BTreeSet<PeerKey>,
    /// The timers of this overlay.
    pub timers: Timers,
    /// The secret from which the tickets of hosts are derived. Every node that holds the ledger knows it.
    pub overlay_secret: OverlaySecret,
}

/// The secret from which tickets are derived; it never appears in debug output.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OverlaySecret(pub [u8; 32]);

impl std::fmt::Debug for OverlaySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OverlaySecret(..)")
    }
}

/// A member in the roster.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its key.
    pub key: PeerKey,
    /// The addresses at which it accepts links.
    pub addresses: Vec<SocketAddr>,
    /// The provider of its host; `founder` for the founder.
    pub provider: ProviderName,
    /// The region of its host; `founder` for the founder.
    pub region: RegionName,
    /// The intent of its host; none for the founder.
    pub intent: Option<IntentId>,
}

/// A spec to be put in force.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SetSpec {
    /// Its number: that of the spec in force plus one.
    pub revision: Revision,
    /// The spec in typed form.
    pub spec: Spec,
    /// The text of the config, for `status` and for a later comparison.
    pub source: String,
}

/// A request to become a member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Join {
    /// The intent whose ticket the node presents.
    pub ticket: IntentId,
    /// The provider's id of the host that the node runs on. A provider without tokens may have created two hosts for
    /// one ticket; this names the one that joined.
    pub host: HostId,
    /// The public key that the new node generated.
    pub key: PeerKey,
    /// The addresses at which it accepts links.
    pub addresses: Vec<SocketAddr>,
}

/// Timers of an overlay, fixed at genesis. All in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Timers {
    /// Raft: time between two heartbeats of the leader.
    pub raft_heartbeat_ms: u64,
    /// Raft: shortest election time-out.
    pub raft_election_ms_min: u64,
    /// Raft: longest election time-out.
    pub raft_election_ms_max: u64,
    /// Liveness: time between two heartbeats to an observer.
    pub heartbeat_ms: u64,
    /// Liveness: an observer suspects its subject after this long without a heartbeat.
    pub silence_ms: u64,
    /// Liveness: an observer waits this long for other observers to contradict its suspicion.
    pub confirm_ms: u64,
    /// Liveness: the coordinator collects deaths for this long, so that a provider outage becomes one decision.
    pub batch_ms: u64,
    /// Providers: time between two lists.
    pub list_every_ms: u64,
    /// Providers: a new host may be missing from lists for this long.
    pub visible_ms: u64,
    /// Providers: a host that belongs to no intent is reclaimed when it is older than this.
    pub reclaim_after_ms: u64,
    /// Membership: a node that has not joined this long after its intent never will; its host is released.
    pub join_ms_max: u64,
    /// Voters: after the first three voters, a candidate must have been healthy for this long.
    pub stabilise_ms: u64,
    /// Targets: instances whose hosts are ready wait this long for the other hosts of the same plan.
    pub place_grace_ms: u64,
    /// Agents: wait before the first restart of a failed instance.
    pub restart_ms: u64,
}

impl Timers {
    /// For nodes on one machine or in one region.
    pub const LOCAL: Self = Self {
        raft_heartbeat_ms: 100,
        raft_election_ms_min: 300,
        raft_election_ms_max: 600,
        // One message per second and observer costs an idle node next to nothing. A broken link is noticed without it.
        heartbeat_ms: 1_000,
        // Links are reliable, so that a heartbeat may be late and is not lost. Two may be late by a fifth of a second,
        // and a node that is late itself waits longer. With `batch_ms`, a node that hangs is committed dead within 3 s.
        silence_ms: 2_200,
        confirm_ms: 400,
        batch_ms: 300,
        list_every_ms: 30_000,
        // The process provider's list is never stale; the lists of cloud APIs lag by seconds.
        visible_ms: 10_000,
        reclaim_after_ms: 60_000,
        // The lifetime of a ticket: 10 minutes are enough for a slow machine to boot and fetch its binary.
        join_ms_max: 600_000,
        stabilise_ms: 10_000,
        place_grace_ms: 3_000,
        restart_ms: 500,
    };

    /// For voters up to 300 ms of round trip apart: only the Raft timers and the confirmation differ.
    pub const WIDE: Self = Self {
        raft_heartbeat_ms: 300,
        raft_election_ms_min: 900,
        raft_election_ms_max: 1_800,
        confirm_ms: 800,
        ..Self::LOCAL
    };
}
