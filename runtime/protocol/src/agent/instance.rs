//! The default life-cycle of one instance: wait for mandatory imports, start, serve, drain, stop.
//!
//! ```text
//!            imports served            Started                unwanted, or an exporter asks
//! Waiting ──────────────────► Starting ───────► Started ──────────────────────────────► Draining
//!    ▲                           │ not wanted,     │ a mandatory import is lost,            │ users let go
//!    │                           ▼ import lost     ▼ unhealthy                              ▼
//!    └───── (or gone) ◄────── Stopping ◄───────────┴────────────────────────────────── Stopping
//! ```
//! It asks `importer` and `exporter` for the bindings and never looks into them.

use super::Agent;
use super::importer::{need_to_start, need_to_stay, wanted};
use crate::ledger::Ledger;
use crate::notice::Notice;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use crate::turn::{Effect, RunId, StartCall, Told};
use rhizo_types::Time;
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::ledger::Timers;
use rhizo_types::lifecycle::Values;
use rhizo_types::message::{FAILURE_TEXT_BYTES_MAX, InstancePhase, Served, UseId};
use rhizo_types::spec::{Component, Import};
use rhizo_types::target::Placed;
use rhizo_types::wire::Record;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// So many failures in a row on one node, and the coordinator looks for another place: the first may be bad
/// luck, the second a race with something else that restarts, the third is the place's or the program's fault.
pub const FAILURES_MAX: u32 = 3;
/// An instance that stayed started so long begins to count its failures anew.
const STEADY_MS: u64 = 60_000;
/// The waiting time between restarts doubles up to 2^6 times the first (30 s with the usual half second).
const BACK_OFF_DOUBLINGS_MAX: u32 = 6;

/// An instance of this node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Local {
    pub(super) placed: Placed,
    /// A copy, because it may have to be stopped after its spec was forgotten.
    pub(super) component: Arc<Component>,
    /// Whether the target in force has exactly this.
    pub(super) wanted: bool,
    pub(super) phase: InstancePhase,
    /// Starts of this generation so far.
    pub(super) attempt: u32,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) failure: Option<String>,
    /// Not started again before this.
    pub(super) retry_at: Option<Time>,
    started_at: Time,
    pub(super) exports: BTreeMap<PortName, SocketAddr>,
    /// Its uses, by import and exporter.
    pub(super) uses: BTreeMap<(PortName, InstanceId), UseId>,
    /// What the running instance was told of its imports.
    pub(super) told: Told,
}

impl Local {
    fn new(placed: Placed, component: Arc<Component>) -> Self {
        Self {
            placed,
            component,
            wanted: true,
            phase: InstancePhase::Waiting,
            attempt: 0,
            failures: 0,
            failure: None,
            retry_at: None,
            started_at: Time::ZERO,
            exports: BTreeMap::new(),
            uses: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Whether something of it may run.
    pub(super) fn is_running(&self) -> bool {
        self.phase != InstancePhase::Waiting
    }

    fn imports(&self) -> Vec<(PortName, Import)> {
        self.component.imports.iter().map(|(port, import)| (port.clone(), import.clone())).collect()
    }
}

/// What letting go of leaving exporters came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Release {
    /// Whatever could be let go was.
    Done,
    /// A mandatory import must be let go and nothing replaces it: the instance has to stop first.
    MustStop,
}

impl Agent {
    /// Does what has become possible for one instance.
    pub(super) fn step(&mut self, instance: &InstanceId, ledger: &Ledger, now: Time, out: &mut Out) {
        let Some(mut local) = self.instances.remove(instance).or_else(|| self.create(instance, ledger))
        else {
            return;
        };
        if local.retry_at.is_some_and(|at| at <= now) {
            local.retry_at = None;
        }
        match local.phase {
            InstancePhase::Waiting => {
                if !local.wanted {
                    self.let_go_all(&mut local);
                    self.retire(instance, &local, out);
                    // The target may have a newer generation of the same name here.
                    if self.target_has_another(instance, &local, ledger) {
                        self.dirty.insert(instance.clone());
                    }
                    return;
                }
                self.step_waiting(instance, &mut local, ledger, out);
            }
            InstancePhase::Starting => self.step_starting(instance, &mut local, ledger, out),
            InstancePhase::Started => self.step_started(instance, &mut local, ledger, out),
            InstancePhase::Draining => self.step_draining(instance, &mut local, ledger, out),
            InstancePhase::Stopping | InstancePhase::Suspended | InstancePhase::Resting => {}
        }
        self.instances.insert(instance.clone(), local);
    }

