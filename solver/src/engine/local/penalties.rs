//! The weight of each broken rule in local search.
//!
//! All weights are equal at first. When a descent ends with broken rules, their weights are raised, until a change that
//! repairs them improves the weighted sum. `start.rs` drives this and names the source of the method.

/// Factor by which a weight rises after each descent that leaves its rule broken.
///
/// Amounts differ by a factor of about a hundred between rules, which is some dozen such steps.
const STEP: f64 = 1.5;
/// The largest weight: products with amounts keep ten digits, so that an amount of zero stays exact.
const WEIGHT_MAX: f64 = 10_000.0;

/// A weight for everything that can be broken.
pub(super) struct Penalties {
    /// By component: the weight of its counts.
    pub(super) components: Vec<f64>,
    /// By item: the weight of a rule, or of a term with unknown values.
    pub(super) items: Vec<f64>,
    /// The weight of exceeded capacities, the same for all hosts.
    pub(super) room: f64,
}

impl Penalties {
    pub(super) fn even(components: usize, items: usize) -> Self {
        Self { components: vec![1.0; components], items: vec![1.0; items], room: 1.0 }
    }

    /// Raises the weights of broken items; returns false when a weight exceeds [`WEIGHT_MAX`].
    pub(super) fn raise(
        &mut self,
        components: impl Iterator<Item = bool>,
        items: impl Iterator<Item = bool>,
        room: bool,
    ) -> bool {
        let components = self.components.iter_mut().zip(components);
        let items = self.items.iter_mut().zip(items);
        let mut most: f64 = 1.0;
        for (weight, broken) in components.chain(items).chain([(&mut self.room, room)]) {
            if broken {
                *weight *= STEP;
            }
            most = most.max(*weight);
        }
        most <= WEIGHT_MAX
    }
}
