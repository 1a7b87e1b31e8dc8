//! The OpenStack assembly of the Madeus authors, and the critical path of its durations.
//!
//! The file is one that the user names; it is not part of the project. Durations are medians of the published traces.
//! A transition begins when its place is entered and what it uses is provided; a place is entered when all transitions
//! that lead to it have arrived. Read next: `config`, which makes an application of it.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

use super::nap::Nap;

/// One component type, of which there is one instance.
#[derive(Debug, Deserialize)]
pub(super) struct Component {
    pub(super) places: Vec<String>,
    pub(super) initial: String,
    pub(super) transitions: Vec<Transition>,
    pub(super) ports: Vec<Port>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Transition {
    pub(super) name: String,
    #[serde(rename = "src")]
    pub(super) from: String,
    #[serde(rename = "dst")]
    pub(super) to: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) kind: PortKind,
    /// Places or transitions.
    pub(super) bound_to: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PortKind {
    Provide,
    Use,
}

#[derive(Debug, Deserialize)]
pub(super) struct Connection {
    pub(super) provider: String,
    pub(super) provide_port: String,
    pub(super) user: String,
    pub(super) use_port: String,
}

#[derive(Deserialize)]
struct Madeus {
    components: BTreeMap<String, Component>,
    connections: Vec<Connection>,
    durations_median_s: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "A_madeus_openstack_deploy")]
    madeus: Madeus,
}

/// Components, who provides what to whom, and how long each transition takes.
pub(super) struct Assembly {
    pub(super) components: BTreeMap<String, Component>,
    pub(super) connections: Vec<Connection>,
    /// Seconds by `component.transition`.
    durations: BTreeMap<String, f64>,
}

impl Assembly {
    /// Reads the file, with the durations of one variant such as `ecotype/cached/dag_nt4`.
    pub(super) fn read(file: &str, variant: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("read {file}: {error}"))?;
        let file: File =
            serde_json::from_str(&text).map_err(|error| format!("understand {file}: {error}"))?;
        let Madeus { components, connections, mut durations_median_s } = file.madeus;
        let durations = durations_median_s.remove(variant).ok_or_else(|| {
            format!(
                "find the variant {variant}: there are {:?}",
                durations_median_s.keys().collect::<Vec<_>>()
            )
        })?;
        for (name, component) in &components {
            for transition in &component.transitions {
                if !durations.contains_key(&format!("{name}.{}", transition.name)) {
                    return Err(format!("find how long {name}.{} takes in {variant}", transition.name));
                }
            }
        }
        Ok(Self { components, connections, durations })
    }

    /// How many actions a deployment has.
    pub(super) fn actions(&self) -> usize {
        self.components.values().map(|component| component.transitions.len()).sum()
    }

    /// What the application's processes have to know: how long each action takes, and where it notes its times.
    pub(super) fn naps(&self, scale: f64, log: &Path) -> Value {
        let seconds: BTreeMap<&String, f64> =
            self.durations.iter().map(|(name, seconds)| (name, seconds * scale)).collect();
        json!({ "seconds": seconds, "log": log })
    }

    /// Length in seconds and steps of the longest chain of actions that wait for each other, as they were measured.
    pub(super) fn critical_path(&self, done: &[Nap]) -> Result<(f64, Vec<String>), String> {
        let measured: BTreeMap<String, f64> =
            done.iter().map(|nap| (nap.name.clone(), nap.end_s - nap.begin_s)).collect();
        let mut paths = Paths { assembly: self, measured, entered: BTreeMap::new() };
        let mut longest = (0.0, Vec::new());
        for (name, component) in &self.components {
            for place in &component.places {
                let path = paths.entry(name, place, 0)?;
                if path.0 > longest.0 {
                    longest = path;
                }
            }
        }
        Ok(longest)
    }

    fn provider(&self, user: &str, port: &str) -> Option<&Connection> {
        self.connections.iter().find(|each| each.user == user && each.use_port == port)
    }
}

type Chain = (f64, Vec<String>);

