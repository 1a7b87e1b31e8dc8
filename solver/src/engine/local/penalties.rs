//! How much each broken thing counts in local search.
//!
//! Everything counts alike at first. Where a descent ends with something broken, what is broken there counts more from
//! then on, until a way out is worth its while. `start.rs` drives it; see it for where the idea comes from.

/// How much what is broken counts more after each descent that left it so.
///
/// Amounts differ by about a hundred between rules, which is some dozen such steps.
const STEP: f64 = 1.5;
/// Weights go no farther apart than this: their products with amounts keep ten digits, so what is whole stays exact.
const WEIGHT_MAX: f64 = 10_000.0;

/// A weight for each thing that can be broken.
pub(super) struct Penalties {
    /// By component: its counts.
    pub(super) components: Vec<f64>,
    /// By item: rules, and terms that cannot be worked out.
    pub(super) items: Vec<f64>,
    /// Room on hosts, all of them alike.
    pub(super) room: f64,
}

impl Penalties {
    pub(super) fn even(components: usize, items: usize) -> Self {
        Self { components: vec![1.0; components], items: vec![1.0; items], room: 1.0 }
    }

    /// Makes what is broken count more; says whether that was still possible.
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
