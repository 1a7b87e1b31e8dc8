//! Limits of the input: invalid problems are refused by name, large ones are answered, and irrelevant parts do not
//! change the answer.

use crate::general::several_components;
use rhizo_solver::*;

fn one_host(instances: u32) -> Problem {
    let machine = Machine {
        name: "m".into(),
        provider: String::new(),
        region: String::new(),
        stock: Stock::Kept,
        site: None,
        capacity: vec![f64::from(instances)],
        safety: Vec::new(),
        price: 1.0,
        move_cost: Vec::new(),
    };
    let mut component = Component::new("a", instances, instances);
    component.per_host_max = 0;
    component.needs = vec![1.0];
    Problem {
        resources: vec![Resource { name: "cpu".into(), transient: false }],
        machines: vec![machine],
        components: vec![component],
        ..Problem::default()
    }
}

fn answer(problem: &Problem) -> Result<Plan, SolveError> {
    stopped_after(problem, 2_000_000)
}

/// Solves until `stop` was called a number of times.
fn stopped_after(problem: &Problem, questions_max: u32) -> Result<Plan, SolveError> {
    let mut questions = 0u32;
    solve(problem, &Options::default(), &mut || {
        questions += 1;
        questions > questions_max
    })
}

#[test]
fn a_million_instances_have_an_answer() {
    match stopped_after(&one_host(1_000_000), 1_000) {
        Ok(plan) => assert_eq!(plan.assignment.count(0), 1_000_000),
        Err(error) => assert!(matches!(error, SolveError::NotFound { .. }), "{error}"),
    }
    assert!(matches!(
        answer(&one_host(3_000_000)),
        Err(SolveError::Problem(ProblemError::TooLarge { what: "instances", .. }))
    ));
}

/// A fault in a problem, and the error that refuses it.
type Wrong = (fn(&mut Problem), fn(&ProblemError) -> bool);

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let wrong: [Wrong; 10] = [
        (|p| p.machines[0].price = f64::NAN, |e| matches!(e, ProblemError::NotFinite { .. })),
        (|p| p.machines[0].price = f64::INFINITY, |e| matches!(e, ProblemError::NotFinite { .. })),
        (|p| p.machines[0].price = -1.0, |e| matches!(e, ProblemError::Negative { .. })),
        (|p| p.machines[0].capacity[0] = -1.0, |e| matches!(e, ProblemError::Negative { .. })),
        (|p| p.components[0].needs[0] = f64::NAN, |e| matches!(e, ProblemError::NotFinite { .. })),
        (|p| p.components[0].replicas_min = 9, |e| matches!(e, ProblemError::EmptyRange { .. })),
        (|p| p.machines[0].capacity.clear(), |e| matches!(e, ProblemError::Length { .. })),
        (|p| p.machines[0].site = Some(0), |e| matches!(e, ProblemError::Index { .. })),
        (|p| p.components[0].current = vec![Some(7)], |e| matches!(e, ProblemError::Index { .. })),
        (|p| p.machines.push(p.machines[0].clone()), |e| matches!(e, ProblemError::SameName { .. })),
    ];
    for (at, (spoil, is_expected)) in wrong.iter().enumerate() {
        let mut problem = one_host(3);
        spoil(&mut problem);
        let error = validate(&problem).expect_err("it makes no sense");
        assert!(is_expected(&error), "case {at}: {error}");
        assert!(matches!(answer(&problem), Err(SolveError::Problem(_))), "case {at}");
    }
}

/// One host with everything that has a number or a list.
fn furnished() -> Problem {
    let mut problem = one_host(3);
    problem.latency = Latency::from_rows(&[vec![1.0]]);
    problem.anchors = vec![vec![5.0]];
    problem.machines[0].site = Some(0);
    problem.partitions =
        vec![Partition { name: "rack".into(), classes: vec!["a".into()], class_of: vec![Some(0)] }];
    problem.quantities = vec![Quantity { name: "load".into(), values: vec![Some(1.0)] }];
    let load = Utility { of: Of::Each { component: 0, quantity: 0 }, best: 0.0, worst: 9.0, weight: 1.0 };
    problem.utilities = vec![Named::new("load", load)];
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 0.01 };
    problem.costs = vec![Named::new("price", price)];
    problem
}

