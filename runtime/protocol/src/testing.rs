//! Builders of ledgers and coordinators for tests. A test states the decisions directly instead of reaching them by
//! events.
//!
//! Compiled for this crate's tests and under the feature `testing`, never into a released binary. The tests of the
//! core, of planning and of the simulator share it. It makes no assertions.

use crate::event::{AcquireResult, Event, ListError, LogStatus, ProposeResult};
use crate::ledger::{Ledger, Member};
use crate::node::{Node, NodeConfig};
use crate::notice::Notice;
use crate::request::SolveRequest;
use crate::turn::{Effect, Turn};
use rhizo_types::failure::{Mark, Proven};
use rhizo_types::id::{
    AppName, ComponentName, HostId, InstanceId, IntentId, Lineage, NodeId, OfferName, PeerKey, ProviderName,
    RegionName,
};
use rhizo_types::intent::{AcquireOrder, BoundHost, Intent, IntentState};
use rhizo_types::ledger::{Command, FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::message::LogEntry;
use rhizo_types::spec::Spec;
use rhizo_types::target::{Cause, Configuration, Placed, Plan, Slot, Verdict, Worth};
use rhizo_types::{Epoch, Generation, Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Region of the founder and of every member of a built ledger whose order does not name another one.
const REGION: &str = "r";

/// Returns the name of a copy.
#[must_use]
pub fn instance(component: &str, ordinal: u32) -> InstanceId {
    InstanceId { component: ComponentName::from(component), ordinal }
}

/// Returns an order for a host without price, capacity and attributes.
#[must_use]
pub fn order(provider: &str, offer: &str) -> AcquireOrder {
    AcquireOrder {
        provider: ProviderName::from(provider),
        offer: OfferName::from(offer),
        region: RegionName::from(REGION),
        price_micros_per_hour: 0,
        capacity: BTreeMap::new(),
        attributes: BTreeMap::new(),
    }
}

/// Builds a ledger as if its decisions had come from a log: the founder, hosts, a spec, a plan and its target.
#[derive(Clone, Debug)]
pub struct LedgerBuilder {
    ledger: Ledger,
}

impl LedgerBuilder {
    /// Starts with the founder alone, and a first spec in force.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        let genesis = Genesis {
            app: AppName::from("app"),
            lineage: Lineage(1),
            founder: member(FOUNDER, &order("founder", "own"), None),
            operators: BTreeSet::new(),
            timers: Timers::LOCAL,
            overlay_secret: OverlaySecret([0; 32]),
        };
        let founder = Member { record: genesis.founder.clone(), draining: false };
        let mut ledger = Ledger { index: 100, term: Term(1), ..Ledger::default() };
        ledger.genesis = Some(genesis);
        ledger.epoch = Epoch(1);
        ledger.members.insert(FOUNDER, founder);
        ledger.voters.insert(FOUNDER);
        ledger.intents_issued = 1_000;
        Self { ledger }.spec(spec)
    }

    /// Puts the next spec in force.
    #[must_use]
    pub fn spec(mut self, spec: Spec) -> Self {
        let revision = self.ledger.spec_revision().next();
        self.ledger.specs.insert(revision, SetSpec { revision, spec, source: String::new() });
        self
    }

    /// Adds a member on a host of its own. Its intent has the node's number.
    #[must_use]
    pub fn host(mut self, node: u64, order: AcquireOrder) -> Self {
        let (id, node) = (IntentId(node), NodeId(node));
        let record = member(node, &order, Some(id));
        self.ledger.members.insert(node, Member { record, draining: false });
        let host = Some(BoundHost { host: HostId(format!("h{}", node.0)), address: None });
        let intent = Intent { id, order, state: IntentState::Bound, host, node: Some(node) };
        self.ledger.intents.insert(id, intent);
        self
    }

    /// Adds an order whose host has not joined.
    #[must_use]
    pub fn arriving(mut self, intent: u64, state: IntentState, order: AcquireOrder) -> Self {
        let id = IntentId(intent);
        self.ledger.intents.insert(id, Intent { id, order, state, host: None, node: None });
        self
    }

    /// Marks a member as draining.
    #[must_use]
    pub fn draining(mut self, node: u64) -> Self {
        if let Some(member) = self.ledger.members.get_mut(&NodeId(node)) {
            member.draining = true;
        }
        self
    }

    /// Records that a component kept failing on a node.
    #[must_use]
    pub fn avoid(mut self, component: &str, node: u64) -> Self {
        let component = ComponentName::from(component);
        let version = self.ledger.spec_revision();
        let mark = Mark { version, replaced: false };
        self.ledger.avoid.insert((component.clone(), NodeId(node)), mark);
        self.ledger.proven.insert(component, Proven { version, nodes: BTreeSet::new() });
        self
    }

    /// Puts a plan for the spec in force and carries it out: its copies on members run in that version.
    #[must_use]
    pub fn placed(mut self, placement: BTreeMap<InstanceId, Slot>) -> Self {
        let version = self.ledger.spec_revision();
        let parent = self.ledger.plan_revision();
        let revision = parent.next();
        let on_node = |(instance, slot): (&InstanceId, &Slot)| match slot {
            Slot::Node(node) if self.ledger.members.contains_key(node) => {
                Some((instance.clone(), Placed { node: *node, generation: Generation(1), version }))
            }
            _ => None,
        };
        let target = Configuration {
            revision: Revision(1),
            plan: revision,
            instances: placement.iter().filter_map(on_node).collect(),
            ..Configuration::default()
        };
        self.ledger.generations =
            target.instances.keys().map(|instance| (instance.clone(), Generation(1))).collect();
        self.ledger.settled = target.revision;
        self.ledger.target = Arc::new(target);
        let verdict =
            Verdict { cause: Cause::SpecChanged, forced: true, worth: Worth::full(), reasons: Vec::new() };
        let (orders, avoid) = (Vec::new(), BTreeSet::new());
        let plan = Plan { revision, parent, spec: version, orders, placement, avoid, verdict };
        self.ledger.plan = Some(plan);
        self
    }

    /// Returns the ledger.
    #[must_use]
    pub fn build(mut self) -> Ledger {
        self.ledger.follow_homes();
        self.ledger
    }
}

