//! One running node: a thread of its own for the overlay, the log and the event loop; components run on the caller's
//! runtime.
//!
//! Read next: [`start`] for how a node begins or comes back after a restart, [`shell`] for the loop.

mod admin;
mod applied;
pub(crate) mod catalogue;
mod effects;
mod entries;
mod facts;
mod identity;
mod inbound;
mod input;
mod join;
mod journal;
mod limits;
mod links;
mod log_stores;
mod own_statements;
mod persistence;
mod planning;
mod providers;
mod recover;
mod replicated_log;
mod sensing;
mod sensors;
mod shell;
pub(crate) mod solving;
mod start;

pub(crate) use providers::{list_of_all, make as make_providers};

pub(crate) use start::{Founding, start_founder, start_host};

use crate::admin::{Answer, Ask};
use input::{Input, QUEUE_LEN};
use rhizo_protocol::HaltReason;
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot, watch};

/// The reason why a node could not start, or had to stop. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// A directory could not be made, or a file could not be read.
    #[error("{step} `{}`", path.display())]
    File {
        /// The failed step as a verb phrase.
        step: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The host's boot document could not be decoded.
    #[error("read the boot document")]
    Boot(#[source] rhizo_protocol::codec::DecodeError),
    /// The overlay could not listen.
    #[error("start the overlay")]
    Overlay(#[from] rhizo_overlay::BindError),
    /// The log could not be opened.
    #[error("open the log")]
    Log(#[from] rhizo_log::OpenError),
    /// The log of a new lineage could not be begun.
    #[error("begin the log: {0}")]
    Found(String),
    /// No member admitted the node.
    #[error("join the overlay: {0}")]
    Join(String),
    /// The files that identify this node could not be used.
    #[error("identify the node")]
    Identity(#[from] identity::IdentityError),
    /// The node's journal could not be read or written.
    #[error("keep the node's records: {0}")]
    Journal(String),
    /// The store of closures could not be opened.
    #[error("open the store of closures")]
    Artifacts(#[from] rhizo_artifacts::store::StoreError),
    /// The node's thread or runtime could not be made, or ended early.
    #[error("run the node: {0}")]
    Ended(&'static str),
}

impl From<journal::JournalError> for NodeError {
    fn from(error: journal::JournalError) -> Self {
        Self::Journal(crate::error::chain(&error))
    }
}

/// The way to ask a node of this process.
#[derive(Clone)]
pub(crate) struct Questions {
    input: mpsc::Sender<Input>,
}

/// A running node.
pub(crate) struct NodeHandle {
    questions: Questions,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<Result<HaltReason, NodeError>>,
}

impl Questions {
    /// Asks the node a question, as an operator would.
    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let (reply, answer) = oneshot::channel();
        let gone = || Answer::Refused { reason: "ask the node: it has stopped".to_owned(), hint: None };
        if self.input.send(Input::Ask(ask, reply)).await.is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
    }
}

impl NodeHandle {
    /// The way to ask the node, also from other tasks.
    pub(crate) fn questions(&self) -> Questions {
        self.questions.clone()
    }

    /// Asks the node a question, as an operator would.
    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        self.questions.ask(ask).await
    }

    /// Orders the node to stop its instances and to end, without leaving the overlay first.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the node has ended; returns why it halted.
    ///
    /// # Errors
    /// When the node could not start, or had to stop because of a fault.
    pub(crate) async fn ended(&mut self) -> Result<HaltReason, NodeError> {
        match (&mut self.ended).await {
            Ok(ended) => ended,
            Err(_) => Err(NodeError::Ended("its thread ended without a result")),
        }
    }
}

/// The node's ends of the queues that it shares with its [`NodeHandle`].
struct Ends {
    input: mpsc::Sender<Input>,
    inputs: mpsc::Receiver<Input>,
    stop: watch::Receiver<bool>,
}

/// Starts a thread with a runtime of its own and runs a node on it.
fn spawn<F, Fut>(body: F) -> Result<NodeHandle, NodeError>
where
    F: FnOnce(Ends) -> Fut + Send + 'static,
    Fut: Future<Output = Result<HaltReason, NodeError>>,
{
    let (input, inputs) = mpsc::channel(QUEUE_LEN);
    let (stop, stop_seen) = watch::channel(false);
    let (done, ended) = oneshot::channel();
    let ends = Ends { input: input.clone(), inputs, stop: stop_seen };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|_| NodeError::Ended("its runtime could not be made"))?;
    let thread = std::thread::Builder::new().name("rhizo-node".to_owned()).spawn(move || {
        let result = runtime.block_on(body(ends));
        // The overlay and the instances have ended. The runtime does not wait for a provider call that hangs.
        runtime.shutdown_background();
        let _nobody_waits = done.send(result);
    });
    thread.map_err(|_| NodeError::Ended("its thread could not be made"))?;
    Ok(NodeHandle { questions: Questions { input }, stop, ended })
}
