//! Explanations: the rule that refuses a machine, the worth of other choices, the rules that conflict.
//!
//! Every answer uses the rule names of the problem. `eligible.rs` judges one machine at a time, `infeasibility.rs` sets
//! of rules, `diagnosis.rs` sets of everything that is demanded, `alternative.rs` other plans. Searches here serve only
//! explanations; for plans see [`mod@crate::solve`].

mod alternative;
mod diagnosis;
mod here;
mod relax;
mod unpaid;

pub use crate::eligible::eligible;
pub use crate::infeasibility::{Relaxation, conflict};
pub use alternative::{WhyNot, reweighted, why_not};
pub use diagnosis::{Demand, Diagnosis, decided, diagnose, most_copies, nearest_limit, without};
pub use here::{Next, WhyHere, why_here};
pub use relax::cheapest_relaxation;
pub use unpaid::{Unpaid, unpaid_moves};