struct Paths<'a> {
    assembly: &'a Assembly,
    measured: BTreeMap<String, f64>,
    entered: BTreeMap<(String, String), Chain>,
}

impl Paths<'_> {
    /// When a place is entered, and by which chain.
    fn entry(&mut self, component: &str, place: &str, depth: usize) -> Result<Chain, String> {
        if depth > self.assembly.actions() {
            return Err(format!("order the actions before `{component}.{place}`: they wait for each other"));
        }
        let key = (component.to_owned(), place.to_owned());
        if let Some(known) = self.entered.get(&key) {
            return Ok(known.clone());
        }
        let assembly = self.assembly;
        let kind = &assembly.components[component];
        let mut latest = (0.0, Vec::new());
        for transition in kind.transitions.iter().filter(|each| each.to == place) {
            let mut begin = self.entry(component, &transition.from, depth + 1)?;
            let uses = kind
                .ports
                .iter()
                .filter(|port| port.kind == PortKind::Use && port.bound_to.contains(&transition.name));
            for port in uses {
                let Some(connection) = assembly.provider(component, &port.name) else { continue };
                let provided = self.provided(&connection.provider, &connection.provide_port, depth + 1)?;
                if provided.0 > begin.0 {
                    begin = provided;
                }
            }
            let name = format!("{component}.{}", transition.name);
            begin.0 += self.measured.get(&name).ok_or_else(|| format!("find how long {name} took"))?;
            begin.1.push(name);
            if begin.0 > latest.0 {
                latest = begin;
            }
        }
        self.entered.insert(key, latest.clone());
        Ok(latest)
    }

    /// When an export becomes active: with the first of its places.
    fn provided(&mut self, component: &str, port: &str, depth: usize) -> Result<Chain, String> {
        let assembly = self.assembly;
        let ports = &assembly.components.get(component).ok_or("find a provider")?.ports;
        let found = ports.iter().find(|each| each.kind == PortKind::Provide && each.name == port);
        let found = found.ok_or_else(|| format!("find what `{component}` provides as `{port}`"))?;
        let mut first: Option<Chain> = None;
        for place in &found.bound_to {
            let path = self.entry(component, place, depth)?;
            if first.as_ref().is_none_or(|first| path.0 < first.0) {
                first = Some(path);
            }
        }
        first.ok_or_else(|| format!("find a place of `{component}.{port}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` has two transitions side by side; `b` waits for what `a` provides.
    fn two() -> Assembly {
        let component = |text: &str| serde_json::from_str(text).unwrap();
        let a = r#"{"places": ["x", "y"], "initial": "x",
            "transitions": [{"name": "p", "src": "x", "dst": "y"}, {"name": "q", "src": "x", "dst": "y"}],
            "ports": [{"name": "a", "kind": "provide", "bound_to": ["y"]}]}"#;
        let b = r#"{"places": ["x", "y", "z"], "initial": "x",
            "transitions": [{"name": "r", "src": "x", "dst": "y"}, {"name": "s", "src": "y", "dst": "z"}],
            "ports": [{"name": "a", "kind": "use", "bound_to": ["s"]}]}"#;
        let connection = r#"{"provider": "a", "provide_port": "a", "user": "b", "use_port": "a"}"#;
        Assembly {
            components: BTreeMap::from([("a".to_owned(), component(a)), ("b".to_owned(), component(b))]),
            connections: vec![serde_json::from_str(connection).unwrap()],
            durations: BTreeMap::new(),
        }
    }

    #[test]
    fn the_critical_path_crosses_a_dock_and_a_binding() {
        let nap = |(name, end_s): (&str, f64)| Nap { name: name.to_owned(), begin_s: 0.0, end_s };
        let done = [("a.p", 3.0), ("a.q", 1.0), ("b.r", 2.0), ("b.s", 5.0)].map(nap);
        let (length, path) = two().critical_path(&done).unwrap();
        assert!((length - 8.0).abs() < 1e-9, "{length}");
        assert_eq!(path, ["a.p", "b.s"]);
    }
}
