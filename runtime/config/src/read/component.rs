//! The `[components.NAME]` tables.

use crate::document;
use crate::finding::Span;
use crate::read::policy::DURATION_MS_MAX;
use crate::read::{ENTRIES_MAX, Session};
use crate::reader::{Node, Table, Text};
use crate::slips;
use crate::suggest;
use crate::template::PORT_FIELDS;
use crate::units::Quantity;
use rhizo_types::lifecycle::{VALUE_BYTES_MAX, VALUES_MAX, Values};
use rhizo_types::spec::{
    Component, Export, Health, Import, OnFailure, OnLoss, Pick, Ports, Probe, Replicas, Run, Via,
};
use rhizo_types::{ComponentName, NODE_PORT, Number, PortName, ValueName};
use std::collections::{BTreeMap, BTreeSet};

/// Most copies of one component. The runtime is built for thousands of nodes.
const REPLICAS_MAX: u32 = 10_000;

impl Session<'_> {
    pub(crate) fn component(&mut self, name: &ComponentName, node: &Node<'_>) -> Component {
        let mut component = Component::new(Run::Embedded);
        let form = format!("[components.{name}]` with `exec = \"…\"");
        let Some(mut table) = self.reader.table_like(node, &form) else { return component };
        if let Some(replicas) = table.take("replicas").and_then(|node| self.replicas(&node)) {
            component.replicas = replicas;
        }
        let needs = table.take("needs");
        component.needs = self.needs(needs);
        let exports = table.take("exports");
        component.exports = self.exports(name, exports);
        let imports = table.take("imports");
        component.imports = self.imports(name, imports);
        let attributes = table.take("attributes");
        component.attributes = self.attributes_of(attributes);
        self.state(&mut table, &mut component);
        // The fields below refer to ports, attributes and data, so they are read after these.
        self.run(&mut table, &mut component);
        self.packing(name, &mut table);
        component.health = table.take("health").and_then(|node| self.health(&node, &mut component));
        if let Some(node) = table.take("stop") {
            self.stop(&node, &mut component.stop);
        }
        let env = table.take("env");
        let (env, secrets) = self.env(env, &component);
        (component.env, component.secrets) = (env, secrets);
        component.exclusive =
            table.take("exclusive").and_then(|node| self.reader.boolean(&node)).unwrap_or(false);
        if let Some(node) = table.take("upgrade") {
            self.upgrade(&node, &mut component);
        }
        let start = table.take("start");
        if let Some(node) = table.take("lifecycle") {
            self.lifecycle(&node, &mut component);
        }
        if let Some(node) = start {
            self.start(&node, &mut component);
        }
        self.reader.finish::<document::Component>(table);
        component
    }

    /// Reads `exec` or `script`. With neither, the component has a closure, or only the actions of its life-cycle.
    fn run(&mut self, table: &mut Table<'_>, component: &mut Component) {
        let (exec, script) = (table.take("exec"), table.take("script"));
        if let (Some(exec), Some(script)) = (&exec, &script) {
            self.reader
                .findings
                .error(script.key.clone(), "a component has `exec` or `script`, not both")
                .label(exec.key.clone(), "the other one")
                .hint("`exec` names a program that keeps running, `script` one whose calls end");
        }
        if let Some(argv) = exec.and_then(|node| self.command(&node, component)) {
            component.run = Run::Exec { argv };
        } else if let Some(argv) = script.and_then(|node| self.command(&node, component)) {
            component.run = Run::Script { argv };
        }
    }

    fn attributes_of(&mut self, node: Option<Node<'_>>) -> Values {
        let mut values = Values::new();
        for (name, text) in self.named_texts(node, "attributes") {
            if self.check_text(&text, VALUE_BYTES_MAX) {
                values.insert(ValueName(name.to_owned()), text.text.to_owned());
            }
        }
        values
    }

    fn upgrade(&mut self, node: &Node<'_>, component: &mut Component) {
        let Some(mut table) = self.reader.table(node) else { return };
        let most = table.take("unavailable_max");
        if let Some(most) = most.and_then(|node| self.reader.whole(&node, 1, REPLICAS_MAX)) {
            component.unavailable_max = most;
        }
        let choices = [("keep", OnFailure::Keep), ("unwind", OnFailure::Unwind)];
        if let Some(on_failure) = table.take("on_failure").and_then(|node| self.choice(&node, &choices)) {
            component.on_failure = on_failure;
        }
        self.reader.finish::<document::Upgrade>(table);
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, node: &Node<'_>, choices: &[(&str, T)]) -> Option<T> {
        let word = self.reader.text(node)?;
        let found = choices.iter().find(|(name, _)| *name == word.text).map(|(_, value)| *value);
        if found.is_none() {
            let hint = suggest::hint(word.text, choices.iter().map(|(name, _)| *name), "choices");
            let message = format!("`{}` is not a choice", word.text.escape_debug());
            self.reader.findings.error(word.span, message).maybe_hint(hint);
        }
        found
    }

    fn replicas(&mut self, node: &Node<'_>) -> Option<Replicas> {
        if let Some(text) = self.reader.as_text(node) {
            self.reader.mismatch_with(node, "a whole number", Some(slips::replicas(text.text)));
            return None;
        }
        if !self.reader.is_table(node) {
            let count = self.reader.whole(node, 1, REPLICAS_MAX)?;
            return Some(Replicas { min: count, max: count });
        }
        let mut table = self.reader.table(node)?;
        let min = self.reader.required(&mut table, "min", "the fewest copies");
        let max = self.reader.required(&mut table, "max", "the most copies");
        self.reader.finish::<document::ReplicaRange>(table);
        let min = min.and_then(|node| self.reader.whole(&node, 0, REPLICAS_MAX));
        let max_span = max.as_ref().map(|node| node.span.clone());
        let max = max.and_then(|node| self.reader.whole(&node, 1, REPLICAS_MAX));
        let (min, max) = (min?, max?);
        if min > max {
            self.reader
                .findings
                .error(max_span?, format!("at most {max} copies, but at least {min}"))
                .hint("make `max` at least `min`");
            return None;
        }
        Some(Replicas { min, max })
    }

    /// Adds an error if a component has more entries of a kind than the limit, and cuts them off there.
    pub(crate) fn limited<'d>(
        &mut self,
        mut named: Vec<(&'d str, Node<'d>)>,
        what: &str,
    ) -> Vec<(&'d str, Node<'d>)> {
        if named.len() > ENTRIES_MAX {
            let span = named[ENTRIES_MAX].1.key.clone();
            self.reader
                .findings
                .error(span, format!("more than {ENTRIES_MAX} {what}"))
                .hint("split the component, or let its program read the rest from a file");
            named.truncate(ENTRIES_MAX);
        }
        named
    }

    fn needs(&mut self, node: Option<Node<'_>>) -> BTreeMap<String, Number> {
        let form = "needs = { cpu = 0.5, memory = \"256MiB\" }";
        let named = node.and_then(|node| self.reader.named_like(&node, form)).unwrap_or_default();
        let mut needs = BTreeMap::new();
        for (name, node) in self.limited(named, "needs") {
            self.check_name(name, &node.key, "resource");
            let value = match name {
                "cpu" => self.reader.quantity(&node, Quantity::PLAIN),
                "memory" | "disk" => self.reader.quantity(&node, Quantity::BYTES),
                _ => self.reader.any_quantity(&node).map(|(value, _)| value),
            };
            let Some(value) = value else { continue };
            if value < 0.0 {
                self.reader
                    .findings
                    .error(node.span.clone(), "a need must not be negative")
                    .hint("write a positive number, or leave it out");
                continue;
            }
            // A number without a unit would be bytes, and so few are never meant.
            if matches!(name, "memory" | "disk") && value > 0.0 && value < 65_536.0 {
                self.reader
                    .findings
                    .warning(node.span.clone(), format!("{value} bytes of {name} is very little"))
                    .hint(format!("write the unit: \"{value}MiB\""));
            }
            if let Ok(number) = Number::try_from(value) {
                needs.insert(name.to_owned(), number);
            }
        }
        needs
    }

    fn exports(&mut self, component: &ComponentName, node: Option<Node<'_>>) -> Ports<Export> {
        let form = "exports.http = { port = 8080 }";
        let named = node.and_then(|node| self.reader.named_like(&node, form)).unwrap_or_default();
        let mut exports = Ports::new();
        let mut by_port: BTreeMap<u16, Span> = BTreeMap::new();
        for (name, node) in self.limited(named, "exports") {
            self.check_name(name, &node.key, "export");
            let mut export = Export::SERVICE;
            let form =
                format!("exports.{name} = {{ port = {} }}", self.reader.literal(&node).unwrap_or("8080"));
            if let Some(mut table) = self.reader.table_like(&node, &form) {
                let port = table.take("port");
                export.port = port.as_ref().and_then(|node| self.port(node));
                if let (Some(number), Some(node)) = (export.port, port.clone())
                    && let Some(earlier) = by_port.insert(number, node.span.clone())
                {
                    self.reader
                        .findings
                        .error(node.span, format!("two exports use port {number}"))
                        .label(earlier, "the other one")
                        .hint("leave `port` out to have a free one chosen");
                }
                if let (Some(_), Some(node)) = (export.port, &port) {
                    let export = (component.clone(), PortName((*name).to_owned()));
                    self.places.ports.insert(export, node.span.clone());
                }
                let public = table.take("public");
                export.public = public.as_ref().and_then(|node| self.reader.boolean(node)).unwrap_or(false);
                if let Some(public) = public.filter(|_| export.public && port.is_none()) {
                    self.reader
                        .findings
                        .error(public.span, "a public export has no port")
                        .hint("write `port`: every node listens at it");
                }
                export.data = table.take("data").and_then(|node| self.reader.boolean(&node)).unwrap_or(false);
                if let Some(port) = port.filter(|_| export.data) {
                    self.reader
                        .findings
                        .error(port.key, "an export of data has no port")
                        .hint("remove `port`, or remove `data = true`");
                }
                let values = table.take("values");
                export.values = self.values_of(values, export.data, &node);
                self.reader.finish::<document::Export>(table);
            }
            exports.insert(PortName(name.to_owned()), export);
        }
        exports
    }

    /// The values that users of an export receive; an export of data needs at least one.
    fn values_of(&mut self, node: Option<Node<'_>>, data: bool, export: &Node<'_>) -> BTreeSet<ValueName> {
        let names = node.and_then(|node| self.reader.texts(&node)).unwrap_or_default();
        if let Some(surplus) = names.get(VALUES_MAX) {
            self.reader
                .findings
                .error(surplus.span.clone(), format!("more than {VALUES_MAX} values"))
                .hint("put several values into one, as lines");
        }
        let mut values = BTreeSet::new();
        for name in names.into_iter().take(VALUES_MAX) {
            self.check_name(name.text, &name.span, "value");
            if PORT_FIELDS.contains(&name.text) {
                let message = format!("a value cannot be called `{}`", name.text);
                self.reader.findings.error(name.span, message).hint("that is a part of the address");
            } else {
                values.insert(ValueName(name.text.to_owned()));
            }
        }
        if data && values.is_empty() {
            self.reader
                .findings
                .error(export.key.clone(), "an export of data without a value gives nothing")
                .hint("add `values = [\"NAME\"]`");
        }
        values
    }

    fn port(&mut self, node: &Node<'_>) -> Option<u16> {
        let port = self.reader.whole(node, 1, u32::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
        if port == Some(NODE_PORT) {
            self.reader
                .findings
                .error(node.span.clone(), format!("port {NODE_PORT} is taken by the node on every host"))
                .hint("write another number, or leave `port` out to have a free one chosen");
            return None;
        }
        port
    }

    fn imports(&mut self, component: &ComponentName, node: Option<Node<'_>>) -> Ports<Import> {
        let form = "imports.db = { from = \"db.sql\" }";
        let named = node.and_then(|node| self.reader.named_like(&node, form)).unwrap_or_default();
        let mut imports = Ports::new();
        self.unread_imports = named.iter().map(|(name, _)| (*name).to_owned()).collect();
        for (name, node) in self.limited(named, "imports") {
            self.check_name(name, &node.key, "import");
            let exporter = self.reader.as_text(&node).map_or("COMPONENT.EXPORT", |text| text.text);
            let form = format!("imports.{name} = {{ from = \"{}\" }}", exporter.escape_debug());
            let Some(mut table) = self.reader.table_like(&node, &form) else { continue };
            let from = self.reader.required(&mut table, "from", "\"component.export\"");
            let optional =
                table.take("optional").and_then(|node| self.reader.boolean(&node)).unwrap_or(false);
            let pick = table.take("pick").map(|node| (self.pick(&node), node.span));
            let losses = [("stop", OnLoss::Stop), ("suspend", OnLoss::Suspend), ("rebind", OnLoss::Rebind)];
            let on_loss = table.take("on_loss").and_then(|node| self.choice(&node, &losses));
            let notify = table.take("notify").and_then(|node| self.reader.boolean(&node)).unwrap_or(false);
            let ways = [("node", Via::Node), ("direct", Via::Direct)];
            let via = table.take("via").and_then(|node| self.choice(&node, &ways)).unwrap_or(Via::Node);
            self.reader.finish::<document::Import>(table);
            let Some(from) = from.and_then(|node| self.reader.text(&node)) else { continue };
            let Some((exporter, export)) = self.exporter(&from) else { continue };
            let is_own = exporter == *component;
            let pick = match pick {
                Some((Some(pick), _)) => pick,
                Some((None, _)) => continue,
                None if is_own => Pick::All,
                None => Pick::One,
            };
            let name = PortName(name.to_owned());
            self.places.imports.insert((component.clone(), name.clone()), from.span);
            let on_loss = on_loss.unwrap_or(OnLoss::Stop);
            self.unread_imports.remove(name.as_str());
            let import = Import { optional, pick, on_loss, notify, via, ..Import::of(exporter, export) };
            imports.insert(name, import);
        }
        imports
    }

    /// Splits `component.export`. Whether the two exist is checked when all components are known.
    fn exporter(&mut self, from: &Text<'_>) -> Option<(ComponentName, PortName)> {
        match from.text.split_once('.') {
            Some((component, port)) if !component.is_empty() && !port.is_empty() && !port.contains('.') => {
                Some((ComponentName(component.to_owned()), PortName(port.to_owned())))
            }
            _ => {
                self.reader
                    .findings
                    .error(
                        from.span.clone(),
                        format!("`{}` does not name an export", from.text.escape_debug()),
                    )
                    .hint("write `from = \"component.export\"`, such as \"db.sql\"");
                None
            }
        }
    }

    fn pick(&mut self, node: &Node<'_>) -> Option<Pick> {
        let Some(word) = self.reader.as_text(node) else {
            return self
                .reader
                .whole(node, 1, REPLICAS_MAX)
                .map(|n| if n == 1 { Pick::One } else { Pick::Some(n) });
        };
        match word.text {
            "all" => Some(Pick::All),
            "one" => Some(Pick::One),
            other => {
                self.reader
                    .findings
                    .error(word.span, format!("`{}` is not a choice", other.escape_debug()))
                    .hint("write \"all\", \"one\" or a number");
                None
            }
        }
    }

    fn health(&mut self, node: &Node<'_>, component: &mut Component) -> Option<Health> {
        if let Some(text) = self.reader.as_text(node) {
            let export = component.exports.keys().next().map(PortName::as_str);
            let hint = format!("{} in `health = {{ … }}`", slips::health(text.text, export));
            self.reader.mismatch_with(node, "a table", Some(hint));
            return None;
        }
        let mut table = self.reader.table_like(node, "health = { http = \"EXPORT:/path\" }")?;
        let every = table.take("every").map(|node| self.reader.duration_ms(&node, 100, DURATION_MS_MAX));
        let fail_after = table.take("fail_after").map(|node| self.reader.whole(&node, 1, 1_000));
        let probe = self.probe(&mut table, component);
        self.reader.finish::<document::Health>(table);
        Some(Health {
            probe: probe?,
            every_ms: every.unwrap_or(Some(5_000))?,
            fail_after: fail_after.unwrap_or(Some(3))?,
        })
    }

    pub(crate) fn probe(&mut self, table: &mut Table<'_>, component: &mut Component) -> Option<Probe> {
        let mut given: Vec<(&str, Node<'_>)> =
            ["http", "tcp", "exec"].into_iter().filter_map(|name| Some((name, table.take(name)?))).collect();
        if given.len() > 1 {
            self.reader
                .findings
                .error(given[1].1.key.clone(), "a health check has one of `http`, `tcp` and `exec`")
                .label(given[0].1.key.clone(), "the other one")
                .hint("remove one of them");
            return None;
        }
        let Some((kind, node)) = given.pop() else {
            self.reader
                .findings
                .error(table.place.clone(), "the health check looks at nothing")
                .hint("add `http = \"EXPORT:/path\"`, `tcp = \"EXPORT\"` or `exec = \"…\"`");
            return None;
        };
        match kind {
            "exec" => self.command(&node, component).map(|argv| Probe::Exec { argv }),
            "tcp" => {
                let text = self.reader.text(&node)?;
                let export = self.probed_export(&text, text.text, component)?;
                Some(Probe::Tcp { export })
            }
            _ => {
                let text = self.reader.text(&node)?;
                if !self.check_text(&text, 2_048) {
                    return None;
                }
                let slash = text.text.find('/').unwrap_or(text.text.len());
                let (place, path) = text.text.split_at(slash);
                if place.is_empty() || text.text.contains("://") {
                    let export = component.exports.keys().next().map(PortName::as_str);
                    let hint = slips::health(text.text, export);
                    let message = "the health check does not name an export of the component";
                    self.reader.findings.error(text.span, message).hint(hint);
                    return None;
                }
                // `export:/path` has a colon before the path, `:port/path` has none there.
                let place =
                    if place.starts_with(':') { place } else { place.strip_suffix(':').unwrap_or(place) };
                let export = self.probed_export(&text, place, component)?;
                if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    self.reader
                        .findings
                        .error(text.span, "the path contains a space")
                        .hint("write `%20` for a space in a path");
                    return None;
                }
                self.check_placeholders(&text, component);
                Some(Probe::Http {
                    export,
                    path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
                })
            }
        }
    }

    /// The export that `NAME` or `:PORT` stands for; a port of no export becomes an export of its own.
    fn probed_export(&mut self, text: &Text<'_>, place: &str, component: &mut Component) -> Option<PortName> {
        let Some(port) = place.strip_prefix(':') else {
            let name = PortName(place.to_owned());
            if component.exports.contains_key(&name) {
                return Some(name);
            }
            let hint = suggest::hint(place, component.exports.keys().map(PortName::as_str), "exports")
                .unwrap_or_else(|| "write \"EXPORT:/path\" or \":PORT/path\"".to_owned());
            let message = format!("there is no export `{}`", place.escape_debug());
            self.reader.findings.error(text.span.clone(), message).hint(hint);
            return None;
        };
        let number = port.parse::<u16>().ok().filter(|port| *port > 0);
        let Some(number) = number else {
            let message = format!("`{}` is not a port", port.escape_debug());
            self.reader
                .findings
                .error(text.span.clone(), message)
                .hint("write \":8080/path\" or \"EXPORT:/path\"");
            return None;
        };
        if let Some((name, _)) = component.exports.iter().find(|(_, export)| export.port == Some(number)) {
            return Some(name.clone());
        }
        let taken = component.exports.contains_key(&PortName::from("health"));
        let name = PortName(if taken { format!("health-{number}") } else { "health".to_owned() });
        component.exports.insert(name.clone(), Export { port: Some(number), ..Export::SERVICE });
        Some(name)
    }
}
