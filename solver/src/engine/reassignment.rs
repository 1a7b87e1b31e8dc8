//! Reassignment: repairs and improves the placement of many instances on existing machines.
//!
//! First a repair moves as few items as possible off machines that break a limit or rule. Then simulated annealing by
//! shifts, exchanges and returns improves the configuration, judged incrementally. The engine accepts problems with a
//! fixed number of instances, hard capacities, and costs of load and migration. `bound.rs` has its lower bound. Read
//! next: `model.rs`, `state.rs`, `judge.rs`, `moves.rs`, `rearrange.rs`, `anneal.rs`.

mod anneal;
mod bound;
mod cooling;
mod exact;
mod incumbent;
mod judge;
mod lists;
mod model;
mod moves;
mod population;
mod rearrange;
mod repair;
mod state;

use crate::constraint::{Constraint, Limit, Scope};
use crate::engine::exhaustive::Exhaustive;
use crate::engine::memory::{LIST, LIST_LEAST, MEMBERSHIP, Sizes};
use crate::engine::{Aim, Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::objective::{Cost, Measure};
use crate::problem::{ComponentIndex, Problem, Stock};
use crate::rule;
use crate::watch::Watch;
use incumbent::Incumbent;
use model::Model;
use population::MEMBERS_MAX;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use state::State;

/// The largest number of counters for rules over hosts and classes, of two bytes each. More would not fit a small
/// machine.
const COUNTERS_MAX: usize = 300_000_000;

/// Repair and simulated annealing of many instances on existing hosts.
pub(crate) struct Reassignment;

impl Engine for Reassignment {
    fn name(&self) -> EngineName {
        EngineName::Reassignment
    }

    fn accepts(&self, problem: &Problem) -> bool {
        let fixed = problem.components.iter().all(|c| {
            c.replicas_min == c.replicas_max
                && c.per_host_max <= 1
                && c.current.len() <= c.replicas_max as usize
        });
        let stands = |stock: Stock| match stock {
            Stock::Kept => true,
            Stock::Running => problem.migration.remove == 0.0,
            Stock::Offer { .. } => false,
        };
        let per_host =
            problem.components.iter().filter(|c| c.per_host_max == 1 && c.replicas_max > 1).count();
        let over_cells = |rule: &Constraint| matches!(rule, Constraint::Apart(_) | Constraint::Gather(_));
        let groups = per_host + problem.constraints.iter().filter(|named| over_cells(&named.item)).count();
        fixed
            && groups.saturating_mul(problem.machines.len()) <= COUNTERS_MAX
            && problem.machines.iter().all(|m| stands(m.stock))
            && problem.utilities.iter().all(|u| u.item.weight == 0.0)
            && problem.costs.iter().all(|c| is_load(&c.item))
            && problem.constraints.iter().all(|c| is_local(problem, &c.item))
    }

    /// A plan for a problem that is small enough for the exhaustive engine comes with a proof: local search finds it,
    /// and the exhaustive engine proves it.
    fn is_asked_for(&self, aim: Aim, problem: &Problem) -> bool {
        match aim {
            Aim::Best => !Exhaustive.accepts(problem),
            Aim::Feasible | Aim::Repair => true,
            Aim::Proof => false,
        }
    }

    /// Flat arrays over items and machines, two states of them, the order of the items, the machine of each item for a
    /// whole population, and counters of two bytes per group and machine.
    fn memory_bytes(&self, _problem: &Problem, sizes: &Sizes) -> u64 {
        let row = (sizes.resources + sizes.costs).next_multiple_of(4) * 8;
        let item = row + 8 * 16 + 3 * (LIST + LIST_LEAST) + 4 * (MEMBERS_MAX as u64 + 1);
        let machine = 6 * row + 24 * sizes.resources + 2 * LIST + 4 * sizes.partitions;
        sizes.instances * item
            + sizes.memberships * MEMBERSHIP
            + sizes.machines * machine
            + sizes.groups * (4 * sizes.machines + 64)
            + (sizes.masks + 1) * sizes.machines
    }

    fn search(&self, problem: &Problem, request: &Request, watch: &mut dyn Watch) -> Option<Found> {
        Some(search(problem, request, watch))
    }
}

fn is_load(cost: &Cost) -> bool {
    cost.per_unit >= 0.0 && matches!(cost.measure, Measure::Overload { .. } | Measure::Imbalance { .. })
}

/// Whether a rule can be kept by judging one item on one machine at a time.
fn is_local(problem: &Problem, rule: &Constraint) -> bool {
    match rule {
        Constraint::Each(_)
        | Constraint::Ban(_)
        | Constraint::Apart(_)
        | Constraint::Gather(_)
        | Constraint::Neighbour(_)
        | Constraint::Root(_) => true,
        // A scope without instances cannot be spread, and there is no item whose move would be judged.
        Constraint::Spread(rule::Spread {
            scope,
            max_in_class: None,
            min_distinct: Some(Limit::Constant(_)),
            ..
        }) => !is_nobody(problem, scope),
        // Costs are defined over the declared needs and capacities, which these rules change.
        Constraint::Overbook(_) | Constraint::Preserve(_) => problem.costs.is_empty(),
        _ => false,
    }
}

fn is_nobody(problem: &Problem, scope: &Scope) -> bool {
    let none = |c: &ComponentIndex| problem.components[*c].replicas_max == 0;
    match scope {
        Scope::All => problem.components.iter().all(|c| c.replicas_max == 0),
        Scope::Component(c) => none(c),
        Scope::Components(cs) => cs.iter().all(none),
        Scope::Instances(instances) => instances.is_empty(),
    }
}

/// Repairs the running configuration and improves it until the watch says to stop or several cycles find nothing
/// better.
fn search(problem: &Problem, request: &Request, watch: &mut dyn Watch) -> Found {
    let model = Model::new(problem);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(request.seed);
    let mut state = State::empty(&model);
    let mut evaluated = 0;
    if !repair::repair(&mut state, &mut rng, &mut || watch.stop(), &mut evaluated) {
        return Found { best: None, bound: None, complete: false, evaluated };
    }
    let least = bound::least_cost(&model);
    let mut incumbent = Incumbent::new(&state, watch, least, evaluated);
    if request.aim == Aim::Best {
        // The caller's last good assignment is a better start than the running configuration.
        if incumbent.exchange() {
            state = State::at(&model, incumbent.at());
        }
        anneal::improve(state, &mut rng, &mut incumbent);
    }
    let best = incumbent::assignment(&model, incumbent.at());
    Found { best: Some(best), bound: Some(-least), complete: false, evaluated: incumbent.evaluated() }
}
