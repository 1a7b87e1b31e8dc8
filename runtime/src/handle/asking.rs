//! Questions and orders of a handle, to the node of this process or, without one, to any member over a link.

use crate::admin::{Answer, Ask, Status};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::refused;
use crate::node::Questions;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an order is repeated while no node can decide it: several elections of a coordinator.
const DECIDED_MAX: Duration = Duration::from_secs(30);

/// How long a wait goes on while no node answers.
pub(super) const SILENT_MAX: Duration = Duration::from_secs(60);

/// Time between two questions of a wait.
const LOOK: Duration = Duration::from_millis(150);

/// The way to a node that answers.
#[derive(Clone)]
pub(super) enum Asking {
    /// The node of this process.
    Node(Questions),
    /// Any member.
    Members(Arc<Mutex<Client>>),
}

impl Asking {
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, Failure> {
        match self {
            Self::Node(node) => Ok(node.ask(ask.clone()).await),
            Self::Members(client) => Ok(client.lock().await.ask(ask).await?),
        }
    }

    /// Has an order committed. It is repeated while no node coordinates, so it must be one that may be carried out
    /// twice.
    pub(super) async fn order(&self, ask: Ask) -> Result<(), Failure> {
        let deadline = Instant::now() + DECIDED_MAX;
        loop {
            match self.ask(&ask).await {
                Ok(Answer::Done { .. }) => return Ok(()),
                Ok(Answer::Later | Answer::Overtaken) if Instant::now() < deadline => {}
                Ok(other) => return Err(refused(other)),
                Err(failure) if failure.exit == Exit::NoAnswer && Instant::now() < deadline => {}
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn stable(&self) -> Result<Status, Failure> {
        let mut answered = Instant::now();
        loop {
            match self.ask(&Ask::Status).await {
                Ok(Answer::Status(status)) if status.state == "stable" => return Ok(*status),
                Ok(Answer::Status(_)) => answered = Instant::now(),
                Ok(other) => return Err(refused(other)),
                Err(failure) if answered.elapsed() > SILENT_MAX => return Err(failure),
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
