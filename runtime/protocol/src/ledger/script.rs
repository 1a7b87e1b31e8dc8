//! Scripts in the ledger: checked before they begin, and executed from one `wait` to the next.
//!
//! A statement changes the wanted state: the placement of the plan, the exporters of an import, or the pushed
//! behaviours. The coordinator derives targets from the changed state in the usual way. The position of a script is
//! in the ledger, so any coordinator can continue it. `coordinator::scripts` decides when it continues.

use super::{Ledger, Refusal, SlotState};
use rhizo_types::id::{ComponentName, InstanceId, NodeId, PortName};
use rhizo_types::net::{Marking, Net};
use rhizo_types::script::{Order, Place, Script, Statement};
use rhizo_types::spec::Component;
use rhizo_types::target::{Cause, PUSHES_MAX, Push, Slot};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The running script, or the last one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ScriptRun {
    /// Its number; the first script has number 1.
    pub number: u64,
    /// Its statements.
    pub script: Script,
    /// The index of the first statement that is not executed yet.
    pub next: u32,
    /// Whether it runs, and how it ended if it does not.
    pub state: ScriptState,
}

/// The state of a script.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ScriptState {
    /// The coordinator executes it.
    Running,
    /// Every statement is executed.
    Done,
    /// An operator ended it.
    Ended,
    /// A statement could not be executed.
    Failed {
        /// The line of the statement.
        line: u32,
        /// The reason, for the operator.
        reason: String,
    },
}

impl ScriptRun {
    /// Returns true if the script runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == ScriptState::Running
    }

    /// Returns the next statement.
    #[must_use]
    pub fn statement(&self) -> Option<&Statement> {
        self.script.statements.get(usize::try_from(self.next).ok()?)
    }
}

/// The state of the check of a script at one statement: the names, pushes and resting places of the instances after
/// all statements before it.
struct Foresight<'a> {
    ledger: &'a Ledger,
    names: BTreeSet<InstanceId>,
    pushes: BTreeMap<InstanceId, usize>,
    rests: BTreeMap<InstanceId, Marking>,
    nets: BTreeMap<ComponentName, Net>,
}

impl Ledger {
    /// Returns true if a script runs.
    #[must_use]
    pub fn script_runs(&self) -> bool {
        self.script.as_ref().is_some_and(ScriptRun::is_running)
    }

    /// Checks that each statement of a script can be executed after those before it, as far as the ledger knows now.
    ///
    /// # Errors
    /// The line of the first statement that cannot be executed, with the reason; the last line if the final state is
    /// wrong.
    pub fn check_script(&self, script: &Script) -> Result<(), (u32, String)> {
        let Some(plan) = &self.plan else { return Err((1, "nothing is deployed yet".to_owned())) };
        let mut foresight = Foresight {
            ledger: self,
            names: plan.placement.keys().cloned().collect(),
            pushes: self.pushes.iter().map(|(instance, list)| (instance.clone(), list.len())).collect(),
            rests: BTreeMap::new(),
            nets: BTreeMap::new(),
        };
        let mut touched = BTreeSet::new();
        for Statement { line, order } in &script.statements {
            if let Order::Wait { .. } = order {
                foresight.expect_room().map_err(|reason| (*line, reason))?;
            }
            foresight.see(order).map_err(|reason| (*line, reason))?;
            if let Order::Add { instance, .. } | Order::Del { instance } = order {
                touched.insert(&instance.component);
            }
        }
        let last = script.statements.last().map_or(1, |statement| statement.line);
        foresight.expect_room().map_err(|reason| (last, reason))?;
        for name in touched {
            let Some(component) = self.component(name) else { continue };
            let count = foresight.names.iter().filter(|instance| instance.component == *name).count();
            let (min, max) = (component.replicas.min as usize, component.replicas.max as usize);
            if count < min || count > max {
                let reason = format!("{count} copies of {name} are left in the end, not {min} to {max}");
                return Err((last, reason));
            }
        }
        Ok(())
    }

    fn component(&self, name: &ComponentName) -> Option<&Component> {
        self.spec()?.components.get(name).map(Arc::as_ref)
    }

