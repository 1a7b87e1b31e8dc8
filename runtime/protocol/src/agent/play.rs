//! The interpreter: moves the tokens of an instance as its life-cycle, its imports and its users allow.
//!
//! It carries out one place or transition at a time, until nothing more is possible; every life-cycle, the generated
//! ones included, is executed by this code. The rules are Concerto's, with additions: a transition begins when the
//! imports that it uses are served; a place is entered when a dock set is complete and the imports of the place are
//! served; a place is left when no export is in use that would become inactive, and until then those exports accept no
//! new users.

use super::local::{Exports, Local, Mode};
use super::run::{Progress, Purpose, Run};
use super::step::Step;
use crate::notice::Notice;
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::PortName;
use rhizo_types::net::{ImportUse, PlaceIx, TransitionIx};

/// Whether imports are waited for while tokens move.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Up: a transition or place waits until the imports that it uses are served.
    Up,
    /// Down: nothing waits for an import; one that is lost turns the descent into one without users.
    Down,
}

impl Step<'_> {
    /// Moves tokens up until nothing more is possible; returns whether anything moved.
    pub(super) fn play(&mut self) -> bool {
        let kind = self.local.kind.clone();
        let net = &kind.net;
        let mut moved = false;
        while self.local.mode == Mode::Up(Exports::Offered) {
            let (number, before) = (self.local.marking.number, self.local.marking.active);
            let is_active = self.local.marking.next_behaviour(net);
            if before.is_some() && self.local.marking.active != before || !is_active {
                self.local.pushed = self.local.pushed.max(number);
            }
            if !is_active {
                self.arrive_up();
                return moved;
            }
            if !self.move_tokens(Direction::Up) && !self.local.marking.is_behaviour_done(net) {
                return moved;
            }
            moved = true;
        }
        moved
    }

    /// Lets every token make at most one move; returns whether any did.
    pub(super) fn move_tokens(&mut self, direction: Direction) -> bool {
        let kind = self.local.kind.clone();
        let net = &kind.net;
        let up = direction == Direction::Up;
        let mut moved = false;
        for place in self.local.marking.exits(net) {
            if self.may_leave(place) {
                self.local.marking.leave(net, place);
                self.local.refusing.clear();
                moved = true;
            }
        }
        for transition in self.local.marking.fired.clone() {
            if !up && lacks_import(self.local, |reach| reach.transitions.contains(&transition)) {
                self.go_on_without_users();
            }
            if !up || self.may_begin(transition) {
                self.begin_run();
                self.local.marking.begin(transition);
                self.begin_action(Purpose::Transition(transition));
                moved = true;
            }
            if matches!(self.local.mode, Mode::Clearing { .. }) {
                return true;
            }
        }
        let mut entries = self.local.marking.entries(net);
        if sabotage::is(Sabotage::EntersEarly) {
            entries =
                self.local.marking.arrived.iter().map(|way| (net.transition(*way).to, vec![*way])).collect();
        }
        for (place, docks) in entries {
            if !up && lacks_import(self.local, |reach| reach.places.contains(&place)) {
                self.go_on_without_users();
            }
            if sabotage::is(Sabotage::LosesTokens) {
                self.local.marking.arrived.retain(|way| !docks.contains(way));
            } else if !up || self.may_enter(place) {
                self.local.marking.enter(place, &docks);
                moved = true;
            }
        }
        moved
    }

    /// The descent needs a mandatory import that is lost: the users get *Lost*, and the instance goes down at once.
    fn go_on_without_users(&mut self) {
        if let Mode::Draining(_) = self.local.mode {
            self.lose_users();
            self.local.mode = Mode::Lowering;
        }
    }

    /// Whether a place may be left. If not, its exports accept no new users, and the present ones are asked to release
    /// them.
    fn may_leave(&mut self, place: PlaceIx) -> bool {
        let kind = self.local.kind.clone();
        let mut free = true;
        for (export, group) in &kind.net.exports {
            let ends = self.local.marking.is_in(&kind.net, group)
                && !self.local.marking.is_in_without(&kind.net, group, Some(place));
            if ends && self.agent.users.is_export_used(self.instance, export) {
                self.local.refusing.insert(export.clone());
                self.ask_users(export);
                free = false;
            }
        }
        free || sabotage::is(Sabotage::LeavesUnderUsers)
    }

    fn may_begin(&self, transition: TransitionIx) -> bool {
        let failures = &self.local.failures;
        let never = failures.in_a_row > 0 && sabotage::is(Sabotage::NeverRetries);
        if self.local.run.is_none() && (failures.retry_at.is_some() || never) {
            return false;
        }
        let net = self.local.net();
        let from = net.transition(transition).from;
        let mut used = net.imports.iter().filter(|(_, reach)| reach.transitions.contains(&transition));
        used.all(|(port, reach)| {
            // An import that the place before uses stays in use, also when its exporter has asked to leave.
            let goes_on = reach.places.contains(&from) && self.local.is_bound(port);
            goes_on || self.is_served(port)
        })
    }

    fn may_enter(&self, place: PlaceIx) -> bool {
        let used = self.local.net().imports.iter().filter(|(_, reach)| reach.places.contains(&place));
        let mut ports = used.map(|(port, _)| port);
        // A token that is in the place already stays without the import; another one waits at its dock.
        ports.all(|port: &PortName| {
            self.local.is_using(port) || self.is_served(port) || carries(self.local, port)
        })
    }

    /// Begins a run, if its first action is about to begin.
    fn begin_run(&mut self) {
        if self.local.run.is_some() {
            return;
        }
        self.local.attempts =
            if sabotage::is(Sabotage::ForgetsAttempts) { 1 } else { self.local.attempts + 1 };
        self.local.run = Some(Run::new());
        self.bind_all();
    }

    /// Every behaviour is executed: the instance counts as started if it rests where that is so, and its program is
    /// notified of what changed meanwhile.
    fn arrive_up(&mut self) {
        // A pushed behaviour that this version does not have counts as executed.
        self.local.pushed = self.local.pushes.last().map_or(self.local.pushed, |push| push.number);
        let is_up = self.local.is_up();
        let can_notify = self.local.net().notify.is_some();
        let Some(run) = &mut self.local.run else { return };
        if is_up && run.progress == Progress::Starting {
            run.progress = Progress::Started { since: self.now };
            self.out.notice(Notice::InstanceStarted(self.instance.clone()));
        }
        let is_notifying = run.actions.values().any(|doing| doing.purpose == Purpose::Notify);
        if run.notify_due && !is_notifying {
            // While a notification runs, the next one waits for its end.
            run.notify_due = false;
            if can_notify {
                self.begin_action(Purpose::Notify);
            }
        }
    }
}

/// Whether a mandatory import that is used there has no exporter left.
fn lacks_import(local: &Local, is_used: impl Fn(&ImportUse) -> bool) -> bool {
    let mut used = local.net().imports.iter().filter(|(_, reach)| is_used(reach)).map(|(port, _)| port);
    used.any(|port| {
        local.component().imports.get(port).is_some_and(|import| !import.optional)
            && local.imports.get(port).is_some_and(|binding| binding.bound == 0)
    })
}

/// Whether the transition that just ended used the import, so that its token brings the use along.
fn carries(local: &Local, port: &PortName) -> bool {
    let Some(reach) = local.net().imports.get(port) else { return false };
    !local.marking.arrived.is_disjoint(&reach.transitions) && local.is_bound(port)
}
