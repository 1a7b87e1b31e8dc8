//! Generated ledgers: an operator sees exactly the plan that the coordinator commits.
//!
//! For each ledger, a coordinator plans for some virtual time, while offers are sold out, providers fail and orders
//! get stuck. At each of its requests, the request for an operator's question must be equal, and the committed plan
//! must be that of the record. The last test leaves out one part of the request after the other. Each omission
//! changes some answers.

mod common;

use common::{component, host, market, plan, spec};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rhizo_knowledge::Snapshot;
use rhizo_planning::{Catalogue, Decision, Outcome, Request};
use rhizo_protocol::testing::{LedgerBuilder, Stage, instance};
use rhizo_protocol::{Event, Ledger, Notice, RequestId, SolveOutcome};
use rhizo_types::intent::{AcquireOrder, IntentState};
use rhizo_types::spec::{Budget, Spec};
use rhizo_types::target::Slot;
use rhizo_types::{ComponentName, InstanceId, IntentId, NodeId, Number, OfferName, ProviderName};
use std::collections::{BTreeMap, BTreeSet};

const PROVIDERS: [&str; 2] = ["p0", "p1"];
const LEDGERS: u64 = 3_000;

/// Counts of the situations without which the tests would prove nothing.
#[derive(Default, Debug)]
struct Seen {
    questions: u32,
    committed: u32,
    kept: u32,
    cooling: u32,
    failing: u32,
    frozen: u32,
    limited: u32,
    avoided: u32,
    lost: u32,
}

struct World {
    ledger: Ledger,
    offers: Vec<AcquireOrder>,
    sold_out: BTreeSet<(ProviderName, OfferName)>,
    failing: BTreeSet<ProviderName>,
}

impl World {
    fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let offers = offers(&mut rng);
        let wanted = wanted(&mut rng);
        let mut builder = LedgerBuilder::new(wanted.clone());
        let mut slots = Vec::new();
        for node in 2..2 + rng.random_range(0..5) {
            builder = builder.host(node, offers[rng.random_range(0..offers.len())].clone());
            if rng.random_bool(0.15) {
                builder = builder.draining(node);
            }
            slots.push(Slot::Node(NodeId(node)));
        }
        for intent in 20..20 + rng.random_range(0..3) {
            let states = [IntentState::Open, IntentState::Unknown, IntentState::Absent];
            let order = offers[rng.random_range(0..offers.len())].clone();
            builder = builder.arriving(intent, states[rng.random_range(0..states.len())], order);
            slots.push(Slot::Intent(IntentId(intent)));
        }
        if rng.random_bool(0.2) {
            slots.push(Slot::Node(NodeId(99)));
        }
        builder = builder.placed(placement(&wanted, &slots, &mut rng));
        if rng.random_bool(0.3) {
            builder = builder.avoid(["a", "b"][rng.random_range(0..2)], rng.random_range(2..6));
        }
        if rng.random_bool(0.3) {
            builder = builder.spec(self::wanted(&mut rng));
        }
        let some = |rng: &mut StdRng, share| rng.random_bool(share);
        let names = offers.iter().map(|order| (order.provider.clone(), order.offer.clone()));
        let sold_out = names.filter(|_| some(&mut rng, 0.3)).collect();
        let failing = PROVIDERS.iter().map(|name| ProviderName::from(*name));
        let failing = failing.filter(|_| some(&mut rng, 0.2)).collect();
        Self { ledger: builder.build(), offers, sold_out, failing }
    }

    fn market(&self) -> (Catalogue, Snapshot) {
        market(&self.offers, &PROVIDERS)
    }

    fn stage(&self) -> Stage {
        let mut stage = Stage::new(self.ledger.clone());
        (stage.sold_out, stage.failing) = (self.sold_out.clone(), self.failing.clone());
        stage
    }
}

fn offers(rng: &mut StdRng) -> Vec<AcquireOrder> {
    let kinds = PROVIDERS.iter().flat_map(|provider| ["x", "y"].map(|offer| (*provider, offer)));
    kinds.map(|(provider, offer)| host(provider, offer, 2, rng.random_range(0..=10))).collect()
}

