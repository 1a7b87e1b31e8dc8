//! A small planner in the place of the solver: first fit, one copy of a component per host, spread over providers.
//!
//! It is no model of the solver's quality, only of its interface: proposals, *nothing better*, *infeasible*.

use rand::RngExt;
use rand::rngs::StdRng;
use rhizo_protocol::{Proposal, SolveOutcome, SolveRequest};
use rhizo_types::id::{ComponentName, OfferName, ProviderName, RegionName, RuleName};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::number::Number;
use rhizo_types::spec::Spec;
use rhizo_types::target::Slot;
use std::collections::BTreeMap;

/// The price of a host, in millionths of the currency per hour.
pub const PRICE_MICROS: u64 = 50_000;

/// The resource of which every instance needs one.
pub const SEATS: &str = "seats";

/// So many instances a host can hold.
pub const SEATS_PER_HOST: u32 = 2;

fn number(value: f64) -> Number {
    Number::try_from(value).unwrap_or(Number::ZERO)
}

/// What a provider sells.
fn order(provider: &ProviderName, kind: u32) -> AcquireOrder {
    AcquireOrder {
        provider: provider.clone(),
        offer: OfferName(format!("small-{kind}")),
        region: RegionName(format!("{provider}-r{kind}")),
        price_micros_per_hour: PRICE_MICROS,
        capacity: BTreeMap::from([(SEATS.to_owned(), number(f64::from(SEATS_PER_HOST)))]),
        attributes: BTreeMap::new(),
    }
}

/// Solves a request for a spec.
pub fn solve(request: &SolveRequest, spec: &Spec, rng: &mut StdRng) -> SolveOutcome {
    let mut orders: Vec<AcquireOrder> = Vec::new();
    let mut load: BTreeMap<Slot, u32> = request.hosts.keys().map(|slot| (*slot, 0)).collect();
    // A voluntary run may find that one host would better be another.
    let victim = if request.forced {
        None
    } else {
        let used: Vec<Slot> =
            request.hosts.iter().filter(|(_, h)| !h.components.is_empty()).map(|(s, _)| *s).collect();
        (!used.is_empty() && rng.random_bool(0.7)).then(|| used[rng.random_range(0..used.len())])
    };
    let mut placement = kept(request, spec, victim, &mut load);
    // What stays has its seat before anything else is seated.
    for (name, component) in &spec.components {
        let mut slots = placement.remove(name).unwrap_or_default();
        while slots.len() < component.replicas.min as usize {
            let free = load.iter().filter(|(slot, count)| {
                let node = request.hosts.get(*slot).and_then(|host| host.node);
                let avoided = node.is_some_and(|node| request.avoid.contains(&(name.clone(), node)));
                **count < SEATS_PER_HOST && !slots.contains(slot) && !avoided && Some(**slot) != victim
            });
            if let Some(slot) = free.min_by_key(|(slot, count)| (**count, **slot)).map(|(slot, _)| *slot) {
                slots.push(slot);
                *load.entry(slot).or_default() += 1;
                continue;
            }
            let Some(order) = offer(request, spec, &orders, rng) else {
                let rules = vec![RuleName::from("capacity")];
                return SolveOutcome::Infeasible { rules, reasons: vec!["no offer is left".to_owned()] };
            };
            let slot = Slot::Order(orders.len() as u32);
            orders.push(order);
            load.insert(slot, 0);
        }
        placement.insert(name.clone(), slots);
    }
    if !request.forced && orders.is_empty() {
        return SolveOutcome::NothingBetter {
            utility: Some(number(0.5)),
            reason: "nothing is cheaper".to_owned(),
        };
    }
    let gain = f64::from(rng.random_range(0..10)) / 100.0;
    SolveOutcome::Proposal(Box::new(Proposal {
        placement,
        orders,
        utility_before: (!request.forced).then(|| number(0.5)),
        utility_after: number(0.5 + gain),
        migration_cost: number(0.01),
        price_micros_per_hour: load.len() as u64 * PRICE_MICROS,
        terms: Vec::new(),
        reasons: Vec::new(),
    }))
}

/// Where copies stay: on every host that has them, but for one that is given up and those to be avoided.
fn kept(
    request: &SolveRequest,
    spec: &Spec,
    victim: Option<Slot>,
    load: &mut BTreeMap<Slot, u32>,
) -> BTreeMap<ComponentName, Vec<Slot>> {
    let mut placement = BTreeMap::new();
    for (name, component) in &spec.components {
        let mut slots: Vec<Slot> = Vec::new();
        let kept = request.hosts.iter().filter(|(_, host)| host.components.contains_key(name));
        for (slot, host) in kept.take(component.replicas.max as usize) {
            let avoided = host.node.is_some_and(|node| request.avoid.contains(&(name.clone(), node)));
            if !avoided && Some(*slot) != victim {
                slots.push(*slot);
                *load.entry(*slot).or_default() += 1;
            }
        }
        placement.insert(name.clone(), slots);
    }
    placement
}

fn offer(
    request: &SolveRequest,
    spec: &Spec,
    orders: &[AcquireOrder],
    rng: &mut StdRng,
) -> Option<AcquireOrder> {
    let mut offers: Vec<AcquireOrder> = Vec::new();
    for provider in spec.providers.keys().filter(|provider| !request.failing.contains(*provider)) {
        offers.extend((0..3).map(|number| order(provider, number)));
    }
    offers.retain(|order| !request.cooling.contains(&(order.provider.clone(), order.offer.clone())));
    let hosts = request.hosts.values().map(|host| &host.order).chain(orders);
    let count = |provider: &ProviderName| hosts.clone().filter(|order| order.provider == *provider).count();
    let least = offers.iter().map(|order| count(&order.provider)).min()?;
    offers.retain(|order| count(&order.provider) == least);
    let index = rng.random_range(0..offers.len());
    Some(offers.swap_remove(index))
}
