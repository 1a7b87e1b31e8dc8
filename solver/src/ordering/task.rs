//! A change prepared for ordering: its steps, the capacities of hosts, and the rules that depend on each instance.
//!
//! It judges sets of steps that run at once; `exact.rs` and `greedy.rs` decide which go first.

use super::sequence::{OrderError, Step};
use crate::assignment::{Assignment, Instance, Place};
use crate::check::{CAPACITY_TOLERANCE, broken_rule, capacity_of, in_scope};
use crate::constraint::{Constraint, Scope};
use crate::problem::Problem;
use crate::rule;
use crate::rules::table::meaning;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most steps of one wave that one rule may depend on. With more than 2^6 subsets the step waits for the next wave.
const CLOSE_MAX: usize = 6;
/// Rule amounts differ by rounding.
const ROUNDING: f64 = 1e-9;

/// The need of each host's instances together.
pub(super) type Loads = BTreeMap<Place, Vec<f64>>;

/// A rule that judges configurations.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Judge {
    /// A rule of the problem, by index.
    Rule(usize),
    /// The built-in rules about the counts of a component.
    Counts(usize),
}

pub(super) struct Task<'a> {
    pub(super) problem: &'a Problem,
    pub(super) from: &'a Assignment,
    pub(super) to: &'a Assignment,
    /// The change without stopovers.
    pub(super) steps: Vec<Step>,
    judges: Vec<Judge>,
    /// For each judge, the largest allowed amount: that of the worse of both ends.
    faults: Vec<f64>,
    /// The judges of every instance that changes.
    judges_of: BTreeMap<Instance, Vec<usize>>,
    /// Least needs by preserve rules, of single instances and of whole scopes: resource and amount.
    least_of: BTreeMap<Instance, Vec<(usize, f64)>>,
    least_wide: Vec<(&'a Scope, usize, f64)>,
    capacity: Vec<Vec<f64>>,
}

impl<'a> Task<'a> {
    pub(super) fn new(
        problem: &'a Problem,
        from: &'a Assignment,
        to: &'a Assignment,
    ) -> Result<Self, OrderError> {
        for assignment in [from, to] {
            shape(problem, assignment)?;
        }
        let judges = (0..problem.constraints.len()).map(Judge::Rule);
        let judges: Vec<Judge> = judges.chain((0..problem.components.len()).map(Judge::Counts)).collect();
        let resources = 0..problem.resources.len();
        let capacity = (0..problem.machines.len())
            .map(|m| resources.clone().map(|r| capacity_of(problem, m, r)).collect())
            .collect();
        let mut task = Self {
            problem,
            from,
            to,
            steps: difference(from, to),
            judges,
            faults: Vec::new(),
            judges_of: BTreeMap::new(),
            least_of: BTreeMap::new(),
            least_wide: Vec::new(),
            capacity,
        };
        task.add_least_needs();
        let of = |step: &Step| (step.instance, task.find_judges(step.instance));
        task.judges_of = task.steps.iter().map(of).collect();
        task.faults =
            task.judges.iter().map(|j| task.fault(*j, from).max(task.fault(*j, to)) + ROUNDING).collect();
        Ok(task)
    }

    /// The amount by which a configuration breaks the rule of a judge.
    fn fault(&self, judge: Judge, assignment: &Assignment) -> f64 {
        match judge {
            Judge::Rule(rule) => {
                let broken = broken_rule(self.problem, assignment, &self.problem.constraints[rule].item);
                broken.map_or(0.0, |(_, amount)| amount.max(2.0 * ROUNDING))
            }
            Judge::Counts(component) => self.count_fault(component, assignment),
        }
    }

