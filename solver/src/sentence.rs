//! A sentence for each rule, for an operator who asks what a name stands for.
//!
//! The user's own text, where there is one, says it better; these are for rules that were made, not written.
//! Each rule's words are in its file in `rules/`.

use crate::constraint::Constraint;
use crate::problem::{Named, Problem};
use crate::rules::table::meaning;

/// Says what a rule demands, with the problem's names; one sentence without a full stop.
#[must_use]
pub fn sentence(problem: &Problem, named: &Named<Constraint>) -> String {
    format!("{}: {}", named.name, meaning(&named.item).sentence(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Comparison, Limit};
    use crate::objective::Measure;
    use crate::problem::{Component, Partition};
    use crate::rule;
    use crate::scope::Scope;

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
        let bound = Constraint::Bound(rule::Bound {
            scope: scope.clone(),
            measure: Measure::DiameterMs,
            comparison: Comparison::Less,
            limit,
        });
        assert_eq!(said(bound), "r: the largest round-trip time of instances of broker is less than 1000");
        let max_in_class = Some(Limit::BySize(vec![0.0, 1.0, 2.0]));
        let spread = Constraint::Spread(rule::Spread {
            scope: scope.clone(),
            partition: 0,
            max_in_class,
            min_distinct: None,
        });
        assert_eq!(
            said(spread),
            "r: at most (1 for 1, 2 for 2 or more) of instances of broker share one node.quarter"
        );
        let split =
            Constraint::Split(rule::Split { scopes: vec![scope, Scope::Component(1)], partition: None });
        assert_eq!(said(split), "r: instances of broker and instances of web never share a host");
    }
}
