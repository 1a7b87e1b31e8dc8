//! Tests of three faults that were measured in other engines, and of the state that an agent keeps over a restart.

use super::lifecycles::{A_USES_B, ONE, TWO, app, lines, living, phase};
use super::*;
use rhizo_types::lifecycle::Span;
use rhizo_types::spec::Ports;
use rhizo_types::wire::Record;
use std::sync::Arc;

#[test]
fn a_failed_action_is_no_success() {
    // Concerto stores the error of the provider's transition, enters the place, and its users start.
    let components = [("a", component(&[("b", false, Pick::One)])), ("b", living(app(), &[]))];
    under_many_interleavings(2, &components, |cluster| {
        cluster.fails.insert("run", u32::MAX);
        cluster.target(TWO, A_USES_B);
        for _ in 0..200 {
            cluster.step();
        }
        assert!(cluster.calls.iter().filter(|call| call.step == "run").count() > 1);
        assert!(!cluster.effects.contains(&"start a.0".to_owned()), "{:?}", cluster.effects);
        assert_ne!(phase(cluster, "b", 0), Some(InstancePhase::Started));
    });
}

#[test]
fn nobody_goes_on_with_what_a_dead_exporter_said_last() {
    // Concerto's user starts its second transition with the cached state of a provider that was killed meanwhile.
    let mut life = app();
    let both = ["prepare", "run"].map(TransitionName::from);
    life.imports.insert(
        PortName::from("b"),
        Span { places: [PlaceName::from("on"), PlaceName::from("ready")].into(), transitions: both.into() },
    );
    let components = [("a", living(life, &[("b", false, Pick::One)])), ("b", component(&[]))];
    under_many_interleavings(2, &components, |cluster| {
        cluster.hangs.insert("prepare");
        cluster.target(TWO, A_USES_B);
        cluster.run();
        assert_eq!(lines(cluster, "a"), ["prepare"]);
        cluster.ledger.members.remove(&NodeId(3));
        cluster.agents.remove(&NodeId(3));
        cluster.with(NodeId(2), Agent::follow);
        cluster.hangs.clear();
        cluster.run();
        assert!(!cluster.effects.contains(&"run a.0".to_owned()), "{:?}", cluster.effects);
        assert_eq!(phase(cluster, "a", 0), Some(InstancePhase::Waiting));
    });
}

#[test]
fn equal_port_names_do_not_confuse_a_long_chain() {
    // Concerto-D matches ports by name only: a chain of five or more with one name for all ports never ends.
    let names = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"];
    let components: Vec<(&str, Component)> = names
        .iter()
        .enumerate()
        .map(|(position, name)| {
            let mut component = component(&[]);
            if let Some(next) = names.get(position + 1) {
                let import = Import::of(ComponentName::from(*next), PortName::from("main"));
                component.imports.insert(PortName::from("main"), import);
            }
            (*name, component)
        })
        .collect();
    for seed in 0..30 {
        let mut cluster = Cluster::new(3, &components, seed);
        let placed: Vec<_> = (0..).zip(names).map(|(n, name)| (name, 0, 2 + n % 3, 1)).collect();
        cluster.target(&placed, &[]);
        for pair in names.windows(2) {
            let imports =
                Ports::from_iter([(PortName::from("main"), BTreeSet::from([instance(pair[1], 0)]))]);
            Arc::make_mut(&mut cluster.ledger.target).bindings.insert(instance(pair[0], 0), imports);
        }
        cluster.run();
        assert_eq!(cluster.started().len(), 10);
        let order: Vec<String> = names.iter().rev().map(|name| format!("start {name}.0")).collect();
        assert_eq!(cluster.effects, order);
    }
}

#[test]
fn an_agent_that_starts_again_with_an_older_ledger_begins_nothing_of_it() {
    let cluster = |records: &[Record]| {
        let mut cluster = Cluster::new(1, &[("a", component(&[]))], 1);
        cluster.agents.insert(NodeId(2), Agent::new(NodeId(2), records));
        cluster.target(ONE, &[]);
        cluster
    };
    let fence = |generation| Record::Fence { instance: instance("a", 0), generation: Generation(generation) };
    let target = |revision| Record::Target { revision: Revision(revision) };
    let cases = [
        (vec![], true),
        (vec![fence(1), target(1)], true),
        // The node ran generation 2, or generation 1 and the end of it.
        (vec![fence(2)], false),
        (vec![fence(2), fence(1)], false),
        // The node followed a later target, which may not have the instance here any more.
        (vec![target(2)], false),
    ];
    for (records, starts) in cases {
        let mut cluster = cluster(&records);
        cluster.run();
        assert_eq!(cluster.effects.contains(&"start a.0".to_owned()), starts, "{records:?}");
        // The target after that is followed in any case.
        cluster.target(&[("a", 0, 2, 3)], &[]);
        cluster.run();
        assert_eq!(cluster.started().len(), 1, "{records:?}");
    }
}

#[test]
fn a_followed_target_is_durable_before_anything_of_it_begins() {
    let mut cluster = Cluster::new(1, &[("a", component(&[]))], 1);
    cluster.target(ONE, &[]);
    let mut out = Out::default();
    let agent = cluster.agents.get_mut(&NodeId(2)).expect("an agent");
    agent.follow(&cluster.ledger);
    agent.settle(&cluster.ledger, cluster.now, &mut out);
    agent.flush(None, cluster.now, &mut out);
    let turn = out.into_turn();
    assert!(turn.durable.contains(&Record::Target { revision: Revision(1) }));
    assert!(turn.after_durable.iter().any(|effect| matches!(effect, Effect::Start(_))));
    assert!(turn.now.is_empty());
}
