//! The kinds of providers, and the construction of one from its table in the configuration.

use crate::error::ProviderConfigError;
use crate::process::ProcessProvider;
use crate::provider::Provider;
use crate::surroundings::Surroundings;
use rhizo_types::ProviderName;

/// Makes a provider from its table. Nothing is created or started by this; the data files are checked.
///
/// # Errors
/// When the kind is not known, or the table or a file named in it cannot be used.
pub fn provider_from(
    kind: &str,
    name: &ProviderName,
    table: &serde_json::Value,
    surroundings: &Surroundings,
) -> Result<Box<dyn Provider>, ProviderConfigError> {
    match kind {
        "process" => Ok(Box::new(ProcessProvider::new(name.clone(), table, surroundings)?)),
        _ => Err(ProviderConfigError::Kind { provider: name.clone(), kind: kind.to_owned() }),
    }
}
