//! The objective in integer millionths: utilities, costs and migration, and constraints for the values that they need.

use crate::constraint::Scope;
use crate::minizinc_text::{MinizincError, Writer, list, micro, set, whole};
use crate::objective::{Measure, Of, Utility};
use crate::problem::{MachineIndex, Named, Stock};
use crate::rule;

/// Limit of products, because many solvers compute in 32 bits.
const PRODUCT_MAX: f64 = 2e9;

/// Number of denominators that are tried for a quotient.
const DENOMINATORS_MAX: u32 = 10_000;

/// The part of a total for each unit of a range, as the nearest quotient of integers that keeps products small.
fn ratio(total: f64, range: f64) -> (i64, i64) {
    let largest = (PRODUCT_MAX / total.max(1.0)).min(range * 1e3).max(1.0).floor();
    let error = |down: &f64| {
        let up = total * down / range;
        (up.round() - up).abs() / up.max(f64::MIN_POSITIVE)
    };
    let tried = (0..DENOMINATORS_MAX).map(|less| largest - f64::from(less)).take_while(|down| *down >= 1.0);
    let down = tried.min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or(1.0);
    (whole(total * down / range), whole(down))
}

/// A number as a quotient of integers, exact when some denominator up to a thousand makes it exact.
fn fraction(value: f64) -> (i64, i64) {
    let is_whole = |d: &f64| (value * d - (value * d).round()).abs() < 1e-9 * (value * d).abs().max(1.0);
    let down = (1..=1_000).map(f64::from).find(is_whole).unwrap_or(1_000.0);
    (whole(value * down), whole(down))
}

