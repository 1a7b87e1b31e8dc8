//! A reconfiguration as a list of statements: `add del connect disconnect push wait` (after Concerto).
//!
//! Only data. `rhizo-config::script` reads it from text, the ledger checks and applies it, and the coordinator advances
//! it from one `wait` to the next. All statements between two waits are one change: the agents execute them in
//! parallel.

use crate::id::{BehaviourName, InstanceId, NodeId, PortName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Most statements of one script: a script is one log entry, which must stay small.
pub const STATEMENTS_MAX: usize = 4_096;

/// A whole reconfiguration.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Script {
    /// Its statements, in order.
    pub statements: Vec<Statement>,
}

/// One statement with its line.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// The line in the script's text, counted from 1.
    pub line: u32,
    /// The operation.
    pub order: Order,
}

/// The operation of one statement. Only `Wait` takes time; all others change the wanted configuration at once.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Adds an instance. Its imports are bound as usual, unless a `Connect` names their exporters.
    Add {
        /// Its name; no instance has it yet.
        instance: InstanceId,
        /// Where it runs.
        place: Place,
    },
    /// Removes an instance.
    Del {
        /// The instance.
        instance: InstanceId,
    },
    /// Binds an import to one more exporter. From then on the import is bound to named exporters only.
    Connect {
        /// The importing instance.
        importer: InstanceId,
        /// Its import.
        import: PortName,
        /// The exporting instance.
        exporter: InstanceId,
    },
    /// Unbinds an import from one exporter. From then on the import is bound to the remaining exporters only.
    Disconnect {
        /// The importing instance.
        importer: InstanceId,
        /// Its import.
        import: PortName,
        /// The exporting instance.
        exporter: InstanceId,
    },
    /// Queues a behaviour of an instance.
    Push {
        /// The instance.
        instance: InstanceId,
        /// The behaviour.
        behaviour: BehaviourName,
    },
    /// Waits until these instances are as the statements so far want them; all instances if none is named.
    Wait {
        /// The instances. Those that were removed must be gone.
        instances: BTreeSet<InstanceId>,
    },
}

/// The place of an added instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Place {
    /// The member with the fewest instances.
    Any,
    /// This member.
    Node(NodeId),
    /// The member that runs this instance.
    Beside(InstanceId),
}

impl Script {
    /// The index at which the change that begins at `from` ends: the next wait after `from`, or the end of the script.
    ///
    /// A wait at `from` itself is skipped.
    #[must_use]
    pub fn change_end(&self, from: usize) -> usize {
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
