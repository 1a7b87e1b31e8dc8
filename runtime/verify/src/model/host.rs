//! One host of the model: the production agent, the actions of its shell, and its durable records.
//!
//! Only this file translates between the model and the agent's inputs and outputs. It also models the shell: an action
//! ends later, by a step of the model. The result depends on the host and one event only, so [`super::outcomes`] caches
//! it.

use super::ending::{ActEnding, Ending};
use crate::fingerprint::{Fingerprint, Shared};
use rhizo_protocol::agent::{Agent, Input};
use rhizo_protocol::{ActCall, ActResult, ActionId, Bound, Effect, Event, Ledger, RunId, StartCall};
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::lifecycle::{Action, Values};
use rhizo_types::message::AgentMessage;
use rhizo_types::spec::{Component, Run as Process};
use rhizo_types::wire::Record;
use rhizo_types::{Generation, Revision, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The time of every event: the model has no clock, and a wait ends by a step.
pub const NOW: Time = Time(1_000_000_000);

/// A deadline later than this is the time-out of an action: scenarios set those to hours, and waits are shorter.
const WAITS_MS_MAX: u64 = 30 * 60 * 1_000;

/// The state of a host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Host {
    /// The agent, as it runs in production.
    pub agent: Agent,
    /// The ledger as far as its node knows.
    pub ledger: Shared<Ledger>,
    /// The services that its shell starts, runs or stops.
    pub runs: BTreeMap<InstanceId, Run>,
    /// Running actions other than services, and whether each was cancelled.
    pub actions: BTreeMap<ActionId, bool>,
    /// The last run of each instance that was started here; it outlives restarts.
    pub started: BTreeMap<InstanceId, LastRun>,
    /// Instances that failed since the last wait ended.
    pub resting: BTreeSet<InstanceId>,
    /// The fences that the agent made durable.
    records: BTreeMap<InstanceId, Generation>,
    /// The newest target that is durable.
    followed: Revision,
    /// The current time, which only time-outs advance.
    now: Time,
    /// How many agents this host has had.
    session: u64,
}

/// The last run of an instance on a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LastRun {
    /// Its generation.
    pub generation: Generation,
    /// The number of the agent of this host that started it.
    pub session: u64,
    /// The number of the attempt within that generation and agent.
    pub attempt: u32,
    /// Whether its service was started.
    pub service: bool,
}

impl LastRun {
    fn of(run: &RunId, session: u64, service: bool) -> Self {
        Self { generation: run.generation, session, attempt: run.attempt, service }
    }

    /// Whether this is the given run of the given agent.
    #[must_use]
    pub fn is_of(&self, run: &RunId, session: u64) -> bool {
        (self.generation, self.session, self.attempt) == (run.generation, session, run.attempt)
    }
}

/// The state of an instance's service in the shell.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Run {
    /// The start action runs.
    Starting(RunId),
    /// It runs.
    Up(RunId),
    /// The stop action runs.
    Stopping {
        /// The run.
        run: RunId,
        /// The start was under way when the stop was ordered, and its end may be reported late.
        may_be_late: bool,
    },
}

impl Run {
    /// Which run it is.
    #[must_use]
    pub fn id(&self) -> &RunId {
        match self {
            Self::Starting(run) | Self::Up(run) | Self::Stopping { run, .. } => run,
        }
    }
}

/// An event on a host.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Its node learns a newer ledger.
    Learn(Shared<Ledger>),
    /// The next message of a peer's agent arrives.
    Message(NodeId, Shared<AgentMessage>),
    /// A peer's agent lost its state.
    Reset(NodeId),
    /// A service starts, stops or fails.
    End(InstanceId, Ending),
    /// An action other than a service ends.
    Act(ActionId, ActEnding),
    /// A wait of the agent ends.
    Wake,
    /// The time-out of an action passes.
    TimeOut,
    /// The node's process dies and restarts with this ledger.
    Restart(Shared<Ledger>),
}

