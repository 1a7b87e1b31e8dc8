//! The published publish/subscribe example: 6–10 lightly loaded, well spread, well connected nodes.
//!
//! Round-trip times are measured ones from a file. Everything else about a node (load, slices, free processor,
//! price) is **synthetic**, drawn from a seed; quarters are the nearest of four far-apart sites.
//! `--tsv FILE` also writes what a second solver needs to solve the same problem.

use super::{chain, latency_file, options, timed, write_problem};
use crate::arguments::Arguments;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rhizo_solver::rule;
use rhizo_solver::{
    Comparison, Component, Constraint, Latency, Limit, Machine, Measure, Migration, Named, Of, Partition,
    Problem, Quantity, Scope, Stock, Utility,
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// `--nodes` cuts the matrix, `--running` starts from a number of random nodes, `--problem` writes the problem as JSON.
pub(super) const OPTIONS: &[&str] =
    &["latency", "nodes", "seed", "time", "running", "tsv", "problem", "engine"];

/// Number of far-apart sites that stand for users.
const ANCHORS: usize = 4;

/// A snapshot of all nodes.
struct Snapshot {
    names: Vec<String>,
    rtt_ms: Vec<Vec<f64>>,
    load5: Vec<f64>,
    live_slices: Vec<f64>,
    /// Free processor, in GHz: clock times free share.
    free_ghz: Vec<f64>,
    price: Vec<f64>,
    quarter: Vec<usize>,
    anchors: Vec<usize>,
    running: Vec<usize>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let mut file = latency_file::read(&arguments.path("latency")?)?;
    let nodes = arguments.value("nodes", file.rows.len())?.min(file.rows.len());
    file.rows.truncate(nodes);
    file.rows.iter_mut().for_each(|row| row.truncate(nodes));
    file.names.truncate(nodes);
    let seed = arguments.value("seed", 1)?;
    let snapshot = snapshot(file, seed, arguments.value("running", 0)?);
    let problem = problem(&snapshot);
    if let Some(path) = arguments.text("tsv") {
        std::fs::write(path, tsv(&snapshot)).map_err(|error| format!("write {path}: {error}"))?;
    }
    write_problem(arguments, &problem)?;
    let (answer, seconds) = timed(&problem, options(arguments)?, arguments.value("time", 10.0)?);
    let plan = answer.map_err(|error| chain(&error))?;
    let chosen: Vec<&str> =
        plan.assignment.iter().map(|(_, place)| problem.machines[place.machine].name.as_str()).collect();
    Ok(json!({
        "seconds": seconds,
        "proven": plan.proven,
        "objective": plan.after.net,
        "bound": plan.bound,
        "gap": plan.gap,
        "nodes": chosen.len(),
        "evaluated": plan.evaluated,
        "chosen": chosen,
    }))
}

fn snapshot(file: latency_file::LatencyFile, seed: u64, running: usize) -> Snapshot {
    let nodes = file.rows.len();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let poles = far_apart(&file.rows, 4);
    let nearest = |site: usize| {
        (0..poles.len()).min_by(|a, b| file.rows[poles[*a]][site].total_cmp(&file.rows[poles[*b]][site]))
    };
    let mut pick =
        |low: f64, high: f64| -> Vec<f64> { (0..nodes).map(|_| rng.random_range(low..high)).collect() };
    // Loads are skewed: most nodes are nearly idle, some are beyond the limit of the rules.
    let load5 = pick(0.0, 1.0).into_iter().map(|x| 14.0 * x * x).collect();
    let live_slices = pick(0.0, 13.0).into_iter().map(f64::floor).collect();
    let (clock, free, price) = (pick(2.0, 4.0), pick(0.2, 1.0), pick(0.02, 0.2));
    let free_ghz = clock.iter().zip(&free).map(|(c, f)| c * f).collect();
    let anchors = (0..ANCHORS.min(nodes)).map(|_| rng.random_range(0..nodes)).collect();
    let mut hosts: Vec<usize> = (0..running.min(nodes)).map(|_| rng.random_range(0..nodes)).collect();
    hosts.sort_unstable();
    hosts.dedup();
    Snapshot {
        quarter: (0..nodes).map(|site| nearest(site).unwrap_or(0)).collect(),
        names: file.names,
        rtt_ms: file.rows,
        load5,
        live_slices,
        free_ghz,
        price,
        anchors,
        running: hosts,
    }
}

/// Sites that are far from each other: each is the farthest from all before it.
fn far_apart(rtt_ms: &[Vec<f64>], count: usize) -> Vec<usize> {
    let mut chosen = vec![0];
    while chosen.len() < count.min(rtt_ms.len()) {
        let distance = |site: &usize| chosen.iter().map(|c| rtt_ms[*c][*site]).fold(f64::INFINITY, f64::min);
        let next = (0..rtt_ms.len()).max_by(|a, b| distance(a).total_cmp(&distance(b)));
        chosen.push(next.unwrap_or(0));
    }
    chosen
}

fn problem(snapshot: &Snapshot) -> Problem {
    let broker = Scope::Component(0);
    let machines = snapshot.names.iter().enumerate().map(|(at, name)| Machine {
        name: name.clone(),
        provider: "synthetic".into(),
        region: name.clone(),
        stock: if snapshot.running.contains(&at) { Stock::Running } else { Stock::Offer { count_max: 1 } },
        site: Some(at),
        capacity: Vec::new(),
        safety: Vec::new(),
        price: snapshot.price[at],
        move_cost: Vec::new(),
    });
    let mut component = Component::new("broker", 6, 10);
    component.current = snapshot.running.iter().map(|at| Some(*at)).collect();
    let known = |name: &str, values: &[f64]| Quantity {
        name: name.into(),
        values: values.iter().copied().map(Some).collect(),
    };
    Problem {
        machines: machines.collect(),
        latency: Latency::from_rows(&snapshot.rtt_ms),
        anchors: snapshot.anchors.iter().map(|a| snapshot.rtt_ms[*a].clone()).collect(),
        partitions: vec![Partition {
            name: "node.quarter".into(),
            classes: (0..4).map(|q| format!("q{q}")).collect(),
            class_of: snapshot.quarter.iter().map(|q| Some(*q)).collect(),
        }],
        quantities: vec![
            known("node.load5", &snapshot.load5),
            known("node.live_slices", &snapshot.live_slices),
            known("node.cpu_ghz * node.cpu_free", &snapshot.free_ghz),
        ],
        components: vec![component],
        constraints: rules(snapshot, &broker),
        utilities: utilities(&broker),
        migration: Migration { add: 0.012, ..Migration::default() },
        ..Problem::default()
    }
}

/// The hard rules of the example.
fn rules(snapshot: &Snapshot, broker: &Scope) -> Vec<Named<Constraint>> {
    let each = |allowed: Vec<bool>| Constraint::Each(rule::Each { scope: broker.clone(), allowed });
    let light =
        snapshot.load5.iter().zip(&snapshot.live_slices).map(|(l, s)| *l < 10.0 && *s < 10.0).collect();
    let in_class: Vec<f64> = (0..=10).map(|n: i32| f64::from((n - 1).max(0) / 4 + 1)).collect();
    vec![
        Named::new("lightly-loaded", each(light)),
        Named::new("spare-cpu", each(snapshot.free_ghz.iter().map(|f| *f > 1.5).collect())),
        Named::new(
            "geo-spread",
            Constraint::Spread(rule::Spread {
                scope: broker.clone(),
                partition: 0,
                max_in_class: Some(Limit::BySize(in_class)),
                min_distinct: None,
            }),
        ),
        Named::new(
            "small-diameter",
            Constraint::Bound(rule::Bound {
                scope: broker.clone(),
                measure: Measure::DiameterMs,
                comparison: Comparison::Less,
                limit: Limit::Constant(1000.0),
            }),
        ),
        Named::new("[budget]", Constraint::Budget(rule::Budget { max_per_hour: 1.5 })),
    ]
}

/// The five utilities of the example.
fn utilities(broker: &Scope) -> Vec<Named<Utility>> {
    let utility = |of: Of, best: f64, worst: f64, weight: f64| Utility { of, best, worst, weight };
    let node = |quantity: usize| Of::Each { component: 0, quantity };
    let group = |measure: Measure| Of::Group { scope: broker.clone(), measure };
    vec![
        Named::new("load", utility(node(0), 0.0, 10.0, 2.0)),
        Named::new("slices", utility(node(1), 0.0, 10.0, 1.0)),
        Named::new("free-cpu", utility(node(2), 4.0, 1.0, 3.0)),
        Named::new("near-users", utility(group(Measure::AnchorLatencyMs), 0.0, 500.0, 2.0)),
        Named::new("diameter", utility(group(Measure::DiameterMs), 0.0, 1000.0, 2.0)),
    ]
}

/// Tab-separated: `node` lines (name, load5, live_slices, free_ghz, price, quarter, running), `anchor` lines, `rtt`
/// lines.
fn tsv(s: &Snapshot) -> String {
    let mut text = String::new();
    for at in 0..s.names.len() {
        let (name, running) = (&s.names[at], u8::from(s.running.contains(&at)));
        let (load, slices, free, price, quarter) =
            (s.load5[at], s.live_slices[at], s.free_ghz[at], s.price[at], s.quarter[at]);
        writeln!(text, "node\t{name}\t{load}\t{slices}\t{free}\t{price}\t{quarter}\t{running}").unwrap_or(());
    }
    for anchor in &s.anchors {
        writeln!(text, "anchor\t{anchor}").unwrap_or(());
    }
    for row in &s.rtt_ms {
        let numbers: Vec<String> = row.iter().map(f64::to_string).collect();
        writeln!(text, "rtt\t{}", numbers.join("\t")).unwrap_or(());
    }
    text
}
