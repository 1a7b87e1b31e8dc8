//! Tests of declared life-cycles: docks, groups, behaviours, values, notifications, losses, time-outs, cycles.

use super::*;
use rhizo_types::lifecycle::{Action, Lifecycle, Retry, Span, Step, Transition};
use rhizo_types::target::Push;
use std::sync::Arc;

pub(super) type Ways<'a> = &'a [(&'a str, &'a str, &'a str)];

/// A life-cycle whose actions are functions named like their transitions; it begins where the first way does.
pub(super) fn cycle(
    ways: Ways<'_>,
    behaviours: &[(&str, &[&str])],
    lists: [&[&str]; 3],
    started: &[&str],
) -> Lifecycle {
    let names = |list: &[&str]| list.iter().map(|name| BehaviourName::from(*name)).collect::<Vec<_>>();
    let transition = |(name, from, to): &(&str, &str, &str)| {
        (TransitionName::from(*name), Transition::plain(from, to, Action::Function((*name).to_owned())))
    };
    let members = |(name, list): &(&str, &[&str])| {
        (BehaviourName::from(*name), list.iter().map(|t| TransitionName::from(*t)).collect())
    };
    Lifecycle {
        places: ways
            .iter()
            .flat_map(|(_, from, to)| [PlaceName::from(*from), PlaceName::from(*to)])
            .collect(),
        initial: PlaceName::from(ways[0].1),
        transitions: ways.iter().map(transition).collect(),
        behaviours: behaviours.iter().map(members).collect(),
        deploy: names(lists[0]),
        pause: names(lists[1]),
        retire: names(lists[2]),
        reset: Vec::new(),
        notify: None,
        started: started.iter().map(|place| PlaceName::from(*place)).collect(),
        exports: BTreeMap::new(),
        imports: BTreeMap::new(),
    }
}

/// `off ─prepare─► ready ─run─► on`, and back by `halt` and `remove`.
pub(super) fn app() -> Lifecycle {
    cycle(
        &[
            ("prepare", "off", "ready"),
            ("run", "ready", "on"),
            ("halt", "on", "ready"),
            ("remove", "ready", "off"),
        ],
        &[("up", &["prepare", "run"]), ("stop", &["halt"]), ("remove", &["remove"])],
        [&["up"], &["stop"], &["stop", "remove"]],
        &["on"],
    )
}

/// A component with that life-cycle; its export `main` has values and no address.
pub(super) fn living(cycle: Lifecycle, imports: &[(&str, bool, Pick)]) -> Component {
    let mut component = component(imports);
    let values = BTreeSet::from([ValueName::from("key")]);
    component.exports.insert(PortName::from("main"), Export { data: true, values, ..Export::SERVICE });
    component.lifecycle = Some(Box::new(cycle));
    component
}

fn with_import(mut component: Component, change: impl Fn(&mut Import)) -> Component {
    component.imports.iter_mut().for_each(|(_, import)| change(import));
    component
}

fn step_of<'a>(component: &'a mut Component, name: &str) -> &'a mut Step {
    let cycle = component.lifecycle.as_mut().expect("a declared life-cycle");
    &mut cycle.transitions.get_mut(&TransitionName::from(name)).expect("a transition").step
}

fn push(cluster: &mut Cluster, name: &str, behaviours: &[&str]) {
    let pushes = (1..)
        .zip(behaviours)
        .map(|(number, behaviour)| Push { number, behaviour: BehaviourName::from(*behaviour) });
    let list: Vec<Push> = pushes.collect();
    Arc::make_mut(&mut cluster.ledger.target).pushes.insert(instance(name, 0), list);
}

pub(super) fn phase(cluster: &Cluster, name: &str, ordinal: u32) -> Option<InstancePhase> {
    let mut views = cluster.agents.values().flat_map(Agent::instances);
    views.find(|view| *view.instance == instance(name, ordinal)).map(|view| view.phase)
}

pub(super) fn lines<'a>(cluster: &'a Cluster, of: &str) -> Vec<&'a str> {
    let suffix = format!(" {of}.0");
    cluster.effects.iter().filter_map(|line| line.strip_suffix(suffix.as_str())).collect()
}

pub(super) const ONE: &[(&str, u32, u64, u64)] = &[("a", 0, 2, 1)];
pub(super) const TWO: &[(&str, u32, u64, u64)] = &[("a", 0, 2, 1), ("b", 0, 3, 1)];
pub(super) const A_USES_B: &[(&str, u32, &str, &[u32])] = &[("a", 0, "b", &[0])];

