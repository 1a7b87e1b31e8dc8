//! No import cycle between the modules of a crate.
//!
//! At each level of a crate, a module together with everything below it is one unit. An import of `a::x` by `b::y`
//! is an edge from `b` to `a`, where `a` and `b` have the same parent; an import between a module and its own
//! ancestor is no edge, since the two are read together. The units of one parent must form no cycle. The cycles
//! that exist are listed in `cycles.txt`; a listed one may shrink, and none may be added.
//!
//! The scan sees paths that begin with `crate::` or `super::`, outside tests. It does not see an item that the root
//! of the crate re-exports, nor what a macro builds.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;
use crate::{CYCLES, Finding};

/// A module: the segments of its path from the root of its crate.
type Module = Vec<String>;

/// Units of one parent that import each other: the parent as a path of files, and their names.
type Cycle = (String, BTreeSet<String>);

/// One import: the file and line of an edge between two units.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: String,
    line: usize,
}

/// The edges between the units of each parent, each with its first place.
type Edges = BTreeMap<String, BTreeMap<(String, String), Place>>;

/// The reviewed cycles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    cycles: BTreeSet<Cycle>,
}

impl Known {
    /// Reads lines of `<parent>: <module> <module> …`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let cycles = lines.map(|(number, line)| {
            let (parent, units) = line
                .split_once(": ")
                .ok_or_else(|| format!("{CYCLES}:{}: not a parent and its modules", number + 1))?;
            Ok((parent.to_owned(), units.split_whitespace().map(str::to_owned).collect()))
        });
        Ok(Self { cycles: cycles.collect::<Result<_, String>>()? })
    }

    /// The cycles of the current tree.
    pub(crate) fn of(sources: &[Source]) -> Self {
        let edges = edges(sources);
        Self { cycles: edges.iter().flat_map(|(parent, edges)| cycles(parent, edges)).collect() }
    }

    /// The list as text, which [`Known::parse`] reads back.
    pub(crate) fn render(&self) -> String {
        let mut out = String::from(
            "# Modules of one parent that import each other: a cycle may shrink, and none may be added.\n\
             # `cargo run -p rhizo-tidy -- --update` rewrites the list; a reviewer reads the difference.\n",
        );
        for (parent, units) in &self.cycles {
            let units: Vec<&str> = units.iter().map(String::as_str).collect();
            out.push_str(&format!("{parent}: {}\n", units.join(" ")));
        }
        out
    }
}

/// Compares the cycles of the tree with the reviewed ones.
pub(crate) fn check(sources: &[Source], known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (parent, edges) in edges(sources) {
        for (_, units) in cycles(&parent, &edges) {
            let listed = known.cycles.iter().find(|(listed, all)| *listed == parent && units.is_subset(all));
            seen.extend(listed.cloned());
            if listed.is_none() {
                findings.extend(explain(&units, &edges));
            }
        }
    }
    for (parent, units) in known.cycles.difference(&seen) {
        let names: Vec<&str> = units.iter().map(String::as_str).collect();
        let message = format!("{parent}: {} form no cycle any more: remove the line", names.join(" "));
        findings.push(Finding::new(CYCLES, 0, message));
    }
    findings
}

/// One finding per edge inside the cycle.
fn explain(units: &BTreeSet<String>, edges: &BTreeMap<(String, String), Place>) -> Vec<Finding> {
    let inside = edges.iter().filter(|((from, to), _)| units.contains(from) && units.contains(to));
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    let cycle = names.join(", ");
    let finding = |((from, to), place): (&(String, String), &Place)| {
        let message =
            format!("`{from}` imports `{to}` in the cycle of {cycle}: move what both need below both");
        Finding::new(&place.path, place.line, message)
    };
    inside.map(finding).collect()
}

