//! Small random problems, and the plain enumeration that every engine is compared with.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rhizo_solver::*;

/// The best assignment of all, by trying every one of them.
pub(crate) fn enumerate(problem: &Problem) -> Option<(f64, Assignment)> {
    let mut slots = Vec::new();
    for (c, component) in problem.components.iter().enumerate() {
        let count = (component.replicas_max as usize).max(component.current.len());
        slots.extend((0..count).map(|o| (c, o)));
    }
    let mut places = vec![None];
    for (machine, m) in problem.machines.iter().enumerate() {
        places.extend((0..m.copies_max()).map(|copy| Some(Place { machine, copy })));
    }
    let mut digits = vec![0usize; slots.len()];
    let mut best: Option<(f64, Assignment)> = None;
    loop {
        let mut assignment = Assignment { places: vec![Vec::new(); problem.components.len()] };
        for ((c, _), digit) in slots.iter().zip(&digits) {
            assignment.places[*c].push(places[*digit]);
        }
        if check(problem, &assignment).is_empty() {
            let net = evaluate(problem, &assignment).net;
            if best.as_ref().is_none_or(|(b, _)| net > *b) {
                best = Some((net, assignment));
            }
        }
        let Some(at) = digits.iter().position(|d| *d + 1 < places.len()) else { return best };
        digits[at] += 1;
        digits[..at].fill(0);
    }
}

pub(crate) struct Dice(pub(crate) Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// A number with few digits, so that ties occur.
    pub(crate) fn number(&mut self, max: u32) -> f64 {
        f64::from(self.0.random_range(0..=max * 4)) / 4.0
    }

    pub(crate) fn mask(&mut self, len: usize, percent: u32) -> Vec<bool> {
        (0..len).map(|_| self.chance(percent)).collect()
    }
}

/// A host that is kept and costs nothing, of no region.
pub(crate) fn host(name: String, capacity: f64) -> Machine {
    Machine {
        name,
        provider: String::new(),
        region: String::new(),
        stock: Stock::Kept,
        site: None,
        capacity: vec![capacity],
        safety: Vec::new(),
        price: 0.0,
        move_cost: Vec::new(),
    }
}

/// Machines, sites, partitions, quantities: everything but components, rules and terms.
pub(crate) fn world(dice: &mut Dice, machines: usize) -> Problem {
    let sites = 1 + dice.below(5);
    let mut rows = vec![vec![0.0; sites]; sites];
    for (a, b) in (0..sites).flat_map(|a| (0..=a).map(move |b| (a, b))) {
        let ms = dice.number(if a == b { 1 } else { 40 });
        (rows[a][b], rows[b][a]) = (ms, ms);
    }
    let mut problem = Problem { latency: Latency::from_rows(&rows), ..Problem::default() };
    problem.resources = vec![
        Resource { name: "cpu".into(), transient: false },
        Resource { name: "disk".into(), transient: dice.chance(50) },
    ];
    for m in 0..machines {
        let stock = match dice.below(4) {
            0 => Stock::Kept,
            1 => Stock::Running,
            _ => Stock::Offer { count_max: dice.below(3) as u32 },
        };
        problem.machines.push(Machine {
            name: format!("m{m}"),
            provider: "p".into(),
            region: "r".into(),
            stock,
            site: if dice.chance(95) { Some(dice.below(sites)) } else { None },
            capacity: vec![dice.number(8), dice.number(8)],
            safety: vec![dice.number(4), dice.number(4)],
            price: dice.number(3),
            move_cost: if dice.chance(50) {
                Vec::new()
            } else {
                (0..machines).map(|_| dice.number(2)).collect()
            },
        });
    }
    for p in 0..2 {
        let classes = 1 + dice.below(3);
        let class_of =
            (0..machines).map(|_| if dice.chance(95) { Some(dice.below(classes)) } else { None }).collect();
        let names = (0..classes).map(|c| format!("c{c}")).collect();
        problem.partitions.push(Partition { name: format!("partition{p}"), classes: names, class_of });
    }
    for q in 0..2 {
        let values =
            (0..machines).map(|_| if dice.chance(95) { Some(dice.number(10) - 2.0) } else { None }).collect();
        problem.quantities.push(Quantity { name: format!("quantity{q}"), values });
    }
    problem.anchors = (0..dice.below(3)).map(|_| (0..sites).map(|_| dice.number(40)).collect()).collect();
    problem.migration = Migration {
        add: dice.number(1) / 10.0,
        remove: dice.number(1) / 10.0,
        per_move: dice.number(1) / 10.0,
        per_service: dice.number(1) / 20.0,
        per_pair: 0.0,
    };
    problem
}

