//! Exact engine for one component: branch and bound over the hosts that it uses.
//!
//! The engine accepts problems with a single component of interchangeable instances, at most one on a host, under any
//! rules and utilities. Those that the model represents (`model.rs`) tighten its bounds; the others are judged at the
//! leaves. The number of instances and, where the diameter matters, the two hosts that are farthest apart are fixed
//! first: a *root*. Under a root the diameter is exact, so what is left is nearly additive. Roots are searched by
//! falling bound until the next bound cannot exceed the best worth found, which is the proof. Read next: `model.rs`.

mod descent;
mod incumbent;
mod model;

use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::engine::memory::{PAIR, Sizes};
use crate::engine::symmetry::tells_instances_apart;
use crate::engine::{Aim, Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::objective::{Measure, Of};
use crate::problem::{Machine, Problem};
use crate::rule;
use crate::watch::Watch;
use descent::Descent;
use incumbent::Incumbent;
use model::{Model, Sized};

/// Branch and bound over the hosts of a single component.
pub(crate) struct SingleComponent;

impl Engine for SingleComponent {
    fn name(&self) -> EngineName {
        EngineName::SingleComponent
    }

    fn accepts(&self, problem: &Problem) -> bool {
        let [component] = &problem.components[..] else {
            return false;
        };
        component.is_exchangeable()
            && component.per_host_max == 1
            && problem.costs.iter().all(model::is_boundable)
            && !tells_instances_apart(problem)
    }

    fn is_asked_for(&self, aim: Aim, _problem: &Problem) -> bool {
        aim != Aim::Repair
    }

    /// The candidate hosts, with the round-trip times between all of them where the diameter matters.
    fn memory_bytes(&self, problem: &Problem, sizes: &Sizes) -> u64 {
        let copies = |m: &Machine| u64::from(m.copies_max()).min(sizes.instances);
        let candidates: u64 = problem.machines.iter().map(copies).sum();
        let pairs = if measures_diameter(problem) { candidates.saturating_mul(candidates) } else { 0 };
        pairs.saturating_mul(PAIR).saturating_add(candidates * (200 + 8 * sizes.rules))
    }

    fn search(&self, problem: &Problem, _request: &Request, watch: &mut dyn Watch) -> Option<Found> {
        Some(search(problem, &mut || watch.stop()))
    }
}

/// Whether a rule, utility or cost depends on the round-trip times between all hosts of the component.
fn measures_diameter(problem: &Problem) -> bool {
    let spans = |measure: &Measure| matches!(measure, Measure::DiameterMs);
    problem
        .constraints
        .iter()
        .any(|n| matches!(&n.item, Constraint::Bound(rule::Bound { measure, .. }) if spans(measure)))
        || problem.utilities.iter().any(|n| matches!(&n.item.of, Of::Group { measure, .. } if spans(measure)))
        || problem.costs.iter().any(|n| spans(&n.item.measure))
}

/// A part of the search space: a number of instances, and the pair of hosts that spans the diameter.
struct Root {
    /// Index into the list of sizes.
    size: usize,
    pair: Option<(u32, u32)>,
    bound: f64,
}

/// Searches until the optimum is proven or `stop` says so.
fn search(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Found {
    let model = Model::new(problem);
    let mut incumbent = Incumbent::default();
    incumbent.offer_assignment(problem, Assignment::current(problem));
    let sizes: Vec<Sized> = model.sizes().map(|n| Sized::new(&model, n)).collect();
    for sized in &sizes {
        descent::first_sets(&model, sized, &mut incumbent);
    }
    let mut roots = Vec::new();
    for (size, sized) in sizes.iter().enumerate() {
        collect_roots(&model, sized, size, incumbent.to_beat(), &mut roots);
    }
    roots.sort_by(|a, b| b.bound.total_cmp(&a.bound).then(a.size.cmp(&b.size)).then(a.pair.cmp(&b.pair)));
    let mut descent = Descent::new(&model, incumbent, stop);
    let mut open = f64::NEG_INFINITY;
    for root in &roots {
        if root.bound <= descent.incumbent.to_beat() {
            break;
        }
        descent.run(&sizes[root.size], root.pair);
        if descent.stopped {
            // Roots come in falling order, so this one bounds all that were not searched.
            open = root.bound;
            break;
        }
    }
    let (incumbent, evaluated) = (descent.incumbent, descent.visited);
    let best_net = if incumbent.assignment.is_some() { incumbent.net } else { f64::NEG_INFINITY };
    let bound = best_net.max(open);
    Found {
        complete: !open.is_finite(),
        bound: bound.is_finite().then_some(bound),
        best: incumbent.assignment,
        evaluated,
    }
}

fn collect_roots(model: &Model, sized: &Sized, size: usize, to_beat: f64, roots: &mut Vec<Root>) {
    if !model.spans_pairs() || sized.n < 2 {
        if sized.bound > to_beat {
            roots.push(Root { size, pair: None, bound: sized.bound });
        }
        return;
    }
    for (at, a) in sized.order.iter().enumerate() {
        for b in &sized.order[at + 1..] {
            if model.is_first_pair(*a, *b)
                && let Some(bound) = sized.pair_bound(model, *a, *b)
                && bound > to_beat
            {
                roots.push(Root { size, pair: Some((*a, *b)), bound });
            }
        }
    }
}