    pub(super) fn begin_script(&mut self, number: u64, script: &Script) -> Result<(), Refusal> {
        if number != self.scripts_issued + 1 {
            return Err(Refusal::Script(format!("script {number} does not follow {}", self.scripts_issued)));
        }
        if self.taking_down {
            return Err(Refusal::TakingDown);
        }
        if self.script_runs() {
            return Err(Refusal::Script("another script runs".to_owned()));
        }
        self.check_script(script)
            .map_err(|(line, reason)| Refusal::Script(format!("line {line}: {reason}")))?;
        self.scripts_issued = number;
        let state = if script.statements.is_empty() { ScriptState::Done } else { ScriptState::Running };
        self.script = Some(ScriptRun { number, script: script.clone(), next: 0, state });
        Ok(())
    }

    pub(super) fn end_script(&mut self, number: u64) -> Result<(), Refusal> {
        let running = self.script.as_mut().filter(|run| run.number == number && run.is_running());
        let run = running.ok_or_else(|| Refusal::Script(format!("script {number} does not run")))?;
        run.state = ScriptState::Ended;
        Ok(())
    }

    /// Ends a script that waits for an instance, if the instance needs an exporter that rests.
    pub(super) fn stall_script(
        &mut self,
        number: u64,
        at: u32,
        instance: &InstanceId,
        exporter: &InstanceId,
    ) -> Result<(), Refusal> {
        let run =
            self.script.as_mut().filter(|run| run.number == number && run.is_running() && run.next == at);
        let run = run.ok_or_else(|| Refusal::Script(format!("script {number} is not at {at}")))?;
        let line = run.statement().map_or(0, |statement| statement.line);
        run.state = ScriptState::Failed { line, reason: format!("{instance} needs {exporter}, which rests") };
        Ok(())
    }

    /// Executes the statements from index `from` up to `to`. A statement that cannot be executed ends the script. The
    /// command is still accepted, because the statements before it are in effect.
    pub(super) fn advance_script(&mut self, number: u64, from: u32, to: u32) -> Result<(), Refusal> {
        let current = |run: &&ScriptRun| run.number == number && run.is_running() && run.next == from;
        let run = self.script.as_ref().filter(current);
        let run = run.ok_or_else(|| Refusal::Script(format!("script {number} is not at {from}")))?;
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let statements = range.and_then(|(from, to)| run.script.statements.get(from..to));
        let Some(statements) = statements.filter(|statements| !statements.is_empty()).map(<[_]>::to_vec)
        else {
            return Err(Refusal::Script(format!("script {number} has no statements {from} to {to}")));
        };
        let before = self.plan.as_ref().map(|plan| plan.placement.clone());
        let mut state = ScriptState::Running;
        for Statement { line, order } in &statements {
            if let Err(reason) = self.carry_out(order) {
                state = ScriptState::Failed { line: *line, reason };
                break;
            }
        }
        if let Some(plan) = self.plan.as_mut().filter(|plan| Some(&plan.placement) != before.as_ref()) {
            plan.parent = plan.revision;
            plan.revision = plan.revision.next();
            plan.orders.clear();
            plan.verdict.cause = Cause::Script(number);
            plan.verdict.forced = true;
        }
        if let Some(run) = &mut self.script {
            run.next = to;
            let done = usize::try_from(to).is_ok_and(|to| to == run.script.statements.len());
            run.state = if done && state == ScriptState::Running { ScriptState::Done } else { state };
        }
        Ok(())
    }

