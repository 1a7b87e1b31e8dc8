//! Explanations: each named set of rules really conflicts, and none of its rules can be left out.

use crate::common::*;
use rhizo_solver::explain::{WhyNot, cheapest_relaxation, conflict, eligible, reweighted, why_here, why_not};
use rhizo_solver::*;

fn three_regions() -> Problem {
    let rows = vec![vec![0.0, 80.0, 200.0], vec![80.0, 0.0, 150.0], vec![200.0, 150.0, 0.0]];
    let mut problem = Problem { latency: Latency::from_rows(&rows), ..Problem::default() };
    for (site, name) in ["paris", "boston", "tokyo"].into_iter().enumerate() {
        problem.machines.push(Machine {
            name: name.into(),
            provider: "p".into(),
            region: name.into(),
            stock: Stock::Offer { count_max: 2 },
            site: Some(site),
            capacity: vec![],
            safety: vec![],
            price: 1.0 + site as f64,
            move_cost: vec![],
        });
    }
    let classes = vec!["europe".into(), "america".into(), "asia".into()];
    let class_of = vec![Some(0), Some(1), Some(2)];
    problem.partitions = vec![Partition { name: "node.continent".into(), classes, class_of }];
    problem.components = vec![Component::new("broker", 2, 3)];
    problem
}

fn bound(measure: Measure, comparison: Comparison, limit: f64) -> Constraint {
    Constraint::Bound(rule::Bound { scope: Scope::All, measure, comparison, limit: Limit::Constant(limit) })
}

fn spread(max: f64) -> Constraint {
    let max_in_class = Some(Limit::Constant(max));
    Constraint::Spread(rule::Spread { scope: Scope::All, partition: 0, max_in_class, min_distinct: None })
}

#[test]
fn a_conflict_names_only_the_rules_it_needs() {
    let mut problem = three_regions();
    problem.constraints = vec![
        Named::new("cheap", Constraint::Budget(rule::Budget { max_per_hour: 20.0 })),
        Named::new("near", bound(Measure::DiameterMs, Comparison::Less, 80.0)),
        Named::new("not-tokyo", Constraint::Ban(rule::Ban { scope: Scope::All, machines: vec![2] })),
        Named::new("wide", spread(1.0)),
    ];
    // Two continents are at least 80 ms apart, whether or not Tokyo may be used.
    let error = solve(&problem, &Options::default(), &mut || false).unwrap_err();
    assert_eq!(error, SolveError::Infeasible { conflict: vec!["near".into(), "wide".into()] });
}

#[test]
fn a_machine_that_is_not_chosen_is_refused_in_conflict_or_worse() {
    let mut problem = three_regions();
    problem.costs =
        vec![Named::new("price", Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 0.1 })];
    problem.constraints = vec![Named::new("wide", spread(1.0))];
    let plan = solve(&problem, &Options::default(), &mut || false).unwrap();
    assert_eq!(why_not(&problem, &plan, 0, 0, &mut || false), WhyNot::Chosen);
    let WhyNot::Worse { by, proven, .. } = why_not(&problem, &plan, 0, 2, &mut || false) else { panic!() };
    assert!(proven && (by - 0.1).abs() < 1e-9, "Tokyo costs one more than Boston, {by}");
    problem.constraints.push(Named::new("near", bound(Measure::DiameterMs, Comparison::Less, 100.0)));
    let conflicts = WhyNot::Conflict { rules: vec!["wide".into(), "near".into()] };
    assert_eq!(why_not(&problem, &plan, 0, 2, &mut || false), conflicts);
    problem
        .constraints
        .push(Named::new("not-tokyo", Constraint::Ban(rule::Ban { scope: Scope::All, machines: vec![2] })));
    assert_eq!(why_not(&problem, &plan, 0, 2, &mut || false), WhyNot::Refused { rule: "not-tokyo".into() });
}

