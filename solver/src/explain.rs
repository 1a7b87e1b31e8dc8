//! Why: which rule refuses a machine, what another choice would be worth, and which rules conflict.
//!
//! Every answer names rules as the user named them. `eligible.rs` looks at one machine at a time, `conflict.rs` at
//! sets of rules, `alternative.rs` at other plans. They search only to explain; see [`mod@crate::solve`].

mod alternative;
mod here;
mod relax;
mod unpaid;

pub use crate::eligible::{eligible, refused_by};
pub use crate::infeasibility::{Relaxation, conflict, relaxations};
pub use alternative::{WhyNot, reweighted, why_not};
pub use here::{Next, WhyHere, why_here};
pub use relax::cheapest_relaxation;
pub use unpaid::{Unpaid, unpaid_moves};