    /// An instance that is gone stays gone, also for an agent that restarts with an older ledger.
    fn retire(&mut self, instance: &InstanceId, local: &Local, out: &mut Out) {
        let generation = local.placed.generation.next();
        if local.attempt > 0 && self.fences.get(instance).is_none_or(|fence| *fence < generation) {
            self.fences.insert(instance.clone(), generation);
            out.durable(Record::Fence { instance: instance.clone(), generation });
        }
    }

    fn create(&self, instance: &InstanceId, ledger: &Ledger) -> Option<Local> {
        let placed = ledger.target.instances.get(instance).filter(|placed| placed.node == self.me)?;
        let fence = self.fences.get(instance).copied().unwrap_or_default();
        if placed.generation < fence && !sabotage::is(Sabotage::IgnoresFence) {
            return None;
        }
        let component = ledger.component_of(instance, placed.version)?;
        Some(Local::new(*placed, Arc::new(component.clone())))
    }

    fn target_has_another(&self, instance: &InstanceId, local: &Local, ledger: &Ledger) -> bool {
        let placed = ledger.target.instances.get(instance);
        placed.is_some_and(|placed| placed.node == self.me && placed.generation > local.placed.generation)
    }

    fn step_waiting(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger, out: &mut Out) {
        for (port, _) in local.imports() {
            for id in self.leaving_uses(local, &port, &wanted(ledger, instance, &port)) {
                self.let_go(local, id);
            }
        }
        self.ask_exporters(instance, local, ledger);
        let served = local.imports().iter().all(|(port, import)| {
            let need = need_to_start(import, wanted(ledger, instance, port).len());
            self.bound_uses(local, port).len() >= need || sabotage::is(Sabotage::StartsUnserved)
        });
        if !served || local.retry_at.is_some() {
            return;
        }
        let generation = local.placed.generation;
        if self.fences.get(instance) != Some(&generation) {
            self.fences.insert(instance.clone(), generation);
            out.durable(Record::Fence { instance: instance.clone(), generation });
        }
        local.attempt += 1;
        local.started_at = Time::ZERO;
        local.phase = InstancePhase::Starting;
        for (port, _) in local.imports() {
            let told =
                self.bound_uses(local, &port).into_iter().map(|(exporter, (_, served))| (exporter, served));
            local.told.insert(port, told.collect());
        }
        out.effect(Effect::Start(Box::new(StartCall {
            run: run_id(instance, local),
            component: local.component.clone(),
            version: local.placed.version,
            imports: local.told.clone(),
            values: Values::new(),
        })));
    }

    fn step_starting(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger, out: &mut Out) {
        self.ask_exporters(instance, local, ledger);
        if !local.wanted || self.is_short(instance, local, ledger) {
            stop(instance, local, out);
        }
    }

    fn step_started(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger, out: &mut Out) {
        self.ask_exporters(instance, local, ledger);
        if self.is_short(instance, local, ledger) {
            self.interrupt(instance, local, out);
            return;
        }
        let release = self.release(instance, local, ledger);
        self.rebind(instance, local, out);
        if !local.wanted || release == Release::MustStop {
            local.phase = InstancePhase::Draining;
            self.step_draining(instance, local, ledger, out);
        } else {
            self.serve(instance, local);
        }
    }

