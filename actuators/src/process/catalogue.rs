//! The catalogue of an emulated provider at this moment: offers with the series applied, and round trips.

use super::layout::Layout;
use super::offers::{self, Offers, Series};
use super::records::{self, DataPaths, unix_ms};
use crate::data_file::{DataFile, DataFileError};
use crate::provider::Offer;
use crate::rtt_matrix::RttMatrix;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// When the series of a state directory began.
#[derive(Serialize, Deserialize)]
struct Genesis {
    at_unix_ms: u64,
}

/// Starts the clock of the series, unless it runs already.
pub(crate) fn start_clock(layout: &Layout) -> io::Result<()> {
    if layout.genesis().exists() {
        return Ok(());
    }
    records::write_first(&layout.genesis(), &Genesis { at_unix_ms: unix_ms() }).map(|_| ())
}

/// The data files of a provider, parsed when they change.
#[derive(Debug)]
pub(crate) struct Catalogue {
    currency: String,
    offers: Option<DataFile<Offers>>,
    series: Option<DataFile<Series>>,
    /// The round trips that links are delayed by.
    rtt: Option<DataFile<RttMatrix>>,
    /// The round trips that the provider claims, when they differ.
    claimed: Option<DataFile<RttMatrix>>,
}

impl Catalogue {
    pub(crate) fn new(paths: &DataPaths, currency: String) -> Self {
        Self {
            currency,
            offers: paths.offers.clone().map(|path| DataFile::new(path, offers::parse_offers)),
            series: paths.attributes.clone().map(|path| DataFile::new(path, offers::parse_series)),
            rtt: matrix(&paths.rtt),
            claimed: matrix(&paths.catalogue_rtt),
        }
    }

    /// The offers in force now. `available` counts all hosts that exist, including those that are taken.
    pub(crate) fn offers(&self, layout: &Layout) -> Result<Offers, DataFileError> {
        let mut offers = match &self.offers {
            Some(file) => file.get()?.as_ref().clone(),
            None => offers::built_in(&self.currency),
        };
        let series = self.series.as_ref().map(DataFile::get).transpose()?;
        let now_s = seconds_since_genesis(&layout.genesis());
        for offer in &mut offers {
            if offer.currency.is_empty() {
                offer.currency.clone_from(&self.currency);
            }
            if let Some(series) = &series {
                series.apply(offer, now_s);
            }
        }
        Ok(offers)
    }

    /// The offer of this name, in force now.
    pub(crate) fn offer(&self, layout: &Layout, name: &str) -> Result<Option<Offer>, DataFileError> {
        Ok(self.offers(layout)?.into_iter().find(|offer| offer.name.as_str() == name))
    }

    /// The round trips as the catalogue states them.
    pub(crate) fn rtt(&self) -> Result<Option<Arc<RttMatrix>>, DataFileError> {
        self.claimed.as_ref().or(self.rtt.as_ref()).map(DataFile::get).transpose()
    }

    /// Reads all files and compares them: every offer's region needs its round trips, every name its meaning.
    pub(crate) fn check(&self, layout: &Layout) -> Result<(), DataFileError> {
        let offers = self.offers(layout)?;
        if let Some(file) = &self.series
            && let Some(name) = file.get()?.unmatched(&offers)
        {
            let problem = format!("`{name}` is not the name of any offer or region");
            return Err(DataFileError::whole(file.path(), problem, "use the names of the offers file"));
        }
        for file in self.rtt.iter().chain(&self.claimed) {
            let matrix = file.get()?;
            if let Some(offer) = offers.iter().find(|offer| !matrix.regions().contains(&offer.region)) {
                let problem = format!("it lacks region `{}` of offer `{}`", offer.region, offer.name);
                return Err(DataFileError::whole(
                    file.path(),
                    problem,
                    "add a row and a column for the region",
                ));
            }
        }
        Ok(())
    }
}

fn matrix(path: &Option<PathBuf>) -> Option<DataFile<RttMatrix>> {
    path.clone().map(|path| DataFile::new(path, RttMatrix::parse))
}

/// Seconds for which the series has been running; zero before the first host.
fn seconds_since_genesis(genesis: &Path) -> f64 {
    match records::read::<Genesis>(genesis) {
        // Precise to the millisecond for the next 285,000 years.
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since a recent moment fit a double")]
        Ok(Some(genesis)) => unix_ms().saturating_sub(genesis.at_unix_ms) as f64 / 1_000.0,
        _ => 0.0,
    }
}