/// The strongly connected sets of two or more units.
fn cycles(parent: &str, edges: &BTreeMap<(String, String), Place>) -> BTreeSet<Cycle> {
    let reach = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(unit) = open.pop() {
            for (_, to) in edges.keys().filter(|(from, _)| *from == unit) {
                if reached.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        reached
    };
    let units: BTreeSet<&str> = edges.keys().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    let reached: BTreeMap<&str, BTreeSet<String>> = units.iter().map(|unit| (*unit, reach(unit))).collect();
    let cyclic = units.iter().filter(|unit| reached[*unit].contains(**unit));
    let with = |unit: &str| {
        let both =
            units.iter().filter(|other| reached[unit].contains(**other) && reached[**other].contains(unit));
        both.map(|other| (*other).to_owned()).collect::<BTreeSet<_>>()
    };
    cyclic.map(|unit| (parent.to_owned(), with(unit))).collect()
}

/// The edges of every parent in every crate. A crate is a folder with a `lib.rs`.
fn edges(sources: &[Source]) -> Edges {
    let roots: Vec<&str> = sources.iter().filter_map(|source| source.path.strip_suffix("/lib.rs")).collect();
    let mut edges = Edges::new();
    for root in roots {
        let files: Vec<(&Source, Module)> = sources
            .iter()
            .filter_map(|source| {
                let inside = source.path.strip_prefix(root)?.strip_prefix('/')?;
                let outside = inside == "main.rs" || inside.starts_with("bin/");
                (!outside).then(|| (source, module(inside)))
            })
            .collect();
        let modules: BTreeSet<&Module> = files.iter().map(|(_, module)| module).collect();
        for (source, from) in &files {
            for (line, path) in paths(source, from) {
                let to = longest(&modules, &path);
                let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                let (Some(a), Some(b)) = (from.get(same), to.get(same)) else { continue };
                let parent = [&[root.to_owned()], &from[..same]].concat().join("/");
                let place = Place { path: source.path.clone(), line };
                edges.entry(parent).or_default().entry((a.clone(), b.clone())).or_insert(place);
            }
        }
    }
    edges
}

/// The module of a file, by its path from the folder of `lib.rs`.
fn module(inside: &str) -> Module {
    let mut segments: Module = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if segments.last().is_some_and(|last| last == "mod" || last == "lib") {
        segments.pop();
    }
    segments
}

/// The longest beginning of `path` that is a module.
fn longest(modules: &BTreeSet<&Module>, path: &[String]) -> Module {
    let beginnings = (0..=path.len()).rev().map(|length| path[..length].to_vec());
    beginnings.into_iter().find(|beginning| modules.contains(beginning)).unwrap_or_default()
}

/// Every path into the crate outside tests, absolute, with its line; a group gives one path per member.
fn paths(source: &Source, from: &Module) -> Vec<(usize, Module)> {
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        for (at, _) in source.code.match_indices(word) {
            let before = source.code[..at].chars().next_back();
            let line = 1 + source.code[..at].matches('\n').count();
            // `a_crate::`, the second of `super::super::`, and `$crate::` are no beginnings.
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'))
                || source.is_test(line)
            {
                continue;
            }
            let mut base: Module = if word == "crate::" { Vec::new() } else { from.clone() };
            let mut rest = &source.code[at..];
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            let rest = rest.strip_prefix("crate::").unwrap_or(rest);
            found.extend(members(rest).into_iter().map(|path| (line, [base.clone(), path].concat())));
        }
    }
    found
}

/// The paths that a use tree names: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn members(tree: &str) -> Vec<Module> {
    let name: String = tree.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let rest = &tree[name.len()..];
    if name.is_empty() && rest.starts_with('{') {
        return group(rest).into_iter().flat_map(members).collect();
    }
    let below = rest.strip_prefix("::").map(members).unwrap_or_default();
    if below.is_empty() {
        return vec![vec![name]];
    }
    below.into_iter().map(|path| [vec![name.clone()], path].concat()).collect()
}

/// The members of the group that opens `text`, trimmed.
fn group(text: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut begin) = (0usize, 1);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                members.push(text[begin..at].trim());
                begin = at + 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    members.push(text[begin..at].trim());
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        let scan = |(path, text): &(&str, &str)| {
            Source::scan(&File { path: format!("p/src/{path}"), text: (*text).to_owned() })
        };
        [("lib.rs", "")].iter().chain(files).map(scan).collect()
    }

    fn found(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let findings = check(&sources(files), &Known::default());
        findings.into_iter().map(|finding| (finding.path, finding.line)).collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_findings_at_both_imports() {
        let files = [("a.rs", "use crate::b::B;\n"), ("b.rs", "\nfn f() { crate::a::g() }\n")];
        assert_eq!(found(&files), [("p/src/a.rs".to_owned(), 1), ("p/src/b.rs".to_owned(), 2)]);
        assert_eq!(found(&files[..1]), []);
    }

    #[test]
    fn a_longer_cycle_through_folders_groups_and_super_is_found() {
        let files = [
            ("a/mod.rs", ""),
            ("a/x.rs", "use crate::{Z, b::{self, B}};\n"),
            ("b.rs", "use super::c;\n"),
            ("c/mod.rs", "use crate::a::x::X;\n"),
        ];
        assert_eq!(found(&files).len(), 3);
        let inner = [("a/mod.rs", ""), ("a/x.rs", "use super::y::Y;"), ("a/y.rs", "use crate::a::x::X;")];
        assert_eq!(found(&inner).len(), 2);
    }

    #[test]
    fn parents_tests_and_programs_make_no_cycle() {
        let files = [
            ("a/mod.rs", "use crate::a::x::X;\n"),
            ("a/x.rs", "use crate::a::A; use super::A;\n"),
            ("b.rs", "use crate::c::C;\n"),
            ("c.rs", "#[cfg(test)]\nmod tests {\n use crate::b::B;\n}\n"),
            ("main.rs", "use crate::b::B;\n"),
        ];
        assert_eq!(found(&files), []);
    }

    #[test]
    fn a_listed_cycle_may_shrink_and_not_grow() {
        let pair = [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")];
        let three =
            [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")];
        let known = Known::of(&sources(&three));
        assert_eq!(Known::parse(&known.render()).unwrap(), known);
        assert_eq!(check(&sources(&three), &known), []);
        assert_eq!(check(&sources(&pair), &known), []);
        assert_eq!(check(&sources(&three), &Known::of(&sources(&pair))).len(), 4);
        assert_eq!(check(&sources(&[]), &known).len(), 1);
    }
}
