//! The problems of the benches, always the same: one for each engine that has work of its own.
//!
//! Round-trip times are the measured ones of the PsEPR example; everything else is drawn from fixed seeds.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rhizo_solver::rule;
use rhizo_solver::{
    Comparison, Component, Constraint, Cost, Latency, Limit, Machine, Measure, Migration, Named, Of,
    Partition, Problem, Quantity, Resource, Scope, Stock, Utility,
};

/// Round-trip times between 69 regions of three clouds.
const MATRIX: &str = include_str!("../../../examples/psepr/data/rtt_matrix_ms.csv");

fn matrix() -> Vec<Vec<f64>> {
    let row =
        |line: &str| line.split(',').skip(1).map(|ms| ms.parse().expect("the matrix is numbers")).collect();
    MATRIX.lines().skip(1).map(row).collect()
}

fn machine(name: String, stock: Stock, site: Option<usize>, capacity: Vec<f64>, price: f64) -> Machine {
    Machine {
        name,
        provider: String::new(),
        region: String::new(),
        stock,
        site,
        capacity,
        safety: Vec::new(),
        price,
        move_cost: Vec::new(),
    }
}

fn resources(names: &[&str]) -> Vec<Resource> {
    names.iter().map(|name| Resource { name: (*name).into(), transient: false }).collect()
}

fn price() -> Named<Cost> {
    Named::new("price", Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 })
}

/// Six to ten lightly loaded brokers near each other and near four users.
pub(crate) fn brokers() -> Problem {
    let rows = matrix();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let offer =
        |at: usize| machine(format!("region {at}"), Stock::Offer { count_max: 1 }, Some(at), Vec::new(), 0.1);
    let load: Vec<Option<f64>> = rows.iter().map(|_| Some(rng.random_range(0.0..12.0))).collect();
    let broker = Scope::Component(0);
    let utility = |of: Of, worst: f64, weight: f64| Utility { of, best: 0.0, worst, weight };
    let group = |measure: Measure| Of::Group { scope: broker.clone(), measure };
    let light = load.iter().map(|load| load.is_some_and(|load| load < 10.0)).collect();
    let diameter = Constraint::Bound(rule::Bound {
        scope: broker.clone(),
        measure: Measure::DiameterMs,
        comparison: Comparison::Less,
        limit: Limit::Constant(1000.0),
    });
    let spread = Constraint::Spread(rule::Spread {
        scope: broker.clone(),
        partition: 0,
        max_in_class: Some(Limit::Constant(2.0)),
        min_distinct: None,
    });
    Problem {
        machines: (0..rows.len()).map(offer).collect(),
        latency: Latency::from_rows(&rows),
        anchors: [3, 20, 41, 60].map(|site| rows[site].clone()).into(),
        partitions: vec![Partition {
            name: "quarter".into(),
            classes: (0..4).map(|quarter| quarter.to_string()).collect(),
            class_of: (0..rows.len()).map(|at| Some(at % 4)).collect(),
        }],
        quantities: vec![Quantity { name: "load".into(), values: load }],
        components: vec![Component::new("broker", 6, 10)],
        constraints: vec![
            Named::new("light", Constraint::Each(rule::Each { scope: broker.clone(), allowed: light })),
            Named::new("diameter", diameter),
            Named::new("spread", spread),
        ],
        utilities: vec![
            Named::new("load", utility(Of::Each { component: 0, quantity: 0 }, 10.0, 3.0)),
            Named::new("near users", utility(group(Measure::AnchorLatencyMs), 500.0, 2.0)),
            Named::new("near each other", utility(group(Measure::DiameterMs), 1000.0, 2.0)),
        ],
        migration: Migration { add: 0.012, ..Migration::default() },
        ..Problem::default()
    }
}