    fn carry_out(&mut self, order: &Order) -> Result<(), String> {
        match order {
            Order::Wait { .. } => Ok(()),
            Order::Add { instance, place } => {
                let node = self.place(instance, place, |node| self.expect_room(instance, node))?;
                let plan = self.plan.as_mut().ok_or("there is no plan")?;
                if plan.placement.contains_key(instance) {
                    return Err(format!("{instance} is there already"));
                }
                plan.placement.insert(instance.clone(), Slot::Node(node));
                Ok(())
            }
            Order::Del { instance } => {
                let plan = self.plan.as_mut().ok_or("there is no plan")?;
                plan.placement.remove(instance).ok_or_else(|| format!("there is no {instance}"))?;
                if self.target.instances.contains_key(instance) {
                    self.dropped.insert(instance.clone());
                }
                self.forget_orders();
                Ok(())
            }
            Order::Connect { importer, import, exporter } => {
                self.expect_planned([importer, exporter])?;
                self.script_binding(importer, import).insert(exporter.clone());
                Ok(())
            }
            Order::Disconnect { importer, import, exporter } => {
                self.expect_planned([importer])?;
                self.script_binding(importer, import).remove(exporter);
                Ok(())
            }
            Order::Push { instance, behaviour } => {
                self.expect_planned([instance])?;
                self.pushes_issued += 1;
                let push = Push { number: self.pushes_issued, behaviour: behaviour.clone() };
                let list = self.pushes.entry(instance.clone()).or_default();
                if list.len() >= PUSHES_MAX {
                    return Err(format!("{PUSHES_MAX} behaviours of {instance} were pushed already"));
                }
                list.push(push);
                Ok(())
            }
        }
    }

    fn expect_planned<const N: usize>(&self, instances: [&InstanceId; N]) -> Result<(), String> {
        let plan = self.plan.as_ref().ok_or("there is no plan")?;
        match instances.into_iter().find(|instance| !plan.placement.contains_key(*instance)) {
            Some(missing) => Err(format!("there is no {missing}")),
            None => Ok(()),
        }
    }

    /// Returns the exporters that a script chose for this import. Before the first `connect` or `disconnect`, these are
    /// the exporters of the current target.
    fn script_binding(&mut self, importer: &InstanceId, import: &PortName) -> &mut BTreeSet<InstanceId> {
        let bound = self.target.bindings.get(importer).and_then(|imports| imports.get(import));
        let bound = bound.cloned().unwrap_or_default();
        self.script_bindings.entry(importer.clone()).or_default().entry(import.clone()).or_insert(bound)
    }

    /// Chooses the slot of an added instance. `has_room` may refuse a node. A copy with data on a node is placed there
    /// or nowhere.
    fn place(
        &self,
        instance: &InstanceId,
        place: &Place,
        has_room: impl Fn(NodeId) -> Result<(), String>,
    ) -> Result<NodeId, String> {
        let pinned = self.pinned_to(instance);
        let has_room = |node: NodeId| match pinned {
            Some(home) if home != node => Err(format!("{instance} has its data on {home}")),
            _ => has_room(node),
        };
        let usable = |node: &NodeId| {
            matches!(self.slot_state(Slot::Node(*node)), SlotState::Ready(_))
                && self.members.get(node).is_some_and(|member| !member.draining)
        };
        let plan = self.plan.as_ref().ok_or("there is no plan")?;
        let slot = |slot: &Slot| match self.slot_state(*slot) {
            SlotState::Ready(node) => Some(node),
            SlotState::Arriving | SlotState::Lost => None,
        };
        match place {
            Place::Node(node) if usable(node) => has_room(*node).map(|()| *node),
            Place::Node(node) => Err(format!("{node} is no member that hosts instances")),
            Place::Beside(other) => {
                let found = plan.placement.get(other).ok_or_else(|| format!("there is no {other}"))?;
                let node = slot(found).filter(usable);
                let node = node.ok_or_else(|| format!("the node of {other} hosts no more instances"))?;
                has_room(node).map(|()| node)
            }
            Place::Any => {
                let mut load: BTreeMap<NodeId, usize> = self.members.keys().map(|node| (*node, 0)).collect();
                for node in plan.placement.values().filter_map(slot) {
                    *load.entry(node).or_default() += 1;
                }
                let avoided = |node: &NodeId| self.avoid.contains_key(&(instance.component.clone(), *node));
                let open = load.into_iter().filter(|(node, _)| usable(node) && !avoided(node));
                let open = open.filter(|(node, _)| has_room(*node).is_ok());
                let found = open.min_by_key(|(node, count)| (*count, *node));
                found.map(|(node, _)| node).ok_or_else(|| format!("no member can host {instance}"))
            }
        }
    }

    /// Drops the script's bindings and pushes of instances that are no longer planned.
    pub(super) fn forget_orders(&mut self) {
        let Some(plan) = &self.plan else { return };
        self.script_bindings.retain(|instance, _| plan.placement.contains_key(instance));
        self.pushes.retain(|instance, _| plan.placement.contains_key(instance));
        let pushed = self.target.pushes.keys().filter(|instance| !plan.placement.contains_key(*instance));
        self.dropped.extend(pushed.cloned());
    }
}

