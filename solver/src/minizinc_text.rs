//! MiniZinc expressions over the instances and hosts of a problem.
//!
//! Each instance that may run is a *slot* with a variable: the host it is on, or 0. Hosts are numbered from 1, copies
//! of an offer one after another. Everything is whole-numbered: amounts and times in thousandths, prices and worth in
//! millionths. [`mod@crate::minizinc`] writes the model, and each rule in `rules/` its constraint.

use crate::assignment::{Instance, Place};
use crate::limit::Limit;
use crate::objective::Measure;
use crate::problem::{Problem, Stock};
use crate::problem_error::ProblemError;
use crate::scope::{ComponentIndex, Scope};
use std::fmt::Write as _;
use thiserror::Error;

/// Slots times hosts, at most: solvers of finite domains have no use for larger models.
const SIZE_MAX: usize = 400_000;

/// Why a problem cannot be written.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum MinizincError {
    /// The problem is not valid.
    #[error("pose the problem")]
    Problem(#[source] ProblemError),
    /// A rule, utility or cost that MiniZinc cannot express.
    #[error("write `{name}`: {why}")]
    Unknown {
        /// Its name.
        name: String,
        /// The part that cannot be expressed.
        why: &'static str,
    },
    /// The model would be too large for a solver.
    #[error("write {slots} instances on {hosts} hosts: the model would be too large")]
    TooLarge {
        /// Number of instances that may run.
        slots: usize,
        /// Number of hosts that may be used.
        hosts: usize,
    },
}

/// An integer expression, and the factor by which the real value was multiplied.
pub(crate) struct Scaled {
    pub(crate) text: String,
    pub(crate) factor: f64,
}

/// Whole thousandths.
pub(crate) fn milli(value: f64) -> i64 {
    whole(value * 1e3)
}

/// Whole millionths.
pub(crate) fn micro(value: f64) -> i64 {
    whole(value * 1e6)
}

/// The nearest whole number.
pub(crate) fn whole(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and saturates")]
    let whole = value.round() as i64;
    whole
}

/// An array of values.
pub(crate) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    // The literal for no elements has no type of its own, and so cannot be an index.
    if items.is_empty() { "[i | i in 1..0]".to_owned() } else { format!("[{}]", items.join(", ")) }
}

/// A set of hosts. Some solvers cannot read an empty set, so that an empty one has a member that no host has.
pub(crate) fn set(hosts: &[usize]) -> String {
    let hosts: Vec<String> = hosts.iter().map(usize::to_string).collect();
    if hosts.is_empty() { "{-1}".to_owned() } else { format!("{{{}}}", hosts.join(", ")) }
}

