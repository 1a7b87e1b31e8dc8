//! Typed access to a parsed TOML document that never stops at the first mistake.
//!
//! A getter that finds a mistake adds a finding with its place and returns `None`; the caller continues with a
//! default. Callers take fields out of a table; those that are left at `finish` are reported as unknown. The meaning
//! of fields is in `read`. Read next: `read` and `document`.

use crate::finding::{Findings, Span};
use crate::sources::Sources;
use crate::units::{self, NUMBER_MAX, Quantity};
use crate::{document, not_yet, slips, suggest};
use rhizo_types::Number;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// A value of the document with its places.
#[derive(Clone)]
pub(crate) struct Node<'d> {
    /// The place of its key; for an element of an array, of the element.
    pub(crate) key: Span,
    /// The place of the value.
    pub(crate) span: Span,
    value: &'d DeValue<'d>,
    /// The first byte of its file in the joined text.
    offset: usize,
    /// The parts of the same table or list in other files.
    parts: Vec<Node<'d>>,
}

/// A text of the document.
#[derive(Clone)]
pub(crate) struct Text<'d> {
    /// The text, with escapes resolved.
    pub(crate) text: &'d str,
    /// The place of the string, including its quotes.
    pub(crate) span: Span,
}

/// A table of the document, of which every field must be taken.
pub(crate) struct Table<'d> {
    /// The place of the table's name.
    pub(crate) place: Span,
    fields: BTreeMap<&'d str, Node<'d>>,
}

impl<'d> Table<'d> {
    /// Takes a field out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Node<'d>> {
        self.fields.remove(name)
    }

    /// All fields, in the order of their names.
    pub(crate) fn into_fields(self) -> Vec<(&'d str, Node<'d>)> {
        self.fields.into_iter().collect()
    }

    /// Takes all fields that are left, in the order of their names.
    pub(crate) fn take_all(&mut self) -> Vec<(&'d str, Node<'d>)> {
        std::mem::take(&mut self.fields).into_iter().collect()
    }
}

/// The text of the document, and the findings so far.
pub(crate) struct Reader<'s> {
    pub(crate) sources: &'s Sources,
    pub(crate) findings: Findings,
}

