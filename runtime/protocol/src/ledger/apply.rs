//! Applying one committed entry: the guard of each command, and the change that it makes.
//!
//! A refused command changes nothing but `index` and `term`. Guards make each command safe to repeat: a coordinator
//! repeats one when it does not know whether its last proposal was committed.

use super::{Departed, Ledger, Member, ORDERS_MAX, SlotState};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, HostId, InstanceId, IntentId, NodeId, ProviderName};
use rhizo_types::intent::{AcquireOrder, BoundHost, Intent, IntentState, Outcome};
use rhizo_types::ledger::{Command, FOUNDER, Genesis, Join, MemberRecord, SetSpec};
use rhizo_types::message::LogEntry;
use rhizo_types::target::{Plan, Slot};
use rhizo_types::{Revision, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use thiserror::Error;

/// The result of applying an entry to the ledger.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Applied {
    /// It is older than the ledger or not the next one, and was ignored.
    Ignored,
    /// It changed the ledger, or its change was there already.
    Done,
    /// Its guard did not hold; nothing changed.
    Refused(Refusal),
}

/// The reason for which a command changed nothing. Completes "refused because …".
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
pub enum Refusal {
    /// There is a lineage already.
    #[error("the lineage has begun already")]
    Begun,
    /// There is no lineage yet.
    #[error("the lineage has not begun")]
    NotBegun,
    /// The application is being taken down.
    #[error("the application is being taken down")]
    TakingDown,
    /// The revision or its parent is not the one in force.
    #[error("revision {proposed} does not follow {in_force}")]
    Stale {
        /// The proposed one.
        proposed: Revision,
        /// The one in force.
        in_force: Revision,
    },
    /// A slot refers to a node, intent or order that cannot host an instance.
    #[error("{0} has no usable place")]
    SlotLost(InstanceId),
    /// The open intents would cost more per hour than the budget allows.
    #[error("{micros} millionths per hour exceed the budget of {budget_micros}")]
    Budget {
        /// The cost of the open intents, in millionths of the currency per hour.
        micros: u64,
        /// The budget, in millionths of the currency per hour.
        budget_micros: u64,
    },
    /// Too many orders in one plan.
    #[error("{0} orders are too many for one plan")]
    TooManyOrders(usize),
    /// There is no such intent.
    #[error("{0} is not known")]
    UnknownIntent(IntentId),
    /// The intent is in another state.
    #[error("{intent} is {state:?}")]
    IntentState {
        /// Which intent.
        intent: IntentId,
        /// Its state.
        state: IntentState,
    },
    /// The host belongs to an intent already.
    #[error("host {host} belongs to {intent}")]
    HostTaken {
        /// The host.
        host: HostId,
        /// The intent that has it.
        intent: IntentId,
    },
    /// The entry removes voters without which it could not have been committed: they are alive.
    #[error("without the nodes declared dead there would be no quorum")]
    QuorumDeclaredDead,
    /// The ticket was made for another host.
    #[error("the ticket of {ticket} is that of host {host}")]
    OtherHost {
        /// The ticket's intent.
        ticket: IntentId,
        /// The host that it is bound to.
        host: HostId,
    },
    /// The ticket was used by another key.
    #[error("the ticket of {0} is used")]
    TicketUsed(IntentId),
    /// The key is another member's.
    #[error("the key is that of {0}")]
    KeyTaken(NodeId),
    /// There is no such member.
    #[error("{0} is not a member")]
    NotMember(NodeId),
    /// The member still has instances.
    #[error("{0} still has instances")]
    NotEmpty(NodeId),
    /// The instance name is not free yet, or its generation does not grow.
    #[error("{0} is not resolved yet")]
    Unresolved(InstanceId),
    /// A batch contains a command that a batch must not contain.
    #[error("a batch holds a batch, a genesis or a second join")]
    Batch,
    /// More copies of an exclusive component than its spec allows might run.
    #[error("another {0} may still run")]
    Exclusive(ComponentName),
    /// The component has no version to return to, or does not return from this one.
    #[error("{0} has no version to go back to")]
    NotUnwound(ComponentName),
    /// A script cannot begin, continue or end with this command.
    #[error("{0}")]
    Script(String),
    /// A plan acquires a host because copies of a component failed, and the version has never run well.
    #[error("no host is acquired for {0}, which has not run well yet")]
    Unproven(ComponentName),
    /// A plan acquires more than one host because of failures, or another such host is not needed any more soon.
    #[error("one host at a time is replaced because of failures")]
    Spare,
    /// A plan or target places a copy elsewhere than where its data is.
    #[error("{instance} has its data on {node}")]
    Pinned {
        /// The copy.
        instance: InstanceId,
        /// The node that has its data.
        node: NodeId,
    },
    /// A binding names an instance that the target does not have.
    #[error("a binding of {0} leads nowhere")]
    Binding(InstanceId),
}

