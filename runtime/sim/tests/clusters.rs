//! Larger assemblies under generated histories. The safety checks hold after every event, under any changes and
//! faults. After healing, the application is in the state that the last spec in force describes.
//!
//! The reference is the user's view: components, number of copies, and their imports. A failing history is shrunk to
//! the few steps that matter. `PROPTEST_CASES` sets the number of histories, `PROPTEST_RNG_SEED` selects them.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use rhizo_protocol::sabotage::{Sabotage, choose};
use rhizo_sim::Fault;
use rhizo_sim::cluster::Cluster;
use rhizo_types::id::{ComponentName, InstanceId, PortName};
use rhizo_types::spec::{Component, Export, Import, OnLoss, Pick, Ports, Replicas, Run, share};
use std::collections::{BTreeMap, BTreeSet};

/// The largest assembly.
const COMPONENTS_MAX: u8 = 12;
/// The most copies of a component: with all of them, there are some thirty instances on as many hosts.
const COPIES_MAX: u8 = 3;
/// Number of checks whether the state is as wanted, with their distance in time: long enough for a complete move.
const LOOKS: u32 = 30;
const LOOK_MS: u64 = 2_000;
/// Node deaths, broken links, provider faults and instance failures.
const FAULTS: &[Fault] = &[
    Fault::Kill,
    Fault::Restart,
    Fault::PowerLoss,
    Fault::Pause,
    Fault::CoordinatorHit,
    Fault::Partition,
    Fault::OneWay,
    Fault::Flap,
    Fault::ApiDown,
    Fault::ListLag,
    Fault::ProviderLost,
    Fault::Exits,
    Fault::Unhealthy,
    Fault::Drain,
    Fault::BetterAppears,
];

/// One component in the user's view.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    copies: u8,
    /// By the number of the exporter, which is always smaller or its own: whether the import is optional, and whether
    /// it is bound to all copies.
    uses: BTreeMap<u8, (bool, bool)>,
}

/// The application that the user wants.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wish {
    seed: u64,
    parts: BTreeMap<u8, Part>,
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Set(u8, Part),
    Remove(u8),
    Strike(Fault),
    Pass(u16),
    Heal,
}

fn part(number: u8) -> impl Strategy<Value = Part> {
    let uses = proptest::collection::btree_map(0..=number, (any::<bool>(), any::<bool>()), 0..=3);
    (1..=COPIES_MAX, uses).prop_map(move |(copies, mut uses)| {
        // A component that imports itself does so optionally. Otherwise its first copy could not start.
        if let Some((optional, _)) = uses.get_mut(&number) {
            *optional = true;
        }
        Part { copies, uses }
    })
}

impl Wish {
    /// Returns the wish without imports of components that do not exist.
    fn consistent(mut self) -> Self {
        let there: BTreeSet<u8> = self.parts.keys().copied().collect();
        self.parts.values_mut().for_each(|part| part.uses.retain(|other, _| there.contains(other)));
        self
    }

    fn components(&self) -> BTreeMap<ComponentName, Component> {
        self.parts.iter().map(|(number, part)| (name(*number), component(part))).collect()
    }
}

fn name(number: u8) -> ComponentName {
    ComponentName(format!("c{number}"))
}

fn port(number: u8) -> PortName {
    PortName(format!("c{number}"))
}

fn component(part: &Part) -> Component {
    let import = |(other, (optional, all)): (&u8, &(bool, bool))| {
        let pick = if *all { Pick::All } else { Pick::One };
        let on_loss = if other % 2 == 0 { OnLoss::Stop } else { OnLoss::Suspend };
        let import = Import { optional: *optional, pick, on_loss, ..Import::of(name(*other), "main".into()) };
        (port(*other), import)
    };
    let copies = u32::from(part.copies);
    Component {
        replicas: Replicas { min: copies, max: copies },
        exports: Ports::from_iter([(PortName::from("main"), Export::SERVICE)]),
        imports: part.uses.iter().map(import).collect(),
        ..Component::new(Run::Embedded)
    }
}

impl ReferenceStateMachine for Wish {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let parts = (2..=COMPONENTS_MAX).prop_flat_map(|count| (0..count).map(part).collect::<Vec<_>>());
        let wish = (0..1_000_000_u64, parts)
            .prop_map(|(seed, parts)| Self { seed, parts: (0..).zip(parts).collect() }.consistent());
        wish.boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let set =
            (0..COMPONENTS_MAX).prop_flat_map(|number| part(number).prop_map(move |p| Step::Set(number, p)));
        prop_oneof![
            2 => set,
            1 => (0..COMPONENTS_MAX).prop_map(Step::Remove),
            5 => proptest::sample::select(FAULTS).prop_map(Step::Strike),
            4 => (10..8_000_u16).prop_map(Step::Pass),
            1 => Just(Step::Heal),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Remove(number) => state.parts.contains_key(number) && state.parts.len() > 1,
            _ => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match step {
            Step::Set(number, part) => {
                state.parts.insert(*number, part.clone());
            }
            Step::Remove(number) => {
                state.parts.remove(number);
            }
            _ => return state,
        }
        state.consistent()
    }
}

