//! A sentence for each rule, for an operator who asks what a name stands for.
//!
//! The user's own text, where there is one, says it better; these are for rules that were made, not written.

use crate::constraint::{Comparison, Constraint, Limit, Scope};
use crate::objective::Measure;
use crate::problem::{Named, Problem};
use crate::versions::Wanted;

/// Says what a rule demands, with the problem's names; one sentence without a full stop.
#[must_use]
pub fn sentence(problem: &Problem, named: &Named<Constraint>) -> String {
    let who = |scope: &Scope| scope_name(problem, scope);
    let text = match &named.item {
        Constraint::Each { scope, allowed } => {
            format!("{} may use {} of {} machines", who(scope), count(allowed), allowed.len())
        }
        Constraint::Ban { scope, machines } => {
            let names: Vec<&str> = machines.iter().map(|m| problem.machines[*m].name.as_str()).collect();
            format!("{} may not use {}", who(scope), names.join(", "))
        }
        Constraint::Bound { scope, measure, comparison, limit } => {
            format!(
                "{} of {} is {} {}",
                measure_name(problem, measure),
                who(scope),
                sign(*comparison),
                limit_text(limit)
            )
        }
        Constraint::Spread { .. }
        | Constraint::Apart { .. }
        | Constraint::Gather { .. }
        | Constraint::Split { .. }
        | Constraint::Lonely { .. }
        | Constraint::Together { .. }
        | Constraint::Everywhere { .. }
        | Constraint::Neighbour { .. }
        | Constraint::Survive { .. }
        | Constraint::Reserve { .. } => on_cells(problem, &named.item),
        Constraint::Versions { .. } | Constraint::Needs { .. } | Constraint::Breaks { .. } => {
            versions(problem, &named.item)
        }
        Constraint::Root { scope } => format!("{} stay where they are", who(scope)),
        Constraint::Quarantine { .. }
        | Constraint::MaxOnline { .. }
        | Constraint::Overbook { .. }
        | Constraint::Preserve { .. } => on_machines(problem, &named.item),
        Constraint::Require { .. }
        | Constraint::Linear { .. }
        | Constraint::Alternatives { .. }
        | Constraint::Count { .. }
        | Constraint::DependsOn { .. }
        | Constraint::Conflict { .. } => counted(problem, &named.item),
        Constraint::Budget { max_per_hour } => {
            format!("all hosts together cost at most {max_per_hour} per hour")
        }
        Constraint::Moves { scope, max } => format!("at most {max} of {} move or end", who(scope)),
    };
    format!("{}: {text}", named.name)
}

/// Rules about what shares a host or a class; nothing to say of others.
fn on_cells(problem: &Problem, rule: &Constraint) -> String {
    let who = |scope: &Scope| scope_name(problem, scope);
    let component = |c: &usize| problem.components[*c].name.as_str();
    let cell = |p: &Option<usize>| p.map_or("host".to_owned(), |p| problem.partitions[p].name.clone());
    match rule {
        Constraint::Spread { scope, partition, max_in_class, min_distinct } => {
            let by = &problem.partitions[*partition].name;
            let most = max_in_class
                .iter()
                .map(|l| format!("at most {} of {} share one {by}", limit_text(l), who(scope)));
            let least = min_distinct
                .iter()
                .map(|l| format!("{} use at least {} different {by}", who(scope), limit_text(l)));
            most.chain(least).collect::<Vec<_>>().join(" and ")
        }
        Constraint::Apart { scope, partition } => {
            format!("no two of {} share a {}", who(scope), cell(partition))
        }
        Constraint::Gather { scope, partition } => {
            format!("all of {} share one {}", who(scope), cell(partition))
        }
        Constraint::Split { scopes, partition } => {
            let names: Vec<String> = scopes.iter().map(who).collect();
            format!("{} never share a {}", names.join(" and "), cell(partition))
        }
        Constraint::Lonely { scope } => format!("{} share a host with nothing else", who(scope)),
        Constraint::Together { components } => {
            format!("a host runs all or none of {}", names(problem, components))
        }
        Constraint::Everywhere { component: c } => format!("every used host runs {}", component(c)),
        Constraint::Neighbour { user, provider, partition } => {
            format!(
                "each {} with {} also has {}",
                problem.partitions[*partition].name,
                who(user),
                who(provider)
            )
        }
        Constraint::Survive { scope, partition, min_left } => {
            let by = &problem.partitions[*partition].name;
            format!("at least {} of {} are left whichever {by} is lost", limit_text(min_left), who(scope))
        }
        Constraint::Reserve { scope, partition, resource, share } => {
            let (by, r) = (&problem.partitions[*partition].name, &problem.resources[*resource].name);
            format!(
                "whichever {by} is lost, the other hosts have room for {share} times the {r} of {}",
                who(scope)
            )
        }
        _ => String::new(),
    }
}

