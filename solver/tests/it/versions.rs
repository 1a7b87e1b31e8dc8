//! Versions chosen together with the machines they run on, against plain enumeration.

use crate::common::*;
use crate::general::wanted;
use rhizo_solver::*;

/// Packages `p` and `q` in two versions each and something that may provide `v`; `p` has to run.
fn catalogue(seed: u64) -> Problem {
    let mut dice = Dice::new(seed);
    let mut problem = world(&mut dice, 2);
    problem.resources[1].transient = false;
    problem.migration = Migration::default();
    for machine in &mut problem.machines {
        machine.stock = Stock::Offer { count_max: 1 };
        machine.price = machine.price.ceil();
    }
    for (package, major) in [("p", 1), ("p", 2), ("q", 1), ("q", 2), ("w", 1)] {
        let mut component = Component::new(format!("{package} {major}"), 0, 1);
        component.needs = vec![dice.number(3), 0.0];
        let mut provides = Vec::new();
        if dice.chance(50) {
            let version = dice.chance(50).then(|| Version::new(2, 5, 0));
            provides.push(Provided { package: "v".into(), version });
        }
        let version = Version::new(major, 0, 0);
        component.release = Some(Release { package: package.into(), version, provides });
        problem.components.push(component);
    }
    let mut rules = vec![Constraint::Count(rule::Count { components: vec![0, 1], min: 1, max: 2 })];
    for package in ["p", "q"] {
        rules.push(Constraint::Versions(rule::Versions { package: package.into(), max: 1 }));
    }
    for _ in 0..2 + dice.below(5) {
        let component = dice.below(5);
        rules.push(if dice.chance(70) {
            let any_of = (0..=dice.below(2)).map(|_| wanted(&mut dice)).collect();
            Constraint::Needs(rule::Needs { component, any_of })
        } else {
            Constraint::Breaks(rule::Breaks { component, wanted: wanted(&mut dice) })
        });
    }
    let name = |(at, rule)| Named::new(format!("r{at}"), rule);
    problem.constraints = rules.into_iter().enumerate().map(name).collect();
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    problem
}

#[test]
fn versions_and_machines_are_chosen_together() {
    let (mut feasible, mut infeasible, mut second) = (0, 0, 0);
    for seed in 0..1000 {
        let problem = catalogue(seed);
        let best = enumerate(&problem);
        for engine in [EngineName::Configurations, EngineName::Exhaustive] {
            let options = Options { seed, engine: Some(engine) };
            match (solve(&problem, &options, &mut || false), &best) {
                (Ok(plan), Some((net, _))) => {
                    assert!(plan.proven && (plan.after.net - net).abs() < 1e-6, "seed {seed}, {engine:?}");
                    second += u32::from(plan.assignment.count(1) > 0);
                    feasible += 1;
                }
                (Err(SolveError::Infeasible { .. }), None) => infeasible += 1,
                (answer, best) => panic!("seed {seed}, {engine:?}: {answer:?}, enumeration says {best:?}"),
            }
        }
    }
    assert!(feasible > 300 && infeasible > 100 && second > 200, "{feasible} {infeasible} {second}");
}

#[test]
fn versions_that_do_not_fit_are_named_by_their_rules() {
    let mut problem = Problem::default();
    let capacity = Vec::new();
    let stock = Stock::Offer { count_max: 9 };
    let machine = Machine {
        name: "m".into(),
        provider: String::new(),
        region: String::new(),
        stock,
        site: None,
        capacity,
        safety: Vec::new(),
        price: 1.0,
        move_cost: Vec::new(),
    };
    problem.machines = vec![machine];
    for (package, version, min) in [("web", "2.0.0", 1), ("db", "3.1.0", 0), ("db", "4.0.0", 0)] {
        let mut component = Component::new(format!("{package} {version}"), min, 1);
        component.release =
            Some(Release { package: package.into(), version: version.parse().unwrap(), provides: vec![] });
        problem.components.push(component);
    }
    let db = |range: &str| Wanted { package: "db".into(), range: range.parse().unwrap() };
    problem.constraints = vec![
        Named::new("one-db", Constraint::Versions(rule::Versions { package: "db".into(), max: 1 })),
        Named::new("web-db", Constraint::Needs(rule::Needs { component: 0, any_of: vec![db(">=4")] })),
        Named::new("old-db", Constraint::Breaks(rule::Breaks { component: 0, wanted: db(">=4, <5") })),
    ];
    let error = solve(&problem, &Options::default(), &mut || false).unwrap_err();
    assert_eq!(error, SolveError::Infeasible { conflict: vec!["web-db".into(), "old-db".into()] });
    let said = problem.constraints.iter().map(|named| sentence(&problem, named)).collect::<Vec<_>>();
    assert_eq!(
        said,
        [
            "one-db: one version of db runs at a time",
            "web-db: web 2.0.0 runs only with db >=4",
            "old-db: web 2.0.0 never runs beside db >=4, <5",
        ]
    );
    problem.components[1].release = problem.components[2].release.clone();
    assert_eq!(validate(&problem), Err(ProblemError::SameName { name: "db 4.0.0".into() }));
    problem.components.truncate(1);
    let missing = ProblemError::NoPackage { what: "rule `one-db`".into(), package: "db".into() };
    assert_eq!(validate(&problem), Err(missing));
}
