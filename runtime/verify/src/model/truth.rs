//! The committed ledger with the production code for entries and targets, and a simple planner in place of the solver.
//!
//! The planner does not model the quality of the solver. It places copies on the hosts of the wish, and the copies of
//! a lost host on the next remaining host. Plans, targets and departures are then handled by the production code.

use crate::fingerprint::{Fingerprint, Shared};
use crate::scenario::{SEATS, SEATS_PER_HOST, Scenario, Wish};
use rhizo_protocol::assign::assign;
use rhizo_protocol::{Applied, Ledger, SlotState};
use rhizo_types::id::{
    AppName, ComponentName, HostId, InstanceId, IntentId, Lineage, NodeId, OfferName, PeerKey, ProviderName,
    RegionName,
};
use rhizo_types::intent::{AcquireOrder, BoundHost, Intent, IntentState, Outcome};
use rhizo_types::ledger::{Command, FOUNDER, Genesis, Join, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::message::LogEntry;
use rhizo_types::number::Number;
use rhizo_types::target::{Cause, Plan, Slot, Verdict, Worth};
use rhizo_types::{Revision, Term};
use std::collections::{BTreeMap, BTreeSet};

/// The intent of a host.
fn intent_of(host: u8) -> IntentId {
    IntentId(u64::from(host) + 1)
}

/// The provider's id of a host.
fn host_id(host: u8) -> HostId {
    HostId(format!("h{host}"))
}

/// The key of a host's node.
fn key_of(host: u8) -> PeerKey {
    PeerKey([host + 1; 32])
}

/// The node of a host, once it is or was a member.
#[must_use]
pub fn node_of(ledger: &Ledger, host: u8) -> Option<NodeId> {
    ledger.intents.get(&intent_of(host)).and_then(|intent| intent.node)
}

/// The ledger before the first wish: the first hosts are members, the later ones have been ordered.
#[must_use]
pub fn begin(scenario: &Scenario) -> Ledger {
    let mut ledger = Ledger::default();
    let founder = MemberRecord {
        key: PeerKey([0; 32]),
        addresses: Vec::new(),
        provider: ProviderName::from("founder"),
        region: RegionName::from("r"),
        intent: None,
    };
    let genesis = Genesis {
        app: AppName::from("app"),
        lineage: Lineage(1),
        founder,
        operators: BTreeSet::new(),
        timers: Timers::LOCAL,
        overlay_secret: OverlaySecret([0; 32]),
    };
    commit(&mut ledger, Command::Genesis(Box::new(genesis)));
    if let Some(spec) = scenario.specs.first() {
        let set = SetSpec { revision: Revision(1), spec: spec.clone(), source: String::new() };
        commit(&mut ledger, Command::SetSpec(Box::new(set)));
    }
    let later: u8 = scenario.wishes.iter().map(|wish| wish.joins).sum();
    for host in 0..scenario.hosts + later {
        ledger.intents.insert(intent_of(host), bought(host));
        ledger.intents_issued += 1;
    }
    for host in 0..scenario.hosts {
        commit(&mut ledger, join(host));
    }
    ledger
}

/// An intent whose host was delivered.
fn bought(host: u8) -> Intent {
    let order = AcquireOrder {
        provider: ProviderName::from("p"),
        offer: OfferName::from("o"),
        region: RegionName::from("r"),
        price_micros_per_hour: 0,
        capacity: BTreeMap::from([(SEATS.to_owned(), Number::from(SEATS_PER_HOST))]),
        attributes: BTreeMap::new(),
    };
    let bound = BoundHost { host: host_id(host), address: None };
    Intent { id: intent_of(host), order, state: IntentState::Bound, host: Some(bound), node: None }
}

/// The command by which a host's node becomes a member.
#[must_use]
pub fn join(host: u8) -> Command {
    Command::Join(Join {
        ticket: intent_of(host),
        host: host_id(host),
        key: key_of(host),
        addresses: Vec::new(),
    })
}

/// Applies a command as every node does; returns false when the ledger refuses it.
pub fn commit(ledger: &mut Ledger, command: Command) -> bool {
    let index = ledger.index + 1;
    ledger.apply(index, Term(1), &LogEntry::Command(command)) == Applied::Done
}

/// Returns the fingerprint of the parts of a ledger that an agent reads: the target and the roster.
#[must_use]
pub fn as_agents_see(ledger: &Ledger) -> Fingerprint {
    let members: BTreeSet<NodeId> = ledger.members.keys().copied().collect();
    Fingerprint::of(&(&ledger.target, members))
}

/// Returns the plan for a wish on the remaining hosts; none when it is in force already.
#[must_use]
pub fn plan(ledger: &Ledger, scenario: &Scenario, wish: &Wish) -> Option<Plan> {
    let later: u8 = scenario.wishes.iter().map(|wish| wish.joins).sum();
    let hosts = scenario.hosts + later;
    if wish.script.is_some() {
        return mend(ledger, hosts);
    }
    let member = |host: u8| {
        let node = node_of(ledger, host).filter(|node| ledger.members.contains_key(node))?;
        Some(Slot::Node(node))
    };
    let mut placement: BTreeMap<ComponentName, Vec<Slot>> = BTreeMap::new();
    for (component, wanted) in &wish.placement {
        let mut slots = Vec::new();
        for host in wanted {
            // The host itself or the next remaining one, preferably one without a copy.
            let candidates = (*host..hosts).chain(0..*host).filter_map(member);
            let candidates: Vec<Slot> = candidates.collect();
            let free = candidates.iter().find(|slot| !slots.contains(*slot));
            slots.extend(free.or(candidates.first()).copied());
        }
        placement.insert(component.clone(), slots);
    }
    let spec = Revision(wish.spec as u64 + 1);
    let placement = assign(ledger, &placement);
    if ledger.plan.as_ref().is_some_and(|plan| plan.placement == placement && plan.spec == spec) {
        return None;
    }
    Some(next_plan(ledger, spec, placement))
}

/// Returns the plan in force with the instances of lost hosts moved to the first remaining host.
fn mend(ledger: &Ledger, hosts: u8) -> Option<Plan> {
    let plan = ledger.plan.as_ref()?;
    let is_lost = |slot: &Slot| ledger.slot_state(*slot) == SlotState::Lost;
    if !plan.placement.values().any(is_lost) {
        return None;
    }
    let members = (0..hosts).filter_map(|host| node_of(ledger, host));
    let left = members.filter(|node| ledger.members.contains_key(node)).map(Slot::Node).next();
    let placement = plan.placement.iter().filter_map(|(instance, slot)| {
        let slot = if is_lost(slot) { left? } else { *slot };
        Some((instance.clone(), slot))
    });
    Some(next_plan(ledger, plan.spec, placement.collect()))
}

fn next_plan(ledger: &Ledger, spec: Revision, placement: BTreeMap<InstanceId, Slot>) -> Plan {
    let parent = ledger.plan_revision();
    let verdict = Verdict { cause: Cause::Better, forced: false, worth: Worth::none(), reasons: Vec::new() };
    let (orders, avoid) = (Vec::new(), BTreeSet::new());
    Plan { revision: parent.next(), parent, spec, orders, placement, avoid, verdict }
}

/// Commits a wish: its hosts join, its spec and its plan come into force. Returns none when a command is refused.
#[must_use]
pub fn make(ledger: &Ledger, scenario: &Scenario, number: usize) -> Option<Ledger> {
    let wish = scenario.wishes.get(number)?;
    let planned = ledger.plan.is_some() && ledger.target.plan == ledger.plan_revision();
    if wish.when_settled && !(planned && ledger.settled == ledger.target.revision) {
        return None;
    }
    let mut after = ledger.clone();
    let before: u8 = scenario.wishes.iter().take(number).map(|wish| wish.joins).sum();
    for host in 0..wish.joins {
        commit(&mut after, join(scenario.hosts + before + host)).then_some(())?;
    }
    while after.spec_revision() < Revision(wish.spec as u64 + 1) {
        let revision = after.spec_revision().next();
        let position = usize::try_from(revision.0 - 1).ok()?;
        let spec = scenario.specs.get(position)?.clone();
        let set = SetSpec { revision, spec, source: String::new() };
        commit(&mut after, Command::SetSpec(Box::new(set))).then_some(())?;
    }
    if let Some(script) = &wish.script {
        let number = after.scripts_issued + 1;
        let command = Command::RunScript { number, script: Box::new(script.clone()) };
        commit(&mut after, command).then_some(())?;
    } else if let Some(plan) = plan(&after, scenario, wish) {
        commit(&mut after, Command::Plan(Box::new(plan))).then_some(())?;
    }
    Some(after)
}

/// Returns the ledger after the first wish, with its whole target in force and nothing started.
#[must_use]
pub fn deployed(scenario: &Scenario) -> Option<Ledger> {
    let mut ledger = make(&begin(scenario), scenario, 0)?;
    let reports = BTreeMap::new();
    while ledger.target.plan != ledger.plan_revision() {
        ledger = coordinate(&ledger, &reports)?;
    }
    Some(ledger)
}

/// Commits that a host's node is dead.
#[must_use]
pub fn declare_dead(ledger: &Ledger, node: NodeId) -> Option<Ledger> {
    let mut after = ledger.clone();
    let nodes = BTreeMap::from([(node, BTreeSet::from([FOUNDER]))]);
    (ledger.members.contains_key(&node) && commit(&mut after, Command::Dead { nodes })).then_some(after)
}

/// Commits that the provider has confirmed the end of a dead node's host.
#[must_use]
pub fn confirm(ledger: &Ledger, host: u8) -> Option<Ledger> {
    let mut after = ledger.clone();
    let command = Command::Outcome { intent: intent_of(host), outcome: Outcome::Released };
    commit(&mut after, command).then_some(after)
}

/// Commits another plan for the last wish, if the remaining hosts need one.
#[must_use]
pub fn plan_again(ledger: &Ledger, scenario: &Scenario, wishes_made: u8) -> Option<Ledger> {
    let wish = scenario.wishes.get(usize::from(wishes_made).checked_sub(1)?)?;
    let plan = plan(ledger, scenario, wish)?;
    let mut after = ledger.clone();
    commit(&mut after, Command::Plan(Box::new(plan))).then_some(after)
}

/// Commits the next command of a coordinator that has these reports.
#[must_use]
pub fn coordinate(
    ledger: &Ledger,
    reports: &BTreeMap<NodeId, rhizo_types::message::Report>,
) -> Option<Ledger> {
    let command = rhizo_protocol::coordinator::next_step(ledger, reports)?;
    let mut after = ledger.clone();
    commit(&mut after, command).then_some(after)
}

/// A ledger that is shared by many states.
pub type Known = Shared<Ledger>;
