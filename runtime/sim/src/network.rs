//! Links between nodes, and their faults.
//!
//! A link carries messages both ways and keeps frames in order. A cut drops the messages of one direction silently.
//! The world decides whether a node answers at all.

use rhizo_types::Time;
use rhizo_types::id::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The network.
#[derive(Clone, Default, Debug)]
pub struct Network {
    /// Links that are up, by their ends in order, with a number that changes with every new link.
    up: BTreeMap<(NodeId, NodeId), u64>,
    numbers: u64,
    /// Directions in which no message arrives.
    cuts: BTreeSet<(NodeId, NodeId)>,
    /// The nodes to which each node wants links.
    pub wants: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// Arrival time of the last ordered message of each direction.
    last: BTreeMap<(NodeId, NodeId), Time>,
}

fn ends(one: NodeId, other: NodeId) -> (NodeId, NodeId) {
    (one.min(other), one.max(other))
}

impl Network {
    /// The number of the link between two nodes, if it is up.
    #[must_use]
    pub fn link(&self, one: NodeId, other: NodeId) -> Option<u64> {
        self.up.get(&ends(one, other)).copied()
    }

    /// Sets a link up.
    pub fn connect(&mut self, one: NodeId, other: NodeId) {
        self.numbers += 1;
        self.up.insert(ends(one, other), self.numbers);
    }

    /// Takes a link down; returns true if it was up.
    pub fn disconnect(&mut self, one: NodeId, other: NodeId) -> bool {
        self.up.remove(&ends(one, other)).is_some()
    }

    /// Returns the nodes that are linked to a node.
    #[must_use]
    pub fn peers(&self, node: NodeId) -> Vec<NodeId> {
        let mine = self.up.keys().filter(|(one, other)| *one == node || *other == node);
        mine.map(|(one, other)| if *one == node { *other } else { *one }).collect()
    }

    /// Whether messages from one node reach another.
    #[must_use]
    pub fn passes(&self, from: NodeId, to: NodeId) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// Whether both directions work.
    #[must_use]
    pub fn both_pass(&self, one: NodeId, other: NodeId) -> bool {
        self.passes(one, other) && self.passes(other, one)
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cuts.insert((from, to));
    }

    /// Heals both directions.
    pub fn heal(&mut self, one: NodeId, other: NodeId) {
        self.cuts.remove(&(one, other));
        self.cuts.remove(&(other, one));
    }

    /// Heals everything.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
    }

    /// Pairs that are cut in some direction.
    #[must_use]
    pub fn cut_pairs(&self) -> BTreeSet<(NodeId, NodeId)> {
        self.cuts.iter().map(|(from, to)| ends(*from, *to)).collect()
    }

    /// An arrival time that keeps the order of a direction.
    pub fn in_order(&mut self, from: NodeId, to: NodeId, at: Time) -> Time {
        let last = self.last.entry((from, to)).or_insert(Time::ZERO);
        *last = at.max(Time(last.0 + 1));
        *last
    }
}
