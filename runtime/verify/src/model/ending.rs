//! How actions end, and which of the ends are failures.

use crate::scenario::Fault;

/// How an action ends, or what becomes of what runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ending {
    /// The start action succeeds.
    Started,
    /// The start action succeeded just before the stop was ordered.
    StartedLate,
    /// The start action fails.
    StartFailed,
    /// The stop action is done.
    Stopped,
    /// What ran has ended by itself.
    Exited,
    /// What runs does not work any more.
    Unhealthy,
}

/// How an action beside the services ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ActEnding {
    /// It is done.
    Done,
    /// It fails.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was cancelled, and is done all the same.
    DoneLate,
}

impl Ending {
    /// Whether it costs one of the failures that a scenario allows.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::StartFailed | Self::Exited | Self::Unhealthy)
    }

    /// The kind of fault that it is, if it is one.
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
