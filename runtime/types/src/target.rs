//! Plans and target configurations: what the quorum decides about the application's architecture.
//!
//! Only data. A *plan* says which hosts to buy and where instances shall be; a *configuration* is one complete,
//! explicit target that leaves agents no choice. `rhizo-protocol` makes targets from plans.

use crate::counter::{Generation, Revision};
use crate::id::{BehaviourName, ComponentName, InstanceId, IntentId, NodeId, RuleName};
use crate::intent::AcquireOrder;
use crate::number::Number;
use crate::spec::Ports;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a planned instance shall run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Slot {
    /// On a member of the overlay.
    Node(NodeId),
    /// On the host of an earlier intent whose node has not joined yet.
    Intent(IntentId),
    /// On the host of this plan's order with that position.
    Order(u32),
}

/// A committed plan. Its entry creates one intent per order; its parent is the plan in force before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Its number: the parent's plus one.
    pub revision: Revision,
    /// The plan that it replaces.
    pub parent: Revision,
    /// The spec it was made for.
    pub spec: Revision,
    /// Hosts to acquire.
    pub orders: Vec<AcquireOrder>,
    /// Where every instance shall be in the end.
    pub placement: BTreeMap<InstanceId, Slot>,
    /// Nodes where a component kept failing: it is not placed there again.
    pub avoid: BTreeSet<(ComponentName, NodeId)>,
    /// Why it was made and what it is worth; for `why`.
    pub verdict: Verdict,
}

/// Why a plan was made and what it is worth.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What made the coordinator solve.
    pub cause: Cause,
    /// Whether something is broken or missing without it; if not, it is a voluntary move that pays.
    pub forced: bool,
    /// Utility of the configuration in force, 0..1; none when it breaks a rule or does not exist.
    pub utility_before: Option<Number>,
    /// Utility when the plan is done, 0..1.
    pub utility_after: Number,
    /// What the change costs, in the unit of utility.
    pub migration_cost: Number,
    /// Sum of the hourly prices when the plan is done, in millionths of the currency.
    pub price_micros_per_hour: u64,
    /// Each utility term, before and after.
    pub terms: Vec<TermChange>,
    /// Sentences for the operator, most important first; bounded by the coordinator.
    pub reasons: Vec<String>,
}

/// One utility term before and after a plan.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TermChange {
    /// The utility's name.
    pub name: RuleName,
    /// Its value in the configuration in force, 0..1.
    pub before: Option<Number>,
    /// Its value when the plan is done, 0..1.
    pub after: Number,
    /// Its share of the weighted mean.
    pub weight: Number,
}

/// What made the coordinator solve.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// There is no plan for the current spec yet.
    SpecChanged,
    /// Nodes that host planned instances died or left.
    NodeLost(BTreeSet<NodeId>),
    /// Orders of the plan came to nothing.
    OrderFailed(BTreeSet<IntentId>),
    /// Instances kept failing where they are.
    InstanceFailed(BTreeSet<InstanceId>),
    /// Nodes are being drained.
    Draining(BTreeSet<NodeId>),
    /// Facts or offers changed; looks for something better.
    Better,
    /// The application is being taken down.
    TakeDown,
    /// A script changed what is wanted; its number.
    Script(u64),
    /// Components have fewer copies than they need: a script ended half-way.
    CopiesMissing(BTreeSet<ComponentName>),
}

/// One complete, explicit target configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// Its number: the parent's plus one.
    pub revision: Revision,
    /// The target that it replaces.
    pub parent: Revision,
    /// The plan it belongs to.
    pub plan: Revision,
    /// Where every instance runs.
    pub instances: BTreeMap<InstanceId, Placed>,
    /// Which exporters every import is bound to. An import without an exporter is present with an empty set.
    pub bindings: BTreeMap<InstanceId, Ports<BTreeSet<InstanceId>>>,
    /// Behaviours that instances execute beyond `deploy`, in order. An instance that is deployed anew executes them
    /// again: its state follows from the target alone.
    pub pushes: BTreeMap<InstanceId, Vec<Push>>,
}

/// A pushed behaviour.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Push {
    /// Grows with every push of the instance name, so that reports can say how far it is.
    pub number: u64,
    /// What is executed.
    pub behaviour: BehaviourName,
}

/// So many pushed behaviours of one instance may be kept in a target.
pub const PUSHES_MAX: usize = 64;

/// Where one instance of a target runs, and as which version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Placed {
    /// The node.
    pub node: NodeId,
    /// The fence: grows with every placement of this instance name.
    pub generation: Generation,
    /// The spec revision that describes the component.
    pub version: Revision,
}
