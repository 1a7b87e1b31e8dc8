//! Which kinds of providers exist, and how one is made from its table in the configuration.

use crate::data_file::DataFileError;
use crate::process::{ProcessProvider, Program};
use crate::provider::Provider;
use rhizo_types::ProviderName;
use std::io;
use std::path::PathBuf;

/// What a provider may use of its surroundings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// The directory of the configuration file: where relative paths start. Absolute.
    pub base_dir: PathBuf,
    /// The application's state directory on this machine, shared by all its nodes there. Absolute.
    pub state_dir: PathBuf,
    /// What hosts run when the provider starts processes itself.
    pub program: Program,
}

/// A provider that cannot be made from its configuration. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ProviderConfigError {
    /// No such kind of provider is built in.
    #[error("configure provider `{provider}`: kind `{kind}` is not known; kinds are `process`")]
    Kind {
        /// The provider's name.
        provider: ProviderName,
        /// The kind that was asked for.
        kind: String,
    },
    /// The provider's name cannot be used.
    #[error("configure provider `{provider}`: a name has 1 to 64 letters, digits, `-` and `_`")]
    Name {
        /// The provider's name.
        provider: ProviderName,
    },
    /// The table has a wrong key or value.
    #[error("configure provider `{provider}`")]
    Table {
        /// The provider's name.
        provider: ProviderName,
        /// What is wrong with the table.
        #[source]
        source: serde_json::Error,
    },
    /// A data file cannot be used.
    #[error("configure provider `{provider}`")]
    File {
        /// The provider's name.
        provider: ProviderName,
        /// What is wrong with the file.
        #[source]
        source: Box<DataFileError>,
    },
    /// A directory cannot be made absolute.
    #[error("find directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

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
