//! Actions: begun as effects, ended by events, cancelled, timed out and repeated.
//!
//! The shell executes them; this file decides when to give up, when to repeat and what follows. An action that was
//! cancelled is over when the shell reports that nothing of it runs any more; its result is ignored.

use super::Agent;
use super::local::{Local, Mode, Service};
use super::run::{ActionState, Doing, Purpose};
use super::step::Step;
use crate::event::{ActResult, Event};
use crate::ledger::Ledger;
use crate::notice::Notice;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use crate::turn::{ActCall, ActionId, Effect, RunId, StartCall};
use rhizo_types::Time;
use rhizo_types::id::PortName;
use rhizo_types::lifecycle::{Action, Retry, VALUE_BYTES_MAX, VALUES_MAX, Values};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A step of a reset that keeps failing is given up after these repetitions, so that a program which cannot be cleaned
/// up does not occupy its host without end.
const RESET: Retry = Retry { times: 2, wait_ms: 500, wait_ms_max: 2_000 };

/// The reason of a failure when the shell reports an end that was not ordered.
const ENDED_UNASKED: &str = "ended without being asked";

/// The addresses and values that an action puts out.
#[derive(Default)]
struct Results {
    exports: BTreeMap<PortName, SocketAddr>,
    values: Values,
}

impl Step<'_> {
    /// Begins an action of the run; `Action::Nothing` is done at once.
    pub(super) fn begin_action(&mut self, purpose: Purpose) {
        let deadline = purpose.timeout_ms(self.local.net()).map(|ms| self.now.after_ms(ms));
        let state = ActionState::Running { deadline };
        let Some(run) = &mut self.local.run else { return };
        let number = run.add(Doing { purpose, failures: 0, state });
        self.execute(number, purpose);
    }

    /// Hands an action to the shell.
    fn execute(&mut self, number: u32, purpose: Purpose) {
        let run = self.local.run_id(self.instance);
        let kind = self.local.kind.clone();
        match purpose.action(&kind.net) {
            Action::Nothing => self.done(number, Results::default()),
            Action::Stop if self.local.service == Service::Off => self.done(number, Results::default()),
            Action::Stop => {
                if let Some(doing) = self.local.doing_mut(number) {
                    // The shell waits as long as the component's `stop` says, and then kills.
                    doing.state = ActionState::Running { deadline: None };
                }
                self.out.effect(Effect::Stop { run });
            }
            Action::Start => {
                self.local.service = Service::On;
                self.out.effect(Effect::Start(Box::new(StartCall {
                    run,
                    component: kind.component.clone(),
                    version: self.local.placed.version,
                    imports: self.local.bound_imports.clone(),
                    values: self.local.outputs.values.clone(),
                    data: self.data(),
                })));
            }
            action => self.out.effect(Effect::Act(Box::new(ActCall {
                id: ActionId { run, number },
                step: purpose.name(&kind.net),
                action: action.clone(),
                component: kind.component.clone(),
                version: self.local.placed.version,
                imports: self.local.bound_imports.clone(),
                values: self.local.outputs.values.clone(),
                data: self.data(),
            }))),
        }
    }

    /// Returns the generation that began the data of this instance on this node; none for an instance without state.
    fn data(&self) -> Option<rhizo_types::Generation> {
        let home = self.ledger.homes.get(self.instance);
        home.filter(|home| home.node == self.agent.me).map(|home| home.since)
    }

    /// Takes in the results of an action that succeeded.
    fn done(&mut self, number: u32, results: Results) {
        let Some(doing) = self.local.forget_action(number) else { return };
        self.local.outputs.add_addresses(results.exports);
        self.local.outputs.add_values(results.values);
        if *doing.purpose.action(self.local.net()) == Action::Stop {
            // The addresses stay: an export may be active in a place without the service, and users of it wait there.
            self.local.service = Service::Off;
        }
        if let Purpose::Transition(transition) = doing.purpose {
            self.local.marking.end(transition);
        }
    }

    /// An action failed, and nothing of it runs: it is repeated, or the instance has failed.
    fn action_failed(&mut self, number: u32, reason: String) {
        let kind = self.local.kind.clone();
        // A failure halfway through a reset counts, but only the steps of the reset are repeated then.
        let is_cleared = matches!(self.local.mode, Mode::Clearing { .. });
        let Some(doing) = self.local.doing_mut(number) else { return };
        doing.failures += 1;
        let (purpose, failures) = (doing.purpose, doing.failures);
        let declared = purpose.step(&kind.net).map_or(Retry::NONE, |step| step.retry);
        let retry = if purpose.is_reset() && declared.times < RESET.times { RESET } else { declared };
        let again = failures <= retry.times && (purpose.is_reset() || !is_cleared);
        if again {
            doing.state = ActionState::Repeating { at: self.now.after_ms(retry.wait_ms(failures)) };
        }
        let step = purpose.name(&kind.net);
        // Otherwise the failure of the instance follows, and its notice names the step.
        if again || purpose.is_reset() {
            let (instance, step, reason) = (self.instance.clone(), step.clone(), reason.clone());
            self.out.notice(Notice::ActionFailed { instance, step, reason, again });
        }
        if again {
            return;
        }
        if sabotage::is(Sabotage::FailedIsDone) {
            return self.done(number, Results::default());
        }
        self.local.forget_action(number);
        if !purpose.is_reset() {
            self.fail(Some(step), reason);
        }
    }

    /// Ends every action; one that waits to be repeated is over at once.
    pub(super) fn cancel_all(&mut self) {
        let numbers: Vec<u32> = self.local.actions().map(|(number, _)| number).collect();
        for number in numbers {
            self.cancel(number, None);
        }
    }

    /// Ends an action: because it took too long, with the failure that this is, or because everything is ended.
    fn cancel(&mut self, number: u32, timed_out: Option<String>) {
        let kind = self.local.kind.clone();
        let Some(doing) = self.local.doing_mut(number) else { return };
        let purpose = doing.purpose;
        let state = std::mem::replace(&mut doing.state, ActionState::Cancelled { timed_out });
        match state {
            ActionState::Repeating { .. } => {
                self.local.forget_action(number);
                return;
            }
            // It is being ended already. Only the reason changes: when everything is ended, a time-out is no failure.
            ActionState::Cancelled { .. } => return,
            ActionState::Running { .. } => {}
        }
        let run = self.local.run_id(self.instance);
        match purpose.action(&kind.net) {
            Action::Stop => {}
            Action::Start => self.out.effect(Effect::Stop { run }),
            _ => {
                if sabotage::is(Sabotage::CancelsTwice) {
                    self.out.effect(Effect::Cancel { action: ActionId { run: run.clone(), number } });
                }
                self.out.effect(Effect::Cancel { action: ActionId { run, number } });
            }
        }
    }

    /// Does what is due: ends waits, cancels actions that take too long, and repeats those that failed.
    pub(super) fn fire_timers(&mut self) {
        let failures = &mut self.local.failures;
        failures.retry_at = failures.retry_at.filter(|at| *at > self.now);
        let due = self.local.actions().filter(|(_, doing)| doing.due_at().is_some_and(|at| at <= self.now));
        let due: Vec<u32> = due.map(|(number, _)| number).collect();
        for number in due {
            let Some(doing) = self.local.doing(number) else { continue };
            let purpose = doing.purpose;
            let timeout_ms = purpose.timeout_ms(self.local.net());
            if let ActionState::Running { .. } = doing.state {
                self.cancel(number, Some(format!("not done within {} ms", timeout_ms.unwrap_or(0))));
            } else if let Some(run) = &mut self.local.run
                && let Some(doing) = run.forget(number)
            {
                // A repetition has a number of its own, so that a late answer to the first one is recognised.
                let deadline = timeout_ms.map(|ms| self.now.after_ms(ms));
                let number = run.add(Doing { state: ActionState::Running { deadline }, ..doing });
                self.execute(number, purpose);
            }
        }
    }

    /// Takes in what the shell reports about the run in progress.
    fn report(&mut self, event: Event) {
        match event {
            Event::Started { exports, .. } => {
                self.service_started(Results { exports, values: Values::new() });
            }
            Event::NotReady { answer, .. } => self.service_not_ready(answer),
            Event::StartFailed { reason, .. } | Event::Exited { reason, .. } => self.service_ended(reason),
            Event::Stopped { .. } => self.service_ended(ENDED_UNASKED.to_owned()),
            Event::Unhealthy { reason, .. } => {
                let runs = self.local.mode.exports().is_some() && self.local.service == Service::On;
                if runs && action_of_service(self.local).is_none() {
                    if sabotage::is(Sabotage::RestartsWithoutStop) {
                        self.local.service = Service::Off;
                    }
                    self.fail(None, reason);
                }
            }
            Event::Acted { action, result } => self.acted(action.number, result),
            Event::Published { values, .. }
                if self.local.mode.exports().is_some() && fits(&self.local.outputs.values, &values) =>
            {
                self.local.outputs.add_values(values);
            }
            _ => {}
        }
    }

    /// Keeps the answer of the start check for the report. An answer that arrives after the start is dropped.
    fn service_not_ready(&mut self, answer: String) {
        let starts = action_of_service(self.local).and_then(|number| self.local.doing(number));
        let starts = starts.is_some_and(|doing| *doing.purpose.action(self.local.net()) == Action::Start);
        if let Some(run) = self.local.run.as_mut().filter(|_| starts) {
            run.not_ready = Some(super::failure::cut(answer));
        }
    }

    /// The service works.
    fn service_started(&mut self, results: Results) {
        let Some(number) = action_of_service(self.local) else { return };
        let Some(doing) = self.local.doing(number) else { return };
        let starts = *doing.purpose.action(self.local.net()) == Action::Start;
        if starts && !matches!(doing.state, ActionState::Cancelled { .. }) {
            if let Some(run) = &mut self.local.run {
                run.not_ready = None;
            }
            self.done(number, results);
        }
    }

    /// Nothing of the service runs any more.
    fn service_ended(&mut self, reason: String) {
        if self.local.service == Service::Off {
            return;
        }
        let number = action_of_service(self.local);
        let Some((number, doing)) = number.and_then(|number| Some((number, self.local.doing(number)?)))
        else {
            self.local.service = Service::Off;
            return self.fail(None, reason);
        };
        if *doing.purpose.action(self.local.net()) == Action::Stop {
            return self.done(number, Results::default());
        }
        let state = doing.state.clone();
        self.local.service = Service::Off;
        match state {
            ActionState::Cancelled { timed_out: None } => {
                self.local.forget_action(number);
            }
            ActionState::Cancelled { timed_out: Some(late) } => {
                // The shell answers a cancelled start with what the start was waiting for: the failure has both.
                let has_detail = !reason.is_empty() && reason != ENDED_UNASKED;
                let reason = if has_detail { format!("{late}: {reason}") } else { late };
                self.action_failed(number, reason);
            }
            ActionState::Running { .. } | ActionState::Repeating { .. } => self.action_failed(number, reason),
        }
    }

    /// The shell reports the end of an action other than those of the service.
    fn acted(&mut self, number: u32, result: ActResult) {
        let Some(doing) = self.local.doing(number) else { return };
        if doing.purpose.is_of_service(self.local.net()) {
            return;
        }
        match (doing.state.clone(), result) {
            (ActionState::Repeating { .. }, _) => {}
            (ActionState::Cancelled { timed_out: None }, _) => {
                self.local.forget_action(number);
            }
            (ActionState::Cancelled { timed_out: Some(late) }, _) => self.action_failed(number, late),
            (ActionState::Running { .. }, ActResult::Done { exports, values }) => {
                if fits(&self.local.outputs.values, &values) {
                    self.done(number, Results { exports, values });
                } else {
                    let reason = format!(
                        "puts out more than {VALUES_MAX} values, or one of more than {VALUE_BYTES_MAX} bytes"
                    );
                    self.action_failed(number, reason);
                }
            }
            (ActionState::Running { .. }, ActResult::Failed { reason }) => self.action_failed(number, reason),
            (ActionState::Running { .. }, ActResult::Cancelled) => {
                self.action_failed(number, ENDED_UNASKED.to_owned());
            }
        }
    }
}

