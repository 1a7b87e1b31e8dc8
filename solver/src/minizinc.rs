//! Writes a problem as a MiniZinc model, so that another solver can answer the same question.
//!
//! Everything is an integer: amounts and times in thousandths, prices and worth in millionths, each rounded, which a
//! comment in the model says. A rule, utility or cost that integers cannot express is refused by name.
//! `minizinc_text.rs` has the numbering of slots and hosts, `rules/` the constraint of each rule, and `objective.rs`
//! writes the objective.

mod objective;

use crate::assignment::Instance;
use crate::check::{capacity_of, effective_needs};
use crate::constraint::Constraint;
pub use crate::minizinc_text::MinizincError;
use crate::minizinc_text::{Writer, list, milli};
use crate::problem::{Named, Problem};
use crate::rules::table::meaning;
use crate::scope::Scope;
use crate::validate::validate;
use crate::versions::lowered;
use std::fmt::Write as _;

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

impl Writer<'_> {
    fn rule(&mut self, named: &Named<Constraint>) -> Result<(), MinizincError> {
        self.line(&format!("% {}", comment(&named.name)));
        if let Some(text) = meaning(&named.item).minizinc(self, &named.name)? {
            self.constraint(&text);
        }
        Ok(())
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

    /// Writes counts, instances per host and capacities.
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
                // A moving instance holds the resource on its old host too.
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
}

/// Names occur only in comments, which end with the line.
fn comment(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
