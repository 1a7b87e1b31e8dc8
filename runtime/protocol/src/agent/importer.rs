//! The importer's side of bindings: what an instance uses, waits for, and must let go.
//!
//! ```text
//! Asked ──Bound──► Bound ──(let go)──► (gone, Unbound sent)
//!   └──────────────────┴────Lost────► (gone)
//! ```
//! A bound use becomes part of an instance's life only when the instance is told what it serves: at its start, or
//! by `Effect::Rebind`. Until then, and after it stopped, letting go costs nothing.

use super::Agent;
use super::instance::Local;
use crate::ledger::Ledger;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Generation;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::message::{AgentMessage, Served, UseId};
use rhizo_types::spec::{Import, Pick};
use std::collections::{BTreeMap, BTreeSet};

/// One use of an exporter by an instance of this node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Use {
    /// Who imports.
    pub importer: InstanceId,
    /// Through which of its imports.
    pub import: PortName,
    /// What it imports.
    pub exporter: InstanceId,
    /// Which generation of it.
    pub generation: Generation,
    /// On which node that is.
    pub node: NodeId,
    /// What the export serves, once it is active.
    pub served: Option<Served>,
    /// Whether the exporter wants to stop.
    pub asked_to_leave: bool,
}

/// What a target wants one import of an instance to be bound to.
pub(super) type Wanted = BTreeMap<InstanceId, (Generation, NodeId)>;

/// The exporters that the target in force binds an import to, as far as they are on members.
pub(super) fn wanted(ledger: &Ledger, importer: &InstanceId, import: &PortName) -> Wanted {
    let exporters = ledger.target.bindings.get(importer).and_then(|imports| imports.get(import));
    let placed = exporters.into_iter().flatten().filter_map(|exporter| {
        let placed = ledger.target.instances.get(exporter)?;
        let member = ledger.members.contains_key(&placed.node);
        member.then(|| (exporter.clone(), (placed.generation, placed.node)))
    });
    placed.collect()
}

/// How many exporters a mandatory import needs to start, of `wanted` that the target names.
pub(super) fn need_to_start(import: &Import, wanted: usize) -> usize {
    match import.pick {
        _ if import.optional => 0,
        Pick::One => 1,
        Pick::Some(count) => usize::try_from(count).unwrap_or(usize::MAX).min(wanted).max(1),
        Pick::All => wanted.max(1),
    }
}

/// How many exporters a mandatory import needs to stay started: of *all*, one is enough to go on with.
pub(super) fn need_to_stay(import: &Import, wanted: usize) -> usize {
    match import.pick {
        Pick::All if !import.optional => 1,
        _ => need_to_start(import, wanted),
    }
}

impl Agent {
    /// Asks for exporters that the target wants and that are not asked yet.
    pub(super) fn ask_exporters(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger) {
        let imports: Vec<(PortName, Import)> =
            local.component.imports.iter().map(|(port, import)| (port.clone(), import.clone())).collect();
        for (port, import) in imports {
            for (exporter, (generation, node)) in wanted(ledger, instance, &port) {
                let key = (port.clone(), exporter.clone());
                let current = local.uses.get(&key).and_then(|id| self.uses.get(id));
                if current.is_some_and(|used| used.generation == generation && used.node == node) {
                    continue;
                }
                if let Some(id) = local.uses.get(&key).copied() {
                    // An older generation is in use under the same name: it has to be let go first.
                    if self.uses.get(&id).is_some_and(|used| used.served.is_some()) && local.is_running() {
                        continue;
                    }
                    self.let_go(local, id);
                }
                self.uses_issued += 1;
                let id = UseId(self.uses_issued);
                let used = Use {
                    importer: instance.clone(),
                    import: port.clone(),
                    exporter: exporter.clone(),
                    generation,
                    node,
                    served: None,
                    asked_to_leave: false,
                };
                self.uses.insert(id, used);
                local.uses.insert(key, id);
                let (importer, import_port, export) = (instance.clone(), port.clone(), import.export.clone());
                let bind =
                    AgentMessage::Bind { id, importer, import: import_port, exporter, generation, export };
                self.send(node, bind);
            }
        }
    }

    /// Lets go of a use and tells the exporter.
    pub(super) fn let_go(&mut self, local: &mut Local, id: UseId) {
        if let Some(used) = self.uses.remove(&id) {
            local.uses.remove(&(used.import, used.exporter));
            self.send(used.node, AgentMessage::Unbound { id });
        }
    }

    /// Lets go of everything the instance uses or waits for.
    pub(super) fn let_go_all(&mut self, local: &mut Local) {
        let all: Vec<UseId> = local.uses.values().copied().collect();
        for id in all {
            self.let_go(local, id);
        }
        if !sabotage::is(Sabotage::KeepsBindings) {
            local.told.clear();
        }
    }

    /// The exporter is not started any more, or gone: there is nothing to let go.
    pub(super) fn drop_use(&mut self, id: UseId) {
        let Some(used) = self.uses.remove(&id) else { return };
        if let Some(local) = self.instances.get_mut(&used.importer) {
            local.uses.remove(&(used.import, used.exporter));
        }
        self.dirty.insert(used.importer);
    }

    pub(super) fn bound(&mut self, from: NodeId, id: UseId, served: Served) {
        let Some(used) = self.uses.get_mut(&id).filter(|used| used.node == from) else { return };
        used.served = Some(served);
        self.dirty.insert(used.importer.clone());
    }

    pub(super) fn asked_to_unbind(&mut self, from: NodeId, id: UseId) {
        let Some(used) = self.uses.get_mut(&id).filter(|used| used.node == from) else { return };
        used.asked_to_leave = true;
        self.dirty.insert(used.importer.clone());
    }

    /// The bound uses of one import: exporter → (use, address).
    pub(super) fn bound_uses(&self, local: &Local, port: &PortName) -> BTreeMap<InstanceId, (UseId, Served)> {
        let uses = local.uses.iter().filter(|((import, _), _)| import == port);
        let bound = uses.filter_map(|((_, exporter), id)| {
            let served = self.uses.get(id)?.served.clone()?;
            Some((exporter.clone(), (*id, served)))
        });
        bound.collect()
    }

    /// The bound uses of one import that the instance shall let go: the target or the exporter wants it.
    pub(super) fn leaving_uses(&self, local: &Local, port: &PortName, wanted: &Wanted) -> BTreeSet<UseId> {
        let uses = local.uses.iter().filter(|((import, _), _)| import == port);
        let leaving = uses.filter(|((_, exporter), id)| {
            let Some(used) = self.uses.get(id) else { return false };
            let still = wanted.get(exporter).is_some_and(|(generation, _)| *generation == used.generation);
            used.asked_to_leave || !still
        });
        leaving.map(|(_, id)| *id).collect()
    }

    /// Every use this agent knows: for checks in tests and the simulator.
    pub fn uses(&self) -> impl Iterator<Item = (UseId, &Use)> {
        self.uses.iter().map(|(id, used)| (*id, used))
    }

    /// What is under way from this agent to another's: for checks in tests and the simulator.
    pub fn under_way(&self, to: NodeId) -> impl Iterator<Item = &AgentMessage> {
        self.peers.unacknowledged(to)
    }
}
