//! Local search finds a first feasible assignment when rules tie counts together, so that no single step repairs more
//! than it breaks.
//!
//! `general.rs` and `buying.rs` compare it with enumeration on small problems.

use crate::common::Dice;
use rhizo_solver::*;

/// Rules over the counts of components, all of which some counts keep to: those, with an instance on each host, are an
/// answer.
fn tied(seed: u64, replicas_max: u32) -> Problem {
    let mut dice = Dice::new(seed);
    let mut problem = Problem::default();
    problem.resources.push(Resource { name: "cpu".into(), transient: false });
    for m in 0..2 + dice.below(3) {
        problem.machines.push(Machine {
            name: format!("m{m}"),
            provider: String::new(),
            region: String::new(),
            stock: Stock::Offer { count_max: 6 * replicas_max },
            site: None,
            capacity: vec![4.0 + dice.number(6)],
            safety: Vec::new(),
            price: 1.0 + dice.number(8),
            move_cost: Vec::new(),
        });
    }
    let components = 3 + dice.below(4);
    let counts: Vec<i64> = (0..components)
        .map(|_| if dice.chance(25) { 0 } else { 1 + dice.below(replicas_max as usize) as i64 })
        .collect();
    for (c, count) in counts.iter().enumerate() {
        let count = *count as u32;
        let min = if dice.chance(40) { count } else { dice.below(count as usize + 1) as u32 };
        let max = if dice.chance(20) { count } else { replicas_max };
        let mut component = Component::new(format!("c{c}"), min, max);
        component.needs = vec![dice.number(4)];
        problem.components.push(component);
    }
    let mut rules = 0;
    while rules < 6 {
        let a = dice.below(components);
        let b = (a + 1 + dice.below(components - 1)) % components;
        let c = (b + 1 + dice.below(components - 1)) % components;
        let mut weight = || 1 + dice.below(7) as i64;
        let (x, y, z) = (weight(), weight(), weight());
        let (rule, holds) = match dice.below(8) {
            0..=2 => {
                let sum = x * counts[a] - y * counts[b] - z * counts[c];
                (
                    Constraint::Linear(rule::Linear {
                        terms: vec![(a, x), (b, -y), (c, -z)],
                        max: sum.max(0),
                    }),
                    sum <= 2,
                )
            }
            3..=4 => {
                let (per_user, per_provider) = (x as u32, y as u32);
                let exactly = dice.chance(30);
                let needed = (x * counts[a] + y - 1) / y;
                let holds = if exactly { counts[b] == needed } else { counts[b] >= needed };
                (
                    Constraint::Require(rule::Require {
                        user: a,
                        provider: b,
                        per_user,
                        per_provider,
                        exactly,
                    }),
                    holds,
                )
            }
            5 => {
                let present = u32::from(counts[a] > 0) + u32::from(counts[b] > 0);
                (
                    Constraint::Alternatives(rule::Alternatives { components: vec![a, b], min: 1, max: 1 }),
                    present == 1,
                )
            }
            6 => (
                Constraint::DependsOn(rule::DependsOn { component: a, any_of: vec![b] }),
                counts[a] > 0 && counts[b] > 0,
            ),
            _ => {
                let scopes = vec![Scope::Component(a), Scope::Component(b)];
                (Constraint::Split(rule::Split { scopes, partition: None }), a != b)
            }
        };
        rules += 1;
        if holds {
            problem.constraints.push(Named::new(format!("r{rules}"), rule));
        }
    }
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    problem
}

/// Checks that local search has an answer before it has called `stop` a number of times.
fn finds_a_start(problem: &Problem, seed: u64, what: &str) {
    let options = Options { seed, engine: Some(EngineName::Local) };
    let mut polls = 0;
    // Without a limit, most of the time would be spent on cheaper assignments.
    let mut stop = || {
        polls += 1;
        polls > 100_000
    };
    if let Err(error) = solve(problem, &options, &mut stop) {
        panic!("{what}, seed {seed}: {error:?}");
    }
}

#[test]
fn counts_that_rules_tie_to_each_other_are_found() {
    // With fourteen replicas there are more slots than the exact engine takes.
    for (replicas_max, seeds) in [(3, 1_000), (14, 60)] {
        for seed in 0..seeds {
            finds_a_start(&tied(seed, replicas_max), seed, &format!("up to {replicas_max} replicas"));
        }
    }
}

/// Parts that have to be near each other, in a far continent whose machines are the dearest, with users there.
fn far_away(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let mut problem = tied(seed, 8);
    problem.constraints.clear();
    let sites = 6;
    let ms = |a: usize, b: usize| {
        if a == b {
            1.0
        } else if a / 3 == b / 3 {
            20.0
        } else {
            150.0
        }
    };
    let rows: Vec<Vec<f64>> = (0..sites).map(|a| (0..sites).map(|b| ms(a, b)).collect()).collect();
    problem.latency = Latency::from_rows(&rows);
    let machines = (0..sites).map(|site| Machine {
        name: format!("m{site}"),
        site: Some(site),
        capacity: vec![8.0],
        price: if site < 3 { 1.0 } else { 3.0 } + dice.number(1),
        ..problem.machines[0].clone()
    });
    problem.machines = machines.collect();
    problem.partitions = vec![Partition {
        name: "site".into(),
        classes: (0..sites).map(|s| s.to_string()).collect(),
        class_of: (0..sites).map(Some).collect(),
    }];
    problem.components.truncate(1);
    for c in 1..6 {
        let mut component = Component::new(format!("c{c}"), 2 + dice.below(2) as u32, 8);
        component.needs = vec![dice.number(4)];
        problem.components.push(component);
        let scope = Scope::Component(c);
        let spread = Constraint::Spread(rule::Spread {
            scope: scope.clone(),
            partition: 0,
            max_in_class: None,
            min_distinct: Some(Limit::Constant(2.0)),
        });
        let near = Constraint::Bound(rule::Bound {
            scope,
            measure: Measure::PairLatencyMs(Scope::Component(dice.below(c))),
            comparison: Comparison::LessOrEqual,
            limit: Limit::Constant(30.0),
        });
        problem.constraints.push(Named::new(format!("spread {c}"), spread));
        problem.constraints.push(Named::new(format!("near {c}"), near));
    }
    problem.components[0] = Component::new("c0", 1, 8);
    let users = Constraint::Each(rule::Each {
        scope: Scope::Component(0),
        allowed: (0..sites).map(|s| s >= 3).collect(),
    });
    problem.constraints.push(Named::new("users", users));
    problem
}

#[test]
fn parts_that_have_to_be_near_each_other_get_to_a_far_continent() {
    for seed in 0..100 {
        finds_a_start(&far_away(seed), seed, "far away");
    }
}
