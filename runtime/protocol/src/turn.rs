//! What the shell owes the core for one event: a [`Turn`] of [`Effect`]s, grouped by durability.
//!
//! It decides nothing. The shell executes every effect in the order given, without looking at the protocol's
//! state; results come back as an [`Event`](crate::event::Event).

use crate::notice::Notice;
use litemap::LiteMap;
use rhizo_types::id::{
    ComponentName, HostId, InstanceId, IntentId, NodeId, OfferName, PortName, ProviderName,
};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::ledger::Command;
use rhizo_types::lifecycle::{Action, Values};
use rhizo_types::message::{Message, Served};
use rhizo_types::spec::Component;
use rhizo_types::target::{Cause, Slot};
use rhizo_types::wire::{Boot, JoinAnswer, Record};
use rhizo_types::{Generation, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the shell owes the core for one event, in the order it owes it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[must_use = "an unexecuted turn leaves the protocol waiting forever"]
pub struct Turn {
    /// Append to this node's stable storage and sync. Until that returns, nothing of `after_durable` may happen.
    pub durable: Vec<Record>,
    /// May happen only after `durable` is on stable storage.
    pub after_durable: Vec<Effect>,
    /// Needs no durability.
    pub now: Vec<Effect>,
}

/// Number of a proposal of this node; never used twice by one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProposalId(pub u64);

/// Number of a solver run of this node; never used twice by one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SolveId(pub u64);

/// The shell's number for something that wants an answer (an operator's ask, a joining node).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// One start of one instance: what the actions' events refer to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunId {
    /// The instance.
    pub instance: InstanceId,
    /// Its generation.
    pub generation: Generation,
    /// The how-manieth start of this generation on this node, from one.
    pub attempt: u32,
}

/// One execution of one action of a run; a repetition has a number of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ActionId {
    /// The run.
    pub run: RunId,
    /// The how-manieth action of the run, from one.
    pub number: u32,
}

/// What an import of an instance is bound to: exporter → what it serves.
pub type Bound = LiteMap<InstanceId, Served>;

/// What the imports of an instance are bound to. Small and many, so that they are sorted lists.
pub type BoundImports = LiteMap<PortName, Bound>;

/// One thing the shell must do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Send to another member; may be lost. Dropped when there is no link.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Keep links to exactly these members (dial, redial, and close others that are idle).
    Links(BTreeSet<NodeId>),
    /// Propose a command to the log; answered by `Event::Proposed`.
    Propose {
        /// Its number.
        id: ProposalId,
        /// What.
        command: Command,
    },
    /// Change the log's membership; answered by `Event::MembershipChanged`.
    ChangeMembership(MembershipChange),
    /// Hand the log's leadership to this voter. No answer: `Event::LogStatus` shows what came of it.
    TransferLeadership {
        /// To whom.
        to: NodeId,
    },
    /// Read barrier, then `acquire` on the provider; answered by `Event::Acquired`.
    Acquire(Box<AcquireCall>),
    /// Read barrier, then `release` on the provider; answered by `Event::Released`.
    Release {
        /// For which intent.
        intent: IntentId,
        /// Who is asked.
        provider: ProviderName,
        /// Which host.
        host: HostId,
    },
    /// Read barrier, then `list` by app and lineage on the provider; answered by `Event::Listed`.
    List {
        /// Who is asked.
        provider: ProviderName,
    },
    /// Pose the problem and solve it; answered by `Event::Solved`.
    Solve(Box<SolveRequest>),
    /// Answer a node that wants to join (`Event::JoinRequested`).
    ReplyJoin {
        /// The shell's number.
        request: RequestId,
        /// The answer.
        answer: JoinAnswer,
    },
    /// Start what an instance runs; answered by `Event::Started` or `Event::StartFailed`.
    Start(Box<StartCall>),
    /// Stop what an instance runs, also while it is starting; answered by `Event::Stopped` (or `Exited`), also when
    /// nothing of it runs.
    Stop {
        /// Which run.
        run: RunId,
    },
    /// Begin an action; answered by one `Event::Acted`. The actions of one run may be under way side by side.
    Act(Box<ActCall>),
    /// End an action, by force if need be. Answered by its one `Event::Acted`, when nothing of it runs any more.
    Cancel {
        /// Which.
        action: ActionId,
    },
    /// An import of a run has changed; only the difference is told. Actions that begin later have it in their call.
    Rebind {
        /// Which run.
        run: RunId,
        /// Which import.
        import: PortName,
        /// Exporters that are bound now, or serve something else now.
        bound: Bound,
        /// Exporters that are not bound any more.
        unbound: BTreeSet<InstanceId>,
    },
    /// The component's attributes are these from now on; actions that begin later have them in their call.
    SetAttributes {
        /// Which run.
        run: RunId,
        /// All of them.
        attributes: Values,
    },
    /// Answer an operator's request (`Event::Request`).
    Answer {
        /// The shell's number.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// Something `events` and `why` tell.
    Notice(Notice),
    /// Stop every instance and this process; the host may end with it.
    Halt {
        /// Why.
        reason: HaltReason,
    },
}

