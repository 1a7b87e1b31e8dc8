//! Downwards: settling, draining, lowering, and clearing after a failure.
//!
//! ```text
//! Up ─► Settling ─► Draining (pause | retire; a place is left when its exports are not used) ─► Up again, or gone
//! │  lost import │       │ lost import
//! ├──────────────┴───────┴─► Lowering (the same, at once) ─────────────────────────────────────────┤
//! │  failed, or halfway through a behaviour without users
//! └────────────────────────► Clearing (cancel actions, end the service, reset) ────────────────────┘
//! ```
//! An instance that is lowered or cleared has no users: they released its exports before, or got *Lost*. Draining place
//! by place is how instances that use each other stop: each leaves the places that need the other one, and still serves
//! it meanwhile.

use super::local::{Exports, Mode, Service};
use super::play::Direction;
use super::run::{Progress, Purpose};
use super::step::Step;
use crate::notice::Notice;
use rhizo_types::net::Marking;
use std::collections::BTreeSet;

/// The result of one look at an instance that goes down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Descent {
    /// Something changed; there may be more to do.
    Continues,
    /// An action has to end, or a user has to release an export.
    Waits,
    /// Nothing of the instance is left, and the target does not want it.
    Gone,
}

impl Step<'_> {
    /// Goes down as far as possible; returns whether nothing of the instance is left and the target does not want it.
    pub(super) fn descend(&mut self) -> bool {
        loop {
            let descent = match self.local.mode {
                Mode::Up(_) => Descent::Waits,
                Mode::Settling(exports) => self.settle(exports),
                Mode::Draining(_) | Mode::Lowering => self.lowered(),
                Mode::Clearing { next } => self.cleared(next),
            };
            match descent {
                Descent::Continues => {}
                Descent::Waits => return false,
                Descent::Gone => return true,
            }
        }
    }

    /// Comes to rest, so that `pause` or `retire` can begin.
    ///
    /// A transition that runs may still end: in a cycle of users each may wait for another one to come to rest. Once
    /// the instance has no users, its transitions are cancelled instead.
    fn settle(&mut self, exports: Exports) -> Descent {
        let kind = self.local.kind.clone();
        self.local.marking.cancel_unbegun(&kind.net);
        self.local.refusing.clear();
        for (place, docks) in self.local.marking.entries(&kind.net) {
            self.local.marking.enter(place, &docks);
        }
        if self.local.marking.is_at_rest() {
            self.local.marking.abort_behaviour(&kind.net);
            self.cancel_all();
            self.queue_descent();
            self.local.mode = Mode::Draining(exports);
            return Descent::Continues;
        }
        self.ask_all_users();
        if self.agent.users.is_used(self.instance) {
            return Descent::Waits;
        }
        self.clear();
        Descent::Continues
    }

    /// Executes the behaviours that lead down.
    fn lowered(&mut self) -> Descent {
        if self.local.actions().any(|(_, doing)| !matches!(doing.purpose, Purpose::Transition(_))) {
            // An action that belongs to no transition, such as a notification, ends first.
            return Descent::Waits;
        }
        let kind = self.local.kind.clone();
        if self.local.marking.next_behaviour(&kind.net) {
            let moved = self.move_tokens(Direction::Down);
            let goes_on = moved || self.local.marking.is_behaviour_done(&kind.net);
            return if goes_on { Descent::Continues } else { Descent::Waits };
        }
        let is_draining = matches!(self.local.mode, Mode::Draining(_));
        if is_draining && !self.local.wanted && self.agent.users.is_used(self.instance) {
            // An export may be active in the place where the behaviours end.
            self.ask_all_users();
            return Descent::Waits;
        }
        self.arrive_down()
    }

    /// Ends the actions that run and the service, then executes the steps of `reset`.
    fn cleared(&mut self, next: usize) -> Descent {
        if self.local.is_acting() {
            return Descent::Waits;
        }
        let has_run = self.local.run.is_some();
        if has_run && self.local.service == Service::On {
            self.begin_action(Purpose::EndService);
        } else if has_run && next < self.local.kind.net.reset.len() {
            self.local.mode = Mode::Clearing { next: next + 1 };
            self.begin_action(Purpose::Reset(next));
        } else {
            self.local.marking = Marking::at(self.local.kind.net.initial);
            return self.end_run();
        }
        Descent::Continues
    }

    fn ask_all_users(&mut self) {
        let component = self.local.kind.component.clone();
        for export in component.exports.keys() {
            self.ask_users(export);
        }
    }

    fn queue_descent(&mut self) {
        let net = &self.local.kind.net;
        let list = if self.local.wanted { net.pause.clone() } else { net.retire.clone() };
        for behaviour in list {
            self.local.marking.push(behaviour, 0);
        }
    }

    /// The behaviours that lead down are executed.
    fn arrive_down(&mut self) -> Descent {
        let initial = BTreeSet::from([self.local.kind.net.initial]);
        if !self.local.wanted && self.local.marking.places != initial {
            // It was paused, and the target dropped it meanwhile; or a push left it where `retire` does not begin.
            let net = &self.local.kind.net;
            let rest = net.rest_after(&self.local.marking, &net.retire, "retire");
            if rest.is_ok_and(|rest| rest.places == initial) {
                self.queue_descent();
            } else {
                self.clear();
            }
            return Descent::Continues;
        }
        self.end_run()
    }

    /// Goes down at once, because a mandatory import is lost: the users get *Lost* and are not asked.
    pub(super) fn interrupt(&mut self) {
        self.lose_users();
        self.local.marking.abort_behaviour(&self.local.kind.net);
        self.local.refusing.clear();
        if self.local.marking.is_at_rest() {
            self.cancel_all();
            self.local.mode = Mode::Lowering;
            self.queue_descent();
        } else {
            self.clear();
        }
    }

    /// Ends every action, so that the instance can begin anew in its initial place.
    pub(super) fn clear(&mut self) {
        self.local.refusing.clear();
        self.cancel_all();
        self.local.mode = Mode::Clearing { next: 0 };
    }

    /// Ends the run. An instance that the target wants is deployed again.
    fn end_run(&mut self) -> Descent {
        let run = self.local.run.take();
        if run.is_some_and(|run| run.progress != Progress::Failed) {
            self.out.notice(Notice::InstanceStopped(self.instance.clone()));
        }
        if self.local.marking.places == BTreeSet::from([self.local.kind.net.initial]) {
            // The actions whose results these are will be executed again.
            self.local.outputs.clear();
        }
        self.local.mode = Mode::Up(Exports::Offered);
        self.local.marking.abort_behaviour(&self.local.kind.net);
        if self.local.wanted {
            self.local.queue_deploy();
        }
        self.release_unused();
        if self.local.wanted { Descent::Continues } else { Descent::Gone }
    }
}
