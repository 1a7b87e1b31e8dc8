//! The decomposition engine on problems that are small enough for plain enumeration.

use crate::common::*;
use rhizo_solver::*;

fn shop(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let machines = 2 + dice.below(3);
    let mut problem = world(&mut dice, machines);
    problem.resources[1].transient = false;
    problem.migration = Migration { add: dice.number(1) / 4.0, ..Migration::default() };
    for machine in &mut problem.machines {
        machine.price += 0.25;
        machine.stock = Stock::Offer { count_max: 1 + dice.below(2) as u32 };
    }
    let names = ["a", "b", "c"].iter().take(if machines > 3 { 2 } else { 3 });
    for name in names {
        let mut component = component(&mut dice, &problem, name, 2);
        component.current.clear();
        component.per_host_max = dice.below(3) as u32;
        problem.components.push(component);
    }
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    for r in 0..dice.below(5) {
        let (a, b) = (dice.below(problem.components.len()), dice.below(problem.components.len()));
        let scope = if dice.chance(60) { Scope::Component(a) } else { Scope::All };
        let near = |measure: Measure, dice: &mut Dice| {
            let limit = Limit::Constant(5.0 + dice.number(40));
            let comparison = if dice.chance(50) { Comparison::Less } else { Comparison::LessOrEqual };
            Constraint::Bound(rule::Bound { scope: scope.clone(), measure, comparison, limit })
        };
        let rule = match dice.below(13) {
            0 => Constraint::Each(rule::Each { scope, allowed: dice.mask(machines, 75) }),
            1 => Constraint::Ban(rule::Ban { scope, machines: vec![dice.below(machines)] }),
            2..=3 => near(Measure::DiameterMs, &mut dice),
            4..=5 => near(Measure::PairLatencyMs(Scope::Component(b)), &mut dice),
            6..=7 => Constraint::Spread(rule::Spread {
                scope: Scope::Component(a),
                partition: dice.below(2),
                max_in_class: dice.chance(50).then(|| limit(&mut dice, 3)),
                min_distinct: dice.chance(50).then(|| limit(&mut dice, 2)),
            }),
            8 => Constraint::Survive(rule::Survive {
                scope: Scope::Component(a),
                partition: dice.below(2),
                min_left: limit(&mut dice, 1),
            }),
            9 => Constraint::Require(rule::Require {
                user: a,
                provider: b,
                per_user: 1,
                per_provider: 1,
                exactly: false,
            }),
            10 => Constraint::Apart(rule::Apart { scope, partition: None }),
            11 => Constraint::Split(rule::Split {
                scopes: vec![Scope::Component(a), Scope::Component(b)],
                partition: None,
            }),
            _ => Constraint::Count(rule::Count { components: vec![a], min: 1, max: 2 }),
        };
        problem.constraints.push(Named::new(format!("r{r}"), rule));
    }
    problem
}

#[test]
fn what_is_bought_is_allowed_and_the_bound_holds() {
    let (mut feasible, mut infeasible, mut proven, mut best_found) = (0, 0, 0, 0);
    for seed in 0..1500 {
        let problem = shop(seed);
        let options = Options { seed, engine: Some(EngineName::Decomposition) };
        match (solve(&problem, &options, &mut || false), enumerate(&problem)) {
            (Ok(plan), Some((net, assignment))) => {
                feasible += 1;
                assert!(plan.after.net <= net + 1e-9, "seed {seed}: better than the best");
                let bound = plan.bound.unwrap_or_else(|| panic!("seed {seed}: no bound"));
                assert!(bound >= net - 1e-7, "seed {seed}: {bound} bounds {net} of {assignment:?}");
                best_found += u32::from(plan.after.net >= net - 1e-7);
                if plan.proven {
                    proven += 1;
                    assert!(
                        plan.after.net >= net - 1e-7,
                        "seed {seed}: {} is proven, not {net}",
                        plan.after.net
                    );
                }
            }
            (Err(SolveError::Infeasible { .. }), None) => infeasible += 1,
            // Offers run out, or a layout cannot be packed: other engines take over where none is asked for.
            (Err(SolveError::Unsuited { .. } | SolveError::NotFound { .. }), _) => {}
            // No assignment is feasible: the engine need not prove that, and the checker refuses its attempts.
            (Err(SolveError::Rejected { .. }), None) => {}
            // Any other refusal by the checker is a fault of the engine, although no caller would receive the
            // assignment.
            (Err(SolveError::Rejected { violations, .. }), Some(_))
                if violations.iter().all(|violation| violation.rule == "[copies]") => {}
            (answer, best) => panic!("seed {seed}: {answer:?}, but enumeration says {best:?}"),
        }
    }
    assert!(feasible > 500 && infeasible > 200, "{feasible} feasible, {infeasible} infeasible");
    assert!(best_found * 20 >= feasible * 19, "the best is found for {best_found} of {feasible}");
    assert!(proven * 10 >= feasible * 8, "{proven} of {feasible} are proven");
}

