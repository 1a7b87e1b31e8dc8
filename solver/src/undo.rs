//! Undoes moves that gain nothing.
//!
//! Engines that choose hosts first may assign ordinals so that a running instance leaves its host while a new instance
//! starts there. When the reverse is worth as much, the running instance stays instead. The evaluator and the checker
//! judge every step, so the result is worth at least as much and breaks no rule. Read next: [`mod@crate::solve`], which
//! applies it to the result of every engine.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::check;
use crate::evaluate::evaluate;
use crate::problem::Problem;

/// The budget in evaluations of an instance under a rule, some milliseconds. It is spent once after the search, so that
/// the deadline of the search does not limit it. Problems with thousands of instances get no judgement from it: the
/// engine for those counts moves itself.
const EVALUATIONS_MAX: usize = 200_000;

/// Returns the assignment, or one with fewer moves that is worth at least as much and breaks no rule.
pub(crate) fn undo_unprofitable_moves(problem: &Problem, found: Assignment) -> Assignment {
    let evaluations = (found.iter().count() + problem.components.len()) * (1 + problem.constraints.len());
    let mut left = EVALUATIONS_MAX / evaluations.max(1);
    let mut best = found;
    let mut net = evaluate(problem, &best).net;
    loop {
        let mut changed = false;
        for (instance, from) in moved(problem, &best) {
            for (to, others) in ways_to_stay(problem, &best, instance, from) {
                if left == 0 {
                    return best;
                }
                left -= 1;
                let candidate = exchanged(&best, instance, from, to, &others);
                let worth = evaluate(problem, &candidate).net;
                let fewer = moved(problem, &candidate).len() < moved(problem, &best).len();
                if worth >= net && fewer && check(problem, &candidate).is_empty() {
                    (best, net, changed) = (candidate, worth, true);
                    break;
                }
            }
        }
        if !changed {
            return best;
        }
    }
}

/// The running instances that leave their host, with that host.
fn moved(problem: &Problem, assignment: &Assignment) -> Vec<(Instance, Place)> {
    let of = |(instance, place): (Instance, Place)| {
        let from = Place::on(problem.components[instance.component].current_of(instance.ordinal)?);
        (from != place).then_some((instance, from))
    };
    assignment.iter().filter_map(of).collect()
}

/// The host that an instance moved to, with each choice of instances to send there when it stays: none, one of the
/// arrivals at its old host, or all of them.
fn ways_to_stay(
    problem: &Problem,
    assignment: &Assignment,
    instance: Instance,
    from: Place,
) -> Vec<(Place, Vec<Instance>)> {
    let Some(to) = assignment.place(instance).filter(|to| *to != from) else { return Vec::new() };
    let is_new = |other: &Instance| {
        problem.components[other.component].current_of(other.ordinal).map(Place::on) != Some(from)
    };
    let at = assignment.iter().filter(|(_, place)| *place == from).map(|(other, _)| other);
    let came: Vec<Instance> = at.filter(is_new).collect();
    let mut ways = vec![Vec::new()];
    ways.extend(came.iter().map(|other| vec![*other]));
    if came.len() > 1 {
        ways.push(came);
    }
    ways.into_iter().map(|others| (to, others)).collect()
}

fn exchanged(
    assignment: &Assignment,
    instance: Instance,
    from: Place,
    to: Place,
    others: &[Instance],
) -> Assignment {
    let mut candidate = assignment.clone();
    candidate.places[instance.component][instance.ordinal] = Some(from);
    for other in others {
        candidate.places[other.component][other.ordinal] = Some(to);
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::Scope;
    use crate::objective::{Cost, Measure};
    use crate::problem::{Component, Machine, Named, Resource, Stock};

    fn machine(name: &str, stock: Stock) -> Machine {
        Machine {
            name: name.into(),
            provider: String::new(),
            region: String::new(),
            stock,
            site: None,
            capacity: vec![1.0],
            safety: Vec::new(),
            price: 0.1,
            move_cost: Vec::new(),
        }
    }

    /// Two running hosts of one core with a copy of `db` and the one of `web`, and an offer for the second `db`.
    fn after_a_loss() -> Problem {
        let component = |name: &str, count: u32, current: Vec<Option<usize>>| Component {
            needs: vec![1.0],
            current,
            ..Component::new(name, count, count)
        };
        Problem {
            resources: vec![Resource { name: "cpu".into(), transient: false }],
            machines: vec![
                machine("one", Stock::Running),
                machine("two", Stock::Running),
                machine("offer", Stock::Offer { count_max: 4 }),
            ],
            components: vec![component("db", 2, vec![None, Some(0)]), component("web", 1, vec![Some(1)])],
            ..Problem::default()
        }
    }

    #[test]
    fn what_runs_stays_where_it_is_and_what_is_new_goes_to_the_new_host() {
        let problem = after_a_loss();
        let needless = Assignment {
            places: vec![vec![Some(Place::on(1)), Some(Place::on(0))], vec![Some(Place::on(2))]],
        };
        assert!(check(&problem, &needless).is_empty());
        let stays = undo_unprofitable_moves(&problem, needless);
        assert_eq!(stays.places[1], [Some(Place::on(1))]);
        assert_eq!(stays.places[0], [Some(Place::on(2)), Some(Place::on(0))]);
        assert_eq!(evaluate(&problem, &stays).migration.moved, 0);
    }

    #[test]
    fn a_move_that_is_worth_something_is_made() {
        let mut problem = after_a_loss();
        // Without the dear host two things fit on the other one: the move saves its price.
        problem.machines[0].capacity = vec![2.0];
        let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
        problem.costs.push(Named::new("price", price));
        problem.components[0].replicas_min = 1;
        let saves = Assignment { places: vec![vec![None, Some(Place::on(0))], vec![Some(Place::on(0))]] };
        assert!(check(&problem, &saves).is_empty());
        assert_eq!(undo_unprofitable_moves(&problem, saves.clone()), saves);
    }

    #[test]
    fn a_solution_has_no_move_that_buys_nothing() {
        let problem = after_a_loss();
        let plan = crate::solve(&problem, &crate::Options::default(), &mut || false).expect("a plan");
        assert_eq!(plan.after.migration.moved, 0, "{:?}", plan.assignment);
    }
}
