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

/// Makes a provider that can list and release hosts although its table or its data files cannot be used any more.
///
/// No file is read before a call needs it, and the calls that list, release and purge need none. A provider whose table
/// cannot be used refuses orders and has no offers.
///
/// # Errors
/// When the kind is not known, or no provider can have this name.
pub fn releaser_from(
    kind: &str,
    name: &ProviderName,
    table: &serde_json::Value,
    surroundings: &Surroundings,
) -> Result<Box<dyn Provider>, ProviderConfigError> {
    match kind {
        "process" => Ok(Box::new(ProcessProvider::for_release(name.clone(), table, surroundings)?)),
        _ => Err(ProviderConfigError::Kind { provider: name.clone(), kind: kind.to_owned() }),
    }
}