/// Checks that the application is as the user wants it: every copy exists, every import is bound, every binding
/// works.
fn as_wanted(cluster: &Cluster, wish: &Wish) -> Result<(), String> {
    let bindings = cluster.bindings();
    let copies = |number: u8| -> BTreeSet<InstanceId> {
        bindings.keys().filter(|instance| instance.component == name(number)).cloned().collect()
    };
    for (number, part) in &wish.parts {
        let own = copies(*number);
        if own.len() != usize::from(part.copies) {
            return Err(format!("{own:?} instead of {} copies", part.copies));
        }
        for instance in &own {
            for (other, (_, all)) in &part.uses {
                let told = bindings[instance].get(&port(*other)).cloned().unwrap_or_default();
                let mut others = copies(*other);
                others.remove(instance);
                let least = if *all { others.len() } else { others.len().min(1) };
                if !told.is_subset(&others) || told.len() != least {
                    return Err(format!("{instance} is bound to {told:?} of {others:?}"));
                }
            }
        }
    }
    let known: usize = wish.parts.values().map(|part| usize::from(part.copies)).sum();
    if bindings.len() == known { Ok(()) } else { Err(format!("something else runs: {:?}", bindings.keys())) }
}

/// Waits until the state is as wanted. Optional imports bind late, and a voluntary move may begin at any time. A
/// lasting fault remains visible at every check.
fn assert_as_wanted(cluster: &mut Cluster, wish: &Wish) {
    let mut last = Ok(());
    for _ in 0..LOOKS {
        last = as_wanted(cluster, wish);
        if last.is_ok() {
            return;
        }
        assert_eq!(cluster.pass(LOOK_MS), Ok(()));
        assert_eq!(cluster.heal(), Ok(true), "it converges");
    }
    assert_eq!(last, Ok(()));
}

struct Histories;

impl StateMachineTest for Histories {
    type SystemUnderTest = Option<Cluster>;
    type Reference = Wish;

    fn init_test(wish: &Wish) -> Option<Cluster> {
        let mut cluster = Cluster::new(wish.seed, wish.components(), 3);
        assert_eq!(cluster.heal(), Ok(true), "it is deployed");
        assert_as_wanted(&mut cluster, wish);
        Some(cluster)
    }

    fn apply(state: Option<Cluster>, wish: &Wish, step: Step) -> Option<Cluster> {
        // Without a majority no decision is possible any more. Another test covers that.
        let mut cluster = state?;
        match step {
            Step::Set(..) | Step::Remove(_) => {
                cluster.change(wish.components());
            }
            Step::Strike(fault) => cluster.strike(fault),
            Step::Pass(ms) => assert_eq!(cluster.pass(u64::from(ms)), Ok(())),
            Step::Heal => return healed(cluster, wish),
        }
        assert_eq!(cluster.pass(1), Ok(()));
        Some(cluster)
    }

    fn teardown(state: Option<Cluster>, wish: Wish) {
        let _end_of_history = state.and_then(|cluster| healed(cluster, &wish));
    }
}

fn healed(mut cluster: Cluster, wish: &Wish) -> Option<Cluster> {
    if !cluster.heal().expect("it converges") {
        return None;
    }
    // A wish that was made while there was no coordinator is repeated, as a user would do.
    if cluster.components() != share(wish.components()) {
        assert!(cluster.change(wish.components()), "somebody coordinates");
        assert_eq!(cluster.pass(1_000), Ok(()));
        assert_eq!(cluster.heal(), Ok(true), "it converges to the last wish");
    }
    assert_as_wanted(&mut cluster, wish);
    Some(cluster)
}

prop_state_machine! {
    #![proptest_config(Config { cases: cases(), rng_seed: RngSeed::Fixed(seed()), failure_persistence: None, ..Config::default() })]

    #[test]
    fn histories_end_as_their_user_wants(sequential 1..24 => Histories);
}

/// The seed of the histories. By default it is the same in every run, so that a failure can be reproduced.
fn seed() -> u64 {
    std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(48)
}

/// Two components on 24 hosts each. Every copy of the first is bound to all copies of the second.
fn many_hosts() -> Wish {
    let uses = BTreeMap::from([(0, (false, true))]);
    let parts = [(0, Part { copies: 24, uses: BTreeMap::new() }), (1, Part { copies: 24, uses })]
        .into_iter()
        .collect();
    Wish { seed: 1, parts }
}

/// With more than sixteen members, not all members are linked to each other.
#[test]
fn instances_on_many_hosts_find_each_other() {
    let wish = many_hosts();
    let mut cluster = Cluster::new(wish.seed, wish.components(), 3);
    assert_eq!(cluster.heal(), Ok(true), "it is deployed");
    assert_as_wanted(&mut cluster, &wish);
}

#[test]
fn links_of_the_roster_alone_are_not_enough() {
    let wish = many_hosts();
    choose(Some(Sabotage::LinksByRosterOnly));
    let deployed = Cluster::new(wish.seed, wish.components(), 3).heal();
    choose(None);
    assert!(deployed.is_err(), "the fault in the core was not seen");
}
