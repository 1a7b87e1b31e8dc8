//! Node 0, the first node of a lineage, in the foreground or in a process of its own.
//!
//! The plan and the consent come before, in [`super::up`].

use super::beginning::Beginning;
use super::exit::{Exit, Failure};
use super::{Embedding, Session, known_providers, members_file, offline::Offline};
use crate::admin::ConfigText;
use crate::app_dir::{AppDir, Claim, Deployment};
use crate::node::{self, Founding, NodeHandle};
use rhizo_actuators::process::Program;
use rhizo_overlay::NodeSecret;
use rhizo_protocol::HaltReason;
use rhizo_types::ledger::{OverlaySecret, SetSpec, Timers};
use rhizo_types::spec::Spec;
use rhizo_types::{Lineage, Revision};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Lineage numbers stay below 2^53, so that any JSON reader takes them exactly.
const LINEAGE_BITS: u32 = 53;

/// Draws the number of a new lineage.
pub(crate) fn new_lineage() -> Lineage {
    Lineage(rand::random::<u64>() >> (u64::BITS - LINEAGE_BITS))
}

/// Stores the input of node 0 in the home. Returns `None`, and changes nothing, when the home has an application
/// already.
///
/// The record of the deployment comes last: once it is there, other commands expect the other records.
pub(crate) fn begin(
    session: &Session,
    claim: &Claim,
    config: &ConfigText,
    spec: &Spec,
    known: &Offline,
) -> Result<Option<Beginning>, Failure> {
    if session.home.deployment()?.is_some() {
        return Ok(None);
    }
    let deployment =
        Deployment { version: 1, app: spec.app.clone(), lineage: new_lineage(), others: Vec::new() };
    let timers = timers(known.longest_rtt_ms().unwrap_or(0.0), known.visible_ms());
    let beginning = Beginning { version: 1, deployment, config: config.clone(), timers };
    session.home.operator_secret(rand::random)?;
    session.home.set_beginning(&beginning)?;
    known_providers::add(&session.home, claim, spec)?;
    Ok(session.home.found(claim, &beginning.deployment)?.then_some(beginning))
}

/// Returns the timers of an overlay with this longest round trip. Any two members may be the last voters, so the timers
/// must fit the longest one: a leader counts only answers that arrive before its next heartbeat. The coordinator takes
/// an unlisted host for absent only after the longest visibility window of the providers.
fn timers(rtt_ms_max: f64, visible_ms: u64) -> Timers {
    let usual = if rtt_ms_max > 0.0 { Timers::WIDE } else { Timers::LOCAL };
    let raft = rhizo_log::Timers::for_round_trip(rtt_ms_max.ceil() as u64);
    Timers {
        raft_heartbeat_ms: raft.heartbeat_ms,
        raft_election_ms_min: raft.election_ms_min,
        raft_election_ms_max: raft.election_ms_max,
        visible_ms: usual.visible_ms.max(visible_ms),
        ..usual
    }
}

/// Starts node 0 in this process.
pub(crate) fn start(
    home: &AppDir,
    embedding: &Embedding,
    beginning: Beginning,
) -> Result<NodeHandle, Failure> {
    let failed = |message: String| Failure::new(Exit::Failed, message);
    let spec = crate::config::parse(&beginning.config).map_err(failed)?;
    let operator_secret = home.operator_secret(rand::random)?;
    let operator = NodeSecret::from_bytes(operator_secret);
    let program = Program::current().map_err(|error| failed(format!("find the executable: {error}")))?;
    let founding = Founding {
        app: beginning.deployment.app,
        lineage: beginning.deployment.lineage,
        operators: BTreeSet::from([operator.peer_key()]),
        timers: beginning.timers,
        overlay_secret: OverlaySecret(rand::random()),
        sealing_key: crate::secrets::key_of(&operator_secret),
        spec: SetSpec { revision: Revision(1), spec, source: beginning.config.text },
        dir: home.founder_dir(),
        state: home.path().to_owned(),
        program,
        members_changed: members_file::keep(home.clone()),
    };
    node::start_founder(founding, embedding.registry.clone(), tokio::runtime::Handle::current())
        .map_err(|error| failed(crate::error::chain(&error)))
}

/// The hidden command that runs node 0 in a process of its own, until it has left or the application is taken down.
pub(crate) async fn background(embedding: Embedding, directory: PathBuf) -> Result<Exit, Failure> {
    super::log_to_stderr(super::LOG_FILTER);
    let home = AppDir::below(&directory)?;
    let beginning: Beginning = home.beginning()?.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("find what to begin in `{}`", home.path().display()))
    })?;
    let mut handle = start(&home, &embedding, beginning)?;
    let embedding = Arc::new(embedding);
    tokio::select! {
        ended = handle.ended() => return finish(ended),
        () = super::terminated() => handle.stop(),
    }
    drop(embedding);
    finish(handle.ended().await)
}

/// Exit code of the process of node 0 after the other members declared it dead and went on without it. The `up` that
/// started the process reads this code.
pub(crate) const DECLARED_DEAD: Exit = Exit::PartlyDone;

fn finish(ended: Result<HaltReason, node::NodeError>) -> Result<Exit, Failure> {
    match ended {
        Ok(reason) => {
            tracing::info!(?reason, "node 0 ended");
            Ok(if reason == HaltReason::Left { Exit::Done } else { DECLARED_DEAD })
        }
        Err(error) => Err(Failure::new(Exit::Failed, crate::error::chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_way_of_the_catalogue_is_shorter_than_a_heartbeat() {
        assert_eq!(timers(0.0, 0).heartbeat_ms, Timers::LOCAL.heartbeat_ms);
        for rtt_ms_max in [1.0, 99.9, 267.75, 430.39, 2_000.0] {
            let timers = timers(rtt_ms_max, 0);
            assert!(timers.raft_heartbeat_ms as f64 > rtt_ms_max, "{timers:?} for {rtt_ms_max}");
        }
    }

    #[test]
    fn no_host_counts_as_absent_before_its_provider_lists_new_hosts() {
        assert_eq!(timers(0.0, 0).visible_ms, Timers::LOCAL.visible_ms);
        assert_eq!(timers(100.0, 60_000).visible_ms, 60_000);
    }
}
