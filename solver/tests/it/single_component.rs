//! The exact engine for one component against plain enumeration.

use crate::common::*;
use rhizo_solver::*;

fn one_component(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let machines = 2 + dice.below(4);
    let mut problem = world(&mut dice, machines);
    problem.components = vec![component(&mut dice, &problem.clone(), "broker", 3)];
    let scope = |dice: &mut Dice| if dice.chance(50) { Scope::All } else { Scope::Component(0) };
    terms(&mut dice, &mut problem, &scope);
    for r in 0..dice.below(5) {
        let scope = scope(&mut dice);
        let partition = dice.below(2);
        let rule = match dice.below(10) {
            0 => Constraint::Each(rule::Each { scope, allowed: dice.mask(machines, 80) }),
            1 => Constraint::Ban(rule::Ban { scope, machines: vec![dice.below(machines)] }),
            2..=3 => Constraint::Spread(rule::Spread {
                scope,
                partition,
                max_in_class: dice.chance(80).then(|| limit(&mut dice, 3)),
                min_distinct: dice.chance(30).then(|| limit(&mut dice, 2)),
            }),
            4..=5 => {
                let measure = measure(&mut dice, machines, &|_| Scope::All);
                let top =
                    if matches!(measure, Measure::DiameterMs | Measure::AnchorLatencyMs) { 40 } else { 6 };
                Constraint::Bound(rule::Bound {
                    scope,
                    measure,
                    comparison: comparison(&mut dice),
                    limit: limit(&mut dice, top),
                })
            }
            6 => Constraint::Budget(rule::Budget { max_per_hour: dice.number(9) }),
            7 => Constraint::Moves(rule::Moves { scope, max: dice.below(3) as u32 }),
            8 => Constraint::Root(rule::Root {
                scope: if dice.chance(50) { Scope::Instances(vec![(0, 0)]) } else { scope },
            }),
            _ => Constraint::Survive(rule::Survive { scope, partition, min_left: limit(&mut dice, 2) }),
        };
        // A root rule over an ordinal that cannot exist is no problem at all.
        let has_first = problem.components[0].replicas_max > 0 || !problem.components[0].current.is_empty();
        if has_first || !matches!(rule, Constraint::Root(rule::Root { scope: Scope::Instances(_) })) {
            problem.constraints.push(Named::new(format!("r{r}"), rule));
        }
    }
    problem
}

#[test]
fn the_exact_engine_agrees_with_enumeration() {
    let (mut feasible, mut infeasible) = (0, 0);
    for seed in 0..3000 {
        let problem = one_component(seed);
        let options = Options { seed, engine: Some(EngineName::SingleComponent) };
        let answer = solve(&problem, &options, &mut || false);
        let best = enumerate(&problem);
        match (answer, best) {
            (Err(SolveError::Unsuited { .. }), _) => {}
            (Ok(plan), Some((net, assignment))) => {
                feasible += 1;
                assert!(plan.proven, "seed {seed}");
                let found = plan.after.net;
                assert!((found - net).abs() < 1e-9, "seed {seed}: {found} is not {net} of {assignment:?}");
                assert!(plan.gap.is_some_and(|gap| gap < 1e-9), "seed {seed}");
            }
            (Err(SolveError::Infeasible { .. }), None) => infeasible += 1,
            (answer, best) => panic!("seed {seed}: {answer:?}, but enumeration says {best:?}"),
        }
    }
    assert!(feasible > 500 && infeasible > 300, "{feasible} feasible, {infeasible} infeasible");
}

#[test]
fn a_stopped_search_still_bounds_the_optimum() {
    for seed in 0..200 {
        let problem = one_component(seed);
        let options = Options { seed, engine: Some(EngineName::SingleComponent) };
        let Ok(whole) = solve(&problem, &options, &mut || false) else { continue };
        let Ok(part) = solve(&problem, &options, &mut || true) else { continue };
        assert!(part.bound.is_some_and(|bound| bound >= whole.after.net - 1e-9), "seed {seed}");
        assert!(part.after.net <= whole.after.net + 1e-9, "seed {seed}");
    }
}