/// An order of an agent to its shell, with what the shell had before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Start a service: the call, whether something of the instance runs already, and the previous run.
    Start(Box<StartCall>, bool, Option<LastRun>),
    /// Stop a service: the run, and whether it exists and is not being stopped.
    Stop(RunId, bool),
    /// Begin another action: the call, whether something of another run exists, and the previous run.
    Act(Box<ActCall>, bool, Option<LastRun>),
    /// Cancel an action: the action, and whether it runs and was not cancelled.
    Cancel(ActionId, bool),
    /// Change the exporters that an import of a run is bound to.
    Rebind(RunId, PortName, Bound, BTreeSet<InstanceId>),
}

impl Host {
    /// A host whose node just became a member.
    #[must_use]
    pub fn new(me: NodeId, ledger: &Shared<Ledger>) -> Self {
        let mut host = Self {
            agent: Agent::new(me, &[]),
            ledger: ledger.clone(),
            runs: BTreeMap::new(),
            actions: BTreeMap::new(),
            started: BTreeMap::new(),
            resting: BTreeSet::new(),
            records: BTreeMap::new(),
            followed: Revision::ZERO,
            now: NOW,
            session: 1,
        };
        let reaction = host.agent.react(Input::Follow, ledger, NOW);
        debug_assert!(
            reaction.messages.is_empty() && reaction.turn.effects().next().is_none(),
            "a new member has no instance"
        );
        host.record(&reaction.turn.durable);
        host
    }