fn member(node: NodeId, order: &AcquireOrder, intent: Option<IntentId>) -> MemberRecord {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&node.0.to_le_bytes());
    MemberRecord {
        key: PeerKey(key),
        addresses: Vec::new(),
        provider: order.provider.clone(),
        region: order.region.clone(),
        intent,
    }
}

/// The founder as coordinator of a built ledger. Its log commits at once. Providers behave as the test sets them.
pub struct Stage {
    /// The coordinating node.
    pub node: Node,
    /// Virtual time.
    pub now: Time,
    /// Providers whose lists fail.
    pub failing: BTreeSet<ProviderName>,
    /// Offers that have no capacity.
    pub sold_out: BTreeSet<(ProviderName, OfferName)>,
    /// The coordinator's request that waits for an answer, with the request that an operator's question would have
    /// made at the same moment.
    pub asked: Option<(SolveRequest, Option<SolveRequest>)>,
    /// Every plan that was committed.
    pub plans: Vec<Plan>,
    /// Every notice.
    pub notices: Vec<Notice>,
    index: u64,
    events: VecDeque<Event>,
}

impl Stage {
    /// Creates a coordinator that has just become the leader.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        let index = ledger.index;
        let status = LogStatus {
            term: Term(1),
            leader: Some(FOUNDER),
            quorum: true,
            last_index: index,
            voters: ledger.voters.clone(),
            ..LogStatus::default()
        };
        let config = NodeConfig { me: FOUNDER, ledger, records: Vec::new(), genesis: None };
        Self {
            node: Node::new(config),
            now: Time(1_000_000_000),
            failing: BTreeSet::new(),
            sold_out: BTreeSet::new(),
            asked: None,
            plans: Vec::new(),
            notices: Vec::new(),
            index,
            events: VecDeque::from([Event::LogStatus(status), Event::Tick]),
        }
    }

    /// Passes an event to the node, and then every event that follows from it without a delay.
    pub fn feed(&mut self, event: Event) {
        self.events.push_back(event);
        self.settle();
    }

    /// Advances the time until the coordinator makes a solve request, by at most `ms`. Returns true if it made one.
    pub fn until_asked(&mut self, ms: u64) -> bool {
        let end = self.now.after_ms(ms);
        self.settle();
        while self.asked.is_none() && self.now < end {
            let next = self.node.deadline().unwrap_or(end).min(end);
            self.now = next.max(Time(self.now.0 + 1));
            self.feed(Event::Tick);
        }
        self.asked.is_some()
    }

    fn settle(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let turn = self.node.handle(self.now, event);
            self.execute(&turn);
        }
    }

    fn execute(&mut self, turn: &Turn) {
        for effect in turn.effects() {
            match effect {
                Effect::Propose { id, command } => {
                    self.index += 1;
                    if let Command::Plan(plan) = command {
                        self.plans.push((**plan).clone());
                    }
                    let entry = LogEntry::Command(command.clone());
                    self.events.push_back(Event::Committed { index: self.index, term: Term(1), entry });
                    let result = ProposeResult::Committed { index: self.index };
                    self.events.push_back(Event::Proposed { id: *id, result });
                }
                Effect::Solve(request) => {
                    let operators = self.node.question(self.now, None);
                    self.asked = Some(((**request).clone(), operators));
                }
                Effect::Acquire(call) => {
                    let offer = (call.order.provider.clone(), call.order.offer.clone());
                    let result = if self.sold_out.contains(&offer) {
                        AcquireResult::NoCapacity("sold out".to_owned())
                    } else {
                        AcquireResult::NotIssued
                    };
                    self.events.push_back(Event::Acquired { intent: call.intent, result });
                }
                Effect::Release { intent, .. } => {
                    self.events.push_back(Event::Released { intent: *intent, accepted: false });
                }
                Effect::List { provider } => {
                    // `NotIssued` says nothing about a provider, so a provider that works counts neither as failing
                    // nor as having an empty list.
                    let error = if self.failing.contains(provider) {
                        ListError::Unavailable("it is down".to_owned())
                    } else {
                        ListError::NotIssued
                    };
                    self.events.push_back(Event::Listed { provider: provider.clone(), result: Err(error) });
                }
                Effect::Notice { notice, .. } => self.notices.push(notice.clone()),
                _ => {}
            }
        }
    }
}