#[test]
fn transitions_of_one_place_run_side_by_side_and_a_dock_set_waits_for_all() {
    let life = cycle(
        &[("pull", "off", "ready"), ("write", "off", "ready"), ("run", "ready", "on"), ("halt", "on", "off")],
        &[("up", &["pull", "write", "run"]), ("down", &["halt"])],
        [&["up"], &["down"], &["down"]],
        &["on"],
    );
    under_many_interleavings(1, &[("a", living(life, &[]))], |cluster| {
        cluster.target(ONE, &[]);
        cluster.with(NodeId(2), Agent::follow);
        assert_eq!(lines(cluster, "a"), ["pull", "write"], "both begin before either ends");
        let first = if cluster.roll(2) == 0 { ["pull", "write"] } else { ["write", "pull"] };
        cluster.end_step(first[0]);
        assert_eq!(lines(cluster, "a").len(), 2, "one of two has arrived");
        cluster.end_step(first[1]);
        assert_eq!(lines(cluster, "a"), ["pull", "write", "run"]);
        cluster.run();
        assert_eq!(phase(cluster, "a", 0), Some(InstancePhase::Started));
    });
}

/// `b` serves in `on` and `busy`; the behaviour `work` goes there and back, `off` leaves the group.
fn grouped() -> Component {
    let mut life = app();
    let places = ["on", "busy"].map(PlaceName::from);
    life.places.extend(places.clone());
    for (name, from, to) in [("work", "on", "busy"), ("rest", "busy", "on")] {
        let transition = Transition::plain(from, to, Action::Function(name.to_owned()));
        life.transitions.insert(TransitionName::from(name), transition);
        life.behaviours.insert(BehaviourName::from(name), BTreeSet::from([TransitionName::from(name)]));
    }
    life.exports.insert(PortName::from("main"), BTreeSet::from(places));
    living(life, &[])
}

#[test]
fn a_group_of_places_keeps_its_export_active_on_the_way_between_them() {
    let components = [("a", component(&[("b", false, Pick::One)])), ("b", grouped())];
    under_many_interleavings(2, &components, |cluster| {
        cluster.target(TWO, A_USES_B);
        cluster.run();
        cluster.effects.clear();
        cluster.target(TWO, A_USES_B);
        push(cluster, "b", &["work", "work", "rest", "work"]);
        cluster.run();
        assert_eq!(
            cluster.effects,
            ["work b.0", "rest b.0", "work b.0"],
            "in order, what leads nowhere is done at once, and a.0 is left alone"
        );
        assert_eq!(phase(cluster, "a", 0), Some(InstancePhase::Started));
        assert_eq!(phase(cluster, "b", 0), Some(InstancePhase::Resting));
        let report = cluster.agents[&NodeId(3)].report().instances[&instance("b", 0)].clone();
        assert_eq!((report.pushed, report.idle), (4, true));
    });
}

#[test]
fn an_instance_that_is_deployed_anew_executes_what_was_pushed_again() {
    let components = [("b", grouped())];
    under_many_interleavings(1, &components, |cluster| {
        cluster.target(&[("b", 0, 2, 1)], &[]);
        push(cluster, "b", &["work", "unheard-of"]);
        cluster.run();
        cluster.target(&[("b", 0, 2, 2)], &[]);
        push(cluster, "b", &["work", "unheard-of"]);
        cluster.effects.clear();
        cluster.run();
        let steps = lines(cluster, "b");
        assert!(steps.len() >= 3, "{:?}", cluster.effects);
        assert_eq!(steps[steps.len() - 3..], ["prepare", "run", "work"], "{steps:?}");
        assert_eq!(phase(cluster, "b", 0), Some(InstancePhase::Resting));
    });
}

#[test]
fn a_place_is_left_when_its_users_have_let_go_and_new_ones_are_refused() {
    let user = component(&[("b", true, Pick::One)]);
    let components = [("a", user.clone()), ("c", user), ("b", living(app(), &[]))];
    under_many_interleavings(3, &components, |cluster| {
        cluster.target(TWO, A_USES_B);
        cluster.run();
        cluster.effects.clear();
        // b leaves `on` for good; c, which comes now, must not keep it there or get its bindings.
        let three = [("a", 0, 2, 1), ("b", 0, 3, 1), ("c", 0, 4, 1)];
        let bindings: [(&str, u32, &str, &[u32]); 2] = [("a", 0, "b", &[0]), ("c", 0, "b", &[0])];
        cluster.target(&three, &bindings);
        push(cluster, "b", &["stop"]);
        cluster.run();
        assert_eq!(lines(cluster, "b"), ["halt"]);
        assert_eq!(
            cluster.started(),
            BTreeSet::from(["a.0", "c.0"].map(str::to_owned)),
            "optional users go on"
        );
        assert!(!cluster.agents[&NodeId(3)].users.is_used(&instance("b", 0)));
    });
}

