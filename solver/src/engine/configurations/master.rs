//! The integer program over columns: how often each host configuration is used on each kind of machine.

use super::columns::{Columns, covers};
use crate::constraint::Constraint;
use crate::engine::branch::{Program, Variable};
use crate::engine::linear::Row;
use crate::objective::Measure;
use crate::problem::{Problem, Stock};
use crate::rule;

/// The program, and the cost that every solution has beside it.
pub(super) struct Master {
    pub(super) program: Program,
    pub(super) fixed_cost: f64,
}

impl Master {
    pub(super) fn new(problem: &Problem, columns: &Columns) -> Self {
        let mut builder = Builder { problem, columns, program: Program::default(), presence: Vec::new() };
        builder.add_columns();
        for (index, c) in problem.components.iter().enumerate() {
            builder.add_row(&[(index, 1.0)], f64::from(c.replicas_min), f64::from(c.replicas_max));
        }
        builder.add_kinds();
        builder.presence = vec![None; problem.components.len()];
        for named in &problem.constraints {
            builder.add_rule(&named.item);
        }
        let kept: f64 = problem.machines.iter().filter(|m| m.stock == Stock::Kept).map(|m| m.price).sum();
        let per_price = problem.costs.iter().filter(|c| matches!(c.item.measure, Measure::TotalPrice));
        let mut fixed_cost: f64 = per_price.map(|c| c.item.per_unit * kept).sum();
        let running = problem.machines.iter().filter(|m| m.stock == Stock::Running);
        fixed_cost += running.map(|_| problem.migration.remove).sum::<f64>();
        Self { program: builder.program, fixed_cost }
    }
}

struct Builder<'a> {
    problem: &'a Problem,
    columns: &'a Columns,
    program: Program,
    /// For each component, the 0/1 variable that is 1 when it has instances; none until a rule needs it.
    presence: Vec<Option<usize>>,
}

impl Builder<'_> {
    fn add_columns(&mut self) {
        for column in &self.columns.columns {
            let configuration = &self.columns.configurations[column.configuration];
            let mut cost = self.columns.kinds[column.kind].cost;
            for c in self.problem.costs.iter().map(|c| &c.item) {
                if matches!(c.measure, Measure::Size) {
                    let counted = (0..configuration.len())
                        .filter(|i| covers(&c.scope, *i))
                        .map(|i| f64::from(configuration[i]));
                    cost += c.per_unit * counted.sum::<f64>();
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let max = column.count_max as f64;
            self.program.variables.push(Variable { cost, max, whole: true });
        }
    }

    /// Adds a row that bounds a weighted sum of the components' counts.
    fn add_row(&mut self, weights: &[(usize, f64)], low: f64, high: f64) {
        let terms = self.terms(weights);
        self.program.rows.push(Row { terms, low, high });
    }

    fn terms(&self, weights: &[(usize, f64)]) -> Vec<(usize, f64)> {
        let weight = |configuration: &[u32]| {
            weights.iter().map(|(c, w)| w * f64::from(configuration[*c])).sum::<f64>()
        };
        let all = self.columns.columns.iter().enumerate();
        all.map(|(at, column)| (at, weight(&self.columns.configurations[column.configuration])))
            .filter(|(_, w)| *w != 0.0)
            .collect()
    }

    /// Adds rows so that no kind of machine is used more often than it has hosts.
    fn add_kinds(&mut self) {
        let hosts: u64 = self.problem.components.iter().map(|c| u64::from(c.replicas_max)).sum();
        for (index, kind) in self.columns.kinds.iter().enumerate() {
            if kind.count_max < hosts {
                let used = self.columns.columns.iter().enumerate().filter(|(_, c)| c.kind == index);
                let terms = used.map(|(at, _)| (at, 1.0)).collect();
                #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
                self.program.rows.push(Row { terms, low: 0.0, high: kind.count_max as f64 });
            }
        }
    }

    /// The 0/1 variable that is 1 when a component has instances; adds it on first use.
    fn present(&mut self, component: usize) -> usize {
        if let Some(variable) = self.presence[component] {
            return variable;
        }
        let variable = self.program.variables.len();
        self.program.variables.push(Variable { cost: 0.0, max: 1.0, whole: true });
        self.presence[component] = Some(variable);
        let most = f64::from(self.problem.components[component].replicas_max);
        let mut terms = self.terms(&[(component, 1.0)]);
        terms.push((variable, -most));
        self.program.rows.push(Row { terms: terms.clone(), low: f64::NEG_INFINITY, high: 0.0 });
        if let Some(last) = terms.last_mut() {
            last.1 = -1.0;
        }
        self.program.rows.push(Row { terms, low: 0.0, high: f64::INFINITY });
        variable
    }

    fn add_rule(&mut self, rule: &Constraint) {
        match rule {
            Constraint::Require(rule::Require { user, provider, per_user, per_provider, .. }) => {
                let weights = [(*user, f64::from(*per_user)), (*provider, -f64::from(*per_provider))];
                self.add_row(&weights, f64::NEG_INFINITY, 0.0);
            }
            #[expect(clippy::cast_precision_loss, reason = "validation keeps these below 2^53")]
            Constraint::Linear(rule::Linear { terms, max }) => {
                let weights: Vec<(usize, f64)> = terms.iter().map(|(c, w)| (*c, *w as f64)).collect();
                self.add_row(&weights, f64::NEG_INFINITY, *max as f64);
            }
            Constraint::Count(rule::Count { components, min, max }) => {
                let weights: Vec<(usize, f64)> = components.iter().map(|c| (*c, 1.0)).collect();
                self.add_row(&weights, f64::from(*min), f64::from(*max));
            }
            Constraint::Alternatives(rule::Alternatives { components, min, max }) => {
                let terms = components.iter().map(|c| (self.present(*c), 1.0)).collect();
                self.program.rows.push(Row { terms, low: f64::from(*min), high: f64::from(*max) });
            }
            Constraint::DependsOn(rule::DependsOn { component, any_of }) => {
                let mut terms: Vec<(usize, f64)> = any_of.iter().map(|c| (self.present(*c), 1.0)).collect();
                terms.push((self.present(*component), -1.0));
                self.program.rows.push(Row { terms, low: 0.0, high: f64::INFINITY });
            }
            Constraint::Conflict(rule::Conflict { first, second }) => {
                let terms = vec![(self.present(*first), 1.0), (self.present(*second), 1.0)];
                self.program.rows.push(Row { terms, low: 0.0, high: 1.0 });
            }
            Constraint::Budget(rule::Budget { max_per_hour }) => {
                let price = |kind: usize| self.columns.kinds[kind].price;
                let terms =
                    self.columns.columns.iter().enumerate().map(|(at, c)| (at, price(c.kind))).collect();
                let kept = self.problem.machines.iter().filter(|m| m.stock == Stock::Kept).map(|m| m.price);
                self.program.rows.push(Row { terms, low: 0.0, high: max_per_hour - kept.sum::<f64>() });
            }
            Constraint::MaxOnline(rule::MaxOnline { machines, max }) => {
                let counts = |kind: usize| machines[self.columns.kinds[kind].machines[0]];
                let used = self.columns.columns.iter().enumerate().filter(|(_, c)| counts(c.kind));
                let terms = used.map(|(at, _)| (at, 1.0)).collect();
                self.program.rows.push(Row { terms, low: 0.0, high: f64::from(*max) });
            }
            // The enumeration of configurations and kinds keeps the other rules.
            _ => {}
        }
    }
}