impl<'s> Reader<'s> {
    /// The joined text of all files, in which spans are.
    pub(crate) fn source(&self) -> &'s str {
        self.sources.joined()
    }

    /// The top table of all files together, each with its first byte in the joined text.
    ///
    /// Tables by name and lists ([`document::MERGED`]) are the sum of their parts in all files. Every file may say the
    /// version of the language and include others. Any other field is given in one file.
    pub(crate) fn root<'d>(&mut self, files: &'d [(usize, DeTable<'d>)]) -> Table<'d> {
        let mut root: BTreeMap<&'d str, Node<'d>> = BTreeMap::new();
        for (offset, file) in files {
            for (name, node) in fields(file, *offset) {
                match root.entry(name) {
                    Entry::Vacant(free) => {
                        free.insert(node);
                    }
                    Entry::Occupied(mut first) if document::MERGED.contains(&name) => {
                        first.get_mut().parts.push(node);
                    }
                    Entry::Occupied(first) => {
                        self.findings
                            .error(node.key, format!("`{name}` is given in two files"))
                            .label(first.get().key.clone(), "the other one")
                            .hint("remove one of them: a file that is included adds to the others");
                    }
                }
            }
        }
        Table { place: 0..0, fields: root }
    }

    /// A table, inline or with a header; of all files, if several have parts of it.
    pub(crate) fn table<'d>(&mut self, node: &Node<'d>) -> Option<Table<'d>> {
        let DeValue::Table(table) = node.value else {
            self.mismatch(node, "a table");
            return None;
        };
        let mut all = fields(table, node.offset);
        for part in &node.parts {
            let DeValue::Table(table) = part.value else {
                self.mismatch(part, "a table");
                continue;
            };
            for (name, node) in fields(table, part.offset) {
                match all.entry(name) {
                    Entry::Vacant(free) => {
                        free.insert(node);
                    }
                    Entry::Occupied(first) => {
                        self.findings
                            .error(node.key, format!("`{name}` is declared in two files"))
                            .label(first.get().key.clone(), "the other one")
                            .hint("rename one of them, or remove it");
                    }
                }
            }
        }
        Some(Table { place: node.key.clone(), fields: all })
    }

    /// The node in this file and in all others that have parts of it.
    pub(crate) fn in_every_file<'d>(&self, node: &Node<'d>) -> Vec<Node<'d>> {
        let own = Node { parts: Vec::new(), ..node.clone() };
        std::iter::once(own).chain(node.parts.iter().cloned()).collect()
    }

    /// A table; `form` is the hint for any other value, as a form to write.
    pub(crate) fn table_like<'d>(&mut self, node: &Node<'d>, form: &str) -> Option<Table<'d>> {
        if self.is_table(node) {
            return self.table(node);
        }
        self.mismatch_with(node, "a table", Some(format!("write `{form}`")));
        None
    }

    /// A number as it is written, if the value is one.
    pub(crate) fn literal<'d>(&self, node: &Node<'d>) -> Option<&'d str> {
        match node.value {
            DeValue::Integer(integer) => Some(integer.as_str()),
            DeValue::Float(float) => Some(float.as_str()),
            _ => None,
        }
    }

    /// A table whose keys the user chose, in the order of the names.
    pub(crate) fn named<'d>(&mut self, node: &Node<'d>) -> Option<Vec<(&'d str, Node<'d>)>> {
        self.table(node).map(|mut table| table.take_all())
    }

    /// A table whose keys the user chose; `form` is the hint for any other value, as a form to write.
    pub(crate) fn named_like<'d>(&mut self, node: &Node<'d>, form: &str) -> Option<Vec<(&'d str, Node<'d>)>> {
        self.table_like(node, form).map(|mut table| table.take_all())
    }

    /// The elements of an array.
    pub(crate) fn array<'d>(&mut self, node: &Node<'d>) -> Option<Vec<Node<'d>>> {
        let DeValue::Array(array) = node.value else {
            self.mismatch(node, "an array");
            return None;
        };
        Some(array.iter().map(|item| element(self.source(), item, node.offset)).collect())
    }

    /// A text.
    pub(crate) fn text<'d>(&mut self, node: &Node<'d>) -> Option<Text<'d>> {
        let DeValue::String(text) = node.value else {
            self.mismatch(node, "a text");
            return None;
        };
        Some(Text { text, span: node.span.clone() })
    }

    /// The text if the value is one. Adds no finding otherwise.
    pub(crate) fn as_text<'d>(&self, node: &Node<'d>) -> Option<Text<'d>> {
        let DeValue::String(text) = node.value else { return None };
        Some(Text { text, span: node.span.clone() })
    }

    /// Whether the value is a table.
    pub(crate) fn is_table(&self, node: &Node<'_>) -> bool {
        node.value.is_table()
    }

    /// Whether the value is an array.
    pub(crate) fn is_array(&self, node: &Node<'_>) -> bool {
        node.value.is_array()
    }

    /// An array of texts.
    pub(crate) fn texts<'d>(&mut self, node: &Node<'d>) -> Option<Vec<Text<'d>>> {
        let items = self.array(node)?;
        Some(items.iter().filter_map(|item| self.text(item)).collect())
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        let found = node.value.as_bool();
        if found.is_none() {
            self.mismatch(node, "`true` or `false`");
        }
        found
    }

    /// A whole number within a range, both ends included.
    pub(crate) fn whole(&mut self, node: &Node<'_>, min: u32, max: u32) -> Option<u32> {
        let DeValue::Integer(integer) = node.value else {
            self.mismatch(node, "a whole number");
            return None;
        };
        let found = whole(integer).and_then(|value| u32::try_from(value).ok());
        match found {
            Some(value) if (min..=max).contains(&value) => Some(value),
            _ => {
                self.findings
                    .error(node.span.clone(), format!("`{integer}` is out of range"))
                    .hint(format!("write a whole number from {min} to {max}"));
                None
            }
        }
    }

    /// A number of a given quantity: plain, or a text with a unit such as `"256MiB"`.
    ///
    /// A plain number is in the base unit, except for a time, which needs its unit (0 excepted).
    pub(crate) fn quantity(&mut self, node: &Node<'_>, quantity: Quantity) -> Option<f64> {
        let (value, found) = self.any_quantity(node)?;
        if found == quantity {
            return Some(value);
        }
        if found == Quantity::PLAIN && (quantity != Quantity::TIME || value == 0.0) {
            return Some(value);
        }
        let slip = self.as_text(node).and_then(|text| units::minutes_meant_otherwise(quantity, text.text));
        let form = match quantity {
            Quantity::TIME => "write a time with its unit, such as \"5s\" or \"250ms\"",
            Quantity::BYTES => "write an amount with its unit, such as \"256MiB\"",
            Quantity::MONEY => "write a number, or a price per hour such as \"$0.12/h\"",
            _ => "write a number without a unit",
        };
        self.findings
            .error(node.span.clone(), format!("expected {quantity}, found {found}"))
            .hint(slip.unwrap_or_else(|| form.to_owned()));
        None
    }

    /// A number with its quantity.
    pub(crate) fn any_quantity(&mut self, node: &Node<'_>) -> Option<(f64, Quantity)> {
        let value = match node.value {
            DeValue::Integer(integer) => {
                let value = whole(integer).filter(|value| value.unsigned_abs() <= WHOLE_MAX);
                if value.is_none() {
                    self.findings
                        .error(node.span.clone(), format!("`{integer}` cannot be kept exactly"))
                        .hint(format!("write a number up to {WHOLE_MAX}, or a larger unit"));
                    return None;
                }
                value.map(|value| value as f64)
            }
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::String(text) => return self.written_quantity(node, text),
            _ => {
                self.mismatch(node, "a number");
                return None;
            }
        };
        let Some(value) = value.filter(|value| value.is_finite()) else {
            self.findings
                .error(node.span.clone(), "expected a finite number")
                .hint("write a number in decimal digits, such as `0.5`");
            return None;
        };
        if value.abs() > NUMBER_MAX {
            self.findings
                .error(node.span.clone(), format!("`{value:e}` is out of range"))
                .hint(format!("write a number up to {NUMBER_MAX:e}"));
            return None;
        }
        Some((value, Quantity::PLAIN))
    }

    fn written_quantity(&mut self, node: &Node<'_>, text: &str) -> Option<(f64, Quantity)> {
        match units::whole_text(text) {
            Some(Ok(found)) => Some((found.value, found.quantity)),
            Some(Err(wrong)) => {
                self.findings.error(node.span.clone(), wrong.message).maybe_hint(wrong.hint);
                None
            }
            None => {
                self.findings
                    .error(node.span.clone(), "expected a number, found a text")
                    .hint("write a number, or a number with a unit such as \"256MiB\" or \"5s\"");
                None
            }
        }
    }

    /// A plain number, as stored in a spec.
    pub(crate) fn number(&mut self, node: &Node<'_>) -> Option<Number> {
        let value = self.quantity(node, Quantity::PLAIN)?;
        Number::try_from(value).ok()
    }

    /// A duration in whole milliseconds within a range, both ends included.
    pub(crate) fn duration_ms(&mut self, node: &Node<'_>, min_ms: u64, max_ms: u64) -> Option<u64> {
        let value = self.quantity(node, Quantity::TIME)?;
        // Times are far below 2^53 ms, where every whole f64 is exact; a product such as 0.57 * 1000 is nearly whole.
        if (value - value.round()).abs() > 1e-6 {
            self.findings
                .error(node.span.clone(), "a time is a whole number of milliseconds")
                .hint(format!("write \"{}ms\"", value.ceil()));
            return None;
        }
        if value >= min_ms as f64 && value <= max_ms as f64 {
            return Some(value.round() as u64);
        }
        let hint = format!("write a time from {} to {}", spoken_ms(min_ms), spoken_ms(max_ms));
        self.findings.error(node.span.clone(), "the time is out of range").hint(hint);
        None
    }

    /// Adds an error for a value of the wrong type.
    pub(crate) fn mismatch(&mut self, node: &Node<'_>, expected: &str) {
        self.mismatch_with(node, expected, slips::other_type(expected, node.value));
    }

    /// Adds an error for a value of the wrong type, with this hint.
    pub(crate) fn mismatch_with(&mut self, node: &Node<'_>, expected: &str, hint: Option<String>) {
        let found = match node.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        // A table may have been opened by a dotted header, whose value has no place of its own.
        let span = if node.span.is_empty() { node.key.clone() } else { node.span.clone() };
        let hint = hint.unwrap_or_else(|| format!("write {expected}"));
        self.findings.error(span, format!("expected {expected}, found {found}")).hint(hint);
    }

    /// Takes a field out, and adds an error if it is missing.
    pub(crate) fn required<'d>(&mut self, table: &mut Table<'d>, name: &str, what: &str) -> Option<Node<'d>> {
        let node = table.take(name);
        // A misspelled or foreign field that stands for it is reported by `finish`: one cause, one finding.
        let stands_in = |key: &&&str| {
            slips::stands_for(key, name) || suggest::nearest(key, [name]).is_some_and(|near| near == name)
        };
        if node.is_none() && table.fields.keys().find(stands_in).is_none() {
            self.findings
                .error(table.place.clone(), format!("missing field `{name}`"))
                .hint(format!("add `{name} = …`: {what}"));
        }
        node
    }

    /// Adds an error for every field that was not taken: it is unknown, or not supported yet.
    pub(crate) fn finish<T: document::Table>(&mut self, table: Table<'_>) {
        if table.fields.is_empty() {
            return;
        }
        let known = document::fields::<T>();
        // Two fields of another tool that are to be written as one here are one finding.
        let mut remedies = BTreeSet::new();
        for (name, node) in table.fields {
            if T::NOT_YET.contains(&name) {
                self.findings
                    .error(node.key, format!("`{name}` is not supported yet"))
                    .hint(not_yet::reason(name));
                continue;
            }
            let known = known.iter().map(String::as_str);
            let hint = match slips::remedy(T::FOREIGN, name) {
                Some(remedy) if !remedies.insert(remedy) => continue,
                Some(remedy) => Some(remedy.to_owned()),
                None => suggest::hint(name, known, "fields"),
            };
            let hint =
                hint.unwrap_or_else(|| "remove it; the fields are listed in rhizo.schema.json".to_owned());
            self.findings.error(node.key, format!("unknown field `{name}`")).hint(hint);
        }
    }

    /// The value as JSON, with the keys of objects sorted: for settings that a provider interprets.
    ///
    /// `text` may change each text; it gets the names of the fields that lead to it.
    pub(crate) fn json(
        &mut self,
        node: &Node<'_>,
        path: &mut Vec<String>,
        text: &mut dyn FnMut(&[String], &Text<'_>) -> String,
    ) -> serde_json::Value {
        match node.value {
            DeValue::String(found) => {
                let found = Text { text: found, span: node.span.clone() };
                serde_json::Value::String(text(path, &found))
            }
            DeValue::Integer(integer) => match whole(integer).and_then(|value| i64::try_from(value).ok()) {
                Some(value) => value.into(),
                None => {
                    self.findings
                        .error(node.span.clone(), format!("`{integer}` is out of range"))
                        .hint("write a whole number of at most 64 bits");
                    serde_json::Value::Null
                }
            },
            DeValue::Float(_) => {
                self.any_quantity(node).map_or(serde_json::Value::Null, |(value, _)| value.into())
            }
            DeValue::Boolean(value) => (*value).into(),
            DeValue::Datetime(value) => value.to_string().into(),
            DeValue::Array(_) => {
                let items = self.array(node).unwrap_or_default();
                items.iter().map(|item| self.json(item, path, text)).collect()
            }
            DeValue::Table(_) => {
                // Sorted by `fields`, so that equal settings have equal text in any version of serde_json.
                let mut object = serde_json::Map::new();
                for (name, value) in self.table(node).map(|mut table| table.take_all()).unwrap_or_default() {
                    path.push(name.to_owned());
                    object.insert(name.to_owned(), self.json(&value, path, text));
                    path.pop();
                }
                object.into()
            }
        }
    }
}