/// One change of the log's membership. At most one is outstanding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MembershipChange {
    /// Add a node that gets the log without voting. Its shell opens its store when the leader's first frame comes.
    AddLearner(NodeId),
    /// In one joint change, make exactly these the voters. Former voters stay as learners.
    SetVoters(BTreeSet<NodeId>),
    /// Remove a node that does not vote.
    Remove(NodeId),
}

/// A provider call that acquires a host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AcquireCall {
    /// For which intent.
    pub intent: IntentId,
    /// What is ordered.
    pub order: AcquireOrder,
    /// Idempotency token: the same for every call of this intent, at most 64 ASCII characters.
    pub token: String,
    /// What the new host is given.
    pub boot: Boot,
}

/// What the solver is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SolveRequest {
    /// Number of the run.
    pub id: SolveId,
    /// What made the coordinator ask.
    pub cause: Cause,
    /// Whether something is broken or missing now: then feasibility counts, not the gain.
    pub forced: bool,
    /// The spec the problem is posed for (`ledger().spec_of`).
    pub spec: Revision,
    /// Hosts there are or will be, and what is placed on them.
    pub hosts: BTreeMap<Slot, HostView>,
    /// Offers that failed lately: not to be ordered in this run.
    pub cooling: BTreeSet<(ProviderName, OfferName)>,
    /// Providers whose API does not answer: nothing can be ordered there now.
    pub failing: BTreeSet<ProviderName>,
    /// A component is not placed (again) on that node.
    pub avoid: BTreeSet<(ComponentName, NodeId)>,
    /// Too young to be emptied voluntarily.
    pub frozen: BTreeSet<Slot>,
    /// At most so many hosts are replaced voluntarily.
    pub moves_max: Option<u32>,
}

/// A host as the solver sees it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostView {
    /// Where it comes from, what it was sold as, with and for.
    pub order: AcquireOrder,
    /// The components that the plan in force has on it, each with its number of copies there.
    pub components: BTreeMap<ComponentName, u32>,
    /// Its member, once it joined: facts measured there win over what it was sold with.
    pub node: Option<NodeId>,
}

/// One start of one instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StartCall {
    /// Which run.
    pub run: RunId,
    /// What is run, and how.
    pub component: Arc<Component>,
    /// The spec revision that `component` is from.
    pub version: Revision,
    /// Every import of the component is present.
    pub imports: BoundImports,
    /// What earlier actions of the run put out.
    pub values: Values,
}

/// One execution of one action.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ActCall {
    /// Its number.
    pub id: ActionId,
    /// What it is for, for logs: the transition's name, `reset` or `notify`.
    pub step: String,
    /// What is done.
    pub action: Action,
    /// Whose it is: environment, attributes, script.
    pub component: Arc<Component>,
    /// The spec revision that `component` is from.
    pub version: Revision,
    /// Every import of the component is present.
    pub imports: BoundImports,
    /// What earlier actions of the run put out.
    pub values: Values,
}

/// Answer to an operator's request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// Committed; the rest follows by itself and can be watched in `status`.
    Accepted,
    /// Ask again: this node does not coordinate, or it is not known whether the request was committed.
    Later,
    /// No, and why.
    Refused(String),
}

/// Why a node halts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HaltReason {
    /// It left on purpose (released, drained, detached, taken down).
    Left,
    /// The others committed it dead.
    Dead,
    /// It lost the group for longer than the spec's `orphan_after`.
    Orphaned,
}

impl Turn {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.durable.is_empty() && self.after_durable.is_empty() && self.now.is_empty()
    }

    /// Every effect, those that wait for durability first.
    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.after_durable.iter().chain(&self.now)
    }
}
