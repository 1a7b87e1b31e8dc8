//! The possible results of actions and services, and the results that count as faults.
//!
//! [`super`] decides about the time of each.

use crate::scenario::Fault;

/// The result of starting or stopping a service, or the end of a running one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ending {
    /// The start action succeeds.
    Started,
    /// The start action succeeded just before the stop was ordered.
    StartedLate,
    /// The start action fails.
    StartFailed,
    /// The stop action succeeds.
    Stopped,
    /// The service ends by itself.
    Exited,
    /// The service fails its health check.
    Unhealthy,
}

/// The result of an action other than a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ActEnding {
    /// It succeeds.
    Done,
    /// It fails.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was cancelled, but had already succeeded.
    DoneLate,
}

impl Ending {
    /// Whether it counts against the scenario's maximal number of faults.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::StartFailed | Self::Exited | Self::Unhealthy)
    }

    /// The kind of fault; none for a normal result.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::StartFailed => Some(Fault::StartFails),
            Self::Exited => Some(Fault::Exit),
            Self::Unhealthy => Some(Fault::Sickness),
            Self::Started | Self::StartedLate | Self::Stopped => None,
        }
    }
}
