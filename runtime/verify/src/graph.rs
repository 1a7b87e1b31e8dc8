//! The explored graph, and liveness on it: strongly connected components, weak fairness, *leads to*.
//!
//! `p` leads to `q` when every fair path from a state with mark `p` reaches a state with mark `q`. A fair path may
//! follow a cycle without end, unless some fair step is possible in all states of the cycle and never taken. Cycles
//! are therefore checked explicitly: a search that stops at known states would count each cycle as progress. The
//! graph is independent of the meaning of marks.

/// States by number, in the order of discovery, with the steps of each.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The marks of each state.
    marks: Vec<u64>,
    /// For each state, the state from which it was first reached and the position of that step there.
    origins: Vec<(u32, u16)>,
    /// For each explored state, the end of its steps in `targets`.
    ends: Vec<u32>,
    targets: Vec<u32>,
    /// The fairness class of each step plus one; zero for a step that may never be taken.
    classes: Vec<u16>,
}

/// A path on which a property fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counterexample {
    /// The state at which the path begins.
    pub from: u32,
    /// The positions of the steps from there to the last state or to the cycle.
    pub path: Vec<u16>,
    /// The positions of the steps of the final cycle; empty when no fair step is possible in the last state.
    pub cycle: Vec<u16>,
}

impl Graph {
    pub(crate) fn add_state(&mut self, marks: u64, origin: (u32, u16)) {
        self.marks.push(marks);
        self.origins.push(origin);
    }

    pub(crate) fn mark(&mut self, state: u32, marks: u64) {
        self.marks[state as usize] = marks;
    }

    pub(crate) fn add_step(&mut self, to: u32, class: Option<u16>) {
        self.targets.push(to);
        self.classes.push(class.map_or(0, |class| class + 1));
    }

    pub(crate) fn end_state(&mut self) {
        self.ends.push(self.transitions());
    }

