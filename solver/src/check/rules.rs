//! One independent checker for each rule of the catalogue.
//!
//! Each answers why the rule is broken, or nothing. Rules over classes and shared hosts are in `groups.rs`.

use super::{Broken, float, groups, hosts, reserve, versions};
use crate::assignment::{Assignment, Instance, Place};
use crate::constraint::{Comparison, Constraint, Limit, Scope};
use crate::evaluate;
use crate::objective::Measure;
use crate::problem::Problem;
use std::collections::BTreeSet;

/// Why an assignment breaks a rule; nothing when it keeps to it.
pub(crate) fn broken(problem: &Problem, assignment: &Assignment, rule: &Constraint) -> Option<Broken> {
    match rule {
        Constraint::Each { scope, allowed } => refused(problem, assignment, scope, &|m| !allowed[m]),
        Constraint::Ban { scope, machines } => {
            refused(problem, assignment, scope, &|m| machines.contains(&m))
        }
        Constraint::Bound { scope, measure, comparison, limit } => {
            bounded(problem, assignment, (scope, measure), *comparison, limit)
        }
        Constraint::Spread { scope, partition, max_in_class, min_distinct } => groups::spread(
            problem,
            assignment,
            scope,
            *partition,
            max_in_class.as_ref(),
            min_distinct.as_ref(),
        ),
        Constraint::Apart { scope, partition } => groups::apart(problem, assignment, scope, *partition),
        Constraint::Gather { scope, partition } => groups::gather(problem, assignment, scope, *partition),
        Constraint::Split { scopes, partition } => groups::split(problem, assignment, scopes, *partition),
        Constraint::Lonely { scope } => groups::lonely(problem, assignment, scope),
        Constraint::Together { components } => groups::together(problem, assignment, components),
        Constraint::Everywhere { component } => groups::everywhere(problem, assignment, *component),
        Constraint::Neighbour { user, provider, partition } => {
            groups::neighbour(problem, assignment, user, provider, *partition)
        }
        Constraint::Survive { scope, partition, min_left } => {
            groups::survive(problem, assignment, scope, *partition, min_left)
        }
        Constraint::Reserve { scope, partition, resource, share } => {
            reserve::broken(problem, assignment, scope, (*partition, *resource), *share)
        }
        Constraint::Root { .. } | Constraint::Quarantine { .. } | Constraint::Moves { .. } => {
            unmoved(problem, assignment, rule)
        }
        Constraint::MaxOnline { machines, max } => online(assignment, machines, *max),
        // They change a capacity or a need: the built-in capacity rule judges them.
        Constraint::Overbook { .. } | Constraint::Preserve { .. } => None,
        Constraint::Budget { max_per_hour } => {
            let price = evaluate::measure(problem, assignment, &Scope::All, &Measure::TotalPrice);
            let tolerance = super::CAPACITY_TOLERANCE * max_per_hour.abs();
            (price > max_per_hour + tolerance).then(|| {
                let what = format!("{price} per hour, at most {max_per_hour} may be spent");
                (what, (price - max_per_hour) / max_per_hour.max(price / 2.0))
            })
        }
        Constraint::Require { .. }
        | Constraint::Linear { .. }
        | Constraint::Alternatives { .. }
        | Constraint::Count { .. }
        | Constraint::DependsOn { .. }
        | Constraint::Conflict { .. } => counted(problem, assignment, rule),
        Constraint::Versions { .. } | Constraint::Needs { .. } | Constraint::Breaks { .. } => {
            versions::broken(problem, assignment, rule)
        }
    }
}

