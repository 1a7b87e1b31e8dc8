//! The rules, utilities and costs of a problem: each expression evaluated for each machine.

use crate::hosts::{Candidate, Facts, slot_name};
use crate::posed::{Posed, Refusal};
use crate::state;
use rhizo_config::{Environment, EvalError, Evaluated, NUMBER_MAX, evaluate, explain_expr};
use rhizo_knowledge::Snapshot;
use rhizo_protocol::{SolveRequest, Terms};
use rhizo_solver::rule;
use rhizo_solver::{
    Constraint, Limit, Measure, Migration, Named, Of, Partition, Problem, Quantity, Scope, Utility,
};
use rhizo_types::expr::Expr;
use rhizo_types::fact::Value;
use rhizo_types::spec;
use rhizo_types::{AttributeName, ComponentName, Number};
use std::collections::{BTreeMap, BTreeSet};

/// With fewer configured failure domains than this, the loss of one domain loses the quorum or half of it.
const DOMAINS_WANTED: usize = 3;

/// The name of the built-in rule about failure domains.
pub(crate) const THREE_PROVIDERS: &str = "[three providers]";

/// The name of the built-in rule about hosts that have not settled.
pub(crate) const SETTLING: &str = "[settling]";

/// The utility of the price, in an application that states no utility, differs by at most this between no price and the
/// highest one. It is less than the default migration cost of one host (0.01): among placements that need the same
/// changes the cheapest wins, and a lower price alone never moves a copy that runs.
const PRICE_UTILITY_RANGE: f64 = 0.005;

/// Adds the rules, utilities and costs of a request to a problem.
pub(crate) fn add(posed: &mut Posed, request: &SolveRequest, snapshot: &Snapshot) {
    let spec = &request.spec;
    let mut writer = Writer { posed, spec, terms: &request.terms, request, snapshot };
    writer.avoided();
    // A rule about the whole group cannot hold while a copy waits for its data, and must not keep others from repair.
    let is_waived = |require: &&spec::Require| {
        let is_of_group = !matches!(require.rule, spec::Rule::Each(_));
        is_of_group && state::waiting(&require.component, request) > 0
    };
    for require in spec.requires.iter().filter(|require| !is_waived(require)) {
        writer.require(require);
    }
    writer.domains();
    writer.imports();
    writer.pinned();
    writer.stability();
    if let Some(budget) = &spec.budget {
        writer.constrain(
            "[budget]",
            Constraint::Budget(rule::Budget { max_per_hour: budget.max_hourly.get() }),
        );
    }
    for utility in &spec.utilities {
        writer.utility(utility);
    }
    if spec.utilities.is_empty() {
        writer.lowest_price();
    }
    let migration = &spec.migration;
    writer.posed.problem.migration =
        Migration { add: migration.add.get(), remove: migration.remove.get(), ..Migration::default() };
}

struct Writer<'a> {
    posed: &'a mut Posed,
    spec: &'a spec::Spec,
    terms: &'a Terms,
    request: &'a SolveRequest,
    snapshot: &'a Snapshot,
}

