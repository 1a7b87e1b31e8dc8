//! The resources of one call to a process provider: names, directories, data files and the switches of misbehaviour.
//!
//! The calls themselves are in `claim.rs` (acquire) and `census.rs` (list, release, purge).

use super::catalogue::Catalogue;
use super::faults::{Faults, ProviderFaults};
use super::layout::Layout;
use super::records::DataPaths;
use super::settings::Settings;
use crate::error::ProviderError;
use crate::provider::Offer;
use crate::rtt_matrix::RttMatrix;
use crate::surroundings::Program;
use rhizo_types::ProviderName;
use std::path::PathBuf;

/// Everything that a call needs. Calls run on blocking threads, because they are file operations.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) name: ProviderName,
    pub(super) layout: Layout,
    pub(super) settings: Settings,
    pub(super) data: DataPaths,
    pub(super) catalogue: Catalogue,
    pub(super) faults: PathBuf,
    pub(super) program: Program,
    /// The fault of a table that cannot be used. Such a provider only lists and releases.
    pub(super) unusable: Option<String>,
}

impl Desk {
    /// The switches in force, and the failures that hit every call.
    pub(super) fn misbehaviour(&self, operation: &'static str) -> Result<ProviderFaults, ProviderError> {
        let faults = Faults::read(&self.faults).map_err(ProviderError::Catalogue)?.of(&self.name);
        if faults.api_down {
            return Err(ProviderError::Unavailable { operation });
        }
        match faults.throttle_ms {
            Some(retry_after_ms) => Err(ProviderError::Throttled { operation, retry_after_ms }),
            None => Ok(faults),
        }
    }

    /// How long a host may be missing from the list after its order, by the switches in force.
    ///
    /// Without switches, a list shows every host whose order was accepted before. With a switch file that cannot be
    /// read every call fails, so that no absence can be concluded.
    pub(super) fn visible_ms(&self) -> u64 {
        let faults = Faults::read(&self.faults).map(|faults| faults.of(&self.name)).unwrap_or_default();
        faults.visible_ms()
    }

    /// Refuses orders and offers of a provider whose table cannot be used.
    pub(super) fn must_be_usable(&self, operation: &'static str) -> Result<(), ProviderError> {
        match &self.unusable {
            None => Ok(()),
            Some(reason) => Err(ProviderError::Refused { operation, reason: reason.clone() }),
        }
    }

    /// Returns the offers of now. Their availability counts the hosts that exist.
    pub(super) fn offers(&self) -> Result<Vec<Offer>, ProviderError> {
        self.misbehaviour("read the offers")?;
        self.must_be_usable("read the offers")?;
        let mut offers = self.catalogue.offers(&self.layout).map_err(ProviderError::Catalogue)?;
        let taken = self.taken()?;
        for offer in &mut offers {
            if let Some(available) = &mut offer.available {
                *available = available.saturating_sub(taken.get(&offer.name).copied().unwrap_or_default());
            }
        }
        Ok(offers)
    }

    pub(super) fn latencies(&self) -> Result<Option<RttMatrix>, ProviderError> {
        self.misbehaviour("read the latencies")?;
        let matrix = self.catalogue.rtt().map_err(ProviderError::Catalogue)?;
        Ok(matrix.map(|matrix| matrix.as_ref().clone()))
    }
}
