//! Repairs move only instances that break a rule, in problems of any kind and with thousands of hosts.

use crate::common::{Dice, enumerate};
use crate::general::several_components;
use rhizo_solver::*;

#[test]
fn what_is_well_is_left_alone_and_what_is_not_is_mended() {
    let (mut well, mut mended, mut none) = (0, 0, 0);
    for seed in 0..1500 {
        let problem = several_components(seed);
        let current = Assignment::current(&problem);
        let is_well = check(&problem, &current).is_empty();
        match repair(&problem, seed, &mut || false) {
            Ok(plan) if is_well => {
                assert_eq!((&plan.assignment, plan.changes.len()), (&current, 0), "seed {seed}");
                well += 1;
            }
            Ok(plan) => {
                assert_eq!(check(&problem, &plan.assignment), [], "seed {seed}");
                needs_every_change(&problem, &plan);
                if current.iter().next().is_some() {
                    assert_eq!(plan.broken_before, check(&problem, &current), "seed {seed}");
                }
                mended += 1;
            }
            // It returns an error only when no repair is possible.
            Err(SolveError::Infeasible { .. }) => {
                assert!(enumerate(&problem).is_none(), "seed {seed}: there is an answer");
                none += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(
        well > 50 && mended > 200 && none > 50,
        "{well} were well, {mended} mended, {none} without answer"
    );
}

/// Checks that every change of a repair is needed.
fn needs_every_change(problem: &Problem, plan: &Plan) {
    for (component, c) in problem.components.iter().enumerate() {
        let places = &plan.assignment.places[component];
        for ordinal in 0..places.len().max(c.current.len()) {
            let (is, was) = (places.get(ordinal).copied().flatten(), c.current_of(ordinal).map(Place::on));
            if is != was {
                let mut other = plan.assignment.clone();
                let places = &mut other.places[component];
                places.resize(places.len().max(ordinal + 1), None);
                places[ordinal] = was;
                assert!(!check(problem, &other).is_empty(), "{}.{ordinal} need not have changed", c.name);
            }
        }
    }
}

/// Hosts that are paid for, more of which can be bought, and components with a few instances on different racks.
fn running(hosts: usize, components: usize, dice: &mut Dice) -> Problem {
    let mut problem = Problem::default();
    problem.resources.push(Resource { name: "cpu".into(), transient: false });
    let machine = |name: String, stock: Stock| Machine {
        name,
        provider: String::new(),
        region: String::new(),
        stock,
        site: None,
        capacity: vec![8.0],
        safety: Vec::new(),
        price: 1.0,
        move_cost: Vec::new(),
    };
    problem.machines.extend((0..hosts).map(|m| machine(format!("m{m}"), Stock::Running)));
    problem.machines.push(machine("offer".into(), Stock::Offer { count_max: 100 }));
    let rack = |m: usize| Some(m % 40);
    problem.partitions.push(Partition {
        name: "rack".into(),
        classes: (0..40).map(|c| c.to_string()).collect(),
        class_of: (0..=hosts).map(rack).collect(),
    });
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    let mut free = vec![8.0; hosts];
    for c in 0..components {
        let mut component = Component::new(format!("c{c}"), 2, 3);
        component.needs = vec![1.0 + dice.below(2) as f64];
        let mut at = dice.below(hosts);
        for _ in 0..3 {
            while free[at] < component.needs[0] {
                at = (at + 1) % hosts;
            }
            free[at] -= component.needs[0];
            component.current.push(Some(at));
            at = (at + 1) % hosts;
        }
        let spread = Constraint::Spread(rule::Spread {
            scope: Scope::Component(c),
            partition: 0,
            max_in_class: None,
            min_distinct: Some(Limit::Constant(2.0)),
        });
        problem.constraints.push(Named::new(format!("spread {c}"), spread));
        problem.components.push(component);
    }
    problem
}

#[test]
fn among_thousands_of_hosts_only_what_ran_on_the_lost_ones_starts_anew() {
    let mut dice = Dice::new(3);
    let mut problem = running(3_000, 2_000, &mut dice);
    assert_eq!(check(&problem, &Assignment::current(&problem)), []);
    let lost: Vec<usize> = (0..10).map(|_| dice.below(3_000)).collect();
    let is_lost = |m: &Option<usize>| m.is_some_and(|m| lost.contains(&m));
    let mut short = Vec::new();
    for (c, component) in problem.components.iter_mut().enumerate() {
        // All three instances are required, so that each loss has to be replaced.
        component.replicas_min = 3;
        if component.current.iter().any(is_lost) {
            short.push(c);
            component.current.iter_mut().filter(|m| is_lost(m)).for_each(|m| *m = None);
        }
    }
    lost.iter().for_each(|machine| problem.machines[*machine].capacity = vec![0.0]);
    assert!(short.len() > 5, "{}", short.len());
    let plan = repair(&problem, 1, &mut || false).expect("there is room elsewhere");
    assert_eq!(plan.engine, EngineName::Local);
    assert!(
        plan.changes.iter().all(|change| short.contains(&change.instance.component)),
        "{:?}",
        plan.changes
    );
    assert_eq!(plan.changes.len(), plan.after.migration.started as usize, "nothing moves");
    // About one evaluation of each host for each instance that starts.
    let looked_at = plan.changes.len() as u64 * 3_001;
    assert!(plan.evaluated < 3 * looked_at, "{} judgements for {}", plan.evaluated, plan.changes.len());
}
