//! A diagnosis of generated infeasible problems: each conflict is one, is minimal, and all of them together suffice.
//!
//! Judged by plain enumeration, which shares nothing with the engines that the diagnosis asks.

use crate::common::*;
use rhizo_solver::explain::{Demand, Diagnosis, diagnose, most_copies, nearest_limit, without};
use rhizo_solver::*;

/// A problem that is often infeasible, and everything in it that can be given up.
fn posed(dice: &mut Dice) -> (Problem, Vec<Demand>) {
    let mut problem = world(dice, 3);
    for name in ["a", "b"].into_iter().take(1 + dice.below(2)) {
        let least = 1 + dice.below(2) as u32;
        let mut component = Component::new(name, least, 2);
        component.needs = vec![dice.number(7), dice.number(7)];
        problem.components.push(component);
    }
    problem.components[0].current.clear();
    for number in 0..dice.below(4) {
        let partition = dice.below(2);
        let rule = match dice.below(4) {
            0 => Constraint::Each(rule::Each { scope: Scope::Component(0), allowed: dice.mask(3, 60) }),
            1 => Constraint::Budget(rule::Budget { max_per_hour: dice.number(4) }),
            2 => Constraint::Spread(rule::Spread {
                scope: Scope::All,
                partition,
                max_in_class: Some(Limit::Constant(1.0)),
                min_distinct: None,
            }),
            _ => Constraint::Apart(rule::Apart { scope: Scope::All, partition: None }),
        };
        problem.constraints.push(Named::new(format!("rule{number}"), rule));
    }
    let of = Of::Each { component: 0, quantity: dice.below(2) };
    problem.utilities = vec![Named::new("utility", Utility { of, best: 1.0, worst: 0.0, weight: 1.0 })];
    let mut demands: Vec<Demand> = (0..problem.constraints.len()).map(Demand::Rule).collect();
    demands.push(Demand::Values(0));
    for component in 0..problem.components.len() {
        demands.extend((0..2).map(|resource| Demand::Need { component, resource }));
        demands.push(Demand::Copies(component));
    }
    let offers = problem.machines.iter().enumerate().filter(|(_, machine)| machine.is_offer());
    demands.push(Demand::Stock(offers.map(|(machine, _)| (machine, 2)).collect()));
    (problem, demands)
}

fn is_feasible(problem: &Problem) -> bool {
    enumerate(problem).is_some()
}

#[test]
fn every_named_cause_is_a_cause_and_all_of_them_suffice() {
    let (mut infeasible, mut several, mut incomplete) = (0, 0, 0);
    for seed in 0..400 {
        let (problem, demands) = posed(&mut Dice::new(seed));
        let Diagnosis { conflicts, complete } = diagnose(&problem, &demands, &mut || false);
        if is_feasible(&problem) {
            assert!(complete && conflicts.is_empty(), "seed {seed}: {conflicts:?}");
            continue;
        }
        infeasible += 1;
        several += u32::from(conflicts.len() > 1);
        incomplete += u32::from(!complete);
        let named: Vec<usize> = conflicts.iter().flatten().copied().collect();
        assert_eq!(is_feasible(&without(&problem, &demands, &named)), complete, "seed {seed}: {conflicts:?}");
        for conflict in &conflicts {
            let all_but = |kept: &dyn Fn(&usize) -> bool| -> Vec<usize> {
                (0..demands.len()).filter(|demand| !kept(demand)).collect()
            };
            let alone = without(&problem, &demands, &all_but(&|demand| conflict.contains(demand)));
            assert!(!is_feasible(&alone), "seed {seed}: {conflict:?} is no conflict");
            for left_out in conflict {
                let kept = |demand: &usize| demand != left_out && conflict.contains(demand);
                let part = without(&problem, &demands, &all_but(&kept));
                assert!(is_feasible(&part), "seed {seed}: {conflict:?} without {left_out} is a conflict too");
            }
        }
        if conflicts.is_empty() {
            let all: Vec<usize> = (0..demands.len()).collect();
            assert!(!is_feasible(&without(&problem, &demands, &all)), "seed {seed}: causes were missed");
        }
    }
    assert!(infeasible > 100 && several > 5 && incomplete > 0, "{infeasible} {several} {incomplete}");
}

#[test]
fn the_nearest_numbers_are_the_last_that_can_hold() {
    let mut problem = Problem {
        resources: vec![Resource { name: "cpu".into(), transient: false }],
        machines: vec![host("one".into(), 2.0), host("two".into(), 2.0), host("three".into(), 1.0)],
        ..Problem::default()
    };
    let mut web = Component::new("web", 3, 5);
    web.needs = vec![2.0];
    problem.components = vec![web];
    assert_eq!(most_copies(&problem, 0, &mut || false), Some(2));
    problem.components[0].replicas_min = 2;
    problem.machines.iter_mut().for_each(|machine| machine.price = 0.25);
    let budget = Constraint::Budget(rule::Budget { max_per_hour: 0.1 });
    problem.constraints = vec![Named::new("[budget]", budget)];
    assert_eq!(nearest_limit(&problem, 0, &mut || false), Some(0.75), "three hosts are kept");
}
