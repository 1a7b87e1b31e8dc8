//! Plans that the budget allows at once: hosts that are held cost until they are released.
//!
//! The ledger refuses a plan whose orders would, together with all open intents, exceed the budget. The solver counts
//! only the hosts of the configuration that it looks for. Where its best one cannot be bought beside what is held, the
//! problem is posed again with every held host paid for; what is then left without copies is released afterwards, and a
//! later voluntary change may go on. It chooses nothing.

use crate::posed::Posed;
use rhizo_protocol::SolveRequest;
use rhizo_solver::{Constraint, Plan, Stock};

/// Whether the orders of a plan and all open intents together cost more than the budget.
pub(crate) fn exceeds(request: &SolveRequest, posed: &Posed, plan: &Plan) -> bool {
    let Some(budget_micros) = request.terms.budget_micros else { return false };
    let price = |order: &rhizo_solver::Order| {
        posed.machines[order.machine].order().price_micros_per_hour.saturating_mul(u64::from(order.count))
    };
    let ordered = plan.orders.iter().map(price);
    !plan.orders.is_empty()
        && ordered.fold(request.terms.spending_micros, u64::saturating_add) > budget_micros
}

/// Counts every host that is held, whether it is used or not.
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
