//! The assembly to deploy: component types as places, transitions and ports, their instances, durations of actions.
//!
//! The form is that of the Madeus and Concerto authors' assemblies, and our own assemblies use it as well. `published`
//! reads published files, `config` makes an application of an assembly, `order` computes the order of its actions.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The behaviour of a transition that names none.
pub(super) const DEPLOY: &str = "deploy";

/// One component type.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Component {
    pub(super) places: Vec<String>,
    pub(super) initial: String,
    /// The place in which it counts as started; none means the place that no transition leaves.
    #[serde(default)]
    pub(super) running: Option<String>,
    pub(super) transitions: Vec<Transition>,
    pub(super) ports: Vec<Port>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Transition {
    pub(super) name: String,
    #[serde(rename = "src")]
    pub(super) from: String,
    #[serde(rename = "dst")]
    pub(super) to: String,
    #[serde(default = "deploy")]
    pub(super) behaviour: String,
}

fn deploy() -> String {
    DEPLOY.to_owned()
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) kind: PortKind,
    /// Places or transitions.
    #[serde(alias = "bound_to_places")]
    pub(super) bound_to: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PortKind {
    Provide,
    Use,
}

/// Between instances.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Connection {
    pub(super) provider: String,
    pub(super) provide_port: String,
    pub(super) user: String,
    pub(super) use_port: String,
}

/// One instance: a component of its own in the application.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Instance {
    pub(super) name: String,
    /// Its component type.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The host it belongs to when each has a process of its own.
    pub(super) host: String,
    /// Whether the change adds it, instead of the deployment.
    #[serde(default)]
    pub(super) later: bool,
}

/// One step of a change. The steps of one stretch run in parallel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    /// An instance is added.
    Add(String),
    /// A behaviour is pushed to an instance.
    Push(String, String),
}

/// An assembly, the durations of its transitions, and the change after its deployment.
#[derive(Debug, Clone, Default)]
pub(super) struct Assembly {
    pub(super) kinds: BTreeMap<String, Component>,
    pub(super) instances: Vec<Instance>,
    pub(super) connections: Vec<Connection>,
    /// Seconds by `type.transition`; a transition that is not in it has no action.
    pub(super) durations: BTreeMap<String, f64>,
    /// The stretches of the change; each begins when the one before has finished.
    pub(super) change: Vec<Vec<Step>>,
}

impl Component {
    /// The ports of one kind.
    pub(super) fn ports(&self, kind: PortKind) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter(move |port| port.kind == kind)
    }

    /// The place in which it counts as started.
    pub(super) fn started(&self) -> &str {
        let is_last = |place: &&String| self.transitions.iter().all(|way| way.from != **place);
        let last = || self.places.iter().find(is_last);
        self.running.as_ref().or_else(last).unwrap_or(&self.initial)
    }

    /// Returns the places and transitions in which a use port is used. A span of places includes their transitions.
    pub(super) fn span<'a>(&'a self, port: &'a Port) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
        let is_way = |to: &str| self.transitions.iter().any(|way| way.name == to);
        let is_place = |to: &str| self.places.iter().any(|place| place == to);
        let bound = || port.bound_to.iter().map(String::as_str);
        let places: BTreeSet<&str> = bound().filter(|to| is_place(to)).collect();
        let inner = self.transitions.iter().filter(|way| {
            places.contains(way.from.as_str()) && places.contains(way.to.as_str()) && way.from != way.to
        });
        // A name of both a place and a transition means the transition where the file binds ports to transitions.
        let ways = bound().filter(|to| is_way(to) && !is_place(to)).chain(inner.map(|way| way.name.as_str()));
        (places.clone(), ways.collect())
    }
}

impl Assembly {
    pub(super) fn kind(&self, instance: &Instance) -> Result<&Component, String> {
        let kind = self.kinds.get(&instance.kind);
        kind.ok_or_else(|| format!("find the component type {} of {}", instance.kind, instance.name))
    }

    pub(super) fn instance(&self, name: &str) -> Result<&Instance, String> {
        let found = self.instances.iter().find(|instance| instance.name == name);
        found.ok_or_else(|| format!("find the instance {name}"))
    }

    /// Returns the provide port that a use port of an instance is connected to.
    pub(super) fn provider(&self, user: &str, port: &str) -> Option<&Connection> {
        self.connections.iter().find(|each| each.user == user && each.use_port == port)
    }

    /// Returns the duration of a transition's action; none when the transition has no action.
    pub(super) fn seconds(&self, instance: &Instance, way: &Transition) -> Option<f64> {
        self.durations.get(&format!("{}.{}", instance.kind, way.name)).copied()
    }

    /// The hosts, each with a process of its own.
    pub(super) fn hosts(&self) -> BTreeSet<&str> {
        self.instances.iter().map(|instance| instance.host.as_str()).collect()
    }

    /// Returns the input of the application's processes: the duration of each action, and the file for measured times.
    pub(super) fn naps(&self, scale: f64, log: &Path) -> Result<Value, String> {
        let mut seconds = BTreeMap::new();
        for instance in &self.instances {
            for way in &self.kind(instance)?.transitions {
                if let Some(length_s) = self.seconds(instance, way) {
                    seconds.insert(format!("{}.{}", instance.name, way.name), length_s * scale);
                }
            }
        }
        Ok(json!({ "seconds": seconds, "log": log }))
    }
}
