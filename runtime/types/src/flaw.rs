//! What can be wrong with a life-cycle, as sentences. [`crate::net::Net::of`] looks for it.

use crate::id::{BehaviourName, PlaceName, PortName, TransitionName};
use crate::net::NODES_MAX;
use std::fmt;

/// What is wrong with a life-cycle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// A place is used that is not declared.
    UnknownPlace {
        /// Which.
        place: PlaceName,
        /// By what.
        by: String,
    },
    /// A transition is used that is not declared.
    UnknownTransition {
        /// Which.
        transition: TransitionName,
        /// By what.
        by: String,
    },
    /// A behaviour is used that is not declared.
    UnknownBehaviour {
        /// Which.
        behaviour: BehaviourName,
        /// By what.
        by: &'static str,
    },
    /// A port is used that the component does not declare.
    UnknownPort {
        /// Which.
        port: PortName,
        /// `export` or `import`.
        kind: &'static str,
    },
    /// Too many places, transitions or behaviours.
    TooLarge,
    /// A transition leads from a place to itself.
    Loop(TransitionName),
    /// The behaviours stop half-way: a dock set is never complete.
    Stuck {
        /// Which list: `deploy`, `pause`, `retire` or a behaviour's name.
        list: String,
        /// The transitions that arrive and wait for ever.
        waiting: Vec<TransitionName>,
    },
    /// `deploy` does not end in places that count as started.
    NotStarted(Vec<PlaceName>),
    /// After `pause`, `deploy` does not lead back to where it leads at first.
    NotResumed(Vec<PlaceName>),
    /// `retire` does not lead back to the initial place.
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
                write!(f, "`{list}` stops half-way: {} arrive and wait for others for ever", names.join(", "))
            }
            Self::NotStarted(at) => {
                write!(f, "`deploy` ends in {}, which does not count as started", places(at))
            }
            Self::NotResumed(at) => {
                write!(f, "after `pause`, `deploy` ends in {} instead of where it ends at first", places(at))
            }
            Self::NotRetired(at) => {
                write!(f, "`retire` ends in {} instead of the initial place", places(at))
            }
        }
    }
}

impl std::error::Error for Flaw {}
