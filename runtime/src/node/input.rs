//! The inputs of a node's event loop that come from spawned work and from the embedding program.
//!
//! Results of spawned work arrive only through this one bounded queue. The overlay, the log's committed entries and
//! the log's status have queues of their own.

use super::NodeError;
use crate::admin::{Answer, Ask};
use crate::component::RunReport;
use crate::node::solving::Solution;
use rhizo_log::LogNode;
use rhizo_planning::Answer as OfferAnswer;
use rhizo_protocol::SolveRequest;
use rhizo_protocol::event::Event;
use rhizo_protocol::ledger::Ledger;
use rhizo_types::fact::Statement;
use rhizo_types::{Lineage, ProviderName};
use tokio::sync::oneshot;

/// The most inputs that wait for the loop. Only the loop spawns work, and the loop never waits for this queue, so a
/// full queue makes workers wait and cannot stop the loop.
pub(crate) const QUEUE_LEN: usize = 1_024;

/// One input of the loop.
pub(crate) enum Input {
    /// An event for the core, made by spawned work.
    Core(Event),
    /// A task of an instance reports the result of a service or an action.
    Component(RunReport),
    /// The log of this lineage was opened, or could not be opened.
    LogOpened(Lineage, Result<LogNode, NodeError>),
    /// The survivor's copy of the ledger on the disk is that of the next lineage, or the recovery failed and it is as
    /// before. A failure completes "failed to …".
    Recovered(Result<Box<Ledger>, String>),
    /// Providers answered with their offers.
    Offered(Vec<(ProviderName, OfferAnswer)>),
    /// Providers answered with their offers for this solver run.
    OfferedFor(Box<SolveRequest>, Vec<(ProviderName, OfferAnswer)>),
    /// A solver run has ended.
    Solved(Box<Solution>),
    /// Sensors of this node made statements about it.
    Sampled(Vec<Statement>),
    /// The embedding program asks a question.
    Ask(Ask, oneshot::Sender<Answer>),
}
