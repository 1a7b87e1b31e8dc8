//! The record of one decision: its actions, its gain and cost, and its reasons.
//!
//! Plain data, and the same type for `plan`, `why`, the question that `up` puts to the operator, and the
//! coordinator's own memory. Its JSON form is a contract with scripts. [`crate::outcome`] fills it in; the actions
//! come from `difference`.

use rhizo_protocol::Survival;
use rhizo_types::Revision;
use rhizo_types::target::Worth;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most actions that a shortened record keeps.
const ACTIONS_MAX: usize = 64;

/// The decision about one request, with its actions and reasons.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Time of the decision, in milliseconds of Unix time at the node that planned; 0 until the shell sets it.
    pub at_unix_ms: u64,
    /// The revision of the spec that was planned for.
    pub spec: Revision,
    /// The revision of the plan in force, which the proposal would replace.
    pub plan: Revision,
    /// The event or the operator's request that caused the search.
    pub cause: String,
    /// Whether something is missing or broken unless the change is made.
    pub forced: bool,
    /// The decision of the coordinator.
    pub verdict: Decision,
    /// The decision as one sentence, with its numbers.
    pub text: String,
    /// Every difference between the configuration in force and the proposed one.
    pub actions: Vec<Action>,
    /// The host of each copy in the plan in force.
    pub current: Vec<PlacedCopy>,
    /// The host of each copy in the proposal.
    pub proposed: Vec<PlacedCopy>,
    /// Utility before and after, migration cost and terms; absent when no configuration was found.
    #[serde(flatten)]
    pub worth: Option<Worth>,
    /// Utility that the best other configuration would gain, before its migration cost; absent when it is not known.
    pub gain: Option<f64>,
    /// Quality of the search; absent when no configuration was found.
    #[serde(flatten)]
    pub search: Option<Search>,
    /// Sum of the hourly prices of the proposed configuration.
    pub cost_per_hour: Option<f64>,
    /// Currency of the prices.
    pub currency: String,
    /// False when the coordinator could not be reached. Then it is not known which offers and providers fail.
    pub is_informed: bool,
    /// The losses that the voters would survive on the hosts of the proposal; absent when none was found.
    #[serde(default)]
    pub survival: Option<Survival>,
    /// Warnings about values that had to be replaced.
    pub warnings: Vec<String>,
}

/// The decision of the coordinator about a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The coordinator commits the proposed plan.
    Planned,
    /// The coordinator keeps the plan in force.
    Kept,
    /// The coordinator can change nothing: no placement satisfies all rules.
    Infeasible,
    /// The coordinator can change nothing: the search gave no result.
    Failed,
}

impl Decision {
    /// Returns the word of the JSON contract.
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

/// The quality of a search.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Search {
    /// Utility minus costs of the configuration found.
    pub objective: f64,
    /// Upper bound of the objective of every configuration; absent when no bound is known.
    pub bound: Option<f64>,
    /// Distance between objective and bound.
    pub gap: Option<f64>,
    /// Whether the configuration is proven to be the best.
    pub proven: bool,
    /// The engine that found it.
    pub engine: String,
    /// Duration of the search in seconds; 0 until the shell sets it.
    pub solver_seconds: f64,
}

/// One difference between two configurations.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Action {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// The reason of the change.
    pub reason: String,
}

/// The change that one action makes. Instances have the names that the coordinator commits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Change {
    /// Buys hosts of one offer.
    Acquire {
        /// The number of hosts.
        count: u32,
        /// The offer that is bought.
        from: HostName,
        /// Price of one host per hour.
        price_per_hour: f64,
    },
    /// Returns a host to its provider.
    Release {
        /// The host.
        host: HostName,
    },
    /// Starts a copy.
    Start {
        /// The copy.
        instance: String,
        /// The host.
        on: HostName,
    },
    /// Starts a copy elsewhere, and stops the old copy when the new one is started.
    Move {
        /// The copy that stops.
        instance: String,
        /// The host of the copy that stops.
        from: HostName,
        /// The copy that starts.
        becomes: String,
        /// The host of the copy that starts.
        to: HostName,
    },
    /// Restarts a copy on its host, because its definition changed.
    Restart {
        /// The copy.
        instance: String,
        /// The host.
        on: HostName,
    },
    /// Notifies a running copy of a change of its definition that needs no restart.
    Notify {
        /// The copy.
        instance: String,
        /// The host.
        on: HostName,
    },
    /// Stops a copy without a successor.
    Stop {
        /// The copy.
        instance: String,
        /// The host.
        on: HostName,
    },
    /// Leaves a copy out that waits for its data on a lost host.
    Wait {
        /// The copy.
        instance: String,
        /// The lost host.
        on: HostName,
    },
    /// Ends a copy whose component is no longer in the spec, or whose host is gone.
    End {
        /// The copy.
        instance: String,
        /// The host.
        on: HostName,
    },
}

/// A host, or the offer that a new host is bought from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HostName {
    /// The node, or the intent of a host whose node has not joined; absent when the host is not ordered yet.
    pub node: Option<String>,
    /// The provider's identifier of the host; absent until the provider has returned it.
    pub host: Option<String>,
    /// The provider.
    pub provider: String,
    /// The offer.
    pub offer: String,
    /// The region.
    pub region: String,
}

/// A copy and its host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlacedCopy {
    /// The copy.
    pub instance: String,
    /// The host.
    #[serde(flatten)]
    pub on: HostName,
}

impl Record {
    /// Returns the record without placements and with the first actions only, so that many records can be kept.
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
    /// Returns `+` for a start or an order, `-` for a stop or a release, `>` for a move, `~` for a change in place, `!`
    /// for a copy that waits for its data.
    #[must_use]
    pub fn symbol(&self) -> char {
        match self.change {
            Change::Acquire { .. } | Change::Start { .. } => '+',
            Change::Move { .. } => '>',
            Change::Restart { .. } | Change::Notify { .. } => '~',
            Change::Stop { .. } | Change::End { .. } | Change::Release { .. } => '-',
            Change::Wait { .. } => '!',
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
            Self::Move { instance, from, becomes, to } if becomes == instance => {
                write!(f, "move {instance} from {from} to {to}")
            }
            Self::Move { instance, from, becomes, to } => {
                write!(f, "move {instance} from {from} to {to}, as {becomes}")
            }
            Self::Restart { instance, on } => write!(f, "restart {instance} on {on}"),
            Self::Notify { instance, on } => write!(f, "notify {instance} on {on}"),
            Self::Stop { instance, on } => write!(f, "stop {instance} on {on}"),
            Self::Wait { instance, on } => write!(f, "{instance} waits for its data on {on}"),
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
