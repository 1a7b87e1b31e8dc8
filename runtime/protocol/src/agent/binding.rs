//! The imports of an instance as data: the exporters that the target names, and the agent's uses of them.
//!
//! A *use* is one importing instance at one exporting instance. Every import keeps its counts, so that the work of an
//! event does not grow with the number of its exporters. `importer` decides when a use begins and ends.

use crate::ledger::Ledger;
use crate::sabotage::{self, Sabotage};
use litemap::LiteMap;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::message::{Served, UseId};
use rhizo_types::spec::{Import, Pick};
use rhizo_types::{Generation, Revision};
use std::collections::{BTreeMap, BTreeSet};

/// One use of an exporter by an instance of this node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Use {
    /// The instance that imports.
    pub importer: InstanceId,
    /// The import of it that the use belongs to.
    pub import: PortName,
    /// The instance that exports.
    pub exporter: InstanceId,
    /// The generation of the exporter that was asked for.
    pub generation: Generation,
    /// The node of the exporter.
    pub node: NodeId,
    /// The address and values of the export; none until its agent has answered that the export is active.
    pub served: Option<Served>,
    /// Set when the exporter has asked for the end of the use: the target that its agent followed then.
    pub asked_to_leave: Option<Revision>,
}

/// Every use by instances of one node, by this node's own numbers.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Uses {
    issued: u64,
    by_id: BTreeMap<UseId, Use>,
}

/// The exporters that a target binds one import to, each with its generation and node.
pub(super) type Wanted = LiteMap<InstanceId, (Generation, NodeId)>;

/// One import of one instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Binding {
    pub(super) wanted: Wanted,
    /// Its uses, by exporter.
    pub(super) uses: LiteMap<InstanceId, UseId>,
    /// How many of the uses are served.
    pub(super) bound: usize,
    /// Wanted exporters of which the wanted generation is not used yet.
    pub(super) unasked: BTreeSet<InstanceId>,
    /// Exporters whose use has to end: the target no longer names them, or they asked for it.
    pub(super) leaving: BTreeSet<InstanceId>,
    /// Exporters whose use changed since the program was last given its bindings.
    pub(super) touched: BTreeSet<InstanceId>,
    /// Whether an exporter was lost that keeps failing, and wants its users restarted with it.
    pub(super) restart: bool,
}

impl Uses {
    /// Adds a use and returns its number, which is never used again.
    pub(super) fn add(&mut self, used: Use) -> UseId {
        self.issued += 1;
        let id = UseId(self.issued);
        self.by_id.insert(id, used);
        id
    }

    pub(super) fn get(&self, id: UseId) -> Option<&Use> {
        self.by_id.get(&id)
    }

    /// A use at an exporter of that node; none if a message from there names a use of another node.
    pub(super) fn get_mut(&mut self, id: UseId, node: NodeId) -> Option<&mut Use> {
        self.by_id.get_mut(&id).filter(|used| used.node == node)
    }

    pub(super) fn remove(&mut self, id: UseId) -> Option<Use> {
        self.by_id.remove(&id)
    }

    /// Every use, in the order in which they began.
    pub(super) fn iter(&self) -> impl Iterator<Item = (UseId, &Use)> {
        self.by_id.iter().map(|(id, used)| (*id, used))
    }
}

impl Binding {
    /// Takes over from the ledger the exporters of the import.
    pub(super) fn follow(&mut self, importer: &InstanceId, import: &PortName, ledger: &Ledger, uses: &Uses) {
        self.wanted = wanted(ledger, importer, import);
        let as_wanted = |exporter: &InstanceId, used: &Use| {
            self.wanted.get(exporter) == Some(&(used.generation, used.node))
        };
        let current = |exporter: &InstanceId| uses.get(*self.uses.get(exporter)?);
        let unasked = self
            .wanted
            .keys()
            .filter(|exporter| !current(exporter).is_some_and(|used| as_wanted(exporter, used)));
        let leaving = self.uses.keys().filter(|exporter| {
            current(exporter).is_some_and(|used| used.asked_to_leave.is_some() || !as_wanted(exporter, used))
        });
        (self.unasked, self.leaving) = (unasked.cloned().collect(), leaving.cloned().collect());
    }

    /// How many served uses do not have to end.
    pub(super) fn settled(&self, uses: &Uses) -> usize {
        let leaving = self.leaving.iter().filter_map(|exporter| uses.get(*self.uses.get(exporter)?));
        self.bound - leaving.filter(|used| used.served.is_some()).count()
    }

    /// Takes out a use that has ended.
    pub(super) fn detach(&mut self, used: &Use) {
        self.uses.remove(&used.exporter);
        self.leaving.remove(&used.exporter);
        self.touched.insert(used.exporter.clone());
        self.bound -= usize::from(used.served.is_some());
        if self.wanted.contains_key(&used.exporter) {
            self.unasked.insert(used.exporter.clone());
        }
    }
}

/// The exporters that the target in force binds an import to, without those on nodes that are no members.
fn wanted(ledger: &Ledger, importer: &InstanceId, import: &PortName) -> Wanted {
    let exporters = ledger.target.bindings.get(importer).and_then(|imports| imports.get(import));
    let placed = exporters.into_iter().flatten().filter_map(|exporter| {
        let placed = ledger.target.instances.get(exporter)?;
        let member = ledger.members.contains_key(&placed.node) || sabotage::is(Sabotage::RemembersTheDead);
        member.then(|| (exporter.clone(), (placed.generation, placed.node)))
    });
    let mut wanted = Wanted::with_capacity(exporters.map_or(0, BTreeSet::len));
    wanted.extend(placed);
    wanted
}

/// Whether an import may stay unbound.
pub(super) fn is_optional(import: &Import) -> bool {
    import.optional && !sabotage::is(Sabotage::OptionalIsMandatory)
}

/// How many exporters an import needs before it may be used, when the target names `wanted` of them.
pub(super) fn need_to_start(import: &Import, wanted: usize) -> usize {
    if is_optional(import) { 0 } else { import.pick.needed(wanted) }
}

/// How many exporters an import needs so that its user may go on: of *all*, one is enough.
pub(super) fn need_to_stay(import: &Import, wanted: usize) -> usize {
    match import.pick {
        Pick::All if !is_optional(import) => 1,
        _ => need_to_start(import, wanted),
    }
}
