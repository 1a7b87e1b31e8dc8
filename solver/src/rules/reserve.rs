//! Reserve: whichever single class is lost, the other hosts have room for what ran in it.

use super::cells::is_unclassed;
use super::overbook::capacity_of;
use super::preserve::effective_needs;
use super::wording::scope_name;
use super::{Broken, CAPACITY_TOLERANCE, Rule};
use crate::assignment::Assignment;
use crate::assignment::Place;
use crate::minizinc_text::{MinizincError, Writer};
use crate::minizinc_text::{list, milli};
use crate::problem::Problem;
use crate::problem::Stock;
use crate::problem_error::{Checked, amount, index, scope_of};
use crate::rule::Reserve;
use crate::scope::{ComponentIndex, MachineIndex, Scope};
use std::collections::BTreeMap;

impl Rule for Reserve {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    /// Every instance takes room that another one may need.
    fn visit_dependencies(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        index(what, self.partition, problem.partitions.len())?;
        index(what, self.resource, problem.resources.len())?;
        amount(what, self.share)
    }

    /// A host without a class gives no room: it is unknown with which class it is lost.
    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let needs = effective_needs(problem, self.resource);
        let partition = &problem.partitions[self.partition];
        let kept = problem.machines.iter().enumerate().filter(|(_, m)| m.stock == Stock::Kept);
        let mut used: BTreeMap<Place, f64> = kept.map(|(m, _)| (Place::on(m), 0.0)).collect();
        let mut lost: BTreeMap<usize, f64> = BTreeMap::new();
        for (instance, place) in assignment.iter() {
            let need = needs(instance);
            *used.entry(place).or_default() += need;
            if self.scope.contains(instance.component, instance.ordinal) {
                let Some(class) = partition.class_of[place.machine] else {
                    let host = &problem.machines[place.machine].name;
                    return Some((format!("{} of {host} is unknown", partition.name), 1.0));
                };
                *lost.entry(class).or_default() += need;
            }
        }
        let room = |class: usize| -> f64 {
            let is_left = |p: &Place| partition.class_of[p.machine].is_some_and(|c| c != class);
            let free =
                |p: &Place, used: &f64| (capacity_of(problem, p.machine, self.resource) - used).max(0.0);
            used.iter().filter(|(p, _)| is_left(p)).map(|(p, used)| free(p, used)).sum()
        };
        let short = |(class, need): (usize, f64)| {
            let (room, wanted) = (room(class), self.share * need);
            (room < wanted - CAPACITY_TOLERANCE * wanted).then_some((class, room, wanted))
        };
        let (class, room, wanted) = lost.into_iter().find_map(short)?;
        let (by, class) = (&partition.name, &partition.classes[class]);
        let resource = &problem.resources[self.resource].name;
        let what = format!("without {by} {class} {room} of {resource} are free, {wanted} are needed");
        Some((what, (wanted - room) / wanted))
    }

    fn sentence(&self, problem: &Problem) -> String {
        let by = &problem.partitions[self.partition].name;
        let (resource, share) = (&problem.resources[self.resource].name, self.share);
        let scope = scope_name(problem, &self.scope);
        format!(
            "whichever {by} is lost, the other hosts have room for {share} times the {resource} of {scope}"
        )
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let problem = model.problem;
        let (g, k, count) = model.classed(&self.scope, self.partition);
        let needs = effective_needs(problem, self.resource);
        let need = list(model.slots.iter().map(|i| milli(needs(*i))));
        let capacity =
            list(model.places.iter().map(|p| milli(capacity_of(problem, p.machine, self.resource))));
        let kept = list(model.places.iter().map(|p| problem.machines[p.machine].stock == Stock::Kept));
        let load = format!("sum(s in 1..S)({need}[s] * bool2int(at[s] = h))");
        Ok(Some(format!(
            "classed({g}, {k}) /\\ forall(c in 1..{count})(1000 * sum(h in 1..H where {k}[h] != c /\\ {k}[h] > 0)(bool2int(used[h] \\/ {kept}[h]) * max(0, {capacity}[h] - {load})) >= {} * sum(s in {g})({need}[s] * bool2int({k}[at[s]] = c)))",
            milli(self.share)
        )))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        is_unclassed(problem, &self.scope, self.partition, component, machine)
    }
}
