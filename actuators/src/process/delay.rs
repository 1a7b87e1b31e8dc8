//! Emulated distance: the one-way delay from this host to the host that owns an address.

use super::address;
use super::records::OrderRecord;
use crate::data_file::{DataFile, DataFileError};
use crate::rtt_matrix::RttMatrix;
use rhizo_types::RegionName;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time for which a looked-up region is kept. Addresses change owners only when hosts come and go.
const BELIEF: Duration = Duration::from_secs(2);

/// Number of addresses that are kept. Beyond it the table is emptied, which costs one look-up for each address.
const ADDRESSES_MAX: usize = 4_096;

/// One-way delays from one emulated host to others, from the matrix of round trips.
///
/// An address that no host owns (the founder's, an operator's) is not delayed, and neither is a pair of regions that
/// the matrix does not contain.
#[derive(Debug)]
pub struct DelayTable {
    own: RegionName,
    state: PathBuf,
    rtt: Option<DataFile<RttMatrix>>,
    regions: Mutex<BTreeMap<IpAddr, (Instant, Option<RegionName>)>>,
}

impl DelayTable {
    /// The table of the host of this order.
    pub(crate) fn new(state: PathBuf, order: &OrderRecord) -> Self {
        Self {
            own: order.region.clone(),
            state,
            rtt: order.data.rtt.clone().map(|path| DataFile::new(path, RttMatrix::parse)),
            regions: Mutex::new(BTreeMap::new()),
        }
    }

    /// Half the round trip between this host and the owner of an address.
    ///
    /// The matrix file is read again when it has changed, so a test can move regions apart while nodes run.
    ///
    /// # Errors
    /// When the matrix file has become unusable.
    pub fn one_way_delay(&self, remote: IpAddr) -> Result<Duration, DataFileError> {
        let Some(rtt) = &self.rtt else { return Ok(Duration::ZERO) };
        let Some(region) = self.region(remote) else { return Ok(Duration::ZERO) };
        let milliseconds = rtt.get()?.rtt_ms(&self.own, &region).unwrap_or_default();
        Ok(Duration::try_from_secs_f64(milliseconds / 2_000.0).unwrap_or_default())
    }

    fn region(&self, remote: IpAddr) -> Option<RegionName> {
        let now = Instant::now();
        // A panic cannot leave the map partly changed: each change is one insertion.
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, region)) = regions.get(&remote)
            && now.duration_since(*at) < BELIEF
        {
            return region.clone();
        }
        // An unreadable order means that the host is being removed: its address has no owner any more.
        let region = address::owner(&self.state, remote).ok().flatten().map(|order| order.region);
        if regions.len() >= ADDRESSES_MAX {
            regions.clear();
        }
        regions.insert(remote, (now, region.clone()));
        region
    }
}
