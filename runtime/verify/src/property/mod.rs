//! The properties: invariants of states, properties of steps, and liveness.
//!
//! Each has a name, a condition without which a run says nothing about it, and the published property it covers, where
//! there is one; the list is in [`crate::rule`]. `state` has the invariants of hosts and channels together, `step` the
//! properties of orders, and `liveness` marks states for *leads to*. The invariants of one host are with the model, in
//! [`crate::model::invariant`], because they are checked once for each host. The search is in [`crate::explore`].

pub mod liveness;
pub mod startable;
pub mod state;
pub mod step;
