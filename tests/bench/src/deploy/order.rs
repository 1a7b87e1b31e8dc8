//! The order of an assembly's actions, and the critical path of their measured durations.
//!
//! A transition begins when its place is entered and the exports that it uses are provided. A place is entered when
//! all transitions of the behaviour that lead to it have arrived, and the exports used there are provided. An export
//! is provided from the first of its places on. The order is computed from the assembly alone, independently of the
//! code that executes it.

use super::assembly::{Assembly, Component, DEPLOY, Instance, PortKind, Step};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Points in time by name, each with the points before it. `instance.transition` ends an action; all others take no
/// time.
#[derive(Debug, Default)]
pub(super) struct Order {
    after: BTreeMap<String, Vec<String>>,
    /// The points that have an action.
    actions: BTreeSet<String>,
}

/// A behaviour that is being executed, with the places it enters, in the order of the pushes.
struct Entry<'a> {
    instance: &'a Instance,
    kind: &'a Component,
    place: String,
    node: String,
    /// The transitions that lead here.
    by: Vec<String>,
}

struct Writer<'a> {
    assembly: &'a Assembly,
    order: Order,
    /// The place of each instance at the end of the stretch, and the point in time at which it is entered.
    rests: BTreeMap<String, (String, String)>,
    pushes: usize,
}

impl Order {
    /// The order of a deployment from nothing.
    pub(super) fn of_deployment(assembly: &Assembly) -> Result<Self, String> {
        let mut writer = Writer::new(assembly);
        writer.stretch(&writer.all())?;
        Ok(writer.order)
    }

    /// The order of the change.
    pub(super) fn of_change(assembly: &Assembly) -> Result<Self, String> {
        let mut writer = Writer::new(assembly);
        writer.stretch(&writer.all())?;
        let rests = writer.rests.values_mut();
        rests.for_each(|(_, since)| "begin".clone_into(since));
        writer.order =
            Order { after: BTreeMap::from([("begin".to_owned(), Vec::new())]), ..Order::default() };
        for stretch in &assembly.change {
            let pushes = stretch.iter().map(|step| match step {
                Step::Add(name) => (name.clone(), DEPLOY.to_owned()),
                Step::Push(name, behaviour) => (name.clone(), behaviour.clone()),
            });
            writer.stretch(&pushes.collect::<Vec<_>>())?;
        }
        Ok(writer.order)
    }

    /// The names of all actions.
    pub(super) fn actions(&self) -> &BTreeSet<String> {
        &self.actions
    }

    /// Returns every action with its predecessors and its planned duration, for execution by another tool.
    pub(super) fn describe(&self, seconds: &BTreeMap<String, f64>) -> Value {
        let one = |name: &String| {
            let mut before = BTreeSet::new();
            let mut open: Vec<&String> = self.after[name].iter().collect();
            while let Some(point) = open.pop() {
                if self.actions.contains(point) {
                    before.insert(point.clone());
                } else {
                    open.extend(&self.after[point]);
                }
            }
            json!({ "name": name, "after": before, "seconds": seconds.get(name) })
        };
        self.actions.iter().map(one).collect()
    }

    /// Returns the critical path by measured durations: its length in seconds, and its actions.
    pub(super) fn critical_path(
        &self,
        measured: &BTreeMap<String, f64>,
    ) -> Result<(f64, Vec<String>), String> {
        let mut ends: BTreeMap<&str, (f64, Option<&str>)> = BTreeMap::new();
        for point in self.after.keys() {
            self.end(point, measured, &mut ends, 0)?;
        }
        let last = ends.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
        let (mut at, length) = last.map_or((None, 0.0), |(point, (end, _))| (Some(*point), *end));
        let mut path = Vec::new();
        while let Some(point) = at {
            if self.actions.contains(point) {
                path.push(point.to_owned());
            }
            at = ends.get(point).and_then(|(_, before)| *before);
        }
        path.reverse();
        Ok((length, path))
    }

    fn end<'a>(
        &'a self,
        point: &'a str,
        measured: &BTreeMap<String, f64>,
        ends: &mut BTreeMap<&'a str, (f64, Option<&'a str>)>,
        depth: usize,
    ) -> Result<f64, String> {
        if let Some((end, _)) = ends.get(point) {
            return Ok(*end);
        }
        if depth > self.after.len() {
            return Err(format!("order the actions before {point}: they wait for each other"));
        }
        let mut latest: (f64, Option<&str>) = (0.0, None);
        for before in self.after.get(point).ok_or_else(|| format!("find {point}"))? {
            let end = self.end(before, measured, ends, depth + 1)?;
            if latest.1.is_none() || end > latest.0 {
                latest = (end, Some(before));
            }
        }
        if self.actions.contains(point) {
            latest.0 += measured.get(point).ok_or_else(|| format!("find how long {point} took"))?;
        }
        ends.insert(point, latest);
        Ok(latest.0)
    }
}

