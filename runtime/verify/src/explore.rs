//! Breadth-first exploration of a model: every reachable state, once, and the steps between them.
//!
//! A state is represented by its [`Fingerprint`] and dropped when its steps have been taken. The [`Graph`] is kept,
//! with the step that first led to each state, so the trace to a state is as short as possible. The search is
//! independent of the meaning of states.

use crate::fingerprint::Fingerprint;
use crate::graph::Graph;
use crate::table::Table;
use std::collections::VecDeque;

/// Something with states and steps.
pub trait Model {
    /// One state.
    type State: Clone;
    /// One step, as a trace shows it.
    type Step: Clone;

    /// Returns the initial state.
    fn initial(&mut self) -> Self::State;

    /// Returns the fingerprint by which states are distinguished.
    fn fingerprint(&self, state: &Self::State) -> Fingerprint;

    /// Appends every step that is possible in `state` with the state it leads to, always in the same order.
    fn steps(&mut self, state: &Self::State, steps: &mut Vec<(Self::Step, Self::State)>);

    /// Returns the fairness class of a step. If a step of a class stays possible, one of the class is eventually taken.
    /// A step without a class may never be taken.
    fn fairness(&self, step: &Self::Step) -> Option<u16>;
}

/// The properties that are checked during an exploration.
pub trait Watch<M: Model> {
    /// A state was reached for the first time. The result marks it, for liveness. An error stops the exploration.
    ///
    /// # Errors
    /// The property that the state violates.
    fn state(&mut self, model: &mut M, state: &M::State) -> Result<u64, Breach>;

    /// A step was found. An error stops the exploration.
    ///
    /// # Errors
    /// The property that the step violates.
    fn step(&mut self, model: &mut M, from: &M::State, step: &M::Step, to: &M::State) -> Result<(), Breach>;
}

/// A property that does not hold, and the violation in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// The property's name.
    pub property: &'static str,
    /// The violation in words.
    pub detail: String,
}

/// The result of an exploration.
#[derive(Debug)]
pub struct Exploration {
    /// The states and steps.
    pub graph: Graph,
    /// The first violation, with its state and, for a violation by a step, the position of the step in that state.
    pub breach: Option<(Breach, u32, Option<u16>)>,
    /// Whether every reachable state was visited.
    pub is_complete: bool,
}

/// Visits every reachable state, at most `states_max` of them.
pub fn explore<M: Model, W: Watch<M>>(model: &mut M, watch: &mut W, states_max: u32) -> Exploration {
    let mut seen = Table::default();
    let mut found = Exploration { graph: Graph::default(), breach: None, is_complete: true };
    let mut frontier = VecDeque::new();
    let first = model.initial();
    seen.insert(model.fingerprint(&first), 0);
    match watch.state(model, &first) {
        Ok(marks) => found.graph.add_state(marks, (0, 0)),
        Err(breach) => {
            found.graph.add_state(0, (0, 0));
            found.breach = Some((breach, 0, None));
            return found;
        }
    }
    frontier.push_back(first);
    let (mut steps, mut at) = (Vec::new(), 0_u32);
    while let Some(state) = frontier.pop_front() {
        steps.clear();
        model.steps(&state, &mut steps);
        for (position, (step, next)) in (0_u16..).zip(&steps) {
            if let Err(breach) = watch.step(model, &state, step, next) {
                found.breach = Some((breach, at, Some(position)));
                return found;
            }
            let fingerprint = model.fingerprint(next);
            let known = seen.get(fingerprint);
            let number = known.unwrap_or_else(|| {
                let number = found.graph.len();
                seen.insert(fingerprint, number);
                found.graph.add_state(0, (at, position));
                number
            });
            found.graph.add_step(number, model.fairness(step));
            if known.is_none() {
                match watch.state(model, next) {
                    Ok(marks) => found.graph.mark(number, marks),
                    Err(breach) => {
                        found.breach = Some((breach, number, None));
                        return found;
                    }
                }
                frontier.push_back(next.clone());
            }
        }
        found.graph.end_state();
        at += 1;
        if found.graph.len() > states_max {
            found.is_complete = false;
            return found;
        }
    }
    found
}

/// Takes the steps to a state, and `last` from there if given; returns each step with the state it led to.
pub fn replay<M: Model>(
    model: &mut M,
    graph: &Graph,
    to: u32,
    last: Option<u16>,
) -> Vec<(M::Step, M::State)> {
    let mut positions = graph.path(to);
    positions.extend(last);
    follow(model, &positions)
}

/// Takes steps by their positions from the initial state; stops at a position that does not exist.
pub fn follow<M: Model>(model: &mut M, positions: &[u16]) -> Vec<(M::Step, M::State)> {
    let mut state = model.initial();
    let (mut trace, mut steps) = (Vec::new(), Vec::new());
    for position in positions {
        steps.clear();
        model.steps(&state, &mut steps);
        let Some((step, next)) = steps.drain(..).nth(usize::from(*position)) else { return trace };
        state = next.clone();
        trace.push((step, next));
    }
    trace
}
