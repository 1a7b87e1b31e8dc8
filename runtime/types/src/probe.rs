//! Health checks: how a started instance is probed, and how a life-cycle waits for something to become ready.
//!
//! Only data. The shell runs the probes and reports their results to the agent.

use crate::id::PortName;
use serde::{Deserialize, Serialize};

/// The periodic check of a started instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Health {
    /// The probe.
    pub probe: Probe,
    /// Time between two probes.
    pub every_ms: u64,
    /// The instance counts as failed after this many failed probes in a row.
    pub fail_after: u32,
}

/// One way to ask whether an instance works.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// Succeeds if `GET path` on this export answers 2xx.
    Http {
        /// The export that serves the path.
        export: PortName,
        /// Path and query, starting with `/`.
        path: String,
    },
    /// Succeeds if this export accepts a connection.
    Tcp {
        /// The export.
        export: PortName,
    },
    /// Succeeds if this program exits with 0.
    Exec {
        /// The program and its arguments; a relative program path is already resolved against the config file.
        argv: Vec<String>,
    },
}