impl Ledger {
    /// Applies the entry at `index`, which must be the next one; others are ignored.
    pub fn apply(&mut self, index: u64, term: Term, entry: &LogEntry) -> Applied {
        // A log begins with index 0 or 1, depending on the engine; afterwards there are no gaps.
        let first = *self == Self::default() && index <= 1;
        if index != self.index + 1 && !first {
            return Applied::Ignored;
        }
        self.index = index;
        self.term = term;
        let result = match entry {
            LogEntry::Blank | LogEntry::Unreadable => Ok(()),
            LogEntry::Membership { voters, learners } => {
                self.voters.clone_from(voters);
                self.learners.clone_from(learners);
                Ok(())
            }
            LogEntry::Command(command) => self.command(index, command),
        };
        self.follow_homes();
        match result {
            Ok(()) => Applied::Done,
            Err(refusal) => Applied::Refused(refusal),
        }
    }

    /// Applies a command that is not committed to a copy of the ledger, to see which commands would follow.
    pub(crate) fn foresee(&mut self, command: &Command) -> Result<(), Refusal> {
        let result = self.command(self.index + 1, command);
        self.follow_homes();
        result
    }

    fn command(&mut self, index: u64, command: &Command) -> Result<(), Refusal> {
        if self.genesis.is_none()
            && !matches!(command, Command::Genesis(_) | Command::Mark | Command::Batch(_))
        {
            return Err(Refusal::NotBegun);
        }
        match command {
            Command::Genesis(genesis) => self.begin(genesis),
            Command::SetSpec(spec) => self.set_spec(spec),
            Command::Plan(plan) => self.set_plan(plan),
            Command::Outcome { intent, outcome } => self.outcome(*intent, outcome),
            Command::Reclaim { provider, host, order } => self.reclaim(provider, host, order),
            Command::Join(join) => self.join(index, join),
            Command::Drain { node } => {
                self.members.get_mut(node).ok_or(Refusal::NotMember(*node))?.draining = true;
                Ok(())
            }
            Command::Leave { node } => self.leave(*node),
            Command::Dead { nodes } => self.declare_dead(nodes),
            Command::Target(target) => self.set_target(target),
            Command::Settled { target } => self.settle(*target),
            Command::TakeDown => {
                self.taking_down = true;
                Ok(())
            }
            Command::Mark => Ok(()),
            Command::Batch(commands) => self.batch(index, commands),
            Command::Gone { target, instances } => self.gone(*target, instances),
            Command::Unwind { component, version } => self.unwind(component, *version),
            Command::RunScript { number, script } => self.begin_script(*number, script),
            Command::Advance { number, from, to } => self.advance_script(*number, *from, *to),
            Command::EndScript { number } => self.end_script(*number),
            Command::Stall { number, at, instance, exporter } => {
                self.stall_script(*number, *at, instance, exporter)
            }
            Command::Failing { components } => {
                self.fail(components);
                Ok(())
            }
            Command::Steady { components } => {
                self.prove(components);
                Ok(())
            }
            Command::Forgive { marks } => {
                self.forgive(marks);
                Ok(())
            }
            Command::GiveUpData { copies } => {
                self.give_up_data(copies);
                Ok(())
            }
        }
    }

    /// Applies each command with its own guard. Returns the first refusal; the other commands are applied all the same.
    fn batch(&mut self, index: u64, commands: &[Command]) -> Result<(), Refusal> {
        let mut result = Ok(());
        let mut joins = 0;
        for command in commands {
            joins += usize::from(matches!(command, Command::Join(_)));
            // A member's id is the index of its entry, so one entry cannot hold two of them.
            let fits = joins <= 1 && !matches!(command, Command::Batch(_) | Command::Genesis(_));
            let applied = if fits { self.command(index, command) } else { Err(Refusal::Batch) };
            result = result.and(applied);
        }
        result
    }

    fn begin(&mut self, genesis: &Genesis) -> Result<(), Refusal> {
        if self.genesis.is_some() {
            return Err(Refusal::Begun);
        }
        let founder = Member { record: genesis.founder.clone(), draining: false };
        self.members.insert(FOUNDER, founder);
        self.epoch = self.epoch.next();
        self.genesis = Some(genesis.clone());
        Ok(())
    }

