//! Everything that wakes a node's event loop, apart from the overlay's and the log's own queues.
//!
//! A closed enum: results of spawned work come back through one bounded queue and nowhere else.

use crate::admin::{Answer, Ask};
use crate::component::RunReport;
use crate::node::catalogue::Offered;
use crate::node::solving::Solution;
use rhizo_overlay::Reply;
use rhizo_protocol::event::Event;
use rhizo_protocol::turn::SolveRequest;
use rhizo_types::fact::Statement;
use rhizo_types::{PeerKey, ProviderName};
use tokio::sync::oneshot;

/// Results waiting for the loop. Work is only spawned by the loop itself, so a full queue makes workers wait
/// and nothing else.
pub(crate) const QUEUE_LEN: usize = 1_024;

/// Something that the loop has to look at.
pub(crate) enum Input {
    /// An event for the core, from spawned work.
    Core(Event),
    /// An instance's task has something to tell.
    Component(RunReport),
    /// Providers were asked what they sell.
    Offered(Vec<(ProviderName, Offered)>),
    /// Providers were asked what they sell, for this solver run.
    OfferedFor(Box<SolveRequest>, Vec<(ProviderName, Offered)>),
    /// A solver run has ended.
    Solved(Box<Solution>),
    /// Sensors of this node have something to say of it.
    Sampled(Vec<Statement>),
    /// A question from within this process.
    Ask(Ask, oneshot::Sender<Answer>),
    /// The log received its first message, from this member; it has to be opened.
    RaftRequest(PeerKey, Vec<u8>, Reply),
}
