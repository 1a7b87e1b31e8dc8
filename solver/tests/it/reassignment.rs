//! The reassignment engine against plain enumeration on small problems.

use crate::common::*;
use rhizo_solver::*;
use std::time::{Duration, Instant};

fn cluster(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let mut problem = world(&mut dice, 3);
    problem.machines.iter_mut().for_each(|m| m.stock = Stock::Kept);
    problem.machines.iter_mut().for_each(|m| m.capacity.iter_mut().for_each(|c| *c += 2.0));
    problem.migration.per_pair = dice.number(1) / 10.0;
    for name in ["a", "b"] {
        let count = 1 + dice.below(3) as u32;
        let mut component = Component::new(name, count, count);
        component.per_host_max = dice.below(2) as u32;
        component.needs_each = (0..count).map(|_| vec![dice.number(2), dice.number(2)]).collect();
        component.move_cost_each = (0..count).map(|_| dice.number(2)).collect();
        component.current = (0..count).map(|_| dice.chance(80).then(|| dice.below(3))).collect();
        problem.components.push(component);
    }
    let scope = |dice: &mut Dice| if dice.chance(60) { Scope::Component(dice.below(2)) } else { Scope::All };
    for r in 0..dice.below(4) {
        let scope = scope(&mut dice);
        let rule = match dice.below(8) {
            0 => Constraint::Each(rule::Each { scope, allowed: dice.mask(3, 75) }),
            1 => Constraint::Ban(rule::Ban {
                scope: Scope::Instances(vec![(0, 0)]),
                machines: vec![dice.below(3)],
            }),
            2 => Constraint::Apart(rule::Apart { scope, partition: dice.chance(50).then_some(0) }),
            3 => Constraint::Gather(rule::Gather { scope, partition: dice.chance(70).then_some(0) }),
            4 => Constraint::Spread(rule::Spread {
                scope,
                partition: 0,
                max_in_class: None,
                min_distinct: Some(Limit::Constant(dice.number(2))),
            }),
            5 => Constraint::Root(rule::Root { scope: Scope::Instances(vec![(1, 0)]) }),
            _ => Constraint::Neighbour(rule::Neighbour {
                user: Scope::Component(0),
                provider: Scope::Component(1),
                partition: 1,
            }),
        };
        problem.constraints.push(Named::new(format!("r{r}"), rule));
    }
    if dice.chance(30) {
        let rule = Constraint::Preserve(rule::Preserve {
            scope: Scope::Component(0),
            resource: 0,
            amount: dice.number(2),
        });
        problem.constraints.push(Named::new("preserve", rule));
        let rule = Constraint::Overbook(rule::Overbook {
            machines: dice.mask(3, 70),
            resource: 1,
            ratio: 0.5 + dice.number(1),
        });
        problem.constraints.push(Named::new("overbook", rule));
    } else {
        let mut add = |name: &str, measure: Measure, per_unit: f64| {
            problem.costs.push(Named::new(name, Cost { scope: Scope::All, measure, per_unit }));
        };
        add("load", Measure::Overload { resource: 0 }, dice.number(2));
        add("balance", Measure::Imbalance { first: 0, second: 1, target: dice.number(2) }, dice.number(1));
    }
    problem
}

#[test]
fn repair_finds_what_exists_and_never_beats_the_optimum() {
    let (mut feasible, mut found, mut best) = (0, 0, 0);
    for seed in 0..600 {
        let problem = cluster(seed);
        let answer =
            solve(&problem, &Options { seed, engine: Some(EngineName::Reassignment) }, &mut || false);
        match (answer, enumerate(&problem)) {
            (Ok(plan), Some((net, _))) => {
                (feasible, found) = (feasible + 1, found + 1);
                assert!(plan.after.net <= net + 1e-9, "seed {seed}: better than the best");
                assert!(
                    plan.bound.is_some_and(|bound| bound >= net - 1e-9),
                    "seed {seed}: {:?} bounds {net}",
                    plan.bound
                );
                best += u32::from(plan.after.net >= net - 1e-9);
            }
            (Err(SolveError::NotFound { .. }), Some(_)) => feasible += 1,
            (Err(SolveError::NotFound { .. }), None) => {}
            (answer, best) => panic!("seed {seed}: {answer:?}, but enumeration says {best:?}"),
        }
    }
    assert!(feasible > 150, "{feasible}");
    assert!(found * 10 >= feasible * 8, "a configuration is found for {found} of {feasible}");
    assert!(best * 10 >= found * 8, "the best is found for {best} of {found}");
}

#[test]
fn thousands_of_rules_about_a_few_instances_each_do_not_keep_the_engine_away() {
    let mut problem = Problem::default();
    problem.resources.push(Resource { name: "cpu".into(), transient: false });
    for m in 0..5_000 {
        // Ten of them have room for two of the three that run there.
        problem.machines.push(host(format!("m{m}"), if m < 10 { 5.0 } else { 8.0 }));
    }
    let mut component = Component::new("vm", 15_000, 15_000);
    component.per_host_max = 0;
    component.needs = vec![2.0];
    component.current = (0..15_000).map(|ordinal| Some(ordinal % 5_000)).collect();
    problem.components.push(component);
    for r in 0..4_000 {
        let scope = Scope::Instances((3 * r..3 * r + 3).map(|ordinal| (0, ordinal)).collect());
        let rule = Constraint::Apart(rule::Apart { scope, partition: None });
        problem.constraints.push(Named::new(format!("apart {r}"), rule));
    }
    // Takes half a second; another engine would search for very long.
    let begun = Instant::now();
    let mut watchdog = || begun.elapsed() > Duration::from_secs(60);
    let plan = repair(&problem, 1, &mut watchdog).expect("there is room for a fourth on all others");
    assert_eq!(plan.engine, EngineName::Reassignment);
    assert_eq!(check(&problem, &plan.assignment), []);
    assert_eq!(plan.changes.len(), 10);
}
