//! The configuration of an overlay, and the limits that its users have to know.
//!
//! Read next: [`crate::overlay`], which is bound with it.

use crate::key::NodeSecret;
use crate::shaper::LinkShaper;
use rhizo_types::{AppName, Lineage};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The longest body that can be published, in bytes: facts are small, and every member gets every one.
pub const GOSSIP_BYTES_MAX: usize = 32 * 1024;

/// Everything an overlay needs to start.
#[derive(Clone)]
pub struct OverlayConfig {
    /// The node's own key.
    pub secret: NodeSecret,
    /// The application: overlays of different applications cannot talk.
    pub app: AppName,
    /// The lineage at first; see [`crate::Overlay::set_lineage`]. Nodes of different lineages cannot talk.
    pub lineage: Lineage,
    /// The address to listen on; port 0 picks a free port. `None` for a client that only dials.
    pub listen: Option<SocketAddr>,
    /// Emulated delay; `None` in production.
    pub shaper: Option<Arc<dyn LinkShaper>>,
    /// The period of the round-trip measurement of each link.
    pub ping_every: Duration,
    /// Time limit for an answer to a ping. A link that misses two answers is closed.
    pub ping_timeout: Duration,
    /// The most links at once, and the most wanted links.
    pub links_max: usize,
    /// The most events that wait for the shell.
    pub events_max: usize,
    /// Whether this node takes part in gossip; a client need not.
    pub gossip: bool,
}

impl OverlayConfig {
    /// A node's configuration with the usual bounds and no emulated delay.
    #[must_use]
    pub fn new(secret: NodeSecret, app: AppName, lineage: Lineage, listen: Option<SocketAddr>) -> Self {
        Self {
            secret,
            app,
            lineage,
            listen,
            shaper: None,
            // Each ping and each answer wakes both ends: with a ping every two seconds they were two fifths of all
            // wake-ups of an idle node. A changed route may stay unnoticed for ten seconds, because heartbeats
            // detect deaths.
            ping_every: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(5),
            links_max: 512,
            events_max: 1024,
            gossip: true,
        }
    }
}

impl fmt::Debug for OverlayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayConfig")
            .field("secret", &self.secret)
            .field("app", &self.app)
            .field("lineage", &self.lineage)
            .field("listen", &self.listen)
            .field("shaped", &self.shaper.is_some())
            .finish_non_exhaustive()
    }
}
