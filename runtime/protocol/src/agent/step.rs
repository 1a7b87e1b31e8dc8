//! One step of one instance: everything that has become possible for it after an event.
//!
//! A step owns the context that the parts of the agent share meanwhile: the instance, the time, the ledger and where
//! effects go. The parts are `importer`, `exporter`, `play`, `lower`, `actions` and `failure`.

use super::failures::Failures;
use super::local::{Local, Mode};
use super::{Agent, pushes};
use crate::ledger::Ledger;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use crate::turn::Effect;
use rhizo_types::Time;
use rhizo_types::id::InstanceId;
use rhizo_types::message::InstancePhase;

/// How long an exporter that wants to leave is kept while another one is bound already and not active yet: most become
/// active within this time. Without an end, both could wait for the room that the one that leaves occupies.
const KEEP_MS: u64 = 3_000;

/// Whether a step may keep an exporter that wants to leave, in the hope that another one becomes active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeping {
    /// It may, and has not needed to.
    Allowed,
    /// It keeps one; the instance is looked at again when [`KEEP_MS`] have passed.
    Kept,
    /// It kept one for [`KEEP_MS`], and keeps it no longer.
    Over,
}

/// The context of a step: an instance, taken out of its agent, and what came up while it is handled.
pub(super) struct Step<'a> {
    pub(super) agent: &'a mut Agent,
    pub(super) instance: &'a InstanceId,
    pub(super) local: &'a mut Local,
    pub(super) ledger: &'a Ledger,
    pub(super) now: Time,
    pub(super) out: &'a mut Out,
    pub(super) keeping: Keeping,
}

impl Step<'_> {
    /// Does everything that has become possible; returns whether the instance is gone.
    pub(super) fn run(&mut self) -> bool {
        self.follow_version();
        self.fire_timers();
        self.keeping = match self.local.keeps_until {
            Some(at) if at <= self.now => Keeping::Over,
            _ => Keeping::Allowed,
        };
        loop {
            self.step_imports();
            let mode = self.local.mode;
            let moved = match mode {
                Mode::Up(_) => self.play(),
                _ => {
                    let marking = self.local.marking.clone();
                    if self.descend() {
                        self.retire();
                        return true;
                    }
                    // An import that the place below does not need is released at once, not at the end.
                    self.local.marking != marking
                }
            };
            if !moved && self.local.mode == mode {
                break;
            }
        }
        let until = self.local.keeps_until.unwrap_or(self.now.after_ms(KEEP_MS));
        self.local.keeps_until = (self.keeping == Keeping::Kept).then_some(until);
        if self.local.phase() == InstancePhase::Stopping && sabotage::is(Sabotage::StopsTwice) {
            self.out.effect(Effect::Stop { run: self.local.run_id(self.instance) });
        }
        self.serve();
        let restart_ms = self.ledger.timers().restart_ms;
        let report = super::report::describe(self.local, &self.agent.uses, restart_ms);
        self.agent.reporter.set(self.instance, Some(report));
        false
    }

    /// Follows a newer version of the same generation: it differs in attributes only, which the program is given.
    fn follow_version(&mut self) {
        let placed = self.ledger.target.instances.get(self.instance).filter(|_| self.local.wanted);
        let Some(placed) = placed.filter(|placed| placed.version != self.local.placed.version) else {
            return;
        };
        let Some(kind) = self.agent.kinds.of(self.instance, placed.version, self.ledger) else { return };
        self.local.placed = *placed;
        if *kind.component != *self.local.kind.component {
            // A changed definition is tried at once.
            self.local.failures = Failures::default();
        }
        if let Some(run) = &mut self.local.run
            && kind.component.attributes != self.local.kind.component.attributes
        {
            run.notify_due |= kind.net.notify.is_some();
            self.local.outputs.changed = true;
            let (run, attributes) = (self.local.run_id(self.instance), kind.component.attributes.clone());
            self.out.effect(Effect::SetAttributes { run, attributes });
        }
        self.local.kind = kind;
    }

    /// Ends what the agent keeps for an instance that is gone. It stays gone, also for an agent that restarts with an
    /// older ledger: the target without it was made durable before anything of it was stopped.
    fn retire(&mut self) {
        self.local.marking = rhizo_types::net::Marking::at(self.local.kind.net.initial);
        self.release_unused();
        self.agent.reporter.set(self.instance, None);
        // The target may place a newer generation of the same name here.
        let placed = self.ledger.target.instances.get(self.instance);
        let is_newer = |generation| generation > self.local.placed.generation;
        if placed.is_some_and(|new| new.node == self.agent.me && is_newer(new.generation)) {
            self.agent.dirty.insert(self.instance.clone());
        }
    }
}

impl Agent {
    /// Does what has become possible for one instance; creates it if the target places it here.
    pub(super) fn step(&mut self, instance: &InstanceId, ledger: &Ledger, now: Time, out: &mut Out) {
        let known = self.instances.remove(instance);
        let Some(mut local) = known.or_else(|| self.create(instance, ledger, now, out)) else { return };
        let gone = self.on(instance, &mut local, ledger, now, out).run();
        let due = if gone { None } else { local.due_at() };
        self.set_timer(instance, &mut local, due);
        if !gone {
            self.instances.insert(instance.clone(), local);
        }
    }

    /// The context in which an instance of this agent, which was taken out of it, is handled.
    pub(super) fn on<'a>(
        &'a mut self,
        instance: &'a InstanceId,
        local: &'a mut Local,
        ledger: &'a Ledger,
        now: Time,
        out: &'a mut Out,
    ) -> Step<'a> {
        Step { agent: self, instance, local, ledger, now, out, keeping: Keeping::Allowed }
    }

    fn set_timer(&mut self, instance: &InstanceId, local: &mut Local, due: Option<Time>) {
        if let Some(at) = std::mem::replace(&mut local.timer, due) {
            self.timers.remove(&(at, instance.clone()));
        }
        // Also when it is the same: a timer that is due was taken out.
        self.timers.extend(due.map(|at| (at, instance.clone())));
    }

    /// Creates an instance that the target places here. From here on older generations are refused, also after a
    /// restart: the fences of all instances of a target are made durable together, before any of them begins.
    fn create(
        &mut self,
        instance: &InstanceId,
        ledger: &Ledger,
        now: Time,
        out: &mut Out,
    ) -> Option<Box<Local>> {
        let placed = ledger.target.instances.get(instance).filter(|placed| placed.node == self.me)?;
        if self.target < self.followed && !sabotage::is(Sabotage::IgnoresFence) {
            // The node restarted with an older ledger than it followed before, and is about to catch up.
            return None;
        }
        let fence = self.fences.get(instance).copied().unwrap_or_default();
        if placed.generation < fence && !sabotage::is(Sabotage::IgnoresFence) {
            return None;
        }
        let kind = self.kinds.of(instance, placed.version, ledger)?;
        if placed.generation > fence {
            self.fences.insert(instance.clone(), placed.generation);
            out.durable(rhizo_types::wire::Record::Fence {
                instance: instance.clone(),
                generation: placed.generation,
            });
        }
        let of_version = ledger.failures_of(&instance.component, placed.version);
        let failures = Failures::new(of_version, now, ledger.timers().restart_ms);
        let mut local = Box::new(Local::new(*placed, kind, failures));
        local.follow_pushes(pushes(ledger, instance));
        local.follow_imports(instance, ledger, &self.uses);
        Some(local)
    }
}
