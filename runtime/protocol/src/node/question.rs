//! Makes the request for planning that answers an operator's question, at any node.
//!
//! It decides nothing. Read next: [`crate::request`].

use super::Node;
use crate::coordinator;
use crate::request::SolveRequest;
use rhizo_types::Time;
use rhizo_types::spec::Spec;

impl Node {
    /// Returns the request that the coordinator would make now. If `wanted` is not in force, the request is about
    /// that spec.
    ///
    /// None when there is no spec, or when the ledger would refuse `wanted`. On a node that does not coordinate, the
    /// request lacks the knowledge that only the coordinator has, and says so (`SolveRequest::is_informed`).
    #[must_use]
    pub fn question(&self, now: Time, wanted: Option<Spec>) -> Option<SolveRequest> {
        coordinator::asked(wanted, self.coordinator.as_ref(), self.view(now))
    }
}
