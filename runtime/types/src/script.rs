//! A reconfiguration written down step by step: `add del connect disconnect push wait` (after Concerto).
//!
//! Only data. `rhizo-config::script` reads it from text, the ledger checks and applies it, and the coordinator leads
//! it from one `wait` to the next. What lies between two waits is one change: the agents do it side by side.

use crate::id::{BehaviourName, InstanceId, NodeId, PortName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// More statements than this in one script are a program, not a reconfiguration: it travels in one log entry.
pub const STATEMENTS_MAX: usize = 4_096;

/// A whole reconfiguration.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Script {
    /// Its statements, in order.
    pub statements: Vec<Statement>,
}

/// One step, and where it was written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// The line of the script's text, from one.
    pub line: u32,
    /// What is to be done.
    pub order: Order,
}

/// What one statement asks for. Only `Wait` takes time: all others change what is wanted.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Order {
    /// One more instance is wanted. Its imports are bound as usual, unless `Connect` says otherwise.
    Add {
        /// Its name, which is free.
        instance: InstanceId,
        /// Where it shall run.
        place: Place,
    },
    /// An instance is not wanted any more.
    Del {
        /// Which.
        instance: InstanceId,
    },
    /// An import is bound to one exporter more, and from then on only to those that were named.
    Connect {
        /// Who imports.
        importer: InstanceId,
        /// Through which import.
        import: PortName,
        /// Who exports.
        exporter: InstanceId,
    },
    /// An import is bound to one exporter less, and from then on only to those that are left.
    Disconnect {
        /// Who imports.
        importer: InstanceId,
        /// Through which import.
        import: PortName,
        /// Who exports.
        exporter: InstanceId,
    },
    /// A behaviour is queued.
    Push {
        /// Whose.
        instance: InstanceId,
        /// Which.
        behaviour: BehaviourName,
    },
    /// Goes on when these have done everything that is wanted of them so far; all instances when none is named.
    Wait {
        /// Which; those that are not wanted any more have to be gone.
        instances: BTreeSet<InstanceId>,
    },
}

/// Where an added instance shall run.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Place {
    /// On the member that has the fewest instances.
    Any,
    /// On this member.
    Node(NodeId),
    /// On the member that this instance is on.
    Beside(InstanceId),
}

impl Script {
    /// The statement after the one at `from` up to which everything is one change: the next wait, or the end.
    ///
    /// A wait at `from` itself is passed.
    #[must_use]
    pub fn stretch(&self, from: usize) -> usize {
        let rest = self.statements.iter().enumerate().skip(from + 1);
        let mut waits = rest.filter(|(_, statement)| matches!(statement.order, Order::Wait { .. }));
        waits.next().map_or(self.statements.len(), |(position, _)| position)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { instance, place: Place::Any } => write!(f, "add {instance}"),
            Self::Add { instance, place: Place::Node(node) } => write!(f, "add {instance} on {node}"),
            Self::Add { instance, place: Place::Beside(other) } => {
                write!(f, "add {instance} beside {other}")
            }
            Self::Del { instance } => write!(f, "del {instance}"),
            Self::Connect { importer, import, exporter } => {
                write!(f, "connect {importer}.{import} to {exporter}")
            }
            Self::Disconnect { importer, import, exporter } => {
                write!(f, "disconnect {importer}.{import} from {exporter}")
            }
            Self::Push { instance, behaviour } => write!(f, "push {instance} {behaviour}"),
            Self::Wait { instances } => {
                f.write_str("wait")?;
                instances.iter().try_for_each(|instance| write!(f, " {instance}"))
            }
        }
    }
}
