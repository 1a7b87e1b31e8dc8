//! The table `[providers.<name>]` of a process provider: its keys, their defaults, and their checks.

use super::records::{Confinement, DataPaths};
use crate::error::ProviderConfigError;
use crate::surroundings::Surroundings;
use rhizo_types::ProviderName;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The keys of the table. Every key is optional. Relative paths start at the configuration file's directory.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// CSV file of the offers; built-in offers without it.
    offers: Option<PathBuf>,
    /// CSV of attributes, prices and numbers that change with time.
    attributes: Option<PathBuf>,
    /// CSV matrix of round trips between regions; no delay is emulated without it.
    rtt: Option<PathBuf>,
    /// The matrix that the provider claims, where it differs from the one by which links are delayed.
    catalogue_rtt: Option<PathBuf>,
    /// JSON of misbehaviour, for tests; `<state>/faults.json` without it.
    faults: Option<PathBuf>,
    /// ISO 4217 code of the prices.
    pub(crate) currency: String,
    /// Milliseconds between SIGTERM and SIGKILL for the node of a released host.
    pub(crate) grace_ms: u64,
    /// Milliseconds for which a host that has not joined continues to run after its ticket has expired.
    pub(crate) join_margin_ms: u64,
    /// Seconds for which a terminated host is still listed, unless it is purged before.
    pub(crate) terminated_keep_s: u64,
    /// The way in which the processes that a host started are found when it ends.
    pub(crate) confinement: Confinement,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            offers: None,
            attributes: None,
            rtt: None,
            catalogue_rtt: None,
            faults: None,
            currency: "USD".to_owned(),
            // Longer than the usual grace of one component (20 s), which the node waits for.
            grace_ms: 30_000,
            // Margin for a join that is in transit when the ticket expires.
            join_margin_ms: 60_000,
            // A coordinator lists every 30 s; ten minutes survive a change of coordinators many times over.
            terminated_keep_s: 600,
            confinement: Confinement::Auto,
        }
    }
}

impl Settings {
    /// Reads the table; `kind` is the registry's key and ignored here.
    pub(crate) fn parse(
        provider: &ProviderName,
        table: &serde_json::Value,
    ) -> Result<Self, ProviderConfigError> {
        let mut table = table.clone();
        if let Some(table) = table.as_object_mut() {
            table.remove("kind");
        }
        let settings: Self = serde_json::from_value(table)
            .map_err(|source| ProviderConfigError::Table { provider: provider.clone(), source })?;
        check_name(provider)?;
        Ok(settings)
    }

    /// The data files, absolute.
    pub(crate) fn data(&self, base: &Path) -> DataPaths {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(|path| base.join(path));
        DataPaths {
            offers: absolute(&self.offers),
            attributes: absolute(&self.attributes),
            rtt: absolute(&self.rtt),
            catalogue_rtt: absolute(&self.catalogue_rtt),
        }
    }

    /// Returns the path of the faults file, absolute.
    pub(crate) fn faults(&self, surroundings: &Surroundings) -> PathBuf {
        match &self.faults {
            Some(path) => surroundings.base_dir.join(path),
            None => surroundings.state_dir.join("faults.json"),
        }
    }
}

/// Refuses a name that cannot be the name of a directory below the state directory.
pub(crate) fn check_name(provider: &ProviderName) -> Result<(), ProviderConfigError> {
    let name = provider.as_str();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        return Err(ProviderConfigError::Name { provider: provider.clone() });
    }
    Ok(())
}
