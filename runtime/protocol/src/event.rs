//! The input of a node's core: one closed enum of everything that can happen to it.
//!
//! The shell turns what it receives into [`Event`]s and passes them to [`Node::handle`](crate::Node::handle), one at a
//! time. Events carry no time: the shell passes the time beside them.

use crate::ledger::Ledger;
use crate::request::SolveId;
use crate::turn::{ActionId, ProposalId, RequestId, RunId};
use rhizo_types::id::{
    ComponentName, HostId, InstanceId, IntentId, NodeId, PortName, ProviderName, RegionName, RuleName,
};
use rhizo_types::intent::{AcquireOrder, BoundHost};
use rhizo_types::ledger::Join;
use rhizo_types::lifecycle::Values;
use rhizo_types::message::{LogEntry, Message};
use rhizo_types::script::Script;
use rhizo_types::spec::Spec;
use rhizo_types::target::{Slot, Worth};
use rhizo_types::{Lineage, Number, Revision, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// One input of the core.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The deadline that the core asked for has passed. A tick at any other time is harmless.
    Tick,

    /// The state of the log changed, on a node that holds the log.
    LogStatus(LogStatus),
    /// An entry was committed, in order. Entries that the ledger already has are ignored.
    Committed {
        /// Its position.
        index: u64,
        /// The term in which it was proposed.
        term: Term,
        /// Its content.
        entry: LogEntry,
    },
    /// The log installed a snapshot, decoded by [`codec::decode_ledger`](crate::codec::decode_ledger).
    Restored(Box<Ledger>),
    /// The result of `Effect::Propose`.
    Proposed {
        /// Its number.
        id: ProposalId,
        /// The result.
        result: ProposeResult,
    },
    /// The result of `Effect::ChangeMembership`.
    MembershipChanged {
        /// Whether the change is known to be in effect; false: it is not, or it is not known.
        done: bool,
    },

    /// An authenticated link to a member is up. Earlier links to it are closed.
    LinkUp {
        /// The member.
        peer: NodeId,
    },
    /// The link to a member is broken.
    LinkDown {
        /// The member.
        peer: NodeId,
    },
    /// A dial was refused or reset, because no process listens there. A time-out is not reported.
    Unreachable {
        /// The member that was dialled.
        peer: NodeId,
    },
    /// A member, authenticated by its pinned key, refused the link because this node is not on its roster.
    Expelled {
        /// The member that refused.
        by: NodeId,
    },
    /// A peer of the next lineage refused the link with an operator's signed order that ended this node's lineage. The
    /// shell has verified the signature with the operators of this ledger.
    Superseded {
        /// The lineage that the order ends.
        former: Lineage,
        /// The lineage that follows it.
        lineage: Lineage,
        /// Whether this node is a member of the next lineage.
        is_member: bool,
    },
    /// A message of another member's core, from an authenticated link.
    Received {
        /// The sender.
        from: NodeId,
        /// The message.
        message: Message,
    },

    /// A host that has proved its ticket asks to join; answered by `Effect::ReplyJoin`.
    JoinRequested {
        /// The shell's number.
        request: RequestId,
        /// The ticket that was proved, the key that the link was made with, and the host's statements about itself.
        join: Join,
    },

    /// The result of `Effect::Acquire`.
    Acquired {
        /// The intent.
        intent: IntentId,
        /// The result.
        result: AcquireResult,
    },
    /// The result of `Effect::Release`.
    Released {
        /// The intent.
        intent: IntentId,
        /// Whether the provider accepted the call or has no such host. Only its list proves that the host is gone.
        accepted: bool,
    },
    /// The result of `Effect::List`.
    Listed {
        /// The provider that was asked.
        provider: ProviderName,
        /// All hosts with the tags of this application and of its lineage or a former one, or the reason why there is
        /// no list.
        result: Result<Vec<ListedHost>, ListError>,
    },

    /// The result of `Effect::Solve`.
    Solved {
        /// Its number.
        id: SolveId,
        /// The outcome.
        outcome: SolveOutcome,
    },
    /// The value of a fact that a node states has changed.
    FactsChanged {
        /// The node that states it.
        by: NodeId,
    },
    /// Offers, prices or capacities changed.
    OffersChanged,
    /// Round-trip times between regions in milliseconds, both directions; used to choose voters and bindings.
    Latencies(BTreeMap<(RegionName, RegionName), u32>),

    /// The service of an instance is started.
    Started {
        /// The run.
        run: RunId,
        /// The addresses of its exports.
        exports: BTreeMap<PortName, SocketAddr>,
    },
    /// The service of an instance runs and has not passed its start check yet.
    NotReady {
        /// The run.
        run: RunId,
        /// The last answer of the check, for the operator.
        answer: String,
    },
    /// The service of an instance could not be started; no part of it runs.
    StartFailed {
        /// The run.
        run: RunId,
        /// The reason, for the operator.
        reason: String,
    },
    /// The service of an instance ended without a command to stop; no part of it runs.
    Exited {
        /// The run.
        run: RunId,
        /// How it ended, for the operator.
        reason: String,
    },
    /// The service of an instance was stopped on command; no part of it runs.
    Stopped {
        /// The run.
        run: RunId,
    },
    /// A started instance failed its health check more often than its component allows; it still runs.
    Unhealthy {
        /// The run.
        run: RunId,
        /// The reason, for the operator.
        reason: String,
    },

    /// The result of `Effect::Act`; no part of the action runs any more.
    Acted {
        /// The action.
        action: ActionId,
        /// The result.
        result: ActResult,
    },
    /// The program of a run published values, in addition to those that its actions published. They replace values of
    /// the same names.
    Published {
        /// The run.
        run: RunId,
        /// The values.
        values: Values,
    },

    /// An operator's request; `Effect::Answer` answers it.
    Request {
        /// The number by which the shell knows it.
        id: RequestId,
        /// The request.
        request: Request,
    },
}

