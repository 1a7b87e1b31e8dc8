//! Actions: begun as effects, ended by events, cancelled, timed out and repeated.
//!
//! The shell executes; when to give up, when to repeat and what follows is decided here. An action that was cancelled
//! is over when the shell says that nothing of it runs any more, whatever came of it.

use super::Agent;
use super::local::{Doing, Local, Mode, Purpose, Service};
use crate::event::{ActResult, Event};
use crate::ledger::Ledger;
use crate::notice::Notice;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use crate::turn::{ActCall, ActionId, Effect, RunId, StartCall};
use rhizo_types::Time;
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::ledger::Timers;
use rhizo_types::lifecycle::{Action, Retry, Step, VALUE_BYTES_MAX, VALUES_MAX, Values};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A reset step that keeps failing is given up after so many repetitions: what is broken for good must not hold its
/// host for ever.
const RESET: Retry = Retry { times: 2, wait_ms: 500, wait_ms_max: 2_000 };

/// What an action puts out.
#[derive(Default)]
struct Outputs {
    exports: BTreeMap<PortName, SocketAddr>,
    values: Values,
}

/// The reason of a service that stopped although no stop was ordered.
const UNASKED: &str = "ended without being asked";

impl Agent {
    /// Begins an action; one that is nothing is done at once.
    pub(super) fn begin_action(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        purpose: Purpose,
        now: Time,
        out: &mut Out,
    ) {
        local.actions_begun += 1;
        let number = local.actions_begun;
        let step = step_of(local, purpose);
        let deadline = step.timeout_ms.map(|ms| now.after_ms(ms));
        let doing = Doing { purpose, service: false, failed: 0, deadline, cancelled: None, again_at: None };
        local.actions.insert(number, doing);
        self.execute(instance, local, number, &step.action, out);
    }

    /// Hands an action to the shell.
    fn execute(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        number: u32,
        action: &Action,
        out: &mut Out,
    ) {
        let run = local.run(instance);
        let Some(doing) = local.actions.get_mut(&number) else { return };
        match action {
            Action::Nothing => self.done(local, number, Outputs::default()),
            Action::Stop if local.service == Service::Off => self.done(local, number, Outputs::default()),
            Action::Stop => {
                doing.service = true;
                // The shell has the patience that the component's `stop` says, and ends it by force.
                doing.deadline = None;
                out.effect(Effect::Stop { run });
            }
            Action::Start => {
                doing.service = true;
                local.service = Service::On;
                out.effect(Effect::Start(Box::new(StartCall {
                    run,
                    component: local.kind.component.clone(),
                    version: local.placed.version,
                    imports: local.bound_imports.clone(),
                    values: local.values.clone(),
                })));
            }
            action => out.effect(Effect::Act(Box::new(ActCall {
                id: ActionId { run, number },
                step: name_of(local, number),
                action: action.clone(),
                component: local.kind.component.clone(),
                version: local.placed.version,
                imports: local.bound_imports.clone(),
                values: local.values.clone(),
            }))),
        }
    }

    /// An action is done.
    fn done(&mut self, local: &mut Local, number: u32, outputs: Outputs) {
        let Some(doing) = local.forget_action(number) else { return };
        let known = |(port, address): (&PortName, &SocketAddr)| local.addresses.get(port) == Some(address);
        local.values_changed |= !outputs.exports.iter().all(known);
        local.addresses.extend(outputs.exports);
        take_values(local, outputs.values);
        if matches!(step_of(local, doing.purpose).action, Action::Stop) {
            // Addresses stay: an export may be active in a place without the service, and users wait for it there.
            local.service = Service::Off;
        }
        if let Purpose::Transition(transition) = doing.purpose {
            local.marking.end(transition);
        }
    }

    /// An action came to nothing, and nothing of it runs.
    #[expect(clippy::too_many_arguments, reason = "what happened, to whom, when, and where to say so")]
    fn action_failed(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        number: u32,
        reason: String,
        now: Time,
        timers: &Timers,
        out: &mut Out,
    ) {
        let step_name = name_of(local, number);
        let Some(doing) = local.actions.get_mut(&number) else { return };
        doing.failed += 1;
        let (purpose, failed) = (doing.purpose, doing.failed);
        let resets = matches!(purpose, Purpose::Reset(_) | Purpose::EndService);
        let step = step_of(local, purpose);
        let retry = if resets && step.retry.times < RESET.times { RESET } else { step.retry };
        let again = failed <= retry.times && (resets || !matches!(local.mode, Mode::Clearing { .. }));
        out.notice(Notice::ActionFailed {
            instance: instance.clone(),
            step: step_name,
            reason: reason.clone(),
            again,
        });
        if again {
            if let Some(doing) = local.actions.get_mut(&number) {
                doing.again_at = Some(now.after_ms(retry.wait_ms(failed)));
                doing.cancelled = None;
                doing.deadline = None;
            }
        } else if sabotage::is(Sabotage::FailedIsDone) {
            self.done(local, number, Outputs::default());
        } else {
            local.forget_action(number);
            if !resets {
                self.fail(instance, local, reason, now, timers, out);
            }
        }
    }

