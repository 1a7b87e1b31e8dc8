//! The names of the engines, as plans, options and the command line show them.
//!
//! A leaf module: the public types [`crate::Plan`], [`crate::Options`] and [`crate::Improvement`] carry a name without
//! knowing any engine. Which engine has which name is in `registry.rs`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Identifies a search algorithm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// Branch and bound over the hosts of a single component.
    SingleComponent,
    /// Integer program over host configurations: which instances share a host.
    Configurations,
    /// Price decomposition: zones are chosen by prices, then hosts are packed zone by zone.
    Decomposition,
    /// Repair and simulated annealing of many instances on existing hosts.
    Reassignment,
    /// Complete enumeration of small problems.
    Exhaustive,
    /// Local search; accepts every problem.
    Local,
}

/// The text names no engine.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("find an engine named `{name}`; the engines are {}", EngineName::ALL.map(EngineName::as_str).join(", "))]
pub struct UnknownEngine {
    /// The text as given.
    pub name: String,
}

impl EngineName {
    /// All engines, in the order in which automatic selection asks them.
    pub const ALL: [Self; 6] = [
        Self::SingleComponent,
        Self::Exhaustive,
        Self::Configurations,
        Self::Decomposition,
        Self::Reassignment,
        Self::Local,
    ];

    /// The word used in JSON, in reports and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SingleComponent => "single_component",
            Self::Configurations => "configurations",
            Self::Decomposition => "decomposition",
            Self::Reassignment => "reassignment",
            Self::Exhaustive => "exhaustive",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EngineName {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        let named = Self::ALL.into_iter().find(|engine| engine.as_str() == name);
        named.ok_or_else(|| UnknownEngine { name: name.to_owned() })
    }
}