#[test]
fn other_weights_are_another_problem() {
    let mut problem = three_regions();
    let of = Of::Group { scope: Scope::All, measure: Measure::DiameterMs };
    problem.utilities = vec![Named::new("diameter", Utility { of, best: 0.0, worst: 500.0, weight: 1.0 })];
    let (other, unknown) = reweighted(&problem, &[("diameter", 3.0), ("speed", 1.0)]);
    assert_eq!((other.utilities[0].item.weight, unknown), (3.0, vec!["speed".to_owned()]));
}

#[test]
fn conflicts_of_random_problems_are_minimal() {
    let mut seen = 0;
    for seed in 0..400 {
        let problem = crate::general::several_components(seed);
        if enumerate(&problem).is_some() {
            assert_eq!(conflict(&problem, &mut || false), None, "seed {seed}");
            continue;
        }
        let names = conflict(&problem, &mut || false).unwrap_or_else(|| panic!("seed {seed}: undecided"));
        let only = |keep: &dyn Fn(&str) -> bool| {
            let mut part = problem.clone();
            part.constraints.retain(|named| keep(&named.name));
            enumerate(&part).is_some()
        };
        assert!(!only(&|name| names.iter().any(|n| n == name)), "seed {seed}: {names:?} do not conflict");
        for left_out in &names {
            seen += 1;
            assert!(
                only(&|name| name != left_out && names.iter().any(|n| n == name)),
                "seed {seed}: {left_out}"
            );
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn eligible_machines_are_those_that_enumeration_can_use() {
    for seed in 0..300 {
        let problem = crate::general::several_components(seed);
        let Some((_, best)) = enumerate(&problem) else { continue };
        for (instance, place) in best.iter() {
            assert!(eligible(&problem, instance.component).contains(&place.machine), "seed {seed}");
        }
    }
}

#[test]
fn the_cheapest_relaxation_gives_up_the_fewest_rules() {
    let mut sizes = [0; 4];
    for seed in 0..600 {
        let problem = crate::general::several_components(seed);
        if enumerate(&problem).is_some() {
            assert_eq!(cheapest_relaxation(&problem, &mut || false), Some(Vec::new()), "seed {seed}");
            continue;
        }
        let part = |kept: u32| {
            let mut part = problem.clone();
            let mut at = 0;
            part.constraints.retain(|_| {
                at += 1;
                kept >> (at - 1) & 1 == 1
            });
            enumerate(&part).is_some()
        };
        let count = problem.constraints.len();
        let least =
            (0..1u32 << count).filter(|kept| part(*kept)).map(|kept| count as u32 - kept.count_ones()).min();
        let ways = cheapest_relaxation(&problem, &mut || false);
        assert_eq!(ways.as_ref().map(|ways| ways.len() as u32), least, "seed {seed}: {ways:?}");
        let Some(ways) = ways else { continue };
        sizes[ways.len()] += 1;
        let mut rest = problem.clone();
        rest.constraints.retain(|named| ways.iter().all(|way| way.rule != named.name));
        assert!(enumerate(&rest).is_some(), "seed {seed}: {ways:?}");
    }
    assert!(sizes[1] > 50 && sizes[2] > 3, "{sizes:?}");
}

#[test]
fn an_instance_is_where_every_other_machine_is_worse_or_refused() {
    let mut problem = three_regions();
    problem.costs =
        vec![Named::new("price", Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 0.1 })];
    problem.constraints = vec![Named::new("wide", spread(1.0))];
    let plan = solve(&problem, &Options::default(), &mut || false).unwrap();
    for (instance, place) in plan.assignment.iter() {
        let why = why_here(&problem, &plan.assignment, instance, 100).unwrap();
        assert_eq!((why.machine, why.better), (place.machine, 0));
        if let Some(next) = &why.next {
            assert!(next.worse_by >= 0.0);
            let sum: f64 = next.because.iter().map(|(_, by)| by).sum();
            assert!((sum - next.worse_by).abs() < 1e-9, "{next:?}");
        }
        let tried = problem.machines.len() - 1;
        assert_eq!(why.possible + why.kept_from.values().sum::<usize>(), tried);
    }
    let missing = Instance { component: 0, ordinal: 99 };
    assert!(why_here(&problem, &plan.assignment, missing, 100).is_none());
}
