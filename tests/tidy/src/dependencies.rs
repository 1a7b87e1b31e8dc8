//! The dependencies between packages: `cargo metadata` against the reviewed list in `dependencies.txt`.
//!
//! The list is exact in both directions, so every new edge and every removed edge is a line in a reviewed diff.
//! Transitive dependencies are not examined here: cargo-deny does that (`deny.toml`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::{DEPENDENCIES, Finding};

/// A package of the workspace as cargo describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder from the root of the project; empty for the root package.
    pub(crate) folder: String,
    /// The dependencies of its manifest.
    pub(crate) dependencies: BTreeSet<Dependency>,
}

/// One line of a manifest's dependency table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dependency {
    /// The package it names.
    pub(crate) name: String,
    /// Only for tests, examples and benches.
    pub(crate) dev: bool,
    /// Whether it lies in this workspace.
    pub(crate) ours: bool,
}

/// The reviewed rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// (from, to, only for tests).
    edges: BTreeSet<(String, String, bool)>,
    /// Third-party crate → the packages that may name it outside tests.
    owners: BTreeMap<String, BTreeSet<String>>,
    /// Pure package → the third-party crates it may name outside tests.
    pub(crate) pure: BTreeMap<String, BTreeSet<String>>,
}

/// Returns cargo's description of the packages of the workspace.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("failed to run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("failed to read cargo metadata: {error}"))?;
    Ok(from_metadata(&metadata))
}

fn from_metadata(metadata: &serde_json::Value) -> Vec<Package> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let root = text(&metadata["workspace_root"]);
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let manifest = text(&package["manifest_path"]);
            let folder = manifest.trim_start_matches(&root).trim_end_matches("Cargo.toml").trim_matches('/');
            let dependencies = list(&package["dependencies"])
                .iter()
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    dev: dependency["kind"] == "dev",
                    ours: dependency["path"].is_string(),
                })
                .collect();
            Package { name: text(&package["name"]), folder: folder.to_owned(), dependencies }
        })
        .collect()
}

impl Rules {
    /// Reads the list; see its own head for the notation.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["edge", from, "->", to] => drop(rules.edges.insert(edge(from, to, false))),
                ["edge", from, "->", to, "(tests)"] => drop(rules.edges.insert(edge(from, to, true))),
                ["owner", name, owners @ ..] => drop(rules.owners.insert((*name).to_owned(), set(owners))),
                ["pure", name, third @ ..] => drop(rules.pure.insert((*name).to_owned(), set(third))),
                _ => return Err(format!("{DEPENDENCIES}:{}: not a rule: {line}", number + 1)),
            }
        }
        Ok(rules)
    }

    /// These owners and pure crates, with the edges that exist now.
    pub(crate) fn with_edges_of(&self, packages: &[Package]) -> Self {
        Self { edges: edges_of(packages), ..self.clone() }
    }

    /// The list as text, which [`Rules::parse`] reads back.
    pub(crate) fn render(&self) -> String {
        let join = |set: &BTreeSet<String>| set.iter().map(|name| format!(" {name}")).collect::<String>();
        let mut out = String::from(HEAD);
        out.push_str("\n# Pure crates, and the only third-party crates each may name outside its tests.\n");
        for (name, third) in &self.pure {
            out.push_str(&format!("pure {name}{}\n", join(third)));
        }
        out.push_str("\n# Heavy or risky third-party crates, and the only packages that may name them outside tests.\n");
        for (name, owners) in &self.owners {
            out.push_str(&format!("owner {name}{}\n", join(owners)));
        }
        out.push_str("\n# Every edge between our own packages.\n");
        for (from, to, dev) in &self.edges {
            out.push_str(&format!("edge {from} -> {to}{}\n", if *dev { " (tests)" } else { "" }));
        }
        out
    }
}

const HEAD: &str = "\
# Reviewed dependency edges; rhizo-tidy compares them with cargo metadata in both directions.
# `cargo run -p rhizo-tidy -- --update` rewrites the edges; pure and owner lines are edited by hand.
# Dependencies point inwards: types <- config, protocol, solver <- overlay, log, sensors, actuators <- rhizo.
";

