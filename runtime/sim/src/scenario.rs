//! The application of a seed: small specs with mandatory and optional imports, chains and meshes.

use crate::market::{PRICE_MICROS_MAX, SEATS, SPEED};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rhizo_types::expr::Expr;
use rhizo_types::id::{
    AppName, AttributeName, BehaviourName, ComponentName, PlaceName, PortName, ProviderName, RuleName,
    TransitionName, ValueName,
};
use rhizo_types::ledger::Timers;
use rhizo_types::lifecycle::{Action, Lifecycle, Retry, Step, Transition};
use rhizo_types::number::Number;
use rhizo_types::spec::{
    Budget, Component, Export, Import, Migration, Of, OnFailure, OnLoss, Optimise, Pick, Ports, ProviderSpec,
    Replicas, Run, Spec, Stop, Utility, share,
};
use rhizo_types::state::{OnDataLoss, State};
use std::collections::{BTreeMap, BTreeSet};

/// Number of shapes.
pub const SHAPES: u32 = 7;

/// The parameters of one world.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The spec of the first deployment.
    pub spec: Spec,
    /// The number of its shape.
    pub shape: u32,
    /// The providers.
    pub providers: Vec<ProviderName>,
    /// Number of planned faults.
    pub faults: u32,
    /// Whether faults begin before the first deployment is done.
    pub early: bool,
    /// Whether the application is taken down in the end.
    pub take_down: bool,
    /// Whether all nodes but one are lost in the end.
    pub lonely: bool,
    /// One-way delay of a message, in microseconds: smallest and largest.
    pub delay_us: (u64, u64),
}

/// The timers of simulated overlays: the local ones, with shorter waits for providers so that runs stay short.
pub const TIMERS: Timers = Timers {
    list_every_ms: 15_000,
    visible_ms: 5_000,
    reclaim_after_ms: 20_000,
    join_ms_max: 30_000,
    stabilise_ms: 5_000,
    ..Timers::LOCAL
};

fn component(replicas: u32, imports: &[(&str, bool, Pick)]) -> Component {
    let import = |(name, optional, pick): &(&str, bool, Pick)| {
        let (component, export) = (ComponentName::from(*name), PortName::from("main"));
        let import = Import { optional: *optional, pick: *pick, ..Import::of(component, export) };
        (PortName::from(*name), import)
    };
    Component {
        replicas: Replicas { min: replicas, max: replicas },
        exports: Ports::from_iter([(PortName::from("main"), Export::SERVICE)]),
        imports: imports.iter().map(import).collect(),
        needs: BTreeMap::from([(SEATS.to_owned(), Number::ONE)]),
        stop: Stop { signal: "TERM".to_owned(), grace_ms: 1_000 },
        ..Component::new(Run::Embedded)
    }
}

/// `off ─fetch, configure─► ready ─start─► up ─work─► busy`, with a transition back for each step. It serves in `up`
/// and `busy`.
fn lively() -> Lifecycle {
    let function = |name: &str| Action::Function(name.to_owned());
    let ways = [
        ("fetch", "off", "ready", function("fetch")),
        ("configure", "off", "ready", function("configure")),
        ("start", "ready", "up", Action::Start),
        ("work", "up", "busy", function("work")),
        ("rest", "busy", "up", function("rest")),
        ("stop", "up", "ready", Action::Stop),
        ("remove", "ready", "off", function("remove")),
    ];
    let mut cycle = Lifecycle::service();
    (cycle.transitions, cycle.behaviours) = (BTreeMap::new(), BTreeMap::new());
    cycle.places = ["off", "ready", "up", "busy"].map(PlaceName::from).into();
    cycle.initial = PlaceName::from("off");
    for (name, from, to, action) in ways {
        let mut way = Transition::plain(from, to, action);
        if name == "fetch" {
            way.step.timeout_ms = Some(2_000);
            way.step.retry = Retry { times: 2, wait_ms: 100, wait_ms_max: 1_000 };
        }
        cycle.transitions.insert(TransitionName::from(name), way);
    }
    let lists = [
        ("deploy", &["fetch", "configure", "start"][..]),
        ("work", &["work"]),
        ("rest", &["rest"]),
        ("stop", &["rest", "stop"]),
        ("remove", &["remove"]),
    ];
    for (name, members) in lists {
        let members = members.iter().map(|member| TransitionName::from(*member)).collect();
        cycle.behaviours.insert(BehaviourName::from(name), members);
    }
    let list = |names: &[&str]| names.iter().map(|name| BehaviourName::from(*name)).collect();
    (cycle.deploy, cycle.pause, cycle.retire) =
        (list(&["deploy"]), list(&["stop"]), list(&["stop", "remove"]));
    cycle.reset = vec![Step::plain(function("reset"))];
    cycle.notify = Some(Step::plain(function("notify")));
    cycle.started = [PlaceName::from("up")].into();
    cycle.exports.insert(PortName::from("main"), ["up", "busy"].map(PlaceName::from).into());
    cycle
}

/// Gives a component's export the port that all fixed components of a shape have.
fn fixed(mut component: Component) -> Component {
    for (_, export) in &mut component.exports {
        export.port = Some(8080);
    }
    component
}

/// One exclusive copy with values. It is rolled back when a new version fails.
fn hub() -> Component {
    let mut hub = component(1, &[]);
    let values = BTreeSet::from([ValueName::from("key")]);
    hub.exports.insert(PortName::from("main"), Export { values, ..Export::SERVICE });
    Component { exclusive: true, on_failure: OnFailure::Unwind, lifecycle: Some(Box::new(lively())), ..hub }
}

