//! Checkers of the rules over shared hosts and over classes of a partition.
//!
//! A *cell* is a host or, where the rule names a partition, a class of it.

use super::rules::instance_name;
use super::{Broken, float};
use crate::assignment::{Assignment, Instance, Place};
use crate::constraint::{Constraint, Limit, Scope};
use crate::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// A host, or a class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Cell {
    Host(Place),
    Class(usize),
}

type Cells = BTreeMap<Cell, Vec<Instance>>;

/// The cells of a scope with their instances; an error names a machine without a class.
fn cells(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    by: Option<usize>,
) -> Result<Cells, String> {
    let mut cells = Cells::new();
    for (instance, place) in assignment.in_scope(scope) {
        let cell = match by {
            None => Cell::Host(place),
            Some(partition) => {
                let partition = &problem.partitions[partition];
                let host = &problem.machines[place.machine].name;
                let unknown = || format!("{} of {host} is unknown", partition.name);
                Cell::Class(partition.class_of[place.machine].ok_or_else(unknown)?)
            }
        };
        cells.entry(cell).or_default().push(instance);
    }
    Ok(cells)
}

fn cell_name(problem: &Problem, cell: Cell, by: Option<usize>) -> String {
    match (cell, by) {
        (Cell::Class(class), Some(partition)) => {
            let partition = &problem.partitions[partition];
            format!("{} {}", partition.name, partition.classes.get(class).map_or("?", String::as_str))
        }
        (Cell::Host(place), _) => problem.machines[place.machine].name.clone(),
        (Cell::Class(class), None) => format!("class {class}"),
    }
}

pub(super) fn spread(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    partition: usize,
    max_in_class: Option<&Limit>,
    min_distinct: Option<&Limit>,
) -> Option<Broken> {
    let cells = match cells(problem, assignment, scope, Some(partition)) {
        Ok(cells) => cells,
        Err(what) => return Some((what, 1.0)),
    };
    let size = cells.values().map(Vec::len).sum();
    if let Some(limit) = max_in_class.map(|l| l.at(size))
        && let Some((cell, members)) = cells.iter().find(|(_, members)| float(members.len()) > limit)
    {
        let class = cell_name(problem, *cell, Some(partition));
        let excess = cells.values().map(|members| (float(members.len()) - limit).max(0.0)).sum();
        return Some((format!("{} of {size} are in {class}, at most {limit} may be", members.len()), excess));
    }
    let distinct = cells.len();
    let limit = min_distinct?.at(size);
    (float(distinct) < limit).then(|| {
        (format!("{distinct} classes are used, at least {limit} have to be"), limit - float(distinct))
    })
}

pub(super) fn apart(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    by: Option<usize>,
) -> Option<Broken> {
    let cells = match cells(problem, assignment, scope, by) {
        Ok(cells) => cells,
        Err(what) => return Some((what, 1.0)),
    };
    let (cell, members) = cells.iter().find(|(_, members)| members.len() > 1)?;
    let (a, b) = (instance_name(problem, members[0]), instance_name(problem, members[1]));
    let excess = cells.values().map(|members| float(members.len() - 1)).sum();
    Some((format!("{a} and {b} share {}", cell_name(problem, *cell, by)), excess))
}

pub(super) fn gather(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    by: Option<usize>,
) -> Option<Broken> {
    match cells(problem, assignment, scope, by) {
        Err(what) => Some((what, 1.0)),
        Ok(cells) => (cells.len() > 1).then(|| {
            let size: usize = cells.values().map(Vec::len).sum();
            let largest = cells.values().map(Vec::len).max().unwrap_or(0);
            (format!("they are in {} places, not in one", cells.len()), float(size - largest))
        }),
    }
}

pub(super) fn split(
    problem: &Problem,
    assignment: &Assignment,
    scopes: &[Scope],
    by: Option<usize>,
) -> Option<Broken> {
    let mut owner: BTreeMap<Cell, (usize, Instance)> = BTreeMap::new();
    for (index, scope) in scopes.iter().enumerate() {
        let cells = match cells(problem, assignment, scope, by) {
            Ok(cells) => cells,
            Err(what) => return Some((what, 1.0)),
        };
        for (cell, members) in cells {
            let (other, first) = *owner.entry(cell).or_insert((index, members[0]));
            if other != index {
                let (a, b) = (instance_name(problem, first), instance_name(problem, members[0]));
                // The first meeting is named; a larger amount would need all of them.
                return Some((format!("{a} and {b} share {}", cell_name(problem, cell, by)), 1.0));
            }
        }
    }
    None
}