    fn set_spec(&mut self, spec: &SetSpec) -> Result<(), Refusal> {
        let in_force = self.spec_revision();
        if spec.revision != in_force.next() {
            return Err(Refusal::Stale { proposed: spec.revision, in_force });
        }
        if self.taking_down {
            return Err(Refusal::TakingDown);
        }
        self.specs.insert(spec.revision, spec.clone());
        let unwound: BTreeSet<ComponentName> = std::mem::take(&mut self.unwound).into_keys().collect();
        self.follow_definitions(&unwound);
        self.forget_specs();
        Ok(())
    }

    /// Drops all specs but the one in force, that of the plan, those of instances that may run, and those with the
    /// table of a provider that may have hosts. The spec of the plan may be older than the one in force: targets
    /// towards that plan are still made from it.
    pub(super) fn forget_specs(&mut self) {
        let in_force = self.spec_revision();
        let planned = self.plan.as_ref().map(|plan| plan.spec);
        // The version to which a component may return, as long as the component exists.
        let known = self.spec().map(|spec| &spec.components);
        let proven =
            self.proven.iter().filter(|(name, _)| known.is_some_and(|known| known.contains_key(*name)));
        let proven = proven.map(|(_, proven)| proven.version);
        let placed = self.target.instances.values().chain(self.lingering.values());
        let tables = self.callable_providers().into_values().map(|(revision, _)| revision);
        let needed: BTreeSet<Revision> = placed
            .map(|placed| placed.version)
            .chain(planned)
            .chain(proven)
            .chain(tables)
            .chain([in_force])
            .collect();
        self.specs.retain(|revision, _| needed.contains(revision));
    }

    fn set_plan(&mut self, plan: &Plan) -> Result<(), Refusal> {
        let in_force = self.plan_revision();
        if plan.parent != in_force || plan.revision != in_force.next() {
            return Err(Refusal::Stale { proposed: plan.revision, in_force });
        }
        if plan.spec != self.spec_revision() {
            return Err(Refusal::Stale { proposed: plan.spec, in_force: self.spec_revision() });
        }
        if self.taking_down && !(plan.orders.is_empty() && plan.placement.is_empty()) {
            return Err(Refusal::TakingDown);
        }
        if plan.orders.len() > ORDERS_MAX {
            return Err(Refusal::TooManyOrders(plan.orders.len()));
        }
        self.check_slots(plan)?;
        self.check_pinned(plan)?;
        self.check_budget(plan)?;
        self.check_acquired_for_failures(plan)?;
        let first = self.intents_issued + 1;
        for order in &plan.orders {
            self.intents_issued += 1;
            let id = IntentId(self.intents_issued);
            let intent =
                Intent { id, order: order.clone(), state: IntentState::Open, host: None, node: None };
            self.intents.insert(id, intent);
        }
        let mut plan = plan.clone();
        for slot in plan.placement.values_mut() {
            if let Slot::Order(position) = *slot {
                *slot = Slot::Intent(IntentId(first + u64::from(position)));
            }
        }
        self.mark(&plan);
        self.plan = Some(plan);
        self.forget_orders();
        Ok(())
    }

    fn check_slots(&self, plan: &Plan) -> Result<(), Refusal> {
        for (instance, slot) in &plan.placement {
            let usable = match slot {
                Slot::Order(position) => usize::try_from(*position).is_ok_and(|p| p < plan.orders.len()),
                Slot::Node(_) | Slot::Intent(_) => !matches!(self.slot_state(*slot), SlotState::Lost),
            };
            if !usable {
                return Err(Refusal::SlotLost(instance.clone()));
            }
        }
        Ok(())
    }

    fn check_budget(&self, plan: &Plan) -> Result<(), Refusal> {
        let Some(budget_micros) = self.budget_micros() else { return Ok(()) };
        if plan.orders.is_empty() {
            return Ok(());
        }
        let ordered = plan.orders.iter().map(|order| order.price_micros_per_hour);
        let micros = ordered.fold(self.spending_micros(), u64::saturating_add);
        if micros > budget_micros && !sabotage::is(Sabotage::IgnoresBudget) {
            Err(Refusal::Budget { micros, budget_micros })
        } else {
            Ok(())
        }
    }

    fn reclaim(
        &mut self,
        provider: &ProviderName,
        host: &HostId,
        order: &AcquireOrder,
    ) -> Result<(), Refusal> {
        if let Some(intent) = self.intent_of_host(provider, host) {
            return Err(Refusal::HostTaken { host: host.clone(), intent });
        }
        self.intents_issued += 1;
        let id = IntentId(self.intents_issued);
        let host = Some(BoundHost { host: host.clone(), address: None });
        let order = AcquireOrder { provider: provider.clone(), ..order.clone() };
        let intent = Intent { id, order, state: IntentState::Releasing, host, node: None };
        self.intents.insert(id, intent);
        Ok(())
    }