fn wanted(rng: &mut StdRng) -> Spec {
    let mut components = BTreeMap::new();
    for name in ["a", "b"] {
        if name == "a" || rng.random_bool(0.7) {
            let min = rng.random_range(1..3);
            let mut component = component(min, min + rng.random_range(0..2));
            if rng.random_bool(0.3) {
                component.env.insert("V".to_owned(), "1".to_owned());
            }
            components.insert(ComponentName::from(name), component);
        }
    }
    let used = if rng.random_bool(0.25) { &PROVIDERS[..1] } else { &PROVIDERS[..] };
    let mut wanted = spec(components, used);
    let percent = |rng: &mut StdRng, most: u32| {
        Number::try_from(f64::from(rng.random_range(0..=most)) / 100.0).expect("finite")
    };
    wanted.optimise.max_moves = rng.random_bool(0.5).then(|| rng.random_range(0..3));
    wanted.optimise.settle_ms = if rng.random_bool(0.5) { 2_000 } else { 0 };
    wanted.optimise.min_gain = percent(rng, 20);
    wanted.migration.add = percent(rng, 5);
    if rng.random_bool(0.2) {
        wanted.budget = Some(Budget { currency: "EUR".to_owned(), max_hourly: percent(rng, 50) });
    }
    wanted
}

/// Places copies on some of the slots, under names with gaps, so that names and positions differ.
fn placement(wanted: &Spec, slots: &[Slot], rng: &mut StdRng) -> BTreeMap<InstanceId, Slot> {
    let mut placement = BTreeMap::new();
    for (name, component) in &wanted.components {
        let mut ordinal = 0;
        let chosen: Vec<&Slot> = slots.iter().filter(|_| rng.random_bool(0.6)).collect();
        for slot in chosen.into_iter().take(component.replicas.max as usize) {
            ordinal += rng.random_range(0..2);
            placement.insert(instance(name.as_str(), ordinal), *slot);
            ordinal += 1;
        }
    }
    placement
}

/// Answers the coordinator's request, and compares its reaction with the record.
fn answer(seed: u64, stage: &mut Stage, request: &Request, outcome: Outcome, seen: &mut Seen) {
    let (plans, notices) = (stage.plans.len(), stage.notices.len());
    // A host that was lost or came while planning ran causes the next run. A proposal that needs it is dropped.
    let now = stage.node.question(stage.now, None);
    let moved_on =
        now.is_none_or(|now| (now.hosts, now.copies) != (request.hosts.clone(), request.copies.clone()));
    let proposes = rhizo_planning::is_proposal(&outcome.outcome);
    stage.feed(Event::Solved { id: request.id, outcome: outcome.outcome });
    let kept = stage.notices[notices..].iter().any(|notice| matches!(notice, Notice::PlanKept { .. }));
    if let Some(plan) = stage.plans.get(plans) {
        assert_eq!(outcome.record.verdict, Decision::Planned, "seed {seed}: {}", outcome.record.text);
        let committed: BTreeSet<String> = plan.placement.keys().map(ToString::to_string).collect();
        let shown: BTreeSet<String> =
            outcome.record.proposed.iter().map(|copy| copy.instance.clone()).collect();
        assert_eq!(committed, shown, "seed {seed}");
        for (instance, slot) in &plan.placement {
            let shown = outcome.record.proposed.iter().find(|copy| copy.instance == instance.to_string());
            let shown = shown.and_then(|copy| copy.on.node.clone());
            let name = match slot {
                Slot::Node(node) => Some(node.to_string()),
                Slot::Intent(intent) => Some(format!("host of {intent}")),
                Slot::Order(_) => None,
            };
            assert_eq!(name, shown, "seed {seed}: {instance}");
        }
        seen.committed += 1;
    } else if kept {
        assert_eq!(outcome.record.verdict, Decision::Kept, "seed {seed}: {}", outcome.record.text);
        seen.kept += 1;
    } else if proposes && !moved_on && outcome.record.verdict == Decision::Planned {
        panic!("seed {seed}: nothing is committed of {:#?}", outcome.record.actions);
    }
}

fn count(seen: &mut Seen, request: &Request) {
    seen.questions += 1;
    seen.cooling += u32::from(!request.cooling.is_empty());
    seen.failing += u32::from(!request.failing.is_empty());
    seen.frozen += u32::from(!request.terms.frozen.is_empty());
    seen.limited += u32::from(request.terms.moves_max.is_some());
    seen.avoided += u32::from(!request.terms.avoid.is_empty());
    seen.lost += u32::from(request.copies.values().any(|copy| !copy.is_kept()));
}