impl Writer<'_> {
    fn problem(&mut self) -> &mut Problem {
        &mut self.posed.problem
    }

    fn constrain(&mut self, name: impl Into<String>, constraint: Constraint) {
        self.problem().constraints.push(Named::new(name, constraint));
    }

    fn scope(&self, component: &ComponentName) -> Scope {
        // The config has checked that rules name only existing components.
        Scope::Component(self.posed.components.iter().position(|name| name == component).unwrap_or_default())
    }

    /// A component that kept failing on a node is not placed there.
    fn avoided(&mut self) {
        let avoided: BTreeSet<&ComponentName> =
            self.terms.avoid.iter().map(|(component, _)| component).collect();
        for component in avoided {
            if !self.spec.components.contains_key(component) {
                continue;
            }
            let is_avoided = |machine: &Candidate| {
                machine.node().is_some_and(|node| self.terms.avoid.contains(&(component.clone(), node)))
            };
            let refused: Vec<bool> = self.posed.machines.iter().map(is_avoided).collect();
            for (machine, _) in refused.iter().enumerate().filter(|(_, refused)| **refused) {
                self.refuse(
                    component,
                    machine,
                    "[failed here]",
                    "the component kept failing there".to_owned(),
                );
            }
            if refused.contains(&true) {
                let allowed = refused.iter().map(|refused| !refused).collect();
                let constraint = Constraint::Each(rule::Each { scope: self.scope(component), allowed });
                self.constrain(format!("[{component} failed here]"), constraint);
            }
        }
    }

    /// Pinned copies stay where their data is.
    fn pinned(&mut self) {
        for (at, (name, component)) in self.spec.components.iter().enumerate() {
            for (number, instance, copy) in state::pinned(name, component, self.request) {
                let scope = Scope::Instances(vec![(at, number)]);
                let name = format!("[{instance} is pinned to {}]", slot_name(copy.slot));
                self.constrain(name, Constraint::Root(rule::Root { scope }));
            }
        }
    }

    /// Copies on hosts that have not settled stay, and no more copies move than the limit of a voluntary change
    /// allows.
    fn stability(&mut self) {
        let is_frozen =
            |machine: &Candidate| machine.slot().is_some_and(|slot| self.terms.frozen.contains(&slot));
        let frozen: BTreeSet<usize> = (0..)
            .zip(&self.posed.machines)
            .filter(|(_, machine)| is_frozen(machine))
            .map(|(at, _)| at)
            .collect();
        let mut rooted = Vec::new();
        for (at, component) in self.posed.problem.components.iter().enumerate() {
            let on_frozen = component
                .current
                .iter()
                .enumerate()
                .filter(|(_, host)| host.is_some_and(|h| frozen.contains(&h)));
            rooted.extend(on_frozen.map(|(ordinal, _)| (at, ordinal)));
        }
        if !rooted.is_empty() {
            self.constrain(SETTLING, Constraint::Root(rule::Root { scope: Scope::Instances(rooted) }));
        }
        if let Some(max) = self.terms.moves_max {
            self.constrain("[max_moves]", Constraint::Moves(rule::Moves { scope: Scope::All, max }));
        }
    }

    fn refuse(&mut self, component: &ComponentName, machine: usize, rule: &str, reason: String) {
        let refusal = Refusal { rule: rule.to_owned(), reason };
        self.posed.refusals.entry((component.clone(), machine)).or_insert(refusal);
    }

    fn require(&mut self, require: &spec::Require) {
        let scope = self.scope(&require.component);
        let name = require.name.to_string();
        match &require.rule {
            spec::Rule::Each(expr) => {
                let allowed = self.mask(expr, Some((&require.component, &name)));
                self.constrain(name, Constraint::Each(rule::Each { scope, allowed }));
            }
            spec::Rule::Group { measure, comparison, limit } => {
                let limit = self.limit(limit, &require.component);
                let constraint = Constraint::Bound(rule::Bound {
                    scope,
                    measure: self.measure(measure),
                    comparison: *comparison,
                    limit,
                });
                self.constrain(name, constraint);
            }
            spec::Rule::Spread { by, max, min_distinct } => {
                let constraint = Constraint::Spread(rule::Spread {
                    scope,
                    partition: self.partition(by),
                    max_in_class: max.as_ref().map(|limit| self.limit(limit, &require.component)),
                    min_distinct: min_distinct.as_ref().map(|limit| self.limit(limit, &require.component)),
                });
                self.constrain(name, constraint);
            }
        }
    }

    /// Built-in rule: with three failure domains configured, the hosts are spread over at least three (or one domain
    /// each).
    fn domains(&mut self) {
        let is_usable = |machine: &&Candidate| match machine {
            Candidate::Host(..) => true,
            Candidate::Offer(offer) => offer.count_max > 0,
        };
        let usable = self.posed.machines.iter().filter(is_usable);
        let offered: BTreeSet<_> = usable.map(|machine| machine.order().provider.clone()).collect();
        if offered.len() < DOMAINS_WANTED || self.spec.providers.len() < DOMAINS_WANTED {
            return;
        }
        let partition = self.partition(&Expr::Attribute(AttributeName::from("provider")));
        let by_size =
            (0..=DOMAINS_WANTED).map(|size| Number::from(u32::try_from(size).unwrap_or(0)).get()).collect();
        let scope = match self.posed.components.len() {
            1 => Scope::Component(0),
            _ => Scope::All,
        };
        let min_distinct = Some(Limit::BySize(by_size));
        self.constrain(
            THREE_PROVIDERS,
            Constraint::Spread(rule::Spread { scope, partition, max_in_class: None, min_distinct }),
        );
    }

    /// Built-in rule: a mandatory import needs at least one exporter.
    fn imports(&mut self) {
        let position: BTreeMap<_, _> =
            (0..).zip(&self.posed.components).map(|(at, name)| (name.clone(), at)).collect();
        let mut depends = BTreeSet::new();
        for (name, component) in &self.spec.components {
            for import in
                component.imports.values().filter(|import| !import.optional && import.component != *name)
            {
                depends.insert((name.clone(), import.component.clone()));
            }
        }
        for (user, exporter) in depends {
            // The user waits with an exporter that waits for its data.
            if state::waiting(&exporter, self.request) > 0 {
                continue;
            }
            if let (Some(&component), Some(&needed)) = (position.get(&user), position.get(&exporter)) {
                let constraint = Constraint::DependsOn(rule::DependsOn { component, any_of: vec![needed] });
                self.constrain(format!("[{user} imports from {exporter}]"), constraint);
            }
        }
    }

    fn utility(&mut self, utility: &spec::Utility) {
        let scope = self.scope(&utility.component);
        let of = match (&utility.of, &scope) {
            (spec::Of::Each(expr), Scope::Component(component)) => {
                Of::Each { component: *component, quantity: self.quantity(expr) }
            }
            (spec::Of::Each(expr), _) => {
                let measure = Measure::Average(self.quantity(expr));
                Of::Group { scope, measure }
            }
            (spec::Of::Group(measure), _) => {
                let measure = self.measure(measure);
                Of::Group { scope, measure }
            }
        };
        let utility_item = Utility {
            of,
            best: utility.best.get(),
            worst: utility.worst.get(),
            weight: utility.weight.get(),
        };
        self.problem().utilities.push(Named::new(utility.name.as_str(), utility_item));
    }

    /// Adds the goal of an application that states none: the lowest price. The highest price is that of the least
    /// number of copies, each on a host of its own that costs as much as the most expensive one.
    fn lowest_price(&mut self) {
        let problem = self.problem();
        let copies: u32 = problem.components.iter().map(|component| component.replicas_min).sum();
        let most_expensive = problem.machines.iter().map(|machine| machine.price).fold(0.0, f64::max);
        let highest = most_expensive * f64::from(copies.max(1));
        if highest > 0.0 {
            let of = Of::Group { scope: Scope::All, measure: Measure::TotalPrice };
            let utility = Utility { of, best: 0.0, worst: highest / PRICE_UTILITY_RANGE, weight: 1.0 };
            problem.utilities.push(Named::new("lowest price (default)", utility));
        }
    }

    fn measure(&mut self, measure: &spec::Measure) -> Measure {
        match measure {
            spec::Measure::Size => Measure::Size,
            spec::Measure::DiameterMs => Measure::DiameterMs,
            spec::Measure::MaxAnchorLatencyMs => Measure::AnchorLatencyMs,
            spec::Measure::CostPerHour => Measure::Price,
            spec::Measure::Distinct(expr) => Measure::Distinct(self.partition(expr)),
            spec::Measure::Count(expr) => Measure::Count(self.mask(expr, None)),
            spec::Measure::Share(expr) => Measure::Share(self.mask(expr, None)),
            spec::Measure::Sum(expr) => Measure::Sum(self.quantity(expr)),
            spec::Measure::Average(expr) => Measure::Average(self.quantity(expr)),
        }
    }

    /// Returns a limit for every possible number of instances.
    fn limit(&self, expr: &Expr, component: &ComponentName) -> Limit {
        let replicas_max = self.spec.components.get(component).map_or(0, |c| c.replicas.max);
        let at = |size: u32| match evaluate(expr, &Size(size)) {
            Ok(Evaluated::Number(number)) => number,
            // The config has checked that the expression is a number that depends on `size` alone. A division by zero
            // at size 0 means no bound there.
            _ => 0.0,
        };
        let values: Vec<f64> = (0..=replicas_max).map(at).collect();
        match values.as_slice() {
            [first, rest @ ..] if rest.iter().all(|value| value == first) => Limit::Constant(*first),
            _ => Limit::BySize(values),
        }
    }

    fn evaluate(&self, expr: &Expr, machine: usize) -> Result<Evaluated, EvalError> {
        evaluate(expr, &Node(Facts::of(&self.posed.machines[machine], self.snapshot)))
    }

    /// A flag per machine; `why` is given a reason for every machine that a rule refuses.
    fn mask(&mut self, expr: &Expr, rule: Option<(&ComponentName, &str)>) -> Vec<bool> {
        let mut flags = Vec::with_capacity(self.posed.machines.len());
        for machine in 0..self.posed.machines.len() {
            let held = self.evaluate(expr, machine);
            let allowed = matches!(held, Ok(Evaluated::Bool(true)));
            if let (false, Some((component, name))) = (allowed, rule) {
                let reason = match held {
                    Err(error) => error.to_string(),
                    Ok(_) => self.values(expr, machine),
                };
                self.refuse(component, machine, name, reason);
            }
            flags.push(allowed);
        }
        flags
    }

    /// Returns the values that an expression read, for a sentence: `node.load5 = 12.5`.
    fn values(&self, expr: &Expr, machine: usize) -> String {
        let facts = Facts::of(&self.posed.machines[machine], self.snapshot);
        let mut names = BTreeSet::new();
        attributes(expr, &mut names);
        let values: Vec<String> = names
            .into_iter()
            .map(|name| match facts.value(&name) {
                Some(value) => format!("node.{name} = {value}"),
                None => format!("node.{name} is not known"),
            })
            .collect();
        values.join(", ")
    }

    fn quantity(&mut self, expr: &Expr) -> usize {
        let name = explain_expr(expr);
        if let Some(known) = self.posed.problem.quantities.iter().position(|each| each.name == name) {
            return known;
        }
        let value = |machine| match self.evaluate(expr, machine) {
            // The solver would refuse the whole problem because of one larger value of a sensor or a data file.
            Ok(Evaluated::Number(number)) if number.abs() <= NUMBER_MAX => Some(number),
            _ => None,
        };
        let values = (0..self.posed.machines.len()).map(value).collect();
        self.problem().quantities.push(Quantity { name, values });
        self.posed.problem.quantities.len() - 1
    }

    fn partition(&mut self, expr: &Expr) -> usize {
        let name = explain_expr(expr);
        if let Some(known) = self.posed.problem.partitions.iter().position(|each| each.name == name) {
            return known;
        }
        let class = |machine| match self.evaluate(expr, machine) {
            Ok(Evaluated::Number(number)) => Some(number.to_string()),
            Ok(Evaluated::Text(text)) => Some(text),
            Ok(Evaluated::Bool(flag)) => Some(flag.to_string()),
            Err(_) => None,
        };
        let by_machine: Vec<Option<String>> = (0..self.posed.machines.len()).map(class).collect();
        let classes: BTreeSet<String> = by_machine.iter().flatten().cloned().collect();
        let classes: Vec<String> = classes.into_iter().collect();
        let class_of =
            by_machine.iter().map(|class| class.as_ref().and_then(|c| classes.binary_search(c).ok()));
        let partition = Partition { name, class_of: class_of.collect(), classes: classes.clone() };
        self.problem().partitions.push(partition);
        self.posed.problem.partitions.len() - 1
    }
}

