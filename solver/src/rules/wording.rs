//! Words for the parts of rules: instances, scopes, measures, comparisons and limits.

use crate::assignment::Instance;
use crate::limit::{Comparison, Limit};
use crate::objective::Measure;
use crate::problem::Problem;
use crate::scope::{ComponentIndex, PartitionIndex, Scope};

/// `component.ordinal`, as operators see it.
pub(super) fn instance_name(problem: &Problem, instance: Instance) -> String {
    format!("{}.{}", problem.components[instance.component].name, instance.ordinal)
}

/// The name of a component.
pub(super) fn component_name(problem: &Problem, component: ComponentIndex) -> &str {
    &problem.components[component].name
}

/// The name of a kind of cell: the partition's name, or `host`.
pub(super) fn cell_kind(problem: &Problem, partition: Option<PartitionIndex>) -> &str {
    partition.map_or("host", |p| problem.partitions[p].name.as_str())
}

/// The number of machines that a mask marks.
pub(super) fn count(mask: &[bool]) -> usize {
    mask.iter().filter(|m| **m).count()
}

/// The names of components, separated by commas.
pub(super) fn names(problem: &Problem, components: &[usize]) -> String {
    components.iter().map(|c| problem.components[*c].name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The name of a scope.
pub(super) fn scope_name(problem: &Problem, scope: &Scope) -> String {
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

/// The name of a measure, to be followed by `of` and a scope.
pub(super) fn measure_name(problem: &Problem, measure: &Measure) -> String {
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

/// A comparison in words.
pub(super) fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "less than",
        Comparison::LessOrEqual => "at most",
        Comparison::Greater => "more than",
        Comparison::GreaterOrEqual => "at least",
        Comparison::Equal => "exactly",
    }
}

/// A limit in numbers.
pub(super) fn limit_text(limit: &Limit) -> String {
    match limit {
        Limit::Constant(value) => value.to_string(),
        Limit::BySize(values) => by_size(values),
    }
}

/// The most limits of a rule that a sentence names.
const LIMITS_MAX: usize = 6;

/// Limits that depend on the number of instances: `(1 for 1, 2 for 2, 3 for 3 or more)`. The limit of no instance is
/// left out, and so are limits that equal the one before.
fn by_size(values: &[f64]) -> String {
    let mut steps: Vec<(usize, f64)> = Vec::new();
    for (size, value) in values.iter().enumerate().skip(1) {
        if steps.last().is_none_or(|(_, last)| last != value) {
            steps.push((size, *value));
        }
    }
    let last = steps.len().saturating_sub(1);
    let more = if steps.len() > LIMITS_MAX { ", …" } else { "" };
    match steps.as_slice() {
        [] => values.first().copied().unwrap_or(0.0).to_string(),
        [(_, value)] => value.to_string(),
        steps => {
            let words = steps.iter().enumerate().take(LIMITS_MAX).map(|(at, (size, value))| {
                let end = if at == last { " or more" } else { "" };
                format!("{value} for {size}{end}")
            });
            format!("({}{more})", words.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_size_are_said_with_their_sizes() {
        let said = |values: &[f64]| limit_text(&Limit::BySize(values.to_vec()));
        assert_eq!(said(&[0.0, 1.0, 2.0, 3.0]), "(1 for 1, 2 for 2, 3 for 3 or more)");
        assert_eq!(said(&[0.0, 1.0, 1.0, 2.0]), "(1 for 1, 2 for 3 or more)");
        assert_eq!(said(&[0.0, 1.0]), "1");
        assert_eq!(said(&[]), "0");
        let many: Vec<f64> = (0..100_u32).map(f64::from).collect();
        assert_eq!(said(&many), "(1 for 1, 2 for 2, 3 for 3, 4 for 4, 5 for 5, 6 for 6, …)");
    }
}
