//! Tests of the token game: docks, dock sets, groups, and every flaw.

use super::*;
use crate::lifecycle::{Action, Transition};
use crate::spec::{Export, Import, Run};

fn set<T: for<'a> From<&'a str> + Ord>(names: &[&str]) -> BTreeSet<T> {
    names.iter().map(|name| T::from(name)).collect()
}

/// `off → (pull ‖ configure) → ready → on`, and back.
fn parallel() -> Component {
    let way = |from, to| Transition::plain(from, to, Action::Nothing);
    let names = |list: &[&str]| list.iter().map(|name| BehaviourName::from(*name)).collect::<Vec<_>>();
    let mut component = Component::new(Run::Nothing);
    component.exports.insert("main".into(), Export::SERVICE);
    component.lifecycle = Some(Box::new(Lifecycle {
        places: set(&["off", "ready", "on"]),
        initial: "off".into(),
        transitions: BTreeMap::from([
            ("pull".into(), way("off", "ready")),
            ("configure".into(), way("off", "ready")),
            ("start".into(), way("ready", "on")),
            ("stop".into(), way("on", "ready")),
            ("remove".into(), way("ready", "off")),
        ]),
        behaviours: BTreeMap::from([
            ("up".into(), set(&["pull", "configure", "start"])),
            ("halt".into(), set(&["stop"])),
            ("down".into(), set(&["stop", "remove"])),
        ]),
        deploy: names(&["up"]),
        pause: names(&["halt"]),
        retire: names(&["down"]),
        reset: Vec::new(),
        notify: None,
        started: set(&["on"]),
        exports: BTreeMap::new(),
        imports: BTreeMap::new(),
    }));
    component
}

fn broken(change: impl FnOnce(&mut Lifecycle)) -> Flaw {
    let mut component = parallel();
    change(component.lifecycle.as_mut().expect("it has one"));
    Net::of(&component).expect_err("it is broken")
}

fn named(net: &Net, transitions: &BTreeSet<TransitionIx>) -> Vec<String> {
    transitions.iter().map(|t| net.transition(*t).name.to_string()).collect()
}

#[test]
fn generated_life_cycles_have_no_flaw() {
    for run in [Run::Embedded, Run::Nothing, Run::Script { argv: vec!["service".to_owned()] }] {
        let net = Net::of(&Component::new(run.clone()));
        assert!(net.is_ok(), "{run:?}: {net:?}");
    }
}

#[test]
fn transitions_that_leave_a_place_fire_together_and_arrive_together() {
    let net = Net::of(&parallel()).expect("no flaw");
    let mut marking = Marking::at(net.initial);
    marking.push(net.deploy[0], 7);
    assert!(marking.next_behaviour(&net));
    marking.leave(&net, net.initial);
    assert_eq!(named(&net, &marking.fired), ["configure", "pull"]);
    for transition in marking.fired.clone() {
        assert!(marking.entries(&net).is_empty(), "the place is not entered before both arrived");
        marking.begin(transition);
        marking.end(transition);
    }
    let entries = marking.entries(&net);
    assert_eq!(entries.len(), 1);
    marking.enter(entries[0].0, &entries[0].1);
    assert_eq!(marking.places.iter().map(|p| net.place(*p).as_str()).collect::<Vec<_>>(), ["ready"]);
    assert!(marking.is_at_rest() && !marking.is_idle());
    assert_eq!((marking.exits(&net).len(), marking.number), (1, 7));
}

#[test]
fn dock_sets_are_alternatives_and_hold_the_active_behaviour_only() {
    let mut component = parallel();
    let cycle = component.lifecycle.as_mut().expect("it has one");
    cycle.behaviours.insert("half".into(), set(&["pull"]));
    let net = Net::of(&component).expect("no flaw");
    let half = net.behaviour(&"half".into()).expect("declared");
    let ready =
        net.rest_after(&Marking::at(net.initial), &[half], "half").expect("`pull` alone is the whole set");
    assert_eq!(ready.places.iter().map(|p| net.place(*p).as_str()).collect::<Vec<_>>(), ["ready"]);
    // Two parallel transitions with a dock set each: the place is entered twice, so one token stays behind.
    let doubled = broken(|cycle| {
        cycle.transitions.get_mut(&"configure".into()).expect("declared").dock = 1;
    });
    assert!(matches!(doubled, Flaw::NotStarted(_)), "{doubled}");
}

