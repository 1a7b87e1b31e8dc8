//! The model: hosts with the production agent, FIFO channels between them, the committed ledger, and faults.
//!
//! There is no clock: a wait ends by a step, and a failure is detected after any finite time. A broken link only
//! delays messages, because channels resend (the protocol's own tests check that), so no step models it. An agent
//! that restarts resets its channels, which is a step. The coordinator is the production function from ledger and
//! reports to the next command. It may run at any moment, so a change of coordinator needs no step. `host` has the
//! agents, `truth` the committed ledger, `facts` the derived facts of a host.

pub mod ending;
pub mod facts;
pub mod host;
pub mod invariant;
pub mod outcomes;
mod state;
pub mod step;
pub mod truth;

pub use state::{Item, Life, State};
pub use step::{Step, Taken};

use crate::explore::Model;
use crate::fingerprint::{Fingerprint, Shared};
use crate::scenario::{Fault, Scenario};
use crate::table::Table;
use ending::ActEnding;
use facts::Facts;
use host::{Happening, Host};
use outcomes::Outcomes;
use rhizo_protocol::Ledger;
use rhizo_types::message::AgentMessage;
use std::sync::Arc;
use truth::Known;

/// A scenario that can be explored.
#[derive(Debug)]
pub struct Cluster {
    scenario: Scenario,
    outcomes: Outcomes,
    decisions: Table,
    decided: Vec<Option<Known>>,
}