/// A user and its exporter are both pushed out of `on`. The exporter waits until the user has left, and the user is not
/// paused: a pause would deploy it again and repeat its pushes.
fn leave_together(cluster: &mut Cluster) {
    cluster.target(TWO, A_USES_B);
    cluster.run();
    cluster.effects.clear();
    cluster.target(TWO, A_USES_B);
    push(cluster, "a", &["stop"]);
    push(cluster, "b", &["stop"]);
    cluster.run();
}

#[test]
fn an_exporter_waits_for_behaviours_of_its_user_that_let_go() {
    let components = [("a", living(app(), &[("b", false, Pick::One)])), ("b", living(app(), &[]))];
    under_many_interleavings(3, &components, |cluster| {
        leave_together(cluster);
        let done = cluster.effects.iter().filter(|line| !line.starts_with("rebind"));
        assert_eq!(done.collect::<Vec<_>>(), ["halt a.0", "halt b.0"]);
        assert_eq!(phase(cluster, "a", 0), Some(InstancePhase::Resting));
        assert_eq!(phase(cluster, "b", 0), Some(InstancePhase::Resting));
    });
}

#[test]
fn values_flow_through_bindings_into_later_actions() {
    let components = [("a", living(app(), &[("b", false, Pick::One)])), ("b", living(app(), &[]))];
    under_many_interleavings(2, &components, |cluster| {
        cluster.values.insert("prepare", ("key", "first".to_owned()));
        cluster.target(TWO, A_USES_B);
        cluster.run();
        let run =
            cluster.calls.iter().find(|call| call.step == "run" && call.id.run.instance == instance("a", 0));
        let imports = &run.expect("a runs").imports[&PortName::from("b")];
        let served = &imports[&instance("b", 0)];
        assert_eq!(served.values[&ValueName::from("key")], "first");
        assert_eq!(served.address, None, "an export of data has none");
        // A value that changes is sent again, also while nothing else happens.
        let run = RunId { instance: instance("b", 0), generation: Generation(1), attempt: 1 };
        let values = BTreeMap::from([(ValueName::from("key"), "second".to_owned())]);
        cluster.effects.clear();
        cluster.act(NodeId(3), Event::Published { run, values });
        cluster.run();
        assert_eq!(cluster.effects, ["rebind a.0"]);
        let view = cluster.agents[&NodeId(2)].instances().next().expect("a.0");
        let served = &view.bound_imports[&PortName::from("b")][&instance("b", 0)];
        assert_eq!(served.values[&ValueName::from("key")], "second");
    });
}

#[test]
fn a_changed_import_notifies_an_instance_at_rest_once() {
    let mut life = app();
    life.notify = Some(Step::plain(Action::Function("tell".to_owned())));
    let user = with_import(living(life, &[("b", false, Pick::One)]), |import| import.notify = true);
    let components = [("a", user), ("b", living(app(), &[]))];
    under_many_interleavings(2, &components, |cluster| {
        cluster.target(TWO, A_USES_B);
        cluster.run();
        assert!(!cluster.effects.contains(&"notify a.0".to_owned()), "what it began with is no news");
        cluster.effects.clear();
        for value in ["one", "two", "three"] {
            let run = RunId { instance: instance("b", 0), generation: Generation(1), attempt: 1 };
            let values = BTreeMap::from([(ValueName::from("key"), value.to_owned())]);
            cluster.act(NodeId(3), Event::Published { run, values });
        }
        cluster.run();
        let steps = lines(cluster, "a").into_iter().filter(|step| *step == "notify").count();
        assert!((1..=3).contains(&steps), "{:?}", cluster.effects);
        let last = cluster.calls.iter().rfind(|call| call.step == "notify").expect("a notification");
        let served = &last.imports[&PortName::from("b")][&instance("b", 0)];
        assert_eq!(served.values[&ValueName::from("key")], "three", "the last one knows the last value");
    });
}