#[test]
fn a_place_is_left_once_per_behaviour() {
    let mut component = parallel();
    let cycle = component.lifecycle.as_mut().expect("it has one");
    cycle.behaviours.insert("cycle".into(), set(&["stop", "start"]));
    let net = Net::of(&component).expect("no flaw");
    let on = net.rest_after(&Marking::at(net.initial), &net.deploy, "deploy").expect("it deploys");
    let cycle = net.behaviour(&"cycle".into()).expect("declared");
    let after = net.rest_after(&on, &[cycle], "cycle").expect("it ends");
    assert_eq!(after.places, on.places, "on → ready → on, and no further");
}

#[test]
fn a_group_holds_while_a_token_is_in_it_or_between_its_places() {
    let net = Net::of(&parallel()).expect("no flaw");
    let group: BTreeSet<PlaceIx> = net.exports[&"main".into()].clone();
    let on = net.rest_after(&Marking::at(net.initial), &net.deploy, "deploy").expect("it deploys");
    assert!(on.is_in(&net, &group));
    let mut leaving = on.clone();
    leaving.push(net.pause[0], 0);
    leaving.next_behaviour(&net);
    let place = leaving.exits(&net)[0];
    assert!(!leaving.is_in_without(&net, &group, Some(place)), "the group would become empty");
    let wide: BTreeSet<PlaceIx> = group.iter().copied().chain([net.transition(TransitionIx(4)).to]).collect();
    assert!(leaving.is_in_without(&net, &wide, Some(place)), "`stop` stays inside the wider group");
}

#[test]
fn what_fired_and_did_not_begin_can_be_taken_back() {
    let net = Net::of(&parallel()).expect("no flaw");
    let mut marking = Marking::at(net.initial);
    marking.push(net.deploy[0], 0);
    marking.next_behaviour(&net);
    marking.leave(&net, net.initial);
    let mut half = marking.clone();
    half.begin(*half.fired.first().expect("two fired"));
    half.abort_behaviour(&net);
    assert!(!half.is_at_rest(), "one of the two is under way");
    marking.abort_behaviour(&net);
    assert_eq!(marking, Marking::at(net.initial));
}

#[test]
fn every_flaw_is_found() {
    let unknown = broken(|cycle| cycle.initial = "nowhere".into());
    assert!(matches!(unknown, Flaw::UnknownPlace { .. }), "{unknown}");
    let unknown = broken(|cycle| {
        cycle.behaviours.insert("up".into(), set(&["fly"]));
    });
    assert!(matches!(unknown, Flaw::UnknownTransition { .. }), "{unknown}");
    let unknown = broken(|cycle| cycle.deploy.push("fly".into()));
    assert!(matches!(unknown, Flaw::UnknownBehaviour { .. }), "{unknown}");
    let unknown = broken(|cycle| {
        cycle.exports.insert("other".into(), set(&["on"]));
    });
    assert!(matches!(unknown, Flaw::UnknownPort { .. }), "{unknown}");
    let round = broken(|cycle| {
        cycle.transitions.insert("stop".into(), Transition::plain("on", "on", Action::Nothing));
    });
    assert!(matches!(round, Flaw::Loop(_)), "{round}");
    let stuck = broken(|cycle| {
        // `start` and `pull` have to arrive at `ready` together, but `start` begins there.
        cycle.transitions.insert("start".into(), Transition::plain("on", "ready", Action::Nothing));
    });
    assert!(matches!(stuck, Flaw::Stuck { .. }), "{stuck}");
    let low = broken(|cycle| cycle.started = set(&["off"]));
    assert!(matches!(low, Flaw::NotStarted(_)), "{low}");
    let lost = broken(|cycle| {
        cycle.transitions.insert("stop".into(), Transition::plain("on", "off", Action::Nothing));
        cycle.behaviours.insert("up".into(), set(&["pull", "configure"]));
        cycle.behaviours.insert("down".into(), set(&["remove"]));
        cycle.deploy = vec!["up".into()];
        cycle.started = set(&["ready"]);
        cycle.pause = vec!["odd".into()];
        cycle.transitions.insert("odd".into(), Transition::plain("ready", "on", Action::Nothing));
        cycle.behaviours.insert("odd".into(), set(&["odd"]));
    });
    assert!(matches!(lost, Flaw::NotResumed(_)), "{lost}");
    let kept = broken(|cycle| cycle.retire = cycle.pause.clone());
    assert!(matches!(kept, Flaw::NotRetired(_)), "{kept}");
}

#[test]
fn an_import_is_used_in_started_places_and_on_the_ways_to_and_from_there_unless_said_otherwise() {
    let mut component = parallel();
    component.imports.insert("db".into(), Import::of("db".into(), "main".into()));
    let net = Net::of(&component).expect("no flaw");
    let reach = &net.imports[&"db".into()];
    assert_eq!(reach.places, net.started);
    assert_eq!(named(&net, &reach.transitions), ["start", "stop"]);
}
