//! Assemblies whose components declare a life-cycle or an unusual property.
//!
//! Docks, intermediate places, cycles through them, behaviours to push, the generic service script, values, losses that
//! suspend, exclusive copies, repetitions and time-outs: each in an assembly of one to four instances.

use crate::assemblies::{Assembly, part};
use rhizo_types::id::{BehaviourName, PlaceName, PortName, TransitionName, ValueName};
use rhizo_types::lifecycle::{Action, Lifecycle, Retry, Span, Transition};
use rhizo_types::spec::{Component, OnLoss, Pick, Replicas, Run};
use std::collections::{BTreeMap, BTreeSet};

/// The behaviour that some components execute when it is pushed.
pub(crate) const WORK: &str = "work";

/// Longer than any wait, because the explorer takes any later moment for the time-out.
const HOURS_MS: u64 = 2 * 60 * 60 * 1_000;

type Ways<'a> = &'a [(&'a str, &'a str, &'a str, Action)];

/// A life-cycle of transitions (name, from, to, action); a list of names is one behaviour.
fn cycle(ways: Ways<'_>, initial: &str, started: &str, up: &[&str], down: &[&str]) -> Lifecycle {
    let names = |list: &[&str]| list.iter().map(|name| TransitionName::from(*name)).collect::<BTreeSet<_>>();
    let transitions: BTreeMap<TransitionName, Transition> = ways
        .iter()
        .map(|(name, from, to, action)| {
            (TransitionName::from(*name), Transition::plain(from, to, action.clone()))
        })
        .collect();
    let places = ways.iter().flat_map(|(_, from, to, _)| [PlaceName::from(*from), PlaceName::from(*to)]);
    let (deploy, retire) = (BehaviourName::from("up"), BehaviourName::from("down"));
    Lifecycle {
        places: places.collect(),
        initial: PlaceName::from(initial),
        transitions,
        behaviours: BTreeMap::from([(deploy.clone(), names(up)), (retire.clone(), names(down))]),
        deploy: vec![deploy],
        pause: vec![retire.clone()],
        retire: vec![retire],
        reset: Vec::new(),
        notify: None,
        started: BTreeSet::from([PlaceName::from(started)]),
        exports: BTreeMap::new(),
        imports: BTreeMap::new(),
    }
}

fn act() -> Action {
    Action::Command { argv: vec!["do".to_owned()], env: BTreeMap::new() }
}

/// Two preparations side by side, a dock for both, then a service.
fn docked() -> Lifecycle {
    let ways: Ways<'_> = &[
        ("pull", "off", "ready", act()),
        ("conf", "off", "ready", act()),
        ("start", "ready", "on", Action::Start),
        ("stop", "on", "off", Action::Stop),
    ];
    cycle(ways, "off", "on", &["pull", "conf", "start"], &["stop"])
}

/// A service whose export is active in an intermediate place already.
fn early() -> Lifecycle {
    let ways: Ways<'_> = &[
        ("conf", "off", "ready", act()),
        ("start", "ready", "on", Action::Start),
        ("stop", "on", "ready", Action::Stop),
        ("undo", "ready", "off", Action::Nothing),
    ];
    let mut cycle = cycle(ways, "off", "on", &["conf", "start"], &["stop", "undo"]);
    let pause = BehaviourName::from("pause");
    cycle.behaviours.insert(pause.clone(), BTreeSet::from([TransitionName::from("stop")]));
    cycle.pause = vec![pause];
    let group = ["ready", "on"].map(PlaceName::from);
    cycle.exports.insert(PortName::from("main"), BTreeSet::from(group));
    cycle
}

/// A service with a pushed behaviour `work`, during which it does not serve.
fn working() -> Lifecycle {
    let ways: Ways<'_> = &[
        ("start", "off", "on", Action::Start),
        ("leave", "on", "busy", act()),
        ("return", "busy", "on", Action::Nothing),
        ("stop", "on", "off", Action::Stop),
    ];
    let mut cycle = cycle(ways, "off", "on", &["start"], &["stop"]);
    let work = ["leave", "return"].map(TransitionName::from);
    cycle.behaviours.insert(BehaviourName::from(WORK), BTreeSet::from(work));
    cycle
}