#[test]
fn what_a_lost_import_does_is_what_the_import_says() {
    for on_loss in [OnLoss::Stop, OnLoss::Suspend, OnLoss::Rebind] {
        let user = with_import(component(&[("b", false, Pick::One)]), |import| import.on_loss = on_loss);
        let components = [("a", user), ("b", component(&[]))];
        under_many_interleavings(2, &components, |cluster| {
            cluster.target(TWO, A_USES_B);
            cluster.run();
            cluster.effects.clear();
            let run = RunId { instance: instance("b", 0), generation: Generation(1), attempt: 1 };
            cluster.act(NodeId(3), Event::Exited { run, reason: "crash".to_owned() });
            while !cluster.effects.iter().any(|line| line == "rebind a.0" || line == "stop a.0") {
                assert!(cluster.step());
            }
            let suspended = phase(cluster, "a", 0) == Some(InstancePhase::Suspended);
            assert_eq!(suspended, on_loss != OnLoss::Stop, "{:?}", cluster.effects);
            cluster.run();
            assert_eq!(cluster.started().len(), 2);
            let stopped = cluster.effects.contains(&"stop a.0".to_owned());
            assert_eq!(stopped, on_loss == OnLoss::Stop, "{:?}", cluster.effects);
        });
    }
}

#[test]
fn of_k_exporters_all_k_are_needed() {
    let components = [("a", component(&[("b", false, Pick::Some(2))])), ("b", component(&[]))];
    let all = [("a", 0, 2, 1), ("b", 0, 3, 1), ("b", 1, 4, 1), ("b", 2, 5, 1)];
    under_many_interleavings(4, &components, |cluster| {
        cluster.target(&all, &[("a", 0, "b", &[0, 1, 2])]);
        while phase(cluster, "a", 0) != Some(InstancePhase::Started) {
            let started = cluster.started().len();
            let begun = cluster.effects.contains(&"start a.0".to_owned());
            assert!(!begun || started >= 2, "a begins with one of two: {:?}", cluster.effects);
            assert!(cluster.step());
        }
        cluster.run();
        // One of three exporters may be lost; with one left of two the user stops and does not begin again.
        for (gone, goes_on) in [(2, true), (1, false)] {
            cluster.effects.clear();
            let node = NodeId(3 + gone);
            cluster.ledger.members.remove(&node);
            cluster.agents.remove(&node);
            cluster.actions.retain(|(on, ..)| *on != node);
            cluster.frames.retain(|(from, to), _| *from != node && *to != node);
            let nodes: Vec<NodeId> = cluster.agents.keys().copied().collect();
            nodes.into_iter().for_each(|node| cluster.with(node, Agent::follow));
            cluster.run();
            assert_eq!(
                phase(cluster, "a", 0) == Some(InstancePhase::Started),
                goes_on,
                "{:?}",
                cluster.effects
            );
            assert_eq!(cluster.effects.contains(&"stop a.0".to_owned()), !goes_on, "{:?}", cluster.effects);
        }
    });
}

#[test]
fn an_action_that_takes_too_long_is_cancelled_and_repeated_after_a_wait_that_doubles() {
    let mut a = living(app(), &[]);
    let step = step_of(&mut a, "run");
    step.timeout_ms = Some(1_000);
    step.retry = Retry { times: 2, wait_ms: 300, wait_ms_max: 10_000 };
    let mut cluster = Cluster::new(1, &[("a", a)], 1);
    cluster.hangs.insert("run");
    cluster.target(ONE, &[]);
    let mut begun = Vec::new();
    while begun.len() < 4 {
        assert!(cluster.step(), "{:?}", cluster.effects);
        let runs = cluster.calls.iter().filter(|call| call.step == "run").count();
        if runs > begun.len() {
            begun.push(cluster.now);
        }
    }
    let gaps: Vec<u64> = begun.windows(2).map(|pair| pair[1].ms_since(pair[0])).collect();
    // Time-out of the action plus wait; after the last repetition the instance has failed and is deployed again.
    assert_eq!(gaps[..2], [1_300, 1_600], "{:?}", cluster.effects);
    assert!(gaps[2] >= 1_500, "{gaps:?}");
    assert_eq!(lines(&cluster, "a").iter().filter(|step| **step == "cancel").count(), 3);
    assert_eq!(lines(&cluster, "a").iter().filter(|step| **step == "prepare").count(), 2);
}

#[test]
fn what_is_not_wanted_any_more_is_cancelled_and_reset() {
    let mut life = app();
    life.reset = vec![Step::plain(Action::Function("clean".to_owned()))];
    under_many_interleavings(1, &[("a", living(life, &[]))], |cluster| {
        cluster.hangs.insert("run");
        cluster.target(ONE, &[]);
        cluster.run();
        cluster.target(&[], &[]);
        cluster.run();
        assert_eq!(lines(cluster, "a"), ["prepare", "run", "cancel", "reset"]);
        assert!(cluster.agents.values().all(Agent::is_empty));
    });
}

