//! The `[components.NAME.lifecycle]` table: places, transitions, behaviours, and what they use.
//!
//! Names are checked here, each with its place in the file. What the names mean together (a dock set that is never
//! complete, a `retire` that does not lead back) is checked by [`rhizo_types::net`], once the names are right. The
//! actions are read in `step`.

use crate::document;
use crate::finding::Span;
use crate::read::Session;
use crate::reader::{Node, Table, Text};
use crate::suggest;
use rhizo_types::PortName;
use rhizo_types::id::{BehaviourName, PlaceName, TransitionName};
use rhizo_types::lifecycle::{Action, Lifecycle, Step, Transition};
use rhizo_types::net::Flaw;
use rhizo_types::net::Net;
use rhizo_types::spec::{Component, Run};
use std::collections::{BTreeMap, BTreeSet};

/// Most places, transitions, behaviours or names in one list; the largest known component has seven places.
const NAMES_MAX: usize = 256;

/// Dock sets of one place.
const DOCKS_MAX: u32 = 256;

/// The declared names of one kind, and the word for the kind.
struct Known<'k> {
    what: &'static str,
    plural: &'static str,
    names: BTreeSet<&'k str>,
}

impl<'k> Known<'k> {
    fn new(what: &'static str, plural: &'static str, names: impl IntoIterator<Item = &'k str>) -> Self {
        Self { what, plural, names: names.into_iter().collect() }
    }
}

/// The places of the parts of a life-cycle in the file, for errors that involve several.
#[derive(Default)]
struct Spans {
    whole: Span,
    transitions: BTreeMap<TransitionName, Span>,
    behaviours: BTreeMap<BehaviourName, Span>,
    lists: BTreeMap<&'static str, Span>,
}

impl Spans {
    fn of(&self, flaw: &Flaw) -> Span {
        let list = |name: &str| self.lists.get(name).cloned();
        let behaviour = |name: &str| self.behaviours.get(&BehaviourName::from(name)).cloned();
        let place = match flaw {
            Flaw::Loop(name) => self.transitions.get(name).cloned(),
            Flaw::Stuck { list: name, .. } => list(name).or_else(|| behaviour(name)),
            Flaw::NotStarted(_) => list("deploy"),
            Flaw::NotResumed(_) => list("pause"),
            Flaw::NotRetired(_) => list("retire"),
            _ => None,
        };
        place.unwrap_or_else(|| self.whole.clone())
    }
}