fn edge(from: &str, to: &str, dev: bool) -> (String, String, bool) {
    (from.to_owned(), to.to_owned(), dev)
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn edges_of(packages: &[Package]) -> BTreeSet<(String, String, bool)> {
    packages
        .iter()
        .flat_map(|package| {
            let ours = package.dependencies.iter().filter(|dependency| dependency.ours);
            ours.map(|dependency| edge(&package.name, &dependency.name, dependency.dev))
        })
        .collect()
}

/// Compares the manifests with the reviewed list.
pub(crate) fn check(packages: &[Package], rules: &Rules) -> Vec<Finding> {
    let actual = edges_of(packages);
    let mut findings = Vec::new();
    let manifest = |name: &str| {
        let folder =
            packages.iter().find(|package| package.name == name).map_or("", |package| &package.folder);
        format!("{folder}/Cargo.toml").trim_start_matches('/').to_owned()
    };
    for (from, to, dev) in actual.difference(&rules.edges) {
        let kind = if *dev { " (tests)" } else { "" };
        let message =
            format!("new edge {from} -> {to}{kind}: dependencies point inwards; review {DEPENDENCIES}");
        findings.push(Finding::new(&manifest(from), 0, message));
    }
    for (from, to, _) in rules.edges.difference(&actual) {
        let message = format!("{from} -> {to} is listed and does not exist: remove the line");
        findings.push(Finding::new(DEPENDENCIES, 0, message));
    }
    for package in packages {
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.ours && !dependency.dev)
        {
            let owners = rules.owners.get(&dependency.name);
            if owners.is_some_and(|owners| !owners.contains(&package.name)) {
                let message = format!("{} may not depend on {}", package.name, dependency.name);
                findings.push(Finding::new(&manifest(&package.name), 0, message));
            }
            let allowed = rules.pure.get(&package.name);
            if allowed.is_some_and(|allowed| !allowed.contains(&dependency.name)) {
                let message = format!("{} is pure and may not depend on {}", package.name, dependency.name);
                findings.push(Finding::new(&manifest(&package.name), 0, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, bool, bool)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, dev, ours)| Dependency { name: (*name).to_owned(), dev: *dev, ours: *ours })
            .collect();
        Package { name: name.to_owned(), folder: format!("x/{name}"), dependencies }
    }

    const RULES: &str = "edge a -> b\nedge a -> c (tests)\nowner libp2p b\npure b serde libp2p # why\n";

    #[test]
    fn the_listed_edges_are_accepted() {
        let packages = [
            package("a", &[("b", false, true), ("c", true, true)]),
            package("b", &[("libp2p", false, false)]),
        ];
        assert_eq!(check(&packages, &Rules::parse(RULES).unwrap()), []);
    }

    #[test]
    fn a_new_edge_and_a_vanished_edge_are_findings() {
        let packages = [package("a", &[("b", false, true)]), package("b", &[("a", false, true)])];
        let findings = check(&packages, &Rules::parse(RULES).unwrap());
        assert_eq!(findings.len(), 2);
        assert!(findings[0].message.starts_with("new edge b -> a"));
        assert!(findings[1].message.starts_with("a -> c is listed"));
    }

    #[test]
    fn an_edge_only_for_tests_is_not_an_edge_for_all() {
        let packages = [package("a", &[("b", false, true), ("c", false, true)])];
        let findings = check(&packages, &Rules::parse(RULES).unwrap());
        assert!(findings.iter().any(|finding| finding.message.starts_with("new edge a -> c:")));
    }

    #[test]
    fn a_third_party_crate_outside_its_owner_is_a_finding() {
        let rules = Rules::parse("owner libp2p b\npure p serde\n").unwrap();
        let packages = [package("a", &[("libp2p", false, false)]), package("p", &[("tokio", false, false)])];
        let messages: Vec<String> =
            check(&packages, &rules).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages, ["a may not depend on libp2p", "p is pure and may not depend on tokio"]);
        let in_tests = [package("p", &[("tokio", true, false)])];
        assert_eq!(check(&in_tests, &rules), []);
    }

    #[test]
    fn the_list_survives_a_rewrite() {
        let rules = Rules::parse(RULES).unwrap();
        assert_eq!(Rules::parse(&rules.render()).unwrap(), rules);
        assert!(Rules::parse("edge a b").is_err());
    }

    #[test]
    fn metadata_is_read_into_packages() {
        let metadata = serde_json::json!({"workspace_root": "/r", "packages": [{"name": "a", "manifest_path": "/r/x/a/Cargo.toml",
            "dependencies": [{"name": "b", "kind": "dev", "path": "/r/x/b"}, {"name": "serde", "kind": null}]}]});
        let found = from_metadata(&metadata);
        assert_eq!(found, [package("a", &[("b", true, true), ("serde", false, false)])]);
    }
}
