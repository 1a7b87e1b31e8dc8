//! Starts an application of this home again after a power cut: the emulated hosts first, then node 0.
//!
//! Everything comes back from the disk: node 0 and the nodes of hosts keep their keys, ids and logs, and the lineage
//! stays the same. Nothing is acquired here. The coordinator that the nodes elect lists the hosts, replaces those that
//! are gone and repeats unfinished orders with their tokens. Read next: [`super::up`], which calls this when no node
//! answers; `rhizo_actuators::Provider::resume` for the hosts.

use super::Session;
use super::beginning::Beginning;
use super::client::{Client, ClientError};
use super::exit::{Exit, Failure};
use super::sources::Sources;
use crate::admin::Status;
use crate::app_dir::Deployment;
use rhizo_types::ledger::FOUNDER;
use std::time::{Duration, Instant};

/// Time between two requests for the status.
const LOOK_MS: u64 = 100;

/// Whether the application has to be started again: node 0 of this home has ended, and no node answers or those that
/// answer have no quorum.
pub(super) async fn is_needed(session: &Session) -> Result<bool, Failure> {
    if session.home.founder()?.is_some_and(|founder| founder.is_alive()) {
        return Ok(false);
    }
    let mut client = session.client().await?;
    let answered = client.status().await;
    client.close().await;
    Ok(match answered {
        // Without node 0 on this machine, the nodes that answer have to find each other.
        Ok(status) => status.state == "no-quorum" && session.home.founder()?.is_some(),
        Err(error) => matches!(error, ClientError::NobodyAnswers),
    })
}

/// An application whose emulated hosts were booted again.
pub(super) struct Booted {
    /// The input of node 0.
    pub(super) beginning: Beginning,
    /// Whether node 0 has to be started: it has not left.
    pub(super) has_founder: bool,
}

/// Boots the hosts that this machine emulates, and says so.
pub(super) async fn boot(session: &Session, deployment: &Deployment) -> Result<Booted, Failure> {
    let beginning = session.home.beginning::<Beginning>()?.ok_or_else(|| {
        let message = format!("find the input of node 0 in `{}`", session.home.path().display());
        Failure::new(Exit::Failed, message).hint("`down` gives back what the providers still list")
    })?;
    let hosts = boot_hosts(session, deployment).await?;
    // Node 0 has left, or was given up by a recovery, if other members are known and it is none of them.
    let members = session.home.members()?;
    let is_member = members.is_empty() || members.iter().any(|member| member.node == FOUNDER);
    let has_founder = is_member && (session.home.founder()?.is_some() || members.is_empty());
    let node_0 = if has_founder { "node 0 and " } else { "" };
    session
        .console
        .note(&format!("`{}` did not run; starting {node_0}{hosts} hosts again\n", deployment.app));
    Ok(Booted { beginning, has_founder })
}

/// Boots the hosts that this machine emulates. Returns how many booted.
async fn boot_hosts(session: &Session, deployment: &Deployment) -> Result<usize, Failure> {
    let mut booted = 0;
    // Also the providers that were removed from the config, and without the data files of any.
    for (name, provider) in Sources::of(session, Some(deployment))?.callable() {
        for owner in deployment.owners() {
            booted += provider.resume(&owner).await.map_err(|error| {
                Failure::new(Exit::Failed, format!("{name}: {}", crate::error::chain(&error)))
            })?;
        }
    }
    Ok(booted)
}

/// Waits until the nodes have elected a coordinator.
pub(super) async fn await_quorum(session: &Session, timeout_s: u64) -> Result<Status, Failure> {
    let until = Instant::now() + Duration::from_secs(timeout_s);
    let mut client: Client = session.client().await?;
    loop {
        let answered = client.status().await;
        match answered {
            Ok(status) if status.coordinator.is_some() && status.state != "no-quorum" => {
                client.close().await;
                return Ok(status);
            }
            Ok(status) if Instant::now() >= until => {
                let unknown = format!("no quorum: none was found within {timeout_s} s");
                return Err(Failure::no_quorum(status.no_quorum.as_deref().unwrap_or(&unknown)));
            }
            Err(error) if Instant::now() >= until => return Err(error.into()),
            _ => tokio::time::sleep(Duration::from_millis(LOOK_MS)).await,
        }
    }
}