/// A component that runs some instances on existing hosts.
pub(crate) fn component(dice: &mut Dice, problem: &Problem, name: &str, most: u32) -> Component {
    let min = dice.below(most as usize + 1) as u32;
    let max = min + dice.below((most - min) as usize + 1) as u32;
    let mut component = Component::new(name, min, max);
    component.needs = vec![dice.number(3), dice.number(3)];
    let hosts: Vec<usize> =
        (0..problem.machines.len()).filter(|m| !problem.machines[*m].is_offer()).collect();
    if !hosts.is_empty() {
        for _ in 0..dice.below(most as usize + 1) {
            let host = if dice.chance(80) { Some(hosts[dice.below(hosts.len())]) } else { None };
            component.current.push(host);
        }
    }
    component
}

pub(crate) fn limit(dice: &mut Dice, max: u32) -> Limit {
    if dice.chance(50) {
        Limit::Constant(dice.number(max))
    } else {
        Limit::BySize((0..4).map(|_| dice.number(max)).collect())
    }
}

pub(crate) fn comparison(dice: &mut Dice) -> Comparison {
    use Comparison::*;
    [Less, LessOrEqual, LessOrEqual, Less, GreaterOrEqual, Greater][dice.below(6)]
}

pub(crate) fn measure(dice: &mut Dice, machines: usize, scope: &dyn Fn(&mut Dice) -> Scope) -> Measure {
    match dice.below(16) {
        0 => Measure::Size,
        1 => Measure::Hosts,
        2..=4 => Measure::DiameterMs,
        5..=6 => Measure::AnchorLatencyMs,
        7 => Measure::Price,
        8 => Measure::TotalPrice,
        9 => Measure::Distinct(dice.below(2)),
        10 => Measure::Count(dice.mask(machines, 50)),
        11 => Measure::Share(dice.mask(machines, 50)),
        12 => Measure::Sum(dice.below(2)),
        13 => Measure::Average(dice.below(2)),
        14 => {
            if dice.chance(50) {
                Measure::PairLatencyMs(scope(dice))
            } else {
                Measure::MeanPairLatencyMs(scope(dice))
            }
        }
        _ => {
            if dice.chance(50) {
                Measure::Overload { resource: dice.below(2) }
            } else {
                Measure::Imbalance { first: 0, second: 1, target: dice.number(2) }
            }
        }
    }
}

pub(crate) fn utility(dice: &mut Dice, of: Of) -> Utility {
    let best = dice.number(20);
    let worst = best + if dice.chance(75) { 1.0 } else { -1.0 } * (1.0 + dice.number(30));
    Utility { of, best, worst, weight: dice.number(3) }
}

pub(crate) fn terms(dice: &mut Dice, problem: &mut Problem, scope: &dyn Fn(&mut Dice) -> Scope) {
    let machines = problem.machines.len();
    for u in 0..dice.below(5) {
        let of = if dice.chance(50) {
            Of::Each { component: dice.below(problem.components.len()), quantity: dice.below(2) }
        } else {
            Of::Group { scope: scope(dice), measure: measure(dice, machines, scope) }
        };
        let utility = utility(dice, of);
        problem.utilities.push(Named::new(format!("u{u}"), utility));
    }
    for c in 0..dice.below(3) {
        let cost = Cost {
            scope: scope(dice),
            measure: measure(dice, machines, scope),
            per_unit: (dice.number(2) - 0.5) / 20.0,
        };
        problem.costs.push(Named::new(format!("cost{c}"), cost));
    }
}