/// The model so far, with the numbering of its slots and hosts.
pub(crate) struct Writer<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) slots: Vec<Instance>,
    pub(crate) places: Vec<Place>,
    pub(crate) text: String,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(problem: &'a Problem) -> Result<Self, MinizincError> {
        let mut slots = Vec::new();
        for (component, c) in problem.components.iter().enumerate() {
            let count = (c.replicas_max as usize).max(c.current.len());
            slots.extend((0..count).map(|ordinal| Instance { component, ordinal }));
        }
        let most = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let mut places = Vec::new();
        for (machine, m) in problem.machines.iter().enumerate() {
            places.extend((0..m.copies_max().min(most)).map(|copy| Place { machine, copy }));
            if slots.len().saturating_mul(places.len()) > SIZE_MAX {
                return Err(MinizincError::TooLarge { slots: slots.len(), hosts: places.len() });
            }
        }
        Ok(Self { problem, slots, places, text: String::new() })
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub(crate) fn constraint(&mut self, text: &str) {
        let _infallible = writeln!(self.text, "constraint {text};");
    }

    /// The number of a machine's only host; for machines that are no offers.
    pub(crate) fn host(&self, machine: usize) -> usize {
        self.places.iter().position(|p| *p == Place::on(machine)).map_or(0, |at| at + 1)
    }

    /// The slots of a scope, as an array.
    pub(crate) fn group(&self, scope: &Scope) -> String {
        list(
            self.slots
                .iter()
                .enumerate()
                .filter(|(_, i)| scope.contains(i.component, i.ordinal))
                .map(|(at, _)| at + 1),
        )
    }

    /// A number for each host from 0, where 0 is being on none.
    pub(crate) fn by_host(&self, none: i64, of: &dyn Fn(usize) -> i64) -> String {
        let values = self.places.iter().map(|p| of(p.machine));
        format!("array1d(0..H, {})", list([none].into_iter().chain(values)))
    }

    /// Hosts whose machine has a property.
    pub(crate) fn hosts(&self, has: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let at = self.places.iter().enumerate().filter(|(_, p)| has(p.machine));
        at.map(|(at, _)| at + 1).collect()
    }

    /// The class of each host from 1, 0 where there is none.
    pub(crate) fn classes(&self, partition: usize) -> String {
        let class_of = &self.problem.partitions[partition].class_of;
        self.by_host(0, &|m| class_of[m].map_or(0, |c| i64::try_from(c + 1).unwrap_or(0)))
    }

    /// A scope's slots, the classes of hosts, and how many classes there are.
    pub(crate) fn classed(&self, scope: &Scope, partition: usize) -> (String, String, usize) {
        (self.group(scope), self.classes(partition), self.problem.partitions[partition].classes.len())
    }

    /// The slots of a scope are on allowed hosts or on none.
    pub(crate) fn within(&self, scope: &Scope, allowed: &dyn Fn(usize) -> bool) -> String {
        let mut hosts = self.hosts(allowed);
        hosts.push(0);
        format!("forall(s in {})(at[s] in {})", self.group(scope), set(&hosts))
    }

    /// The current host of each slot, or 0.
    pub(crate) fn current(&self) -> Vec<usize> {
        let now = |i: &Instance| {
            self.problem.components[i.component].current_of(i.ordinal).map_or(0, |m| self.host(m))
        };
        self.slots.iter().map(now).collect()
    }

    /// The number of running instances of a scope that move or end.
    pub(crate) fn displaced(&self, scope: &Scope) -> String {
        let now = list(self.current());
        format!("sum(s in {})(bool2int({now}[s] > 0 /\\ at[s] != {now}[s]))", self.group(scope))
    }

    /// The number of instances of a component that run.
    pub(crate) fn count(&self, component: ComponentIndex) -> String {
        format!("size({})", self.group(&Scope::Component(component)))
    }

    /// 1 when the component has instances, else 0.
    pub(crate) fn runs(&self, component: ComponentIndex) -> String {
        format!("bool2int({} > 0)", self.count(component))
    }

    /// The price of all used and kept hosts.
    pub(crate) fn total_price(&self) -> String {
        let problem = self.problem;
        let kept = |m: usize| problem.machines[m].stock == Stock::Kept;
        let fixed: i64 =
            problem.machines.iter().filter(|m| m.stock == Stock::Kept).map(|m| micro(m.price)).sum();
        let price = |m: usize| if kept(m) { 0 } else { micro(problem.machines[m].price) };
        let prices = list(self.places.iter().map(|p| price(p.machine)));
        format!("({fixed} + sum(h in 1..H)({prices}[h] * bool2int(used[h])))")
    }

    /// The expression of a measure of a group.
    pub(crate) fn measure(
        &self,
        name: &str,
        scope: &Scope,
        measure: &Measure,
    ) -> Result<Scaled, MinizincError> {
        let unknown = |why| Err(MinizincError::Unknown { name: name.to_owned(), why });
        let g = self.group(scope);
        let plain = |text: String| Ok(Scaled { text, factor: 1.0 });
        match measure {
            Measure::Size => plain(format!("size({g})")),
            Measure::Hosts => plain(format!("sum(h in 1..H)(bool2int(has({g}, h)))")),
            Measure::Count(mask) => {
                let hosts = set(&self.hosts(&|m| mask[m]));
                plain(format!("sum(s in {g})(bool2int(at[s] in {hosts}))"))
            }
            Measure::Distinct(p) => {
                let (g, k, count) = self.classed(scope, *p);
                plain(format!("sum(c in 1..{count})(bool2int(in_class({g}, {k}, c) > 0))"))
            }
            Measure::Price => {
                let prices = list(self.places.iter().map(|p| micro(self.problem.machines[p.machine].price)));
                let text = format!("sum(h in 1..H)({prices}[h] * bool2int(has({g}, h)))");
                Ok(Scaled { text, factor: 1e6 })
            }
            Measure::TotalPrice => Ok(Scaled { text: self.total_price(), factor: 1e6 }),
            Measure::Sum(q) => {
                let values = &self.problem.quantities[*q].values;
                let by_host = self.by_host(0, &|m| values[m].map_or(0, milli));
                Ok(Scaled { text: format!("sum(s in {g})({by_host}[at[s]])"), factor: 1e3 })
            }
            Measure::DiameterMs => Ok(self.latency(&g, &g)),
            Measure::PairLatencyMs(other) => Ok(self.latency(&g, &self.group(other))),
            // Without an instance the distance is without limit.
            Measure::AnchorLatencyMs if !self.is_never_empty(scope) => unknown("the distance of no instance"),
            Measure::AnchorLatencyMs => Ok(self.anchors(&g)),
            Measure::Share(_) | Measure::Average(_) | Measure::MeanPairLatencyMs(_) => {
                unknown("a quotient of variables")
            }
            Measure::Overload { .. } | Measure::Imbalance { .. } => unknown("load beyond soft limits"),
        }
    }

    /// The largest round-trip time between hosts of two groups.
    pub(crate) fn latency(&self, a: &str, b: &str) -> Scaled {
        let sites = self.problem.latency.sites;
        let rows = (0..sites).flat_map(|x| (0..sites).map(move |y| (x, y)));
        let times = list(rows.map(|(x, y)| milli(self.problem.latency.ms(x, y))));
        let site = self.by_host(0, &|m| site_number(self.problem, m));
        let text = format!(
            "max([0] ++ [let {{ var int: x = {site}[at[s]]; var int: y = {site}[at[t]]; }} in if x = 0 \\/ y = 0 \\/ at[s] = at[t] then 0 else {times}[max(1, (x - 1) * {sites} + y)] endif | s in {a}, t in {b}])"
        );
        Scaled { text, factor: 1e3 }
    }

    pub(crate) fn is_never_empty(&self, scope: &Scope) -> bool {
        self.problem.anchors.is_empty()
            || self
                .problem
                .components
                .iter()
                .enumerate()
                .any(|(component, c)| c.replicas_min > 0 && scope.contains(component, 0))
    }

    pub(crate) fn anchors(&self, g: &str) -> Scaled {
        let far = self.problem.anchors.iter().flatten().copied().map(milli).max().unwrap_or(0);
        let mut all = vec!["0".to_owned()];
        for anchor in &self.problem.anchors {
            let to = self.by_host(far, &|m| self.problem.machines[m].site.map_or(far, |s| milli(anchor[s])));
            all.push(format!("min([{far}] ++ [{to}[at[s]] | s in {g}])"));
        }
        Scaled { text: format!("max({})", list(all)), factor: 1e3 }
    }
}

/// A machine's site from 1, 0 where it has none.
fn site_number(problem: &Problem, machine: usize) -> i64 {
    problem.machines[machine].site.map_or(0, |s| i64::try_from(s + 1).unwrap_or(0))
}

/// A limit in whole numbers, looked up by the size of the group where it depends on that.
pub(crate) fn limit_text(limit: &Limit, group: &str, factor: f64, round: impl Fn(f64) -> f64) -> String {
    match limit {
        Limit::Constant(value) => whole(round(value * factor)).to_string(),
        Limit::BySize(values) => {
            let numbers = list(values.iter().map(|v| whole(round(v * factor))));
            format!("array1d(0..{0}, {numbers})[min({0}, size({group}))]", values.len() - 1)
        }
    }
}

/// The conjunction of expressions; true when there are none.
pub(crate) fn and(all: &[String]) -> String {
    if all.is_empty() { "true".to_owned() } else { all.join(" /\\ ") }
}

/// The sum of expressions; 0 when there are none.
pub(crate) fn sum(terms: impl Iterator<Item = String>) -> String {
    let terms: Vec<String> = terms.collect();
    if terms.is_empty() { "0".to_owned() } else { terms.join(" + ") }
}
