//! The clause and the remedy of each kind of rule in an explanation.

use super::words::{list, number, price};
use crate::posed::Posed;
use crate::rules::{SETTLING, THREE_PROVIDERS};
use rhizo_protocol::SolveRequest;
use rhizo_solver::explain::eligible;
use rhizo_solver::{Constraint, Named, Scope, rule, sentence};
use std::collections::BTreeSet;

/// The rules of one posed problem, with the words of the operator.
pub(super) struct Rules<'a> {
    pub(super) request: &'a SolveRequest,
    pub(super) posed: &'a Posed,
    /// The currency of all prices.
    pub(super) currency: &'a str,
    /// Whether every present host is paid for while the plan is carried out.
    pub(super) is_held: bool,
}

impl Rules<'_> {
    /// Returns what a rule demands, beside what the hosts and offers have, and a remedy. `nearest` is the nearest limit
    /// that can be met.
    pub(super) fn said(&self, rule: usize, nearest: Option<f64>) -> (String, String) {
        let named = &self.posed.problem.constraints[rule];
        match &named.item {
            Constraint::Budget(budget) => self.budget(budget, nearest),
            Constraint::Each(each) if self.is_built_in(named) => self.failed_there(each),
            Constraint::Each(each) => self.each(named, each),
            Constraint::DependsOn(depends) => self.imports(depends),
            Constraint::Spread(spread) if named.name == THREE_PROVIDERS => self.three_providers(spread),
            Constraint::Spread(spread) => self.spread(named, spread, nearest),
            Constraint::Root(_) if named.name != SETTLING => (
                format!("{}, where its data is", named.name.trim_matches(['[', ']'])),
                "set another `state` to give up the data".to_owned(),
            ),
            Constraint::Root(_) => (
                "copies on hosts that have not settled stay there".to_owned(),
                "wait until they have settled".to_owned(),
            ),
            Constraint::Moves(moves) => (
                format!("at most {} copies may move at once (`optimise.max_moves`)", moves.max),
                "raise `optimise.max_moves`".to_owned(),
            ),
            _ => match nearest {
                Some(limit) => (
                    format!("{}; the nearest that can be met is {}", self.text(named), number(limit)),
                    format!("relax rule `{}` to {}", named.name, number(limit)),
                ),
                None => (self.text(named), format!("change or remove rule `{}`", named.name)),
            },
        }
    }

    /// Whether planning made the rule, and the operator wrote none of its name.
    fn is_built_in(&self, named: &Named<Constraint>) -> bool {
        named.name.starts_with('[')
            && !self.request.spec.requires.iter().any(|rule| rule.name.0 == named.name)
    }

    fn component(&self, component: usize) -> &str {
        &self.posed.problem.components[component].name
    }

    /// The hosts on which a component kept failing.
    fn failed_there(&self, each: &rule::Each) -> (String, String) {
        let machines = each.allowed.iter().zip(&self.posed.problem.machines);
        let refused = machines.filter(|(allowed, _)| !**allowed).map(|(_, machine)| machine.name.clone());
        let refused = list(&refused.collect::<Vec<_>>());
        let name = match &each.scope {
            Scope::Component(component) => self.component(*component),
            _ => "the component",
        };
        (
            format!("{name} kept failing on {refused}, and is not placed there again"),
            format!("correct {name} and run `up` again, or add other hosts"),
        )
    }

    fn imports(&self, depends: &rule::DependsOn) -> (String, String) {
        let user = self.component(depends.component);
        let exporters: Vec<String> =
            depends.any_of.iter().map(|component| self.component(*component).to_owned()).collect();
        let exporters = list(&exporters);
        (
            format!("{user} imports from {exporters}, so that a copy of {exporters} has to run"),
            format!("make the import of {user} optional"),
        )
    }

    fn three_providers(&self, spread: &rule::Spread) -> (String, String) {
        let classes = self.classes(&spread.scope, spread.partition);
        let usable = match classes.as_slice() {
            [] => "no host or offer can be used".to_owned(),
            [one] => format!("the hosts and offers that can be used are all of provider {one}"),
            several => format!("the hosts and offers that can be used are of {}", list(several)),
        };
        (
            format!(
                "at least three providers are configured, so that the copies run on hosts of three; {usable}"
            ),
            "let the rules allow hosts of three providers, or configure fewer than three".to_owned(),
        )
    }

    /// The rule as the operator wrote it, or else a sentence of the solver.
    fn text(&self, named: &Named<Constraint>) -> String {
        match self.written(named) {
            Some(text) => format!("rule `{}`: {text}", named.name),
            None => sentence(&self.posed.problem, named),
        }
    }

    fn written(&self, named: &Named<Constraint>) -> Option<&str> {
        let source = self.request.spec.requires.iter().find(|require| require.name.0 == named.name);
        source.map(|require| require.source.trim()).filter(|text| !text.is_empty())
    }

    fn budget(&self, budget: &rule::Budget, nearest: Option<f64>) -> (String, String) {
        // While hosts are held, a part of the budget pays for those that no copy can use.
        let max = self.request.spec.budget.as_ref().map_or(budget.max_per_hour, |own| own.max_hourly.get());
        let max_text = price(max, self.currency);
        let held = if self.is_held { ", while present hosts are still paid for," } else { "" };
        let Some(least) = nearest.map(|least| least + max - budget.max_per_hour) else {
            let clause = format!("every placement{held} costs more than the budget of {max_text}");
            return (clause, "raise `budget.max_hourly`".to_owned());
        };
        let least_text = price(least, self.currency);
        let clause = format!("the cheapest placement{held} costs {least_text}, the budget is {max_text}");
        (clause, format!("raise `budget.max_hourly` to {}", number(rounded_up(least))))
    }

    /// A rule about single machines: where it holds, and the values on the machines where it does not.
    fn each(&self, named: &Named<Constraint>, each: &rule::Each) -> (String, String) {
        let (machines, name) = (&self.posed.problem.machines, &named.name);
        let refused = self.posed.refusals.values().filter(|refusal| refusal.rule == *name);
        let refused: BTreeSet<&str> = refused.map(|refusal| refusal.reason.as_str()).collect();
        let refused: Vec<String> = refused.into_iter().map(str::to_owned).collect();
        let allowed = each.allowed.iter().zip(machines).filter(|(allowed, _)| **allowed);
        let allowed: Vec<String> = allowed.map(|(_, machine)| machine.name.clone()).collect();
        let text = match self.written(named) {
            Some(text) => format!("rule `{name}`: {text}"),
            None => format!("rule `{name}`"),
        };
        let holds = match allowed.as_slice() {
            [] => "holds on no host or offer".to_owned(),
            allowed => format!("holds only on {}", list(allowed)),
        };
        let values =
            if refused.is_empty() { String::new() } else { format!("; elsewhere {}", list(&refused)) };
        (format!("{text} {holds}{values}"), format!("change rule `{name}`, or add offers on which it holds"))
    }

    fn spread(
        &self,
        named: &Named<Constraint>,
        spread: &rule::Spread,
        nearest: Option<f64>,
    ) -> (String, String) {
        let by = &self.posed.problem.partitions[spread.partition].name;
        let classes = self.classes(&spread.scope, spread.partition);
        let values = match classes.as_slice() {
            [] => format!("no usable host or offer has `{by}`"),
            classes => format!("`{by}` has {} values there: {}", classes.len(), list(classes)),
        };
        let remedy = match nearest {
            Some(limit) if spread.max_in_class.is_some() => {
                format!("allow {} in one `{by}`", number(limit))
            }
            _ => format!("change rule `{}`, or add offers with other values of `{by}`", named.name),
        };
        (format!("{}; {values}", self.text(named)), remedy)
    }

    /// The classes of a partition on the machines that the components of a scope can use.
    fn classes(&self, scope: &Scope, partition: usize) -> Vec<String> {
        let problem = &self.posed.problem;
        let partition = &problem.partitions[partition];
        let components = (0..problem.components.len()).filter(|component| scope.covers(*component));
        let machines: BTreeSet<usize> =
            components.flat_map(|component| eligible(problem, component)).collect();
        let classes: BTreeSet<usize> =
            machines.into_iter().filter_map(|machine| partition.class_of[machine]).collect();
        classes.into_iter().map(|class| partition.classes[class].clone()).collect()
    }
}

/// A number not below a price, with four places after the point: a budget that is high enough.
fn rounded_up(price: f64) -> f64 {
    (price * 1e4 - 1e-6).ceil() / 1e4
}
