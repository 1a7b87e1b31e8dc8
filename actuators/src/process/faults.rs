//! Faults of a provider that tests switch on, to check that an application survives them.
//!
//! The switches are in a JSON file that is read before every call, so a test can change them while nodes run. Without
//! the file the provider behaves well. To lose a whole provider, a test sets `api_down` and kills the hosts.

use crate::data_file::DataFileError;
use rhizo_types::{OfferName, ProviderName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The whole file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Per provider of this state directory.
    pub providers: BTreeMap<ProviderName, ProviderFaults>,
}

/// The faults of one provider.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderFaults {
    /// Every call fails as unavailable, without effect.
    pub api_down: bool,
    /// Every call is refused with this advice to wait, in milliseconds.
    pub throttle_ms: Option<u64>,
    /// The list shows the state of this many milliseconds ago: new hosts late, ended ones as running.
    pub list_lag_ms: u64,
    /// A release is answered with success and forgotten.
    pub release_lost: bool,
    /// The faults of every offer that `offers` does not name.
    pub every_offer: OfferFaults,
    /// Per offer.
    pub offers: BTreeMap<OfferName, OfferFaults>,
}

/// The faults of orders of one offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OfferFaults {
    /// The node of a new host starts this many milliseconds after the order.
    pub boot_delay_ms: u64,
    /// The order's outcome is unknown, and the host appears this many milliseconds later.
    pub late_success_ms: Option<u64>,
    /// Orders fail for want of capacity.
    pub no_capacity: bool,
    /// Every order also creates a second host with the same token and tags.
    pub duplicate: bool,
}

impl Faults {
    /// Reads the file. A missing file means no faults.
    ///
    /// # Errors
    /// When it exists and cannot be read or understood: a misspelt switch must not look like a passed test.
    pub fn read(path: &Path) -> Result<Self, DataFileError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(DataFileError {
                    source: Some(source),
                    ..DataFileError::whole(path, "it cannot be read", "remove it for good behaviour")
                });
            }
        };
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)).map_err(|error| {
            let line = u64::try_from(error.line()).unwrap_or(1);
            DataFileError::at(path, line, None, error.to_string(), "remove the file for good behaviour")
        })
    }

    /// Replaces the file in one step.
    ///
    /// # Errors
    /// When its directory cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let aside = path.with_extension("new");
        rhizo_private_files::write_synced(
            &aside,
            &serde_json::to_vec_pretty(self).map_err(io::Error::from)?,
        )?;
        fs::rename(aside, path)
    }

    /// The switches of one provider.
    pub(crate) fn of(mut self, provider: &ProviderName) -> ProviderFaults {
        self.providers.remove(provider).unwrap_or_default()
    }
}

impl ProviderFaults {
    /// The switches for orders of one offer.
    pub(crate) fn of(&self, offer: &OfferName) -> OfferFaults {
        self.offers.get(offer).copied().unwrap_or(self.every_offer)
    }

    /// The longest time for which these switches keep a new host out of the list, in milliseconds.
    ///
    /// A late success and the lag of the list both count from the order, so the longer of the two hides the host.
    pub(crate) fn visible_ms(&self) -> u64 {
        let orders = self.offers.values().chain([&self.every_offer]);
        let late_ms = orders.filter_map(|offer| offer.late_success_ms).max().unwrap_or(0);
        late_ms.max(self.list_lag_ms)
    }
}
