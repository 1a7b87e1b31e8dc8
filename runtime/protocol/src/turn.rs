//! The output of the core for one event: a [`Turn`] of [`Effect`]s, grouped by durability.
//!
//! This file contains types only. The shell executes every effect in the order given, without looking at the
//! protocol's state, and reports each result as an [`Event`](crate::event::Event).

use crate::notice::{HaltReason, Notice};
use crate::request::SolveRequest;
use litemap::LiteMap;
use rhizo_types::id::{HostId, InstanceId, IntentId, NodeId, PortName, ProviderName};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::ledger::Command;
use rhizo_types::lifecycle::{Action, Values};
use rhizo_types::message::{Message, Served};
use rhizo_types::spec::Component;
use rhizo_types::wire::{Boot, JoinAnswer, Record};
use rhizo_types::{Generation, Revision};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The output of the core for one event. The shell executes `now`, then appends `durable` and syncs, then executes
/// `after_durable`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[must_use = "an unexecuted turn leaves the protocol waiting forever"]
pub struct Turn {
    /// Records to append to this node's stable storage and sync, before anything of `after_durable` is executed.
    pub durable: Vec<Record>,
    /// Effects to execute when `durable` is on stable storage.
    pub after_durable: Vec<Effect>,
    /// Effects to execute at once.
    pub now: Vec<Effect>,
}

/// Number of a proposal of this node; never used twice by one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProposalId(pub u64);

/// The shell's number for a request that the core answers: an operator's request, or a node's request to join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// One run of one instance; the events of its actions refer to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunId {
    /// The instance.
    pub instance: InstanceId,
    /// Its generation.
    pub generation: Generation,
    /// Number of this run within the generation on this node; the first run has number 1.
    pub attempt: u32,
}

/// One execution of one action of a run; a repetition has a number of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ActionId {
    /// The run.
    pub run: RunId,
    /// Number of the action within the run; the first action has number 1.
    pub number: u32,
}

/// The exporters that an import is bound to, each with the address and values that it serves.
pub type Bound = LiteMap<InstanceId, Served>;

/// The bindings of every import of an instance. Sorted lists, because there are many of them and each is small.
pub type BoundImports = LiteMap<PortName, Bound>;

/// One effect that the shell has to execute.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Send a message to another member. It may be lost, and is dropped when there is no link.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// Keep links to exactly these members: dial them, redial after a loss, and close other links that are idle.
    Links(BTreeSet<NodeId>),
    /// Propose a command to the log; answered by `Event::Proposed`.
    Propose {
        /// Its number.
        id: ProposalId,
        /// The command.
        command: Command,
    },
    /// Change the log's membership; answered by `Event::MembershipChanged`.
    ChangeMembership(MembershipChange),
    /// Ask every provider for its offers; answered by `Event::OffersChanged` when they differ from the last ones.
    AskOffers,
    /// Transfer the leadership of the log to a voter. The result shows in a later `Event::LogStatus`.
    TransferLeadership {
        /// The new leader.
        to: NodeId,
    },
    /// Read barrier, then `acquire` on the provider; answered by `Event::Acquired`.
    Acquire(Box<AcquireCall>),
    /// Read barrier, then `release` on the provider; answered by `Event::Released`.
    Release {
        /// The intent.
        intent: IntentId,
        /// The provider.
        provider: ProviderName,
        /// The host.
        host: HostId,
    },
    /// Read barrier, then `list` by app and lineage on the provider; answered by `Event::Listed`.
    List {
        /// The provider.
        provider: ProviderName,
    },
    /// Build the planning problem from the request, the facts and the offers, and solve it; answered by
    /// `Event::Solved`.
    Solve(Box<SolveRequest>),
    /// Answer a node that wants to join (`Event::JoinRequested`).
    ReplyJoin {
        /// The shell's number.
        request: RequestId,
        /// The answer.
        answer: JoinAnswer,
    },
    /// Start the service of an instance; answered by `Event::Started` or `Event::StartFailed`.
    Start(Box<StartCall>),
    /// Stop the service of an instance, also while it is starting. Answered by `Event::Stopped` or `Event::Exited`,
    /// even if no part of the service runs.
    Stop {
        /// The run.
        run: RunId,
    },
    /// Begin an action; answered by one `Event::Acted`. Several actions of one run may be executed side by side.
    Act(Box<ActCall>),
    /// End an action, by force if necessary. The action's one `Event::Acted` follows when no part of the action runs
    /// any more.
    Cancel {
        /// The action.
        action: ActionId,
    },
    /// Pass the changes of one import to a run. Actions that begin later have all its bindings in their call.
    Rebind {
        /// The run.
        run: RunId,
        /// The import.
        import: PortName,
        /// Exporters that are bound from now on, or whose address or values changed.
        bound: Bound,
        /// Exporters that are no longer bound.
        unbound: BTreeSet<InstanceId>,
    },
    /// Pass new attributes of the component to a run. Actions that begin later have them in their call.
    SetAttributes {
        /// The run.
        run: RunId,
        /// All attributes. They replace the previous set.
        attributes: Values,
    },
    /// Answer an operator's request (`Event::Request`).
    Answer {
        /// The shell's number.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// A line for `events` and `why`.
    Notice {
        /// The notice.
        notice: Notice,
        /// The index of the committed entry that it follows from. Every node that applies the entry has the same
        /// notice.
        entry: Option<u64>,
    },
    /// Stop every instance and this process; the host may end with it.
    Halt {
        /// The reason, for the operator.
        reason: HaltReason,
    },
}

