//! Reading a config for this binary: the text, the typed spec, and what only the binary knows about it.
//!
//! The language itself is `rhizo-config`'s. Here its findings meet the closures that the binary registered.

use crate::admin::ConfigText;
use crate::component::embedded::Registry;
use rhizo_types::lifecycle::Action;
use rhizo_types::spec::{Run, Spec};
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
            Ok(Config { text: ConfigText { text, file, base: base.to_string_lossy().into_owned() }, parsed })
        }
        Err(findings) => Err(ConfigError::Findings(findings, text)),
    }
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
        let Some(cycle) = &component.lifecycle else { continue };
        let ways = cycle.transitions.values().map(|way| &way.step);
        let called: BTreeSet<&String> = ways
            .chain(&cycle.reset)
            .chain(&cycle.notify)
            .filter_map(|step| match &step.action {
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
