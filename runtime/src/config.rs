//! Reading a config for this binary: the text, the typed spec, and what only the binary knows about it.
//!
//! The language itself is `rhizo-config`'s. Here its findings meet the closures that the binary registered.

use crate::admin::ConfigText;
use crate::component::embedded::Registry;
use rhizo_types::spec::{Run, Spec};
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

/// Components of the spec that have neither a program nor a closure of this binary.
pub(crate) fn without_program<'s>(spec: &'s Spec, registry: &Registry) -> Vec<&'s str> {
    let missing = spec
        .components
        .iter()
        .filter(|(name, component)| matches!(component.run, Run::Embedded) && !registry.has_closure(name));
    missing.map(|(name, _)| name.as_str()).collect()
}
