//! The interpreter: moves the tokens of an instance as its life-cycle, its imports and its users allow.
//!
//! One step of a place or transition at a time, until nothing more is possible; every life-cycle, the generated ones
//! included, is played by this code. Rules (Concerto's, with what it lacks): a transition begins when the imports that
//! it uses are served; a place is entered when a dock set is complete and its imports are served; a place is left
//! when no export that would become inactive is used, and until then those exports refuse new users.

use super::Agent;
use super::local::{Local, Mode, Purpose};
use crate::notice::Notice;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::message::Report;
use rhizo_types::net::{ImportUse, PlaceIx, TransitionIx};

impl Agent {
    /// Moves tokens upwards until nothing more is possible; whether anything moved.
    pub(super) fn play(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let kind = local.kind.clone();
        let net = &kind.net;
        let mut moved = false;
        while local.mode == Mode::Up && !local.suspended {
            let number = local.marking.number;
            let active = local.marking.active;
            let is_active = local.marking.next_behaviour(net);
            if active.is_some() && local.marking.active != active || !is_active {
                local.pushed = local.pushed.max(number);
            }
            if !is_active {
                self.arrive_up(instance, local, now, out);
                return moved;
            }
            if !self.move_tokens(instance, local, true, now, out) && !local.marking.is_behaviour_done(net) {
                return moved;
            }
            moved = true;
        }
        moved
    }

    /// One round of moves; whether anything moved. Downwards, what was lost is done without.
    pub(super) fn move_tokens(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        up: bool,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let kind = local.kind.clone();
        let net = &kind.net;
        let mut moved = false;
        for place in local.marking.exits(net) {
            if self.may_leave(instance, local, place) {
                local.marking.leave(net, place);
                local.refusing.clear();
                moved = true;
            }
        }
        for transition in local.marking.fired.clone() {
            if !up && lacks(local, |reach| reach.transitions.contains(&transition)) {
                self.do_without(instance, local);
            }
            if !up || self.may_begin(local, transition) {
                self.begin_run(local);
                local.marking.begin(transition);
                self.begin_action(instance, local, Purpose::Transition(transition), now, out);
                moved = true;
            }
            if matches!(local.mode, Mode::Clearing { .. }) {
                return true;
            }
        }
        let mut entries = local.marking.entries(net);
        if sabotage::is(Sabotage::EntersEarly) {
            entries = local.marking.arrived.iter().map(|way| (net.transition(*way).to, vec![*way])).collect();
        }
        for (place, docks) in entries {
            if !up && lacks(local, |reach| reach.places.contains(&place)) {
                self.do_without(instance, local);
            }
            if sabotage::is(Sabotage::LosesTokens) {
                local.marking.arrived.retain(|way| !docks.contains(way));
            } else if !up || self.may_enter(local, place) {
                local.marking.enter(place, &docks);
                moved = true;
            }
        }
        moved
    }

    /// On the way down something is needed that is not there: from here on it is lowered as if nobody could help.
    fn do_without(&mut self, instance: &InstanceId, local: &mut Local) {
        if local.mode == Mode::Draining {
            self.lose_users(instance, local);
            local.mode = Mode::Lowering;
        }
    }

    /// Whether a place may be left; if not, its exports refuse new users and the others are asked to let go.
    fn may_leave(&mut self, instance: &InstanceId, local: &mut Local, place: PlaceIx) -> bool {
        let kind = local.kind.clone();
        let mut free = true;
        for (export, group) in &kind.net.exports {
            let ends = local.marking.is_in(&kind.net, group)
                && !local.marking.is_in_without(&kind.net, group, Some(place));
            if ends && self.is_export_used(instance, export) {
                local.refusing.insert(export.clone());
                self.ask_users(instance, export);
                free = false;
            }
        }
        free || sabotage::is(Sabotage::LeavesUnderUsers)
    }

    fn may_begin(&self, local: &Local, transition: TransitionIx) -> bool {
        let never = local.failures > 0 && sabotage::is(Sabotage::NeverRetries);
        if !local.begun && (local.retry_at.is_some() || never) {
            return false;
        }
        let from = local.net().transition(transition).from;
        let mut used =
            local.net().imports.iter().filter(|(_, reach)| reach.transitions.contains(&transition));
        used.all(|(port, reach)| {
            // What was used where the token comes from is used on, also when its exporter has asked to leave.
            let goes_on = reach.places.contains(&from) && is_bound(local, port);
            goes_on || self.is_served(local, port)
        })
    }

    fn may_enter(&self, local: &Local, place: PlaceIx) -> bool {
        let used = local.net().imports.iter().filter(|(_, reach)| reach.places.contains(&place));
        let mut ports = used.map(|(port, _)| port);
        // A token that is there already stays, whatever is missing; a new one waits at its dock.
        ports.all(|port: &PortName| {
            local.is_using(port) || self.is_served(local, port) || carries(local, port)
        })
    }

    /// The first action of a run begins.
    fn begin_run(&mut self, local: &mut Local) {
        if local.begun {
            return;
        }
        local.attempt = if sabotage::is(Sabotage::ForgetsAttempts) { 1 } else { local.attempt + 1 };
        local.begun = true;
        local.actions_begun = 0;
        local.started_at = None;
        self.tell_all(local);
    }

    /// Every behaviour is done.
    fn arrive_up(&mut self, instance: &InstanceId, local: &mut Local, now: Time, out: &mut Out) {
        // A pushed behaviour that this version does not have counts as done.
        local.pushed = local.pushes.last().map_or(local.pushed, |push| push.number);
        if !local.was_up && local.is_up() && local.begun {
            local.was_up = true;
            local.started_at = Some(now);
            out.notice(Notice::InstanceStarted(instance.clone()));
        }
        if std::mem::take(&mut local.notify_due) && local.kind.net.notify.is_some() {
            if local.actions.values().any(|doing| doing.purpose == Purpose::Notify) {
                // Told again when the one that runs is done.
                local.notify_due = true;
            } else {
                self.begin_action(instance, local, Purpose::Notify, now, out);
            }
        }
    }

    /// The report's line about an instance.
    pub(super) fn describe(&mut self, instance: &InstanceId, local: &Local) {
        let report = super::report::describe(local, &self.uses);
        self.reporter.set(instance, Some(report));
    }

    /// This agent's report, as it would be sent now.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.reporter.latest()
    }
}

/// Whether nothing is left of a mandatory import that is used there.
fn lacks(local: &Local, is_used: impl Fn(&ImportUse) -> bool) -> bool {
    let mut used = local.net().imports.iter().filter(|(_, reach)| is_used(reach)).map(|(port, _)| port);
    used.any(|port| {
        local.component().imports.get(port).is_some_and(|import| !import.optional)
            && local.imports.get(port).is_some_and(|binding| binding.bound == 0)
    })
}

/// Whether the transition that just ended used the import, and so brings it along.
fn carries(local: &Local, port: &PortName) -> bool {
    let Some(reach) = local.net().imports.get(port) else { return false };
    !local.marking.arrived.is_disjoint(&reach.transitions) && is_bound(local, port)
}

fn is_bound(local: &Local, port: &PortName) -> bool {
    local.imports.get(port).is_some_and(|binding| binding.bound > 0)
}
