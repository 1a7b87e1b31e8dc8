//! Exact engine for buying machines: an integer program that counts host configurations.
//!
//! A *host configuration* is a set of instances that share a host (a pattern of the cutting-stock literature). The
//! engine accepts problems whose objective is the price and number of hosts, and whose rules restrict which instances
//! share a host and how many there are. A model with a variable for each host has a weak bound and much symmetry; over
//! configurations, each with the cheapest machine that holds it, the bound is close and the symmetry is gone.
//! `columns.rs` enumerates the configurations, `master.rs` builds the program, `engine/branch.rs` solves it.

mod columns;
mod master;

use crate::assignment::{Assignment, Place};
use crate::constraint::{Constraint, Scope};
use crate::engine::branch::{self, Outcome};
use crate::engine::memory::{LIST, Sizes};
use crate::engine::symmetry::tells_instances_apart;
use crate::engine::{Aim, Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::evaluate::evaluate;
use crate::objective::{Cost, Measure};
use crate::problem::Problem;
use crate::rule;
use crate::watch::Watch;
use columns::{COLUMNS_MAX, CONFIGURATIONS_MAX, Columns};
use master::Master;
use std::collections::BTreeMap;

/// Integer program over host configurations.
pub(crate) struct Configurations;

impl Engine for Configurations {
    fn name(&self) -> EngineName {
        EngineName::Configurations
    }

    fn accepts(&self, problem: &Problem) -> bool {
        let migration = &problem.migration;
        let moves_are_free = migration.per_move == 0.0 && migration.per_service == 0.0;
        !problem.components.is_empty()
            && moves_are_free
            && problem.components.iter().all(|c| c.is_exchangeable())
            && problem.utilities.iter().all(|u| u.item.weight == 0.0)
            && problem.costs.iter().all(|c| is_linear(&c.item))
            && problem.constraints.iter().all(|c| is_countable(&c.item))
            && !tells_instances_apart(problem)
    }

    fn is_asked_for(&self, aim: Aim, _problem: &Problem) -> bool {
        matches!(aim, Aim::Best | Aim::Feasible)
    }

    /// The configurations, the columns, and the linear program over them.
    fn memory_bytes(&self, _problem: &Problem, sizes: &Sizes) -> u64 {
        let possible = 2u64.saturating_pow(sizes.components.min(40) as u32).saturating_mul(4);
        let configurations = possible.min(CONFIGURATIONS_MAX as u64);
        let columns = configurations.saturating_mul(sizes.machines).min(COLUMNS_MAX as u64);
        // Each column has an entry in the row of each component it holds, several times over in the back end.
        configurations * (LIST + 4 * sizes.components) + columns * (40 + 24 * 16 * sizes.components.min(8))
    }

    /// None when there are too many configurations, or when stopped before the first answer.
    fn search(&self, problem: &Problem, _request: &Request, watch: &mut dyn Watch) -> Option<Found> {
        search(problem, &mut || watch.stop()).filter(Found::is_answer)
    }
}

/// Whether a cost is a sum over hosts or instances.
fn is_linear(cost: &Cost) -> bool {
    match cost.measure {
        Measure::TotalPrice => true,
        Measure::Size => whole_components(&cost.scope),
        Measure::Hosts => cost.scope == Scope::All,
        _ => false,
    }
}

/// Whether a rule restricts only which instances share a host, which machines they use, and how many there are.
fn is_countable(rule: &Constraint) -> bool {
    match rule {
        Constraint::Each(rule::Each { scope, .. })
        | Constraint::Ban(rule::Ban { scope, .. })
        | Constraint::Lonely(rule::Lonely { scope }) => whole_components(scope),
        Constraint::Apart(rule::Apart { scope, partition: None }) => whole_components(scope),
        Constraint::Split(rule::Split { scopes, partition: None }) => scopes.iter().all(whole_components),
        Constraint::Together(_)
        | Constraint::Everywhere(_)
        | Constraint::MaxOnline(_)
        | Constraint::Require(rule::Require { exactly: false, .. })
        | Constraint::Linear(_)
        | Constraint::Count(_)
        | Constraint::Alternatives(_)
        | Constraint::DependsOn(_)
        | Constraint::Conflict(_)
        | Constraint::Budget(_)
        | Constraint::Overbook(_) => true,
        _ => false,
    }
}

fn whole_components(scope: &Scope) -> bool {
    !matches!(scope, Scope::Instances(_))
}

/// Searches until the optimum is proven or `stop` says so; none when there are too many configurations.
fn search(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Option<Found> {
    let columns = Columns::new(problem)?;
    let master = Master::new(problem, &columns);
    let Outcome { best, bound, complete, visited } = branch::solve(&master.program, f64::INFINITY, stop);
    let assignment = best.map(|counts| assignment(problem, &columns, &counts));
    let net = assignment.as_ref().map(|a| evaluate(problem, a).net);
    Some(Found {
        bound: bound.map(|cost| (-cost - master.fixed_cost).max(net.unwrap_or(f64::NEG_INFINITY))),
        best: assignment,
        complete,
        evaluated: visited,
    })
}

/// Assigns machines to columns, each of which was chosen `counts` times.
fn assignment(problem: &Problem, columns: &Columns, counts: &[f64]) -> Assignment {
    let mut hosts: Vec<Vec<Place>> = vec![Vec::new(); problem.components.len()];
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    for (column, count) in columns.columns.iter().zip(counts) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative")]
        for _ in 0..*count as u64 {
            let next = taken.entry(column.kind).or_default();
            let place = columns.kinds[column.kind].place(problem, *next);
            *next += 1;
            for (component, n) in columns.configurations[column.configuration].iter().enumerate() {
                hosts[component].extend((0..*n).map(|_| place));
            }
        }
    }
    Assignment::from_hosts(problem, &hosts)
}
