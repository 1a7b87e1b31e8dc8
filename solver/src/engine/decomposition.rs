//! Price decomposition: buys machines in many zones for thousands of components.
//!
//! The engine accepts problems in which every host is bought, and whose rules restrict zones and counts within small
//! groups of components. Two questions, the zone of each instance and the hosts bought there, are separated by a price
//! for an instance of each class in each zone (`duals.rs`). Under any such prices the sum of the groups' cheapest
//! layouts is a bound (Lagrangian duality), and those layouts are good ones to pack. Prices follow layouts and layouts
//! follow prices for some rounds. Then hosts are packed zone by zone, and layouts are improved at their true cost.
//! Read next: `model.rs`, `layout.rs`, `duals.rs`, `packing.rs`, `plan.rs`.

mod ascent;
mod duals;
mod exact;
mod grid;
mod knapsack;
mod layout;
mod model;
mod packing;
mod plan;
mod purchases;
mod zones;

use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::engine::memory::{LIST, Sizes};
use crate::engine::symmetry::tells_instances_apart;
use crate::engine::{Aim, Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::evaluate::evaluate;
use crate::objective::Measure;
use crate::problem::Problem;
use crate::rule;
use crate::watch::Watch;
use model::Model;
use plan::{PROOF_COMPONENTS_MAX, Planner};
use zones::ZONES_MAX;

/// Rounds of reducing the zones of components; each starts from better bounds than the one before.
const NARROWINGS_MAX: u64 = 12;

/// Bytes of one table of the most valuable loads: the largest number of cells (`grid.rs`) times the bytes of each.
const TABLE: u64 = 40_000 * 12;
/// Bytes of the layouts that the proof lists at most (`exact.rs`), of some lists each.
const LAYOUTS: u64 = 200_000 * 250;

/// Price decomposition: zones by prices, hosts by packing.
pub(crate) struct Decomposition;

impl Engine for Decomposition {
    fn name(&self) -> EngineName {
        EngineName::Decomposition
    }

    /// Some problems turn out to be beyond the engine only when its model is built.
    fn accepts(&self, problem: &Problem) -> bool {
        !problem.components.is_empty()
            && problem.machines.iter().all(|m| m.is_offer())
            && problem.components.iter().all(|c| c.is_exchangeable() && c.current.is_empty())
            && problem.utilities.is_empty()
            && problem.costs.iter().all(|c| c.item.measure == Measure::TotalPrice && c.item.per_unit >= 0.0)
            && !tells_instances_apart(problem)
    }

    fn is_asked_for(&self, aim: Aim, _problem: &Problem) -> bool {
        aim == Aim::Best
    }

    /// Zones hold offers and prices, groups hold layouts, hosts hold instances.
    fn memory_bytes(&self, _problem: &Problem, sizes: &Sizes) -> u64 {
        let zones = sizes.machines.min(ZONES_MAX as u64);
        // Needs that differ form classes; at worst every component is one.
        let classes = sizes.components.min(256);
        let prices = zones * classes * 8 * 6;
        // Rows of the programs for prices: one per offer and round, half of which are new.
        let rows = (sizes.machines * 20).min(zones * 400) * (LIST + 4 * classes);
        let proof = if sizes.components <= PROOF_COMPONENTS_MAX as u64 { LAYOUTS } else { 0 };
        prices
            + rows
            + proof
            + 4 * TABLE
            + sizes.instances * 200
            + sizes.components * zones.div_ceil(8) * 4
            + sizes.rules * 64
    }

    /// None when the model cannot represent a rule, or when stopped before the first answer.
    fn search(&self, problem: &Problem, request: &Request, watch: &mut dyn Watch) -> Option<Found> {
        search(problem, request.seed, &mut || watch.stop()).filter(Found::is_answer)
    }
}

/// Searches until the optimum is proven, `stop` says so, or several rounds in a row find nothing better.
///
/// None when the model cannot represent a rule of the problem.
fn search(problem: &Problem, seed: u64, stop: &mut dyn FnMut() -> bool) -> Option<Found> {
    let mut model = Model::new(problem)?;
    model.narrow();
    let mut best: Option<(f64, Assignment)> = None;
    let (mut bound, mut evaluated, mut complete) = (f64::NEG_INFINITY, 0, false);
    for round in 0..NARROWINGS_MAX {
        let mut planner = Planner::new(&model, seed.wrapping_add(round));
        let found = planner.run(stop);
        if let Some(assignment) = found
            && best.as_ref().is_none_or(|(cost, _)| planner.cost() < *cost)
        {
            best = Some((planner.cost(), assignment));
        }
        let limit = best.as_ref().map_or(f64::INFINITY, |(cost, _)| *cost);
        // From the second round on only purchases that cost less than the best are considered.
        bound = bound.max(planner.bound().min(limit));
        complete = bound >= limit || planner.bound() == f64::INFINITY;
        let small = problem.components.len() <= PROOF_COMPONENTS_MAX;
        evaluated += planner.evaluated();
        if complete || !small || !limit.is_finite() || stop() {
            break;
        }
        let Some(narrowed) = planner.narrowed(limit, stop) else { break };
        if narrowed != model.allowed {
            model.allowed = narrowed;
            continue;
        }
        let (better, proven) = planner.prove(limit, stop);
        if let Some(assignment) = better {
            best = Some((planner.cost(), assignment));
        }
        if proven {
            (bound, complete) = (best.as_ref().map_or(limit, |(cost, _)| *cost), true);
        }
        break;
    }
    let limit = budget(problem);
    let affordable = |(_, a): &(f64, Assignment)| evaluate(problem, a).price_per_hour <= limit;
    let had = best.is_some();
    let best = best.filter(affordable).map(|(_, assignment)| assignment);
    // A purchase beyond the budget does not prove that none is within it, unless it is the cheapest one.
    let complete = complete && (best.is_some() || !had || limit.is_finite());
    let bound = bound.is_finite().then_some(-bound);
    Some(Found { best, bound, complete, evaluated })
}

/// The lowest of the budgets; infinite without a budget.
fn budget(problem: &Problem) -> f64 {
    let budgets = problem.constraints.iter().filter_map(|named| match &named.item {
        Constraint::Budget(rule::Budget { max_per_hour }) => Some(*max_per_hour),
        _ => None,
    });
    budgets.fold(f64::INFINITY, f64::min)
}
