//! Types of a sequence of waves: steps, waves, the sequence, and the error when there is none.

use crate::assignment::{Assignment, Instance, Place};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The change of one instance in a wave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The instance.
    pub instance: Instance,
    /// Its host before the wave; none when it starts.
    pub from: Option<Place>,
    /// Its host after the wave; none when it ends.
    pub to: Option<Place>,
}

/// Steps that run at once, and the configuration after them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wave {
    /// The steps in ascending order of instance.
    pub steps: Vec<Step>,
    /// The complete configuration after the wave.
    pub target: Assignment,
}

/// A safe sequence of waves from one configuration to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sequence {
    /// The waves in their order; empty when nothing changes.
    pub waves: Vec<Wave>,
    /// Number of steps that move an instance to a host where it neither was nor will be.
    pub stopovers: usize,
    /// Number of hosts that are bought only for stopovers.
    pub extra_hosts: usize,
    /// Lower bound of the stopovers and hosts bought for them, taken together, of any safe sequence.
    pub extras_min: usize,
    /// Lower bound of the waves of any safe sequence with that few of them.
    pub waves_min: usize,
}

impl Sequence {
    /// The number of stopovers and of hosts bought for them.
    #[must_use]
    pub fn extras(&self) -> usize {
        self.stopovers + self.extra_hosts
    }

    /// Whether it is proven that no safe sequence has fewer extras, or equally few extras and fewer waves.
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
        /// The first fault.
        what: String,
    },
    /// Every order that was tried breaks a rule or a capacity during the change.
    #[error("order the change safely: {} of its steps have to wait for each other", .stuck.len())]
    Stuck {
        /// The steps that could not be ordered.
        stuck: Vec<Step>,
    },
}

/// Lower bounds of any safe sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Least {
    pub(super) extras: usize,
    pub(super) waves: usize,
}
