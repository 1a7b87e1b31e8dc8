//! Lower bound of the cost of any configuration: the moves that overloaded machines force, and the load that fits
//! nowhere.
//!
//! Moves and loads are separate costs, so their lower bounds add up.

use super::model::{Model, NOWHERE};

/// The lower bound of the cost of every configuration.
pub(super) fn least_cost(model: &Model) -> f64 {
    forced_moves(model) + forced_load(model)
}

/// The cost of the fewest and cheapest moves that bring each overloaded machine under its limits.
fn forced_moves(model: &Model) -> f64 {
    let mut on: Vec<Vec<usize>> = vec![Vec::new(); model.machines];
    let mut cost = 0.0;
    for (item, origin) in model.origin.iter().enumerate() {
        if *origin == NOWHERE {
            continue;
        }
        if model.may_use(item, *origin as usize) || model.pinned[item] {
            on[*origin as usize].push(item);
        } else {
            cost += model.move_cost[item];
        }
    }
    for (machine, items) in on.iter().enumerate() {
        let leave = (0..model.resources).map(|r| fewest(model, machine, items, r)).max().unwrap_or(0);
        let mut costs: Vec<f64> = items.iter().map(|i| model.move_cost[*i]).collect();
        costs.sort_by(f64::total_cmp);
        cost += costs.iter().take(leave).sum::<f64>();
    }
    cost
}

/// The number of items that have to leave a machine for one resource, the largest first.
fn fewest(model: &Model, machine: usize, items: &[usize], resource: usize) -> usize {
    // An item that leaves still holds a transient resource, so leaving does not help.
    if model.is_transient[resource] {
        return 0;
    }
    let mut needs: Vec<f64> = items.iter().map(|i| model.need(*i, resource)).collect();
    needs.sort_by(|a, b| b.total_cmp(a));
    let mut left: f64 = needs.iter().sum();
    let limit = model.limit[machine * model.resources + resource];
    let mut count = 0;
    // Rounding of the sum must not count a move that is not needed.
    while left > limit * (1.0 + 1e-12) && count < needs.len() {
        left -= needs[count];
        count += 1;
    }
    count
}

/// The cost of load when it could be divided freely among the machines.
fn forced_load(model: &Model) -> f64 {
    let total = |values: &[f64], r: usize| values.iter().skip(r).step_by(model.resources).sum::<f64>();
    let needed = |r: usize| (0..model.items.len()).map(|item| model.need(item, r)).sum::<f64>();
    let free = |r: usize| total(&model.capacity, r) - needed(r);
    let over = |r: usize| model.overload[r] * (needed(r) - total(&model.safety, r)).max(0.0);
    let loads: f64 = (0..model.resources).map(over).sum();
    let balances =
        model.balances.iter().map(|b| b.weight * (b.target * free(b.first) - free(b.second)).max(0.0));
    loads + balances.sum::<f64>()
}