#[test]
fn attributes_are_told_without_a_restart() {
    let mut life = app();
    life.notify = Some(Step::plain(Action::Function("tell".to_owned())));
    let a = living(life, &[]);
    let mut newer = a.clone();
    newer.attributes.insert(ValueName::from("key"), "new".to_owned());
    let mut cluster = Cluster::new(2, &[("a", a), ("b", component(&[]))], 3);
    cluster.target(ONE, &[]);
    cluster.run();
    cluster.effects.clear();
    let set = SetSpec { revision: Revision(2), spec: spec(&[("a", newer)]), source: String::new() };
    cluster.ledger.specs.insert(Revision(2), set);
    cluster.target(ONE, &[]);
    Arc::make_mut(&mut cluster.ledger.target).instances.get_mut(&instance("a", 0)).expect("a.0").version =
        Revision(2);
    cluster.run();
    assert_eq!(cluster.effects, ["attributes a.0", "notify a.0"]);
    let report = &cluster.agents[&NodeId(2)].report().instances[&instance("a", 0)];
    assert_eq!((report.version, report.phase), (Revision(2), InstancePhase::Started));
}

/// `off ─prepare─► ready ─run─► on`: exports `main` from `ready` on, and imports the other's to get to `on`.
fn half_way(of: &str) -> Component {
    let mut life = app();
    life.exports.insert(PortName::from("main"), ["ready", "on"].map(PlaceName::from).into());
    let span =
        Span { places: [PlaceName::from("on")].into(), transitions: [TransitionName::from("run")].into() };
    life.imports.insert(PortName::from(of), span);
    living(life, &[(of, false, Pick::One)])
}

#[test]
fn a_cycle_starts_and_stops_through_its_intermediate_places() {
    let components = [("a", half_way("b")), ("b", half_way("a"))];
    let bindings: [(&str, u32, &str, &[u32]); 2] = [("a", 0, "b", &[0]), ("b", 0, "a", &[0])];
    under_many_interleavings(2, &components, |cluster| {
        cluster.target(TWO, &bindings);
        cluster.run();
        assert_eq!(cluster.started().len(), 2, "{:?}", cluster.effects);
        // A crash of one instance takes the other back to a place where it can wait, and both return.
        cluster.fails.insert("run", 2);
        cluster.target(&[("a", 0, 2, 2), ("b", 0, 3, 1)], &bindings);
        cluster.run();
        assert_eq!(cluster.started().len(), 2, "{:?}", cluster.effects);
        cluster.target(&[], &[]);
        cluster.run();
        assert!(cluster.agents.values().all(Agent::is_empty), "{:?}", cluster.effects);
    });
}

#[test]
fn the_second_failure_in_a_row_restarts_those_who_use_it() {
    let user = with_import(component(&[("b", false, Pick::One)]), |import| import.on_loss = OnLoss::Suspend);
    let components = [("a", user), ("b", component(&[]))];
    under_many_interleavings(2, &components, |cluster| {
        cluster.target(TWO, A_USES_B);
        cluster.run();
        for (attempt, restarts) in [(1, false), (2, true)] {
            cluster.effects.clear();
            let run = RunId { instance: instance("b", 0), generation: Generation(1), attempt };
            cluster.act(NodeId(3), Event::Exited { run, reason: "crash".to_owned() });
            cluster.run();
            assert_eq!(cluster.started().len(), 2);
            assert_eq!(cluster.effects.contains(&"stop a.0".to_owned()), restarts, "{:?}", cluster.effects);
        }
    });
}

#[test]
fn a_suspended_user_keeps_no_exporter_that_wants_to_leave() {
    // c is replaced in place, so both copies of b stop for it; a needs both of them and continues without them.
    let user =
        with_import(component(&[("b", false, Pick::Some(2))]), |import| import.on_loss = OnLoss::Suspend);
    let components = [("a", user), ("b", component(&[("c", false, Pick::One)])), ("c", component(&[]))];
    let placed = |generation| [("a", 0, 2, 1), ("b", 0, 3, 1), ("b", 1, 4, 1), ("c", 0, 5, generation)];
    let bindings: [(&str, u32, &str, &[u32]); 3] =
        [("a", 0, "b", &[0, 1]), ("b", 0, "c", &[0]), ("b", 1, "c", &[0])];
    under_many_interleavings(4, &components, |cluster| {
        cluster.target(&placed(1), &bindings);
        cluster.run();
        cluster.effects.clear();
        cluster.target(&placed(2), &bindings);
        cluster.run();
        assert_eq!(cluster.started().len(), 4, "{:?}", cluster.effects);
        assert!(!cluster.effects.contains(&"stop a.0".to_owned()), "{:?}", cluster.effects);
    });
}
