//! Everything that can happen to a node's core: one closed enum.
//!
//! The shell turns what its sources say into an [`Event`] and feeds it to [`Node::handle`](crate::Node::handle)
//! one at a time. Events carry no time: the shell passes the time beside them.

use crate::ledger::Ledger;
use crate::turn::{ActionId, ProposalId, RequestId, RunId, SolveId};
use rhizo_types::id::{
    ComponentName, HostId, IntentId, NodeId, PortName, ProviderName, RegionName, RuleName,
};
use rhizo_types::intent::{AcquireOrder, BoundHost};
use rhizo_types::ledger::Join;
use rhizo_types::lifecycle::Values;
use rhizo_types::message::{LogEntry, Message};
use rhizo_types::script::Script;
use rhizo_types::spec::Spec;
use rhizo_types::target::{Slot, TermChange};
use rhizo_types::{Number, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The deadline that the core asked for has come (or the shell woke it for no reason, which is harmless).
    Tick,

    /// The log's own state changed (on nodes that hold the log).
    LogStatus(LogStatus),
    /// An entry was committed, in order. Entries that the ledger already has are ignored.
    Committed {
        /// Its position.
        index: u64,
        /// The term in which it was proposed.
        term: Term,
        /// What it says.
        entry: LogEntry,
    },
    /// The log installed a snapshot, decoded by [`codec::decode_ledger`](crate::codec::decode_ledger).
    Restored(Box<Ledger>),
    /// What came of `Effect::Propose`.
    Proposed {
        /// Which proposal.
        id: ProposalId,
        /// The result.
        result: ProposeResult,
    },
    /// What came of `Effect::ChangeMembership`: whether it was done, as far as is known.
    MembershipChanged {
        /// Whether it is known to be done.
        done: bool,
    },

    /// An authenticated link to a member is up; earlier links to it are gone.
    LinkUp {
        /// To whom.
        peer: NodeId,
    },
    /// The link to a member broke.
    LinkDown {
        /// To whom.
        peer: NodeId,
    },
    /// A dial was refused or reset: nothing listens there. (A mere time-out is not reported.)
    Unreachable {
        /// Whom.
        peer: NodeId,
    },
    /// A member, authenticated by its pinned key, refused this node's link as a stranger's.
    Expelled {
        /// Who refused.
        by: NodeId,
    },
    /// A message of another member's core, from an authenticated link.
    Received {
        /// From whom.
        from: NodeId,
        /// What.
        message: Message,
    },

    /// A host that proved its ticket asks to join; answered by `Effect::ReplyJoin`.
    JoinRequested {
        /// The shell's number.
        request: RequestId,
        /// With the ticket that was proved and the key that the link was made with.
        join: Join,
    },

    /// What came of `Effect::Acquire`.
    Acquired {
        /// For which intent.
        intent: IntentId,
        /// The result.
        result: AcquireResult,
    },
    /// What came of `Effect::Release`: the provider accepted it (or has no such host), or not.
    Released {
        /// For which intent.
        intent: IntentId,
        /// Whether the provider accepted. Only its list proves that the host is gone.
        accepted: bool,
    },
    /// What came of `Effect::List`: all hosts with this app's and lineage's tags; none when the call failed.
    Listed {
        /// Who was asked.
        provider: ProviderName,
        /// The hosts, or why there is no answer.
        result: Result<Vec<ListedHost>, ListError>,
    },

    /// What came of `Effect::Solve`.
    Solved {
        /// Which run.
        id: SolveId,
        /// The outcome.
        outcome: SolveOutcome,
    },
    /// Facts changed enough that a better configuration may exist.
    FactsChanged,
    /// Offers, prices or capacities changed.
    OffersChanged,
    /// Round-trip times between regions in milliseconds, both directions; used to choose voters and bindings.
    Latencies(BTreeMap<(RegionName, RegionName), u32>),

    /// An instance is started.
    Started {
        /// Which run.
        run: RunId,
        /// Where its exports are reached.
        exports: BTreeMap<PortName, SocketAddr>,
    },
    /// An instance could not be started; nothing of it runs.
    StartFailed {
        /// Which run.
        run: RunId,
        /// Why, for the operator.
        reason: String,
    },
    /// An instance ended without being asked; nothing of it runs.
    Exited {
        /// Which run.
        run: RunId,
        /// How, for the operator.
        reason: String,
    },
    /// An instance was stopped as asked; nothing of it runs.
    Stopped {
        /// Which run.
        run: RunId,
    },
    /// A started instance fails its health check for good; it still runs.
    Unhealthy {
        /// Which run.
        run: RunId,
        /// Why, for the operator.
        reason: String,
    },

    /// What came of `Effect::Act`; nothing of the action runs any more.
    Acted {
        /// Which.
        action: ActionId,
        /// The result.
        result: ActResult,
    },
    /// A run has new data values (beside those that its actions put out); they replace values of the same names.
    Published {
        /// Which run.
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

/// What came of an action.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ActResult {
    /// It is done.
    Done {
        /// Where exports are reached, as far as the action knows: others keep what they had.
        exports: BTreeMap<PortName, SocketAddr>,
        /// Values it put out.
        values: Values,
    },
    /// It came to nothing.
    Failed {
        /// Why, for the operator; with the end of its output.
        reason: String,
    },
    /// It was ended by `Effect::Cancel`.
    Cancelled,
}

/// The log's own state, as the log's crate reports it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LogStatus {
    /// The current term.
    pub term: Term,
    /// Its leader, if known.
    pub leader: Option<NodeId>,
    /// Whether the leader is known to have a quorum: for the leader itself, acknowledged within its lease;
    /// for others, heard within an election time-out.
    pub quorum: bool,
    /// The last entry in this node's log.
    pub last_index: u64,
    /// The voters (of both configurations during a joint change).
    pub voters: BTreeSet<NodeId>,
    /// Whether a change of the membership is under way.
    pub changing: bool,
    /// The learners.
    pub learners: BTreeSet<NodeId>,
    /// On the leader: how far each other node's log is known to match.
    pub matched: BTreeMap<NodeId, u64>,
}

