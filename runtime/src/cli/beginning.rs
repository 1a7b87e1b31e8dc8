//! The input of node 0: the record from which the first node of an application is started, also after a power cut.
//!
//! Plain data. [`super::founding`] makes the record, and `up` replaces its config when another one is in force.

use crate::admin::ConfigText;
use crate::app_dir::Deployment;
use rhizo_types::ledger::Timers;
use serde::{Deserialize, Serialize};

/// The input of node 0, as the home keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beginning {
    /// Version of this record's form.
    pub(crate) version: u32,
    pub(crate) deployment: Deployment,
    pub(crate) config: ConfigText,
    pub(crate) timers: Timers,
}
