//! The bound on inbound set-ups in progress, in all and from one address.
//!
//! A stranger can open connections and send nothing. Read next: [`crate::transport`], which takes the permits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Set-ups of inbound connections in progress: in all, and from one address. A node opens up to 32 streams at once to
/// another one, and on a path around the world each takes a second.
const PENDING_MAX: u32 = 512;
const PENDING_PER_ADDRESS_MAX: u32 = 64;
/// The number of set-ups in progress from each address.
pub(crate) type Pending = Arc<Mutex<BTreeMap<IpAddr, u32>>>;

/// A permit for one inbound set-up; dropping it returns it.
pub(crate) struct Permit {
    pending: Pending,
    ip: IpAddr,
}

impl Permit {
    pub(crate) fn take(pending: &Pending, ip: IpAddr) -> Option<Self> {
        let mut counts = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = counts.values().sum();
        let here = counts.get(&ip).copied().unwrap_or(0);
        if all >= PENDING_MAX || here >= PENDING_PER_ADDRESS_MAX {
            return None;
        }
        counts.insert(ip, here + 1);
        Some(Self { pending: Arc::clone(pending), ip })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.get(&self.ip).copied().unwrap_or(0);
        if here <= 1 {
            counts.remove(&self.ip);
        } else {
            counts.insert(self.ip, here - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_ups_in_progress_are_bounded_for_each_address_and_in_all() {
        let pending = Arc::default();
        let mut permits = Vec::new();
        let one = IpAddr::from([127, 0, 0, 1]);
        for _ in 0..PENDING_PER_ADDRESS_MAX {
            permits.push(Permit::take(&pending, one).unwrap());
        }
        assert!(Permit::take(&pending, one).is_none());
        for host in 2..=8 {
            for _ in 0..PENDING_PER_ADDRESS_MAX {
                permits.push(Permit::take(&pending, IpAddr::from([127, 0, 0, host])).unwrap());
            }
        }
        assert!(Permit::take(&pending, IpAddr::from([127, 0, 0, 9])).is_none());
        permits.clear();
        assert!(pending.lock().unwrap().is_empty());
    }
}
