//! Instances and processes: starts, ends, kills and restarts.
//!
//! This is the part of the shell and of the machine. [`crate::check`] checks whether a core may start an instance.

use super::{Act, Happening, World};
use crate::check;
use crate::fault::Fault;
use rand::RngExt;
use rhizo_protocol::{ActCall, ActResult, ActionId, Event, RunId, StartCall};
use rhizo_types::id::{InstanceId, NodeId, ValueName};
use rhizo_types::spec::Component;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

impl World {
    pub(super) fn start_instance(&mut self, node: NodeId, life: u64, call: &StartCall) {
        let run = call.run.clone();
        if let Some(violation) = check::before_start(self, node, call) {
            self.violation.get_or_insert(violation);
        }
        let Some(process) = self.processes.get_mut(&node) else { return };
        process.started.insert(run.instance.clone(), run.generation);
        process.running.insert(run.instance.clone(), (run.clone(), false));
        let us = self.rng.random_range(1_000..500_000);
        self.later(us, Happening::Act { node, life, run, act: Act::Start });
    }

    pub(super) fn stop_instance(&mut self, node: NodeId, life: u64, run: RunId) {
        let us = self.rng.random_range(1_000..300_000);
        self.later(us, Happening::Act { node, life, run, act: Act::Stop });
    }

    pub(super) fn act(&mut self, node: NodeId, life: u64, run: RunId, act: Act) {
        let is_start = act == Act::Start;
        let component = self.component(node, &run).filter(|_| is_start);
        let bad =
            self.bad.as_ref().is_some_and(|bad| component.as_ref().is_some_and(|c| c.env.contains_key(bad)));
        if bad {
            self.coverage.fired(Fault::BadVersion);
        }
        let bad_host = is_start && self.bad_host == Some(node);
        if bad_host {
            self.coverage.fired(Fault::BadHost);
        }
        let failed = is_start && (self.mishap(0.05, Fault::StartFails) || bad || bad_host);
        let Some(process) = self.processes.get_mut(&node).filter(|process| process.life == life) else {
            return;
        };
        let current = process.running.get(&run.instance).filter(|(current, _)| *current == run).cloned();
        // Some programs name the fault of the host, others only fail.
        let reason =
            if bad_host && run.attempt.is_multiple_of(2) { "No space left on device" } else { "simulated" };
        let reason = reason.to_owned();
        let event = match (act, current) {
            (Act::Start, Some(_)) if failed => {
                process.running.remove(&run.instance);
                Event::StartFailed { run, reason }
            }
            (Act::Start, Some(_)) => {
                process.running.insert(run.instance.clone(), (run.clone(), true));
                if let Some(component) = &component {
                    self.failures.started(&run.instance.component, component);
                }
                let port = 10_000 + (self.events % 50_000) as u16;
                let address = SocketAddr::from(([127, 0, (node.0 % 250) as u8, 1], port));
                let exports = BTreeMap::from([(rhizo_types::id::PortName::from("main"), address)]);
                Event::Started { run, exports }
            }
            // A stop is always answered.
            (Act::Stop, _) => {
                if process.running.get(&run.instance).is_some_and(|(current, _)| *current == run) {
                    process.running.remove(&run.instance);
                }
                Event::Stopped { run }
            }
            (Act::Exit, Some(_)) => {
                process.running.remove(&run.instance);
                Event::Exited { run, reason }
            }
            (Act::Health, Some((_, true))) => Event::Unhealthy { run, reason },
            _ => return,
        };
        self.deliver(node, life, event);
    }

    /// Returns the definition of the instance that a node starts.
    fn component(&self, node: NodeId, run: &RunId) -> Option<Arc<Component>> {
        let core = self.processes.get(&node).and_then(|process| process.core.as_ref());
        let mut views = core.into_iter().flat_map(|core| core.agent().instances());
        views.find(|view| *view.instance == run.instance).map(|view| Arc::new(view.component.clone()))
    }

    pub(super) fn begin_action(&mut self, node: NodeId, life: u64, call: &ActCall) {
        let hangs = call.step == "fetch" && self.mishap(0.1, Fault::ActionHangs);
        let us = self.rng.random_range(100..300_000);
        let Some(process) = self.processes.get_mut(&node) else { return };
        let (action, step) = (call.id.clone(), call.step.clone());
        if let Some(violation) = check::before_action(process, node, call) {
            self.violation.get_or_insert(violation);
        }
        let Some(process) = self.processes.get_mut(&node) else { return };
        process.acts.insert(action.clone(), (step, false));
        if !hangs {
            self.later(us, Happening::ActionEnds { node, life, action });
        }
    }

