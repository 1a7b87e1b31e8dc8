//! Walks the document and makes the spec; every error becomes a finding.
//!
//! One file per group of tables. Checks that need several tables are in `crosscheck`.

pub(crate) mod command;
mod component;
mod env;
mod lifecycle;
mod packing;
mod policy;
mod provider;
mod rule;
mod start_stop;
mod state;
mod step;

pub use packing::Packing;

use crate::crosscheck::{self, Places};
use crate::document;
use crate::expr::attributes::Attributes;
use crate::finding::Span;
use crate::named_file::FileKind;
use crate::reader::{Node, Reader, Table, Text};
use crate::resolved::Replacements;
use crate::suggest;
use rhizo_types::spec::{Component, Spec};
use rhizo_types::{AppName, ComponentName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The version of the config language that this crate reads.
const LANGUAGE_VERSION: u32 = 1;

/// Most tables of one kind: a person writes tens, a generator hundreds.
const TABLES_MAX: usize = 1_000;

/// Longest name; a component's name with an ordinal still fits a DNS label.
const NAME_LENGTH_MAX: usize = 48;

/// Most ports, needs or variables of one component, and most words of one command.
pub(crate) const ENTRIES_MAX: usize = 256;

/// Longest free text of a value, such as an argument or an environment variable.
const TEXT_LENGTH_MAX: usize = 32 * 1024;

/// The state that the readers of all tables share.
pub(crate) struct Session<'s> {
    pub(crate) reader: Reader<'s>,
    pub(crate) attributes: Attributes,
    /// The kinds of the providers.
    pub(crate) kinds: Vec<(String, Span)>,
    /// The budget's currency.
    pub(crate) currency: String,
    pub(crate) components: BTreeMap<ComponentName, Arc<Component>>,
    pub(crate) has_anchors: bool,
    pub(crate) places: Places,
    /// Rule and utility names and where they are.
    pub(crate) names: BTreeMap<String, Span>,
    /// The template files of the component that is being read, each with its place.
    pub(crate) named_templates: Vec<(String, Span)>,
    /// The template files of the components before it.
    pub(crate) templates: Vec<(ComponentName, String, Span)>,
    /// Imports of the component that is being read which have an error: their uses are not reported too.
    pub(crate) unread_imports: BTreeSet<String>,
    /// The files that components want to have packed.
    pub(crate) packing: BTreeMap<ComponentName, Packing>,
    /// Programs and data files, each with its place.
    pub(crate) files: Vec<(FileKind, String, Span)>,
    /// Values whose paths were joined to the folder of their file.
    pub(crate) resolved: Replacements,
}

impl<'s> Session<'s> {
    pub(crate) fn new(reader: Reader<'s>) -> Self {
        Self {
            reader,
            attributes: Attributes::default(),
            kinds: Vec::new(),
            currency: "USD".to_owned(),
            components: BTreeMap::new(),
            has_anchors: false,
            places: Places::default(),
            names: BTreeMap::new(),
            packing: BTreeMap::new(),
            named_templates: Vec::new(),
            templates: Vec::new(),
            unread_imports: BTreeSet::new(),
            files: Vec::new(),
            resolved: Replacements::new(),
        }
    }