#[test]
fn the_operator_is_shown_what_the_coordinator_commits() {
    let mut seen = Seen::default();
    for seed in 0..LEDGERS {
        let world = World::of(seed);
        let (mut stage, market) = (world.stage(), world.market());
        let mut rng = StdRng::seed_from_u64(seed ^ 0xa9);
        for _ in 0..4 {
            if !stage.until_asked(20_000) {
                break;
            }
            let Some((request, operators)) = stage.asked.take() else { break };
            let operators = operators.expect("a spec is in force");
            count(&mut seen, &request);
            assert_eq!(operators, Request { id: operators.id, ..request.clone() }, "seed {seed}");
            let outcome = plan(&request, &market);
            if rng.random_bool(0.5) {
                answer(seed, &mut stage, &request, outcome, &mut seen);
            } else {
                // The coordinator makes another request when it knows more.
                let failed = SolveOutcome::Failed { reason: "test".to_owned() };
                stage.feed(Event::Solved { id: request.id, outcome: failed });
            }
        }
    }
    println!("{seen:?}");
    let Seen { committed, kept, cooling, failing, frozen, limited, avoided, lost, .. } = seen;
    let least = [committed, kept, cooling, failing, frozen, limited, avoided, lost].into_iter().min();
    assert!(least >= Some(10), "too few cases of some kind: {seen:?}");
}

#[test]
fn the_question_of_up_is_the_coordinators_once_the_spec_is_in_force() {
    let mut compared = 0;
    for seed in 0..LEDGERS / 3 {
        let world = World::of(seed);
        let mut stage = world.stage();
        stage.feed(Event::Tick);
        // A run that is under way has to end first: the coordinator has one at a time.
        while let Some((request, _)) = stage.asked.take() {
            let failed = SolveOutcome::Failed { reason: "test".to_owned() };
            stage.feed(Event::Solved { id: request.id, outcome: failed });
        }
        let wanted = wanted(&mut StdRng::seed_from_u64(seed ^ 0x77));
        if stage.node.ledger().spec() == Some(&wanted) {
            continue;
        }
        let shown = stage.node.question(stage.now, Some(wanted.clone())).expect("it may follow");
        let set =
            rhizo_protocol::Request::SetSpec { spec: Box::new(wanted), source: String::new(), after: None };
        stage.feed(Event::Request { id: RequestId(1), request: set });
        let Some((request, _)) = stage.asked.take() else { continue };
        assert_eq!(shown, request, "seed {seed}");
        compared += 1;
    }
    assert!(compared > 200, "{compared} compared");
}

/// Removes one part of a request.
type Drop = fn(&mut Request);

#[test]
fn every_part_of_the_question_changes_some_answers() {
    let parts: [(&str, Drop); 6] = [
        ("cooling", |request| request.cooling.clear()),
        ("failing", |request| request.failing.clear()),
        ("frozen", |request| request.terms.frozen.clear()),
        ("moves_max", |request| request.terms.moves_max = None),
        ("avoid", |request| request.terms.avoid.clear()),
        ("gain_min", |request| request.terms.gain_min = Number::ZERO),
    ];
    let mut differs: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..LEDGERS / 3 {
        let world = World::of(seed);
        let (mut stage, market) = (world.stage(), world.market());
        for _ in 0..3 {
            if !stage.until_asked(20_000) {
                break;
            }
            let Some((request, _)) = stage.asked.take() else { break };
            let whole = plan(&request, &market);
            for (part, drop) in &parts {
                let mut less = request.clone();
                drop(&mut less);
                let answer = if less == request { None } else { Some(plan(&less, &market)) };
                let changed = answer.is_some_and(|answer| {
                    (answer.record.verdict, &answer.record.proposed)
                        != (whole.record.verdict, &whole.record.proposed)
                });
                *differs.entry(part).or_default() += u32::from(changed);
            }
            let failed = SolveOutcome::Failed { reason: "test".to_owned() };
            stage.feed(Event::Solved { id: request.id, outcome: failed });
        }
    }
    println!("{differs:?}");
    assert!(parts.iter().all(|(part, _)| differs.get(part).is_some_and(|n| *n > 0)), "{differs:?}");
}
