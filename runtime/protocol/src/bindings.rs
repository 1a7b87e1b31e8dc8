//! The bindings of a target: a pure function of the spec, the placement and the bindings before.
//!
//! A binding that a script made is kept as long as one of its exporters is placed. Any other binding that is still
//! possible is kept, and new ones prefer near exporters, then those with few users. Whether an exporter is started is
//! not considered: the agents wait for that.

use crate::ledger::{Bindings, Ledger};
use rhizo_types::id::{InstanceId, NodeId, PortName, RegionName};
use rhizo_types::spec::{Import, Pick, Ports};
use rhizo_types::target::Placed;
use std::collections::{BTreeMap, BTreeSet};

/// Round-trip times between regions, in milliseconds.
pub type Latencies = BTreeMap<(RegionName, RegionName), u32>;

/// The round-trip time assumed for a pair of regions without a measurement: more than between any two on Earth.
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

/// Binds the imports of `instances`. Exporters in `leaving` are chosen only when there are no others.
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
            let chosen_exporters = chosen_by_script(ledger, importer, port, &candidates);
            if let Some(chosen_exporters) =
                chosen_exporters.filter(|chosen_exporters| is_enough(chosen_exporters, import))
            {
                for exporter in &chosen_exporters {
                    *load.entry(exporter.clone()).or_default() += 1;
                }
                imports.insert(port.clone(), chosen_exporters);
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

/// Returns the placed exporters of those that a script chose for this import; none when none of them is placed, or
/// when no script chose any.
fn chosen_by_script(
    ledger: &Ledger,
    importer: &InstanceId,
    port: &PortName,
    candidates: &BTreeSet<&InstanceId>,
) -> Option<BTreeSet<InstanceId>> {
    let chosen_exporters = ledger.script_bindings.get(importer)?.get(port)?;
    let left: BTreeSet<InstanceId> =
        chosen_exporters.iter().filter(|exporter| candidates.contains(exporter)).cloned().collect();
    (chosen_exporters.is_empty() || !left.is_empty()).then_some(left)
}

/// Returns true if enough of the exporters that a script chose for this import are still placed. With fewer than the
/// import needs, its user would wait without end, so the coordinator chooses the exporters again.
fn is_enough(chosen_exporters: &BTreeSet<InstanceId>, import: &Import) -> bool {
    match import.pick {
        Pick::Some(count) if !import.optional => {
            chosen_exporters.is_empty()
                || chosen_exporters.len() >= usize::try_from(count).unwrap_or(usize::MAX)
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