    /// Ends everything that runs; what only waits to be repeated is over at once.
    pub(super) fn cancel_all(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        let numbers: Vec<u32> = local.actions.keys().copied().collect();
        for number in numbers {
            self.cancel(instance, local, number, None, out);
        }
    }

    fn cancel(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        number: u32,
        because: Option<String>,
        out: &mut Out,
    ) {
        let run = local.run(instance);
        let Some(doing) = local.actions.get_mut(&number) else { return };
        if doing.again_at.is_some() {
            local.forget_action(number);
            return;
        }
        if doing.cancelled.is_some() {
            // Only the reason may change: what is over because everything is ended is no failure.
            doing.cancelled = Some(because);
            return;
        }
        doing.cancelled = Some(because);
        if !doing.service {
            if sabotage::is(Sabotage::CancelsTwice) {
                out.effect(Effect::Cancel { action: ActionId { run: run.clone(), number } });
            }
            out.effect(Effect::Cancel { action: ActionId { run, number } });
        } else if !matches!(step_of(local, local.actions[&number].purpose).action, Action::Stop) {
            out.effect(Effect::Stop { run });
        }
    }

    /// What is due: waits that are over, time-outs, repetitions.
    pub(super) fn step_timers(&mut self, instance: &InstanceId, local: &mut Local, now: Time, out: &mut Out) {
        if local.retry_at.is_some_and(|at| at <= now) {
            local.retry_at = None;
        }
        let numbers: Vec<u32> = local.actions.keys().copied().collect();
        for number in numbers {
            let Some(doing) = local.actions.get_mut(&number) else { continue };
            if doing.again_at.is_some_and(|at| at <= now) {
                doing.again_at = None;
                let step = step_of(local, local.actions[&number].purpose);
                if let Some(doing) = local.forget_action(number) {
                    // A repetition is an action of its own, so that a late answer is known as such.
                    local.actions_begun += 1;
                    let deadline = step.timeout_ms.map(|ms| now.after_ms(ms));
                    local.actions.insert(local.actions_begun, Doing { deadline, ..doing });
                    self.execute(instance, local, local.actions_begun, &step.action, out);
                }
            } else if doing.deadline.is_some_and(|at| at <= now) && doing.cancelled.is_none() {
                let reason = format!("not done within {} ms", timeout_ms(local, number));
                self.cancel(instance, local, number, Some(reason), out);
            }
        }
    }

