//! The whole catalogue of rules and terms over several components, against plain enumeration.

use crate::common::*;
use rhizo_solver::*;

fn scope(dice: &mut Dice, problem: &Problem) -> Scope {
    let components = problem.components.len();
    let slots =
        |c: usize| problem.components[c].current.len().max(problem.components[c].replicas_max as usize);
    match dice.below(6) {
        0 => Scope::All,
        1 => Scope::Components((0..components).filter(|_| dice.chance(60)).collect()),
        2 => {
            let all = (0..components).flat_map(|c| (0..slots(c)).map(move |o| (c, o)));
            Scope::Instances(all.filter(|_| dice.chance(50)).collect())
        }
        _ => Scope::Component(dice.below(components)),
    }
}

/// A package in a range that some of [`release`] is in.
pub(crate) fn wanted(dice: &mut Dice) -> Wanted {
    let package = ["p", "q", "v"][dice.below(3)].to_owned();
    let range = ["*", ">=2", "<2", "=1.0.0", ">=1, <3"][dice.below(5)];
    Wanted { package, range: VersionReq::parse(range).expect("a range") }
}

/// A version that no component of the problem has yet: the first one is of `p`.
pub(crate) fn release(dice: &mut Dice, problem: &Problem) -> Release {
    let major = problem.components.len() as u64 + 1;
    let package = if major == 1 || dice.chance(60) { "p" } else { "q" };
    let version = Version::new(major, 0, 0);
    let mut provides = Vec::new();
    if dice.chance(40) {
        let version = dice.chance(60).then(|| Version::new(1 + dice.below(2) as u64, 5, 0));
        provides.push(Provided { package: "v".into(), version });
    }
    Release { package: package.into(), version, provides }
}

/// One rule of the catalogue, each kind in turn.
fn rule(dice: &mut Dice, problem: &Problem, kind: usize) -> Constraint {
    let machines = problem.machines.len();
    let (a, b) = (dice.below(problem.components.len()), dice.below(problem.components.len()));
    let partition = dice.below(2);
    let by = dice.chance(40).then_some(partition);
    let all: Vec<usize> = (0..problem.components.len()).collect();
    let group = scope(dice, problem);
    match kind % 29 {
        0 => Constraint::Each(rule::Each { scope: group, allowed: dice.mask(machines, 75) }),
        1 => Constraint::Ban(rule::Ban { scope: group, machines: vec![dice.below(machines)] }),
        2 => {
            let other = scope(dice, problem);
            let measure = measure(dice, machines, &|_| other.clone());
            Constraint::Bound(rule::Bound {
                scope: group,
                measure,
                comparison: comparison(dice),
                limit: limit(dice, 20),
            })
        }
        3 => Constraint::Spread(rule::Spread {
            scope: group,
            partition,
            max_in_class: dice.chance(70).then(|| limit(dice, 3)),
            min_distinct: dice.chance(40).then(|| limit(dice, 2)),
        }),
        4 => Constraint::Apart(rule::Apart { scope: group, partition: by }),
        5 => Constraint::Gather(rule::Gather { scope: group, partition: by }),
        6 => Constraint::Split(rule::Split {
            scopes: vec![Scope::Component(a), Scope::Component(b)],
            partition: by,
        }),
        7 => Constraint::Lonely(rule::Lonely { scope: group }),
        8 => Constraint::Together(rule::Together { components: all }),
        9 => Constraint::Everywhere(rule::Everywhere { component: a }),
        10 => Constraint::Root(rule::Root { scope: group }),
        11 => Constraint::Quarantine(rule::Quarantine { machines: dice.mask(machines, 30) }),
        12 => Constraint::MaxOnline(rule::MaxOnline {
            machines: dice.mask(machines, 70),
            max: dice.below(3) as u32,
        }),
        13 => Constraint::Overbook(rule::Overbook {
            machines: dice.mask(machines, 70),
            resource: 0,
            ratio: dice.number(2),
        }),
        14 => Constraint::Preserve(rule::Preserve { scope: group, resource: 0, amount: dice.number(4) }),
        15 => Constraint::Require(rule::Require {
            user: a,
            provider: b,
            per_user: 1 + dice.below(2) as u32,
            per_provider: 1 + dice.below(3) as u32,
            exactly: dice.chance(30),
        }),
        16 => Constraint::Alternatives(rule::Alternatives {
            components: all,
            min: dice.below(2) as u32,
            max: 1,
        }),
        17 => Constraint::DependsOn(rule::DependsOn { component: a, any_of: vec![b] }),
        18 => Constraint::Conflict(rule::Conflict { first: a, second: b }),
        19 => {
            Constraint::Neighbour(rule::Neighbour { user: group, provider: scope(dice, problem), partition })
        }
        20 => Constraint::Budget(rule::Budget { max_per_hour: dice.number(9) }),
        21 => Constraint::Moves(rule::Moves { scope: group, max: dice.below(3) as u32 }),
        22 => Constraint::Survive(rule::Survive { scope: group, partition, min_left: limit(dice, 2) }),
        23 => Constraint::Count(rule::Count { components: all, min: dice.below(3) as u32, max: 3 }),
        25 => Constraint::Reserve(rule::Reserve {
            scope: group,
            partition,
            resource: 0,
            share: dice.number(2) / 2.0,
        }),
        26 => Constraint::Versions(rule::Versions { package: "p".into(), max: dice.below(2) as u32 }),
        27 => Constraint::Needs(rule::Needs {
            component: a,
            any_of: (0..=dice.below(2)).map(|_| wanted(dice)).collect(),
        }),
        28 => Constraint::Breaks(rule::Breaks { component: a, wanted: wanted(dice) }),
        _ => Constraint::Linear(rule::Linear {
            terms: vec![(a, dice.below(5) as i64 - 2), (b, dice.below(5) as i64 - 2)],
            max: dice.below(4) as i64 - 1,
        }),
    }
}