    /// The node's id.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.agent.me()
    }

    /// The services that can change their state here, with the possible results. [`Ending::is_failure`] tells faults.
    pub fn endings(&self) -> impl Iterator<Item = (&InstanceId, Ending)> {
        self.runs.iter().flat_map(|(instance, run)| {
            let endings: &[Ending] = match run {
                Run::Starting(_) => &[Ending::Started, Ending::StartFailed],
                Run::Up(_) => &[Ending::Exited, Ending::Unhealthy],
                Run::Stopping { may_be_late: true, .. } => &[Ending::Stopped, Ending::StartedLate],
                Run::Stopping { .. } => &[Ending::Stopped],
            };
            endings.iter().map(move |ending| (instance, *ending))
        })
    }

    /// The actions other than services, with their possible results.
    pub fn act_endings(&self) -> impl Iterator<Item = (&ActionId, ActEnding)> {
        self.actions.iter().flat_map(|(action, cancelled)| {
            let endings = if *cancelled {
                [ActEnding::Cancelled, ActEnding::DoneLate]
            } else {
                [ActEnding::Done, ActEnding::Failed]
            };
            endings.into_iter().map(move |ending| (action, ending))
        })
    }

    /// Whether the agent waits for a time.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.agent.wakes_at().is_some_and(|at| !self.is_time_out(at))
    }

    /// Whether the time-out of an action can pass.
    #[must_use]
    pub fn can_time_out(&self) -> bool {
        self.agent.wakes_at().is_some_and(|at| self.is_time_out(at))
    }

    fn is_time_out(&self, at: Time) -> bool {
        at > self.now.after_ms(WAITS_MS_MAX)
    }

    /// Whether its shell starts, stops and executes nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.actions.is_empty() && self.runs.values().all(|run| matches!(run, Run::Up(_)))
    }

    /// How many agents this host has had.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Returns the host without services and actions: it is dead, or its node has halted.
    #[must_use]
    pub fn without_runs(&self) -> Self {
        Self { runs: BTreeMap::new(), actions: BTreeMap::new(), ..self.clone() }
    }

    pub(super) fn take(&mut self, happening: &Happening) -> (Vec<(NodeId, AgentMessage)>, Vec<Deed>) {
        let input = match happening {
            Happening::Learn(ledger) => {
                self.ledger = ledger.clone();
                Input::Follow
            }
            Happening::Message(from, message) => {
                Input::Message { from: *from, message: AgentMessage::clone(message) }
            }
            Happening::Reset(from) => Input::Reset { from: *from },
            Happening::End(instance, ending) => match self.end(instance, *ending) {
                Some(event) => Input::Action(event),
                None => return (Vec::new(), Vec::new()),
            },
            Happening::Act(action, ending) => match self.end_action(action, *ending) {
                Some(event) => Input::Action(event),
                None => return (Vec::new(), Vec::new()),
            },
            Happening::Wake => {
                self.resting.clear();
                Input::Tick
            }
            Happening::TimeOut => {
                self.now = self.agent.wakes_at().unwrap_or(self.now);
                Input::Tick
            }
            Happening::Restart(ledger) => {
                let mut records = vec![
                    Record::Session { session: self.session },
                    Record::Target { revision: self.followed },
                ];
                let fences = self.records.iter().map(|(instance, generation)| Record::Fence {
                    instance: instance.clone(),
                    generation: *generation,
                });
                records.extend(fences);
                self.session += 1;
                self.runs.clear();
                self.actions.clear();
                self.resting.clear();
                self.agent = Agent::new(self.me(), &records);
                self.ledger = ledger.clone();
                Input::Follow
            }
        };
        let now = match happening {
            Happening::Wake => self.agent.wakes_at().unwrap_or(self.now),
            _ => self.now,
        };
        let before: BTreeMap<InstanceId, u32> = self.failures().collect();
        let reaction = self.agent.react(input, &self.ledger, now);
        self.record(&reaction.turn.durable);
        let failed = self
            .failures()
            .filter(|(instance, failures)| *failures > before.get(instance).copied().unwrap_or_default());
        let failed: Vec<InstanceId> = failed.map(|(instance, _)| instance).collect();
        self.resting.extend(failed);
        let deeds = reaction.turn.effects().filter_map(|effect| self.execute(effect)).collect();
        (reaction.messages, deeds)
    }

    fn failures(&self) -> impl Iterator<Item = (InstanceId, u32)> {
        self.agent.situation().instances.into_iter().map(|(instance, report)| (instance, report.failures))
    }

    fn record(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Fence { instance, generation } => {
                    self.records.insert(instance.clone(), *generation);
                }
                Record::Target { revision } => self.followed = *revision,
                Record::Session { .. } => {}
            }
        }
    }

    /// Ends an action other than a service and returns the shell's event for the agent.
    fn end_action(&mut self, action: &ActionId, ending: ActEnding) -> Option<Event> {
        self.actions.remove(action)?;
        let action = action.clone();
        let result = match ending {
            ActEnding::Done | ActEnding::DoneLate => {
                let component = self.component(&action.run.instance);
                // The shell chooses the ports of a run before its first action, but for what is embedded.
                let serves = component.as_ref().is_some_and(|component| component.run != Process::Embedded);
                let exports = if serves { self.exports(&action.run) } else { BTreeMap::new() };
                ActResult::Done { exports, values: values(component.as_deref(), &action.run) }
            }
            ActEnding::Failed => ActResult::Failed { reason: String::new() },
            ActEnding::Cancelled => ActResult::Cancelled,
        };
        Some(Event::Acted { action, result })
    }

    fn component(&self, instance: &InstanceId) -> Option<Box<Component>> {
        let view = self.agent.instances().find(|view| view.instance == instance)?;
        Some(Box::new(view.component.clone()))
    }

    /// Changes the state of a service and returns the shell's event for the agent.
    fn end(&mut self, instance: &InstanceId, ending: Ending) -> Option<Event> {
        let current = self.runs.get(instance)?.clone();
        let run = current.id().clone();
        let reason = String::new();
        Some(match ending {
            Ending::Started => {
                let exports = self.exports(&run);
                self.runs.insert(instance.clone(), Run::Up(run.clone()));
                Event::Started { run, exports }
            }
            Ending::StartedLate => {
                let exports = self.exports(&run);
                self.runs.insert(instance.clone(), Run::Stopping { run: run.clone(), may_be_late: false });
                Event::Started { run, exports }
            }
            Ending::StartFailed => {
                self.runs.remove(instance);
                Event::StartFailed { run, reason }
            }
            Ending::Stopped => {
                self.runs.remove(instance);
                Event::Stopped { run }
            }
            Ending::Exited => {
                self.runs.remove(instance);
                Event::Exited { run, reason }
            }
            Ending::Unhealthy => Event::Unhealthy { run, reason },
        })
    }

    /// Returns the addresses of a run. They differ from those of all other runs, so that a stale address is detected.
    fn exports(&self, run: &RunId) -> BTreeMap<PortName, SocketAddr> {
        let component = self.agent.instances().find(|view| *view.instance == run.instance);
        let ports = component.into_iter().flat_map(|view| view.component.exports.keys());
        ports.map(|port| (port.clone(), address(self.me(), self.session, run, port))).collect()
    }

    fn execute(&mut self, effect: &Effect) -> Option<Deed> {
        match effect {
            Effect::Start(call) => {
                let instance = call.run.instance.clone();
                let last = LastRun::of(&call.run, self.session, true);
                let before = self.started.insert(instance.clone(), last);
                let others = self.other_actions(&call.run);
                let doubled = self.runs.insert(instance, Run::Starting(call.run.clone())).is_some() || others;
                Some(Deed::Start(call.clone(), doubled, before))
            }
            Effect::Stop { run } => {
                let current = self.runs.get_mut(&run.instance);
                let current = current.filter(|it| it.id() == run && !matches!(it, Run::Stopping { .. }));
                let is_there = current.is_some();
                if let Some(current) = current {
                    let may_be_late = matches!(current, Run::Starting(_));
                    *current = Run::Stopping { run: run.clone(), may_be_late };
                }
                Some(Deed::Stop(run.clone(), is_there))
            }
            Effect::Act(call) => {
                let run = &call.id.run;
                let before = self.started.get(&run.instance).copied();
                let service = before.is_some_and(|last| last.is_of(run, self.session) && last.service);
                let last = LastRun::of(run, self.session, service);
                self.started.insert(run.instance.clone(), last);
                let other = self.runs.get(&run.instance).is_some_and(|other| other.id() != run);
                let doubled = other || self.other_actions(run);
                self.actions.insert(call.id.clone(), false);
                Some(Deed::Act(call.clone(), doubled, before))
            }
            Effect::Cancel { action } => {
                let known = self.actions.insert(action.clone(), true);
                if known.is_none() {
                    self.actions.remove(action);
                }
                Some(Deed::Cancel(action.clone(), known == Some(false)))
            }
            Effect::Rebind { run, import, bound, unbound } => {
                Some(Deed::Rebind(run.clone(), import.clone(), bound.clone(), unbound.clone()))
            }
            _ => None,
        }
    }

    /// Whether an action of another run of the same instance is running.
    fn other_actions(&self, run: &RunId) -> bool {
        self.actions.keys().any(|action| action.run.instance == run.instance && action.run != *run)
    }
}

