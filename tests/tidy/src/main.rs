//! `rhizo-tidy`: the project's own rules that neither rustc nor clippy can check, checked in seconds.
//!
//! It reads the tree and `cargo metadata`, prints one line per finding (`path:line: what, and what to do`) and fails
//! when there is any. `--update` rewrites the reviewed lists (`cycles.txt`, `dependencies.txt`, `ratchet.txt`) from
//! the current tree, so that a reviewer sees the difference. `--affected` reads paths from its input and prints the
//! packages that a change of them touches. It never changes a source file and builds nothing of rhizo. Read next:
//! [`source`] for the scanned form of a file, then one module per kind of rule.

#![forbid(unsafe_code)]

mod affected;
mod cycles;
mod decisions;
mod dependencies;
mod documents;
mod manifest;
mod purity;
mod size;
mod source;
mod tree;
mod wording;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use source::Source;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, relative to the root of the project.
    path: String,
    /// The line, counted from 1; 0 when the whole file is meant.
    line: usize,
    /// The mistake and its remedy.
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

/// The reviewed list of import cycles, relative to the root.
const CYCLES: &str = "tests/tidy/cycles.txt";
/// The reviewed list of dependency edges, relative to the root.
const DEPENDENCIES: &str = "tests/tidy/dependencies.txt";
/// The reviewed list of what is longer than the limits, relative to the root.
const RATCHET: &str = "tests/tidy/ratchet.txt";

/// Runs every rule over the project at `root`.
fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let files = tree::read(root)?;
    let sources: Vec<Source> =
        files.iter().filter(|file| file.path.ends_with(".rs")).map(Source::scan).collect();
    let packages = dependencies::packages(root)?;
    let rules = dependencies::Rules::parse(&text(root, DEPENDENCIES)?)?;
    let ratchet = size::Ratchet::parse(&text(root, RATCHET)?)?;

    let mut findings = Vec::new();
    findings.extend(dependencies::check(&packages, &rules));
    findings.extend(manifest::check(&files));
    findings.extend(words::check(&files, &sources));
    findings.extend(wording::check(&files, &sources, &wording::Words::parse(&text(root, wording::WORDS)?)?));
    findings.extend(purity::check(&sources, &packages, &rules));
    findings.extend(size::check(&sources, &ratchet));
    findings.extend(cycles::check(&sources, &cycles::Known::parse(&text(root, CYCLES)?)?));
    findings.extend(documents::check(&files));
    findings.extend(decisions::check(&files));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Prints the packages that a change of the files named on standard input touches, one a line.
fn affected(root: &Path) -> Result<Vec<Finding>, String> {
    let changed = std::io::read_to_string(std::io::stdin())
        .map_err(|error| format!("failed to read the changed paths: {error}"))?;
    let changed: Vec<&str> = changed.lines().filter(|line| !line.is_empty()).collect();
    for name in affected::packages(&dependencies::packages(root)?, &changed) {
        println!("{name}");
    }
    Ok(Vec::new())
}

/// Rewrites the reviewed lists from the current tree.
fn update(root: &Path) -> Result<(), String> {
    let files = tree::read(root)?;
    let sources: Vec<Source> =
        files.iter().filter(|file| file.path.ends_with(".rs")).map(Source::scan).collect();
    let packages = dependencies::packages(root)?;
    let rules = dependencies::Rules::parse(&text(root, DEPENDENCIES)?)?;
    write(root, CYCLES, &cycles::Known::of(&sources).render())?;
    write(root, DEPENDENCIES, &rules.with_edges_of(&packages).render())?;
    write(root, RATCHET, &size::Ratchet::of(&sources).render())
}

fn text(root: &Path, path: &str) -> Result<String, String> {
    std::fs::read_to_string(root.join(path)).map_err(|error| format!("failed to read {path}: {error}"))
}

fn write(root: &Path, path: &str, content: &str) -> Result<(), String> {
    std::fs::write(root.join(path), content).map_err(|error| format!("failed to write {path}: {error}"))
}

/// The root of the project: two folders above this package.
fn project_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

fn main() -> ExitCode {
    let root = project_root();
    let argument = std::env::args().nth(1);
    let result = match argument.as_deref() {
        None => check(&root),
        Some("--affected") => affected(&root),
        Some("--update") => update(&root).and_then(|()| check(&root)),
        Some(other) => Err(format!("unknown argument {other}; there are --affected and --update")),
    };
    match result {
        Ok(findings) if findings.is_empty() => {
            // The output of `--affected` is read by a script.
            eprintln!("tidy: no finding");
            ExitCode::SUCCESS
        }
        Ok(findings) => {
            for finding in &findings {
                println!("{}:{}: {}", finding.path, finding.line, finding.message);
            }
            println!("tidy: {} findings", findings.len());
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("tidy: {message}");
            ExitCode::FAILURE
        }
    }
}