/// Rules about how many instances there are; nothing to say of others.
fn counted(problem: &Problem, rule: &Constraint) -> String {
    let component = |c: &usize| problem.components[*c].name.as_str();
    match rule {
        Constraint::Require { user, provider, per_user, per_provider, exactly } => {
            let only = if *exactly { "just " } else { "" };
            let (u, p) = (component(user), component(provider));
            format!("{only}{per_user} share of {p} for each {u}, {per_provider} shares in each {p}")
        }
        Constraint::Linear { terms, max } => {
            let sum: Vec<String> =
                terms.iter().map(|(c, w)| format!("{w} for each {}", component(c))).collect();
            format!("{} sum up to at most {max}", sum.join(", "))
        }
        Constraint::Alternatives { components, min, max } => {
            format!("{min} to {max} of {} run", names(problem, components))
        }
        Constraint::Count { components, min, max } => {
            format!("{min} to {max} instances of {} run", names(problem, components))
        }
        Constraint::DependsOn { component: c, any_of } => {
            format!("{} runs only with one of {}", component(c), names(problem, any_of))
        }
        Constraint::Conflict { first, second } => {
            format!("{} and {} never both run", component(first), component(second))
        }
        _ => String::new(),
    }
}

/// Rules over ranges of versions; nothing to say of others.
fn versions(problem: &Problem, rule: &Constraint) -> String {
    let component = |c: &usize| problem.components[*c].name.as_str();
    let wanted = |w: &Wanted| format!("{} {}", w.package, w.range);
    match rule {
        Constraint::Versions { package, max: 1 } => format!("one version of {package} runs at a time"),
        Constraint::Versions { package, max } => format!("at most {max} versions of {package} run at a time"),
        Constraint::Needs { component: c, any_of } => {
            let names: Vec<String> = any_of.iter().map(wanted).collect();
            format!("{} runs only with {}", component(c), names.join(" or "))
        }
        Constraint::Breaks { component: c, wanted: w } => {
            format!("{} never runs beside {}", component(c), wanted(w))
        }
        _ => String::new(),
    }
}

/// Rules about machines as a whole; nothing to say of others.
fn on_machines(problem: &Problem, rule: &Constraint) -> String {
    let resource = |r: &usize| problem.resources[*r].name.as_str();
    match rule {
        Constraint::Quarantine { machines: mask } => {
            format!("nothing comes to or leaves {} machines", count(mask))
        }
        Constraint::MaxOnline { machines: mask, max } => {
            format!("at most {max} of {} machines are used", count(mask))
        }
        Constraint::Overbook { machines: mask, resource: r, ratio } => {
            format!("{} machines may give {ratio} times their {}", count(mask), resource(r))
        }
        Constraint::Preserve { scope, resource: r, amount } => {
            format!("{} get at least {amount} of {}", scope_name(problem, scope), resource(r))
        }
        _ => String::new(),
    }
}

fn count(mask: &[bool]) -> usize {
    mask.iter().filter(|m| **m).count()
}

fn names(problem: &Problem, components: &[usize]) -> String {
    components.iter().map(|c| problem.components[*c].name.as_str()).collect::<Vec<_>>().join(", ")
}

