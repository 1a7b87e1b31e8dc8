//! The bindings of a target: a pure function of the spec, the placement, and what was bound before.
//!
//! What a script bound by hand stays so, as long as any of it is there. Otherwise a binding that is still possible
//! is kept, and new ones prefer near exporters, then those with few users. Nothing
//! here knows whether an exporter is started: that is the agents' part.

use crate::ledger::Ledger;
use rhizo_types::id::{InstanceId, NodeId, PortName, RegionName};
use rhizo_types::spec::{Import, Pick, Ports};
use rhizo_types::target::Placed;
use std::collections::{BTreeMap, BTreeSet};

/// Exporters of every import of every instance.
pub type Bindings = BTreeMap<InstanceId, Ports<BTreeSet<InstanceId>>>;

/// Round-trip times between regions, in milliseconds.
pub type Latencies = BTreeMap<(RegionName, RegionName), u32>;

/// A pair of regions that no table mentions is taken to be farther apart than any that is measured on Earth.
const UNKNOWN_MS: u32 = 1_000;

/// The round-trip time between two regions; zero inside one.
#[must_use]
pub fn latency_ms(latencies: &Latencies, one: &RegionName, other: &RegionName) -> u32 {
    if one == other {
        return 0;
    }
    let there = latencies.get(&(one.clone(), other.clone()));
    let back = || latencies.get(&(other.clone(), one.clone()));
    there.or_else(back).copied().unwrap_or(UNKNOWN_MS)
}

/// Binds the imports of `instances`. Instances in `leaving` are chosen only when nothing else is left.
#[must_use]
pub fn bind(
    ledger: &Ledger,
    instances: &BTreeMap<InstanceId, Placed>,
    leaving: &BTreeSet<InstanceId>,
    latencies: &Latencies,
) -> Bindings {
    let mut load: BTreeMap<InstanceId, u32> = BTreeMap::new();
    let mut bindings = Bindings::new();
    for (importer, placed) in instances {
        let Some(component) = ledger.component_of(importer, placed.version) else { continue };
        let mut imports = Ports::with_capacity(component.imports.len());
        for (port, import) in &component.imports {
            let candidates: BTreeSet<&InstanceId> = candidates(importer, import, instances).collect();
            let wired = by_hand(ledger, importer, port, &candidates);
            if let Some(wired) = wired.filter(|wired| is_enough(wired, import)) {
                for exporter in &wired {
                    *load.entry(exporter.clone()).or_default() += 1;
                }
                imports.insert(port.clone(), wired);
                continue;
            }
            let before = ledger.target.bindings.get(importer).and_then(|imports| imports.get(port));
            let kept = before.into_iter().flatten().filter(|exporter| candidates.contains(exporter));
            let mut chosen: BTreeSet<InstanceId> = kept.cloned().collect();
            let count = match import.pick {
                Pick::All => candidates.len(),
                Pick::One => 1,
                Pick::Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
            };
            trim(&mut chosen, count, leaving);
            let mut ranked: Vec<_> = candidates
                .into_iter()
                .filter(|exporter| !chosen.contains(*exporter))
                .map(|exporter| {
                    let ms = distance_ms(ledger, latencies, placed, instances.get(exporter));
                    let load = load.get(exporter).copied().unwrap_or(0);
                    (leaving.contains(exporter), ms, load, exporter.clone())
                })
                .collect();
            ranked.sort_unstable();
            chosen.extend(
                ranked
                    .into_iter()
                    .map(|(.., exporter)| exporter)
                    .take(count.saturating_sub(chosen.len()))
                    .collect::<Vec<_>>(),
            );
            for exporter in &chosen {
                *load.entry(exporter.clone()).or_default() += 1;
            }
            imports.insert(port.clone(), chosen);
        }
        if !imports.is_empty() {
            bindings.insert(importer.clone(), imports);
        }
    }
    bindings
}

/// What a script bound an import to, as far as it is there; none when nothing of it is left.
fn by_hand(
    ledger: &Ledger,
    importer: &InstanceId,
    port: &PortName,
    candidates: &BTreeSet<&InstanceId>,
) -> Option<BTreeSet<InstanceId>> {
    let wired = ledger.wired.get(importer)?.get(port)?;
    let left: BTreeSet<InstanceId> =
        wired.iter().filter(|exporter| candidates.contains(exporter)).cloned().collect();
    (wired.is_empty() || !left.is_empty()).then_some(left)
}

/// Whether an import that was bound by hand can still be used. One that lost too many of its exporters is bound as
/// usual again: with fewer than it needs, its user would wait for ever.
fn is_enough(wired: &BTreeSet<InstanceId>, import: &Import) -> bool {
    match import.pick {
        Pick::Some(count) if !import.optional => {
            wired.is_empty() || wired.len() >= usize::try_from(count).unwrap_or(usize::MAX)
        }
        _ => true,
    }
}

fn candidates<'a>(
    importer: &'a InstanceId,
    import: &'a Import,
    instances: &'a BTreeMap<InstanceId, Placed>,
) -> impl Iterator<Item = &'a InstanceId> {
    // An instance never imports from itself: an import from its own component means its other copies.
    let copies = instances.range(InstanceId::copies_of(&import.component)).map(|(exporter, _)| exporter);
    copies.filter(move |exporter| *exporter != importer)
}

/// Drops bindings beyond `count`, leaving exporters first.
fn trim(chosen: &mut BTreeSet<InstanceId>, count: usize, leaving: &BTreeSet<InstanceId>) {
    while chosen.len() > count {
        let victim = chosen.iter().rev().find(|exporter| leaving.contains(*exporter)).or(chosen.last());
        let Some(victim) = victim.cloned() else { return };
        chosen.remove(&victim);
    }
}

fn distance_ms(ledger: &Ledger, latencies: &Latencies, one: &Placed, other: Option<&Placed>) -> u32 {
    let region = |node: NodeId| ledger.members.get(&node).map(|member| &member.record.region);
    match (region(one.node), other.and_then(|other| region(other.node))) {
        (Some(one), Some(other)) => latency_ms(latencies, one, other),
        _ => UNKNOWN_MS,
    }
}