fn rule(problem: &mut Problem, rule: Constraint) {
    problem.constraints.push(Named::new("rule", rule));
}

#[test]
fn lists_and_numbers_are_looked_at_wherever_they_stand() {
    use ProblemError::*;
    assert!(answer(&furnished()).is_ok());
    let all = || Scope::All;
    let wrong: [Wrong; 30] = [
        (|p| p.machines[0].price = 1e308, |e| matches!(e, Huge { .. })),
        (
            |p| rule(p, Constraint::Lonely(rule::Lonely { scope: Scope::Components(vec![0, 0]) })),
            |e| matches!(e, Twice { .. }),
        ),
        (
            |p| {
                let scope = Scope::Instances(vec![(0, 1), (0, 1)]);
                rule(p, Constraint::Apart(rule::Apart { scope, partition: None }));
            },
            |e| matches!(e, Twice { .. }),
        ),
        (|p| p.latency.ms[0] = f64::NAN, |e| matches!(e, NotFinite { .. })),
        (|p| p.latency.ms[0] = -1.0, |e| matches!(e, Negative { .. })),
        (|p| p.latency.sites = 2, |e| matches!(e, Length { .. })),
        (|p| p.latency.sites = usize::MAX, |e| matches!(e, Length { .. })),
        (|p| p.anchors[0].push(1.0), |e| matches!(e, Length { .. })),
        (|p| p.anchors[0][0] = f64::INFINITY, |e| matches!(e, NotFinite { .. })),
        (|p| p.partitions[0].class_of[0] = Some(1), |e| matches!(e, Index { .. })),
        (|p| p.partitions[0].class_of.clear(), |e| matches!(e, Length { .. })),
        (|p| p.quantities[0].values[0] = Some(f64::NAN), |e| matches!(e, NotFinite { .. })),
        (|p| p.quantities[0].values.push(None), |e| matches!(e, Length { .. })),
        (|p| p.utilities[0].item.best = 9.0, |e| matches!(e, NoScale { .. })),
        (|p| p.utilities[0].item.weight = -1.0, |e| matches!(e, Negative { .. })),
        (|p| p.utilities[0].item.worst = f64::INFINITY, |e| matches!(e, NotFinite { .. })),
        (|p| p.costs[0].item.per_unit = f64::NAN, |e| matches!(e, NotFinite { .. })),
        (|p| p.costs[0].name = "load".into(), |e| matches!(e, SameName { .. })),
        (|p| p.migration.per_move = -1.0, |e| matches!(e, Negative { .. })),
        (|p| p.components[0].move_cost = f64::NAN, |e| matches!(e, NotFinite { .. })),
        (|p| p.components[0].needs_each = vec![vec![1.0]; 2], |e| matches!(e, Length { .. })),
        (|p| p.components[0].needs_each = vec![vec![-1.0]; 3], |e| matches!(e, Negative { .. })),
        (|p| p.components[0].move_cost_each = vec![1.0], |e| matches!(e, Length { .. })),
        (|p| p.machines[0].safety = vec![1.0, 1.0], |e| matches!(e, Length { .. })),
        (|p| p.machines[0].move_cost = vec![f64::NAN], |e| matches!(e, NotFinite { .. })),
        (
            |p| rule(p, Constraint::Each(rule::Each { scope: Scope::All, allowed: Vec::new() })),
            |e| matches!(e, Length { .. }),
        ),
        (
            |p| rule(p, Constraint::Budget(rule::Budget { max_per_hour: f64::NAN })),
            |e| matches!(e, NotFinite { .. }),
        ),
        (
            |p| rule(p, Constraint::Count(rule::Count { components: vec![0], min: 3, max: 2 })),
            |e| matches!(e, EmptyRange { .. }),
        ),
        (
            |p| rule(p, Constraint::Linear(rule::Linear { terms: vec![(0, i64::MIN)], max: 0 })),
            |e| matches!(e, TooLarge { .. }),
        ),
        (
            |p| {
                let limit = Limit::BySize(Vec::new());
                let comparison = Comparison::Less;
                rule(
                    p,
                    Constraint::Bound(rule::Bound {
                        scope: Scope::All,
                        measure: Measure::Size,
                        comparison,
                        limit,
                    }),
                );
            },
            |e| matches!(e, Length { .. }),
        ),
    ];
    for (at, (spoil, is_expected)) in wrong.iter().enumerate() {
        let mut problem = furnished();
        spoil(&mut problem);
        let error = validate(&problem).err().unwrap_or_else(|| panic!("case {at} makes no sense"));
        assert!(is_expected(&error), "case {at}: {error}");
        assert!(matches!(answer(&problem), Err(SolveError::Problem(_))), "case {at}");
    }
    // A price that must not be negative differs from a limit that may be.
    let mut problem = furnished();
    let (measure, comparison, limit) = (Measure::Sum(0), Comparison::GreaterOrEqual, Limit::Constant(-7.0));
    rule(&mut problem, Constraint::Bound(rule::Bound { scope: all(), measure, comparison, limit }));
    assert!(answer(&problem).is_ok());
}

