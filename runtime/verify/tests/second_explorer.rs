//! A second explorer: stateright visits the same model with its own search and its own fingerprints.
//!
//! Both must find the same number of states and of steps. Liveness is not compared, because stateright checks it on
//! acyclic paths only.
//! paths only.

use rhizo_types::spec::Pick;
use rhizo_verify::check;
use rhizo_verify::explore::Model as _;
use rhizo_verify::model::{Cluster, State};
use rhizo_verify::scenario::{Fault, Faults, Scenario, component, spec, wish};
use stateright::{Checker, Model, Property};
use std::sync::Mutex;

const STATES_MAX: u32 = 100_000;

struct Second(Mutex<Cluster>);

impl Second {
    fn successors(&self, state: &State) -> Vec<State> {
        let mut steps = Vec::new();
        self.0.lock().expect("no thread panicked").steps(state, &mut steps);
        steps.into_iter().map(|(_, next)| next).collect()
    }
}

impl Model for Second {
    type State = State;
    type Action = usize;

    fn init_states(&self) -> Vec<State> {
        vec![self.0.lock().expect("no thread panicked").initial()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<usize>) {
        actions.extend(0..self.successors(state).len());
    }

    fn next_state(&self, state: &State, action: usize) -> Option<State> {
        self.successors(state).into_iter().nth(action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // A property that always holds: without a property, stateright would not search.
        vec![Property::always("a state is a state", |_, _| true)]
    }
}

fn scenarios() -> Vec<Scenario> {
    let one = Pick::One;
    let two_tier = spec(&[("web", component(&[("db", false, one)])), ("db", component(&[]))]);
    let star = spec(&[
        ("hub", component(&[])),
        ("x", component(&[("hub", false, one)])),
        ("y", component(&[("hub", true, one)])),
    ]);
    let two = |hosts, kinds: &[Fault], wishes| Scenario {
        name: String::new(),
        specs: vec![two_tier.clone()],
        hosts,
        wishes,
        faults: Faults::new(u8::try_from(kinds.len()).unwrap_or(1), kinds),
    };
    let both = wish(&[("web", &[0]), ("db", &[1])]);
    vec![
        two(1, &[Fault::Exit], vec![wish(&[("web", &[0]), ("db", &[0])])]),
        two(2, &[Fault::Crash], vec![both.clone()]),
        two(2, &[Fault::Restart], vec![both.clone()]),
        two(2, &[], vec![both.clone(), wish(&[])]),
        two(2, &[], vec![both, wish(&[("web", &[0]), ("db", &[0])])]),
        Scenario {
            name: String::new(),
            specs: vec![star],
            hosts: 3,
            wishes: vec![wish(&[("hub", &[0]), ("x", &[1]), ("y", &[2])])],
            faults: Faults::new(1, &[Fault::StartFails]),
        },
    ]
}

#[test]
fn both_explorers_find_the_same_states_and_steps() {
    for scenario in scenarios() {
        let ours = check(&scenario, STATES_MAX);
        assert_eq!(ours.violation, None);
        assert!(ours.is_complete && ours.states > 20);
        let second = Second(Mutex::new(Cluster::new(scenario))).checker().spawn_bfs().join();
        assert_eq!(second.unique_state_count(), ours.states as usize);
        // Every step generates a state, and so does the beginning.
        assert_eq!(second.state_count(), ours.transitions as usize + 1);
    }
}
