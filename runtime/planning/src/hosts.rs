//! The machines of a problem: hosts that exist or arrive, offers that can be bought, and the distances between them.
//!
//! A fact measured on a node replaces the catalogue's fact of its offer. That fact replaces the value that was
//! written into the order when the host was bought. This module knows no rules: those are in `rules`.

use crate::catalogue::Buyable;
use rhizo_knowledge::Snapshot;
use rhizo_protocol::HostView;
use rhizo_solver::{Latency, Machine, Stock};
use rhizo_types::fact::{Subject, Value};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::spec::Spec;
use rhizo_types::target::Slot;
use rhizo_types::{AttributeName, HostResource, NodeId, Number, RegionName};

/// The round-trip time that stands for an unknown one. It is longer than any real one, so that a missing measurement
/// never helps a configuration to satisfy a rule or to gain utility.
const UNKNOWN_RTT_MS: f64 = 100_000.0;

/// A machine of the problem.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Candidate {
    /// A host that exists or arrives, under the name that plans use.
    Host(Slot, HostView),
    /// An offer that can be bought.
    Offer(Buyable),
}

impl Candidate {
    /// Returns the order of the host, or the order that would buy the offer.
    pub(crate) fn order(&self) -> &AcquireOrder {
        match self {
            Self::Host(_, host) => &host.order,
            Self::Offer(offer) => &offer.order,
        }
    }

    /// The host's name in plans; none for an offer.
    pub(crate) fn slot(&self) -> Option<Slot> {
        match self {
            Self::Host(slot, _) => Some(*slot),
            Self::Offer(_) => None,
        }
    }

    /// The member that runs there; none for an offer and for a host that has not joined.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Host(_, host) => host.node,
            Self::Offer(_) => None,
        }
    }
}

/// The regions of a problem and the round-trip times between them.
pub(crate) struct Sites {
    regions: Vec<RegionName>,
    ms: Vec<Vec<f64>>,
    anchors: Vec<Vec<f64>>,
    unknown: Vec<String>,
}

impl Sites {
    pub(crate) fn of(candidates: &[Candidate], spec: &Spec, snapshot: &Snapshot) -> Self {
        let mut regions: Vec<RegionName> =
            candidates.iter().map(|each| each.order().region.clone()).collect();
        regions.sort();
        regions.dedup();
        let mut unknown = Vec::new();
        let mut ms =
            |from: &RegionName, to: &RegionName| match snapshot.path(from, to).map(|path| &path.value) {
                Some(Value::Number(number)) => number.get(),
                _ if from == to => 0.0,
                _ => {
                    unknown.push(format!("the latency between `{from}` and `{to}` is not known"));
                    UNKNOWN_RTT_MS
                }
            };
        let uses_latency = uses_latency(spec);
        let row = |ms: &mut dyn FnMut(&RegionName, &RegionName) -> f64, from: &RegionName| {
            regions.iter().map(|to| if uses_latency { ms(from, to) } else { 0.0 }).collect::<Vec<f64>>()
        };
        let matrix = regions.iter().map(|from| row(&mut ms, from)).collect();
        let anchors = spec.anchors.iter().map(|anchor| row(&mut ms, anchor)).collect();
        Self { ms: matrix, anchors, unknown, regions }
    }

    pub(crate) fn latency(&self) -> Latency {
        Latency::from_rows(&self.ms)
    }

    pub(crate) fn anchors(&self) -> Vec<Vec<f64>> {
        self.anchors.clone()
    }

    /// Returns sentences about the first unknown paths. A few are enough for an operator to begin the search for the
    /// cause.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.unknown.iter().take(3).cloned().collect()
    }

    fn index(&self, region: &RegionName) -> Option<usize> {
        self.regions.binary_search(region).ok()
    }
}

fn uses_latency(spec: &Spec) -> bool {
    use rhizo_types::spec::{Measure, Of, Rule};
    let is_latency = |measure: &Measure| matches!(measure, Measure::DiameterMs | Measure::MaxAnchorLatencyMs);
    spec.requires
        .iter()
        .any(|require| matches!(&require.rule, Rule::Group { measure, .. } if is_latency(measure)))
        || spec
            .utilities
            .iter()
            .any(|utility| matches!(&utility.of, Of::Group(measure) if is_latency(measure)))
}

pub(crate) fn machine(candidate: &Candidate, resources: &[HostResource<'_>], sites: &Sites) -> Machine {
    let order = candidate.order();
    let (name, stock) = match candidate {
        Candidate::Host(slot, _) => (slot_name(*slot), Stock::Running),
        Candidate::Offer(offer) => {
            (format!("{}/{}", order.provider, order.offer), Stock::Offer { count_max: offer.count_max })
        }
    };
    Machine {
        name,
        provider: order.provider.to_string(),
        region: order.region.to_string(),
        stock,
        site: sites.index(&order.region),
        capacity: resources.iter().map(|resource| resource.capacity(&order.capacity)).collect(),
        safety: Vec::new(),
        price: price_per_hour(candidate),
        move_cost: Vec::new(),
    }
}

/// The price of one host per hour. Millionths of a currency unit stay far below 2^53, so the conversion is exact.
pub(crate) fn price_per_hour(candidate: &Candidate) -> f64 {
    candidate.order().price_micros_per_hour as f64 / 1e6
}

/// A host's name in messages.
pub(crate) fn slot_name(slot: Slot) -> String {
    match slot {
        Slot::Node(node) => node.to_string(),
        Slot::Intent(intent) => format!("host of {intent}"),
        Slot::Order(position) => format!("order {position}"),
    }
}

/// The attributes of one machine, as expressions read them.
pub(crate) struct Facts<'a> {
    candidate: &'a Candidate,
    snapshot: &'a Snapshot,
    node: Option<Subject>,
    offer: Subject,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(candidate: &'a Candidate, snapshot: &'a Snapshot) -> Self {
        let node = candidate.node().map(Subject::Node);
        let order = candidate.order();
        let offer = Subject::Offer(order.provider.clone(), order.offer.clone());
        Self { candidate, snapshot, node, offer }
    }

    /// The attribute's value by its best source; none when no source has it.
    pub(crate) fn value(&self, name: &AttributeName) -> Option<Value> {
        let order = self.candidate.order();
        match name.as_str() {
            "provider" => return Some(Value::Text(order.provider.to_string())),
            "region" => return Some(Value::Text(order.region.to_string())),
            "offer" => return Some(Value::Text(order.offer.to_string())),
            "price" => {
                return Number::try_from(price_per_hour(self.candidate)).ok().map(Value::Number);
            }
            _ => {}
        }
        let known =
            |subject: &Subject| self.snapshot.get(subject, name).map(|believed| believed.value.clone());
        self.node
            .as_ref()
            .and_then(known)
            .or_else(|| known(&self.offer))
            .or_else(|| order.attributes.get(name).cloned())
            .or_else(|| order.capacity.get(name.as_str()).copied().map(Value::Number))
    }
}