#[test]
fn rules_that_cannot_hold_together_are_named() {
    let contradictions: [(&[Constraint], &[&str]); 4] = [
        (&[Constraint::Budget(rule::Budget { max_per_hour: 0.5 })], &["rule 0"]),
        (
            &[
                Constraint::Count(rule::Count { components: vec![0], min: 0, max: 3 }),
                Constraint::Count(rule::Count { components: vec![0], min: 4, max: 9 }),
            ],
            &["rule 1"],
        ),
        (&[Constraint::Ban(rule::Ban { scope: Scope::All, machines: vec![0] })], &["rule 0"]),
        (
            &[Constraint::Alternatives(rule::Alternatives { components: vec![0], min: 2, max: 2 })],
            &["rule 0"],
        ),
    ];
    for (rules, expected) in contradictions {
        let mut problem = one_host(3);
        let named = |(at, rule): (usize, &Constraint)| Named::new(format!("rule {at}"), rule.clone());
        problem.constraints = rules.iter().enumerate().map(named).collect();
        match answer(&problem) {
            Err(SolveError::Infeasible { conflict }) => assert_eq!(conflict, expected, "{rules:?}"),
            other => panic!("{rules:?} hold: {other:?}"),
        }
    }
}

#[test]
fn nobody_cannot_be_spread() {
    let mut problem = one_host(1);
    problem.components.push(Component::new("nobody", 0, 0));
    problem.partitions =
        vec![Partition { name: "rack".into(), classes: vec!["a".into()], class_of: vec![Some(0)] }];
    let (scope, min_distinct) = (Scope::Component(1), Some(Limit::Constant(1.0)));
    rule(
        &mut problem,
        Constraint::Spread(rule::Spread { scope, partition: 0, max_in_class: None, min_distinct }),
    );
    let large = Options { seed: 1, engine: Some(EngineName::Reassignment) };
    assert!(matches!(solve(&problem, &large, &mut || false), Err(SolveError::Unsuited { .. })));
    assert!(matches!(answer(&problem), Err(SolveError::Infeasible { conflict }) if conflict == ["rule"]));
}

#[test]
fn a_million_instances_are_bought_or_refused() {
    let mut problem = one_host(1_000_000);
    problem.machines[0].stock = Stock::Offer { count_max: 50_000 };
    problem.machines[0].capacity = vec![100.0];
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    match stopped_after(&problem, 1_000) {
        Ok(plan) => {
            assert_eq!(plan.assignment.count(0), 1_000_000);
            assert!(plan.orders[0].count >= 10_000);
        }
        Err(error) => assert!(matches!(error, SolveError::NotFound { .. }), "{error}"),
    }
}

