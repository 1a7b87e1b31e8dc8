//! The question that planning answers: a [`SolveRequest`], everything that is decided and known about hosts.
//!
//! Plain data. The core makes it in one function ([`Node::question`](crate::Node::question) and the coordinator's own
//! runs share it), `rhizo-planning` answers it, and the answer comes back as a [`Proposal`](crate::event::Proposal).
//! It holds no fact and no offer: those are the shell's. Read next: [`crate::judgement`].

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

/// What planning is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SolveRequest {
    /// Number of the run; also the seed of its search, so that equal questions get equal answers.
    pub id: SolveId,
    /// The spec that the configuration has to satisfy. For the question of `up` it is not in force yet.
    pub spec: Arc<Spec>,
    /// Why something is to change, and what a proposal is judged by.
    pub terms: Terms,
    /// Every host that copies can be placed on: members that are not draining, and hosts that are still arriving.
    pub hosts: BTreeMap<Slot, HostView>,
    /// Every copy of the plan in force, also those whose host is lost or draining.
    pub copies: BTreeMap<InstanceId, CopyView>,
    /// Names that a new copy must not get: a target has them, or what had them may still run.
    pub names_in_use: BTreeSet<InstanceId>,
    /// Offers that a provider refused or had no capacity for; they are not ordered for now.
    pub cooling: BTreeSet<(ProviderName, OfferName)>,
    /// Providers whose API does not answer; nothing is ordered there for now.
    pub failing: BTreeSet<ProviderName>,
    /// False when the question was made by a node that does not coordinate: which offers cool down, which providers
    /// and copies fail, and which orders are stuck is known to the coordinator alone.
    pub is_informed: bool,
}

/// Why something is to change, and what a proposal is judged by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Terms {
    /// What made the coordinator look, or the operator ask.
    pub cause: Cause,
    /// True when something is missing or broken: the proposal then need not pay, and may move any number of copies.
    pub forced: bool,
    /// The plan in force, which the proposal replaces.
    pub plan: Revision,
    /// The revision of the spec.
    pub spec: Revision,
    /// Nodes where a component kept failing; it is not placed there.
    pub avoid: BTreeSet<(ComponentName, NodeId)>,
    /// Hosts that have not settled yet; their copies stay. Empty when `forced`.
    pub frozen: BTreeSet<Slot>,
    /// At most so many running copies may be moved or ended. None when there is no limit, or when `forced`.
    pub moves_max: Option<u32>,
    /// A voluntary change has to gain more than this beyond its migration cost.
    pub gain_min: Number,
    /// What all open intents cost, in millionths of the currency per hour.
    pub spending_micros: u64,
    /// The most that all open intents may cost, in the same unit; none when there is no limit.
    pub budget_micros: Option<u64>,
}

/// A host that copies can be placed on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostView {
    /// What was ordered: provider, offer, region, price, capacity, attributes.
    pub order: AcquireOrder,
    /// Its member, once it joined. Facts measured there win over what the order says.
    pub node: Option<NodeId>,
    /// The provider's name of it, once the provider told it.
    pub host: Option<HostId>,
}

/// A copy of the plan in force.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CopyView {
    /// Where the plan has it; an intent whose node has joined is that node.
    pub slot: Slot,
    /// Whether it can stay there.
    pub place: PlaceState,
    /// What the spec's definition of its component changes for it; none when it runs that definition already.
    pub change: Option<DefinitionChange>,
}

/// Whether a copy can stay where the plan in force has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PlaceState {
    /// The host is there or arriving.
    Usable,
    /// The member is being drained.
    Draining,
    /// The host's order was not confirmed for so long that it is given up.
    Stuck,
    /// The host is gone, or its order failed.
    Lost,
}

/// What a changed definition of its component means for a copy that is placed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum DefinitionChange {
    /// The copy starts anew, because these keys of the config changed.
    Restart(Vec<&'static str>),
    /// The copy goes on running and is notified.
    Notify,
    /// The spec has no such component.
    Removed {
        /// A component that is new and has the same definition.
        renamed_to: Option<ComponentName>,
    },
}

impl CopyView {
    /// Whether the copy can stay where it is.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.place == PlaceState::Usable
    }
}

impl SolveRequest {
    /// Where every copy of the plan in force is.
    #[must_use]
    pub fn placement(&self) -> BTreeMap<InstanceId, Slot> {
        self.copies.iter().map(|(instance, copy)| (instance.clone(), copy.slot)).collect()
    }
}
