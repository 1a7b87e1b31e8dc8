//! Down: draining, pausing, retiring, and clearing after a failure.
//!
//! ```text
//! Up ─► Draining (pause | retire, a place is left when nobody uses its exports) ──► Up again, or gone
//! │         │ lost                              │ something half done and not used, failed
//! ├─lost──► Lowering (the same, at once) ───────┤
//! └─failed──────────────────────────────────────┴─► Clearing (cancel, end the service, reset) ──► Up again, or gone
//! ```
//! Nobody uses an export of an instance that is lowered or cleared: they let go before, or were told *Lost*. Draining
//! place by place is what lets instances that use each other stop: each leaves what it needs the other for, and is
//! still there for the other meanwhile.

use super::Agent;
use super::local::{Local, Mode, Purpose, Service};
use crate::ledger::Ledger;
use crate::notice::Notice;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;
use rhizo_types::id::InstanceId;
use rhizo_types::net::Marking;
use std::collections::BTreeSet;

impl Agent {
    /// Goes on downwards; true when nothing of the instance is left and it is not wanted.
    pub(super) fn descend(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        now: Time,
        out: &mut Out,
    ) -> bool {
        loop {
            let goes_on = match local.mode {
                Mode::Up => return false,
                Mode::Draining if !local.descends => self.begin_descent(instance, local, out),
                Mode::Draining | Mode::Lowering => match self.lowered(instance, local, now, out) {
                    Some(true) => return true,
                    Some(false) => true,
                    None => false,
                },
                Mode::Clearing { next } => match self.cleared(instance, local, next, now, out) {
                    Some(true) => return true,
                    Some(false) => true,
                    None => false,
                },
            };
            if !goes_on {
                return false;
            }
        }
    }

    /// Comes to rest, from where the behaviours lead down; whether anything follows now.
    ///
    /// What runs may still end: in a cycle of users, both may wait for the other to come to rest. Once nobody uses
    /// it, it is ended instead.
    fn begin_descent(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) -> bool {
        let kind = local.kind.clone();
        local.marking.cancel_unbegun(&kind.net);
        local.refusing.clear();
        for (place, docks) in local.marking.entries(&kind.net) {
            local.marking.enter(place, &docks);
        }
        if local.marking.is_at_rest() {
            local.marking.abort_behaviour(&kind.net);
            self.cancel_all(instance, local, out);
            self.queue_down(local);
            local.descends = true;
            if sabotage::is(Sabotage::StopsUnderUsers) {
                local.mode = Mode::Lowering;
            }
            return true;
        }
        self.ask_all(instance, local);
        if self.is_used(instance) && !sabotage::is(Sabotage::StopsUnderUsers) {
            return false;
        }
        self.clear(instance, local, out);
        true
    }

    /// Moves tokens down. None: something has to happen first; true: it is gone.
    fn lowered(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        now: Time,
        out: &mut Out,
    ) -> Option<bool> {
        if !local.actions.is_empty() && self.has_strangers(local) {
            // An action that does not belong to the behaviours, such as a notification, ends first.
            return None;
        }
        let kind = local.kind.clone();
        if local.marking.next_behaviour(&kind.net) {
            let moved = self.move_tokens(instance, local, false, now, out);
            return (moved || local.marking.is_behaviour_done(&kind.net)).then_some(false);
        }
        if local.mode == Mode::Draining && !local.wanted && self.is_used(instance) {
            // An export may be active where it rests in the end.
            self.ask_all(instance, local);
            return None;
        }
        Some(self.is_lowered(instance, local, out))
    }