#[test]
fn names_and_the_currency_do_not_matter() {
    for seed in 0..150 {
        let problem = shop(seed);
        let options = Options { seed, engine: Some(EngineName::Decomposition) };
        let Ok(plan) = solve(&problem, &options, &mut || false) else { continue };
        let mut other = problem.clone();
        other.machines.iter_mut().for_each(|m| m.name.push_str(" renamed"));
        other.machines.iter_mut().for_each(|m| m.price *= 8.0);
        other.migration.add *= 8.0;
        let scaled = solve(&other, &options, &mut || false).unwrap();
        assert_eq!(scaled.assignment, plan.assignment, "seed {seed}");
        assert!((scaled.after.net - 8.0 * plan.after.net).abs() < 1e-9, "seed {seed}");
    }
}

/// Three regions near each other and a far one that is as cheap; users in at least two regions, each served by a
/// provider of its own, of which a region takes only one. Between them stand components that may be anywhere.
#[test]
fn counts_that_the_spread_leaves_no_room_for_are_given_up_at_once() {
    let mut problem = Problem::default();
    problem.resources.push(Resource { name: "cpu".into(), transient: false });
    let ms = |a: usize, b: usize| if a == b || (a < 3 && b < 3) { 1.0 } else { 90.0 };
    let rows: Vec<Vec<f64>> = (0..4).map(|a| (0..4).map(|b| ms(a, b)).collect()).collect();
    problem.latency = Latency::from_rows(&rows);
    let classes = (0..4).map(|site| format!("r{site}")).collect();
    let class_of = (0..4).map(Some).collect();
    problem.partitions.push(Partition { name: "region".into(), classes, class_of });
    for site in 0..4 {
        problem.machines.push(Machine {
            stock: Stock::Offer { count_max: 1_000 },
            site: Some(site),
            price: [1.0, 1.2, 1.1, 1.1][site],
            ..host(format!("m{site}"), 8.0)
        });
    }
    for (name, min, max) in
        [("users", 2, 4), ("a", 2, 4), ("b", 1, 3), ("c", 1, 2), ("d", 1, 3), ("providers", 3, 5)]
    {
        let mut component = Component::new(name, min, max);
        component.needs = vec![1.0];
        problem.components.push(component);
    }
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    let spread = |component, max_in_class| {
        Constraint::Spread(rule::Spread {
            scope: Scope::Component(component),
            partition: 0,
            max_in_class,
            min_distinct: Some(Limit::Constant(2.0)),
        })
    };
    let rules = [
        spread(0, None),
        spread(5, Some(Limit::Constant(1.0))),
        Constraint::Require(rule::Require {
            user: 0,
            provider: 5,
            per_user: 1,
            per_provider: 1,
            exactly: false,
        }),
        Constraint::Bound(rule::Bound {
            scope: Scope::All,
            measure: Measure::DiameterMs,
            comparison: Comparison::LessOrEqual,
            limit: Limit::Constant(40.0),
        }),
    ];
    let named = rules.into_iter().enumerate().map(|(r, rule)| Named::new(format!("r{r}"), rule));
    problem.constraints.extend(named);
    let options = Options { seed: 1, engine: Some(EngineName::Decomposition) };
    let plan = solve(&problem, &options, &mut || true).unwrap();
    assert_eq!(check(&problem, &plan.assignment), []);
}
