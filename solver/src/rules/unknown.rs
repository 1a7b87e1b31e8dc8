//! Values that a measure needs and a machine does not have: its site, its class, its quantity.
//!
//! An unknown value makes a machine ineligible for the instances that are measured.

use super::{Broken, float};
use crate::assignment::{Assignment, Instance, Place};
use crate::objective::{Measure, Of};
use crate::problem::Problem;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

/// Reports the machines of instances without the value that a utility needs; none when there are none.
pub(crate) fn unknown_of(problem: &Problem, assignment: &Assignment, of: &Of) -> Option<Broken> {
    match of {
        Of::Each { component, quantity } => {
            unknown_quantity(problem, assignment, &Scope::Component(*component), *quantity)
        }
        Of::Group { scope, measure } => unknown(problem, assignment, scope, measure),
    }
}

/// Reports the machines of instances without the value that a measure needs; none when there are none.
pub(crate) fn unknown(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    measure: &Measure,
) -> Option<Broken> {
    let no_site = |scope: &Scope| {
        let hosts = assignment.in_scope(scope);
        refused(problem, &hosts, &|m| problem.machines[m].site.is_none(), "the latency")
    };
    match measure {
        Measure::DiameterMs | Measure::AnchorLatencyMs => no_site(scope),
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => {
            no_site(scope).or_else(|| no_site(other))
        }
        Measure::Sum(quantity) | Measure::Average(quantity) => {
            unknown_quantity(problem, assignment, scope, *quantity)
        }
        Measure::Distinct(partition) => {
            let hosts = assignment.in_scope(scope);
            let partition = &problem.partitions[*partition];
            refused(problem, &hosts, &|m| partition.class_of[m].is_none(), &partition.name)
        }
        _ => None,
    }
}

fn unknown_quantity(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    quantity: usize,
) -> Option<Broken> {
    let quantity = &problem.quantities[quantity];
    refused(problem, &assignment.in_scope(scope), &|m| quantity.values[m].is_none(), &quantity.name)
}

fn refused(
    problem: &Problem,
    hosts: &[(Instance, Place)],
    is_unknown: &dyn Fn(usize) -> bool,
    what: &str,
) -> Option<Broken> {
    let mut lost = hosts.iter().filter(|(_, p)| is_unknown(p.machine));
    let first = lost.next()?;
    let host = &problem.machines[first.1.machine].name;
    Some((format!("{what} of {host} is unknown"), float(1 + lost.count())))
}

/// Whether a machine lacks a value that a measure needs of a component on it.
pub(crate) fn is_unknown_at(
    problem: &Problem,
    component: ComponentIndex,
    machine: MachineIndex,
    measure: &Measure,
    scope: &Scope,
) -> bool {
    let no_site = problem.machines[machine].site.is_none();
    let own = scope.covers(component);
    match measure {
        Measure::DiameterMs | Measure::AnchorLatencyMs => own && no_site,
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => {
            (own || other.covers(component)) && no_site
        }
        Measure::Distinct(p) => own && problem.partitions[*p].class_of[machine].is_none(),
        Measure::Sum(q) | Measure::Average(q) => own && problem.quantities[*q].values[machine].is_none(),
        _ => false,
    }
}