    fn count_fault(&self, component: usize, assignment: &Assignment) -> f64 {
        let c = &self.problem.components[component];
        let places: Vec<Place> = assignment.places[component].iter().flatten().copied().collect();
        let count = places.len();
        let (min, max) = (c.replicas_min as usize, c.replicas_max as usize);
        let mut fault = min.saturating_sub(count) + count.saturating_sub(max);
        if c.per_host_max > 0 {
            let mut on: BTreeMap<Place, usize> = BTreeMap::new();
            places.iter().for_each(|place| *on.entry(*place).or_default() += 1);
            fault += on.values().map(|n| n.saturating_sub(c.per_host_max as usize)).sum::<usize>();
        }
        f64::from(u32::try_from(fault).unwrap_or(u32::MAX))
    }

    /// The least needs by preserve rules, by instance.
    fn add_least_needs(&mut self) {
        for named in &self.problem.constraints {
            let Constraint::Preserve(rule::Preserve { scope, resource, amount }) = &named.item else {
                continue;
            };
            if let Scope::Instances(instances) = scope {
                for &(component, ordinal) in instances {
                    let least = self.least_of.entry(Instance { component, ordinal }).or_default();
                    least.push((*resource, *amount));
                }
            } else {
                self.least_wide.push((scope, *resource, *amount));
            }
        }
    }

    /// The judges that depend on an instance.
    fn find_judges(&self, instance: Instance) -> Vec<usize> {
        let depends = |judge: &Judge| match judge {
            Judge::Rule(rule) => depends_on(&self.problem.constraints[*rule].item, instance),
            Judge::Counts(component) => *component == instance.component,
        };
        (0..self.judges.len()).filter(|j| depends(&self.judges[*j])).collect()
    }

    fn judges_of(&self, instance: Instance) -> Cow<'_, [usize]> {
        let known = self.judges_of.get(&instance);
        known.map_or_else(|| Cow::Owned(self.find_judges(instance)), |known| Cow::Borrowed(known.as_slice()))
    }

    /// The need of an instance of each resource.
    pub(super) fn needs(&self, instance: Instance) -> Vec<f64> {
        let component = &self.problem.components[instance.component];
        let mut needs: Vec<f64> =
            (0..self.problem.resources.len()).map(|r| component.need(instance.ordinal, r)).collect();
        let own = self.least_of.get(&instance).into_iter().flatten().copied();
        let wide = self.least_wide.iter().filter(|(scope, ..)| in_scope(scope, instance));
        for (resource, amount) in own.chain(wide.map(|(_, resource, amount)| (*resource, *amount))) {
            needs[resource] = needs[resource].max(amount);
        }
        needs
    }

    pub(super) fn loads(&self, assignment: &Assignment) -> Loads {
        let mut loads = Loads::new();
        for (instance, place) in assignment.iter() {
            add(&mut loads, place, &self.needs(instance));
        }
        loads
    }

    /// Whether a host has room for further needs beside its load.
    pub(super) fn has_room(&self, loads: &Loads, place: Place, needs: &[f64]) -> bool {
        let none = vec![0.0; needs.len()];
        let load = loads.get(&place).unwrap_or(&none);
        needs.iter().zip(load).zip(&self.capacity[place.machine]).all(|((need, load), capacity)| {
            *need <= 0.0 || load + need <= capacity + CAPACITY_TOLERANCE * capacity.abs()
        })
    }

    /// The capacity of a host of each resource.
    pub(super) fn capacity(&self, machine: usize) -> &[f64] {
        &self.capacity[machine]
    }

    /// Whether the rules allow a step beside others in one wave, for every subset of the wave that is done first.
    pub(super) fn rules_allow(&self, now: &Assignment, wave: &[Step], step: &Step) -> bool {
        self.judges_of(step.instance).iter().all(|&judge| {
            let close: Vec<&Step> =
                wave.iter().filter(|s| self.judges_of(s.instance).contains(&judge)).collect();
            if close.len() > CLOSE_MAX {
                return false;
            }
            (0..1u32 << close.len()).all(|subset| {
                let mut then = now.clone();
                apply(&mut then, step);
                let done = close.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1);
                done.for_each(|(_, other)| apply(&mut then, other));
                self.fault(self.judges[judge], &then) <= self.faults[judge]
            })
        })
    }

    /// Whether no rule is broken further than at the ends of the change.
    pub(super) fn allows(&self, assignment: &Assignment) -> bool {
        self.judges.iter().zip(&self.faults).all(|(judge, most)| self.fault(*judge, assignment) <= *most)
    }

    /// Hosts for a stopover: existing ones, then used ones, then one more of each offer.
    pub(super) fn stopover_places(&self) -> Vec<Place> {
        let used = |assignment: &Assignment| assignment.iter().map(|(_, place)| place).collect::<Vec<_>>();
        let mut bought: Vec<Place> = used(self.from).into_iter().chain(used(self.to)).collect();
        bought.retain(|place| self.problem.machines[place.machine].is_offer());
        bought.sort_unstable();
        bought.dedup();
        let machines = self.problem.machines.iter().enumerate();
        let mut places: Vec<Place> =
            machines.clone().filter(|(_, m)| !m.is_offer()).map(|(m, _)| Place::on(m)).collect();
        places.extend(&bought);
        for (machine, m) in machines.filter(|(_, m)| m.is_offer()) {
            let free = (0..m.copies_max()).map(|copy| Place { machine, copy });
            places.extend(free.into_iter().find(|place| !bought.contains(place)));
        }
        places
    }

    /// Whether a host would be bought and is used at neither end.
    pub(super) fn is_extra(&self, place: Place) -> bool {
        let used = |assignment: &Assignment| assignment.iter().any(|(_, p)| p == place);
        self.problem.machines[place.machine].is_offer() && !used(self.from) && !used(self.to)
    }
}