    /// How many states were found.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.marks.len() as u32
    }

    /// Whether there is no state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// How many steps were found.
    #[must_use]
    pub fn transitions(&self) -> u32 {
        self.targets.len() as u32
    }

    /// The marks of a state.
    #[must_use]
    pub fn marks(&self, state: u32) -> u64 {
        self.marks[state as usize]
    }

    /// Returns the positions of the shortest path from the initial state to a state.
    #[must_use]
    pub fn path(&self, to: u32) -> Vec<u16> {
        let (mut path, mut at) = (Vec::new(), to);
        while at != 0 {
            let (from, position) = self.origins[at as usize];
            path.push(position);
            at = from;
        }
        path.reverse();
        path
    }

    fn steps(&self, state: u32) -> std::ops::Range<usize> {
        let state = state as usize;
        let begin = if state == 0 { 0 } else { self.ends[state - 1] as usize };
        begin..self.ends[state] as usize
    }

    /// The fair steps of a state: position, target, class.
    fn fair(&self, state: u32) -> impl Iterator<Item = (u16, u32, u16)> + '_ {
        let steps = (0_u16..).zip(self.steps(state));
        steps
            .filter(|(_, step)| self.classes[*step] != 0)
            .map(|(position, step)| (position, self.targets[step], self.classes[step]))
    }

    /// Whether no fair step is possible in a state.
    #[must_use]
    pub fn is_end(&self, state: u32) -> bool {
        self.fair(state).next().is_none()
    }

    /// Returns the first counterexample to "mark `when` leads to mark `then`".
    #[must_use]
    pub fn leads_to(&self, when: u64, then: u64) -> Option<Counterexample> {
        let hopeless = self.hopeless(then);
        let from =
            (0..self.len()).find(|state| self.marks(*state) & when != 0 && hopeless[*state as usize])?;
        Some(self.counterexample(from, then))
    }

    /// Returns for each state whether a fair path begins there that never reaches a state with the mark.
    fn hopeless(&self, then: u64) -> Vec<bool> {
        let mut hopeless = vec![false; self.marks.len()];
        // Components come successors first, so one pass decides each from those after it.
        for component in self.components(then) {
            if self.marks(component[0]) & then != 0 {
                continue;
            }
            let seeds: Vec<u32> = if self.is_fair_trap(&component) {
                component.clone()
            } else {
                let lost = |state: &&u32| {
                    self.marks(**state) & then == 0
                        && (self.is_end(**state)
                            || self.fair(**state).any(|(_, to, _)| hopeless[to as usize]))
                };
                component.iter().filter(lost).copied().collect()
            };
            if !seeds.is_empty() {
                // Inside a component without the mark, every state reaches every other.
                component.iter().for_each(|state| hopeless[*state as usize] = true);
            }
        }
        hopeless
    }

    /// Returns true if a fair path can stay in a component without end.
    fn is_fair_trap(&self, component: &[u32]) -> bool {
        let inside = |to: u32| component.binary_search(&to).is_ok();
        let mut stays: Vec<u16> = Vec::new();
        let mut always: Option<Vec<u16>> = None;
        for state in component {
            let possible: Vec<u16> = self.fair(*state).map(|(.., class)| class).collect();
            stays.extend(self.fair(*state).filter(|(_, to, _)| inside(*to)).map(|(.., class)| class));
            match &mut always {
                None => always = Some(possible),
                Some(always) => always.retain(|class| possible.contains(class)),
            }
        }
        !stays.is_empty() && always.unwrap_or_default().iter().all(|class| stays.contains(class))
    }

    /// The strongly connected components by fair steps among states without the mark (Tarjan 1972, without
    /// recursion); a marked state is a component of its own. Each is sorted.
    fn components(&self, then: u64) -> Vec<Vec<u32>> {
        const NONE: u32 = u32::MAX;
        let count = self.marks.len();
        let (mut index, mut low, mut on_stack) = (vec![NONE; count], vec![0_u32; count], vec![false; count]);
        let (mut components, mut stack, mut next) = (Vec::new(), Vec::new(), 0_u32);
        for root in 0..self.len() {
            let mut calls: Vec<(u32, Vec<u32>)> = Vec::new();
            if index[root as usize] == NONE {
                calls.push((root, self.within(root, then)));
            }
            while let Some((state, rest)) = calls.last_mut() {
                let at = *state as usize;
                if index[at] == NONE {
                    (index[at], low[at], on_stack[at]) = (next, next, true);
                    next += 1;
                    stack.push(*state);
                }
                if let Some(to) = rest.pop() {
                    if index[to as usize] == NONE {
                        let steps = self.within(to, then);
                        calls.push((to, steps));
                    } else if on_stack[to as usize] {
                        low[at] = low[at].min(index[to as usize]);
                    }
                    continue;
                }
                let done = *state;
                calls.pop();
                if let Some((caller, _)) = calls.last() {
                    low[*caller as usize] = low[*caller as usize].min(low[at]);
                }
                if low[at] == index[at] {
                    let begin = stack.iter().rposition(|other| *other == done).unwrap_or(0);
                    let mut component = stack.split_off(begin);
                    component.iter().for_each(|member| on_stack[*member as usize] = false);
                    component.sort_unstable();
                    components.push(component);
                }
            }
        }
        components
    }

    /// Returns the targets of a state's fair steps; none for a state with the mark.
    fn within(&self, state: u32, then: u64) -> Vec<u32> {
        if self.marks(state) & then != 0 {
            return Vec::new();
        }
        self.fair(state).map(|(_, to, _)| to).collect()
    }

    /// A path from a hopeless state to a dead end or once round a cycle, without the mark.
    fn counterexample(&self, from: u32, then: u64) -> Counterexample {
        let hopeless = self.hopeless(then);
        let (mut path, mut visited, mut at) = (Vec::new(), vec![from], from);
        loop {
            let steps: Vec<(u16, u32)> = self
                .fair(at)
                .filter(|(_, to, _)| hopeless[*to as usize])
                .map(|(position, to, _)| (position, to))
                .collect();
            if let Some((position, to)) = steps.iter().find(|(_, to)| !visited.contains(to)) {
                path.push(*position);
                visited.push(*to);
                at = *to;
                continue;
            }
            let Some((position, to)) = steps.first() else {
                return Counterexample { from, path, cycle: Vec::new() };
            };
            let begin = visited.iter().position(|state| state == to).unwrap_or(0);
            let mut cycle = path.split_off(begin);
            cycle.push(*position);
            return Counterexample { from, path, cycle };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: u64 = 2;
    const BEGIN: u64 = 1;

    type Steps<'a> = &'a [(u32, Option<u16>)];

    /// Builds a graph from (marks, steps) with steps (target, class).
    fn graph(states: &[(u64, Steps<'_>)]) -> Graph {
        let mut graph = Graph::default();
        for (marks, _) in states {
            graph.add_state(*marks, (0, 0));
        }
        for (_, steps) in states {
            steps.iter().for_each(|(to, class)| graph.add_step(*to, *class));
            graph.end_state();
        }
        graph
    }

    #[test]
    fn a_path_to_the_goal_is_no_counterexample() {
        let graph = graph(&[(BEGIN, &[(1, Some(0))]), (0, &[(2, Some(0))]), (GOAL, &[])]);
        assert_eq!(graph.leads_to(BEGIN, GOAL), None);
        assert_eq!(graph.leads_to(GOAL, BEGIN).map(|found| found.from), Some(2));
    }

    #[test]
    fn an_end_without_the_goal_is_one() {
        let graph = graph(&[(BEGIN, &[(1, Some(0)), (2, Some(1))]), (GOAL, &[]), (0, &[(1, None)])]);
        let found = graph.leads_to(BEGIN, GOAL);
        assert_eq!(found, Some(Counterexample { from: 0, path: vec![1], cycle: vec![] }));
    }

    #[test]
    fn a_cycle_that_a_fair_step_leaves_is_none() {
        // States 0 and 1 form a cycle by class 0. Class 1 is possible in both and leads to the goal.
        let leaves =
            graph(&[(BEGIN, &[(1, Some(0)), (2, Some(1))]), (0, &[(0, Some(0)), (2, Some(1))]), (GOAL, &[])]);
        assert_eq!(leaves.leads_to(BEGIN, GOAL), None);
        // Here the step out of the cycle is not possible in every state, so a fair path may follow the cycle without
        // end.
        let stays = graph(&[(BEGIN, &[(1, Some(0)), (2, Some(1))]), (0, &[(0, Some(0))]), (GOAL, &[])]);
        let found = stays.leads_to(BEGIN, GOAL).unwrap();
        assert_eq!((found.from, found.path.len(), found.cycle), (0, 0, vec![0, 0]));
    }

    #[test]
    fn steps_that_may_never_be_taken_do_not_help() {
        let graph = graph(&[(BEGIN, &[(1, None)]), (GOAL, &[])]);
        assert!(graph.leads_to(BEGIN, GOAL).is_some());
    }

    #[test]
    fn a_goal_inside_a_cycle_breaks_it() {
        let graph = graph(&[(BEGIN, &[(1, Some(0))]), (GOAL, &[(2, Some(0))]), (0, &[(0, Some(0))])]);
        assert_eq!(graph.leads_to(BEGIN, GOAL), None);
        assert_eq!(graph.leads_to(GOAL, BEGIN), None);
    }
}
