//! Orders of hosts wait after orders that gave no working host, on whichever offers those were made.

use super::*;
use crate::event::AcquireResult;
use rhizo_types::intent::Outcome;

/// The start of the tests; the coordinator has been in office for long.
const BEGIN: Time = Time(10_000_000_000);

impl Stage {
    /// Commits a plan with one order for another copy of `web`.
    fn order_one(&mut self) -> IntentId {
        let parent = self.ledger.plan_revision();
        let verdict =
            Verdict { cause: Cause::SpecChanged, forced: true, worth: Worth::full(), reasons: Vec::new() };
        let plan = Plan {
            revision: parent.next(),
            parent,
            spec: self.ledger.spec_revision(),
            orders: vec![order()],
            placement: BTreeMap::from([(instance("web", 0), Slot::Order(0))]),
            avoid: BTreeSet::new(),
            verdict,
        };
        self.commit(Command::Plan(Box::new(plan)));
        let mut open = self.ledger.intents.values().filter(|intent| intent.state == IntentState::Open);
        open.next().expect("the intent of the order").id
    }

    /// Returns the intents for which a host is ordered at a time.
    fn ordered(&mut self, now: Time) -> Vec<IntentId> {
        let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
        let view = View { now, ..view(&self.ledger, &self.log, &self.observer, (&latencies, &since), now) };
        let mut out = Out::default();
        self.coordinator.hosts.advance(Time(0), view, &mut out);
        let turn = out.into_turn();
        let calls = turn.effects().filter_map(|effect| match effect {
            Effect::Acquire(call) => Some(call.intent),
            _ => None,
        });
        calls.collect()
    }

    /// The call of an intent has ended; commits its outcome.
    fn acquired(&mut self, intent: IntentId, result: AcquireResult, now: Time) {
        let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
        let view = View { now, ..view(&self.ledger, &self.log, &self.observer, (&latencies, &since), now) };
        self.coordinator.hosts.acquired(intent, result, view, &mut Out::default());
        self.commit_outcomes(now);
    }

    fn commit_outcomes(&mut self, now: Time) {
        let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
        let view = View { now, ..view(&self.ledger, &self.log, &self.observer, (&latencies, &since), now) };
        for command in self.coordinator.hosts.commands(view, &mut Out::default()) {
            self.commit(command);
        }
    }

    fn wait_ms(&self, now: Time) -> u64 {
        self.coordinator.hosts.pace.waits_until(now).map_or(0, |until| until.ms_since(now))
    }
}

#[test]
fn an_order_that_cannot_be_sent_delays_the_next_and_blames_no_offer() {
    let mut stage = Stage::new(&[("web", component(1, &[]))]);
    let first = stage.order_one();
    assert_eq!(stage.ordered(BEGIN), [first]);
    stage.acquired(first, AcquireResult::Local("no credentials".to_owned()), BEGIN);
    assert!(!stage.ledger.intents[&first].is_open(), "nothing was created");
    assert!(stage.coordinator.hosts.cooling(BEGIN).is_empty(), "no offer is at fault");
    let second = stage.order_one();
    assert_eq!(stage.ordered(BEGIN), [], "it waits");
    let wait_ms = stage.wait_ms(BEGIN);
    assert!(wait_ms > 0 && stage.coordinator.order_problem(BEGIN).is_some(), "the wait is told");
    assert_eq!(stage.ordered(BEGIN.after_ms(wait_ms)), [second]);
}

#[test]
fn waits_grow_while_no_host_joins_and_end_when_one_does() {
    let mut stage = Stage::new(&[("web", component(1, &[]))]);
    let (mut now, mut waits) = (BEGIN, Vec::new());
    for number in 0..3 {
        let intent = stage.order_one();
        assert_eq!(stage.ordered(now), [intent]);
        let host = BoundHost { host: HostId(format!("new-{number}")), address: None };
        stage.acquired(intent, AcquireResult::Bound(host), now);
        stage.ordered(now);
        now = now.after_ms(stage.ledger.timers().join_ms_max);
        stage.commit_outcomes(now);
        let state = stage.ledger.intents[&intent].state;
        assert_eq!(state, IntentState::Releasing, "it never joined");
        waits.push(stage.wait_ms(now));
        stage.commit(Command::Outcome { intent, outcome: Outcome::Released });
        now = now.after_ms(waits[waits.len() - 1]);
    }
    assert!(waits.is_sorted() && waits[0] < waits[2], "{waits:?}");

    let intent = stage.order_one();
    stage.ordered(now);
    stage.acquired(intent, AcquireResult::Local(String::new()), now);
    assert!(stage.wait_ms(now) > waits[2]);
    stage.ledger.members.insert(NodeId(99), Member { record: record(99, None), draining: false });
    let next = stage.order_one();
    assert_eq!(stage.ordered(now), [next], "a host has joined");
}
