//! One node's core: composes the ledger, the agent, the observer, the feed and, while leading, the coordinator.
//!
//! It routes events to the parts and gathers their effects; the decisions are in the parts.

use crate::event::Event;
use crate::ledger::Ledger;
use crate::status::{OverlayState, Status};
use crate::turn::Turn;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::{Genesis, SetSpec};
use rhizo_types::wire::Record;
use std::collections::{BTreeMap, BTreeSet};

/// What a core is made from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeConfig {
    /// This node's id.
    pub me: NodeId,
    /// The ledger as far as known: from the join answer, or from the node's own log; default on the founder.
    pub ledger: Ledger,
    /// The node's own durable records, in the order they were written; empty on a new node.
    pub records: Vec<Record>,
    /// On the founder of a new lineage: what it begins with.
    pub genesis: Option<Box<(Genesis, SetSpec)>>,
}

/// A node's core.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    me: NodeId,
    ledger: Ledger,
}

impl Node {
    /// A core that has seen no event yet.
    #[must_use]
    pub fn new(config: NodeConfig) -> Self {
        Self { me: config.me, ledger: config.ledger }
    }

    /// Feeds one event. Every call returns the whole [`Turn`]; nothing is queued inside.
    pub fn handle(&mut self, _now: Time, _event: Event) -> Turn {
        Turn::default()
    }

    /// When the shell must call [`Node::handle`] with [`Event::Tick`], if nothing else happens first.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// This node's id.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The ledger as far as this node knows it.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What this node can say of the overlay.
    #[must_use]
    pub fn status(&self, _now: Time) -> Status {
        Status {
            term: self.ledger.term,
            coordinator: None,
            state: OverlayState::Changing,
            coordinates: false,
            reports: BTreeMap::new(),
            suspects: BTreeSet::new(),
            intents_open: BTreeSet::new(),
            intents_unknown: BTreeSet::new(),
            target: self.ledger.target.revision,
            settled: self.ledger.settled,
            problems: Vec::new(),
        }
    }
}