#[test]
fn a_million_instances_of_a_thousand_components_are_placed() {
    let mut problem = one_host(1);
    let host = problem.machines.remove(0);
    for at in 0..1_000 {
        let mut host = host.clone();
        (host.name, host.capacity) = (format!("m{at}"), vec![1_100.0]);
        problem.machines.push(host);
    }
    let component = problem.components.remove(0);
    for at in 0..1_000 {
        let mut component = component.clone();
        (component.name, component.replicas_min, component.replicas_max) = (format!("c{at}"), 1_000, 1_000);
        component.per_host_max = 1;
        problem.components.push(component);
    }
    match stopped_after(&problem, 1_000) {
        Ok(plan) => assert_eq!((0..1_000).map(|c| plan.assignment.count(c)).sum::<usize>(), 1_000_000),
        Err(error) => assert!(matches!(error, SolveError::NotFound { .. }), "{error}"),
    }
}

#[test]
fn empty_problems_have_answers() {
    let plan = answer(&Problem::default()).unwrap();
    assert!(plan.changes.is_empty() && plan.after.net == 0.0);
    let mut problem = one_host(2);
    problem.machines.clear();
    assert!(matches!(answer(&problem), Err(SolveError::Infeasible { conflict }) if conflict.is_empty()));
    let mut problem = one_host(2);
    problem.machines[0].capacity[0] = 0.0;
    assert!(matches!(answer(&problem), Err(SolveError::Infeasible { .. })));
    problem.components[0].needs[0] = 0.0;
    assert_eq!(answer(&problem).unwrap().assignment.count(0), 2);
    // Rules over no instance hold.
    problem.constraints = vec![
        Named::new(
            "apart",
            Constraint::Apart(rule::Apart { scope: Scope::Components(Vec::new()), partition: None }),
        ),
        Named::new("none", Constraint::Count(rule::Count { components: Vec::new(), min: 0, max: 0 })),
    ];
    assert_eq!(answer(&problem).unwrap().assignment.count(0), 2);
}

#[test]
fn names_and_useless_offers_do_not_matter() {
    let mut solved = 0;
    for seed in 0..400 {
        let problem = several_components(seed);
        let Ok(plan) = answer(&problem) else { continue };
        if !plan.proven {
            continue;
        }
        solved += 1;
        let mut other = problem.clone();
        other.machines.iter_mut().for_each(|m| m.name = format!("renamed {}", m.name));
        other.components.iter_mut().for_each(|c| c.name = format!("renamed {}", c.name));
        let renamed = answer(&other).unwrap();
        assert_eq!(renamed.assignment, plan.assignment, "seed {seed}");
        // An offer that is sold out adds nothing.
        let mut other = problem.clone();
        let mut useless = other.machines[0].clone();
        (useless.name, useless.stock) = ("useless".into(), Stock::Offer { count_max: 0 });
        other.machines.push(useless);
        widen(&mut other);
        let wider = answer(&other).unwrap();
        assert!((wider.after.net - plan.after.net).abs() < 1e-9, "seed {seed}");
    }
    assert!(solved > 150, "{solved} are solved");
}

/// Gives every list over machines an entry for one more, like that of the first.
fn widen(problem: &mut Problem) {
    problem.partitions.iter_mut().for_each(|p| p.class_of.push(p.class_of[0]));
    problem.quantities.iter_mut().for_each(|q| q.values.push(q.values[0]));
    let lists = problem.machines.iter_mut().map(|m| &mut m.move_cost);
    lists.filter(|list| !list.is_empty()).for_each(|list| list.push(0.0));
    let measure = |measure: &mut Measure| {
        if let Measure::Count(mask) | Measure::Share(mask) = measure {
            mask.push(mask[0]);
        }
    };
    for named in &mut problem.constraints {
        match &mut named.item {
            Constraint::Each(rule::Each { allowed: mask, .. })
            | Constraint::Quarantine(rule::Quarantine { machines: mask })
            | Constraint::MaxOnline(rule::MaxOnline { machines: mask, .. })
            | Constraint::Overbook(rule::Overbook { machines: mask, .. }) => mask.push(mask[0]),
            Constraint::Bound(rule::Bound { measure: of, .. }) => measure(of),
            _ => {}
        }
    }
    problem.costs.iter_mut().for_each(|named| measure(&mut named.item.measure));
    for named in &mut problem.utilities {
        if let Of::Group { measure: of, .. } = &mut named.item.of {
            measure(of);
        }
    }
}
