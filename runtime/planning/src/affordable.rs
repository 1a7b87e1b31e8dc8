//! Keeps a plan within the budget while it is carried out: hosts in use cost until they are released.
//!
//! The ledger refuses a plan whose orders, together with all open intents, would exceed the budget. The solver counts
//! only the hosts of the configuration that it searches for. If its best configuration cannot be bought while the
//! present hosts are still paid for, the problem is posed again with the cost of all present hosts included. Hosts
//! that end up without copies are then released, and a later voluntary change can continue. This module chooses
//! nothing.

use crate::posed::Posed;
use rhizo_protocol::SolveRequest;
use rhizo_solver::{Constraint, Plan, Stock};

/// Returns true if the orders of a plan and all open intents together cost more than the budget.
pub(crate) fn exceeds(request: &SolveRequest, posed: &Posed, plan: &Plan) -> bool {
    let Some(budget_micros) = request.terms.budget_micros else { return false };
    let price = |order: &rhizo_solver::Order| {
        posed.machines[order.machine].order().price_micros_per_hour.saturating_mul(u64::from(order.count))
    };
    let ordered = plan.orders.iter().map(price);
    !plan.orders.is_empty()
        && ordered.fold(request.terms.spending_micros, u64::saturating_add) > budget_micros
}

/// Adds the cost of every present host to the problem, whether the plan uses the host or not.
pub(crate) fn hold(request: &SolveRequest, posed: &mut Posed) {
    let hosts = request.hosts.values().map(|host| host.order.price_micros_per_hour);
    let hosts_micros = hosts.fold(0, u64::saturating_add);
    // Intents of hosts that no copy can be placed on: draining, being released, or stuck.
    let others_micros = request.terms.spending_micros.saturating_sub(hosts_micros);
    let others_per_hour = others_micros as f64 / 1e6;
    for machine in posed.problem.machines.iter_mut().filter(|machine| machine.stock == Stock::Running) {
        machine.stock = Stock::Kept;
    }
    for constraint in &mut posed.problem.constraints {
        if let Constraint::Budget(budget) = &mut constraint.item {
            budget.max_per_hour = (budget.max_per_hour - others_per_hour).max(0.0);
        }
    }
}
