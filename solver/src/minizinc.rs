//! Writes a problem as a MiniZinc model, so that any other solver can be asked the same question.
//!
//! Each instance that may run is a *slot* with a variable: the host it is on, or 0. Hosts are numbered from 1, copies
//! of an offer one after another. Everything is whole-numbered: amounts and times in thousandths, prices and worth in
//! millionths, each rounded, which is said in the model. What cannot be said so is refused by name.
//! `rules.rs` writes the rules, `objective.rs` what is maximised.

mod objective;
mod rules;

use crate::assignment::{Instance, Place};
use crate::check::{capacity_of, effective_needs, in_scope};
use crate::constraint::Scope;
use crate::problem::{Problem, Stock};
use crate::validate::{ProblemError, validate};
use crate::versions::lowered;
use std::fmt::Write as _;
use thiserror::Error;

/// Slots times hosts, at most: solvers of finite domains have no use for larger models.
const SIZE_MAX: usize = 400_000;

/// Why a problem cannot be written.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum MinizincError {
    /// The problem makes no sense.
    #[error("pose the problem")]
    Problem(#[source] ProblemError),
    /// A rule, utility or cost that the model has no words for.
    #[error("write `{name}`: {why}")]
    Unknown {
        /// Its name.
        name: String,
        /// What there are no words for.
        why: &'static str,
    },
    /// More than a solver would take.
    #[error("write {slots} instances on {hosts} hosts: the model would be too large")]
    TooLarge {
        /// Instances that may run.
        slots: usize,
        /// Hosts that may be used.
        hosts: usize,
    },
}

/// Writes the model with its data; the answer of a solver is `at`, and `net` in millionths.
///
/// # Errors
/// See [`MinizincError`].
pub fn minizinc(problem: &Problem) -> Result<String, MinizincError> {
    validate(problem).map_err(MinizincError::Problem)?;
    let problem = &*lowered(problem);
    let mut writer = Writer::new(problem)?;
    writer.header();
    writer.built_in();
    for named in &problem.constraints {
        writer.rule(named)?;
    }
    writer.objective()?;
    Ok(writer.text)
}

/// Whole thousandths.
fn milli(value: f64) -> i64 {
    whole(value * 1e3)
}

/// Whole millionths.
fn micro(value: f64) -> i64 {
    whole(value * 1e6)
}

/// The nearest whole number.
fn whole(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and saturates")]
    let whole = value.round() as i64;
    whole
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    // The literal for no elements has no type of its own, and so cannot be an index.
    if items.is_empty() { "[i | i in 1..0]".to_owned() } else { format!("[{}]", items.join(", ")) }
}

/// A set of hosts; some solvers cannot read an empty one, so that has a member that is never met.
fn set(hosts: &[usize]) -> String {
    let hosts: Vec<String> = hosts.iter().map(usize::to_string).collect();
    if hosts.is_empty() { "{-1}".to_owned() } else { format!("{{{}}}", hosts.join(", ")) }
}

struct Writer<'a> {
    problem: &'a Problem,
    slots: Vec<Instance>,
    places: Vec<Place>,
    text: String,
}