    fn step_draining(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger, out: &mut Out) {
        if self.is_short(instance, local, ledger) {
            self.interrupt(instance, local, out);
            return;
        }
        self.release(instance, local, ledger);
        self.rebind(instance, local, out);
        self.ask_users(instance);
        if !self.is_used(instance) || sabotage::is(Sabotage::StopsUnderUsers) {
            stop(instance, local, out);
        }
    }

    /// Whether a mandatory import has fewer started exporters than the instance needs to stay started.
    fn is_short(&self, instance: &InstanceId, local: &Local, ledger: &Ledger) -> bool {
        if sabotage::is(Sabotage::StartsUnserved) {
            return false;
        }
        local.imports().iter().any(|(port, import)| {
            let need = need_to_stay(import, wanted(ledger, instance, port).len());
            // What the target no longer wants is still a use: a smaller target alone stops nobody.
            self.bound_uses(local, port).len()
                < need.min(local.told.get(port).map_or(0, BTreeMap::len).max(1))
        })
    }

    /// Stops at once: the users are told, not asked.
    fn interrupt(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        self.lose_users(instance);
        stop(instance, local, out);
    }

    /// Lets go of what the target or the exporters want back, as far as the instance can go on without.
    fn release(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger) -> Release {
        let mut result = Release::Done;
        for (port, import) in local.imports() {
            let wanted = wanted(ledger, instance, &port);
            let leaving = self.leaving_uses(local, &port, &wanted);
            let bound = self.bound_uses(local, &port);
            let staying = bound.values().filter(|(id, _)| !leaving.contains(id)).count();
            let enough = staying >= need_to_stay(&import, wanted.len());
            let mut asked = false;
            for id in &leaving {
                let Some(used) = self.uses.get(id) else { continue };
                if import.optional || enough || used.served.is_none() {
                    self.let_go(local, *id);
                } else {
                    asked |= used.asked_to_leave;
                }
            }
            let pending = wanted.keys().any(|exporter| {
                let used = local.uses.get(&(port.clone(), exporter.clone())).and_then(|id| self.uses.get(id));
                used.is_some_and(|used| used.served.is_none() && !used.asked_to_leave)
            });
            if asked && !pending {
                result = Release::MustStop;
            }
        }
        if result == Release::Done {
            self.ask_exporters(instance, local, ledger);
        }
        result
    }

    /// Tells the running instance what its imports are bound to now.
    fn rebind(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        for (port, _) in local.imports() {
            let bound = self.bound_uses(local, &port).into_iter();
            let bound: BTreeMap<InstanceId, Served> =
                bound.map(|(exporter, (_, served))| (exporter, served)).collect();
            let told = local.told.entry(port.clone()).or_default();
            if *told == bound {
                continue;
            }
            let unbound = told.keys().filter(|exporter| !bound.contains_key(*exporter)).cloned().collect();
            let old = std::mem::replace(told, bound.clone());
            let bound = bound.into_iter().filter(|(exporter, served)| old.get(exporter) != Some(served));
            let (run, bound) = (run_id(instance, local), bound.collect());
            out.effect(Effect::Rebind { run, import: port, bound, unbound });
        }
    }

    pub(super) fn started(
        &mut self,
        run: &RunId,
        exports: BTreeMap<PortName, SocketAddr>,
        now: Time,
        out: &mut Out,
    ) {
        if self.run_of(run).is_none_or(|local| local.phase != InstancePhase::Starting) {
            return;
        }
        if let Some(local) = self.instances.get_mut(&run.instance) {
            local.phase = InstancePhase::Started;
            local.exports = exports;
            local.started_at = now;
            self.dirty.insert(run.instance.clone());
            out.notice(Notice::InstanceStarted(run.instance.clone()));
        }
    }

