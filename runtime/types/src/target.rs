//! Plans and target configurations: the quorum's decisions about the application's architecture.
//!
//! Only data. A *plan* names the hosts to acquire and the final place of each instance. A *configuration* is one
//! complete, explicit target, so that agents have nothing to choose. `rhizo-protocol` makes targets from plans.

use crate::counter::{Generation, Revision};
use crate::id::{BehaviourName, ComponentName, InstanceId, IntentId, NodeId, RuleName};
use crate::intent::AcquireOrder;
use crate::number::Number;
use crate::spec::Ports;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The place of a planned instance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Slot {
    /// A member of the overlay.
    Node(NodeId),
    /// The host of an earlier intent; its node has not joined yet.
    Intent(IntentId),
    /// The host of this plan's order with this index.
    Order(u32),
}

/// A committed plan. Its entry creates one intent per order; its parent is the plan in force before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Its number: the parent's plus one.
    pub revision: Revision,
    /// The revision of the plan that it replaces.
    pub parent: Revision,
    /// The revision of the spec that it was made for.
    pub spec: Revision,
    /// Hosts to acquire.
    pub orders: Vec<AcquireOrder>,
    /// The final place of every instance.
    pub placement: BTreeMap<InstanceId, Slot>,
    /// Nodes on which a component kept failing. The ledger marks them with the version that failed.
    pub avoid: BTreeSet<(ComponentName, NodeId)>,
    /// The reason and the value of the plan; printed by `why`.
    pub verdict: Verdict,
}

/// The reason and the value of a plan.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The event that made the coordinator solve.
    pub cause: Cause,
    /// Whether something is broken or missing without the plan. If false, the plan is a voluntary improvement.
    pub forced: bool,
    /// The utility and the cost of the change.
    pub worth: Worth,
    /// Sentences for the operator, most important first; the coordinator bounds their number.
    pub reasons: Vec<String>,
}

/// The utility before and after a change, and what the change costs.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Worth {
    /// Utility of the current configuration, 0..1; none if it breaks a rule or does not exist.
    pub utility_before: Option<Number>,
    /// Utility after the plan, 0..1.
    pub utility_after: Number,
    /// Cost of the change, in the unit of utility.
    pub migration_cost: Number,
    /// Sum of the hourly prices after the plan, in millionths of the currency.
    pub price_micros_per_hour: u64,
    /// Each utility term, before and after.
    pub terms: Vec<TermChange>,
}

impl Worth {
    /// Full utility at no cost and no price: for configurations that no goal was set for.
    #[must_use]
    pub fn full() -> Self {
        Self { utility_after: Number::ONE, ..Self::none() }
    }

    /// No utility at no cost and no price: for a configuration in which nothing runs.
    #[must_use]
    pub fn none() -> Self {
        Self {
            utility_before: None,
            utility_after: Number::ZERO,
            migration_cost: Number::ZERO,
            price_micros_per_hour: 0,
            terms: Vec::new(),
        }
    }

    /// Utility gained beyond the migration cost; a configuration that breaks a rule counts as utility 0.
    #[must_use]
    pub fn net_gain(&self) -> f64 {
        let before = self.utility_before.map_or(0.0, Number::get);
        self.utility_after.get() - before - self.migration_cost.get()
    }
}

/// One utility term before and after a plan.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TermChange {
    /// The utility's name.
    pub name: RuleName,
    /// Its value in the current configuration, 0..1.
    pub before: Option<Number>,
    /// Its value after the plan, 0..1.
    pub after: Number,
    /// Its weight in the weighted mean.
    pub weight: Number,
}

/// The event that made the coordinator solve.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// A new spec is in force; there is no plan for it yet.
    SpecChanged,
    /// Nodes with planned instances died or left.
    NodeLost(BTreeSet<NodeId>),
    /// Orders of the plan failed.
    OrderFailed(BTreeSet<IntentId>),
    /// Instances kept failing on their nodes.
    InstanceFailed(BTreeSet<InstanceId>),
    /// Nodes are being drained.
    Draining(BTreeSet<NodeId>),
    /// Facts or offers changed; the coordinator searches for a better configuration.
    Better,
    /// The application is being taken down.
    TakeDown,
    /// A script changed the wanted instances; the value is its number.
    Script(u64),
    /// Components have fewer copies than they need, because a script ended early.
    CopiesMissing(BTreeSet<ComponentName>),
}

/// One complete, explicit target configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// Its number: the parent's plus one.
    pub revision: Revision,
    /// The revision of the target that it replaces.
    pub parent: Revision,
    /// The revision of the plan that it belongs to.
    pub plan: Revision,
    /// The place and version of every instance.
    pub instances: BTreeMap<InstanceId, Placed>,
    /// The exporters that each import is bound to. An import without an exporter has an empty set.
    pub bindings: BTreeMap<InstanceId, Ports<BTreeSet<InstanceId>>>,
    /// Behaviours that instances execute after `deploy`, in order. An instance that is deployed again executes them
    /// again, so that its state follows from the target alone.
    pub pushes: BTreeMap<InstanceId, Vec<Push>>,
}

/// A pushed behaviour.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Push {
    /// Grows with every push to the instance name; reports name the last one that is done.
    pub number: u64,
    /// The behaviour to execute.
    pub behaviour: BehaviourName,
}

/// Most pushed behaviours of one instance in a target.
pub const PUSHES_MAX: usize = 64;

/// The place and version of one instance in a target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Placed {
    /// The node.
    pub node: NodeId,
    /// The fence: grows each time this instance name is placed.
    pub generation: Generation,
    /// The spec revision that describes the component.
    pub version: Revision,
}