    fn join(&mut self, index: u64, join: &Join) -> Result<(), Refusal> {
        let taken = self.members.iter().find(|(_, member)| member.record.key == join.key);
        let intent = self.intents.get_mut(&join.ticket).ok_or(Refusal::UnknownIntent(join.ticket))?;
        if let Some((node, _)) = taken {
            // The same node asks again because it did not receive the answer: the same key gets the same answer.
            return if intent.node == Some(*node) { Ok(()) } else { Err(Refusal::KeyTaken(*node)) };
        }
        if intent.node.is_some() {
            return Err(Refusal::TicketUsed(join.ticket));
        }
        if !matches!(intent.state, IntentState::Open | IntentState::Unknown | IntentState::Bound) {
            return Err(Refusal::IntentState { intent: join.ticket, state: intent.state });
        }
        if self.taking_down {
            return Err(Refusal::TakingDown);
        }
        self.bind_joining(join)?;
        let Some(intent) = self.intents.get_mut(&join.ticket) else {
            return Err(Refusal::UnknownIntent(join.ticket));
        };
        let reused = sabotage::is(Sabotage::ReusesNodeIds);
        let node = if reused { NodeId(self.members.len() as u64 + 1) } else { NodeId(index) };
        intent.node = Some(node);
        let record = MemberRecord {
            key: join.key,
            addresses: join.addresses.clone(),
            provider: intent.order.provider.clone(),
            region: intent.order.region.clone(),
            intent: Some(join.ticket),
        };
        self.members.insert(node, Member { record, draining: false });
        self.epoch = self.epoch.next();
        Ok(())
    }

    /// Binds the intent of a joining node to the host that the node runs on; refuses the join if the intent has another
    /// host.
    ///
    /// A provider without idempotency tokens may create two hosts for one intent. The host whose node joins is kept,
    /// and no intent explains the other one.
    fn bind_joining(&mut self, join: &Join) -> Result<(), Refusal> {
        let intent = self.intents.get(&join.ticket).ok_or(Refusal::UnknownIntent(join.ticket))?;
        match &intent.host {
            Some(bound) if bound.host == join.host => return Ok(()),
            Some(bound) => {
                let (ticket, host) = (join.ticket, bound.host.clone());
                return Err(Refusal::OtherHost { ticket, host });
            }
            None => {}
        }
        let address = join.addresses.first().map(SocketAddr::ip);
        let host = BoundHost { host: join.host.clone(), address };
        self.outcome(join.ticket, &Outcome::Bound(host))
    }

    fn leave(&mut self, node: NodeId) -> Result<(), Refusal> {
        if !self.members.contains_key(&node) {
            return Err(Refusal::NotMember(node));
        }
        let placed = self.target.instances.values().chain(self.lingering.values());
        if placed.into_iter().any(|placed| placed.node == node) {
            return Err(Refusal::NotEmpty(node));
        }
        self.depart(node, false);
        Ok(())
    }

    fn declare_dead(&mut self, nodes: &BTreeMap<NodeId, BTreeSet<NodeId>>) -> Result<(), Refusal> {
        let voters = nodes.keys().any(|node| self.voters.contains(node) && self.members.contains_key(node));
        if voters && !self.keeps_quorum(nodes.keys()) {
            return Err(Refusal::QuorumDeclaredDead);
        }
        for node in nodes.keys() {
            if self.members.contains_key(node) {
                self.depart(*node, true);
            }
        }
        Ok(())
    }

    /// Removes a member from the roster; from here on its host may be released, unless data on it is waited for.
    pub(super) fn depart(&mut self, node: NodeId, dead: bool) {
        let Some(member) = self.members.remove(&node) else { return };
        self.epoch = self.epoch.next();
        let intent = member.record.intent;
        let is_kept = self.holds_data(node) && !sabotage::is(Sabotage::ReleasesData);
        if let Some(intent) = intent.and_then(|intent| self.intents.get_mut(&intent))
            && intent.is_open()
            && !is_kept
        {
            intent.state = IntentState::Releasing;
        }
        self.departed.insert(node, Departed { dead, intent });
        while self.departed.len() > super::DEPARTED_MAX {
            self.departed.pop_first();
        }
        // A host that was replaced because of failures counts until it is gone and its replacement has worked.
        self.avoid.retain(|(_, avoided), mark| *avoided != node || mark.replaced);
    }
}