impl<'a> Writer<'a> {
    fn new(problem: &'a Problem) -> Result<Self, MinizincError> {
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

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn constraint(&mut self, text: &str) {
        let _infallible = writeln!(self.text, "constraint {text};");
    }

    /// The number of a machine's only host; for machines that are no offers.
    fn host(&self, machine: usize) -> usize {
        self.places.iter().position(|p| *p == Place::on(machine)).map_or(0, |at| at + 1)
    }

    /// The slots of a scope, as an array.
    fn group(&self, scope: &Scope) -> String {
        list(self.slots.iter().enumerate().filter(|(_, i)| in_scope(scope, **i)).map(|(at, _)| at + 1))
    }

    /// A number for each host from 0, where 0 is being on none.
    fn by_host(&self, none: i64, of: &dyn Fn(usize) -> i64) -> String {
        let values = self.places.iter().map(|p| of(p.machine));
        format!("array1d(0..H, {})", list([none].into_iter().chain(values)))
    }

    /// Hosts whose machine has a property.
    fn hosts(&self, has: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let at = self.places.iter().enumerate().filter(|(_, p)| has(p.machine));
        at.map(|(at, _)| at + 1).collect()
    }

    fn header(&mut self) {
        let (slots, hosts) = (self.slots.len(), self.places.len());
        self.line("% Made from a rhizo problem. Amounts and times are in thousandths, prices and worth in millionths.");
        let _infallible =
            writeln!(self.text, "int: S = {slots}; % instances that may run\nint: H = {hosts}; % hosts");
        for (at, instance) in self.slots.clone().into_iter().enumerate() {
            let name = comment(&self.problem.components[instance.component].name);
            self.line(&format!("% slot {}: {name}.{}", at + 1, instance.ordinal));
        }
        for (at, place) in self.places.clone().into_iter().enumerate() {
            let name = comment(&self.problem.machines[place.machine].name);
            self.line(&format!("% host {}: {name} {}", at + 1, place.copy));
        }
        self.line(
            "array[1..S] of var 0..H: at;\n\
             array[1..H] of var bool: used;\n\
             constraint forall(h in 1..H)(used[h] <-> exists(s in 1..S)(at[s] = h));\n\
             function var int: size(array[int] of int: g) = sum(s in g)(bool2int(at[s] > 0));\n\
             function var bool: has(array[int] of int: g, int: h) = exists(s in g)(at[s] = h);\n\
             function var int: on(array[int] of int: g, int: h) = sum(s in g)(bool2int(at[s] = h));\n\
             function var int: in_class(array[int] of int: g, array[int] of int: k, int: c) =\n  \
             sum(s in g)(bool2int(k[at[s]] = c));\n\
             function var bool: classed(array[int] of int: g, array[int] of int: k) =\n  \
             forall(s in g)(at[s] > 0 -> k[at[s]] > 0);",
        );
    }

    /// Counts, instances per host, capacities.
    fn built_in(&mut self) {
        let problem = self.problem;
        for (component, c) in problem.components.iter().enumerate() {
            let group = self.group(&Scope::Component(component));
            self.constraint(&format!("size({group}) in {}..{}", c.replicas_min, c.replicas_max));
            if c.per_host_max > 0 {
                self.constraint(&format!("forall(h in 1..H)(on({group}, h) <= {})", c.per_host_max));
            }
            if c.is_exchangeable() {
                let slots: Vec<(usize, Instance)> = self
                    .slots
                    .iter()
                    .copied()
                    .enumerate()
                    .filter(|(_, i)| i.component == component)
                    .collect();
                let runs = |slot: &&(usize, Instance)| c.current_of(slot.1.ordinal).is_some();
                let running = list(slots.iter().filter(runs).map(|(at, _)| at + 1));
                let others = list(slots.iter().filter(|s| !runs(s)).map(|(at, _)| at + 1));
                self.constraint(&format!(
                    "not (exists(s in {running})(at[s] = 0) /\\ exists(s in {others})(at[s] > 0))"
                ));
            }
        }
        for (resource, r) in problem.resources.iter().enumerate() {
            let needs = effective_needs(problem, resource);
            let need = list(self.slots.iter().map(|i| milli(needs(*i))));
            let capacity = list(self.places.iter().map(|p| milli(capacity_of(problem, p.machine, resource))));
            let mut also = String::new();
            if r.transient {
                // What moves holds it on its old host too.
                for (at, instance) in self.slots.iter().enumerate() {
                    if let Some(from) = problem.components[instance.component].current_of(instance.ordinal) {
                        let (s, host) = (at + 1, self.host(from));
                        let _infallible = write!(
                            also,
                            " + {} * bool2int(h = {host} /\\ at[{s}] > 0 /\\ at[{s}] != {host})",
                            milli(needs(*instance))
                        );
                    }
                }
            }
            self.line(&format!("array[1..S] of int: need{resource} = {need}; % {}", comment(&r.name)));
            self.line(&format!("array[1..H] of int: capacity{resource} = {capacity};"));
            self.constraint(&format!(
                "forall(h in 1..H)(sum(s in 1..S)(need{resource}[s] * bool2int(at[s] = h)){also} <= capacity{resource}[h])"
            ));
        }
    }

    /// Hosts that are paid for: in use, or kept anyway.
    fn total_price(&self) -> String {
        let problem = self.problem;
        let kept = |m: usize| problem.machines[m].stock == Stock::Kept;
        let fixed: i64 =
            problem.machines.iter().filter(|m| m.stock == Stock::Kept).map(|m| micro(m.price)).sum();
        let price = |m: usize| if kept(m) { 0 } else { micro(problem.machines[m].price) };
        let prices = list(self.places.iter().map(|p| price(p.machine)));
        format!("({fixed} + sum(h in 1..H)({prices}[h] * bool2int(used[h])))")
    }
}

/// Names stand in comments only, and end where the line ends.
fn comment(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
