//! Writes a config as one TOML text: the parts of all files together, with the paths that the config means.
//!
//! The text stands for the config: read again, it gives the same spec. It is the text that the log keeps of a config
//! with several files, and the output of `config show`, then with the origin of each value. Defaults are not added.
//! Nothing is checked here: the config has no errors. Read next: `reader`, for the walk over the document.

use crate::finding::Lines;
use crate::reader::{Node, Reader};
use crate::secret_names::is_name_of_secret;
use crate::template;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use toml::de::DeTable;

/// A value that stands in the place of the written one, by the first byte of the latter.
pub(crate) type Replacements = BTreeMap<usize, Replacement>;

/// The meaning of a value whose path was joined to a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Replacement {
    /// A text.
    Text(String),
    /// A command with its words.
    Words(Vec<String>),
}

/// Longest table that is written in one line. A longer one gets a header of its own.
const INLINE_LENGTH_MAX: usize = 100;

/// Returns the resolved text of a config. With `origins`, each line names its file and line, and plain texts whose names
/// are usually those of secrets are replaced.
pub(crate) fn text(
    reader: &mut Reader<'_>,
    files: &[(usize, DeTable<'_>)],
    replacements: &Replacements,
    origins: bool,
) -> String {
    let root = reader.root(files);
    let lines = Lines::new(reader.sources.joined());
    let mut writer = Writer { reader, replacements, lines, origins, text: String::new() };
    let mut fields = root.into_fields();
    fields.retain(|(name, _)| *name != "include");
    writer.section(&mut Vec::new(), fields);
    writer.text
}

type Fields<'d> = Vec<(&'d str, Node<'d>)>;

struct Writer<'w, 's> {
    reader: &'w mut Reader<'s>,
    replacements: &'w Replacements,
    lines: Lines<'s>,
    origins: bool,
    text: String,
}

impl<'s> Writer<'_, 's> {
    /// Writes the fields of a table: those that fit into a line first, then those with a header, as TOML wants it.
    fn section(&mut self, path: &mut Vec<String>, mut fields: Fields<'_>) {
        fields.sort_by_key(|(_, node)| node.key.start);
        let mut below = Vec::new();
        for (name, node) in fields {
            let is_list_of_tables = path.is_empty() && self.reader.is_array(&node);
            let value = (!is_list_of_tables).then(|| self.value(name, &node));
            let is_short = |value: &String| value.len() <= INLINE_LENGTH_MAX && !value.contains('\n');
            match value {
                // Tables of the top and those that a user names (`components.web`) have a header in every config.
                Some(value) if !self.reader.is_table(&node) || (path.len() > 1 && is_short(&value)) => {
                    let name = key(name);
                    self.line(&format!("{name} = {value}"), &node);
                }
                _ => below.push((name, node)),
            }
        }
        for (name, node) in below {
            path.push(key(name));
            if self.reader.is_array(&node) {
                for part in self.reader.in_every_file(&node) {
                    for item in self.reader.array(&part).unwrap_or_default() {
                        self.header(&format!("[[{}]]", path.join(".")), &item);
                        let fields = self.fields(&item);
                        self.section(path, fields);
                    }
                }
            } else {
                let fields = self.fields(&node);
                // A table that only holds tables by name needs no header itself.
                if path.len() > 1
                    || fields.is_empty()
                    || !fields.iter().all(|(_, node)| self.reader.is_table(node))
                {
                    self.header(&format!("[{}]", path.join(".")), &node);
                }
                self.section(path, fields);
            }
            path.pop();
        }
    }

    fn fields<'d>(&mut self, node: &Node<'d>) -> Fields<'d> {
        self.reader.table(node).map(|mut table| table.take_all()).unwrap_or_default()
    }

    fn header(&mut self, header: &str, node: &Node<'_>) {
        self.text.push('\n');
        self.line(header, node);
    }

    fn line(&mut self, line: &str, node: &Node<'_>) {
        self.text.push_str(line);
        if self.origins {
            let (file, line, ..) = self.lines.place_in(self.reader.sources, &node.key);
            // Writing into a string cannot fail.
            let _ = write!(self.text, "  # {}:{line}", file.escape_debug());
        }
        self.text.push('\n');
    }

    /// A value in one line, except for texts that are written in several.
    fn value(&mut self, name: &str, node: &Node<'_>) -> String {
        match self.replacements.get(&node.span.start).filter(|_| !node.span.is_empty()) {
            Some(Replacement::Text(text)) => return quoted(text),
            Some(Replacement::Words(words)) => return list(words.iter().map(|word| quoted(word))),
            None => {}
        }
        if self.reader.is_table(node) {
            let mut fields = self.fields(node);
            fields.sort_by_key(|(_, node)| node.key.start);
            let fields =
                fields.iter().map(|(name, node)| format!("{} = {}", key(name), self.value(name, node)));
            let fields: Vec<String> = fields.collect();
            return if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) };
        }
        if self.reader.is_array(node) {
            let items = self.reader.array(node).unwrap_or_default();
            return list(items.iter().map(|item| self.value(name, item)));
        }
        if self.origins
            && let Some(text) = self.reader.as_text(node)
            && is_name_of_secret(name)
            && !text.text.is_empty()
            && !template::has_placeholder(text.text)
        {
            return quoted(&format!("[secret {name}]"));
        }
        self.reader.source().get(node.span.clone()).unwrap_or("").to_owned()
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A key as TOML writes it.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