fn bounded(
    problem: &Problem,
    assignment: &Assignment,
    (scope, measure): (&Scope, &Measure),
    comparison: Comparison,
    limit: &Limit,
) -> Option<Broken> {
    if let Some(what) = hosts::unknown(problem, assignment, scope, measure) {
        return Some(what);
    }
    let value = evaluate::measure(problem, assignment, scope, measure);
    let limit = limit.at(assignment.in_scope(scope).len());
    (!comparison.holds(value, limit)).then(|| {
        let distance = |value: f64| (value - limit).abs() / (limit.abs() + 1.0);
        let mut amount = distance(value);
        if value > limit {
            // The largest of many does not show that one instance less is too far away. No pair counts more than one.
            let far = evaluate::latencies_ms(problem, assignment, scope, measure);
            let far = far.into_iter().filter(|ms| *ms > limit).map(distance).map(|d| d / (1.0 + d));
            amount = far.reduce(|sum, d| sum + d).unwrap_or(amount);
        }
        (format!("the value is {value}, the limit {limit}"), amount.max(super::CAPACITY_TOLERANCE))
    })
}

fn online(assignment: &Assignment, machines: &[bool], max: u32) -> Option<Broken> {
    let on: BTreeSet<Place> = assignment.iter().map(|(_, p)| p).filter(|p| machines[p.machine]).collect();
    let (on, max) = (on.len(), max as usize);
    (on > max).then(|| (format!("{on} hosts are used, at most {max} may be"), float(on - max)))
}

/// Rules about what runs now; nothing for others.
fn unmoved(problem: &Problem, assignment: &Assignment, rule: &Constraint) -> Option<Broken> {
    match rule {
        Constraint::Root { scope } => {
            let mut moved = displaced(problem, assignment).into_iter().filter(|i| hosts::in_scope(scope, *i));
            let first = moved.next()?;
            Some((
                format!("{} has to stay where it is", instance_name(problem, first)),
                float(1 + moved.count()),
            ))
        }
        Constraint::Quarantine { machines } => quarantine(problem, assignment, machines),
        Constraint::Moves { scope, max } => {
            let moved =
                displaced(problem, assignment).into_iter().filter(|i| hosts::in_scope(scope, *i)).count();
            let max = *max as usize;
            (moved > max).then(|| {
                (format!("{moved} running instances move or end, at most {max} may"), float(moved - max))
            })
        }
        _ => None,
    }
}

/// Rules about how many instances there are; nothing for others.
fn counted(problem: &Problem, assignment: &Assignment, rule: &Constraint) -> Option<Broken> {
    match rule {
        Constraint::Require { user, provider, per_user, per_provider, exactly } => {
            require(problem, assignment, (*user, *per_user), (*provider, *per_provider), *exactly)
        }
        Constraint::Linear { terms, max } => linear(assignment, terms, *max),
        Constraint::Alternatives { components, min, max } => alternatives(assignment, components, *min, *max),
        Constraint::Count { components, min, max } => {
            let count: usize = components.iter().map(|c| assignment.count(*c)).sum();
            outside(count, *min, *max, "instances")
        }
        Constraint::DependsOn { component, any_of } => {
            let unmet = assignment.count(*component) > 0 && any_of.iter().all(|c| assignment.count(*c) == 0);
            unmet.then(|| {
                (format!("{} runs without anything it depends on", problem.components[*component].name), 1.0)
            })
        }
        Constraint::Conflict { first, second } => {
            let fewer = assignment.count(*first).min(assignment.count(*second));
            let (a, b) = (&problem.components[*first].name, &problem.components[*second].name);
            (fewer > 0).then(|| (format!("{a} and {b} both run"), float(fewer)))
        }
        _ => None,
    }
}

/// What is too many has to end: all instances of the ones that have fewest.
fn alternatives(assignment: &Assignment, components: &[usize], min: u32, max: u32) -> Option<Broken> {
    let mut counts: Vec<usize> = components.iter().map(|c| assignment.count(*c)).filter(|n| *n > 0).collect();
    let (what, _) = outside(counts.len(), min, max, "of the alternatives")?;
    counts.sort_unstable();
    let beyond = counts.len().saturating_sub(max as usize);
    let amount = (min as usize).saturating_sub(counts.len()) + counts[..beyond].iter().sum::<usize>();
    Some((what, float(amount)))
}