impl Foresight<'_> {
    fn see(&mut self, order: &Order) -> Result<(), String> {
        match order {
            Order::Add { instance, place } => {
                self.ledger
                    .component(&instance.component)
                    .ok_or_else(|| format!("there is no component {}", instance.component))?;
                match place {
                    Place::Beside(other) => self.expect(other)?,
                    // Room is not checked here: earlier statements and other events may still free or use it.
                    place => drop(self.ledger.place(instance, place, |_| Ok(()))?),
                }
                if !self.names.insert(instance.clone()) {
                    return Err(format!("{instance} is there already"));
                }
                self.rests.remove(instance);
                self.pushes.remove(instance);
                Ok(())
            }
            Order::Del { instance } => {
                self.expect(instance)?;
                self.names.remove(instance);
                Ok(())
            }
            Order::Connect { importer, import, exporter }
            | Order::Disconnect { importer, import, exporter } => {
                self.expect(importer)?;
                if matches!(order, Order::Connect { .. }) {
                    self.expect(exporter)?;
                }
                let component = self.ledger.component(&importer.component);
                let declared = component.and_then(|component| component.imports.get(import));
                let declared = declared.ok_or_else(|| format!("{importer} has no import {import}"))?;
                if declared.component != exporter.component || importer == exporter {
                    return Err(format!("{importer}.{import} cannot be bound to {exporter}"));
                }
                Ok(())
            }
            Order::Push { instance, behaviour } => self.push(instance, behaviour),
            Order::Wait { .. } => Ok(()),
        }
    }

    fn expect(&self, instance: &InstanceId) -> Result<(), String> {
        if self.names.contains(instance) { Ok(()) } else { Err(format!("there is no {instance}")) }
    }

    /// Checks at a `wait` that no exclusive component has more copies than its replicas allow. Otherwise the wait
    /// would not end.
    fn expect_room(&self) -> Result<(), String> {
        let spec = self.ledger.spec().ok_or("there is no spec")?;
        for (name, component) in spec.components.iter().filter(|(_, component)| component.is_exclusive()) {
            let count = self.names.iter().filter(|instance| instance.component == *name).count();
            if count > component.replicas.max as usize {
                return Err(format!(
                    "{name} is exclusive: {count} copies are wanted here, {} may run",
                    component.replicas.max
                ));
            }
        }
        Ok(())
    }

    /// Checks that a pushed behaviour exists, and that it can run from the place in which the instance rests at that
    /// time.
    fn push(
        &mut self,
        instance: &InstanceId,
        behaviour: &rhizo_types::id::BehaviourName,
    ) -> Result<(), String> {
        self.expect(instance)?;
        let count = self.pushes.entry(instance.clone()).or_default();
        *count += 1;
        if *count > PUSHES_MAX {
            return Err(format!("more than {PUSHES_MAX} behaviours are pushed to {instance}"));
        }
        if !self.nets.contains_key(&instance.component) {
            let component = self.ledger.component(&instance.component);
            let net = component.and_then(|component| Net::of(component).ok());
            let net = net.ok_or_else(|| format!("there is no component {}", instance.component))?;
            self.nets.insert(instance.component.clone(), net);
        }
        let net = &self.nets[&instance.component];
        let find = |name| net.behaviour(name).ok_or_else(|| format!("{instance} has no behaviour {name}"));
        let rest = match self.rests.remove(instance) {
            Some(rest) => rest,
            None => {
                let mut list = net.deploy.clone();
                let pushed = self.ledger.pushes.get(instance).into_iter().flatten();
                list.extend(pushed.filter_map(|push| net.behaviour(&push.behaviour)));
                net.rest_after(&Marking::at(net.initial), &list, "deploy").map_err(|flaw| flaw.to_string())?
            }
        };
        let list = [find(behaviour)?];
        let rest = net.rest_after(&rest, &list, behaviour.as_str()).map_err(|flaw| flaw.to_string())?;
        self.rests.insert(instance.clone(), rest);
        Ok(())
    }
}