/// Whether the component has a service, which runs between its actions.
#[must_use]
pub fn has_service(component: &Component) -> bool {
    component.lifecycle().transitions.values().any(|way| way.step.action == Action::Start)
}

/// Returns the output of an action: every value that the component's exports carry, different for every run.
fn values(component: Option<&Component>, run: &RunId) -> Values {
    let exports = component.into_iter().flat_map(|component| component.exports.values());
    let names = exports.flat_map(|export| export.values.iter());
    names.map(|name| (name.clone(), format!("{name} of run {}.{}", run.generation, run.attempt))).collect()
}

/// Returns the address of an export, which is different for every run.
#[must_use]
pub fn address(node: NodeId, session: u64, run: &RunId, port: &PortName) -> SocketAddr {
    let bits = Fingerprint::of(&(session, run, port)).0 as u32 | 1;
    let last = node.0 as u8;
    SocketAddr::from(([127, (bits >> 24) as u8, (bits >> 16) as u8, last], bits as u16))
}

impl Happening {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let begin = Fingerprint::default();
        match self {
            Self::Learn(ledger) => begin.number(1).then(ledger.fingerprint()),
            Self::Message(from, message) => begin.number(2).number(from.0).then(message.fingerprint()),
            Self::Reset(from) => begin.number(3).number(from.0),
            Self::End(instance, ending) => begin.number(4).then(Fingerprint::of(&(instance, ending))),
            Self::Wake => begin.number(5),
            Self::Act(action, ending) => begin.number(7).then(Fingerprint::of(&(action, ending))),
            Self::TimeOut => begin.number(8),
            Self::Restart(ledger) => begin.number(6).then(ledger.fingerprint()),
        }
    }
}
