//! Bound: a measure of a group keeps to a limit.

use super::unknown::{is_unknown_at, unknown};
use super::wording::{limit_text as limit_words, measure_name, scope_name, sign};
use super::{Broken, CAPACITY_TOLERANCE, Relaxable, Rule};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::evaluate;
use crate::limit::{Comparison, Limit};
use crate::minizinc_text::limit_text;
use crate::minizinc_text::{MinizincError, Writer};
use crate::objective::Measure;
use crate::problem::Problem;
use crate::problem_error::{Checked, limit_of, measure_of, scope_of};
use crate::rule::Bound;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Bound {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
        if let Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) = &self.measure {
            visit(other);
        }
    }

    fn visit_dependencies(&self, visit: &mut dyn FnMut(&Scope)) {
        match self.measure {
            // Measured over all hosts, independent of the scope.
            Measure::TotalPrice | Measure::Overload { .. } | Measure::Imbalance { .. } => visit(&Scope::All),
            _ => self.visit_scopes(visit),
        }
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        measure_of(problem, what, &self.measure)?;
        limit_of(what, &self.limit)
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let (scope, measure) = (&self.scope, &self.measure);
        if let Some(what) = unknown(problem, assignment, scope, measure) {
            return Some(what);
        }
        let value = evaluate::measure(problem, assignment, scope, measure);
        let limit = self.limit.at(assignment.in_scope(scope).len());
        (!self.comparison.holds(value, limit)).then(|| {
            let distance = |value: f64| (value - limit).abs() / (limit.abs() + 1.0);
            let mut amount = distance(value);
            if value > limit {
                // The largest of many latencies does not show that one instance less is too far away, so every pair
                // over the limit counts, and none counts more than one.
                let far = evaluate::latencies_ms(problem, assignment, scope, measure);
                let far = far.into_iter().filter(|ms| *ms > limit).map(distance).map(|d| d / (1.0 + d));
                amount = far.reduce(|sum, d| sum + d).unwrap_or(amount);
            }
            (format!("the value is {value}, the limit {limit}"), amount.max(CAPACITY_TOLERANCE))
        })
    }

    fn sentence(&self, problem: &Problem) -> String {
        let (measure, scope) = (measure_name(problem, &self.measure), scope_name(problem, &self.scope));
        format!("{measure} of {scope} is {} {}", sign(self.comparison), limit_words(&self.limit))
    }

    fn minizinc(&self, model: &Writer, name: &str) -> Result<Option<String>, MinizincError> {
        let value = model.measure(name, &self.scope, &self.measure)?;
        let sign = match self.comparison {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Equal => "=",
        };
        // A limit between two whole numbers is met by the same ones as the whole number it is rounded towards.
        let exact = |v: f64| (v - v.round()).abs() < 1e-9;
        let round = |v: f64| match self.comparison {
            _ if exact(v) => v.round(),
            Comparison::Less | Comparison::GreaterOrEqual => v.ceil(),
            Comparison::LessOrEqual | Comparison::Greater => v.floor(),
            // Never met by a whole number.
            Comparison::Equal => -1e12,
        };
        let limit = limit_text(&self.limit, &model.group(&self.scope), value.factor, round);
        Ok(Some(format!("{} {sign} {limit}", value.text)))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        is_unknown_at(problem, component, machine, &self.measure, &self.scope)
    }

    fn relaxable(&self) -> Option<Relaxable> {
        let is_upper = matches!(self.comparison, Comparison::Less | Comparison::LessOrEqual);
        (is_upper && matches!(self.limit, Limit::Constant(_)))
            .then(|| Relaxable::Measured(self.scope.clone(), self.measure.clone()))
    }

    fn with_limit(&self, limit: f64) -> Option<Constraint> {
        let limit = Limit::Constant(limit);
        Some(Constraint::Bound(Self { limit, comparison: Comparison::LessOrEqual, ..self.clone() }))
    }
}
