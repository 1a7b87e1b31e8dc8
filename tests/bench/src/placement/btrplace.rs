//! BtrPlace's instances: repair 5,000 nodes after a load increase (`li`) or the removal of nodes (`nr`).
//!
//! Reads the official compressed JSON. The reached configuration is judged; `overlaps` counts moves onto a machine that
//! another member of the same spread group is leaving, which an ordering has to postpone.

use super::{chain, options, timed};
use crate::arguments::Arguments;
use flate2::read::GzDecoder;
use rhizo_solver::rule;
use rhizo_solver::{
    Component, Constraint, Machine, Migration, Named, Partition, Plan, Problem, Resource, Scope, Stock, check,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub(super) const OPTIONS: &[&str] = &["instance", "time", "seed"];

/// Most bytes of a decompressed instance; the largest published one has about 30 MB.
const BYTES_MAX: u64 = 1 << 28;

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let instance = read(&arguments.path("instance")?)?;
    let problem = problem(&instance)?;
    let (answer, seconds) = timed(&problem, options(arguments)?, arguments.value("time", 30.0)?);
    let least = moves_min(&problem);
    match answer {
        Ok(plan) => Ok(json!({
            "feasible": true,
            "violations": check(&problem, &plan.assignment).len(),
            "broken_before": plan.broken_before.len(),
            "moves": plan.after.migration.moved,
            "moves_min": least,
            "started": plan.after.migration.started,
            "overlaps": overlaps(&problem, &plan),
            "seconds": seconds,
        })),
        Err(error) => {
            eprintln!("failed to {}", chain(&error));
            Ok(json!({ "feasible": false, "moves_min": least, "seconds": seconds }))
        }
    }
}

