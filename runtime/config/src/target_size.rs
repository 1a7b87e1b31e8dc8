//! An upper bound of the bytes that a target takes in the log, computed from the numbers of copies.
//!
//! Every command that the coordinator proposes has to fit into one entry of the log
//! ([`COMMAND_BYTES_MAX`](rhizo_types::wire::COMMAND_BYTES_MAX)): a larger one can never be committed, and everything
//! after it would wait. The longest commands are the spec, which the parser measures, and the plan and the target of
//! many copies. The parser refuses a spec whose least numbers of copies do not fit, and planning refuses a placement
//! that does not. Nothing is encoded here. Read next: `rhizo_types::target`.

use rhizo_types::ComponentName;
use rhizo_types::spec::{Import, Pick, Spec};
use std::collections::BTreeMap;

/// Longest encoding of a length or an ordinal that occurs: below 2^21.
const COUNT_BYTES: u64 = 3;
/// Longest encoding of a node id, which is the index of an entry of the log: below 2^35.
const NODE_BYTES: u64 = 5;
/// Longest encoding of a generation or a revision that occurs: below 2^28.
const COUNTER_BYTES: u64 = 4;
/// The target's own numbers, and the lengths of its lists.
const HEAD_BYTES: u64 = 64;

/// Returns the most bytes that a target with these numbers of copies takes. Behaviours that scripts push are left out.
#[must_use]
pub fn target_bytes_max(spec: &Spec, copies: &BTreeMap<ComponentName, u64>) -> u64 {
    let of = |name: &ComponentName| copies.get(name).copied().unwrap_or(0);
    let components = spec.components.iter().map(|(name, component)| {
        let imports = component.imports.iter().map(|(port, import)| {
            let bound = bound(import, of(&import.component));
            let head = text(port.as_str()).saturating_add(COUNT_BYTES);
            head.saturating_add(bound.saturating_mul(instance(&import.component)))
        });
        let bindings: u64 = imports.fold(COUNT_BYTES, u64::saturating_add);
        let placed = NODE_BYTES + 2 * COUNTER_BYTES;
        let each = (2 * instance(name) + placed).saturating_add(bindings);
        of(name).saturating_mul(each)
    });
    components.fold(HEAD_BYTES, u64::saturating_add)
}

/// Returns the most exporters that an import is bound to, if there are this many.
fn bound(import: &Import, exporters: u64) -> u64 {
    match import.pick {
        Pick::All => exporters,
        Pick::One => exporters.min(1),
        Pick::Some(count) => exporters.min(u64::from(count)),
    }
}

fn instance(component: &ComponentName) -> u64 {
    text(component.as_str()) + COUNT_BYTES
}

/// A name: its length takes one byte, because names have at most 48 characters.
fn text(text: &str) -> u64 {
    1 + u64::try_from(text.len()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::ledger::Command;
    use rhizo_types::spec::{Component, Ports, Run};
    use rhizo_types::target::{Configuration, Placed};
    use rhizo_types::wire::CommandRecord;
    use rhizo_types::{Generation, InstanceId, NodeId, PortName, Revision};
    use std::sync::Arc;

    #[test]
    fn the_bound_is_above_the_encoded_target_and_not_far_above() {
        let mut broker = Component::new(Run::Embedded);
        let (name, peers) = (ComponentName::from("broker"), PortName::from("peers"));
        let import = Import { pick: Pick::All, ..Import::of(name.clone(), PortName::from("main")) };
        broker.imports.insert(peers.clone(), import);
        let spec = Spec::new("app", BTreeMap::from([(name.clone(), broker)]));
        for count in [1_u32, 20, 300] {
            let all: Vec<InstanceId> = (0..count)
                .map(|ordinal| InstanceId { component: name.clone(), ordinal: ordinal + 1_000 })
                .collect();
            let placed =
                Placed { node: NodeId(1 << 34), generation: Generation(1 << 27), version: Revision(1 << 27) };
            let target = Configuration {
                instances: all.iter().map(|instance| (instance.clone(), placed)).collect(),
                bindings: all
                    .iter()
                    .map(|instance| {
                        (instance.clone(), Ports::from_iter([(peers.clone(), all.iter().cloned().collect())]))
                    })
                    .collect(),
                ..Configuration::default()
            };
            let record = CommandRecord::V1(Command::Target(Arc::new(target)));
            let bytes =
                u64::try_from(postcard::to_stdvec(&record).expect("it is encoded").len()).expect("a length");
            let most = target_bytes_max(&spec, &BTreeMap::from([(name.clone(), u64::from(count))]));
            assert!(
                (bytes..=2 * bytes + HEAD_BYTES).contains(&most),
                "{count} copies: {bytes}, at most {most}"
            );
        }
    }
}
