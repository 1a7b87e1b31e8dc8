//! The node that instances run on. Plain values, which the start of a node fills in once.

use super::artifacts::Artifacts;
use super::registry::Registry;
use rhizo_traffic::Traffic;
use rhizo_types::secret::SealingKey;
use rhizo_types::{AppName, NodeId, ProviderName, RegionName};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The facts about its node that a component can see.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// The node's number in the overlay.
    pub id: NodeId,
    /// The provider the host comes from.
    pub provider: ProviderName,
    /// The region the host is in.
    pub region: RegionName,
    /// The address instances listen on.
    pub address: IpAddr,
}

/// The node that instances run on, and what their tasks share.
pub(crate) struct Surroundings {
    pub(crate) app: AppName,
    pub(crate) node: NodeView,
    /// The directory with one directory for each instance.
    pub(crate) dir: PathBuf,
    pub(crate) registry: Arc<Registry>,
    /// The runtime of the tasks.
    pub(crate) runtime: tokio::runtime::Handle,
    /// The key that opens the secrets of components.
    pub(crate) key: Option<SealingKey>,
    /// The data plane.
    pub(crate) traffic: Arc<Traffic>,
    /// The files of components.
    pub(crate) artifacts: Arc<Artifacts>,
}