fn scope_name(problem: &Problem, scope: &Scope) -> String {
    let name = |c: &usize| problem.components[*c].name.clone();
    match scope {
        Scope::All => "all instances".to_owned(),
        Scope::Component(c) => format!("instances of {}", name(c)),
        Scope::Components(cs) => {
            format!("instances of {}", cs.iter().map(name).collect::<Vec<_>>().join(", "))
        }
        Scope::Instances(list) => match &list[..] {
            [(c, ordinal)] => format!("{}.{ordinal}", name(c)),
            _ => format!("{} named instances", list.len()),
        },
    }
}

fn measure_name(problem: &Problem, measure: &Measure) -> String {
    match measure {
        Measure::Size => "the number".to_owned(),
        Measure::Hosts => "the number of hosts".to_owned(),
        Measure::DiameterMs => "the largest round-trip time".to_owned(),
        Measure::AnchorLatencyMs => "the largest round-trip time from an anchor to the nearest".to_owned(),
        Measure::PairLatencyMs(other) => {
            format!("the largest round-trip time to {}", scope_name(problem, other))
        }
        Measure::MeanPairLatencyMs(other) => {
            format!("the mean round-trip time to {}", scope_name(problem, other))
        }
        Measure::Price => "the price per hour".to_owned(),
        Measure::TotalPrice => "the price per hour of all hosts, not only".to_owned(),
        Measure::Distinct(p) => format!("the number of different {}", problem.partitions[*p].name),
        Measure::Count(mask) => format!("the number on {} machines", mask.iter().filter(|m| **m).count()),
        Measure::Share(mask) => format!("the share on {} machines", mask.iter().filter(|m| **m).count()),
        Measure::Sum(q) => format!("the sum of {}", problem.quantities[*q].name),
        Measure::Average(q) => format!("the mean of {}", problem.quantities[*q].name),
        Measure::Overload { resource } => format!("the overload of {}", problem.resources[*resource].name),
        Measure::Imbalance { first, second, .. } => {
            format!(
                "the imbalance of {} and {}",
                problem.resources[*first].name, problem.resources[*second].name
            )
        }
    }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "less than",
        Comparison::LessOrEqual => "at most",
        Comparison::Greater => "more than",
        Comparison::GreaterOrEqual => "at least",
        Comparison::Equal => "exactly",
    }
}

fn limit_text(limit: &Limit) -> String {
    match limit {
        Limit::Constant(value) => value.to_string(),
        Limit::BySize(values) => {
            let values: Vec<String> = values.iter().map(f64::to_string).collect();
            format!("({}, by number)", values.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Component, Partition};

    #[test]
    fn a_rule_is_said_with_the_names_of_the_problem() {
        let partition =
            Partition { name: "node.quarter".into(), classes: vec!["q".into()], class_of: vec![] };
        let problem = Problem {
            components: vec![Component::new("broker", 1, 2), Component::new("web", 1, 1)],
            partitions: vec![partition],
            ..Problem::default()
        };
        let said = |rule: Constraint| sentence(&problem, &Named::new("r", rule));
        let scope = Scope::Component(0);
        let limit = Limit::Constant(1000.0);
        let bound = Constraint::Bound {
            scope: scope.clone(),
            measure: Measure::DiameterMs,
            comparison: Comparison::Less,
            limit,
        };
        assert_eq!(said(bound), "r: the largest round-trip time of instances of broker is less than 1000");
        let max_in_class = Some(Limit::BySize(vec![0.0, 1.0]));
        let spread =
            Constraint::Spread { scope: scope.clone(), partition: 0, max_in_class, min_distinct: None };
        assert_eq!(said(spread), "r: at most (0 1, by number) of instances of broker share one node.quarter");
        let split = Constraint::Split { scopes: vec![scope, Scope::Component(1)], partition: None };
        assert_eq!(said(split), "r: instances of broker and instances of web never share a host");
    }
}
