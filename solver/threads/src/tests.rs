//! Two threads against one, and against the clock.

use super::*;
use rhizo_solver::{Component, Cost, Machine, Measure, Named, Resource, Scope, Stock, check};

/// Machines of different size, and far too much on the first of them.
fn crowded(machines: usize, instances: u32) -> Problem {
    let mut problem =
        Problem { resources: vec![Resource { name: "cpu".into(), transient: false }], ..Problem::default() };
    for m in 0..machines {
        let size = 40.0 + 10.0 * f64::from(u8::try_from(m % 3).unwrap_or(0));
        problem.machines.push(Machine {
            name: format!("m{m}"),
            provider: String::new(),
            region: String::new(),
            stock: Stock::Kept,
            site: None,
            capacity: vec![size],
            safety: vec![size / 2.0],
            price: 0.0,
            move_cost: Vec::new(),
        });
    }
    let mut component = Component::new("a", instances, instances);
    component.per_host_max = 0;
    component.needs_each = (0..instances).map(|i| vec![f64::from(1 + i % 4)]).collect();
    component.current = (0..instances).map(|i| Some(i as usize / 16)).collect();
    component.move_cost_each = vec![1.0; instances as usize];
    problem.components.push(component);
    let cost = Cost { scope: Scope::All, measure: Measure::Overload { resource: 0 }, per_unit: 3.0 };
    problem.costs.push(Named::new("load", cost));
    problem.migration.per_move = 1.0;
    problem
}

fn time(limit_ms: u64, threads: usize) -> Time {
    Time { limit: Duration::from_millis(limit_ms), use_all: true, threads }
}

#[test]
fn two_threads_answer_in_time_with_what_passes_the_checker() {
    let problem = crowded(40, 400);
    let begun = Instant::now();
    let plan = solve_within(&problem, &Options::default(), time(500, 2)).expect("it is feasible as it is");
    // A generous watchdog: the machine may be busy.
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(check(&problem, &plan.assignment), []);
    let before = plan.before.expect("something runs").net;
    assert!(plan.after.net > before, "{} is no better than {before}", plan.after.net);
}

#[test]
fn what_one_thread_finds_the_other_takes() {
    let board = Board {
        start: Instant::now(),
        time: time(60_000, 2),
        is_over: AtomicBool::new(false),
        best: Mutex::new(None),
    };
    let found = Assignment { places: vec![vec![None; 3]] };
    let (mut first, mut second) = (Looker { board: &board }, Looker { board: &board });
    let news = |net| Improvement {
        assignment: &found,
        net,
        bound: None,
        engine: rhizo_solver::EngineName::Reassignment,
    };
    assert_eq!(second.exchange(f64::NEG_INFINITY), None);
    first.improved(&news(-5.0));
    first.improved(&news(-7.0));
    assert_eq!(second.exchange(-6.0), Some(found.clone()));
    assert_eq!(second.exchange(-5.0), None, "what is as good is no news");
    assert!(!second.stop());
    board.is_over.store(true, Ordering::Relaxed);
    assert!(second.stop());
}

#[test]
fn one_thread_without_a_deadline_in_sight_is_repeatable() {
    let problem = crowded(10, 100);
    let time = Time { limit: Duration::from_secs(120), use_all: false, threads: 1 };
    let solve = || solve_within(&problem, &Options::default(), time).expect("it is feasible as it is");
    assert_eq!(solve().assignment, solve().assignment);
}