/// One copy with data that an operator has to give up after a loss.
fn store() -> Component {
    Component { state: State::Pinned { on_loss: OnDataLoss::Wait }, ..component(1, &[]) }
}

/// Needs two of the pool, and imports the hub's values.
fn user(copies: u32, on_loss: OnLoss) -> Component {
    let mut user = component(copies, &[("hub", true, Pick::One), ("pool", false, Pick::Some(2))]);
    for (_, import) in &mut user.imports {
        (import.notify, import.on_loss) = (true, on_loss);
    }
    user
}

/// The application of one of a few shapes.
#[must_use]
pub fn components(shape: u32, copies: u32) -> BTreeMap<ComponentName, Component> {
    let list: Vec<(&str, Component)> = match shape {
        // A mesh, as PsEPR's brokers.
        0 => vec![("broker", component(copies + 2, &[("broker", true, Pick::All)]))],
        // A front end that needs its store, whose data stays where it is.
        1 => vec![("store", store()), ("web", component(copies, &[("store", false, Pick::One)]))],
        // Three tiers, with an optional cache.
        2 => vec![
            ("app", component(copies, &[("cache", true, Pick::One), ("db", false, Pick::Some(1))])),
            ("cache", component(1, &[])),
            ("db", component(2, &[("db", true, Pick::All)])),
            ("front", component(2, &[("app", false, Pick::All)])),
        ],
        // One hub, a pool of which two are needed, and their users.
        4 => vec![
            ("hub", hub()),
            ("pool", component(3, &[("hub", false, Pick::One)])),
            ("user", user(copies, OnLoss::Suspend)),
        ],
        // A hub, a pool and their users with other reactions to losses, each with a life-cycle of its own.
        5 => vec![
            ("hub", hub()),
            (
                "pool",
                Component { lifecycle: Some(Box::new(lively())), unavailable_max: 2, ..component(3, &[]) },
            ),
            ("user", Component { lifecycle: Some(Box::new(lively())), ..user(copies, OnLoss::Rebind) }),
        ],
        // A chain. Three of its components have the same fixed port, so that each host has a copy of one of them.
        _ => vec![
            ("a", fixed(component(1, &[("b", false, Pick::One)]))),
            ("b", fixed(component(2, &[("c", false, Pick::One)]))),
            ("c", component(copies, &[("d", false, Pick::One)])),
            ("d", fixed(component(1, &[]))),
        ],
    };
    list.into_iter().map(|(name, component)| (ComponentName::from(name), component)).collect()
}

/// The goals for each component's hosts: fast first, then cheap.
#[must_use]
pub fn goals<'a>(components: impl Iterator<Item = &'a ComponentName>) -> Vec<Utility> {
    let goal = |component: &ComponentName, attribute: &str, best: u32, worst: u32, weight: u32| Utility {
        name: RuleName(format!("{attribute} of {component}")),
        component: component.clone(),
        of: Of::Each(Expr::Attribute(AttributeName::from(attribute))),
        best: hundredth(best),
        worst: hundredth(worst),
        weight: Number::from(weight),
        source: String::new(),
    };
    components.flat_map(|name| [goal(name, SPEED, 100, 0, 3), goal(name, "price", 0, 10, 1)]).collect()
}

fn hundredth(count: u32) -> Number {
    Number::try_from(f64::from(count) / 100.0).unwrap_or(Number::ZERO)
}

/// Puts other components into a spec, with the goals for their hosts.
pub fn set_components(spec: &mut Spec, components: BTreeMap<ComponentName, Component>) {
    spec.utilities = goals(components.keys());
    spec.components = share(components);
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        // A separate stream: a change in the world's use of its numbers does not change the scenario.
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5cea_a210);
        let count = if rng.random_bool(0.2) { 1 } else { 3 };
        let providers: Vec<ProviderName> = (0..count).map(|i| ProviderName(format!("p{i}"))).collect();
        let (shape, copies) = (rng.random_range(0..SHAPES), rng.random_range(1..=3));
        let source =
            ProviderSpec { kind: "sim".to_owned(), settings: String::new(), regions: BTreeSet::new() };
        let budget = rng.random_bool(0.5).then(|| Budget {
            currency: "EUR".to_owned(),
            // No shape needs more than five hosts. The budget allows only one more, so replacements that overlap with
            // the replaced hosts have to wait for money. With three providers it allows two more: when two of them
            // fail and come back, a voluntary plan has to add a host at each of them at once to reach three again.
            max_hourly: Number::try_from(
                f64::from(rng.random_range(6..=7_u32) + u32::from(count == 3)) * PRICE_MICROS_MAX as f64
                    / 1e6,
            )
            .unwrap_or(Number::ZERO),
        });
        let spec = Spec {
            app: AppName::from("sim"),
            version: "1".to_owned(),
            components: share(components(shape, copies)),
            requires: Vec::new(),
            utilities: goals(components(shape, copies).keys()),
            migration: Migration { add: hundredth(1), remove: Number::ZERO },
            optimise: Optimise {
                every_ms: 10_000,
                min_gain: hundredth(1),
                max_moves: Some(2),
                settle_ms: 5_000,
                deadline_ms: 2_000,
            },
            budget,
            providers: providers.iter().map(|name| (name.clone(), source.clone())).collect(),
            anchors: Vec::new(),
            orphan_after_ms: 0,
        };
        let slow = rng.random_bool(0.3);
        Self {
            spec,
            shape,
            providers,
            faults: rng.random_range(2..=10),
            early: rng.random_bool(0.3),
            take_down: rng.random_bool(0.3),
            lonely: rng.random_bool(0.05),
            delay_us: if slow { (5_000, 150_000) } else { (100, 3_000) },
        }
    }
}
