//! The process provider: hosts emulated on one machine, each a directory, a loopback address and a supervisor.
//!
//! The embedded default, and what every example runs on. The death of a node is the death of its host; all nodes
//! of a machine share one state directory, so any of them can be coordinator: nothing is kept in memory.
//! What it does not do: isolate hosts from each other, or limit what they use.
//!
//! # Files of a provider (CSV, `#` starts a comment; an empty cell is an absent value, never zero)
//! - `offers`: `name,region,price_per_hour[,currency][,available]`, then `cap.<kind>` (number, or bytes as
//!   `4GiB`) and `attr.<name>` (number or word). `available` is how many hosts exist in all; empty: no limit.
//! - `attributes`: `at_s`, then `offer` or `region`, then any of `price_per_hour`, `available`, `attr.<name>`. In
//!   force is the latest row whose `at_s` is not after the seconds since the first host was claimed.
//! - `rtt`: a square matrix of round trips in milliseconds, region names in the header and the first column. Links
//!   are delayed by it, and the catalogue states it, unless `catalogue_rtt` names another such file: then that is
//!   what the provider claims, and `rtt` what is true.
//!
//! All are read again when they change. Their figures are labelled synthetic wherever they leave this crate.
//! Read next: [`HostHome`] for the node's side, [`supervise`], [`faults`] for misbehaviour in tests.

mod address;
mod catalogue;
mod census;
mod cgroup;
mod claim;
mod delay;
mod descendants;
mod ending;
pub mod faults;
mod home;
mod identity;
mod layout;
mod offers;
mod records;
mod settings;
mod supervisor;

pub use delay::DelayTable;
pub use home::HostHome;
pub use identity::ProcessIdentity;
pub use records::Confinement;
pub use settings::Program;
pub use supervisor::supervise;

use crate::error::ProviderError;
use crate::provider::{
    BoxFuture, Capabilities, Host, Idempotency, Offer, Order, Owner, PriceSource, Provider,
};
use crate::registry::{ProviderConfigError, Surroundings};
use crate::rtt_matrix::RttMatrix;
use catalogue::Catalogue;
use faults::{Faults, ProviderFaults};
use layout::Layout;
use records::DataPaths;
use rhizo_types::{HostId, ProviderName};
use settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;

/// Hosts emulated on this machine.
#[derive(Clone, Debug)]
pub struct ProcessProvider {
    desk: Arc<Desk>,
}

/// Everything a call needs; calls run on blocking threads, as they are file operations.
#[derive(Debug)]
struct Desk {
    name: ProviderName,
    layout: Layout,
    settings: Settings,
    data: DataPaths,
    catalogue: Catalogue,
    faults: PathBuf,
    program: Program,
}

impl ProcessProvider {
    /// A provider over the state directory; nothing is created before the first order.
    ///
    /// # Errors
    /// When the table or a file named in it cannot be used.
    pub fn new(
        name: ProviderName,
        table: &serde_json::Value,
        surroundings: &Surroundings,
    ) -> Result<Self, ProviderConfigError> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|source| ProviderConfigError::Directory { path: path.clone(), source })
        };
        let settings = Settings::parse(&name, table)?;
        let data = settings.data(&absolute(&surroundings.base_dir)?);
        let faults = settings.faults(surroundings);
        let catalogue = Catalogue::new(&data, settings.currency.clone());
        let layout = Layout::new(absolute(&surroundings.state_dir)?, &name);
        catalogue.check(&layout).map_err(|source| ProviderConfigError::File {
            provider: name.clone(),
            source: Box::new(source),
        })?;
        let program = surroundings.program.clone();
        Ok(Self { desk: Arc::new(Desk { name, layout, settings, data, catalogue, faults, program }) })
    }

    /// Runs a call on a blocking thread.
    fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        body: impl FnOnce(&Desk) -> Result<T, ProviderError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, ProviderError>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || body(&desk)).await {
                Ok(answer) => answer,
                Err(ended) => match ended.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(ProviderError::Cancelled { operation }),
                },
            }
        })
    }
}

impl Desk {
    /// The switches in force, and the failures that hit every call.
    fn misbehaviour(&self, operation: &'static str) -> Result<ProviderFaults, ProviderError> {
        let faults = Faults::read(&self.faults).map_err(ProviderError::Catalogue)?.of(&self.name);
        if faults.api_down {
            return Err(ProviderError::Unavailable { operation });
        }
        match faults.throttle_ms {
            Some(retry_after_ms) => Err(ProviderError::Throttled { operation, retry_after_ms }),
            None => Ok(faults),
        }
    }

    /// What is sold now, less what is taken.
    fn offers(&self) -> Result<Vec<Offer>, ProviderError> {
        self.misbehaviour("read the offers")?;
        let mut offers = self.catalogue.offers(&self.layout).map_err(ProviderError::Catalogue)?;
        let taken = self.taken()?;
        for offer in &mut offers {
            if let Some(available) = &mut offer.available {
                *available = available.saturating_sub(taken.get(&offer.name).copied().unwrap_or_default());
            }
        }
        Ok(offers)
    }

    fn latencies(&self) -> Result<Option<RttMatrix>, ProviderError> {
        self.misbehaviour("read the latencies")?;
        let matrix = self.catalogue.rtt().map_err(ProviderError::Catalogue)?;
        Ok(matrix.map(|matrix| matrix.as_ref().clone()))
    }
}

impl Provider for ProcessProvider {
    fn name(&self) -> &ProviderName {
        &self.desk.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            idempotency: Idempotency::Token,
            tags_at_create: true,
            notice_s: None,
            price_source: PriceSource::Static,
        }
    }

    fn offers(&self) -> BoxFuture<'_, Result<Vec<Offer>, ProviderError>> {
        self.call("read the offers", Desk::offers)
    }

    fn latencies(&self) -> BoxFuture<'_, Result<Option<RttMatrix>, ProviderError>> {
        self.call("read the latencies", Desk::latencies)
    }

    fn acquire<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Host, ProviderError>> {
        let order = order.clone();
        self.call("acquire a host", move |desk| desk.acquire(&order))
    }

    fn release<'a>(&'a self, host: &'a HostId) -> BoxFuture<'a, Result<(), ProviderError>> {
        let host = host.clone();
        self.call("release a host", move |desk| desk.release(&host))
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Vec<Host>, ProviderError>> {
        let owner = owner.clone();
        self.call("list the hosts", move |desk| desk.list(&owner))
    }

    fn purge<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<usize, ProviderError>> {
        let owner = owner.clone();
        self.call("purge ended hosts", move |desk| desk.purge(&owner))
    }
}