/// What came of a proposal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProposeResult {
    /// It is committed at this index; the entry itself comes (or came) as `Event::Committed`.
    Committed {
        /// Its position.
        index: u64,
    },
    /// It was not appended and never will be.
    Refused,
    /// It may be committed, now or later, or never.
    Unknown,
}

/// What came of an acquire call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AcquireResult {
    /// There is a host.
    Bound(BoundHost),
    /// The call was not made (no read barrier, no credentials at hand).
    NotIssued,
    /// The provider refuses this order for good.
    Refused(String),
    /// The provider has no capacity for it now.
    NoCapacity(String),
    /// The provider wants fewer calls; nothing was created.
    Throttled {
        /// Not before.
        retry_after_ms: u64,
    },
    /// There may be a host or not.
    Unknown(String),
}

/// A host in a provider's list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ListedHost {
    /// The provider's identifier and address.
    pub host: BoundHost,
    /// The intent in its tags; none when it is missing or cannot be read.
    pub intent: Option<IntentId>,
    /// What it is: offer, region, price as far as known.
    pub order: AcquireOrder,
    /// Whether it has ended (its record is still listed).
    pub terminated: bool,
    /// How old it is, in milliseconds; none when the provider does not say.
    pub age_ms: Option<u64>,
}

/// Why a provider gave no list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ListError {
    /// The call was not made (no read barrier).
    NotIssued,
    /// The provider wants fewer calls.
    Throttled {
        /// Not before.
        retry_after_ms: u64,
    },
    /// The provider's API does not answer, or wrongly.
    Unavailable(String),
}

/// What came of a solver run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SolveOutcome {
    /// A placement to change to. The core decides whether it pays.
    Proposal(Box<Proposal>),
    /// The configuration in force is the best found.
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
    /// There is no result (facts missing, provider's offers unknown, time out).
    Failed {
        /// Why.
        reason: String,
    },
}

/// A placement proposed by the solver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Proposal {
    /// Component → where its copies shall be. The core chooses the instance names.
    pub placement: BTreeMap<ComponentName, Vec<Slot>>,
    /// Hosts to acquire; `Slot::Order(k)` refers to the k-th.
    pub orders: Vec<AcquireOrder>,
    /// Utility of the configuration in force, 0..1; none when it breaks a rule or does not exist.
    pub utility_before: Option<Number>,
    /// Utility of the proposed one, 0..1.
    pub utility_after: Number,
    /// What the change costs, in the unit of utility.
    pub migration_cost: Number,
    /// Sum of the hourly prices of the proposed one, in millionths of the currency.
    pub price_micros_per_hour: u64,
    /// Each utility term.
    pub terms: Vec<TermChange>,
    /// Sentences for the operator.
    pub reasons: Vec<String>,
}

/// A request of an operator to the coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Put this spec in force.
    SetSpec {
        /// The typed form.
        spec: Box<Spec>,
        /// Its text.
        source: String,
    },
    /// Stop every instance, release every host.
    TakeDown,
    /// Leave this member without work and voters' duties, then let it leave (`up --detach`, `drain`).
    Leave {
        /// Which member.
        node: NodeId,
    },
    /// Carry out a script, from now on and whoever coordinates; refused when something in it cannot be done.
    Script(Box<Script>),
    /// End the script that runs where it is.
    EndScript,
}

impl ListedHost {
    /// The provider's identifier.
    #[must_use]
    pub fn id(&self) -> &HostId {
        &self.host.host
    }
}