    /// Nothing of the run exists any more: it failed (with a reason) or was stopped.
    pub(super) fn ended(
        &mut self,
        run: &RunId,
        reason: Option<String>,
        now: Time,
        timers: &Timers,
        out: &mut Out,
    ) {
        if self.run_of(run).is_none_or(|local| !local.is_running()) {
            return;
        }
        let Some(mut local) = self.instances.remove(&run.instance) else { return };
        // A run that ends while it is being stopped has not failed, whatever it says.
        let asked = matches!(local.phase, InstancePhase::Draining | InstancePhase::Stopping);
        self.lose_users(&run.instance);
        self.let_go_all(&mut local);
        local.exports.clear();
        local.phase = InstancePhase::Waiting;
        if asked {
            out.notice(Notice::InstanceStopped(run.instance.clone()));
        } else {
            let reason = reason.unwrap_or_else(|| "ended without being asked".to_owned());
            fail(&run.instance, &mut local, reason, now, timers, out);
        }
        self.instances.insert(run.instance.clone(), local);
        self.dirty.insert(run.instance.clone());
    }

    pub(super) fn unhealthy(
        &mut self,
        run: &RunId,
        reason: String,
        now: Time,
        timers: &Timers,
        out: &mut Out,
    ) {
        if self.run_of(run).is_none_or(|local| local.phase != InstancePhase::Started) {
            return;
        }
        let Some(mut local) = self.instances.remove(&run.instance) else { return };
        fail(&run.instance, &mut local, reason, now, timers, out);
        if sabotage::is(Sabotage::RestartsWithoutStop) {
            self.lose_users(&run.instance);
            self.let_go_all(&mut local);
            local.phase = InstancePhase::Waiting;
        } else {
            self.interrupt(&run.instance, &mut local, out);
        }
        self.instances.insert(run.instance.clone(), local);
        self.dirty.insert(run.instance.clone());
    }
}

fn run_id(instance: &InstanceId, local: &Local) -> RunId {
    RunId { instance: instance.clone(), generation: local.placed.generation, attempt: local.attempt }
}

fn stop(instance: &InstanceId, local: &mut Local, out: &mut Out) {
    local.phase = InstancePhase::Stopping;
    local.exports.clear();
    let component = local.component.clone();
    out.effect(Effect::Stop { run: run_id(instance, local), component });
}

/// Counts a failure and says when the next attempt is.
fn fail(instance: &InstanceId, local: &mut Local, reason: String, now: Time, timers: &Timers, out: &mut Out) {
    if local.started_at != Time::ZERO && now.ms_since(local.started_at) >= STEADY_MS {
        local.failures = 0;
    }
    local.failures += 1;
    let doublings = (local.failures - 1).min(BACK_OFF_DOUBLINGS_MAX);
    local.retry_at = Some(now.after_ms(timers.restart_ms << doublings));
    local.failure = Some(cut(reason));
    let (instance, failures) = (instance.clone(), local.failures);
    let reason = local.failure.clone().unwrap_or_default();
    out.notice(Notice::InstanceFailed { instance, reason, failures });
}

/// The beginning of a text that is too long for a report.
fn cut(mut text: String) -> String {
    if text.len() > FAILURE_TEXT_BYTES_MAX {
        let end = (0..=FAILURE_TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// What can be seen of an instance from outside: for checks in tests and the simulator.
#[derive(Clone, Copy, Debug)]
pub struct InstanceView<'a> {
    /// Which.
    pub instance: &'a InstanceId,
    /// Where and as what it was placed.
    pub placed: &'a Placed,
    /// What it is.
    pub component: &'a Component,
    /// How far it is.
    pub phase: InstancePhase,
    /// What the running instance was told of its imports.
    pub told: &'a Told,
}

impl Agent {
    /// Every instance of this node: for checks in tests and the simulator.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView<'_>> {
        self.instances.iter().map(|(instance, local)| InstanceView {
            instance,
            placed: &local.placed,
            component: &local.component,
            phase: local.phase,
            told: &local.told,
        })
    }
}