impl Cluster {
    /// A model of the scenario.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, outcomes: Outcomes::default(), decisions: Table::default(), decided: Vec::new() }
    }

    /// The modelled scenario.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Returns the facts of a host of a state.
    pub fn facts(&mut self, host: &Shared<Host>) -> Arc<Facts> {
        self.outcomes.facts(host)
    }

    /// Computes a ledger once for each key.
    fn decide(
        &mut self,
        key: Fingerprint,
        decide: impl FnOnce(&Scenario) -> Option<Ledger>,
    ) -> Option<Known> {
        if let Some(number) = self.decisions.get(key) {
            return self.decided[number as usize].clone();
        }
        let decided = decide(&self.scenario).map(Shared::new);
        self.decisions.insert(key, u32::try_from(self.decided.len()).unwrap_or(u32::MAX - 1));
        self.decided.push(decided.clone());
        decided
    }

    /// Returns the ledger after the coordinator's next command; none when it has none.
    pub fn coordination(&mut self, state: &State) -> Option<Known> {
        let mut key = state.truth.fingerprint().number(1);
        for host in state.hosts.iter().flatten() {
            key = key.then(self.outcomes.facts(host).report_fingerprint);
        }
        let reports = state
            .hosts
            .iter()
            .flatten()
            .map(|host| (host.me(), self.outcomes.facts(host).report.clone()))
            .collect();
        let truth = state.truth.clone();
        self.decide(key, |_| truth::coordinate(&truth, &reports))
    }

    /// Returns the ledger with a new plan after the loss of hosts; none when no new plan is needed.
    pub fn replanning(&mut self, state: &State) -> Option<Known> {
        let key = state.truth.fingerprint().number(2).number(u64::from(state.wishes));
        let (truth, wishes) = (state.truth.clone(), state.wishes);
        self.decide(key, |scenario| truth::plan_again(&truth, scenario, wishes))
    }

    fn wish(&mut self, state: &State) -> Option<Known> {
        let key = state.truth.fingerprint().number(3).number(u64::from(state.wishes));
        let (truth, wishes) = (state.truth.clone(), usize::from(state.wishes));
        self.decide(key, |scenario| truth::make(&truth, scenario, wishes))
    }

    fn burial(&mut self, state: &State, host: usize) -> Option<Known> {
        let node = state.hosts[host].as_ref()?.me();
        let key = state.truth.fingerprint().number(4).number(node.0);
        let truth = state.truth.clone();
        self.decide(key, |_| truth::declare_dead(&truth, node))
    }

    fn confirmation(&mut self, state: &State, host: usize) -> Option<Known> {
        let number = u8::try_from(host).ok()?;
        let key = state.truth.fingerprint().number(5).number(u64::from(number));
        let truth = state.truth.clone();
        self.decide(key, |_| truth::confirm(&truth, number))
    }

    fn may(&self, state: &State, fault: Fault) -> bool {
        state.faults < self.scenario.faults.max && self.scenario.faults.kinds.contains(&fault)
    }

    /// Applies an event to a running host and sends the resulting messages.
    fn happen(
        &mut self,
        state: &State,
        step: Step,
        host: usize,
        happening: &Happening,
        change: impl FnOnce(&mut State),
    ) -> Option<(Taken, State)> {
        let before = state.hosts[host].as_ref()?;
        let outcome = self.outcomes.of(before, happening);
        let mut after = state.clone();
        change(&mut after);
        after.hosts[host] = Some(outcome.host.clone());
        for (to, message) in &outcome.messages {
            if let Some(to) = state.host_of(*to) {
                after.queue(host, to).push_back(Item::Message(message.clone()));
            }
        }
        Some((Taken { step, outcome: Some(outcome) }, after))
    }

    fn decided(&mut self, state: &State, step: Step, truth: Option<Known>) -> Option<(Taken, State)> {
        let truth = truth?;
        let mut after = state.clone();
        let keep = self.scenario.faults.kinds.contains(&Fault::RestartBehind);
        after.commit(truth, keep);
        after.end_forgotten();
        Some((Taken { step, outcome: None }, after))
    }

    fn wish_steps(&mut self, state: &State, steps: &mut Vec<(Taken, State)>) {
        let wish = self.wish(state);
        if let Some((taken, mut after)) = self.decided(state, Step::Wish(state.wishes), wish) {
            let joins = self.scenario.wishes[usize::from(state.wishes)].joins;
            after.wishes += 1;
            after.join(joins);
            steps.push((taken, after));
        }
        let again = self.replanning(state);
        steps.extend(self.decided(state, Step::PlanAgain, again));
        let next = self.coordination(state);
        steps.extend(self.decided(state, Step::Coordinate, next));
    }

    fn host_steps(&mut self, state: &State, host: usize, steps: &mut Vec<(Taken, State)>) {
        let Some(known) = state.hosts[host].clone() else { return };
        if state.lives[host] == Life::Up {
            self.learning(state, host, &known, steps);
            for from in 0..state.hosts.len() {
                self.arrivals(state, from, host, &known, steps);
            }
        }
        if matches!(state.lives[host], Life::Up | Life::Isolated) {
            let endings: Vec<_> = known.endings().map(|(instance, e)| (instance.clone(), e)).collect();
            for (instance, ending) in endings {
                let cost = ending.is_failure();
                if cost && !ending.fault().is_some_and(|fault| self.may(state, fault)) {
                    continue;
                }
                let step = Step::End(host, instance.clone(), ending);
                let happening = Happening::End(instance, ending);
                steps.extend(
                    self.happen(state, step, host, &happening, |after| after.faults += u8::from(cost)),
                );
            }
            self.action_steps(state, host, &known, steps);
            if self.outcomes.facts(&known).waits {
                steps.extend(self.happen(state, Step::Wake(host), host, &Happening::Wake, |_| {}));
            }
        }
        self.fault_steps(state, host, &known, steps);
        self.end_steps(state, host, steps);
    }

    /// The steps in which actions other than services end or time out.
    fn action_steps(&mut self, state: &State, host: usize, known: &Host, steps: &mut Vec<(Taken, State)>) {
        let endings: Vec<_> = known.act_endings().map(|(action, ending)| (action.clone(), ending)).collect();
        for (action, ending) in endings {
            let cost = ending == ActEnding::Failed;
            if cost && !self.may(state, Fault::StartFails) {
                continue;
            }
            let step = Step::Act(host, action.clone(), ending);
            let happening = Happening::Act(action, ending);
            steps.extend(self.happen(state, step, host, &happening, |after| after.faults += u8::from(cost)));
        }
        if known.can_time_out() && self.may(state, Fault::TimesOut) {
            let late = |after: &mut State| after.faults += 1;
            steps.extend(self.happen(state, Step::TimeOut(host), host, &Happening::TimeOut, late));
        }
    }

    /// The steps in which the node learns the next committed entry, or all of them at once.
    fn learning(&mut self, state: &State, host: usize, known: &Host, steps: &mut Vec<(Taken, State)>) {
        let ahead = state.ahead_of(known);
        let mut next: Vec<(Step, Known)> = Vec::new();
        next.extend(ahead.first().map(|ledger| (Step::Learn(host), ledger.clone())));
        next.extend(ahead.iter().skip(1).last().map(|ledger| (Step::CatchUp(host), ledger.clone())));
        for (step, ledger) in next {
            if !ledger.members.contains_key(&known.me()) {
                let mut after = state.clone();
                after.end(host);
                steps.push((Taken { step: Step::Halt(host), outcome: None }, after));
                continue;
            }
            let keep = self.scenario.faults.kinds.contains(&Fault::RestartBehind);
            let happening = Happening::Learn(ledger.clone());
            let mut step =
                self.happen(state, step, host, &happening, |after| after.forget_former(host, &ledger));
            if let Some((_, after)) = &mut step {
                after.trim(keep);
            }
            steps.extend(step);
        }
    }

    fn arrivals(
        &mut self,
        state: &State,
        from: usize,
        to: usize,
        known: &Host,
        steps: &mut Vec<(Taken, State)>,
    ) {
        let Some(sender) = state.hosts[from].as_ref().map(|sender| sender.me()) else { return };
        // A frame from a node that is not a known member is dropped and resent later.
        let heard = known.ledger.members.contains_key(&sender) && state.lives[from] != Life::Isolated;
        let queue = &state.queues[state.way(from, to)];
        let reset = queue.iter().position(|item| *item == Item::Reset);
        if !heard {
            return;
        }
        // A message for an earlier agent of this node is dropped by the new agent.
        let stale = state.queues[state.way(to, from)].contains(&Item::Reset);
        if let (Some(Item::Message(message)), false) = (queue.front().cloned(), stale) {
            let step = Step::Deliver(from, to, Shared::<AgentMessage>::clone(&message));
            let happening = Happening::Message(sender, message);
            steps.extend(self.happen(state, step, to, &happening, |after| {
                after.queue(from, to).pop_front();
                after.meet(from, to);
            }));
        }
        let Some(at) = reset else { return };
        let step = Step::Reset(from, to);
        steps.extend(self.happen(state, step, to, &Happening::Reset(sender), |after| {
            after.queue(from, to).drain(..=at);
            after.queue(to, from).retain(|item| *item == Item::Reset);
            after.meet(from, to);
        }));
        if !state.has_met(to, from) {
            // This agent may never have received anything from the former one; then it has nothing to forget.
            let mut after = state.clone();
            after.queue(from, to).drain(..=at);
            after.meet(from, to);
            steps.push((Taken { step: Step::Greet(from, to), outcome: None }, after));
        }
    }

    fn fault_steps(
        &mut self,
        state: &State,
        host: usize,
        known: &Shared<Host>,
        steps: &mut Vec<(Taken, State)>,
    ) {
        if state.lives[host] != Life::Up {
            return;
        }
        let mut restarts: Vec<(Step, Known)> = Vec::new();
        if self.may(state, Fault::Restart) {
            restarts.push((Step::Restart(host), known.ledger.clone()));
        }
        if self.may(state, Fault::RestartBehind)
            && let Some(oldest) = state.oldest_for(known).filter(|oldest| *oldest != known.ledger)
        {
            restarts.push((Step::RestartBehind(host), oldest));
        }
        for (step, ledger) in restarts {
            steps.extend(self.happen(state, step, host, &Happening::Restart(ledger), |after| {
                after.faults += 1;
                after.reset_channels(host);
            }));
        }
        for (fault, life, step) in [
            (Fault::Crash, Life::Silent, Step::Crash(host)),
            (Fault::Isolation, Life::Isolated, Step::Isolate(host)),
        ] {
            if self.may(state, fault) {
                let mut after = state.clone();
                after.faults += 1;
                after.lives[host] = life;
                if life == Life::Silent {
                    after.hosts[host] = Some(Shared::new(known.without_runs()));
                    after.end_forgotten();
                }
                steps.push((Taken { step, outcome: None }, after));
            }
        }
    }

    /// The steps in which a lost host is detected, and a partitioned one learns that it was committed dead.
    fn end_steps(&mut self, state: &State, host: usize, steps: &mut Vec<(Taken, State)>) {
        if state.lives[host] == Life::Gone && self.scenario.needs_confirmation() {
            let confirmed = self.confirmation(state, host);
            steps.extend(self.decided(state, Step::Confirm(host), confirmed));
        }
        if !matches!(state.lives[host], Life::Silent | Life::Isolated) {
            return;
        }
        if let Some(truth) = self.burial(state, host) {
            steps.extend(self.decided(state, Step::DeclareDead(host), Some(truth)));
        } else if state.lives[host] == Life::Isolated {
            let mut after = state.clone();
            after.end(host);
            steps.push((Taken { step: Step::Halt(host), outcome: None }, after));
        }
    }
}

impl Model for Cluster {
    type State = State;
    type Step = Taken;

    fn initial(&mut self) -> State {
        State::begin(&self.scenario)
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        state.fingerprint()
    }

    fn steps(&mut self, state: &State, steps: &mut Vec<(Taken, State)>) {
        self.wish_steps(state, steps);
        for host in 0..state.hosts.len() {
            self.host_steps(state, host, steps);
        }
    }

    fn fairness(&self, taken: &Taken) -> Option<u16> {
        taken.step.fairness()
    }
}