impl Writer<'_> {
    pub(super) fn objective(&mut self) -> Result<(), MinizincError> {
        let problem = self.problem;
        let mut terms = Vec::new();
        let weights: f64 = problem.utilities.iter().map(|u| u.item.weight).sum();
        for named in &problem.utilities {
            let share = if weights > 0.0 { named.item.weight / weights } else { 0.0 };
            terms.push(self.utility(named, share)?);
        }
        for named in &problem.costs {
            let value = self.measure(&named.name, &named.item.scope, &named.item.measure)?;
            self.known(&named.item.scope, &named.item.measure);
            let (up, down) = fraction(named.item.per_unit * 1e6 / value.factor);
            // A value that divides evenly is not rounded.
            terms.push(if down == 1 {
                format!("-{up} * {}", value.text)
            } else {
                format!("-(({up} * {}) div {down})", value.text)
            });
        }
        for named in problem.constraints.iter() {
            if let crate::constraint::Constraint::Bound(rule::Bound { scope, measure, .. }) = &named.item {
                self.known(scope, measure);
            }
        }
        terms.extend(self.migration());
        let sum = if terms.is_empty() { "0".to_owned() } else { terms.join("\n  + ").replace("+ -", "- ") };
        self.line(&format!("var int: net =\n  {sum};"));
        self.line("solve maximize net;");
        self.line("output [\"net = \\(net);\\nat = \\(at);\\n\"];");
        Ok(())
    }

    fn utility(&mut self, named: &Named<Utility>, share: f64) -> Result<String, MinizincError> {
        let problem = self.problem;
        let utility = &named.item;
        match &utility.of {
            Of::Each { component, quantity } => {
                let c = &problem.components[*component];
                if c.replicas_min != c.replicas_max || c.replicas_min == 0 {
                    return Err(MinizincError::Unknown {
                        name: named.name.clone(),
                        why: "a mean over a number of instances that is not fixed",
                    });
                }
                let values = &problem.quantities[*quantity].values;
                let worth = |m: usize| values[m].map_or(0.0, |v| utility.worth(v));
                let each = self.by_host(0, &|m| micro(share * worth(m) / f64::from(c.replicas_min)));
                let scope = Scope::Component(*component);
                self.exclude(&scope, &|m| values[m].is_none());
                Ok(format!("sum(s in {})({each}[at[s]])", self.group(&scope)))
            }
            Of::Group { scope, measure } => {
                let value = self.measure(&named.name, scope, measure)?;
                self.known(scope, measure);
                // Ends of the range between integers need a finer unit.
                let is_whole = |end: f64| (end * value.factor).fract().abs() < 1e-9;
                let finer = if is_whole(utility.best) && is_whole(utility.worst) { 1 } else { 1_000 };
                let end = |end: f64| whole(end * value.factor * f64::from(finer));
                let (best, worst) = (end(utility.best), end(utility.worst));
                let value = if finer == 1 { value.text } else { format!("{finer} * {}", value.text) };
                let range = (worst - best).abs();
                let beyond = if worst > best {
                    format!("({worst} - {value})")
                } else {
                    format!("({value} - {worst})")
                };
                // Kept within the range first, so that products stay small.
                #[expect(clippy::cast_precision_loss, reason = "ranges are below a thousand million")]
                let (up, down) = ratio(share * 1e6, range.max(1) as f64);
                Ok(format!("(max(0, min({range}, {beyond})) * {up}) div {down}"))
            }
        }
    }

    /// Keeps a group off machines without the value that a measure needs.
    fn known(&mut self, scope: &Scope, measure: &Measure) {
        let problem = self.problem;
        let no_site = |m: MachineIndex| problem.machines[m].site.is_none();
        match measure {
            Measure::DiameterMs | Measure::AnchorLatencyMs => self.exclude(scope, &no_site),
            Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => {
                self.exclude(scope, &no_site);
                self.exclude(other, &no_site);
            }
            Measure::Sum(q) | Measure::Average(q) => {
                self.exclude(scope, &|m| problem.quantities[*q].values[m].is_none());
            }
            Measure::Distinct(p) => self.exclude(scope, &|m| problem.partitions[*p].class_of[m].is_none()),
            _ => {}
        }
    }

    fn exclude(&mut self, scope: &Scope, is_refused: &dyn Fn(MachineIndex) -> bool) {
        let refused = self.hosts(is_refused);
        if !refused.is_empty() {
            self.constraint(&format!("forall(s in {})(not (at[s] in {}))", self.group(scope), set(&refused)));
        }
    }

    fn migration(&self) -> Vec<String> {
        let problem = self.problem;
        let m = &problem.migration;
        let mut terms = Vec::new();
        if m.add > 0.0 {
            let offers = list(self.hosts(&|m| problem.machines[m].is_offer()));
            terms.push(format!("-{} * sum(h in {offers})(bool2int(used[h]))", micro(m.add)));
        }
        if m.remove > 0.0 {
            let running = list(self.hosts(&|m| problem.machines[m].stock == Stock::Running));
            terms.push(format!("-{} * sum(h in {running})(bool2int(not used[h]))", micro(m.remove)));
        }
        let mut services = Vec::new();
        for (component, c) in problem.components.iter().enumerate() {
            let mut moved = Vec::new();
            for (at, instance) in self.slots.iter().enumerate().filter(|(_, i)| i.component == component) {
                let Some(from) = c.current_of(instance.ordinal) else { continue };
                let (s, host) = (at + 1, self.host(from));
                let moves = format!("bool2int(at[{s}] > 0 /\\ at[{s}] != {host})");
                let cost = micro(m.per_move * c.move_cost_of(instance.ordinal));
                if cost > 0 {
                    terms.push(format!("-{cost} * {moves}"));
                }
                if m.per_pair > 0.0 {
                    let pair = &problem.machines[from].move_cost;
                    let cost =
                        |to: usize| if to == from { 0.0 } else { pair.get(to).copied().unwrap_or(0.0) };
                    let by_host = self.by_host(0, &|to| micro(m.per_pair * cost(to)));
                    terms.push(format!("-{by_host}[at[{s}]]"));
                }
                moved.push(moves);
            }
            if !moved.is_empty() {
                services.push(moved.join(" + "));
            }
        }
        if m.per_service > 0.0 && !services.is_empty() {
            terms.push(format!("-{} * max({})", micro(m.per_service), list(services)));
        }
        terms
    }
}