fn shape(problem: &Problem, assignment: &Assignment) -> Result<(), OrderError> {
    let wrong = |what: String| Err(OrderError::Shape { what });
    if assignment.places.len() != problem.components.len() {
        return wrong(format!(
            "{} components instead of {}",
            assignment.places.len(),
            problem.components.len()
        ));
    }
    for (instance, place) in assignment.iter() {
        let each = &problem.components[instance.component].needs_each;
        if place.machine >= problem.machines.len() {
            return wrong(format!("machine {} does not exist", place.machine));
        }
        if place.copy >= problem.machines[place.machine].copies_max() {
            return wrong(format!("copy {} of machine {} does not exist", place.copy, place.machine));
        }
        if !each.is_empty() && instance.ordinal >= each.len() {
            return wrong(format!("instance {} of component {}", instance.ordinal, instance.component));
        }
    }
    Ok(())
}

/// The step of every instance whose host differs between the ends.
pub(super) fn difference(from: &Assignment, to: &Assignment) -> Vec<Step> {
    let mut steps = Vec::new();
    for component in 0..from.places.len() {
        for ordinal in 0..from.places[component].len().max(to.places[component].len()) {
            let instance = Instance { component, ordinal };
            let step = Step { instance, from: from.place(instance), to: to.place(instance) };
            if step.from != step.to {
                steps.push(step);
            }
        }
    }
    steps
}

pub(super) fn apply(assignment: &mut Assignment, step: &Step) {
    let places = &mut assignment.places[step.instance.component];
    if places.len() <= step.instance.ordinal {
        places.resize(step.instance.ordinal + 1, None);
    }
    places[step.instance.ordinal] = step.to;
}

pub(super) fn add(loads: &mut Loads, place: Place, needs: &[f64]) {
    let load = loads.entry(place).or_insert_with(|| vec![0.0; needs.len()]);
    load.iter_mut().zip(needs).for_each(|(load, need)| *load += need);
}

pub(super) fn take(loads: &mut Loads, place: Place, needs: &[f64]) {
    if let Some(load) = loads.get_mut(&place) {
        load.iter_mut().zip(needs).for_each(|(load, need)| *load -= need);
    }
}

/// Whether the host of an instance can change whether a rule is kept. When in doubt, it can.
pub(super) fn depends_on(rule: &Constraint, instance: Instance) -> bool {
    let mut any = false;
    meaning(rule).visit_dependencies(&mut |scope| any |= in_scope(scope, instance));
    any
}