    /// Takes in what came of an action.
    pub(crate) fn action(&mut self, event: Event, now: Time, ledger: &Ledger, out: &mut Out) {
        let timers = ledger.timers();
        let run = match &event {
            Event::Started { run, .. }
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
        match event {
            Event::Started { exports, .. } => {
                let outputs = Outputs { exports, values: Values::new() };
                self.service_started(&mut local, outputs);
            }
            Event::StartFailed { reason, .. } | Event::Exited { reason, .. } => {
                self.service_ended(&instance, &mut local, reason, now, &timers, out);
            }
            Event::Stopped { .. } => {
                self.service_ended(&instance, &mut local, UNASKED.to_owned(), now, &timers, out);
            }
            Event::Unhealthy { reason, .. } => {
                let up = matches!(local.mode, Mode::Up | Mode::Draining) && local.service == Service::On;
                let starts = doing_service(&local).is_some();
                if up && !starts {
                    if sabotage::is(Sabotage::RestartsWithoutStop) {
                        local.service = Service::Off;
                    }
                    self.fail(&instance, &mut local, reason, now, &timers, out);
                }
            }
            Event::Acted { action, result } => {
                self.acted(&instance, &mut local, action.number, result, now, &timers, out);
            }
            Event::Published { values, .. }
                if matches!(local.mode, Mode::Up | Mode::Draining) && fits(&local.values, &values) =>
            {
                take_values(&mut local, values);
            }
            _ => {}
        }
        self.instances.insert(instance.clone(), local);
        self.dirty.insert(instance);
    }

    /// The instance of a run that is going on.
    fn take_run(&mut self, run: &RunId) -> Option<Box<Local>> {
        let local = self.instances.get(&run.instance)?;
        let current =
            local.placed.generation == run.generation && local.attempt == run.attempt && local.begun;
        if current { self.instances.remove(&run.instance) } else { None }
    }

    fn service_started(&mut self, local: &mut Local, outputs: Outputs) {
        let starts = doing_service(local).filter(|number| {
            let doing = &local.actions[number];
            doing.cancelled.is_none() && matches!(step_of(local, doing.purpose).action, Action::Start)
        });
        if let Some(number) = starts {
            self.done(local, number, outputs);
        }
    }

    /// Nothing of the service runs any more.
    fn service_ended(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        reason: String,
        now: Time,
        timers: &Timers,
        out: &mut Out,
    ) {
        if local.service == Service::Off {
            return;
        }
        let Some(number) = doing_service(local) else {
            local.service = Service::Off;
            return self.fail(instance, local, reason, now, timers, out);
        };
        let doing = &local.actions[&number];
        let stops = matches!(step_of(local, doing.purpose).action, Action::Stop);
        let cancelled = doing.cancelled.clone();
        if stops {
            return self.done(local, number, Outputs::default());
        }
        local.service = Service::Off;
        match cancelled {
            None => self.action_failed(instance, local, number, reason, now, timers, out),
            Some(Some(late)) => {
                // A start that was cancelled by its time-out is reported as failed, with what it was waiting for.
                let is_told = !reason.is_empty() && reason != UNASKED;
                let reason = if is_told { format!("{late}: {reason}") } else { late };
                self.action_failed(instance, local, number, reason, now, timers, out);
            }
            Some(None) => {
                local.forget_action(number);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what happened, to whom, when, and where to say so")]
    fn acted(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        number: u32,
        result: ActResult,
        now: Time,
        timers: &Timers,
        out: &mut Out,
    ) {
        let Some(doing) =
            local.actions.get(&number).filter(|doing| !doing.service && doing.again_at.is_none())
        else {
            return;
        };
        match (doing.cancelled.clone(), result) {
            (Some(None), _) => {
                local.forget_action(number);
            }
            (Some(Some(late)), _) => self.action_failed(instance, local, number, late, now, timers, out),
            (None, ActResult::Done { exports, values }) => {
                if fits(&local.values, &values) {
                    self.done(local, number, Outputs { exports, values });
                } else {
                    let reason = format!(
                        "puts out more than {VALUES_MAX} values, or one of more than {VALUE_BYTES_MAX} bytes"
                    );
                    self.action_failed(instance, local, number, reason, now, timers, out);
                }
            }
            (None, ActResult::Failed { reason }) => {
                self.action_failed(instance, local, number, reason, now, timers, out);
            }
            (None, ActResult::Cancelled) => {
                let reason = "ended without being asked".to_owned();
                self.action_failed(instance, local, number, reason, now, timers, out);
            }
        }
    }
}

/// The action whose answers are those of the service, if one is under way.
fn doing_service(local: &Local) -> Option<u32> {
    local.actions.iter().find(|(_, doing)| doing.service).map(|(number, _)| *number)
}

/// What is done for a purpose.
fn step_of(local: &Local, purpose: Purpose) -> Step {
    let net = &local.kind.net;
    let step = match purpose {
        Purpose::Transition(transition) => Some(&net.transition(transition).step),
        Purpose::EndService => None,
        Purpose::Reset(position) => net.reset.get(position),
        Purpose::Notify => net.notify.as_ref(),
    };
    step.cloned().unwrap_or_else(|| Step::plain(Action::Stop))
}

fn name_of(local: &Local, number: u32) -> String {
    match local.actions.get(&number).map(|doing| doing.purpose) {
        Some(Purpose::Transition(transition)) => local.kind.net.transition(transition).name.to_string(),
        Some(Purpose::EndService | Purpose::Reset(_)) | None => "reset".to_owned(),
        Some(Purpose::Notify) => "notify".to_owned(),
    }
}

fn timeout_ms(local: &Local, number: u32) -> u64 {
    let purpose = local.actions.get(&number).map(|doing| doing.purpose);
    purpose.and_then(|purpose| step_of(local, purpose).timeout_ms).unwrap_or(0)
}

/// Adds values that were put out; only what differs is told to the users.
fn take_values(local: &mut Local, values: Values) {
    local.values_changed |= differs(&local.values, &values);
    local.values.extend(values);
}

/// Whether something of `new` is not known yet, or known otherwise.
fn differs<K: Ord, V: PartialEq>(known: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> bool {
    new.iter().any(|(key, value)| known.get(key) != Some(value))
}

/// Whether values are few and short enough to travel with every binding.
fn fits(known: &Values, new: &Values) -> bool {
    let added = new.keys().filter(|name| !known.contains_key(*name)).count();
    known.len() + added <= VALUES_MAX && new.values().all(|value| value.len() <= VALUE_BYTES_MAX)
}
