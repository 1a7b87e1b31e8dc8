//! The configurations engine against plain enumeration.

use crate::common::*;
use rhizo_solver::*;

fn shop(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let machines = 2 + dice.below(2);
    let mut problem = world(&mut dice, machines);
    problem.resources[1].transient = false;
    for machine in &mut problem.machines {
        machine.price = machine.price.ceil();
        if let Stock::Offer { count_max } = &mut machine.stock {
            *count_max = 1 + dice.below(2) as u32;
        }
    }
    problem.migration =
        Migration { add: dice.number(1), remove: dice.number(1) / 2.0, ..Migration::default() };
    for name in ["a", "b", "c"].iter().take(2 + usize::from(machines == 2)) {
        let mut component = component(&mut dice, &problem, name, 2);
        component.current.truncate(1);
        component.per_host_max = dice.below(3) as u32;
        problem.components.push(component);
    }
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    if dice.chance(30) {
        let of = if dice.chance(50) { Measure::Hosts } else { Measure::Size };
        let cost = Cost { scope: Scope::All, measure: of, per_unit: dice.number(2) - 0.5 };
        problem.costs.push(Named::new("count", cost));
    }
    for r in 0..dice.below(4) {
        let (a, b) = (dice.below(problem.components.len()), dice.below(problem.components.len()));
        let all: Vec<usize> = (0..problem.components.len()).collect();
        let mask = dice.mask(machines, 70);
        let some = Scope::Components(all.iter().copied().filter(|_| dice.chance(60)).collect());
        let rule = match dice.below(14) {
            0 => Constraint::Each(rule::Each { scope: some, allowed: mask }),
            1 => Constraint::Lonely(rule::Lonely { scope: some }),
            2 => Constraint::Apart(rule::Apart { scope: some, partition: None }),
            3..=4 => Constraint::Split(rule::Split {
                scopes: vec![Scope::Component(a), Scope::Component(b)],
                partition: None,
            }),
            5 => Constraint::Together(rule::Together { components: vec![a, b] }),
            6 => Constraint::Everywhere(rule::Everywhere { component: a }),
            7 => Constraint::MaxOnline(rule::MaxOnline { machines: mask, max: 1 }),
            8 => Constraint::Require(rule::Require {
                user: a,
                provider: b,
                per_user: 1,
                per_provider: 2,
                exactly: false,
            }),
            9 => Constraint::Linear(rule::Linear { terms: vec![(a, 2), (b, -1)], max: 0 }),
            10 => Constraint::Alternatives(rule::Alternatives { components: vec![a, b], min: 1, max: 1 }),
            11 => Constraint::DependsOn(rule::DependsOn { component: a, any_of: vec![b] }),
            12 => Constraint::Conflict(rule::Conflict { first: a, second: b }),
            _ => Constraint::Budget(rule::Budget { max_per_hour: dice.number(9) }),
        };
        problem.constraints.push(Named::new(format!("r{r}"), rule));
    }
    problem
}

#[test]
fn the_cheapest_machines_agree_with_enumeration() {
    let (mut feasible, mut infeasible) = (0, 0);
    for seed in 0..800 {
        let problem = shop(seed);
        let options = Options { seed, engine: Some(EngineName::Configurations) };
        match (solve(&problem, &options, &mut || false), enumerate(&problem)) {
            (Ok(plan), Some((net, assignment))) => {
                feasible += 1;
                let found = plan.after.net;
                assert!(plan.proven, "seed {seed}");
                assert!((found - net).abs() < 1e-6, "seed {seed}: {found} is not {net} of {assignment:?}");
                let options = Options { seed, engine: Some(EngineName::Local) };
                let local = solve(&problem, &options, &mut || false).expect("there is an answer");
                assert!(local.after.net <= net + 1e-6, "seed {seed}: better than the best");
            }
            (Err(SolveError::Infeasible { .. }), None) => infeasible += 1,
            (answer, best) => panic!("seed {seed}: {answer:?}, but enumeration says {best:?}"),
        }
    }
    assert!(feasible > 200 && infeasible > 100, "{feasible} feasible, {infeasible} infeasible");
}

#[test]
fn a_useless_offer_changes_nothing() {
    for seed in 0..200 {
        let problem = shop(seed);
        let options = Options { seed, engine: Some(EngineName::Configurations) };
        let Ok(plan) = solve(&problem, &options, &mut || false) else { continue };
        let mut more = problem.clone();
        let dear = Machine {
            name: "dear".into(),
            stock: Stock::Offer { count_max: 3 },
            price: 1e6,
            ..more.machines[0].clone()
        };
        more.machines.iter_mut().filter(|m| !m.move_cost.is_empty()).for_each(|m| m.move_cost.push(0.0));
        more.machines.push(Machine { move_cost: Vec::new(), ..dear });
        more.partitions.iter_mut().for_each(|p| p.class_of.push(Some(0)));
        more.quantities.iter_mut().for_each(|q| q.values.push(Some(0.0)));
        for named in &mut more.constraints {
            match &mut named.item {
                Constraint::Each(rule::Each { allowed: mask, .. })
                | Constraint::MaxOnline(rule::MaxOnline { machines: mask, .. }) => mask.push(true),
                _ => {}
            }
        }
        let other = solve(&more, &options, &mut || false).unwrap();
        assert!((other.after.net - plan.after.net).abs() < 1e-6, "seed {seed}");
    }
}
