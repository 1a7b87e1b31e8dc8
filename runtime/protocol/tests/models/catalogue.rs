//! The scenarios: assemblies, placements, changes and faults, multiplied out and counted once each.
//!
//! At most three hosts, five instances and two failures. The estimated size alone decides which scenarios the bounded
//! run explores; the long run explores larger ones. `rhizo-verify` has the properties.

use crate::assemblies::{Assembly, usual};
use crate::lifecycles;
use rhizo_types::id::{BehaviourName, ComponentName, InstanceId};
use rhizo_types::script::{Order, Place, Script, Statement};
use rhizo_types::spec::{Component, Spec};
use rhizo_verify::model::host::has_service;
use rhizo_verify::scenario::{Fault, Faults, SEATS, SEATS_PER_HOST, Scenario, Wish, spec};
use std::collections::{BTreeMap, BTreeSet};

/// The placement of the copies on hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    /// All on the first host.
    Together,
    /// One after the other, round and round.
    Spread,
    /// The first half on the first host, the rest on the second.
    Halves,
}

/// The change that follows the deployment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Deploy,
    Remove,
    MoveFirst,
    MoveLast,
    MoveAll,
    Grow,
    Shrink,
    Upgrade,
    UpgradeAll,
    DropLast,
    NewHost,
    ThereAndBack,
    /// By script: one more of the last component, and when it works one less.
    Swap,
    /// By script: the first component executes the behaviour `work`.
    Push,
    /// By script: an instance goes, and comes back under the same name, perhaps elsewhere.
    Rename,
    /// By script: everything that can be stopped is, side by side, users and exporters alike; then it starts again.
    Rest,
}

const CHANGES: [Change; 16] = [
    Change::Deploy,
    Change::Remove,
    Change::MoveFirst,
    Change::MoveLast,
    Change::MoveAll,
    Change::Grow,
    Change::Shrink,
    Change::Upgrade,
    Change::UpgradeAll,
    Change::DropLast,
    Change::NewHost,
    Change::ThereAndBack,
    Change::Swap,
    Change::Push,
    Change::Rename,
    Change::Rest,
];

const FAULTS: [(&str, u8, &[Fault]); 14] = [
    ("nothing fails", 0, &[]),
    ("a start fails", 1, &[Fault::StartFails]),
    ("an instance ends", 1, &[Fault::Exit]),
    ("an instance is sick", 1, &[Fault::Sickness]),
    ("a host crashes", 1, &[Fault::Crash]),
    ("a node restarts", 1, &[Fault::Restart]),
    ("a node restarts behind", 1, &[Fault::RestartBehind]),
    ("a host is cut off", 1, &[Fault::Isolation]),
    ("two starts fail", 2, &[Fault::StartFails]),
    ("two instances end", 2, &[Fault::Exit, Fault::Sickness]),
    ("two hosts crash", 2, &[Fault::Crash]),
    ("an action takes too long", 1, &[Fault::TimesOut]),
    ("a start fails, a host crashes", 2, &[Fault::StartFails, Fault::Crash]),
    ("a node restarts, a host crashes", 2, &[Fault::Restart, Fault::Crash]),
];

type Placement = BTreeMap<ComponentName, Vec<u8>>;

fn place(assembly: &Assembly, layout: Layout, hosts: u8) -> Placement {
    let sum: usize = assembly.components.iter().map(|(.., copies)| copies).sum();
    let mut next = 0;
    let mut placement = Placement::new();
    for (name, _, copies) in &assembly.components {
        let chosen = (0..*copies).map(|_| {
            let at = next;
            next += 1;
            let host = match layout {
                Layout::Together => 0,
                Layout::Spread => at % usize::from(hosts),
                Layout::Halves => usize::from(at * 2 >= sum),
            };
            u8::try_from(host).unwrap_or(0)
        });
        let chosen: Vec<u8> = chosen.collect();
        placement.insert(ComponentName::from(*name), chosen);
    }
    placement
}

fn spec_of(assembly: &Assembly, version: usize, changed: usize) -> Spec {
    let components: Vec<(&str, Component)> = assembly
        .components
        .iter()
        .enumerate()
        .map(|(at, (name, component, _))| {
            let mut component = component.clone();
            if at < changed && version > 0 {
                component.env.insert("VERSION".to_owned(), version.to_string());
            }
            (*name, component)
        })
        .collect();
    spec(&components)
}

