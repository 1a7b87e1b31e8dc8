//! One running node: a thread of its own for the overlay, the log and the event loop; components run on the caller's
//! runtime.
//!
//! A node is either the founder, which begins a lineage, or the node of a host, which joins one with its ticket. Read
//! next: [`shell`] for the loop, [`join`] for the admission of a host's node.

mod admin;
pub(crate) mod catalogue;
mod effects;
mod facts;
mod inbound;
mod input;
mod join;
mod journal;
mod links;
mod own_statements;
mod planning;
mod providers;
mod replicated_log;
mod sensors;
mod shell;
pub(crate) mod solving;

pub(crate) use providers::make as make_providers;

use crate::admin::{Answer, Ask};
use crate::component::registry::Registry;
use crate::component::{Components, NodeView};
use input::{Input, QUEUE_LEN};
use journal::Journal;
use providers::Providers;
use rhizo_actuators::process::{HostDirectory, Program};
use rhizo_overlay::{LinkShaper, NodeSecret, Overlay, OverlayConfig};
use rhizo_protocol::HaltReason;
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::{Node as Core, NodeConfig};
use rhizo_types::ledger::{FOUNDER, Genesis, SetSpec};
use rhizo_types::{AppName, Lineage, NodeId, ProviderName, RegionName};
use sensors::Sensors;
use shell::{Parts, Shell};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// The port that nodes listen on when it is free. Each host has an address of its own, and a firewall can name a fixed
/// port.
const PORT: u16 = 4747;

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
    /// The node's journal could not be read or written.
    #[error("keep the node's records: {0}")]
    Journal(String),
    /// The node's thread or runtime could not be made, or ended early.
    #[error("run the node: {0}")]
    Ended(&'static str),
}

impl From<journal::JournalError> for NodeError {
    fn from(error: journal::JournalError) -> Self {
        Self::Journal(crate::error::chain(&error))
    }
}

/// The input of a founder: node 0 of a new lineage.
pub(crate) struct Founding {
    pub(crate) genesis: Genesis,
    pub(crate) spec: SetSpec,
    pub(crate) secret: NodeSecret,
    pub(crate) dir: PathBuf,
    /// The directory in which providers that run on this machine keep their state.
    pub(crate) state: PathBuf,
    /// The executable that new hosts run.
    pub(crate) program: Program,
    /// Called when the members have changed.
    pub(crate) members_changed: Box<dyn FnMut(&Ledger) + Send>,
}

/// A running node.
pub(crate) struct NodeHandle {
    input: mpsc::Sender<Input>,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<Result<HaltReason, NodeError>>,
}

impl NodeHandle {
    /// Asks the node a question, as an operator would.
    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let (reply, answer) = oneshot::channel();
        let gone = || Answer::Refused { reason: "ask the node: it has stopped".to_owned(), hint: None };
        if self.input.send(Input::Ask(ask, reply)).await.is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
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
    Ok(NodeHandle { input, stop, ended })
}

/// Starts node 0 of a new lineage on a thread of its own. Components run on `runtime`.
pub(crate) fn start_founder(
    founding: Founding,
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
) -> Result<NodeHandle, NodeError> {
    spawn(move |ends| async move {
        make_dir(&founding.dir)?;
        let (journal, records) = Journal::open(&founding.dir.join("journal"))?;
        let address = IpAddr::from([127, 0, 0, 1]);
        let Genesis { app, lineage, .. } = &founding.genesis;
        let (overlay, events) = bind(founding.secret, app, *lineage, address, None).await?;
        let (lineage, timers) = (*lineage, founding.genesis.timers);
        let mut genesis = founding.genesis;
        let app = genesis.app.clone();
        genesis.founder.addresses = overlay.listen_address().into_iter().collect();
        let view = NodeView {
            id: FOUNDER,
            provider: genesis.founder.provider.clone(),
            region: genesis.founder.region.clone(),
            address,
        };
        let core = Core::new(NodeConfig {
            me: FOUNDER,
            ledger: Ledger::default(),
            records,
            genesis: Some(Box::new((genesis, founding.spec))),
        });
        let components = components(app, view, &founding.dir, registry, runtime, &ends.input);
        let _sensors = Sensors::of_real_host(FOUNDER, &founding.dir, ends.input.clone());
        let parts = Parts {
            core,
            dir: founding.dir,
            journal,
            overlay,
            events,
            components,
            input: ends.input,
            inputs: ends.inputs,
            providers: Providers::new(founding.state, founding.program),
            stop: ends.stop,
            members_changed: founding.members_changed,
        };
        Shell::run(parts, Some((lineage, timers))).await
    })
}