fn fields<'d>(table: &'d DeTable<'d>, offset: usize) -> BTreeMap<&'d str, Node<'d>> {
    let node = |key: Span, value: &'d Spanned<DeValue<'d>>| Node {
        key: shifted(&key, offset),
        span: shifted(&value.span(), offset),
        value: value.get_ref(),
        offset,
        parts: Vec::new(),
    };
    table.iter().map(|(key, value)| (key.get_ref().as_ref(), node(key.span(), value))).collect()
}

/// An element of an array; a table of an array of tables is placed by its header.
fn element<'d>(source: &str, item: &'d Spanned<DeValue<'d>>, offset: usize) -> Node<'d> {
    let span = shifted(&item.span(), offset);
    let first_line = source.get(span.clone()).and_then(|text| text.find('\n')).unwrap_or(span.len());
    let key = span.start..span.start + first_line;
    Node { key, span, value: item.get_ref(), offset, parts: Vec::new() }
}

/// A range of bytes of a file, in the joined text.
fn shifted(span: &Span, offset: usize) -> Span {
    span.start + offset..span.end + offset
}

/// Largest whole number up to which an f64 represents every whole number: 2^53.
const WHOLE_MAX: u128 = 1 << 53;

fn whole(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A time as a person would write it.
pub(crate) fn spoken_ms(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}