/// The wanted configurations of a change and the specs that they need; none when the change does not apply to the
/// assembly.
fn wishes_of(
    assembly: &Assembly,
    change: Change,
    layout: Layout,
    hosts: u8,
) -> Option<(Vec<Spec>, Vec<Wish>, u8)> {
    let first = place(assembly, layout, hosts);
    let wish = |spec, placement: &Placement, joins| Wish {
        spec,
        placement: placement.clone(),
        joins,
        script: None,
        when_settled: false,
    };
    let names: Vec<ComponentName> = assembly.components.iter().map(|c| ComponentName::from(c.0)).collect();
    let (begin, end) = (names.first()?.clone(), names.last()?.clone());
    let moved = |name: &ComponentName| {
        let mut placement = first.clone();
        if let Some(copies) = placement.get_mut(name) {
            copies.iter_mut().for_each(|host| *host = (*host + 1) % hosts);
        }
        placement
    };
    let mut specs = vec![spec_of(assembly, 0, 0)];
    let mut members = hosts;
    let mut wishes = vec![wish(0, &first, 0)];
    let is_scripted = matches!(change, Change::Swap | Change::Push | Change::Rename | Change::Rest);
    if is_scripted && assembly.name == "mandatory cycle" {
        // A mandatory cycle never starts, so a script that waits for all of it would wait without end.
        return None;
    }
    match change {
        Change::Deploy => {}
        Change::Remove => wishes.push(wish(0, &Placement::new(), 0)),
        Change::MoveFirst => wishes.push(wish(0, &moved(&begin), 0)),
        Change::MoveLast => wishes.push(wish(0, &moved(&end), 0)),
        Change::MoveAll => {
            let mut placement = first.clone();
            placement.values_mut().flatten().for_each(|host| *host = (*host + 1) % hosts);
            wishes.push(wish(0, &placement, 0));
        }
        Change::Grow => {
            let mut placement = first.clone();
            placement.entry(end).or_default().push(0);
            wishes.push(wish(0, &placement, 0));
        }
        Change::Shrink => {
            let (name, copies) = first.iter().find(|(_, copies)| copies.len() > 1)?;
            let mut placement = first.clone();
            placement.insert(name.clone(), copies[1..].to_vec());
            wishes.push(wish(0, &placement, 0));
        }
        Change::Upgrade | Change::UpgradeAll => {
            let changed = if change == Change::Upgrade { 1 } else { assembly.components.len() };
            specs.push(spec_of(assembly, 1, changed));
            wishes.push(wish(1, &first, 0));
        }
        Change::DropLast => {
            // A component that needs the last one is removed with it, unless its import is optional.
            let mut placement = first.clone();
            placement.remove(&end);
            loop {
                let needs = |component: &Component| {
                    component.imports.values().any(|i| !i.optional && !placement.contains_key(&i.component))
                };
                let lacking = assembly.components.iter().find(|(name, component, _)| {
                    placement.contains_key(&ComponentName::from(*name)) && needs(component)
                });
                let Some((name, ..)) = lacking else { break };
                placement.remove(&ComponentName::from(*name));
            }
            wishes.push(wish(0, &placement, 0));
        }
        Change::NewHost => {
            members = hosts.checked_sub(1).filter(|members| *members > 0)?;
            let before = place(assembly, layout, members);
            wishes = vec![wish(0, &before, 0), wish(0, &first, 1)];
        }
        Change::ThereAndBack => {
            wishes.push(wish(0, &moved(&end), 0));
            wishes.push(wish(0, &first, 0));
        }
        Change::Swap => {
            let copies = first.get(&end)?.len();
            let (old, new) = (instance(&end, 0), instance(&end, copies));
            let orders = vec![
                Order::Add { instance: new.clone(), place: Place::Beside(old.clone()) },
                Order::Wait { instances: BTreeSet::from([new]) },
                Order::Del { instance: old.clone() },
                Order::Wait { instances: BTreeSet::from([old]) },
            ];
            wishes.push(scripted(orders));
        }
        Change::Rename => {
            let name = instance(&end, 0);
            wishes.push(scripted(vec![
                Order::Del { instance: name.clone() },
                Order::Add { instance: name, place: Place::Any },
                Order::Wait { instances: BTreeSet::new() },
            ]));
        }
        Change::Rest => {
            let mut orders = Vec::new();
            for behaviour in ["stop", "start"].map(BehaviourName::from) {
                for (name, component, _) in &assembly.components {
                    component.lifecycle().behaviours.get(&behaviour)?;
                    let name = ComponentName::from(*name);
                    let copies = first.get(&name).map_or(0, Vec::len);
                    orders.extend((0..copies).map(|ordinal| Order::Push {
                        instance: instance(&name, ordinal),
                        behaviour: behaviour.clone(),
                    }));
                }
                orders.push(Order::Wait { instances: BTreeSet::new() });
            }
            // An exporter that is stopped before its users are deployed keeps them waiting, as the script says.
            wishes.push(Wish { when_settled: true, ..scripted(orders) });
        }
        Change::Push => {
            let behaviour = BehaviourName::from(lifecycles::WORK);
            let (_, component, _) = assembly.components.first()?;
            component.lifecycle().behaviours.get(&behaviour)?;
            let pushed = instance(&begin, 0);
            wishes.push(scripted(vec![
                Order::Push { instance: pushed, behaviour },
                Order::Wait { instances: BTreeSet::new() },
            ]));
        }
    }
    Some((specs, wishes, members))
}

