//! The part that all instances of one component in one version share: the component and its compiled life-cycle.
//!
//! It is shared because thousands of instances would otherwise hold thousands of copies of it. An instance keeps it
//! alive, because it may have to be stopped after the ledger has dropped its spec.

use crate::ledger::Ledger;
use rhizo_types::Revision;
use rhizo_types::id::{ComponentName, InstanceId};
use rhizo_types::net::{Flaw, Net};
use rhizo_types::spec::Component;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A component in one version, with its compiled life-cycle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kind {
    key: (ComponentName, Revision),
    pub(super) component: Arc<Component>,
    pub(super) net: Net,
    /// Whether the component declares its life-cycle, so that the names of its places mean something to an operator.
    pub(super) declared: bool,
}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Within one lineage, the name of the component and the revision of the spec determine the rest.
        self.key.hash(state);
    }
}

impl Kind {
    fn of(key: (ComponentName, Revision), component: &Arc<Component>) -> Result<Self, Flaw> {
        let (net, declared) = (Net::of(component)?, component.lifecycle.is_some());
        Ok(Self { key, component: component.clone(), net, declared })
    }
}

/// The kinds of the instances on this node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Kinds(BTreeMap<(ComponentName, Revision), Arc<Kind>>);

impl Kinds {
    /// The kind of an instance in a version; none when its spec is not known or its life-cycle has a flaw.
    ///
    /// A spec with a flaw is refused before it is committed, so the second case does not occur with a spec in force.
    pub(super) fn of(
        &mut self,
        instance: &InstanceId,
        version: Revision,
        ledger: &Ledger,
    ) -> Option<Arc<Kind>> {
        let key = (instance.component.clone(), version);
        if let Some(kind) = self.0.get(&key) {
            return Some(kind.clone());
        }
        let component = ledger.component_of(instance, version)?;
        let mut kind = Kind::of(key.clone(), component).ok()?;
        // The neighbour by name is the likeliest to have the same life-cycle, and is found without a search.
        if let Some((_, near)) = self.0.range(..&key).next_back().or_else(|| self.0.range(&key..).next()) {
            kind.net = kind.net.sharing_with(&near.net);
        }
        let kind = Arc::new(kind);
        self.0.insert(key, kind.clone());
        Some(kind)
    }

    /// Drops the kinds that no instance has.
    pub(super) fn keep<'a>(&mut self, used: impl Iterator<Item = &'a Arc<Kind>>) {
        let used: BTreeSet<&(ComponentName, Revision)> = used.map(|kind| &kind.key).collect();
        self.0.retain(|key, _| used.contains(key));
    }
}
