//! The memory estimates of engines, compared with a counting allocator, and the memory limit.
//!
//! A binary of its own with a single test, because the allocator counts for the whole process.

use peak_alloc::PeakAlloc;
use rhizo_solver::*;

#[global_allocator]
static COUNTED: PeakAlloc = PeakAlloc;

/// Calls of `stop` before a search is stopped: enough for a search to build all of its state.
const QUESTIONS_MAX: u32 = 30_000;

/// Bytes of the fixed tables, whose estimates assume their largest size.
const TABLES: u64 = 4 << 20;

fn machine(name: String, stock: Stock, site: Option<usize>, capacity: f64) -> Machine {
    Machine {
        name,
        provider: String::new(),
        region: String::new(),
        stock,
        site,
        capacity: vec![capacity; 2],
        safety: vec![capacity / 2.0; 2],
        price: capacity,
        move_cost: Vec::new(),
    }
}

fn world(machines: usize, stock: Stock) -> Problem {
    let mut problem = Problem::default();
    for name in ["cpu", "memory"] {
        problem.resources.push(Resource { name: name.into(), transient: false });
    }
    let rows: Vec<Vec<f64>> =
        (0..machines).map(|a| (0..machines).map(|b| 1.0 + a.abs_diff(b) as f64).collect()).collect();
    problem.latency = Latency::from_rows(&rows);
    for m in 0..machines {
        problem.machines.push(machine(format!("m{m}"), stock, Some(m), 8.0 + (m % 3) as f64));
    }
    problem.partitions.push(Partition {
        name: "rack".into(),
        classes: (0..8).map(|c| c.to_string()).collect(),
        class_of: (0..machines).map(|m| Some(m % 8)).collect(),
    });
    problem
}

fn add(problem: &mut Problem, components: usize, instances: u32, per_host_max: u32) {
    for c in 0..components {
        let mut component = Component::new(format!("c{c}"), instances, instances);
        component.per_host_max = per_host_max;
        component.needs = vec![1.0 + (c % 3) as f64 / 2.0, 1.0];
        problem.components.push(component);
    }
}

fn cost(problem: &mut Problem, name: &str, measure: Measure) {
    problem.costs.push(Named::new(name, Cost { scope: Scope::All, measure, per_unit: 1.0 }));
}

/// Many running instances, with soft limits and spread rules.
fn cluster() -> Problem {
    let mut problem = world(200, Stock::Kept);
    add(&mut problem, 200, 5, 1);
    for (c, component) in problem.components.iter_mut().enumerate() {
        component.current = (0..5).map(|o| Some((5 * c + o) % 200)).collect();
    }
    for c in 0..200 {
        let rule = Constraint::Spread(rule::Spread {
            scope: Scope::Component(c),
            partition: 0,
            max_in_class: None,
            min_distinct: Some(Limit::Constant(2.0)),
        });
        problem.constraints.push(Named::new(format!("spread {c}"), rule));
    }
    cost(&mut problem, "load", Measure::Overload { resource: 0 });
    problem
}

/// Many instances of one component, and many rules over three of them each.
fn virtual_machines() -> Problem {
    let mut problem = world(200, Stock::Kept);
    add(&mut problem, 1, 4_000, 0);
    problem.components[0].needs = vec![0.1; 2];
    problem.components[0].current = (0..4_000).map(|o| Some(o % 200)).collect();
    for r in 0..1_500 {
        let scope = Scope::Instances((0..3).map(|k| (0, (2 * r + 7 * k) % 4_000)).collect());
        let rule = Constraint::Apart(rule::Apart { scope, partition: None });
        problem.constraints.push(Named::new(format!("apart {r}"), rule));
    }
    problem
}

/// Hosts of forty regions to be bought for components that have to be near each other.
fn market() -> Problem {
    let mut problem = world(40, Stock::Offer { count_max: 1_000 });
    add(&mut problem, 120, 2, 1);
    for c in (0..120).step_by(2) {
        let rule = Constraint::Bound(rule::Bound {
            scope: Scope::Component(c),
            measure: Measure::PairLatencyMs(Scope::Component(c + 1)),
            comparison: Comparison::LessOrEqual,
            limit: Limit::Constant(3.0),
        });
        problem.constraints.push(Named::new(format!("near {c}"), rule));
    }
    cost(&mut problem, "price", Measure::TotalPrice);
    problem
}