/// The result of an action.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ActResult {
    /// It succeeded.
    Done {
        /// The addresses of the exports that the action reported. Other exports keep their addresses.
        exports: BTreeMap<PortName, SocketAddr>,
        /// The values that the action published.
        values: Values,
    },
    /// It failed.
    Failed {
        /// The reason, for the operator, with the end of the action's output.
        reason: String,
    },
    /// It was ended by `Effect::Cancel`.
    Cancelled,
}

/// The state of the log, as the log's crate reports it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LogStatus {
    /// The current term.
    pub term: Term,
    /// The leader of the term, if known.
    pub leader: Option<NodeId>,
    /// Whether the leader is known to have a quorum. The leader itself knows it by acknowledgements within its lease,
    /// the other nodes by a message from it within an election time-out.
    pub quorum: bool,
    /// The last entry in this node's log.
    pub last_index: u64,
    /// The voters; during a joint change, those of both configurations.
    pub voters: BTreeSet<NodeId>,
    /// Whether a change of the membership is under way.
    pub changing: bool,
    /// The learners.
    pub learners: BTreeSet<NodeId>,
    /// On the leader, the highest index up to which the log of each other node is known to match.
    pub matched: BTreeMap<NodeId, u64>,
    /// The members that state that they cannot write their disk. The caller takes them from the facts.
    pub unwritable: BTreeSet<NodeId>,
}

/// The result of a proposal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProposeResult {
    /// It is committed at this index. The entry itself arrives as `Event::Committed`, before or after this event.
    Committed {
        /// Its position.
        index: u64,
    },
    /// It was not appended and never will be.
    Refused,
    /// It may be committed now, later or never.
    Unknown,
}

/// The result of an acquire call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AcquireResult {
    /// The provider has created this host, or had it already.
    Bound(BoundHost),
    /// The call was not made, because the read barrier failed or the credentials are not on this node.
    NotIssued,
    /// The provider refuses this order, and would refuse it again.
    Refused(String),
    /// The provider has no capacity for this order at present.
    NoCapacity(String),
    /// The provider requires fewer calls; no host was created.
    Throttled {
        /// Time to wait before the next call, in milliseconds.
        retry_after_ms: u64,
    },
    /// The call failed on this machine, and no host was created. It says nothing about the offer.
    Local(String),
    /// The provider may have created a host or not.
    Unknown(String),
}

/// A host in a provider's list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ListedHost {
    /// The provider's identifier and address.
    pub host: BoundHost,
    /// The intent in its tags; none when the tag is missing or cannot be read.
    pub intent: Option<IntentId>,
    /// The offer, region and price of the host, as far as the provider says.
    pub order: AcquireOrder,
    /// Whether the host has ended; a provider may list it for some time after that.
    pub terminated: bool,
    /// The age of the host in milliseconds; none when the provider does not say.
    pub age_ms: Option<u64>,
}

/// The reason why a provider returned no list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ListError {
    /// The call was not made, because the read barrier failed.
    NotIssued,
    /// The provider requires fewer calls.
    Throttled {
        /// Time to wait before the next call, in milliseconds.
        retry_after_ms: u64,
    },
    /// The provider's API does not answer, or its answer cannot be read.
    Unavailable(String),
}

/// The outcome of a solver run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SolveOutcome {
    /// A placement to change to. The core decides whether the change is made ([`crate::judgement`]).
    Proposal(Box<Proposal>),
    /// The search found nothing better than the configuration in force.
    NothingBetter {
        /// Its utility.
        utility: Option<Number>,
        /// A sentence for the operator.
        reason: String,
    },
    /// No placement satisfies these rules together.
    Infeasible {
        /// A minimal conflicting set, if known.
        rules: Vec<RuleName>,
        /// Sentences for the operator.
        reasons: Vec<String>,
    },
    /// There is no result: facts are missing, the providers' offers are unknown, or the time ran out.
    Failed {
        /// The reason, for the operator.
        reason: String,
    },
}

/// A placement that planning proposes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Proposal {
    /// The slots of the copies of each component. The core gives the copies their names ([`crate::assign`]).
    pub placement: BTreeMap<ComponentName, Vec<Slot>>,
    /// Hosts to acquire; `Slot::Order(k)` refers to entry `k`.
    pub orders: Vec<AcquireOrder>,
    /// The utility before and after, the migration cost and the price.
    pub worth: Worth,
    /// Sentences for the operator, one for each action.
    pub reasons: Vec<String>,
}

/// A request of an operator to the coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Put this spec in force.
    SetSpec {
        /// The typed form.
        spec: Box<Spec>,
        /// The text of the config, for `status` and for later comparison.
        source: String,
        /// The revision of the spec that this one was planned to follow; any when absent. The request is not carried
        /// out when another spec is in force by then.
        after: Option<Revision>,
    },
    /// Stop every instance and release every host.
    TakeDown,
    /// Move instances and votes away from a member, then remove it (`up --detach`, `drain`).
    Leave {
        /// The member.
        node: NodeId,
    },
    /// Commit a script and execute it; a new coordinator continues it. Refused when one of its statements cannot be
    /// executed.
    Script(Box<Script>),
    /// End the running script at its current line.
    EndScript,
    /// Give up the data of a copy whose host is lost, and place the copy again without it.
    GiveUpData {
        /// The copy.
        instance: InstanceId,
    },
}

impl ListedHost {
    /// Returns the provider's identifier.
    #[must_use]
    pub fn id(&self) -> &HostId {
        &self.host.host
    }
}