    /// Ends what runs, then the steps of `reset`. None: something has to happen first; true: it is gone.
    fn cleared(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        next: usize,
        now: Time,
        out: &mut Out,
    ) -> Option<bool> {
        if !local.actions.is_empty() {
            return None;
        }
        if local.begun && local.service == Service::On {
            self.begin_action(instance, local, Purpose::EndService, now, out);
        } else if local.begun && next < local.kind.net.reset.len() {
            local.mode = Mode::Clearing { next: next + 1 };
            self.begin_action(instance, local, Purpose::Reset(next), now, out);
        } else {
            local.marking = Marking::at(local.kind.net.initial);
            return Some(self.end_run(instance, local, out));
        }
        Some(false)
    }

    fn ask_all(&mut self, instance: &InstanceId, local: &Local) {
        for export in local.kind.component.exports.keys() {
            self.ask_users(instance, export);
        }
    }

    fn has_strangers(&self, local: &Local) -> bool {
        local.actions.values().any(|doing| !matches!(doing.purpose, Purpose::Transition(_)))
    }

    /// Goes down at once: nobody uses it any more.
    fn lower(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        local.marking.abort_behaviour(&local.kind.clone().net);
        local.refusing.clear();
        local.suspended = false;
        if local.marking.is_at_rest() {
            self.cancel_all(instance, local, out);
            local.mode = Mode::Lowering;
            local.descends = true;
            self.queue_down(local);
        } else {
            self.clear(instance, local, out);
        }
    }

    fn queue_down(&mut self, local: &mut Local) {
        let net = &local.kind.net;
        let list = if local.wanted { net.pause.clone() } else { net.retire.clone() };
        for behaviour in list {
            local.marking.push(behaviour, 0);
        }
    }

    /// The behaviours that lower it are done; true when it is gone.
    fn is_lowered(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) -> bool {
        let initial = BTreeSet::from([local.kind.net.initial]);
        if !local.wanted && local.marking.places != initial {
            // It was to be paused, and is not wanted any more; or a push took it where `retire` does not begin.
            let net = &local.kind.net;
            let rest = net.rest_after(&local.marking, &net.retire, "retire");
            if rest.is_ok_and(|rest| rest.places == initial) {
                self.queue_down(local);
            } else {
                self.clear(instance, local, out);
            }
            return false;
        }
        self.end_run(instance, local, out)
    }

    /// Stops at once: the users are told, not asked.
    pub(super) fn interrupt(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        self.lose_users(instance, local);
        self.lower(instance, local, out);
    }

    /// Ends whatever runs, and begins anew from the initial place.
    pub(super) fn clear(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        local.suspended = false;
        local.refusing.clear();
        local.descends = false;
        self.cancel_all(instance, local, out);
        local.mode = Mode::Clearing { next: 0 };
    }

    /// A run is over; true when the instance is not wanted any more.
    fn end_run(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) -> bool {
        if local.begun && local.failure_told {
            local.failure_told = false;
        } else if local.begun {
            out.notice(Notice::InstanceStopped(instance.clone()));
        }
        local.begun = false;
        local.was_up = false;
        local.suspended = false;
        local.notify_due = false;
        if local.marking.places == BTreeSet::from([local.kind.net.initial]) {
            // Whatever else is left put these out, and will not do so again.
            local.addresses.clear();
            local.values.clear();
        }
        local.descends = false;
        local.mode = Mode::Up;
        local.marking.abort_behaviour(&local.kind.clone().net);
        if local.wanted {
            local.queue_deploy();
        }
        self.let_go_unused(local);
        if !local.wanted {
            local.mode = Mode::Draining;
        }
        !local.wanted
    }

    /// An instance that is gone stays gone, also for an agent that restarts with an older ledger: the target without
    /// it was made durable before anything of it was stopped.
    pub(super) fn retire(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger) {
        local.marking = Marking::at(local.kind.net.initial);
        self.let_go_unused(local);
        self.reporter.set(instance, None);
        // The target may have a newer generation of the same name here.
        let placed = ledger.target.instances.get(instance);
        if placed.is_some_and(|new| new.node == self.me && new.generation > local.placed.generation) {
            self.dirty.insert(instance.clone());
        }
    }
}
