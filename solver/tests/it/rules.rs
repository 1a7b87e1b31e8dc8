//! The meaning of single rules on hand-made examples: enumeration uses the same checker and cannot find its mistakes.

use rhizo_solver::explain::unpaid_moves;
use rhizo_solver::*;

/// `zones.len()` kept hosts with four processors each, and a component of three instances that need one.
fn hosts(zones: &[usize]) -> Problem {
    let machine = |m: usize| Machine {
        name: format!("m{m}"),
        provider: String::new(),
        region: String::new(),
        stock: Stock::Kept,
        site: None,
        capacity: vec![4.0],
        safety: Vec::new(),
        price: 0.0,
        move_cost: Vec::new(),
    };
    let mut component = Component::new("a", 3, 3);
    component.per_host_max = 0;
    component.needs = vec![1.0];
    let classes = ["x", "y", "z"].map(str::to_owned).to_vec();
    let class_of = zones.iter().copied().map(Some).collect();
    Problem {
        resources: vec![Resource { name: "cpu".into(), transient: false }],
        machines: (0..zones.len()).map(machine).collect(),
        partitions: vec![Partition { name: "zone".into(), classes, class_of }],
        components: vec![component],
        ..Problem::default()
    }
}

fn on(machines: &[usize]) -> Assignment {
    Assignment { places: vec![machines.iter().map(|m| Some(Place::on(*m))).collect()] }
}

#[test]
fn a_reserve_is_what_the_other_classes_have_free() {
    let mut problem = hosts(&[0, 0, 1]);
    let reserve =
        |share| Constraint::Reserve(rule::Reserve { scope: Scope::All, partition: 0, resource: 0, share });
    problem.constraints = vec![Named::new("reserve", reserve(1.0))];
    assert_eq!(
        sentence(&problem, &problem.constraints[0]),
        "reserve: whichever zone is lost, the other hosts have room for 1 times the cpu of all instances"
    );
    // Zone y has four processors free for the three of zone x.
    assert_eq!(check(&problem, &on(&[0, 0, 1])), []);
    problem.components[0].needs = vec![1.5];
    let broken = check(&problem, &on(&[0, 0, 1]));
    assert_eq!(broken[0].what, "without zone x 4 of cpu are free, 4.5 are needed");
    // One of them in y takes some of its room, and leaves less to be taken up.
    assert_eq!(check(&problem, &on(&[0, 1, 2]))[0].what, "without zone x 2.5 of cpu are free, 3 are needed");
    problem.constraints = vec![Named::new("reserve", reserve(0.8))];
    assert_eq!(check(&problem, &on(&[0, 1, 2])), []);
    // Hosts that are neither used nor kept give no room.
    problem.machines[2].stock = Stock::Running;
    assert_eq!(check(&problem, &on(&[0, 0, 1])).len(), 1);
    problem.partitions[0].class_of[0] = None;
    assert_eq!(check(&problem, &on(&[0, 0, 1]))[0].what, "zone of m0 is unknown");
}

#[test]
fn a_move_that_saves_less_than_it_costs_is_found() {
    let mut problem = hosts(&[0, 1, 2]);
    problem.components[0].current = vec![Some(0), Some(0), Some(0)];
    problem.migration = Migration { per_move: 0.5, ..Migration::default() };
    problem.quantities =
        vec![Quantity { name: "load".into(), values: vec![Some(2.0), Some(1.7), Some(0.8)] }];
    let load = Cost { scope: Scope::All, measure: Measure::Sum(0), per_unit: 1.0 };
    problem.costs = vec![Named::new("load", load)];
    // To m1 saves 0.3, to m2 1.2; each costs 0.5.
    let unpaid = unpaid_moves(&problem, &on(&[1, 2, 0]));
    assert_eq!(unpaid.len(), 1);
    assert!(unpaid[0].instance.ordinal == 0 && (unpaid[0].loss - 0.2).abs() < 1e-9);
    let plan = solve(&problem, &Options::default(), &mut || false).unwrap();
    assert!(unpaid_moves(&problem, &plan.assignment).is_empty());
}
