//! What makes no sense is refused by name, what is large is answered, and what should not matter does not.

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

/// Solves until so many questions whether to stop have been asked.
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

/// One thing wrong with a problem, and how it is refused.
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
    // Rules over nobody hold.
    problem.constraints = vec![
        Named::new("apart", Constraint::Apart { scope: Scope::Components(Vec::new()), partition: None }),
        Named::new("none", Constraint::Count { components: Vec::new(), min: 0, max: 0 }),
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
            Constraint::Each { allowed: mask, .. }
            | Constraint::Quarantine { machines: mask }
            | Constraint::MaxOnline { machines: mask, .. }
            | Constraint::Overbook { machines: mask, .. } => mask.push(mask[0]),
            Constraint::Bound { measure: of, .. } => measure(of),
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
