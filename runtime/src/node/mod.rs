//! One running node: its own thread for the overlay, the log and the event loop; components on the caller's runtime.
//!
//! A node is either the founder, which begins a lineage, or the node of a host, which joins one by its ticket.
//! Read next: [`shell`] for the loop, [`join`] for the way in.

mod admin;
pub(crate) mod catalogue;
mod effects;
mod history;
mod inbound;
mod input;
mod join;
mod journal;
mod logbook;
mod peers;
mod record;
mod sense;
mod sensing;
mod shell;
pub(crate) mod solving;

pub use shell::View;

use crate::admin::{Answer, Ask};
use crate::component::embedded::Registry;
use crate::component::{Components, NodeView};
use input::{Input, QUEUE_LEN};
use journal::Journal;
use rhizo_actuators::process::{HostHome, Program};
use rhizo_actuators::{Provider, Surroundings, provider_from};
use rhizo_overlay::{LinkShaper, NodeSecret, Overlay, OverlayConfig};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::turn::HaltReason;
use rhizo_protocol::{Node as Core, NodeConfig};
use rhizo_types::ledger::{FOUNDER, Genesis, SetSpec};
use rhizo_types::spec::Spec;
use rhizo_types::{AppName, Lineage, NodeId, ProviderName, RegionName};
use sensing::Sensors;
use shell::{Parts, Shell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// The port nodes listen on, when it is free: each host has an address of its own, and a fixed port is one
/// that firewalls can name.
const PORT: u16 = 4747;

/// Why a node could not start, or had to stop. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A directory could not be made or a file not be read.
    #[error("{step} `{}`", path.display())]
    File {
        /// What was being done.
        step: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The boot document is unusable.
    #[error("read the boot document")]
    Boot(#[source] rhizo_protocol::codec::DecodeError),
    /// The overlay could not start.
    #[error("start the overlay")]
    Overlay(#[from] rhizo_overlay::BindError),
    /// The log could not be opened.
    #[error("open the log")]
    Log(#[from] rhizo_log::OpenError),
    /// The log could not be founded.
    #[error("found the overlay: {0}")]
    Found(String),
    /// The node was not let in.
    #[error("join the overlay: {0}")]
    Join(String),
    /// The node's durable records could not be kept.
    #[error("keep the node's records: {0}")]
    Journal(String),
    /// The thread or its runtime could not be made, or ended.
    #[error("run the node: {0}")]
    Ended(&'static str),
}

impl From<journal::JournalError> for NodeError {
    fn from(error: journal::JournalError) -> Self {
        Self::Journal(crate::error::chain(&error))
    }
}

/// Providers made from a spec, and why some could not be.
pub(super) struct MadeProviders {
    providers: BTreeMap<ProviderName, Arc<dyn Provider>>,
    problems: Vec<String>,
}

type ProviderMaker = Box<dyn Fn(Option<&Spec>) -> MadeProviders + Send>;

/// Makes the providers of a spec; `state` is where those that run on this machine keep theirs.
pub(crate) fn providers(
    spec: &Spec,
    state: &Path,
    program: &Program,
) -> (BTreeMap<ProviderName, Arc<dyn Provider>>, Vec<String>) {
    // Config has made every path of the settings absolute.
    let surroundings =
        Surroundings { base_dir: PathBuf::from("/"), state_dir: state.to_owned(), program: program.clone() };
    let (mut made, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, configured) in &spec.providers {
        let table = serde_json::from_str(&configured.settings).unwrap_or(serde_json::Value::Null);
        match provider_from(&configured.kind, name, &table, &surroundings) {
            Ok(provider) => {
                made.insert(name.clone(), Arc::from(provider));
            }
            Err(error) => problems.push(crate::error::chain(&error)),
        }
    }
    (made, problems)
}

fn maker(state: PathBuf, program: Program) -> ProviderMaker {
    Box::new(move |spec| {
        let (providers, problems) = spec.map(|spec| providers(spec, &state, &program)).unwrap_or_default();
        MadeProviders { providers, problems }
    })
}

/// What a founder begins with.
pub(crate) struct Founding {
    pub(crate) genesis: Genesis,
    pub(crate) spec: SetSpec,
    pub(crate) secret: NodeSecret,
    pub(crate) dir: PathBuf,
    /// Where providers that run on this machine keep their state.
    pub(crate) state: PathBuf,
    pub(crate) program: Program,
    pub(crate) members_changed: Box<dyn FnMut(&Ledger) + Send>,
}

/// A running node.
pub struct NodeHandle {
    input: mpsc::Sender<Input>,
    stop: watch::Sender<bool>,
    view: watch::Receiver<View>,
    ended: oneshot::Receiver<Result<HaltReason, NodeError>>,
}

impl NodeHandle {
    /// Asks the node a question, as an operator would.
    pub async fn ask(&self, ask: Ask) -> Answer {
        let (reply, answer) = oneshot::channel();
        let gone = || Answer::Refused { reason: "ask the node: it has stopped".to_owned(), hint: None };
        if self.input.send(Input::Ask(ask, reply)).await.is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
    }

    /// What the node sees, as it changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Tells the node to stop its instances and end, without leaving the overlay first.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the node has ended.
    ///
    /// # Errors
    /// When it could not start or had to stop.
    pub async fn ended(&mut self) -> Result<HaltReason, NodeError> {
        match (&mut self.ended).await {
            Ok(ended) => ended,
            Err(_) => Err(NodeError::Ended("its thread ended without a word")),
        }
    }
}

/// The queues of a node, in pairs.
struct Ends {
    input: mpsc::Sender<Input>,
    inputs: mpsc::Receiver<Input>,
    stop: watch::Receiver<bool>,
    view: watch::Sender<View>,
}

/// Starts a thread with a runtime of its own and runs a node on it.
fn spawn<F, Fut>(body: F) -> Result<NodeHandle, NodeError>
where
    F: FnOnce(Ends) -> Fut + Send + 'static,
    Fut: Future<Output = Result<HaltReason, NodeError>>,
{
    let (input, inputs) = mpsc::channel(QUEUE_LEN);
    let (stop, stop_seen) = watch::channel(false);
    let (view, view_seen) = watch::channel(View::default());
    let (done, ended) = oneshot::channel();
    let ends = Ends { input: input.clone(), inputs, stop: stop_seen, view };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|_| NodeError::Ended("its runtime could not be made"))?;
    let thread = std::thread::Builder::new().name("rhizo-node".to_owned()).spawn(move || {
        let result = runtime.block_on(body(ends));
        // Tasks of the overlay and of instances have ended; a provider call that hangs is not waited for.
        runtime.shutdown_background();
        let _nobody_waits = done.send(result);
    });
    thread.map_err(|_| NodeError::Ended("its thread could not be made"))?;
    Ok(NodeHandle { input, stop, view: view_seen, ended })
}

/// Starts node 0 of a new lineage. Components run on `runtime`.
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
        let _sensors = Sensors::of_process(FOUNDER, ends.input.clone());
        let parts = Parts {
            core,
            dir: founding.dir,
            journal,
            overlay,
            events,
            components,
            input: ends.input,
            inputs: ends.inputs,
            make_provider: maker(founding.state, founding.program),
            stop: ends.stop,
            view: ends.view,
            members_changed: founding.members_changed,
        };
        Shell::run(parts, Some((lineage, timers))).await
    })
}

/// Starts the node of a host: joins by the ticket in the host's boot document. Components run on `runtime`.
pub(crate) fn start_host(
    home: HostHome,
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
            make_provider: maker(state, program),
            stop: ends.stop,
            view: ends.view,
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

/// Binds the overlay at the usual port, or at a free one when somebody else has that.
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

/// The emulated distance to another host of this machine.
struct Shaper(rhizo_actuators::process::DelayTable);

impl LinkShaper for Shaper {
    fn one_way_delay(&self, remote: SocketAddr) -> std::time::Duration {
        self.0.one_way_delay(remote.ip()).unwrap_or_else(|error| {
            tracing::warn!(error = %crate::error::chain(&error), "delay is not known, and taken as none");
            std::time::Duration::ZERO
        })
    }
}
