//! The machines of a problem: what is known of each, and how far they are apart.
//!
//! A measured fact of a node wins over what the catalogue says of its offer, which wins over what was
//! written into the order when the host was bought.

use super::Candidate;
use rhizo_knowledge::Snapshot;
use rhizo_solver::{Latency, Machine, Stock};
use rhizo_types::fact::{Subject, Value};
use rhizo_types::intent::AttributeValue;
use rhizo_types::spec::Spec;
use rhizo_types::target::Slot;
use rhizo_types::{AttributeName, Number, RegionName};

/// The round-trip time that stands for an unknown one: longer than any real one, so that a rule or a
/// utility over latency never profits from not knowing.
const UNKNOWN_RTT_MS: f64 = 100_000.0;

/// The regions of a problem and the times between them.
pub(super) struct Sites {
    regions: Vec<RegionName>,
    ms: Vec<Vec<f64>>,
    anchors: Vec<Vec<f64>>,
    unknown: Vec<String>,
}

impl Sites {
    pub(super) fn of(candidates: &[Candidate], spec: &Spec, snapshot: &Snapshot) -> Self {
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

    pub(super) fn latency(&self) -> Latency {
        Latency::from_rows(&self.ms)
    }

    pub(super) fn anchors(&self) -> Vec<Vec<f64>> {
        self.anchors.clone()
    }

    /// A few of the unknown paths: one is enough to start looking.
    pub(super) fn warnings(&self) -> Vec<String> {
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

pub(super) fn machine(candidate: &Candidate, resources: &[String], sites: &Sites) -> Machine {
    let order = candidate.order();
    let (name, stock) = match candidate {
        Candidate::Host(host) => (slot_name(host.slot), Stock::Running),
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
        capacity: resources
            .iter()
            .map(|name| order.capacity.get(name).map_or(0.0, |have| have.get()))
            .collect(),
        safety: Vec::new(),
        price: price_per_hour(candidate),
        move_cost: Vec::new(),
    }
}

/// Millionths of a currency unit stay far below 2^53, so the conversion is exact.
pub(super) fn price_per_hour(candidate: &Candidate) -> f64 {
    candidate.order().price_micros_per_hour as f64 / 1e6
}

pub(super) fn slot_name(slot: Slot) -> String {
    match slot {
        Slot::Node(node) => node.to_string(),
        Slot::Intent(intent) => format!("host of {intent}"),
        Slot::Order(position) => format!("order {position}"),
    }
}

/// What expressions see of one machine.
pub(super) struct Facts<'a> {
    candidate: &'a Candidate,
    snapshot: &'a Snapshot,
    node: Option<Subject>,
    offer: Subject,
}

impl<'a> Facts<'a> {
    pub(super) fn of(candidate: &'a Candidate, snapshot: &'a Snapshot) -> Self {
        let node = match candidate {
            Candidate::Host(host) => host.view.node.map(Subject::Node),
            Candidate::Offer(_) => None,
        };
        let order = candidate.order();
        let offer = Subject::Offer(order.provider.clone(), order.offer.clone());
        Self { candidate, snapshot, node, offer }
    }

    /// The attribute's value, by the best source.
    pub(super) fn value(&self, name: &AttributeName) -> Option<Value> {
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
            .or_else(|| order.attributes.get(name).map(from_attribute))
            .or_else(|| order.capacity.get(name.as_str()).copied().map(Value::Number))
    }
}

fn from_attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Number(number) => Value::Number(*number),
        AttributeValue::Text(text) => Value::Text(text.clone()),
    }
}
