//! Reading a config for this binary: the text, the typed spec, and what only the binary knows about it.
//!
//! The language itself is `rhizo-config`'s. Here its findings meet the closures that the binary registered.

use crate::admin::ConfigText;
use crate::component::action::write::TEMPLATE_BYTES_MAX;
use crate::component::embedded::Registry;
use rhizo_types::lifecycle::{Action, Content};
use rhizo_types::spec::{Component, Run, Spec};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A config that was read and found good.
pub(crate) struct Config {
    pub(crate) text: ConfigText,
    pub(crate) parsed: rhizo_config::Parsed,
}

/// Why a config cannot be used.
pub(crate) enum ConfigError {
    /// The file could not be read; completes "failed to …".
    Unreadable(String),
    /// These findings, with the text they point into.
    Findings(Vec<rhizo_config::Finding>, String),
}

/// Reads and checks a config file.
pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
    let unreadable =
        |error: std::io::Error| ConfigError::Unreadable(format!("read `{}`: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let absolute: PathBuf = std::path::absolute(path).map_err(unreadable)?;
    let base = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let file = path.display().to_string();
    match rhizo_config::parse(&text, &file, &base) {
        Ok(parsed) => {
            check_templates(&parsed.spec)?;
            Ok(Config { text: ConfigText { text, file, base: base.to_string_lossy().into_owned() }, parsed })
        }
        Err(findings) => Err(ConfigError::Findings(findings, text)),
    }
}

/// The actions of a component's declared life-cycle.
fn actions(component: &Component) -> impl Iterator<Item = &Action> {
    let cycle = component.lifecycle.iter();
    cycle.flat_map(|cycle| {
        let ways = cycle.transitions.values().map(|way| &way.step);
        ways.chain(&cycle.reset).chain(&cycle.notify).map(|step| &step.action)
    })
}

/// Every template file can be read and has no placeholder that stands for nothing.
fn check_templates(spec: &Spec) -> Result<(), ConfigError> {
    for (name, component) in &spec.components {
        for action in actions(component) {
            let Action::Write { content: Content::Template(path), .. } = action else { continue };
            let wrong = |reason: &dyn std::fmt::Display| {
                ConfigError::Unreadable(format!("read the template `{path}` of component `{name}`: {reason}"))
            };
            let length = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
            if length > TEMPLATE_BYTES_MAX {
                return Err(wrong(&format!("it is longer than {TEMPLATE_BYTES_MAX} bytes")));
            }
            let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
            let findings = rhizo_config::check_template(&text, path, component);
            if !findings.is_empty() {
                return Err(ConfigError::Findings(findings, text));
            }
        }
    }
    Ok(())
}

/// Parses a config that came over a link; findings as text.
pub(crate) fn parse(config: &ConfigText) -> Result<Spec, String> {
    rhizo_config::parse(&config.text, &config.file, Path::new(&config.base))
        .map(|parsed| parsed.spec)
        .map_err(|findings| {
            format!("use the config:\n{}", rhizo_config::render(&findings, &config.text, false))
        })
}

/// What the spec asks of the embedding binary and the binary does not have, as sentences.
pub(crate) fn missing_code(spec: &Spec, registry: &Registry) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, component) in &spec.components {
        if matches!(component.run, Run::Embedded) && !registry.has_closure(name) {
            missing.push(format!("component `{name}` has no `exec`, and this binary has no closure for it"));
        }
        let called: BTreeSet<&String> = actions(component)
            .filter_map(|action| match action {
                Action::Function(function) => Some(function),
                _ => None,
            })
            .collect();
        let unknown = called.into_iter().filter(|function| !registry.has_function(name, function));
        missing.extend(unknown.map(|function| {
            format!("component `{name}` calls `{function}`, and this binary has no such function for it")
        }));
    }
    missing
}