pub(super) fn lonely(problem: &Problem, assignment: &Assignment, scope: &Scope) -> Option<Broken> {
    let own: BTreeSet<Place> = assignment.in_scope(scope).into_iter().map(|(_, p)| p).collect();
    let mut others = assignment.iter().filter(|(i, p)| own.contains(p) && !super::hosts::in_scope(scope, *i));
    let (other, place) = others.next()?;
    let host = &problem.machines[place.machine].name;
    let what = format!("{} runs on {host}, which is to be theirs alone", instance_name(problem, other));
    Some((what, float(1 + others.count())))
}

pub(super) fn together(problem: &Problem, assignment: &Assignment, components: &[usize]) -> Option<Broken> {
    let hosts = assignment.by_host();
    let partly = |(place, instances): (&Place, &Vec<Instance>)| {
        let has = |c: &usize| instances.iter().any(|i| i.component == *c);
        let present = components.iter().filter(|c| has(c)).count();
        (present != 0 && present != components.len()).then_some((*place, present))
    };
    let mut partly = hosts.iter().filter_map(partly);
    let (place, present) = partly.next()?;
    let host = &problem.machines[place.machine].name;
    let what = format!("{host} runs {present} of {} that belong together", components.len());
    let missing = |present: usize| components.len() - present;
    Some((what, float(missing(present) + partly.map(|(_, present)| missing(present)).sum::<usize>())))
}

pub(super) fn everywhere(problem: &Problem, assignment: &Assignment, component: usize) -> Option<Broken> {
    let hosts = assignment.by_host();
    let lacks = |instances: &[Instance]| {
        !instances.iter().any(|i| i.component == component || kept_apart(problem, component, i.component))
    };
    let mut lacking = hosts.iter().filter(|(_, instances)| lacks(instances)).map(|(place, _)| *place);
    let (first, name) = (lacking.next()?, &problem.components[component].name);
    let what = format!("{} runs no {name}", problem.machines[first.machine].name);
    Some((what, float(1 + lacking.count())))
}

/// Whether a split rule over hosts keeps two components apart.
pub(crate) fn kept_apart(problem: &Problem, a: usize, b: usize) -> bool {
    let side = |scopes: &[Scope], c: usize| {
        scopes.iter().position(|s| match s {
            Scope::Component(x) => *x == c,
            Scope::Components(xs) => xs.contains(&c),
            Scope::All | Scope::Instances(_) => false,
        })
    };
    problem.constraints.iter().any(|named| match &named.item {
        Constraint::Split { scopes, partition: None } => match (side(scopes, a), side(scopes, b)) {
            (Some(x), Some(y)) => x != y,
            _ => false,
        },
        _ => false,
    })
}

pub(super) fn neighbour(
    problem: &Problem,
    assignment: &Assignment,
    user: &Scope,
    provider: &Scope,
    partition: usize,
) -> Option<Broken> {
    let users = match cells(problem, assignment, user, Some(partition)) {
        Ok(cells) => cells,
        Err(what) => return Some((what, 1.0)),
    };
    let class = |p: Place| problem.partitions[partition].class_of[p.machine];
    let served: BTreeSet<usize> =
        assignment.in_scope(provider).into_iter().filter_map(|(_, p)| class(p)).collect();
    let is_served = |cell: &Cell| matches!(cell, Cell::Class(c) if served.contains(c));
    let (cell, members) = users.iter().find(|(cell, _)| !is_served(cell))?;
    let unserved = users.keys().filter(|cell| !is_served(cell)).count();
    let (who, place) = (instance_name(problem, members[0]), cell_name(problem, *cell, Some(partition)));
    Some((format!("{who} has nothing to depend on in {place}"), float(unserved)))
}

pub(super) fn survive(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    partition: usize,
    min_left: &Limit,
) -> Option<Broken> {
    let cells = match cells(problem, assignment, scope, Some(partition)) {
        Ok(cells) => cells,
        Err(what) => return Some((what, 1.0)),
    };
    let size: usize = cells.values().map(Vec::len).sum();
    let limit = min_left.at(size);
    let largest = cells.iter().max_by_key(|(_, members)| members.len());
    let (lost, place) = largest.map_or((0, "nothing".to_owned()), |(cell, members)| {
        (members.len(), cell_name(problem, *cell, Some(partition)))
    });
    let left = size - lost;
    (float(left) < limit).then(|| {
        (format!("{left} are left when {place} is lost, at least {limit} have to be"), limit - float(left))
    })
}