pub(crate) fn several_components(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let machines = 2 + dice.below(2);
    let mut problem = world(&mut dice, machines);
    for machine in &mut problem.machines {
        if let Stock::Offer { count_max } = &mut machine.stock {
            *count_max = (*count_max).min(if machines > 2 { 1 } else { 2 });
        }
    }
    problem.migration.per_pair = if dice.chance(20) { 0.1 } else { 0.0 };
    for name in ["a", "b"] {
        let mut component = component(&mut dice, &problem, name, 2);
        component.current.truncate(2);
        component.per_host_max = dice.below(3) as u32;
        if dice.chance(20) {
            component.replicas_min = component.replicas_max;
            component.needs_each =
                (0..component.replicas_max).map(|_| vec![dice.number(3), dice.number(3)]).collect();
            component.current.truncate(component.replicas_max as usize);
        }
        component.release = Some(release(&mut dice, &problem));
        problem.components.push(component);
    }
    let copy = problem.clone();
    terms(&mut dice, &mut problem, &|dice| scope(dice, &copy));
    for r in 0..dice.below(4) {
        let kind = seed as usize + r * 7;
        let rule = rule(&mut dice, &copy, kind);
        problem.constraints.push(Named::new(format!("r{r}"), rule));
    }
    problem
}

#[test]
fn every_engine_agrees_with_enumeration_on_the_whole_catalogue() {
    let (mut feasible, mut infeasible) = (0, 0);
    for seed in 0..2000 {
        let problem = several_components(seed);
        validate(&problem).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let best = enumerate(&problem);
        let options = Options { seed, engine: Some(EngineName::Exhaustive) };
        match (solve(&problem, &options, &mut || false), &best) {
            (Ok(plan), Some((net, assignment))) => {
                assert!(plan.proven, "seed {seed}");
                let worth = plan.after.net;
                assert!((worth - net).abs() < 1e-9, "seed {seed}: {worth} is not {net} of {assignment:?}");
            }
            (Err(SolveError::Infeasible { .. }), None) => {}
            (answer, best) => panic!("seed {seed}: {answer:?}, but enumeration says {best:?}"),
        }
        let options = Options { seed, engine: Some(EngineName::Local) };
        match (solve(&problem, &options, &mut || false), &best) {
            (Ok(plan), Some((net, _))) => {
                feasible += 1;
                assert!(plan.after.net <= net + 1e-9, "seed {seed}: better than the best");
            }
            (Err(SolveError::Infeasible { .. }), None) => infeasible += 1,
            (answer, best) => panic!("seed {seed}: {answer:?}, but enumeration says {best:?}"),
        }
    }
    assert!(feasible > 300 && infeasible > 300, "{feasible} feasible, {infeasible} infeasible");
}
