//! The reference of the config language and its schema say the same.
//!
//! `docs/config-keys.md` is made from the schema; `UPDATE_EXPECT=1` writes it anew. Every key in the examples of
//! `docs/config.md` is one of the schema.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const HEAD: &str = "# All keys of `rhizo.toml`

Every table and key of the config language, in the order of the schema. [config.md](config.md) explains them, with
examples. This page is made from the schema by `UPDATE_EXPECT=1 cargo test -p rhizo-config --test reference`.
";

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// A schema with its reference resolved.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    target.map_or(schema, |name| &root["$defs"][name])
}

/// The forms that a value may have: all alternatives but none.
fn forms<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let schema = resolved(root, schema);
    let Some(all) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) else {
        return vec![schema];
    };
    let all = all.iter().filter(|form| form.get("type").is_none_or(|kind| kind != "null"));
    all.flat_map(|form| forms(root, form)).collect()
}

/// The kind of a value in words.
fn kind(root: &Value, schema: &Value) -> String {
    let word = |form: &Value| {
        if let Some(choices) = form.get("enum").and_then(Value::as_array) {
            return choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        }
        if let Some(choice) = form.get("const") {
            return choice.to_string();
        }
        let names: Vec<&str> = match &form["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
            }
            _ => Vec::new(),
        };
        match names.first().copied() {
            Some("string") => "text".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("array") => format!("list of {}", kind(root, &form["items"])),
            Some("object")
                if form.get("properties").is_none() && form.get("additionalProperties").is_some() =>
            {
                format!("by name: {}", kind(root, &form["additionalProperties"]))
            }
            Some("object") => "table".to_owned(),
            Some(other) => other.to_owned(),
            None => "value".to_owned(),
        }
    };
    let mut words: Vec<String> = Vec::new();
    for form in forms(root, schema) {
        let word = word(form);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" or ")
}

/// The tables below a value: those with named fields, each with the path that leads to it.
fn tables<'s>(root: &'s Value, schema: &'s Value, path: &str, found: &mut Vec<(String, &'s Value)>) {
    for form in forms(root, schema) {
        if form.get("properties").is_some() {
            if !found.iter().any(|(_, known)| std::ptr::eq(*known, form)) {
                found.push((path.to_owned(), form));
                for (name, below) in fields(form) {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    tables(root, below, &inner, found);
                }
            }
        } else if let Some(items) = form.get("items") {
            tables(root, items, path, found);
        } else if let Some(named) = form.get("additionalProperties").filter(|named| named.is_object()) {
            tables(root, named, &format!("{path}.NAME"), found);
        }
    }
}

fn fields(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table["properties"].as_object().into_iter().flatten()
}

/// A text in lines of at most 120 characters; all but the first are indented.
fn wrapped(text: &str, out: &mut String) {
    let mut length = 0;
    for word in text.split_whitespace() {
        if length > 0 && length + 1 + word.chars().count() > 120 {
            out.push_str("\n ");
            length = 1;
        }
        if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += word.chars().count();
    }
    out.push('\n');
}

#[test]
fn the_list_of_keys_is_that_of_the_schema() {
    let root = rhizo_config::schema();
    let mut found = Vec::new();
    tables(&root, &root, "", &mut found);
    let mut text = HEAD.to_owned();
    for (path, table) in &found {
        let title = if path.is_empty() { "The top of the file".to_owned() } else { format!("`{path}`") };
        text.push_str(&format!("\n## {title}\n\n"));
        if let Some(description) = table["description"].as_str() {
            wrapped(description, &mut text);
            text.push('\n');
        }
        let required: BTreeSet<&str> =
            table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, field) in fields(table) {
            let needed = if required.contains(name.as_str()) { ", required" } else { "" };
            let described = field["description"].as_str().or(resolved(&root, field)["description"].as_str());
            let described = described.map(|text| format!(": {text}")).unwrap_or_default();
            wrapped(&format!("- `{name}` ({}{needed}){described}", kind(&root, field)), &mut text);
        }
    }
    assert!(found.len() >= 25, "only {} tables", found.len());
    let path = docs("config-keys.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).expect("the page is written");
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == text, "docs/config-keys.md differs: write it with UPDATE_EXPECT=1");
}

/// Adds the keys of a document that the schema does not have, with their paths.
fn unknown(root: &Value, schema: &Value, value: &toml::Value, path: &str, found: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            let forms = forms(root, schema);
            let is_table = |form: &&&Value| form["type"].to_string().contains("object");
            let shapes: Vec<&&Value> = forms.iter().filter(is_table).collect();
            for (name, inner) in table {
                let below = shapes.iter().find_map(|form| {
                    let named = form.get("additionalProperties").filter(|named| named.is_object());
                    form["properties"].get(name).or(named)
                });
                // Settings of a provider are its own.
                let is_open = shapes.iter().any(|form| {
                    form.get("properties").is_some()
                        && form.get("additionalProperties").is_none_or(|open| *open == true)
                });
                match below {
                    Some(below) => unknown(root, below, inner, &format!("{path}.{name}"), found),
                    None if is_open => {}
                    None => found.push(format!("{path}.{name}")),
                }
            }
        }
        toml::Value::Array(items) => {
            let item = forms(root, schema).into_iter().find_map(|form| form.get("items"));
            for value in items {
                if let Some(item) = item {
                    unknown(root, item, value, path, found);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_of_the_documented_examples_is_in_the_schema() {
    let root = rhizo_config::schema();
    let page = std::fs::read_to_string(docs("config.md")).expect("the page");
    let mut blocks = 0;
    for block in page.split("```toml\n").skip(1) {
        let text = block.split("```").next().expect("a block");
        let parsed: toml::Table =
            text.parse().unwrap_or_else(|error| panic!("an example is no TOML: {error}\n{text}"));
        let mut found = Vec::new();
        unknown(&root, &root, &toml::Value::Table(parsed), "", &mut found);
        assert!(found.is_empty(), "documented and not in the schema: {found:?}");
        blocks += 1;
    }
    assert!(blocks >= 5, "only {blocks} examples");
}

#[test]
fn every_key_of_the_schema_is_explained() {
    let root = rhizo_config::schema();
    let page = std::fs::read_to_string(docs("config.md")).expect("the page");
    let mut found = Vec::new();
    tables(&root, &root, "", &mut found);
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let explains = |name: &str| {
        page.match_indices(name)
            .any(|(at, _)| !page[..at].ends_with(is_name) && !page[at + name.len()..].starts_with(is_name))
    };
    let missing: Vec<String> = found
        .iter()
        .flat_map(|(path, table)| fields(table).map(move |(name, _)| (path, name)))
        .filter(|(_, name)| !explains(name))
        .map(|(path, name)| format!("{path}.{name}"))
        .collect();
    assert!(missing.is_empty(), "in the schema and not in docs/config.md: {missing:?}");
}