impl<'a> Writer<'a> {
    fn new(assembly: &'a Assembly) -> Self {
        let order = Order { after: BTreeMap::from([("begin".to_owned(), Vec::new())]), ..Order::default() };
        Self { assembly, order, rests: BTreeMap::new(), pushes: 0 }
    }

    /// Adds the first deployment.
    fn all(&self) -> Vec<(String, String)> {
        let first = self.assembly.instances.iter().filter(|instance| !instance.later);
        first.map(|instance| (instance.name.clone(), DEPLOY.to_owned())).collect()
    }

    /// Adds pushes that run in parallel, after all earlier ones.
    fn stretch(&mut self, pushes: &[(String, String)]) -> Result<(), String> {
        let all: BTreeSet<String> = self.rests.values().map(|(_, since)| since.clone()).collect();
        let begin = format!("wait {}", self.pushes);
        let all = if all.is_empty() { BTreeSet::from(["begin".to_owned()]) } else { all };
        self.order.after.insert(begin.clone(), all.into_iter().collect());
        let mut entries = Vec::new();
        for (name, behaviour) in pushes {
            self.push(name, behaviour, &begin, &mut entries)?;
        }
        for entry in &entries {
            self.wait_for_providers(entry, &entries)?;
        }
        Ok(())
    }

    /// One behaviour of one instance, as if everything were provided.
    fn push(
        &mut self,
        name: &str,
        behaviour: &str,
        begin: &str,
        entries: &mut Vec<Entry<'a>>,
    ) -> Result<(), String> {
        let assembly = self.assembly;
        let instance = assembly.instance(name)?;
        let kind = assembly.kind(instance)?;
        self.pushes += 1;
        let number = self.pushes;
        let point = |place: &str| format!("{name} in {place} by {number}");
        let rest = self.rests.get(name).cloned();
        let (from, since) = rest.unwrap_or_else(|| (kind.initial.clone(), begin.to_owned()));
        self.order.after.insert(point(&from), vec![since, begin.to_owned()]);
        let members = || kind.transitions.iter().filter(|way| way.behaviour == behaviour);
        let mut places = vec![from.clone()];
        let mut rest = from.clone();
        let mut next = 0;
        while let Some(place) = places.get(next).cloned() {
            next += 1;
            for way in members().filter(|way| way.from == place) {
                let end = format!("{name}.{}", way.name);
                if self.order.after.insert(end.clone(), vec![point(&place)]).is_some() {
                    return Err(format!("tell two executions of {end} apart"));
                }
                if assembly.seconds(instance, way).is_some() {
                    self.order.actions.insert(end.clone());
                }
                let entered = point(&way.to);
                self.order.after.entry(entered.clone()).or_default().push(end.clone());
                if places.contains(&way.to) {
                    let known = entries.iter_mut().find(|entry| entry.node == entered);
                    known.ok_or_else(|| format!("leave {} once", way.to))?.by.push(way.name.clone());
                    continue;
                }
                places.push(way.to.clone());
                let by = vec![way.name.clone()];
                entries.push(Entry { instance, kind, place: way.to.clone(), node: entered, by });
            }
            if members().all(|way| way.from != place) {
                rest = place;
            }
        }
        let since = point(&rest);
        self.rests.insert(name.to_owned(), (rest, since));
        Ok(())
    }