/// One change of the log's membership. At most one is outstanding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MembershipChange {
    /// Add a node that receives the log and does not vote. Its shell opens its store when the leader's first frame
    /// arrives.
    AddLearner(NodeId),
    /// Make exactly these nodes the voters, in one joint change. Former voters stay as learners.
    SetVoters(BTreeSet<NodeId>),
    /// Remove a node that does not vote.
    Remove(NodeId),
}

/// A provider call that acquires a host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AcquireCall {
    /// The intent.
    pub intent: IntentId,
    /// The order.
    pub order: AcquireOrder,
    /// Idempotency token: the same for every call of this intent, at most 64 ASCII characters.
    pub token: String,
    /// The boot document for the new host.
    pub boot: Boot,
}

/// One start of one instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StartCall {
    /// The run.
    pub run: RunId,
    /// The component, which defines the program or the embedded service and its life-cycle.
    pub component: Arc<Component>,
    /// The spec revision that `component` is from.
    pub version: Revision,
    /// The bindings; every import of the component has an entry, which may be empty.
    pub imports: BoundImports,
    /// The values that earlier actions of the run have published.
    pub values: Values,
    /// For a copy with state, the generation that began its data on this node; it names the directory of the data.
    pub data: Option<Generation>,
}

/// One execution of one action.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ActCall {
    /// Its number.
    pub id: ActionId,
    /// Its name in logs: the name of the transition, `reset` or `notify`.
    pub step: String,
    /// The declaration of the action.
    pub action: Action,
    /// The component, for its environment, attributes and script.
    pub component: Arc<Component>,
    /// The spec revision that `component` is from.
    pub version: Revision,
    /// The bindings; every import of the component has an entry, which may be empty.
    pub imports: BoundImports,
    /// The values that earlier actions of the run have published.
    pub values: Values,
    /// For a copy with state, the generation that began its data on this node; it names the directory of the data.
    pub data: Option<Generation>,
}

/// Answer to an operator's request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// The request is committed. Its effects follow and can be watched in `status`.
    Accepted,
    /// The caller has to repeat the request: this node does not coordinate, or it is not known whether the request
    /// was committed.
    Later,
    /// The spec that the request was to follow is no longer in force. Nothing was committed.
    Overtaken,
    /// The request is refused, for this reason.
    Refused(String),
}

impl Turn {
    /// Returns true if the shell has nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.durable.is_empty() && self.after_durable.is_empty() && self.now.is_empty()
    }

    /// Returns every effect, those that wait for durability first.
    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.after_durable.iter().chain(&self.now)
    }
}