    pub(super) fn cancel_action(&mut self, node: NodeId, life: u64, action: ActionId) {
        let us = self.rng.random_range(100..100_000);
        let Some(process) = self.processes.get_mut(&node) else { return };
        if let Some((_, cancelled)) = process.acts.get_mut(&action) {
            *cancelled = true;
            self.later(us, Happening::ActionEnds { node, life, action });
        }
    }

    pub(super) fn end_action(&mut self, node: NodeId, life: u64, action: ActionId) {
        if self.life(node) != life {
            return;
        }
        let fails = self.mishap(0.05, Fault::ActionFails);
        let Some(process) = self.processes.get_mut(&node) else { return };
        // An action that is cancelled may end before the cancellation arrives. The first of the two counts.
        let Some((step, cancelled)) = process.acts.remove(&action) else { return };
        let result = if cancelled {
            ActResult::Cancelled
        } else if fails {
            ActResult::Failed { reason: "simulated".to_owned() }
        } else {
            let key = (action.run.instance.clone(), action.run.generation);
            if matches!(step.as_str(), "remove" | "reset") {
                process.did.remove(&key);
            } else {
                process.did.entry(key).or_default().insert(step.clone());
            }
            let value = format!("{step}-{}", action.number);
            let values = BTreeMap::from([(ValueName::from("key"), value)]);
            ActResult::Done { exports: BTreeMap::new(), values }
        };
        self.deliver(node, life, Event::Acted { action, result });
    }

    /// Ends a process. Its peers get a reset, unless the machine fell silent.
    pub(crate) fn kill(&mut self, node: NodeId, silent: bool) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&node) else { return };
        process.stop();
        process.silent = silent;
        process.hit = Some(now);
        if self.log.leader == Some(node) {
            // A leader that restarts is a follower.
            self.log.leader = None;
        }
        let peers = self.network.peers(node);
        for peer in peers {
            if silent {
                let us = self.rng.random_range(8_000_000..20_000_000);
                if let Some(link) = self.network.link(node, peer) {
                    self.later(us, Happening::Notice { one: node, other: peer, link });
                }
            } else {
                self.break_link(node, peer);
            }
        }
    }

    pub(super) fn start_again(&mut self, node: NodeId) {
        let host = self.processes.get(&node).and_then(|process| process.host.clone());
        if let Some((provider, host)) = host {
            let ended = self
                .providers
                .get(&provider)
                .and_then(|p| p.hosts.get(&host))
                .is_none_or(|h| h.ended.is_some());
            if ended {
                return;
            }
        }
        let Some(process) = self.processes.get_mut(&node).filter(|process| process.core.is_none()) else {
            return;
        };
        process.start_again(node);
        let life = process.life;
        self.network.wants.remove(&node);
        self.deliver(node, life, Event::Tick);
        let others: Vec<NodeId> = self.network.wants.keys().copied().collect();
        for other in others {
            self.later(20_000, Happening::Dial { from: other, to: node });
        }
    }

    /// Returns a random running instance, for faults.
    pub(crate) fn some_running(&mut self) -> Option<(NodeId, u64, RunId)> {
        let mut all: Vec<(NodeId, u64, RunId)> = Vec::new();
        for (node, process) in self.processes.iter().filter(|(_, process)| process.is_up()) {
            all.extend(process.running.values().map(|(run, _)| (*node, process.life, run.clone())));
        }
        if all.is_empty() { None } else { Some(all.swap_remove(self.rng.random_range(0..all.len()))) }
    }

    /// Returns the instances that really run, with the node of each.
    #[must_use]
    pub fn running(&self) -> BTreeMap<InstanceId, BTreeSet<NodeId>> {
        let mut running: BTreeMap<InstanceId, BTreeSet<NodeId>> = BTreeMap::new();
        for (node, process) in self.processes.iter().filter(|(_, process)| process.is_up()) {
            for (instance, (_, started)) in &process.running {
                if *started {
                    running.entry(instance.clone()).or_default().insert(*node);
                }
            }
        }
        running
    }
}
