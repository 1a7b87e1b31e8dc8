//! The request that planning answers: a [`SolveRequest`] with the decisions so far and the state of the hosts.
//!
//! Plain data. One function of the core makes it, for [`Node::question`](crate::Node::question) and for the
//! coordinator's solver runs. `rhizo-planning` answers it with a [`Proposal`](crate::event::Proposal). The request
//! holds no facts and no offers, because the shell keeps those. Read next: [`crate::judgement`].

use rhizo_types::id::{ComponentName, HostId, InstanceId, NodeId, OfferName, ProviderName};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::spec::Spec;
use rhizo_types::target::{Cause, Slot};
use rhizo_types::{Number, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Number of a solver run of this node; never used twice by one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SolveId(pub u64);

/// A request for a plan, made by the core and answered by planning.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SolveRequest {
    /// Number of the run. It is also the seed of the search, so that equal requests get equal answers.
    pub id: SolveId,
    /// The spec that the configuration has to satisfy. For the question that `up` puts to the operator it is not in
    /// force yet.
    pub spec: Arc<Spec>,
    /// The cause of the request, and the terms on which a proposal is accepted.
    pub terms: Terms,
    /// Every host that copies can be placed on: members that are not draining, and hosts that are still arriving. Their
    /// providers are named by the spec. A host with the data of a pinned copy is always among them.
    pub hosts: BTreeMap<Slot, HostView>,
    /// Hosts of providers that the spec does not name. No copy is placed on them, and they are released when they are
    /// empty.
    pub withdrawn: BTreeMap<Slot, HostView>,
    /// Every copy of the plan in force, also those whose host is lost or draining.
    pub copies: BTreeMap<InstanceId, CopyView>,
    /// Copies that wait for their data, each with the lost node that has it. They count as copies of their component
    /// and are not placed.
    pub waiting: BTreeMap<InstanceId, NodeId>,
    /// Names that a new copy must not get: a target has an instance of that name, or an instance of that name may
    /// still run.
    pub names_in_use: BTreeSet<InstanceId>,
    /// Offers that a provider refused or had no capacity for. They are not ordered until their pause ends.
    pub cooling: BTreeMap<(ProviderName, OfferName), Cooling>,
    /// Providers whose API does not answer. Nothing is ordered there until they answer.
    pub failing: BTreeSet<ProviderName>,
    /// False if a node that does not coordinate made the request. Such a request lacks the cooling offers, the
    /// failing providers and copies, and the stuck orders, because only the coordinator knows them.
    pub is_informed: bool,
}

/// Why an offer is not ordered for a while.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cooling {
    /// Time until it can be ordered again, in milliseconds from the request on.
    pub left_ms: u64,
    /// The answer of the provider to the last order.
    pub reason: String,
}

/// The cause of a request, and the terms on which a proposal is accepted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Terms {
    /// The event or the operator's request that caused the solver run.
    pub cause: Cause,
    /// True when something is missing or broken. The proposal then need not gain anything, and may move any number of
    /// copies.
    pub forced: bool,
    /// The plan in force, which the proposal replaces.
    pub plan: Revision,
    /// The revision of the spec that the plan is made for.
    pub spec: Revision,
    /// Nodes on which a component kept failing. The component is not placed there.
    pub avoid: BTreeSet<(ComponentName, NodeId)>,
    /// Hosts that have not settled yet; their copies stay. Empty when `forced`.
    pub frozen: BTreeSet<Slot>,
    /// The largest number of running copies that may be moved or ended. None when there is no limit, or when
    /// `forced`.
    pub moves_max: Option<u32>,
    /// A voluntary change has to gain more than this, after its migration cost is subtracted.
    pub gain_min: Number,
    /// The largest number of hosts that may be acquired; none when there is no limit. Failures of copies justify at
    /// most one host.
    pub orders_max: Option<u32>,
    /// The cost of all open intents, in millionths of the currency per hour.
    pub spending_micros: u64,
    /// The limit of the cost of all open intents, in the same unit; none when there is no limit.
    pub budget_micros: Option<u64>,
}

/// A host that copies can be placed on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostView {
    /// The order of the host: provider, offer, region, price, capacity, attributes.
    pub order: AcquireOrder,
    /// The member that runs on it; none before it has joined. Facts measured there replace the values of the order.
    pub node: Option<NodeId>,
    /// The provider's identifier of the host; none before the provider has returned it.
    pub host: Option<HostId>,
}

/// A copy of the plan in force.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CopyView {
    /// The copy's slot in the plan. An intent whose node has joined is replaced by that node.
    pub slot: Slot,
    /// Whether the copy can stay in that slot.
    pub place: PlaceState,
    /// Whether the copy is bound to its slot, because its data is there and must not be left.
    pub is_pinned: bool,
    /// The change that the spec makes to the copy's definition; none when the copy runs that definition already.
    pub change: Option<DefinitionChange>,
}

/// Whether a copy can stay where the plan in force has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PlaceState {
    /// The host exists or is arriving.
    Usable,
    /// The member is being drained.
    Draining,
    /// The spec does not name the provider of the host.
    Withdrawn,
    /// The host's order has not been confirmed for so long that the plan no longer waits for the host.
    Stuck,
    /// The host is gone, or its order failed.
    Lost,
}

/// The effect of a changed component definition on a placed copy.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum DefinitionChange {
    /// The copy is restarted, because these keys of the config changed.
    Restart(Vec<&'static str>),
    /// The copy continues to run and is notified.
    Notify,
    /// The spec has no such component.
    Removed {
        /// A component that the spec adds with the same definition under another name; none if there is none.
        renamed_to: Option<ComponentName>,
    },
}

impl CopyView {
    /// Returns true if the copy can stay where it is. A pinned copy stays on a host that is to be emptied.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        match self.place {
            PlaceState::Usable => true,
            PlaceState::Draining | PlaceState::Withdrawn => self.is_pinned,
            PlaceState::Stuck | PlaceState::Lost => false,
        }
    }
}

impl SolveRequest {
    /// Returns the slot of every copy of the plan in force.
    #[must_use]
    pub fn placement(&self) -> BTreeMap<InstanceId, Slot> {
        self.copies.iter().map(|(instance, copy)| (instance.clone(), copy.slot)).collect()
    }
}
