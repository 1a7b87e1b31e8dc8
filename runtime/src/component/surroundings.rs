//! The node that instances run on. Plain values, which the start of a node fills in once.

use super::artifacts::Artifacts;
use super::node_view::NodeView;
use super::registry::Registry;
use rhizo_traffic::Traffic;
use rhizo_types::AppName;
use rhizo_types::secret::SealingKey;
use std::path::PathBuf;
use std::sync::Arc;

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