/// Starts the node of a host on a thread of its own. It joins with the ticket in the host's boot document. Components run
/// on `runtime`.
pub(crate) fn start_host(
    home: HostDirectory,
    program: Program,
    registry: Arc<Registry>,
    app_sensors: Vec<crate::app::AppSensor>,
    runtime: tokio::runtime::Handle,
) -> Result<NodeHandle, NodeError> {
    spawn(move |mut ends| async move {
        let dir = home.node_directory();
        make_dir(&dir)?;
        let file = |source| NodeError::File { step: "read the boot document of", path: dir.clone(), source };
        let boot =
            rhizo_protocol::codec::decode_boot(&home.boot().map_err(file)?).map_err(NodeError::Boot)?;
        let (journal, records) = Journal::open(&dir.join("journal"))?;
        let shaper = Shaper(home.delay_table());
        let app = AppName(boot.app.clone());
        let secret = NodeSecret::generate();
        let (overlay, mut events) =
            bind(secret, &app, boot.lineage, home.address(), Some(Arc::new(shaper))).await?;
        let joined = join::join(&boot, home.host().clone(), &overlay, &mut events, &mut ends.stop).await?;
        home.mark_joined().map_err(|source| NodeError::File {
            step: "mark as joined",
            path: dir.clone(),
            source,
        })?;
        let view = node_view(joined.node, home.provider(), home.region(), home.address());
        let components = components(app, view, &dir, registry, runtime, &ends.input);
        let state = home.state_directory().to_owned();
        let _sensors = Sensors::of_host(joined.node, home, app_sensors, ends.input.clone());
        let core = Core::new(NodeConfig { me: joined.node, ledger: joined.ledger, records, genesis: None });
        let parts = Parts {
            core,
            dir,
            journal,
            overlay,
            events,
            components,
            input: ends.input,
            inputs: ends.inputs,
            providers: Providers::new(state, program),
            stop: ends.stop,
            members_changed: Box::new(|_| {}),
        };
        Shell::run(parts, None).await
    })
}

fn node_view(id: NodeId, provider: &ProviderName, region: &RegionName, address: IpAddr) -> NodeView {
    NodeView { id, provider: provider.clone(), region: region.clone(), address }
}

fn components(
    app: AppName,
    view: NodeView,
    dir: &Path,
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
    input: &mpsc::Sender<Input>,
) -> Components {
    let (reports, mut reported) = mpsc::channel(QUEUE_LEN);
    let input = input.clone();
    tokio::spawn(async move {
        while let Some(report) = reported.recv().await {
            if input.send(Input::Component(report)).await.is_err() {
                return;
            }
        }
    });
    Components::new(app, view, dir.join("instances"), registry, runtime, reports)
}

fn make_dir(dir: &Path) -> Result<(), NodeError> {
    std::fs::create_dir_all(dir).map_err(|source| NodeError::File {
        step: "make",
        path: dir.to_owned(),
        source,
    })
}

/// Binds the overlay at [`PORT`], or at a free port when that one is in use.
async fn bind(
    secret: NodeSecret,
    app: &AppName,
    lineage: Lineage,
    address: IpAddr,
    shaper: Option<Arc<dyn LinkShaper>>,
) -> Result<(Overlay, rhizo_overlay::OverlayEvents), NodeError> {
    let config = |port| {
        let listen = Some(SocketAddr::new(address, port));
        let mut config = OverlayConfig::new(secret.clone(), app.clone(), lineage, listen);
        config.shaper.clone_from(&shaper);
        config
    };
    match Overlay::bind(config(PORT)).await {
        Err(rhizo_overlay::BindError::Listen { .. }) => Ok(Overlay::bind(config(0)).await?),
        bound => Ok(bound?),
    }
}

/// The emulated delay to another host of this machine.
struct Shaper(rhizo_actuators::process::DelayTable);

impl LinkShaper for Shaper {
    fn one_way_delay(&self, remote: SocketAddr) -> std::time::Duration {
        self.0.one_way_delay(remote.ip()).unwrap_or_else(|error| {
            tracing::warn!(error = %crate::error::chain(&error), "delay could not be read and is taken as zero");
            std::time::Duration::ZERO
        })
    }
}