fn read(path: &Path) -> Result<Value, String> {
    let file = File::open(path).map_err(|error| format!("open {}: {error}", path.display()))?;
    let mut text = String::new();
    let mut limited = GzDecoder::new(file).take(BYTES_MAX);
    limited.read_to_string(&mut text).map_err(|error| format!("decompress {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("understand {}: {error}", path.display()))
}

fn id(value: &Value) -> Result<u64, String> {
    let parsed = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    parsed.ok_or_else(|| format!("understand the identifier {value}"))
}

fn ids(value: &Value) -> Result<Vec<u64>, String> {
    value.as_array().ok_or_else(|| "find a list of identifiers".to_owned())?.iter().map(id).collect()
}

/// Indices of nodes and virtual machines by their identifiers.
struct Index {
    nodes: BTreeMap<u64, usize>,
    vms: BTreeMap<u64, usize>,
}

impl Index {
    fn of(map: &BTreeMap<u64, usize>, value: &Value) -> Result<usize, String> {
        map.get(&id(value)?).copied().ok_or_else(|| format!("find {value}"))
    }

    fn instances(&self, value: &Value) -> Result<Scope, String> {
        let list = ids(value)?
            .into_iter()
            .map(|vm| self.vms.get(&vm).map(|at| (0, *at)).ok_or(format!("find vm {vm}")));
        Ok(Scope::Instances(list.collect::<Result<_, _>>()?))
    }
}

pub(super) fn problem(instance: &Value) -> Result<Problem, String> {
    let mapping = &instance["model"]["mapping"];
    let online = mapping["onlineNodes"].as_object().ok_or("find onlineNodes")?;
    let mut nodes: Vec<u64> = ids(&mapping["offlineNodes"])?;
    let mut running: Vec<(u64, Option<u64>)> =
        ids(&mapping["readyVMs"])?.into_iter().map(|vm| (vm, None)).collect();
    for (name, node) in online {
        let number = id(&Value::String(name.clone()))?;
        nodes.push(number);
        running.extend(ids(&node["runningVMs"])?.into_iter().map(|vm| (vm, Some(number))));
    }
    nodes.sort_unstable();
    running.sort_unstable();
    let index = Index {
        nodes: nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect(),
        vms: running.iter().enumerate().map(|(at, (vm, _))| (*vm, at)).collect(),
    };
    if index.nodes.len() != nodes.len() || index.vms.len() != running.len() {
        return Err("tell nodes and virtual machines apart: one comes up twice".to_owned());
    }
    let count = u32::try_from(running.len()).map_err(|error| format!("count the machines: {error}"))?;
    let mut component = Component::new("vm", count, count);
    component.per_host_max = 0;
    component.needs_each = vec![Vec::new(); running.len()];
    component.current =
        running.iter().map(|(_, node)| node.and_then(|n| index.nodes.get(&n).copied())).collect();
    let machine = |node: &u64| Machine {
        name: format!("node {node}"),
        provider: String::new(),
        region: String::new(),
        stock: Stock::Kept,
        site: None,
        capacity: Vec::new(),
        safety: Vec::new(),
        price: 0.0,
        move_cost: Vec::new(),
    };
    let mut problem = Problem {
        machines: nodes.iter().map(machine).collect(),
        components: vec![component],
        migration: Migration { per_move: 1.0, ..Migration::default() },
        ..Problem::default()
    };
    views(instance, &index, &mut problem)?;
    rules(instance, &index, &mut problem)?;
    Ok(problem)
}

/// Shareable resources: capacities of nodes, needs of virtual machines.
fn views(instance: &Value, index: &Index, problem: &mut Problem) -> Result<(), String> {
    for view in instance["model"]["views"].as_array().ok_or("find views")? {
        let Some(name) = view["rcId"].as_str() else { continue };
        problem.resources.push(Resource { name: name.into(), transient: false });
        let number = |map: &Value, id: u64, other: &Value| {
            let value = map.get(id.to_string()).unwrap_or(other);
            value.as_f64().ok_or_else(|| format!("find how much {name} number {id} has"))
        };
        for (node, at) in &index.nodes {
            problem.machines[*at].capacity.push(number(&view["nodes"], *node, &view["defCapacity"])?);
        }
        for (vm, at) in &index.vms {
            let need = number(&view["vms"], *vm, &view["defConsumption"])?;
            problem.components[0].needs_each[*at].push(need);
        }
    }
    Ok(())
}

fn rules(instance: &Value, index: &Index, problem: &mut Problem) -> Result<(), String> {
    let mut offline = Vec::new();
    let mut partitions: BTreeMap<String, usize> = BTreeMap::new();
    for (at, constraint) in instance["constraints"].as_array().ok_or("find constraints")?.iter().enumerate() {
        let kind = constraint["id"].as_str().unwrap_or_default();
        let rule = match kind {
            "spread" => Constraint::Apart(rule::Apart {
                scope: index.instances(&constraint["vms"])?,
                partition: None,
            }),
            "among" => {
                let key = constraint["parts"].to_string();
                let next = problem.partitions.len();
                let partition = *partitions.entry(key).or_insert(next);
                if partition == next {
                    problem.partitions.push(parts(index, &constraint["parts"], next)?);
                }
                Constraint::Gather(rule::Gather {
                    scope: index.instances(&constraint["vms"])?,
                    partition: Some(partition),
                })
            }
            "preserve" => {
                let name = constraint["rc"].as_str().unwrap_or_default();
                let resource =
                    problem.resources.iter().position(|r| r.name == name).ok_or("find a resource")?;
                Constraint::Preserve(rule::Preserve {
                    scope: Scope::Instances(vec![(0, Index::of(&index.vms, &constraint["vm"])?)]),
                    resource,
                    amount: constraint["amount"].as_f64().ok_or("find an amount")?,
                })
            }
            "offline" => {
                offline.push(Index::of(&index.nodes, &constraint["node"])?);
                continue;
            }
            // In every solution all virtual machines run and all other nodes stay on.
            "online" | "running" => continue,
            other => return Err(format!("understand a constraint of kind {other}")),
        };
        problem.constraints.push(Named::new(format!("{kind} {at}"), rule));
    }
    offline.sort_unstable();
    offline.dedup();
    problem
        .constraints
        .push(Named::new("offline", Constraint::Ban(rule::Ban { scope: Scope::All, machines: offline })));
    Ok(())
}

fn parts(index: &Index, parts: &Value, number: usize) -> Result<Partition, String> {
    let parts = parts.as_array().ok_or("find parts")?;
    let mut class_of = vec![None; index.nodes.len()];
    for (class, part) in parts.iter().enumerate() {
        for node in part.as_array().ok_or("find the nodes of a part")? {
            class_of[Index::of(&index.nodes, node)?] = Some(class);
        }
    }
    Ok(Partition {
        name: format!("parts {number}"),
        classes: (0..parts.len()).map(|p| p.to_string()).collect(),
        class_of,
    })
}

/// Lower bound of the moves: on each overloaded node, the fewest virtual machines whose departure relieves it.
pub(super) fn moves_min(problem: &Problem) -> u32 {
    let component = &problem.components[0];
    let mut needs = component.needs_each.clone();
    for named in &problem.constraints {
        if let Constraint::Preserve(rule::Preserve { scope: Scope::Instances(list), resource, amount }) =
            &named.item
        {
            for (_, vm) in list {
                needs[*vm][*resource] = needs[*vm][*resource].max(*amount);
            }
        }
    }
    let mut on: Vec<Vec<usize>> = vec![Vec::new(); problem.machines.len()];
    for (vm, node) in component.current.iter().enumerate() {
        if let Some(node) = node {
            on[*node].push(vm);
        }
    }
    let leave = |(node, vms): (usize, &Vec<usize>)| {
        let of_resource = |r: usize| {
            let mut sizes: Vec<f64> = vms.iter().map(|vm| needs[*vm][r]).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let mut excess = sizes.iter().sum::<f64>() - problem.machines[node].capacity[r];
            let mut count = 0;
            for size in sizes {
                if excess <= 0.0 {
                    break;
                }
                excess -= size;
                count += 1;
            }
            count
        };
        (0..problem.resources.len()).map(of_resource).max().unwrap_or(0)
    };
    on.iter().enumerate().map(leave).sum()
}

/// Moves onto a machine that another member of the same spread group leaves.
fn overlaps(problem: &Problem, plan: &Plan) -> usize {
    let places = &plan.assignment.places[0];
    let now = |vm: usize| problem.components[0].current_of(vm);
    let then = |vm: usize| places.get(vm).copied().flatten().map(|p| p.machine);
    let mut count = 0;
    for named in &problem.constraints {
        let Constraint::Apart(rule::Apart { scope: Scope::Instances(vms), .. }) = &named.item else {
            continue;
        };
        for (_, a) in vms {
            if now(*a) != then(*a) {
                count +=
                    vms.iter().filter(|(_, b)| a != b && now(*b).is_some() && now(*b) == then(*a)).count();
            }
        }
    }
    count
}
