//! Breadth-first exploration of a model: every reachable state, once, and the steps between them.
//!
//! States are known by their [`Fingerprint`] and forgotten once their steps were taken; what stays is the [`Graph`] and,
//! for every state, the step that led to it first. So the trace to a state is as short as possible. Nothing here
//! knows what a state is.

use crate::fingerprint::Fingerprint;
use crate::graph::Graph;
use crate::table::Table;
use std::collections::VecDeque;

/// Something with states and steps.
pub trait Model {
    /// One state.
    type State: Clone;
    /// One step; says what happened.
    type Step: Clone;

    /// Where everything begins.
    fn initial(&mut self) -> Self::State;

    /// What tells states apart.
    fn fingerprint(&self, state: &Self::State) -> Fingerprint;

    /// Every step that is possible in `state`, with where it leads; always in the same order.
    fn steps(&mut self, state: &Self::State, steps: &mut Vec<(Self::Step, Self::State)>);

    /// The fairness class of a step: a step whose class stays possible is taken one day. None: it may never be.
    fn fairness(&self, step: &Self::Step) -> Option<u16>;
}

/// What looks on: properties.
pub trait Watch<M: Model> {
    /// A state was reached for the first time. The result marks it, for liveness. An error stops the exploration.
    ///
    /// # Errors
    /// What the state breaks.
    fn state(&mut self, model: &mut M, state: &M::State) -> Result<u64, Breach>;

    /// A step was found. An error stops the exploration.
    ///
    /// # Errors
    /// What the step breaks.
    fn step(&mut self, model: &mut M, from: &M::State, step: &M::Step, to: &M::State) -> Result<(), Breach>;
}

/// A property that does not hold, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// The property's name.
    pub property: &'static str,
    /// What was seen.
    pub detail: String,
}

/// What an exploration found.
#[derive(Debug)]
pub struct Exploration {
    /// The states and steps.
    pub graph: Graph,
    /// The first state that broke something, or at which a step began that did, with that step's position.
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

/// Replays the steps to a state, and one step on from there if asked: the steps, each with where it led.
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

/// Follows steps by their positions, from the beginning; stops where there is no such step.
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