    /// The folder in which relative paths of a value begin: that of its file.
    pub(crate) fn base_of(&self, node: &Node<'_>) -> &'s Path {
        self.reader.sources.base_at(node.key.start)
    }

    /// Reads the whole document. The spec is valid only if no error was found.
    pub(crate) fn read(&mut self, mut root: Table<'_>) -> Spec {
        self.language_version(&mut root);
        // The files that it names have been added to the sources.
        root.take("include");
        let app = root.take("app");
        let app = self.app(app);
        // Rules need the components, the currency and the anchors, so they come last.
        let budget = root.take("budget").and_then(|node| self.budget(&node));
        let anchors = root.take("anchors").map(|node| self.anchors(&node)).unwrap_or_default();
        self.components(&mut root);
        let migration = root.take("migration");
        let migration = self.migration(migration);
        let optimise = root.take("optimise");
        let optimise = self.optimise(optimise);
        let providers = root.take("providers");
        let providers = self.providers(providers);
        let requires =
            self.tables(root.take("require"), "require", Self::require).into_iter().flatten().collect();
        let utilities = self.tables(root.take("utility"), "utility", Self::utility);
        self.reader.finish::<document::Config>(root);
        let spec = Spec {
            app: AppName(app.name),
            version: app.version,
            components: std::mem::take(&mut self.components),
            requires,
            utilities,
            migration,
            optimise,
            budget,
            providers,
            anchors,
            orphan_after_ms: app.orphan_after_ms,
        };
        crosscheck::check(&spec, &self.places, &mut self.reader.findings);
        self.attributes.warn_of_slips(&mut self.reader.findings);
        spec
    }

    fn language_version(&mut self, root: &mut Table<'_>) {
        let Some(node) = root.take("rhizo") else {
            self.reader
                .findings
                .error(0..0, "missing field `rhizo`: the version of the config language")
                .hint(format!("add `rhizo = {LANGUAGE_VERSION}` as the first line"));
            return;
        };
        for node in self.reader.in_every_file(&node) {
            if let Some(version) = self.reader.whole(&node, 0, u32::MAX)
                && version != LANGUAGE_VERSION
            {
                self.reader
                    .findings
                    .error(node.span.clone(), format!("config language {version} is not known"))
                    .hint(format!("this version of rhizo reads `rhizo = {LANGUAGE_VERSION}`"));
            }
        }
    }

    fn components(&mut self, root: &mut Table<'_>) {
        let Some(node) = self.reader.required(root, "components", "a table for each deployable unit") else {
            return;
        };
        let place = node.key.clone();
        let Some(named) = self.reader.named(&node) else { return };
        if named.is_empty() {
            self.reader
                .findings
                .error(place, "no component is declared")
                .hint("add `[components.web]` with `exec = \"…\"`");
        }
        if named.len() > TABLES_MAX {
            let span = named[TABLES_MAX].1.key.clone();
            self.reader
                .findings
                .error(span, format!("more than {TABLES_MAX} components"))
                .hint("use `replicas` for copies of one component");
        }
        for (name, node) in named.into_iter().take(TABLES_MAX) {
            self.component_named(name, &node);
        }
    }

    fn component_named(&mut self, name: &str, node: &Node<'_>) {
        self.check_name(name, &node.key, "component");
        let name = ComponentName(name.to_owned());
        self.places.components.insert(name.clone(), node.key.clone());
        // A component that is no table still counts as declared, so that its uses are not reported too.
        let component = self.component(&name, node);
        let templates = std::mem::take(&mut self.named_templates);
        self.templates.extend(templates.into_iter().map(|(path, span)| (name.clone(), path, span)));
        self.components.insert(name, Arc::new(component));
    }

    /// Reads an array of tables with `read`; leaves out those that could not be read.
    fn tables<'d, T>(
        &mut self,
        node: Option<Node<'d>>,
        name: &str,
        read: impl Fn(&mut Self, Table<'d>) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = node else { return Vec::new() };
        let mut items = Vec::new();
        for part in self.reader.in_every_file(&node) {
            if self.reader.is_table(&part) {
                self.reader
                    .findings
                    .error(part.key.clone(), format!("`{name}` is a list of tables"))
                    .hint(format!("write `[[{name}]]` with two brackets"));
                continue;
            }
            items.extend(self.reader.array(&part).unwrap_or_default());
        }
        if items.len() > TABLES_MAX {
            self.reader
                .findings
                .error(items[TABLES_MAX].key.clone(), format!("more than {TABLES_MAX} of `{name}`"))
                .hint("combine some of them");
        }
        let mut found = Vec::new();
        for item in items.iter().take(TABLES_MAX) {
            let table = self.reader.table(item);
            found.extend(table.and_then(|table| read(self, table)));
        }
        found
    }

    /// Adds an error for a name that cannot be used in addresses, file names and variables.
    pub(crate) fn check_name(&mut self, name: &str, span: &Span, what: &str) -> bool {
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        let strange =
            name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')));
        if begins && strange.is_none() && name.len() <= NAME_LENGTH_MAX {
            return true;
        }
        let message = match strange {
            _ if name.is_empty() => format!("the {what} name is empty"),
            _ if name.len() > NAME_LENGTH_MAX => {
                format!("the {what} name is longer than {NAME_LENGTH_MAX} characters")
            }
            Some(c) => format!("the {what} name contains `{}`", c.escape_debug()),
            None => format!("the {what} name does not begin with a letter"),
        };
        let hint = "names begin with a letter a-z and consist of a-z, 0-9, `-` and `_`";
        self.reader.findings.error(span.clone(), message).hint(hint);
        false
    }

    /// Adds an error for a text that is too long or contains control characters.
    pub(crate) fn check_text(&mut self, text: &Text<'_>, length_max: usize) -> bool {
        if text.text.len() > length_max {
            let message = format!("the text is longer than {length_max} bytes");
            self.reader
                .findings
                .error(text.span.clone(), message)
                .hint("put it into a file that the program reads");
            return false;
        }
        if text.text.contains('\0') {
            self.reader
                .findings
                .error(text.span.clone(), "the text contains a zero byte")
                .hint("remove it: neither arguments nor variables can contain one");
            return false;
        }
        true
    }

    /// Finds the component that a rule or an import names.
    pub(crate) fn known_component(&mut self, name: &str, span: &Span) -> Option<ComponentName> {
        if let Some((known, _)) = self.components.get_key_value(&ComponentName(name.to_owned())) {
            return Some(known.clone());
        }
        let known = self.components.keys().map(ComponentName::as_str);
        let hint = suggest::hint(name, known, "components");
        self.reader.findings.error(span.clone(), format!("there is no component `{name}`")).maybe_hint(hint);
        None
    }

    /// Records the name of a rule or a utility; names are unique among both.
    pub(crate) fn declare_name(&mut self, name: &Text<'_>, what: &str) {
        if !self.check_name(name.text, &name.span, what) {
            return;
        }
        if let Some(earlier) = self.names.insert(name.text.to_owned(), name.span.clone()) {
            self.reader
                .findings
                .error(name.span.clone(), format!("the name `{}` is used twice", name.text))
                .label(earlier, "first used here")
                .hint("names are unique among rules and utilities: `why` prints them");
        }
    }
}
