//! What an operator's question is planned with: the coordinator's own question, asked at any node.
//!
//! It decides nothing. Read next: [`crate::request`].

use super::Node;
use crate::coordinator;
use crate::request::SolveRequest;
use rhizo_types::Time;
use rhizo_types::spec::Spec;

impl Node {
    /// The question that planning answers, as the coordinator would ask it now; about `wanted` when that is not in force.
    ///
    /// None when there is no spec, or when the ledger would refuse `wanted`. On a node that does not coordinate, the
    /// question lacks what only the coordinator knows and says so (`SolveRequest::is_informed`).
    #[must_use]
    pub fn question(&self, now: Time, wanted: Option<Spec>) -> Option<SolveRequest> {
        coordinator::asked(wanted, self.coordinator.as_ref(), self.view(now))
    }
}
