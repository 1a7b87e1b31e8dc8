//! Quarantine: no instance comes to or leaves a set of machines, except by ending.

use super::wording::{count, instance_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::assignment::Place;
use crate::minizinc_text::{MinizincError, Writer};
use crate::minizinc_text::{list, set};
use crate::problem::Problem;
use crate::problem_error::{Checked, length};
use crate::rule::Quarantine;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Quarantine {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    /// An instance on these machines may end but not leave: it matters which of the displaced instances moves.
    fn tells_instances_apart(&self) -> bool {
        true
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        length(what, self.machines.len(), problem.machines.len())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let mut wrong = assignment.iter().filter(|(instance, place)| {
            let from = problem.components[instance.component].current_of(instance.ordinal);
            let stays = from.map(Place::on) == Some(*place);
            !stays && (self.machines[place.machine] || from.is_some_and(|m| self.machines[m]))
        });
        let (first, _) = wrong.next()?;
        let what = format!("{} comes to or leaves a closed machine", instance_name(problem, first));
        Some((what, float(1 + wrong.count())))
    }

    fn sentence(&self, _problem: &Problem) -> String {
        format!("nothing comes to or leaves {} machines", count(&self.machines))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let (now, closed) = (list(model.current()), set(&model.hosts(&|m| self.machines[m])));
        Ok(Some(format!(
            "forall(s in 1..S)(at[s] > 0 /\\ at[s] != {now}[s] -> not (at[s] in {closed}) /\\ not ({now}[s] in {closed}))"
        )))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        self.machines[machine] && !problem.components[component].current.contains(&Some(machine))
    }
}
