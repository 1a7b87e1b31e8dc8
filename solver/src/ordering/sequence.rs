//! A sequence of waves, its steps, and why there is none.

use crate::assignment::{Assignment, Instance, Place};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What happens to one instance in a wave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Which instance.
    pub instance: Instance,
    /// Where it runs before; none when it starts.
    pub from: Option<Place>,
    /// Where it runs after; none when it ends.
    pub to: Option<Place>,
}

/// Steps that run at once, and the whole configuration they lead to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wave {
    /// In ascending order of instance.
    pub steps: Vec<Step>,
    /// Complete and explicit: what runs where when the wave is over.
    pub target: Assignment,
}

/// A safe way from one configuration to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sequence {
    /// One after the other; empty when nothing changes.
    pub waves: Vec<Wave>,
    /// Steps that lead to where an instance neither was nor will be.
    pub stopovers: usize,
    /// Hosts that are bought for stopovers alone.
    pub extra_hosts: usize,
    /// No safe sequence has fewer stopovers and hosts bought for them, taken together.
    pub extras_min: usize,
    /// No safe sequence with so few of them has fewer waves.
    pub waves_min: usize,
}

impl Sequence {
    /// Stopovers and the hosts bought for them.
    #[must_use]
    pub fn extras(&self) -> usize {
        self.stopovers + self.extra_hosts
    }

    /// Whether it is proven that no safe sequence has fewer extras, nor as few and fewer waves.
    #[must_use]
    pub fn is_shortest(&self) -> bool {
        self.extras() == self.extras_min && self.waves.len() == self.waves_min
    }
}

/// Why there is no sequence.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum OrderError {
    /// A configuration names machines or instances that the problem does not have.
    #[error("understand the configurations: {what}")]
    Shape {
        /// What is wrong with the first of them.
        what: String,
    },
    /// Every way that was tried breaks a rule or a capacity on the way.
    #[error("order the change safely: {} of its steps have to wait for each other", .stuck.len())]
    Stuck {
        /// The steps that were left.
        stuck: Vec<Step>,
    },
}

/// What any safe sequence needs at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Least {
    pub(super) extras: usize,
    pub(super) waves: usize,
}