fn attributes(expr: &Expr, names: &mut BTreeSet<AttributeName>) {
    match expr {
        Expr::Attribute(name) | Expr::Has(name) => {
            names.insert(name.clone());
        }
        Expr::Unary(_, operand) => attributes(operand, names),
        Expr::Binary(_, left, right) => {
            attributes(left, names);
            attributes(right, names);
        }
        Expr::Conditional(condition, then, otherwise) => {
            [condition, then, otherwise].into_iter().for_each(|part| attributes(part, names));
        }
        Expr::In(operand, _) => attributes(operand, names),
        Expr::Call(_, arguments) => arguments.iter().for_each(|part| attributes(part, names)),
        Expr::Number(_) | Expr::Text(_) | Expr::Bool(_) | Expr::Size => {}
    }
}

struct Node<'a>(Facts<'a>);

impl Environment for Node<'_> {
    fn attribute(&self, name: &AttributeName) -> Option<Evaluated> {
        self.0.value(name).map(|value| match value {
            Value::Number(number) => Evaluated::Number(number.get()),
            Value::Text(text) => Evaluated::Text(text),
        })
    }

    fn size(&self) -> Option<u32> {
        None
    }
}

struct Size(u32);

impl Environment for Size {
    fn attribute(&self, _: &AttributeName) -> Option<Evaluated> {
        None
    }

    fn size(&self) -> Option<u32> {
        Some(self.0)
    }
}
