//! The end of a temporary restriction of a solver run causes another run, without any event.

use super::*;
use crate::event::{Event, SolveOutcome};
use crate::request::{SolveId, SolveRequest};
use crate::turn::Effect;

/// The start of the tests; every member has settled by then unless a test says otherwise.
const BEGIN: Time = Time(10_000_000_000_000);
/// Longer than `optimise.every`, so that a voluntary run is not delayed by the pace of voluntary runs.
const PACE_MS: u64 = 3_600_000;

impl Stage {
    fn at_rest() -> Self {
        let mut stage = shop();
        stage.plan(&[("db", 0, 4), ("web", 0, 3)]);
        stage.run();
        stage
    }

    /// Advances the control at a time. A run that begins ends at once without a better configuration.
    fn look(&mut self, now: Time, since: &Since) -> Option<SolveRequest> {
        let latencies = BTreeMap::new();
        let view = View { now, ..view(&self.ledger, &self.log, &self.observer, (&latencies, since), now) };
        let mut out = Out::default();
        self.coordinator.advance_control(view, &mut out);
        let asked = out.into_turn().effects().find_map(|effect| match effect {
            Effect::Solve(request) => Some((**request).clone()),
            _ => None,
        });
        let id = SolveId(self.coordinator.control.runs());
        let outcome = SolveOutcome::NothingBetter { utility: None, reason: String::new() };
        self.coordinator.handle(Event::Solved { id, outcome }, view, &mut Out::default());
        asked
    }

    fn change_spec(&mut self, change: impl FnOnce(&mut Spec)) {
        let revision = self.ledger.spec_revision();
        change(&mut self.ledger.specs.get_mut(&revision).expect("a spec").spec);
    }

    fn deadline(&self, now: Time, since: &Since) -> Option<Time> {
        let latencies = BTreeMap::new();
        let view = View { now, ..view(&self.ledger, &self.log, &self.observer, (&latencies, since), now) };
        self.coordinator.control.deadline(&self.coordinator.hosts, view)
    }
}

fn settled() -> Since {
    (1..=5).map(|node| (NodeId(node), Time(0))).collect()
}

#[test]
fn the_end_of_an_offers_pause_causes_another_run() {
    let mut stage = Stage::at_rest();
    let since = settled();
    let offer = (ProviderName::from("lab"), OfferName::from("small"));
    let end = BEGIN.after_ms(2 * PACE_MS);
    stage.coordinator.hosts.cool(offer.clone(), end, "no capacity");
    let first = stage.look(BEGIN, &since).expect("a new coordinator starts a run");
    assert_eq!(first.cooling[&offer].reason, "no capacity");
    assert!(stage.look(BEGIN.after_ms(PACE_MS), &since).is_none(), "nothing has changed");
    // The next round of requests for offers comes earlier; afterwards only the pause is left.
    stage.coordinator.control.ask_offers(
        View {
            now: Time(end.0 - 1),
            ..view(&stage.ledger, &stage.log, &stage.observer, (&BTreeMap::new(), &since), stage.now)
        },
        &mut Out::default(),
    );
    assert_eq!(stage.deadline(Time(end.0 - 1), &since), Some(end), "the coordinator wakes for it");
    let second = stage.look(end, &since).expect("the offer can be ordered again");
    assert!(second.cooling.is_empty());
    assert!(stage.look(end.after_ms(PACE_MS), &since).is_none(), "once is enough");
}

#[test]
fn a_host_that_has_settled_causes_another_run() {
    let mut stage = Stage::at_rest();
    let settle_ms = 2 * PACE_MS;
    stage.change_spec(|spec| spec.optimise.settle_ms = settle_ms);
    let mut since = settled();
    since.insert(NodeId(4), BEGIN);
    let first = stage.look(BEGIN, &since).expect("a new coordinator starts a run");
    assert_eq!(first.terms.frozen, BTreeSet::from([Slot::Node(NodeId(4))]));
    let before = BEGIN.after_ms(settle_ms - 1);
    assert!(stage.look(before, &since).is_none());
    assert!(
        stage.look(BEGIN.after_ms(settle_ms), &since).expect("the host has settled").terms.frozen.is_empty()
    );
}

#[test]
fn a_release_that_leaves_room_in_the_budget_causes_another_run() {
    let mut stage = Stage::at_rest();
    let since = settled();
    let max_hourly = Number::from(9);
    stage.change_spec(|spec| {
        spec.budget = Some(rhizo_types::spec::Budget { currency: "EUR".to_owned(), max_hourly });
    });
    for intent in stage.ledger.intents.values_mut() {
        intent.order.price_micros_per_hour = 1;
    }
    stage.look(BEGIN, &since).expect("a new coordinator starts a run");
    assert!(stage.look(BEGIN.after_ms(PACE_MS), &since).is_none());
    stage.ledger.intents.get_mut(&IntentId(5)).expect("an intent").state = IntentState::Released;
    assert!(stage.look(BEGIN.after_ms(2 * PACE_MS), &since).is_some());
}

#[test]
fn a_problem_that_a_voluntary_run_finds_is_told_until_another_run_ends() {
    let mut stage = Stage::at_rest();
    let (latencies, since) = (BTreeMap::new(), settled());
    let view =
        View { now: BEGIN, ..view(&stage.ledger, &stage.log, &stage.observer, (&latencies, &since), BEGIN) };
    let coordinator = &mut stage.coordinator;
    coordinator.advance_control(view, &mut Out::default());
    let id = SolveId(coordinator.control.runs());
    let outcome = SolveOutcome::Infeasible { rules: Vec::new(), reasons: vec!["over budget".to_owned()] };
    coordinator.handle(Event::Solved { id, outcome }, view, &mut Out::default());
    let later = View { now: BEGIN.after_ms(PACE_MS), ..view };
    coordinator.advance_control(later, &mut Out::default());
    assert!(coordinator.problem().is_some_and(|problem| problem.ends_with("over budget")));
    coordinator.control.facts_changed();
    assert!(stage.look(BEGIN.after_ms(2 * PACE_MS), &since).is_some());
    assert!(stage.coordinator.problem().is_none());
}