/// The usual service, with a time-out and repetitions.
fn patient() -> Lifecycle {
    let mut cycle = Lifecycle::service();
    for way in cycle.transitions.values_mut() {
        way.step.retry = Retry { times: 1, wait_ms: 500, wait_ms_max: 500 };
        way.step.timeout_ms = Some(HOURS_MS);
    }
    cycle
}

/// A worker of Galera: workers are prepared side by side, and join a master that serves.
fn joining() -> Lifecycle {
    let mut cycle = docked();
    let span = Span {
        places: BTreeSet::from([PlaceName::from("on")]),
        transitions: ["start", "stop"].map(TransitionName::from).into(),
    };
    cycle.imports.insert(PortName::from("in0"), span);
    cycle
}

type Part = (&'static str, Component, usize);

fn with(part: Part, change: impl FnOnce(&mut Component)) -> Part {
    let (name, mut component, copies) = part;
    change(&mut component);
    (name, component, copies)
}

fn living(part: Part, cycle: Lifecycle) -> Part {
    with(part, |component| {
        component.run = Run::Exec { argv: vec!["run".to_owned()] };
        component.lifecycle = Some(Box::new(cycle));
    })
}

fn losing(part: Part, on_loss: OnLoss) -> Part {
    with(part, |component| component.imports.iter_mut().for_each(|(_, import)| import.on_loss = on_loss))
}

fn script(part: Part) -> Part {
    with(part, |component| component.run = Run::Script { argv: vec!["service".to_owned()] })
}

/// The assemblies, smallest first.
pub(crate) fn assemblies() -> Vec<Assembly> {
    let one = Pick::One;
    let of = |name, components| Assembly { name, components };
    let user = |name, of| part(name, 1, &[(of, false, one)]);
    let db = || part("db", 1, &[]);
    vec![
        of("docks", vec![living(part("a", 1, &[]), docked())]),
        of("work", vec![living(part("a", 1, &[]), working())]),
        of("script", vec![script(part("a", 1, &[]))]),
        of("patience", vec![living(part("a", 1, &[]), patient())]),
        of("exclusive", vec![with(part("a", 1, &[]), exclusive)]),
        of("docks, used", vec![user("web", "db"), living(db(), docked())]),
        of("docks, using", vec![living(user("web", "db"), joining()), db()]),
        of("work, used", vec![living(db(), working()), user("web", "db")]),
        of("scripts", vec![script(user("web", "db")), script(db())]),
        of("patience, used", vec![user("web", "db"), living(db(), patient())]),
        of("suspended", vec![losing(user("web", "db"), OnLoss::Suspend), db()]),
        of("rebound", vec![losing(user("web", "db"), OnLoss::Rebind), part("db", 2, &[])]),
        of("exclusive, used", vec![user("web", "db"), with(db(), exclusive)]),
        of("values", vec![user("web", "db"), with(db(), valued)]),
        of("early export", vec![user("web", "db"), living(db(), early())]),
        of("cycle through places", vec![living(user("a", "b"), early()), living(user("b", "a"), early())]),
        of(
            "chain through places",
            vec![user("a", "b"), living(user("b", "c"), early()), living(part("c", 1, &[]), early())],
        ),
        of(
            "galera, docked",
            vec![
                living(part("master", 1, &[]), docked()),
                living(part("worker", 2, &[("master", false, one)]), joining()),
            ],
        ),
        of(
            "openstack, docked",
            vec![
                living(part("mariadb", 1, &[]), docked()),
                living(part("keystone", 1, &[("mariadb", false, one)]), joining()),
                part("nova", 1, &[("keystone", false, one), ("mariadb", false, one)]),
            ],
        ),
    ]
}

fn exclusive(component: &mut Component) {
    component.exclusive = true;
    component.replicas = Replicas { min: 0, max: 1 };
}

fn valued(component: &mut Component) {
    for (_, export) in &mut component.exports {
        export.values.insert(ValueName::from("password"));
    }
    component.run = Run::Exec { argv: vec!["run".to_owned()] };
    component.lifecycle = Some(Box::new(early()));
}