fn instance(component: &ComponentName, ordinal: usize) -> InstanceId {
    InstanceId { component: component.clone(), ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX) }
}

fn scripted(orders: Vec<Order>) -> Wish {
    let statements = (1..).zip(orders).map(|(line, order)| Statement { line, order }).collect();
    Wish {
        spec: 0,
        placement: Placement::new(),
        joins: 0,
        script: Some(Script { statements }),
        when_settled: false,
    }
}

/// Whether a fault can happen to an assembly at all; otherwise the scenario would be another one under a new name.
fn can_happen(assembly: &Assembly, kinds: &[Fault]) -> bool {
    let any = |is: fn(&Component) -> bool| assembly.components.iter().any(|(_, component, _)| is(component));
    kinds.iter().all(|kind| match kind {
        Fault::Exit | Fault::Sickness => any(has_service),
        Fault::TimesOut => any(|component| {
            component.lifecycle().transitions.values().any(|way| way.step.timeout_ms.is_some())
        }),
        _ => true,
    })
}

/// By how many powers of ten a change and a fault make an assembly's state space larger than its plain deployment:
/// means over the 2,554 smallest scenarios, on one host and on several. They only decide what is explored.
fn growth(change: Change, fault: usize, hosts: u8) -> f64 {
    let (alone, several) = match change {
        Change::Deploy => (0.0, 0.0),
        Change::Remove => (0.85, 1.66),
        Change::MoveFirst => (0.29, 1.52),
        Change::MoveLast => (0.29, 1.25),
        Change::MoveAll => (0.29, 2.65),
        Change::Grow => (0.89, 1.08),
        Change::Shrink => (0.90, 1.65),
        Change::Upgrade => (0.89, 1.21),
        Change::UpgradeAll => (1.49, 2.00),
        Change::DropLast => (0.78, 1.47),
        Change::NewHost => (0.0, 1.14),
        Change::ThereAndBack => (0.42, 2.13),
        Change::Swap => (1.2, 1.8),
        Change::Push => (0.5, 0.8),
        Change::Rename => (0.9, 1.7),
        Change::Rest => (0.9, 1.7),
    };
    const ALONE: [f64; 14] =
        [0.0, 0.55, 0.76, 0.94, 1.08, 0.46, 0.53, 1.37, 0.94, 1.69, 1.12, 0.55, 1.7, 1.6];
    const SEVERAL: [f64; 14] =
        [0.0, 0.74, 1.13, 1.27, 2.05, 1.18, 1.29, 2.34, 1.16, 2.21, 3.04, 0.74, 2.7, 2.8];
    if hosts == 1 { alone + ALONE[fault] } else { several + SEVERAL[fault] }
}

