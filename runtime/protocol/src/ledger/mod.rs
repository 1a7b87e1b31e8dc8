//! The ledger: what the quorum decided so far, as a pure function of the committed log.
//!
//! Every node applies the same entries in the same order and gets the same ledger. Applying never fails: a
//! command whose guard does not hold is refused and changes nothing. It knows no time and nothing that an agent
//! reports. Read next: [`apply`] for the guards, [`view`] for derived questions.

mod apply;
mod outcome;
pub(crate) mod room;
mod script;
mod targets;
#[cfg(test)]
mod tests;
mod view;

pub use apply::{Applied, Refusal};
pub use script::{ScriptRun, ScriptState};
pub use view::SlotState;

use crate::bindings::Bindings;
use rhizo_types::id::{ComponentName, InstanceId, IntentId, NodeId};
use rhizo_types::intent::Intent;
use rhizo_types::ledger::{Genesis, MemberRecord, SetSpec};
use rhizo_types::target::{Configuration, Placed, Plan, Push};
use rhizo_types::{Epoch, Generation, Revision, Term};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// So many closed intents are remembered for `why`; an older token in a provider's list is unexplained anyway.
pub const CLOSED_INTENTS_MAX: usize = 256;
/// So many former members are remembered, so that a late one is told that it left.
pub const DEPARTED_MAX: usize = 1_024;
/// More hosts than this in one plan are a mistake, not an application: the runtime is built for thousands of nodes.
pub const ORDERS_MAX: usize = 4_096;

/// Everything that the quorum decided, after the entry at `index`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The last applied index.
    pub index: u64,
    /// The term of that entry.
    pub term: Term,
    /// The beginning; none until the first command.
    pub genesis: Option<Genesis>,
    /// Grows with every change of `members`.
    pub epoch: Epoch,
    /// The specs that are still needed: the one in force is the last.
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
    /// The last target that was reached.
    pub settled: Revision,
    /// Instances that a target dropped and that are not yet known to be gone.
    pub lingering: BTreeMap<InstanceId, Placed>,
    /// The last generation of every instance name.
    pub generations: BTreeMap<InstanceId, Generation>,
    /// Nodes where a component kept failing.
    pub avoid: BTreeSet<(ComponentName, NodeId)>,
    /// Whether the application is being taken down; for ever, once set.
    pub taking_down: bool,
    /// Who votes, after the last membership entry.
    pub voters: BTreeSet<NodeId>,
    /// Who learns, after the last membership entry.
    pub learners: BTreeSet<NodeId>,
    /// The version in which every component was last reached as a whole.
    pub proven: BTreeMap<ComponentName, Revision>,
    /// Components that do not follow this spec revision, because they kept failing in it.
    pub unwound: BTreeMap<ComponentName, Revision>,
    /// Imports that a script bound by hand, with everything that they are bound to.
    pub wired: Bindings,
    /// Behaviours that a script pushed.
    pub pushes: BTreeMap<InstanceId, Vec<Push>>,
    /// Instances in force that were dropped with what was done to them by hand. Under such a name nothing is placed
    /// before they are gone, though it be in the same place: it would go on where the old one was taken.
    pub dropped: BTreeSet<InstanceId>,
    /// The number of the last push.
    pub pushes_issued: u64,
    /// The script that runs, or ran last.
    pub script: Option<ScriptRun>,
    /// The number of the last script.
    pub scripts_issued: u64,
}

/// A member of the overlay.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its key, addresses, provider and host.
    pub record: MemberRecord,
    /// Whether it shall be left without work.
    pub draining: bool,
}

/// A former member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Departed {
    /// Whether it was committed dead; otherwise it left.
    pub dead: bool,
    /// The intent of its host.
    pub intent: Option<IntentId>,
}
