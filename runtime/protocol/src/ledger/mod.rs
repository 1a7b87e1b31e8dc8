//! The ledger: the decisions of the quorum so far, as a pure function of the committed log.
//!
//! Every node applies the same entries in the same order and gets the same ledger. Applying never fails: a command
//! whose guard does not hold is refused and changes nothing. The ledger holds no time and no report of an agent. Read
//! next: [`apply`] for the guards, [`view`] for derived values.

mod apply;
mod failures;
mod homes;
mod outcome;
mod recover;
pub(crate) mod room;
mod script;
mod targets;
#[cfg(test)]
mod tests;
mod view;

pub use apply::{Applied, Refusal};
pub use recover::{FORMER_MAX, FormerLineage, Recovery, RecoveryRefusal, SKIP};
pub use script::{ScriptRun, ScriptState};
pub use view::SlotState;

use rhizo_types::failure::{Failing, Mark, Proven};
use rhizo_types::id::{ComponentName, InstanceId, IntentId, NodeId};
use rhizo_types::intent::Intent;
use rhizo_types::ledger::{Genesis, MemberRecord, SetSpec};
use rhizo_types::spec::Ports;
use rhizo_types::state::Home;
use rhizo_types::target::{Configuration, Placed, Plan, Push};
use rhizo_types::{Epoch, Generation, Revision, Term};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Number of closed intents that are kept for `why`. A listed host of an older intent counts as unexplained.
pub const CLOSED_INTENTS_MAX: usize = 256;
/// Number of former members that are kept, so that a member that lost its links learns of its removal.
pub const DEPARTED_MAX: usize = 1_024;
/// The most hosts that one plan may order. A plan with more is refused as an error of the solver.
pub const ORDERS_MAX: usize = 4_096;

/// The exporters of each import of each instance.
pub type Bindings = BTreeMap<InstanceId, Ports<BTreeSet<InstanceId>>>;

/// The decisions of the quorum up to the entry at `index`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The last applied index.
    pub index: u64,
    /// The term of that entry.
    pub term: Term,
    /// The lineage, timers and secret of the overlay; none until the first command.
    pub genesis: Option<Genesis>,
    /// Grows with every change of `members`.
    pub epoch: Epoch,
    /// The specs that are still needed; the last one is in force.
    pub specs: BTreeMap<Revision, SetSpec>,
    /// The roster.
    pub members: BTreeMap<NodeId, Member>,
    /// Former members; bounded, oldest forgotten first.
    pub departed: BTreeMap<NodeId, Departed>,
    /// Open intents, and the last closed ones.
    pub intents: BTreeMap<IntentId, Intent>,
    /// The number of the next intent, minus one.
    pub intents_issued: u64,
    /// The plan in force; none before the first.
    pub plan: Option<Plan>,
    /// The target in force; the default one is empty.
    pub target: Arc<Configuration>,
    /// The last target that was reached completely.
    pub settled: Revision,
    /// Instances that a target dropped and whose agents have not reported them as gone.
    pub lingering: BTreeMap<InstanceId, Placed>,
    /// The last generation of every instance name.
    pub generations: BTreeMap<InstanceId, Generation>,
    /// The node that has the data of each copy with state. A home whose node is no member is waited for.
    pub homes: BTreeMap<InstanceId, Home>,
    /// Nodes on which a version of a component kept failing. The component is not placed there while the mark lasts.
    pub avoid: BTreeMap<(ComponentName, NodeId), Mark>,
    /// Components whose version keeps failing. An entry ends with the version, or when the version has run well.
    pub failing: BTreeMap<ComponentName, Failing>,
    /// Whether the application is being taken down; never reset.
    pub taking_down: bool,
    /// The voters, after the last membership entry.
    pub voters: BTreeSet<NodeId>,
    /// The learners, after the last membership entry.
    pub learners: BTreeSet<NodeId>,
    /// The version in which each component last ran well: all copies were started for longer than the failure window.
    pub proven: BTreeMap<ComponentName, Proven>,
    /// Components that returned to their proven version, each with the spec revision in which it kept failing.
    pub unwound: BTreeMap<ComponentName, Revision>,
    /// Imports whose exporters a script chose, with those exporters.
    pub script_bindings: Bindings,
    /// The behaviours that scripts pushed to instances.
    pub pushes: BTreeMap<InstanceId, Vec<Push>>,
    /// Instances of the target that a script removed. A new instance of such a name is placed only when the old one
    /// is gone, even on the same node. Otherwise the new one would start in the state to which pushes had brought the
    /// old one.
    pub dropped: BTreeSet<InstanceId>,
    /// The number of the last push.
    pub pushes_issued: u64,
    /// The running script, or the last one.
    pub script: Option<ScriptRun>,
    /// The number of the last script.
    pub scripts_issued: u64,
    /// The lineages that this one follows, oldest first: each lost its quorum for good. Hosts may still have their
    /// tags.
    pub former: Vec<FormerLineage>,
}

/// A member of the overlay.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its key, addresses, provider and host.
    pub record: MemberRecord,
    /// True if the member is to leave. Its instances are moved away first.
    pub draining: bool,
}

/// A former member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Departed {
    /// Whether it was declared dead; otherwise it left.
    pub dead: bool,
    /// The intent of its host.
    pub intent: Option<IntentId>,
}