impl Agent {
    /// Takes in what the shell reports about a run; a report about an earlier run is ignored.
    pub(crate) fn action(&mut self, event: Event, now: Time, ledger: &Ledger, out: &mut Out) {
        let run = match &event {
            Event::Started { run, .. }
            | Event::NotReady { run, .. }
            | Event::StartFailed { run, .. }
            | Event::Exited { run, .. }
            | Event::Stopped { run }
            | Event::Unhealthy { run, .. }
            | Event::Published { run, .. }
            | Event::Acted { action: ActionId { run, .. }, .. } => run.clone(),
            _ => return,
        };
        let Some(mut local) = self.take_run(&run) else { return };
        let instance = run.instance;
        self.on(&instance, &mut local, ledger, now, out).report(event);
        self.instances.insert(instance.clone(), local);
        self.dirty.insert(instance);
    }

    /// Takes out the instance of a run, if that run is in progress.
    fn take_run(&mut self, run: &RunId) -> Option<Box<Local>> {
        let local = self.instances.get(&run.instance)?;
        let is_current = local.placed.generation == run.generation && local.attempts == run.attempt;
        if is_current && local.run.is_some() { self.instances.remove(&run.instance) } else { None }
    }
}

/// The number of the action that starts or stops the service, if there is one.
fn action_of_service(local: &Local) -> Option<u32> {
    local.actions().find(|(_, doing)| doing.purpose.is_of_service(local.net())).map(|(number, _)| number)
}

/// Whether values are few and short enough to travel with every binding.
fn fits(known: &Values, new: &Values) -> bool {
    let added = new.keys().filter(|name| !known.contains_key(*name)).count();
    known.len() + added <= VALUES_MAX && new.values().all(|value| value.len() <= VALUE_BYTES_MAX)
}