impl Session<'_> {
    /// Reads a declared life-cycle into `component`, and sets its `run` if it names no program.
    pub(crate) fn lifecycle(&mut self, node: &Node<'_>, component: &mut Component) {
        let Some(mut table) = self.reader.table(node) else { return };
        let before = self.reader.findings.errors();
        let mut spans = Spans { whole: node.key.clone(), ..Spans::default() };
        let places = self.places_of(&mut table);
        let known = Known::new("place", "places", places.iter().map(String::as_str));
        let mut cycle = empty(places.first().map_or("", String::as_str));
        cycle.places = places.iter().map(|name| PlaceName::from(name.as_str())).collect();
        let started = self.reader.required(&mut table, "started", "the places that count as started");
        cycle.started = started.map(|node| self.place_set(&node, &known)).unwrap_or_default();
        cycle.transitions = self.transitions(&mut table, &known, component, &mut spans);
        let ways: Vec<String> = cycle.transitions.keys().map(ToString::to_string).collect();
        let ways = Known::new("transition", "transitions", ways.iter().map(String::as_str));
        cycle.behaviours = self.behaviours(&mut table, &ways, &mut spans);
        self.lists(&mut table, &mut cycle, &mut spans);
        if let Some(node) = table.take("reset") {
            let steps = self.reader.array(&node).unwrap_or_default();
            cycle.reset = steps.iter().filter_map(|step| self.lone_step(step, component)).collect();
        }
        cycle.notify = table.take("notify").and_then(|node| self.lone_step(&node, component));
        self.spans_of_ports(&mut table, &mut cycle, &known, &ways, component);
        self.reader.finish::<document::Lifecycle>(table);
        self.choose_run(&cycle, component);
        component.lifecycle = Some(Box::new(cycle));
        // The net is not checked while names are missing: its errors would only repeat that.
        if self.reader.findings.errors() == before
            && let Err(flaw) = Net::of(component)
        {
            self.reader.findings.error(spans.of(&flaw), flaw.to_string());
        }
    }

    /// The places in the order of the file; a new copy is in the first.
    fn places_of(&mut self, table: &mut Table<'_>) -> Vec<String> {
        let what = "where a copy can rest, where it begins first";
        let Some(node) = self.reader.required(table, "places", what) else { return Vec::new() };
        let mut places: Vec<String> = Vec::new();
        for name in self.reader.texts(&node).unwrap_or_default() {
            self.check_name(name.text, &name.span, "place");
            if places.iter().any(|place| place == name.text) {
                self.reader.findings.error(name.span, format!("the place `{}` is listed twice", name.text));
            } else if places.len() == NAMES_MAX {
                self.reader.findings.error(name.span, format!("more than {NAMES_MAX} places"));
                break;
            } else {
                places.push(name.text.to_owned());
            }
        }
        if places.is_empty() {
            self.reader.findings.error(node.key, "a life-cycle has at least one place");
        }
        places
    }

    fn transitions(
        &mut self,
        table: &mut Table<'_>,
        places: &Known<'_>,
        component: &mut Component,
        spans: &mut Spans,
    ) -> BTreeMap<TransitionName, Transition> {
        let node = self.reader.required(table, "transitions", "the ways between places");
        let named = node.and_then(|node| self.reader.named(&node)).unwrap_or_default();
        let mut transitions = BTreeMap::new();
        for (name, node) in self.limited(named, "transitions") {
            self.check_name(name, &node.key, "transition");
            let Some(mut table) = self.reader.table(&node) else { continue };
            let from = self.reader.required(&mut table, "from", "the place it begins in");
            let to = self.reader.required(&mut table, "to", "the place it leads to");
            let from = from.and_then(|node| self.known_name(&node, places));
            let to = to.and_then(|node| self.known_name(&node, places));
            let dock = table.take("dock").and_then(|node| self.reader.whole(&node, 0, DOCKS_MAX - 1));
            let step = self.step(&mut table, component);
            self.reader.finish::<document::Transition>(table);
            let name = TransitionName::from(name);
            spans.transitions.insert(name.clone(), node.key);
            // A transition that could not be read still counts as declared, so that its uses are not reported too.
            let place = |name: Option<String>| PlaceName(name.unwrap_or_default());
            let (from, to, dock) = (place(from), place(to), dock.unwrap_or(0));
            transitions.insert(name, Transition { from, to, dock, step });
        }
        transitions
    }

    fn behaviours(
        &mut self,
        table: &mut Table<'_>,
        ways: &Known<'_>,
        spans: &mut Spans,
    ) -> BTreeMap<BehaviourName, BTreeSet<TransitionName>> {
        let node = self.reader.required(table, "behaviours", "sets of transitions by name");
        let named = node.and_then(|node| self.reader.named(&node)).unwrap_or_default();
        let mut behaviours = BTreeMap::new();
        for (name, node) in self.limited(named, "behaviours") {
            self.check_name(name, &node.key, "behaviour");
            let names = self.known_names(&node, ways);
            let name = BehaviourName::from(name);
            spans.behaviours.insert(name.clone(), node.key);
            behaviours.insert(name, names.into_iter().map(TransitionName).collect());
        }
        behaviours
    }

    /// `deploy`, `pause` and `retire`: lists of behaviours, by default the behaviour of the same name.
    fn lists(&mut self, table: &mut Table<'_>, cycle: &mut Lifecycle, spans: &mut Spans) {
        let names: Vec<String> = cycle.behaviours.keys().map(ToString::to_string).collect();
        let known = Known::new("behaviour", "behaviours", names.iter().map(String::as_str));
        let mut read = |session: &mut Self, name: &'static str, otherwise: Option<&[BehaviourName]>| {
            if let Some(node) = table.take(name) {
                spans.lists.insert(name, node.key.clone());
                return session.known_names(&node, &known).into_iter().map(BehaviourName).collect();
            }
            let own = BehaviourName::from(name);
            if known.names.contains(name) {
                if let Some(span) = spans.behaviours.get(&own) {
                    spans.lists.insert(name, span.clone());
                }
                return vec![own];
            }
            if let Some(otherwise) = otherwise {
                return otherwise.to_vec();
            }
            let message = format!("it is not said how to {name}");
            let hint = format!("add a behaviour `{name}`, or `{name} = [\"BEHAVIOUR\", …]`");
            session.reader.findings.error(spans.whole.clone(), message).hint(hint);
            Vec::new()
        };
        cycle.deploy = read(self, "deploy", None);
        cycle.retire = read(self, "retire", None);
        cycle.pause = read(self, "pause", Some(&cycle.retire));
        if let Some(retire) = spans.lists.get("retire").cloned() {
            spans.lists.entry("pause").or_insert(retire);
        }
    }

    /// When exports are active and imports are used.
    fn spans_of_ports(
        &mut self,
        table: &mut Table<'_>,
        cycle: &mut Lifecycle,
        places: &Known<'_>,
        ways: &Known<'_>,
        component: &Component,
    ) {
        let known = Known::new("export", "exports", component.exports.keys().map(PortName::as_str));
        for (name, node) in self.named_ports(table.take("exports"), &known) {
            cycle.exports.insert(name, self.place_set(&node, places));
        }
        let known = Known::new("import", "imports", component.imports.keys().map(PortName::as_str));
        for (name, node) in self.named_ports(table.take("imports"), &known) {
            let Some(mut table) = self.reader.table(&node) else { continue };
            let span = cycle.imports.entry(name).or_default();
            if let Some(node) = table.take("places") {
                span.places = self.place_set(&node, places);
            }
            if let Some(node) = table.take("transitions") {
                span.transitions = self.known_names(&node, ways).into_iter().map(TransitionName).collect();
            }
            self.reader.finish::<document::Use>(table);
        }
    }

    fn named_ports<'d>(&mut self, node: Option<Node<'d>>, known: &Known<'_>) -> Vec<(PortName, Node<'d>)> {
        let named = node.and_then(|node| self.reader.named(&node)).unwrap_or_default();
        let mut ports = Vec::new();
        for (name, node) in named {
            if self.is_known(&Text { text: name, span: node.key.clone() }, known) {
                ports.push((PortName(name.to_owned()), node));
            }
        }
        ports
    }

    fn place_set(&mut self, node: &Node<'_>, known: &Known<'_>) -> BTreeSet<PlaceName> {
        self.known_names(node, known).into_iter().map(PlaceName).collect()
    }

    fn known_names(&mut self, node: &Node<'_>, known: &Known<'_>) -> Vec<String> {
        let mut names = self.reader.texts(node).unwrap_or_default();
        if names.len() > NAMES_MAX {
            self.reader.findings.error(node.key.clone(), format!("more than {NAMES_MAX} {}", known.plural));
            names.truncate(NAMES_MAX);
        }
        names.retain(|name| self.is_known(name, known));
        names.into_iter().map(|name| name.text.to_owned()).collect()
    }

    fn known_name(&mut self, node: &Node<'_>, known: &Known<'_>) -> Option<String> {
        let name = self.reader.text(node)?;
        self.is_known(&name, known).then(|| name.text.to_owned())
    }

    fn is_known(&mut self, name: &Text<'_>, known: &Known<'_>) -> bool {
        let found = known.names.contains(name.text);
        if !found {
            let hint = suggest::hint(name.text, known.names.iter().copied(), known.plural);
            let message = format!("there is no {} `{}`", known.what, name.text.escape_debug());
            self.reader.findings.error(name.span.clone(), message).maybe_hint(hint);
        }
        found
    }

    /// A component without a program has a closure if its life-cycle has a `start`, and runs nothing otherwise.
    fn choose_run(&mut self, cycle: &Lifecycle, component: &mut Component) {
        let starts = cycle.transitions.values().any(|way| matches!(way.step.action, Action::Start));
        if matches!(component.run, Run::Embedded) && !starts {
            component.run = Run::Nothing;
        }
    }

    /// A step outside a transition, which must have an action.
    fn lone_step(&mut self, node: &Node<'_>, component: &mut Component) -> Option<Step> {
        let mut table = self.reader.table(node)?;
        let place = table.place.clone();
        let before = self.reader.findings.errors();
        let step = self.step(&mut table, component);
        self.reader.finish::<document::Step>(table);
        if matches!(step.action, Action::Nothing) && self.reader.findings.errors() == before {
            self.reader
                .findings
                .error(place, "this step does nothing")
                .hint("add one of `command`, `script`, `http`, `write`, `call`, `wait`, `start` and `stop`");
        }
        Some(step)
    }
}

fn empty(initial: &str) -> Lifecycle {
    Lifecycle {
        places: BTreeSet::new(),
        initial: PlaceName::from(initial),
        transitions: BTreeMap::new(),
        behaviours: BTreeMap::new(),
        deploy: Vec::new(),
        pause: Vec::new(),
        retire: Vec::new(),
        reset: Vec::new(),
        notify: None,
        started: BTreeSet::new(),
        exports: BTreeMap::new(),
        imports: BTreeMap::new(),
    }
}
