//! Commands of the ledger: what the Raft log of an overlay contains, apart from its own membership.
//!
//! Only data. `rhizo-protocol::ledger` applies them, the same way on every node. No command carries a time.
//! Every command is guarded (by a revision, a state or a key), so that repeating one changes nothing.

use crate::counter::Revision;
use crate::id::{
    AppName, ComponentName, HostId, InstanceId, IntentId, Lineage, NodeId, PeerKey, ProviderName, RegionName,
};
use crate::intent::{AcquireOrder, Outcome};
use crate::script::Script;
use crate::spec::Spec;
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
    /// Begins the lineage: the first command, proposed by the founder.
    Genesis(Box<Genesis>),
    /// Puts a spec in force.
    SetSpec(Box<SetSpec>),
    /// Puts a plan in force and creates its intents.
    Plan(Box<Plan>),
    /// One step of an intent.
    Outcome {
        /// Which intent.
        intent: IntentId,
        /// The step.
        outcome: Outcome,
    },
    /// Creates an intent, already releasing, for a host that no intent explains.
    Reclaim {
        /// Whose list showed it.
        provider: ProviderName,
        /// The host.
        host: HostId,
        /// What the provider's list says of it.
        order: Box<AcquireOrder>,
    },
    /// Consumes the ticket of an intent and adds a member; its id is the index of this entry.
    Join(Join),
    /// Asks a member to be left without work: it is no voter, and plans do not use it.
    Drain {
        /// Which member.
        node: NodeId,
    },
    /// Takes a member off the roster and starts the release of its host.
    Leave {
        /// Which member.
        node: NodeId,
    },
    /// Takes members off the roster because enough observers lost them, and starts the release of their hosts.
    Dead {
        /// Who lost each of them.
        nodes: BTreeMap<NodeId, BTreeSet<NodeId>>,
    },
    /// Puts a target in force.
    Target(Arc<Configuration>),
    /// All agents reported that this target is reached; instances that it no longer has are gone.
    Settled {
        /// Which target.
        target: Revision,
    },
    /// No new acquisition; every instance is stopped and every host released.
    TakeDown,
    /// Changes nothing: once it is committed, every earlier proposal of its term is settled.
    Mark,
    /// Several commands in one entry, each with its own guard. At most one [`Command::Join`], no batches.
    Batch(Vec<Command>),
    /// Instances that a target dropped are known to be gone, before the target is reached as a whole.
    Gone {
        /// The target in force, which the agents that say so have followed.
        target: Revision,
        /// Which, as they were placed.
        instances: BTreeMap<InstanceId, Placed>,
    },
    /// A component goes back to the version that it last worked in, until there is another spec.
    Unwind {
        /// Which component.
        component: ComponentName,
        /// The spec revision that is given up for it: the one in force.
        version: Revision,
    },
    /// Begins a script, if everything in it can be done as far as is known.
    RunScript {
        /// Its number: one more than the last.
        number: u64,
        /// What is to be done.
        script: Box<Script>,
    },
    /// Carries out statements of the script that runs.
    Advance {
        /// Its number.
        number: u64,
        /// The first statement that is not carried out yet.
        from: u32,
        /// The first that is not carried out after this.
        to: u32,
    },
    /// Ends the script that runs where it is. What it did stays.
    EndScript {
        /// Its number.
        number: u64,
    },
    /// Ends the script at a wait that would never be over: an instance cannot start without one that rests.
    Stall {
        /// The script's number.
        number: u64,
        /// The statement that waits.
        at: u32,
        /// What it waits for.
        instance: InstanceId,
        /// What rests where it serves nobody.
        exporter: InstanceId,
    },
}

/// The beginning of a lineage.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Genesis {
    /// The application.
    pub app: AppName,
    /// The lineage's number.
    pub lineage: Lineage,
    /// Node 0, with the id [`FOUNDER`].
    pub founder: MemberRecord,
    /// Keys that may act as operator.
    pub operators: BTreeSet<PeerKey>,
    /// The timers of this overlay.
    pub timers: Timers,
    /// From this the tickets of hosts are derived. Everyone who holds the ledger knows it.
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

/// What the roster says of a member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its key.
    pub key: PeerKey,
    /// Where it accepts links.
    pub addresses: Vec<SocketAddr>,
    /// Where its host comes from; `founder` for node 0.
    pub provider: ProviderName,
    /// Where its host is; `founder` for node 0.
    pub region: RegionName,
    /// The intent of its host; none for node 0.
    pub intent: Option<IntentId>,
}

/// A spec to be put in force.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SetSpec {
    /// Its number: that of the spec in force plus one.
    pub revision: Revision,
    /// The typed form.
    pub spec: Spec,
    /// The text it was read from, for `status` and for a later `diff`.
    pub source: String,
}

/// A request to become a member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Join {
    /// The intent whose ticket is shown.
    pub ticket: IntentId,
    /// The host it runs on, as the provider names it to its own hosts. A provider without tokens may have made
    /// two hosts for one ticket: this says which of them the member is.
    pub host: HostId,
    /// The key the new node made for itself.
    pub key: PeerKey,
    /// Where it accepts links.
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
    /// Liveness: silence after which an observer suspects.
    pub silence_ms: u64,
    /// Liveness: how long an observer waits for others to contradict a suspicion.
    pub confirm_ms: u64,
    /// Liveness: the coordinator gathers deaths this long, so that a provider outage is one decision.
    pub batch_ms: u64,
    /// Providers: time between two lists.
    pub list_every_ms: u64,
    /// Providers: a new host may stay out of lists this long.
    pub visible_ms: u64,
    /// Providers: a host that no intent explains is reclaimed when it is older than this.
    pub reclaim_after_ms: u64,
    /// Membership: a host's node must have joined this long after the intent.
    pub join_ms_max: u64,
    /// Voters: after the first three, changes wait until the candidates were well this long.
    pub stabilise_ms: u64,
    /// Targets: instances whose hosts are ready wait this long for the others of the same plan.
    pub place_grace_ms: u64,
    /// Agents: how long a failed instance waits before it is started again, the first time.
    pub restart_ms: u64,
}

impl Timers {
    /// For nodes on one machine or in one region.
    pub const LOCAL: Self = Self {
        raft_heartbeat_ms: 100,
        raft_election_ms_min: 300,
        raft_election_ms_max: 600,
        // One message per second and observer keeps an idle node idle; a broken link is noticed at once anyway.
        heartbeat_ms: 1_000,
        // Three heartbeats may be missed; the half second is for their delay.
        silence_ms: 3_500,
        confirm_ms: 400,
        batch_ms: 300,
        list_every_ms: 30_000,
        // A list of the process provider is never behind; clouds stay within this (reference, overlay.md 1.6).
        visible_ms: 10_000,
        reclaim_after_ms: 60_000,
        // The ticket's life of 10 minutes (design.md section 12).
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
