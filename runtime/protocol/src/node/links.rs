//! The members that a node wants links to.
//!
//! The overlay makes the links. Read next: `observer::ring`, which derives links from the roster.

use super::Node;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use crate::turn::Effect;
use rhizo_types::id::NodeId;
use std::borrow::Cow;
use std::collections::BTreeSet;

impl Node {
    /// Requests links to the peers of this node. In a small overlay these are all members. In a large one they are the
    /// peers that the roster assigns, and the nodes whose instances are bound to instances of this node: a message to a
    /// node without a link is lost.
    pub(super) fn follow_links(&mut self, out: &mut Out) {
        let members = &self.ledger.members;
        let everyone = self.roster_links.len() + 1 >= members.len();
        let mut links = Cow::Borrowed(&self.roster_links);
        if !everyone && !sabotage::is(Sabotage::LinksByRosterOnly) {
            let others = self.agent.counterparts().filter(|node| *node != self.me);
            let others =
                others.filter(|node| members.contains_key(node) && !self.roster_links.contains(node));
            let others: BTreeSet<NodeId> = others.collect();
            if !others.is_empty() {
                links.to_mut().extend(others);
            }
        }
        if self.followed.0 != self.ledger.epoch || self.followed.1 != *links {
            let links = links.into_owned();
            self.followed = (self.ledger.epoch, links.clone());
            out.effect(Effect::Links(links));
        }
    }
}