    /// Adds the dependencies of a place, and of the transitions that lead to it, on exports of others.
    fn wait_for_providers(&mut self, entry: &Entry<'a>, entries: &[Entry<'a>]) -> Result<(), String> {
        let name = &entry.instance.name;
        for port in entry.kind.ports(PortKind::Use) {
            let Some(connection) = self.assembly.provider(name, &port.name) else { continue };
            let Some(provided) = self.provided(&connection.provider, &connection.provide_port, entries)?
            else {
                continue;
            };
            let (places, ways) = entry.kind.span(port);
            let mut waits = Vec::new();
            if places.contains(entry.place.as_str()) {
                waits.push(entry.node.clone());
            }
            let using = entry.by.iter().filter(|way| ways.contains(way.as_str()));
            waits.extend(using.map(|way| format!("{name}.{way}")));
            for waiting in waits {
                self.order.after.entry(waiting).or_default().push(provided.clone());
            }
        }
        Ok(())
    }

    /// When an export becomes active in this stretch; none when it is active all the time.
    fn provided(&self, provider: &str, port: &str, entries: &[Entry<'a>]) -> Result<Option<String>, String> {
        let kind = self.assembly.kind(self.assembly.instance(provider)?)?;
        let found = kind.ports(PortKind::Provide).find(|each| each.name == port);
        let found = found.ok_or_else(|| format!("find what `{provider}` provides as `{port}`"))?;
        let group = |place: &String| found.bound_to.contains(place);
        let from = |entry: &Entry<'_>| {
            let ways = kind.transitions.iter().filter(|way| entry.by.contains(&way.name));
            ways.map(|way| way.from.clone()).collect::<Vec<_>>()
        };
        let first = entries.iter().find(|entry| {
            entry.instance.name == provider && group(&entry.place) && !from(entry).iter().any(group)
        });
        Ok(first.map(|entry| entry.node.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::assembly::Connection;
    use super::*;

    /// `a` has two transitions side by side; `b` waits for what `a` provides: `s` with a transition or with its end.
    fn two(bound_to: &str) -> Assembly {
        let component = |text: &str| serde_json::from_str(text).unwrap();
        let a = r#"{"places": ["x", "y"], "initial": "x", "running": "y",
            "transitions": [{"name": "p", "src": "x", "dst": "y"}, {"name": "q", "src": "x", "dst": "y"},
                            {"name": "o", "src": "y", "dst": "x", "behaviour": "off"}],
            "ports": [{"name": "a", "kind": "provide", "bound_to": ["y"]}]}"#;
        let b = format!(
            r#"{{"places": ["x", "y", "z"], "initial": "x",
            "transitions": [{{"name": "r", "src": "x", "dst": "y"}}, {{"name": "s", "src": "y", "dst": "z"}}],
            "ports": [{{"name": "a", "kind": "use", "bound_to": ["{bound_to}"]}}]}}"#
        );
        let connection = r#"{"provider": "a", "provide_port": "a", "user": "b", "use_port": "a"}"#;
        let connection: Connection = serde_json::from_str(connection).unwrap();
        let instance = |name: &str| Instance {
            name: name.to_owned(),
            kind: name.to_owned(),
            host: "h".to_owned(),
            later: false,
        };
        Assembly {
            kinds: BTreeMap::from([("a".to_owned(), component(a)), ("b".to_owned(), component(&b))]),
            instances: vec![instance("a"), instance("b")],
            connections: vec![connection],
            durations: ["a.p", "a.q", "a.o", "b.r", "b.s"].map(|name| (name.to_owned(), 1.0)).into(),
            change: vec![
                vec![Step::Push("a".to_owned(), "off".to_owned())],
                vec![Step::Push("a".to_owned(), DEPLOY.to_owned())],
            ],
        }
    }

    fn measured() -> BTreeMap<String, f64> {
        [("a.p", 3.0), ("a.q", 1.0), ("a.o", 0.5), ("b.r", 2.0), ("b.s", 5.0)]
            .map(|(name, end_s)| (name.to_owned(), end_s))
            .into()
    }

    #[test]
    fn the_critical_path_crosses_a_dock_and_a_binding() {
        let order = Order::of_deployment(&two("s")).unwrap();
        let (length, path) = order.critical_path(&measured()).unwrap();
        assert!((length - 8.0).abs() < 1e-9, "{length}");
        assert_eq!(path, ["a.p", "b.s"]);
        let described = order.describe(&measured());
        assert_eq!(described[3]["after"], json!(["a.p", "a.q", "b.r"]), "{described}");
    }

    #[test]
    fn what_a_place_uses_is_waited_for_at_its_end() {
        let (length, path) = Order::of_deployment(&two("z")).unwrap().critical_path(&measured()).unwrap();
        // `b.s` does not wait: it ends after 7 s, when `a` has long been there.
        assert!((length - 7.0).abs() < 1e-9, "{length}");
        assert_eq!(path, ["b.r", "b.s"]);
    }

    #[test]
    fn stretches_of_a_change_follow_each_other() {
        let order = Order::of_change(&two("s")).unwrap();
        let (length, path) = order.critical_path(&measured()).unwrap();
        assert!((length - 3.5).abs() < 1e-9, "{length}");
        assert_eq!(path, ["a.o", "a.p"]);
    }
}
