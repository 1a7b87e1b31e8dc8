//! The errors of providers, sorted by the conclusion that the caller may draw from each.
//!
//! After a failed call the caller must know whether it may have had an effect: [`Effect`]. A caller treats
//! [`Effect::Possible`] as *unknown* until the provider's list shows what exists.

use crate::data_file::DataFileError;
use rhizo_types::{OfferName, ProviderName};
use std::io;
use std::path::PathBuf;

/// Whether a failed call may have changed something at the provider.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// It changed nothing: the intent may be closed as failed at once.
    None,
    /// It may have changed something, now or later: only the provider's list can tell.
    Possible,
}

/// A call to a provider that did not succeed. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// There is no host left of this offer; another offer, or a later time, may do.
    #[error("obtain a host of offer `{offer}`: the provider has no capacity left")]
    NoCapacity {
        /// The offer that was asked for.
        offer: OfferName,
    },
    /// The provider wants fewer calls; the call was not carried out.
    #[error("{operation}: the provider asks to wait {retry_after_ms} ms")]
    Throttled {
        /// The operation that failed.
        operation: &'static str,
        /// Milliseconds to wait before the next call of any kind.
        retry_after_ms: u64,
    },
    /// The service did not answer; a mutating call may have been carried out.
    #[error("{operation}: the provider's service is unavailable")]
    Unavailable {
        /// The operation that failed.
        operation: &'static str,
    },
    /// The provider will never accept this call; nothing was changed.
    #[error("{operation}: {reason}")]
    Refused {
        /// The operation that failed.
        operation: &'static str,
        /// The reason, for the operator.
        reason: String,
    },
    /// The call failed on this machine before the provider could act on it; nothing was changed. It says nothing about
    /// the offer, and the same order may succeed when the fault is mended.
    #[error("{operation}: {reason}")]
    Local {
        /// The operation that failed.
        operation: &'static str,
        /// The reason, for the operator.
        reason: String,
    },
    /// The call ended without an answer that shows whether it was carried out.
    #[error("{operation}: the outcome is unknown, {reason}")]
    UnknownOutcome {
        /// The operation that failed.
        operation: &'static str,
        /// The observation that leaves the outcome open.
        reason: String,
    },
    /// A data file of the provider cannot be used; nothing was changed.
    #[error("read the provider's catalogue")]
    Catalogue(#[source] DataFileError),
    /// The provider's own records could not be read or written.
    #[error("{step} `{}`", path.display())]
    Records {
        /// The failed step, as a verb phrase.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The background thread of the call was cancelled because the runtime is shutting down.
    #[error("{operation}: the runtime is shutting down")]
    Cancelled {
        /// The operation that was cancelled.
        operation: &'static str,
    },
}

impl ProviderError {
    /// Whether the failed call may have changed something at the provider.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::NoCapacity { .. }
            | Self::Throttled { .. }
            | Self::Refused { .. }
            | Self::Local { .. }
            | Self::Catalogue(_) => Effect::None,
            Self::Unavailable { .. }
            | Self::UnknownOutcome { .. }
            | Self::Records { .. }
            | Self::Cancelled { .. } => Effect::Possible,
        }
    }

    /// Whether the same call may succeed later; if not, only a different one can.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }

    /// Names the failed step on the provider's own records; for `map_err`.
    pub(crate) fn records(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> ProviderError {
        let path = path.into();
        move |source| Self::Records { step, path, source }
    }
}

/// The error of a factory of an added kind: any error.
pub type FactoryError = Box<dyn std::error::Error + Send + Sync>;

/// A provider that cannot be made from its configuration. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ProviderConfigError {
    /// No such kind of provider is built in or was added.
    #[error("configure provider `{provider}`: kind `{kind}` is not known; kinds are {kinds}")]
    Kind {
        /// The provider's name.
        provider: ProviderName,
        /// The kind that was asked for.
        kind: String,
        /// The known kinds, in words.
        kinds: String,
    },
    /// The factory of an added kind refused the table.
    #[error("configure provider `{provider}` of kind `{kind}`")]
    Factory {
        /// The provider's name.
        provider: ProviderName,
        /// The kind.
        kind: String,
        /// The factory's reason.
        #[source]
        source: FactoryError,
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
        /// The fault of the table.
        #[source]
        source: serde_json::Error,
    },
    /// A data file cannot be used.
    #[error("configure provider `{provider}`")]
    File {
        /// The provider's name.
        provider: ProviderName,
        /// The fault of the file.
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