/// A few components that share hosts of a few kinds.
fn shop() -> Problem {
    let mut problem = world(6, Stock::Offer { count_max: 50 });
    add(&mut problem, 6, 3, 1);
    cost(&mut problem, "price", Measure::TotalPrice);
    problem
}

/// One component whose hosts have to be near each other.
fn service() -> Problem {
    let mut problem = world(300, Stock::Offer { count_max: 1 });
    let mut component = Component::new("a", 3, 5);
    component.needs = vec![1.0; 2];
    problem.components.push(component);
    let of = Of::Group { scope: Scope::Component(0), measure: Measure::DiameterMs };
    problem.utilities.push(Named::new("near", Utility { weight: 1.0, of, best: 0.0, worst: 300.0 }));
    cost(&mut problem, "price", Measure::TotalPrice);
    problem
}

/// A problem of no special form.
fn mixture() -> Problem {
    let mut problem = world(60, Stock::Running);
    add(&mut problem, 12, 4, 1);
    let of = Of::Group { scope: Scope::Component(0), measure: Measure::DiameterMs };
    problem.utilities.push(Named::new("near", Utility { weight: 1.0, of, best: 0.0, worst: 300.0 }));
    cost(&mut problem, "price", Measure::TotalPrice);
    problem
}

struct Modest(u64);

impl Watch for Modest {
    fn stop(&mut self) -> bool {
        false
    }

    fn memory_max_bytes(&self) -> u64 {
        self.0
    }
}

#[test]
fn estimates_are_near_what_is_taken_and_the_limit_holds() {
    let all = [
        (EngineName::Reassignment, cluster()),
        (EngineName::Reassignment, virtual_machines()),
        (EngineName::Decomposition, market()),
        (EngineName::Configurations, shop()),
        (EngineName::SingleComponent, service()),
        (EngineName::Local, mixture()),
    ];
    for (engine, problem) in all {
        let before = COUNTED.current_usage();
        COUNTED.reset_peak_usage();
        let mut questions = 0;
        let plan = solve(&problem, &Options { seed: 1, engine: Some(engine) }, &mut || {
            questions += 1;
            questions > QUESTIONS_MAX
        });
        let taken = (COUNTED.peak_usage() - before) as u64;
        let plan = plan.unwrap_or_else(|error| panic!("{engine:?}: {error}"));
        println!("{engine:?}: {taken} bytes taken, {} estimated", plan.memory_bytes);
        assert!(taken <= plan.memory_bytes, "{engine:?} takes {taken}, said {}", plan.memory_bytes);
        let most = 16 * taken + TABLES;
        assert!(plan.memory_bytes <= most, "{engine:?} takes {taken}, said {}", plan.memory_bytes);
        let options = Options { seed: 1, engine: Some(engine) };
        let needed = plan.memory_bytes;
        match solve_watched(&problem, &options, &mut Modest(needed - 1)) {
            Err(SolveError::TooLarge { needed_bytes, max_bytes }) => {
                assert_eq!((needed_bytes, max_bytes), (needed, needed - 1));
            }
            answer => panic!("{engine:?}: {answer:?}"),
        }
        let answer = solve_watched(&problem, &Options::default(), &mut Modest(1_000));
        assert!(matches!(answer, Err(SolveError::TooLarge { max_bytes: 1_000, .. })), "{answer:?}");
    }
    an_engine_that_needs_less_takes_over();
}

/// Called by the test above, because the allocator would count the memory of a second test for the first.
fn an_engine_that_needs_less_takes_over() {
    let problem = service();
    let free = solve(&problem, &Options::default(), &mut || false).expect("feasible");
    assert_eq!(free.engine, EngineName::SingleComponent);
    // The round-trip times between all machines take most of the memory.
    let answer = solve_watched(&problem, &Options::default(), &mut Modest(free.memory_bytes / 2));
    assert_eq!(answer.expect("feasible").engine, EngineName::Local);
}