/// A web application with a database, caches and balancers, and forty kinds of machines to run it on.
pub(crate) fn shop() -> Problem {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    let offer = |at: usize| {
        let (cpu, memory) = (f64::from(1 << rng.random_range(0..5)), f64::from(1 << rng.random_range(1..7)));
        // Larger machines are a little cheaper relative to their capacity, as in real price lists.
        let price = (10.0 * cpu + 2.0 * memory) * rng.random_range(0.8..1.0);
        machine(
            format!("offer {at}"),
            Stock::Offer { count_max: 100 },
            None,
            vec![cpu, memory],
            price.round(),
        )
    };
    let machines = (0..40).map(offer).collect();
    let parts = [
        ("web", 5, [2.0, 1.0]),
        ("database", 2, [2.0, 4.0]),
        ("balancer", 1, [4.0, 2.0]),
        ("cache", 2, [4.0, 4.0]),
    ];
    let component = |(name, min, needs): (&str, u32, [f64; 2])| {
        let mut component = Component::new(name, min, 20);
        component.needs = needs.into();
        component
    };
    let split = |a: usize, b: usize| {
        Constraint::Split(rule::Split {
            scopes: vec![Scope::Component(a), Scope::Component(b)],
            partition: None,
        })
    };
    let serve = Constraint::Require(rule::Require {
        user: 0,
        provider: 1,
        per_user: 2,
        per_provider: 3,
        exactly: false,
    });
    Problem {
        resources: resources(&["cpu", "memory"]),
        machines,
        components: parts.map(component).into(),
        constraints: vec![
            Named::new("serve", serve),
            Named::new("alone 1", split(2, 0)),
            Named::new("alone 2", split(2, 1)),
            Named::new("alone 3", split(2, 3)),
            Named::new("cache", split(1, 3)),
        ],
        costs: vec![price()],
        ..Problem::default()
    }
}

/// Applications of three components each, near each other, on six kinds of machines in every region.
pub(crate) fn applications(components: usize) -> Problem {
    let rows = matrix();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(13);
    let mut machines = Vec::new();
    for site in 0..rows.len() {
        let level = rng.random_range(0.9..1.4);
        for (cpu, memory) in [(2.0, 4.0), (2.0, 8.0), (4.0, 8.0), (4.0, 16.0), (8.0, 16.0), (8.0, 32.0)] {
            let stock = Stock::Offer { count_max: 1_000 };
            let price = (0.02 * cpu + 0.004 * memory) * level;
            machines.push(machine(
                format!("{cpu}-{memory} in {site}"),
                stock,
                Some(site),
                vec![cpu, memory],
                price,
            ));
        }
    }
    let mut problem = Problem {
        resources: resources(&["cpu", "memory"]),
        machines,
        latency: Latency::from_rows(&rows),
        costs: vec![price()],
        ..Problem::default()
    };
    for at in 0..components {
        let mut component = Component::new(format!("c{at}"), 1 + rng.random_range(0..2), 4);
        component.needs =
            vec![f64::from(1 << rng.random_range(0..3)), f64::from(1 << rng.random_range(0..4))];
        problem.components.push(component);
        if at % 3 > 0 {
            let near = Constraint::Bound(rule::Bound {
                scope: Scope::Component(at),
                measure: Measure::PairLatencyMs(Scope::Component(at - 1)),
                comparison: Comparison::LessOrEqual,
                limit: Limit::Constant([20.0, 40.0, 80.0][rng.random_range(0..3)]),
            });
            problem.constraints.push(Named::new(format!("near {at}"), near));
        }
    }
    problem
}

/// A cluster out of balance: 1,000 services of five processes each on 100 machines, all of them placed.
pub(crate) fn cluster() -> Problem {
    const MACHINES: usize = 100;
    const RESOURCES: [&str; 4] = ["cpu", "memory", "disk", "network"];
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(17);
    let mut problem = Problem { resources: resources(&RESOURCES), ..Problem::default() };
    for at in 0..MACHINES {
        // Fifty processes of ten units on average: half of the room, and the soft limit just above the mean.
        let mut host = machine(format!("m{at}"), Stock::Kept, None, vec![1_000.0; RESOURCES.len()], 0.0);
        host.safety = vec![520.0; RESOURCES.len()];
        problem.machines.push(host);
    }
    for at in 0..1_000 {
        let mut component = Component::new(format!("s{at}"), 5, 5);
        // Consecutive machines, so that no two of a service share one; the first half is used twice as much.
        let first = rng.random_range(0..MACHINES * 3 / 4);
        component.current = (0..5).map(|ordinal| Some((first + ordinal) % MACHINES)).collect();
        for _ in 0..5 {
            component.needs_each.push(RESOURCES.iter().map(|_| f64::from(rng.random_range(1..20))).collect());
        }
        component.move_cost_each = vec![1.0; 5];
        problem.components.push(component);
    }
    for (resource, name) in RESOURCES.into_iter().enumerate() {
        let cost = Cost { scope: Scope::All, measure: Measure::Overload { resource }, per_unit: 10.0 };
        problem.costs.push(Named::new(name, cost));
    }
    problem.migration = Migration { per_move: 1.0, per_service: 10.0, ..Migration::default() };
    problem
}
