//! The process provider: hosts emulated on one machine, each a directory, a loopback address and a supervisor.
//!
//! It is the default, and every example runs on it. When a node ends, its host ends. All nodes of a machine share one
//! state directory and keep nothing in memory, so every node can be coordinator. Hosts are not isolated from each
//! other, and their use of resources is not limited.
//!
//! # Files of a provider (CSV, `#` starts a comment; an empty cell is an absent value, never zero)
//! - `offers`: `name,region,price_per_hour[,currency][,available]`, then `cap.<kind>` (number, or bytes as
//!   `4GiB`) and `attr.<name>` (number or word). `available` is how many hosts exist in all; empty: no limit.
//! - `attributes`: `at_s`, then `offer` or `region`, then any of `price_per_hour`, `available`, `attr.<name>`. In
//!   force is the latest row whose `at_s` is not after the seconds since the first host was claimed.
//! - `rtt`: a square matrix of round trips in milliseconds, region names in the header and the first column. Links
//!   are delayed by it, and the catalogue states it. If `catalogue_rtt` names another such file, the catalogue states
//!   that one instead, so that it can differ from the delays of the links.
//!
//! Prices have at most six decimals, capacities are at most 2^53 - 1; a file with other figures is refused with line
//! and column. A file is read again when it changes. The figures are labelled synthetic wherever they leave this crate.
//! Read next: [`HostDirectory`] for the node's side, [`supervise`], [`faults`] for misbehaviour in tests.

mod address;
mod catalogue;
mod census;
mod cgroup;
mod claim;
mod delay;
mod descendants;
mod desk;
mod ending;
pub mod faults;
mod host_directory;
mod identity;
mod layout;
mod offers;
mod reboot;
mod records;
mod settings;
mod supervisor;
mod traces;

pub use crate::surroundings::{Executable, Program, own_program};
pub use delay::DelayTable;
pub use host_directory::{EndingFile, HostDirectory};
pub use identity::ProcessIdentity;
pub use records::Confinement;
pub use supervisor::supervise;
pub use traces::{Traces, live_below, traces_below};

use crate::error::{ProviderConfigError, ProviderError};
use crate::provider::{
    BoxFuture, Capabilities, Host, Idempotency, Offer, Order, Owner, PriceSource, Provider,
};
use crate::rtt_matrix::RttMatrix;
use crate::surroundings::Surroundings;
use catalogue::Catalogue;
use desk::Desk;
use layout::Layout;
use rhizo_types::{HostId, ProviderName};
use settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;

/// Hosts emulated on this machine.
#[derive(Clone, Debug)]
pub struct ProcessProvider {
    desk: Arc<Desk>,
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
        let settings = Settings::parse(&name, table)?;
        let desk = desk(name, settings, surroundings, None)?;
        desk.catalogue.check(&desk.layout).map_err(|source| ProviderConfigError::File {
            provider: desk.name.clone(),
            source: Box::new(source),
        })?;
        Ok(Self { desk: Arc::new(desk) })
    }

    /// A provider that lists and releases its hosts although its table or its data files cannot be used any more.
    ///
    /// No file is read here. A data file is read when a call needs it, so that offers and orders work again as soon as
    /// the file does. With a table that cannot be used, offers and orders are refused.
    ///
    /// # Errors
    /// When no directory can have this name, or the working directory cannot be determined.
    pub fn for_release(
        name: ProviderName,
        table: &serde_json::Value,
        surroundings: &Surroundings,
    ) -> Result<Self, ProviderConfigError> {
        settings::check_name(&name)?;
        let (settings, unusable) = match Settings::parse(&name, table) {
            Ok(settings) => (settings, None),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                let unusable = format!("failed to {error}{}", cause.unwrap_or_default());
                (Settings::default(), Some(unusable))
            }
        };
        Ok(Self { desk: Arc::new(desk(name, settings, surroundings, unusable)?) })
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

/// Collects the resources of a provider's calls. Reads no file.
fn desk(
    name: ProviderName,
    settings: Settings,
    surroundings: &Surroundings,
    unusable: Option<String>,
) -> Result<Desk, ProviderConfigError> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path)
            .map_err(|source| ProviderConfigError::Directory { path: path.clone(), source })
    };
    let data = settings.data(&absolute(&surroundings.base_dir)?);
    let faults = settings.faults(surroundings);
    let catalogue = Catalogue::new(&data, settings.currency.clone());
    let layout = Layout::new(absolute(&surroundings.state_dir)?, &name);
    let program = surroundings.program.clone();
    Ok(Desk { name, layout, settings, data, catalogue, faults, program, unusable })
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
            visible_ms: self.desk.visible_ms(),
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

    fn resume<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<usize, ProviderError>> {
        let owner = owner.clone();
        self.call("boot hosts again", move |desk| desk.resume(&owner))
    }
}
