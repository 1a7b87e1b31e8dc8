//! The ledger that a shape begins with: this node on a host of its own, and the spec. The founder has left.

use super::super::shape::{LINK, Shape};
use rhizo_protocol::{Ledger, Member};
use rhizo_types::id::{
    AppName, ComponentName, HostId, IntentId, Lineage, NodeId, OfferName, PeerKey, PortName, ProviderName,
    RegionName,
};
use rhizo_types::intent::{AcquireOrder, BoundHost, Intent, IntentState};
use rhizo_types::ledger::{FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::spec::{Component, Export, Import, Optimise, Ports, Run, Spec};
use rhizo_types::{Epoch, Revision};
use std::collections::{BTreeMap, BTreeSet};

/// The node that coordinates and hosts everything.
pub(super) const ME: NodeId = NodeId(2);

/// The ledger before the first entry of the log.
pub(super) fn of(shape: Shape) -> Ledger {
    let host = BoundHost { host: HostId::from("h"), address: None };
    let id = IntentId(1);
    let intent = Intent { id, order: order(), state: IntentState::Bound, host: Some(host), node: Some(ME) };
    let genesis = Genesis {
        app: AppName::from("bench"),
        lineage: Lineage(1),
        founder: record(FOUNDER, None),
        operators: BTreeSet::new(),
        timers: Timers { place_grace_ms: 0, ..Timers::LOCAL },
        overlay_secret: OverlaySecret([0; 32]),
    };
    let set = SetSpec { revision: Revision(1), spec: spec(shape), source: String::new() };
    let mut ledger = Ledger { genesis: Some(genesis), epoch: Epoch(1), ..Ledger::default() };
    ledger.specs.insert(Revision(1), set);
    ledger.members.insert(ME, Member { record: record(ME, Some(id)), draining: false });
    ledger.intents.insert(id, intent);
    ledger.intents_issued = 1;
    ledger.voters.insert(ME);
    ledger
}

fn order() -> AcquireOrder {
    AcquireOrder {
        provider: ProviderName::from("lab"),
        offer: OfferName::from("small"),
        region: RegionName::from("r"),
        price_micros_per_hour: 0,
        capacity: BTreeMap::new(),
        attributes: BTreeMap::new(),
    }
}

fn record(id: NodeId, intent: Option<IntentId>) -> MemberRecord {
    MemberRecord {
        key: PeerKey([u8::try_from(id.0).unwrap_or(0); 32]),
        addresses: Vec::new(),
        provider: ProviderName::from("lab"),
        region: RegionName::from("r"),
        intent,
    }
}

fn name(n: usize) -> ComponentName {
    ComponentName(format!("{LINK}{n}"))
}

/// Each component has one copy, an export of data, and the imports of the shape.
fn spec(shape: Shape) -> Spec {
    let component = |n: usize| {
        let export = Export { data: true, ..Export::SERVICE };
        let import =
            |other: usize| (PortName(format!("to-{other}")), Import::of(name(other), PortName::from("main")));
        let component = Component {
            exports: Ports::from_iter([(PortName::from("main"), export)]),
            imports: shape.used_by(n).into_iter().map(import).collect(),
            ..Component::new(Run::Embedded)
        };
        (name(n), component)
    };
    let spec = Spec::new("bench", (0..shape.count).map(component).collect());
    // The optimiser must not contribute to the figures.
    Spec { optimise: Optimise { every_ms: 3_600_000, ..spec.optimise }, ..spec }
}
