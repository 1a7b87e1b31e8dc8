//! The errors of a life-cycle and their sentences. [`Net::of`](super::Net::of) finds them.

use super::NODES_MAX;
use crate::id::{BehaviourName, PlaceName, PortName, TransitionName};
use std::fmt;

/// An error in a life-cycle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// A place is used that is not declared.
    UnknownPlace {
        /// The name that is not declared.
        place: PlaceName,
        /// The part of the life-cycle that uses it, such as "the transition `start`".
        by: String,
    },
    /// A transition is used that is not declared.
    UnknownTransition {
        /// The name that is not declared.
        transition: TransitionName,
        /// The part of the life-cycle that uses it.
        by: String,
    },
    /// A behaviour is used that is not declared.
    UnknownBehaviour {
        /// The name that is not declared.
        behaviour: BehaviourName,
        /// The list that uses it: `deploy`, `pause` or `retire`.
        by: &'static str,
    },
    /// A port is used that the component does not declare.
    UnknownPort {
        /// The name that is not declared.
        port: PortName,
        /// `export` or `import`.
        kind: &'static str,
    },
    /// There are more than [`NODES_MAX`] places, transitions or behaviours.
    TooLarge,
    /// A transition leads from a place to itself.
    Loop(TransitionName),
    /// The behaviours of a list end with tokens on transitions, because a dock set is never complete.
    Stuck {
        /// The list: `deploy`, `pause`, `retire` or a behaviour's name.
        list: String,
        /// The transitions that have arrived and wait for others of their dock set.
        waiting: Vec<TransitionName>,
    },
    /// `deploy` ends in these places, and at least one does not count as started.
    NotStarted(Vec<PlaceName>),
    /// After `pause`, `deploy` ends in these places and not in those of the first `deploy`.
    NotResumed(Vec<PlaceName>),
    /// `retire` ends in these places and not in the initial place.
    NotRetired(Vec<PlaceName>),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = |places: &[PlaceName]| {
            places.iter().map(|place| format!("`{place}`")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::UnknownPlace { place, by } => {
                write!(f, "{by} names the place `{place}`, which is not declared")
            }
            Self::UnknownTransition { transition, by } => {
                write!(f, "{by} names the transition `{transition}`, which is not declared")
            }
            Self::UnknownBehaviour { behaviour, by } => {
                write!(f, "`{by}` names the behaviour `{behaviour}`, which is not declared")
            }
            Self::UnknownPort { port, kind } => {
                write!(f, "the life-cycle names the {kind} `{port}`, which the component does not declare")
            }
            Self::TooLarge => write!(f, "more than {NODES_MAX} places, transitions or behaviours"),
            Self::Loop(name) => write!(f, "the transition `{name}` leads from a place to itself"),
            Self::Stuck { list, waiting } => {
                let names: Vec<String> = waiting.iter().map(|name| format!("`{name}`")).collect();
                write!(
                    f,
                    "`{list}` never ends: {} arrive and wait for transitions of their dock set that do not",
                    names.join(", ")
                )
            }
            Self::NotStarted(at) => {
                write!(f, "`deploy` ends in {}, which does not count as started", places(at))
            }
            Self::NotResumed(at) => {
                write!(
                    f,
                    "after `pause`, `deploy` ends in {}, which differs from where it ends the first time",
                    places(at)
                )
            }
            Self::NotRetired(at) => {
                write!(f, "`retire` ends in {} instead of the initial place", places(at))
            }
        }
    }
}

impl std::error::Error for Flaw {}