/// Every scenario with an estimated size of at most 10^`tens` states, each once by its canonical fingerprint, smallest
/// first.
///
/// `measure` returns the number of states of the plain deployment of an assembly.
pub(crate) fn scenarios(tens_max: f64, measure: impl Fn(&Scenario) -> u32) -> Vec<Scenario> {
    let mut seen = BTreeSet::new();
    let mut all: Vec<(f64, Scenario)> = Vec::new();
    for assembly in usual().into_iter().chain(lifecycles::assemblies()) {
        for (layout, hosts) in LAYOUTS {
            let Some(plain) = scenario(&assembly, layout, hosts, Change::Deploy, 0) else { continue };
            let base = f64::from(measure(&plain)).log10();
            for change in CHANGES {
                for fault in 0..FAULTS.len() {
                    let tens = base + growth(change, fault, hosts);
                    let scenario = scenario(&assembly, layout, hosts, change, fault);
                    let Some(scenario) = scenario.filter(|_| tens <= tens_max) else { continue };
                    if seen.insert(scenario.canonical()) {
                        all.push((tens, scenario));
                    }
                }
            }
        }
    }
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    all.into_iter().map(|(_, scenario)| scenario).collect()
}

/// The first scenarios whose names contain a text, of any size.
pub(crate) fn named(part: &str, most: usize) -> Vec<Scenario> {
    let mut found = Vec::new();
    for assembly in usual().into_iter().chain(lifecycles::assemblies()) {
        for (layout, hosts) in LAYOUTS {
            for change in CHANGES {
                for fault in 0..FAULTS.len() {
                    if found.len() < most && name(&assembly, layout, hosts, change, fault).contains(part) {
                        found.extend(scenario(&assembly, layout, hosts, change, fault));
                    }
                }
            }
        }
    }
    found
}

fn name(assembly: &Assembly, layout: Layout, hosts: u8, change: Change, fault: usize) -> String {
    format!("{}, {layout:?} on {hosts}, {change:?}, {}", assembly.name, FAULTS[fault].0)
}

const LAYOUTS: [(Layout, u8); 7] = [
    (Layout::Together, 1),
    (Layout::Together, 2),
    (Layout::Together, 3),
    (Layout::Spread, 2),
    (Layout::Spread, 3),
    (Layout::Halves, 2),
    (Layout::Halves, 3),
];

fn scenario(
    assembly: &Assembly,
    layout: Layout,
    hosts: u8,
    change: Change,
    fault: usize,
) -> Option<Scenario> {
    let (specs, wishes, members) = wishes_of(assembly, change, layout, hosts)?;
    let (_, max, kinds) = FAULTS[fault];
    // An instance that is deployed again executes its pushes again, and an exporter that rests then keeps its users
    // waiting (decision 0111).
    let keeps = |kind: &Fault| matches!(kind, Fault::StartFails | Fault::TimesOut);
    if !can_happen(assembly, kinds) || (change == Change::Rest && !kinds.iter().all(keeps)) {
        return None;
    }
    // In the models, scripts and the repair of a crash place instances without regard to room.
    let crashes = kinds.iter().any(|kind| matches!(kind, Fault::Crash | Fault::Isolation));
    let scripted = wishes.iter().any(|wish| wish.script.is_some());
    if needs_seats(assembly) && (crashes || scripted || !fit(assembly, &wishes, members)) {
        return None;
    }
    Some(Scenario {
        name: name(assembly, layout, hosts, change, fault),
        specs,
        hosts: members,
        wishes,
        faults: Faults::new(max, kinds),
    })
}

fn seats(component: &Component) -> f64 {
    component.needs.get(SEATS).map_or(0.0, |need| need.get())
}

fn needs_seats(assembly: &Assembly) -> bool {
    assembly.components.iter().any(|(_, component, _)| seats(component) > 0.0)
}

/// Whether every host has the seats for its instances, and is a member when they are placed on it.
fn fit(assembly: &Assembly, wishes: &[Wish], members: u8) -> bool {
    let mut members = members;
    wishes.iter().all(|wish| {
        members += wish.joins;
        let mut taken: BTreeMap<u8, f64> = BTreeMap::new();
        for (name, component, _) in &assembly.components {
            for host in wish.placement.get(&ComponentName::from(*name)).into_iter().flatten() {
                *taken.entry(*host).or_default() += seats(component);
            }
        }
        taken.iter().all(|(host, taken)| *host < members && *taken <= f64::from(SEATS_PER_HOST))
    })
}