fn linear(assignment: &Assignment, terms: &[(usize, i64)], max: i64) -> Option<Broken> {
    let counted = |(component, weight): &(usize, i64)| {
        weight.saturating_mul(i64::try_from(assignment.count(*component)).unwrap_or(i64::MAX))
    };
    let sum = terms.iter().map(counted).fold(0i64, i64::saturating_add);
    let excess = usize::try_from(sum.saturating_sub(max)).unwrap_or(0);
    (excess > 0)
        .then(|| (format!("the weighted sum of instances is {sum}, at most {max} is allowed"), float(excess)))
}

fn refused(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    is_refused: &dyn Fn(usize) -> bool,
) -> Option<Broken> {
    let hosts = assignment.in_scope(scope);
    let mut wrong = hosts.iter().filter(|(_, p)| is_refused(p.machine));
    let (instance, place) = wrong.next()?;
    let what = format!(
        "{} may not run on {}",
        instance_name(problem, *instance),
        problem.machines[place.machine].name
    );
    Some((what, float(1 + wrong.count())))
}

fn outside(value: usize, min: u32, max: u32, what: &str) -> Option<Broken> {
    let (low, high) = (min as usize, max as usize);
    let distance = low.saturating_sub(value) + value.saturating_sub(high);
    (distance > 0).then(|| (format!("{value} {what} run, not {min}..{max}"), float(distance)))
}

/// `component.ordinal`, as operators see it.
pub(super) fn instance_name(problem: &Problem, instance: Instance) -> String {
    format!("{}.{}", problem.components[instance.component].name, instance.ordinal)
}

/// Running instances that do not stay where they are.
fn displaced(problem: &Problem, assignment: &Assignment) -> Vec<Instance> {
    let mut found = Vec::new();
    for (component, c) in problem.components.iter().enumerate() {
        for (ordinal, machine) in c.current.iter().enumerate() {
            let instance = Instance { component, ordinal };
            if machine.is_some_and(|m| assignment.place(instance) != Some(Place::on(m))) {
                found.push(instance);
            }
        }
    }
    found
}

fn quarantine(problem: &Problem, assignment: &Assignment, machines: &[bool]) -> Option<Broken> {
    let mut wrong = assignment.iter().filter(|(instance, place)| {
        let from = problem.components[instance.component].current_of(instance.ordinal);
        let stays = from.map(Place::on) == Some(*place);
        !stays && (machines[place.machine] || from.is_some_and(|m| machines[m]))
    });
    let (first, _) = wrong.next()?;
    let what = format!("{} comes to or leaves a closed machine", instance_name(problem, first));
    Some((what, float(1 + wrong.count())))
}

fn require(
    problem: &Problem,
    assignment: &Assignment,
    (user, per_user): (usize, u32),
    (provider, per_provider): (usize, u32),
    exactly: bool,
) -> Option<Broken> {
    // Counts are at most `INSTANCES_MAX` and factors 32 bits, so products stay below 2^53 and `f64` is exact.
    let (users, providers) = (assignment.count(user) as u64, assignment.count(provider) as u64);
    let (wanted, share) = (users * u64::from(per_user), u64::from(per_provider));
    let (u, p) = (&problem.components[user].name, &problem.components[provider].name);
    // In providers, with fractions: a user more or less is on the way already.
    let amount = |shares: u64| {
        float(usize::try_from(shares).unwrap_or(usize::MAX)) / float(per_provider.max(1) as usize)
    };
    if wanted > providers * share {
        let short = amount(wanted - providers * share);
        return Some((format!("{users} of {u} need more than {providers} of {p}"), short));
    }
    // The last provider is needed from this on.
    let least = providers.saturating_sub(1) * share + 1;
    (exactly && providers > 0 && wanted < least)
        .then(|| (format!("{users} of {u} need fewer than {providers} of {p}"), amount(least - wanted)))
}
