//! The record of one decision: what would be done, what it is worth, and why.
//!
//! Plain data, and the same for `plan`, `why`, the question of `up` and the coordinator's own memory. Its JSON form is
//! a contract with scripts. What goes into it is in [`crate::outcome`]; the actions are in `difference`.

use rhizo_types::Revision;
use rhizo_types::target::Worth;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most actions that a shortened record keeps.
const ACTIONS_MAX: usize = 64;

/// What was decided for one request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When: milliseconds of Unix time at the node that planned; 0 until the shell sets it.
    pub at_unix_ms: u64,
    /// The spec that it is about.
    pub spec: Revision,
    /// The plan in force, which it would replace.
    pub plan: Revision,
    /// What made the coordinator look, or the operator ask.
    pub cause: String,
    /// Whether something is missing or broken without a change.
    pub forced: bool,
    /// What the coordinator does.
    pub verdict: Decision,
    /// The decision as one sentence, with its numbers.
    pub text: String,
    /// Every difference between the configuration in force and the proposed one.
    pub actions: Vec<Action>,
    /// Where each copy is in the plan in force.
    pub current: Vec<PlacedCopy>,
    /// Where each copy would be.
    pub proposed: Vec<PlacedCopy>,
    /// Utility before and after, migration cost, terms; absent when nothing was found.
    #[serde(flatten)]
    pub worth: Option<Worth>,
    /// Utility gained by the best other configuration, before its migration cost; absent when it is not known.
    pub gain: Option<f64>,
    /// How good the search was; absent when nothing was found.
    #[serde(flatten)]
    pub search: Option<Search>,
    /// Sum of the hourly prices of the proposed configuration.
    pub cost_per_hour: Option<f64>,
    /// Currency of the prices.
    pub currency: String,
    /// False when the coordinator could not be asked: which offers and providers fail is then not known.
    pub is_informed: bool,
    /// What could not be taken at face value, and what the proposal cannot survive.
    pub warnings: Vec<String>,
}

/// What the coordinator does about a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It commits the proposed plan.
    Planned,
    /// It keeps the plan in force.
    Kept,
    /// It can do nothing: no placement satisfies all rules.
    Infeasible,
    /// It can do nothing: the search gave no result.
    Failed,
}

impl Decision {
    /// The word of the JSON contract.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Kept => "kept",
            Self::Infeasible => "infeasible",
            Self::Failed => "failed",
        }
    }
}

/// How good a search was.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Search {
    /// Utility minus costs of the configuration found.
    pub objective: f64,
    /// No configuration has a greater objective than this; absent when no bound is known.
    pub bound: Option<f64>,
    /// Distance between objective and bound.
    pub gap: Option<f64>,
    /// Whether the configuration is proven to be the best.
    pub proven: bool,
    /// The engine that found it.
    pub engine: String,
    /// How long the search took; 0 until the shell sets it.
    pub solver_seconds: f64,
}

/// One difference between two configurations.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Action {
    /// What is done.
    #[serde(flatten)]
    pub change: Change,
    /// Why.
    pub reason: String,
}

/// What one action does. Instances have the names that the coordinator commits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Change {
    /// Buys hosts of one offer.
    Acquire {
        /// How many.
        count: u32,
        /// What is bought.
        from: HostName,
        /// Price of one host per hour.
        price_per_hour: f64,
    },
    /// Gives a host back.
    Release {
        /// Which.
        host: HostName,
    },
    /// Starts a copy.
    Start {
        /// Which.
        instance: String,
        /// Where.
        on: HostName,
    },
    /// Starts a copy elsewhere and stops this one when it is started.
    Move {
        /// The copy that stops.
        instance: String,
        /// Where it runs.
        from: HostName,
        /// The copy that starts.
        becomes: String,
        /// Where it starts.
        to: HostName,
    },
    /// Starts a copy anew where it runs, because its definition changed.
    Restart {
        /// Which.
        instance: String,
        /// Where.
        on: HostName,
    },
    /// Tells a running copy of a change of its definition that needs no restart.
    Notify {
        /// Which.
        instance: String,
        /// Where.
        on: HostName,
    },
    /// Stops a copy without a successor.
    Stop {
        /// Which.
        instance: String,
        /// Where.
        on: HostName,
    },
    /// Ends a copy whose component is no longer in the spec, or whose host is gone.
    End {
        /// Which.
        instance: String,
        /// Where.
        on: HostName,
    },
}

/// A host, or what a new host is bought as.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HostName {
    /// The node, or the intent of a host whose node has not joined; absent when the host is still to be bought.
    pub node: Option<String>,
    /// The provider's name of the host, once it told it.
    pub host: Option<String>,
    /// The provider.
    pub provider: String,
    /// The offer.
    pub offer: String,
    /// The region.
    pub region: String,
}

/// Where a copy is or would be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlacedCopy {
    /// The copy.
    pub instance: String,
    /// The host.
    #[serde(flatten)]
    pub on: HostName,
}

impl Record {
    /// The record without placements and with the first actions only, for keeping many of them.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.current.clear();
        self.proposed.clear();
        let dropped = self.actions.len().saturating_sub(ACTIONS_MAX);
        self.actions.truncate(ACTIONS_MAX);
        if dropped > 0 {
            self.text = format!("{} ({dropped} more actions are left out here)", self.text);
        }
        self
    }
}

impl Action {
    /// `+` for what comes, `-` for what goes, `>` for what moves, `~` for what stays and changes.
    #[must_use]
    pub fn symbol(&self) -> char {
        match self.change {
            Change::Acquire { .. } | Change::Start { .. } => '+',
            Change::Move { .. } => '>',
            Change::Restart { .. } | Change::Notify { .. } => '~',
            Change::Stop { .. } | Change::End { .. } | Change::Release { .. } => '-',
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.change, self.reason)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire { count, from, price_per_hour } => {
                let (provider, offer, region) = (&from.provider, &from.offer, &from.region);
                write!(f, "acquire {count}× {provider}/{offer} in {region} at {price_per_hour:.4} an hour")
            }
            Self::Release { host } => write!(f, "release {host}"),
            Self::Start { instance, on } => write!(f, "start {instance} on {on}"),
            Self::Move { instance, from, becomes, to } => {
                write!(f, "move {instance} from {from} to {to}, as {becomes}")
            }
            Self::Restart { instance, on } => write!(f, "restart {instance} on {on}"),
            Self::Notify { instance, on } => write!(f, "notify {instance} on {on}"),
            Self::Stop { instance, on } => write!(f, "stop {instance} on {on}"),
            Self::End { instance, on } => write!(f, "end {instance} on {on}"),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => f.write_str(node),
            None => write!(f, "a new {}/{} in {}", self.provider, self.offer, self.region),
        }
    }
}
