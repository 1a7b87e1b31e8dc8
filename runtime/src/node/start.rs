//! How a node begins: the founder, the node of a new host, and both after a restart in the same directory.
//!
//! The founder begins a lineage. The node of a new host joins one with its ticket. A node that has been a member before
//! resumes: it has its old key and id, opens the log that it had, and starts its instances again by the ledger. The
//! processes of the instances are gone: a node restarts only after a power cut or after its own end, which its
//! supervisor makes the end of all of them. Read next: [`super::identity`] for the files, [`super::join`], [`Shell`].

use super::identity::{Identity, Resumed};
use super::input::{Input, QUEUE_LEN};
use super::journal::Journal;
use super::providers::Providers;
use super::sensors::Sensors;
use super::shell::{Opening, Parts, Shell};
use super::{Ends, NodeError, NodeHandle, join, spawn};
use crate::component::artifacts::Artifacts;
use crate::component::registry::Registry;
use crate::component::{Components, NodeView, Surroundings};
use rhizo_actuators::process::{HostDirectory, Program};
use rhizo_overlay::{LinkShaper, NodeSecret, Overlay, OverlayConfig, OverlayEvents};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::{Node as Core, NodeConfig};
use rhizo_traffic::{Lookup, Traffic};
use rhizo_types::ledger::{FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::secret::SealingKey;
use rhizo_types::wire::{Boot, Record};
use rhizo_types::{AppName, Lineage, NODE_PORT, NodeId, PeerKey, ProviderName, RegionName};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The input of a founder: node 0 of a lineage.
pub(crate) struct Founding {
    pub(crate) app: AppName,
    pub(crate) lineage: Lineage,
    /// Keys that may act as operator.
    pub(crate) operators: BTreeSet<PeerKey>,
    pub(crate) timers: Timers,
    /// The secret from which the tickets of hosts are derived. A founder that resumes keeps that of the ledger.
    pub(crate) overlay_secret: OverlaySecret,
    /// The key that opens the application's secrets.
    pub(crate) sealing_key: SealingKey,
    pub(crate) spec: SetSpec,
    pub(crate) dir: PathBuf,
    /// The directory in which providers that run on this machine keep their state.
    pub(crate) state: PathBuf,
    /// The executable that new hosts run.
    pub(crate) program: Program,
    /// Called when the members have changed.
    pub(crate) members_changed: Box<dyn FnMut(&Ledger) + Send>,
}

/// Starts node 0 on a thread of its own: it begins the lineage, or resumes when its directory is that of a member.
/// Components run on `runtime`.
pub(crate) fn start_founder(
    founding: Founding,
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
) -> Result<NodeHandle, NodeError> {
    let kinds = registry.kinds().clone();
    spawn(move |ends| async move {
        make_dir(&founding.dir)?;
        let identity = Identity::new(&founding.dir);
        let secret = identity.secret()?;
        let resumed = identity.resumed()?;
        let (journal, records) = Journal::open(&founding.dir.join("journal"))?;
        let (app, key) = (founding.app, secret.peer_key());
        let address = IpAddr::from([127, 0, 0, 1]);
        let at = Listen { address, port: port_of(resumed.as_ref()), shaper: None };
        let lineage = resumed.as_ref().map_or(founding.lineage, |resumed| resumed.ledger.lineage());
        let (overlay, events) = bind(secret, &app, lineage, at).await?;
        let founder = founder(key, overlay.listen_address());
        let view = view_of_founder(&founder, address);
        let (traffic, lookups) = traffic(FOUNDER, &overlay)?;
        let (key, dir) = (Some(founding.sealing_key), &founding.dir);
        let host = Host { app: app.clone(), view, dir, key: key.clone(), traffic: traffic.clone() };
        let components = components(host, &overlay, (registry, runtime), &ends.input)?;
        let _sensors = Sensors::of_real_host(FOUNDER, &founding.dir, ends.input.clone());
        let (config, opening) = match resumed {
            Some(resumed) => resume(resumed, records),
            None => {
                let genesis = Genesis {
                    app,
                    lineage,
                    founder,
                    operators: founding.operators,
                    timers: founding.timers,
                    overlay_secret: founding.overlay_secret,
                };
                begin(genesis, founding.spec, records)
            }
        };
        let parts = Parts {
            core: Core::new(config),
            dir: founding.dir,
            journal,
            overlay,
            events,
            components,
            traffic,
            lookups,
            input: ends.input,
            inputs: ends.inputs,
            providers: Providers::new(founding.state, founding.program, kinds),
            stop: ends.stop,
            identity,
            sealing_key: key,
            ending: None,
            members_changed: founding.members_changed,
        };
        Shell::run(parts, opening).await
    })
}

/// The core's input and the log's opening of a new lineage.
fn begin(genesis: Genesis, spec: SetSpec, records: Vec<Record>) -> (NodeConfig, Opening) {
    let opening = Opening::Found(genesis.lineage, genesis.timers);
    let genesis = Some(Box::new((genesis, spec)));
    (NodeConfig { me: FOUNDER, ledger: Ledger::default(), records, genesis }, opening)
}

/// The founder as its instances would see it.
fn view_of_founder(founder: &MemberRecord, address: IpAddr) -> NodeView {
    let (provider, region) = (founder.provider.clone(), founder.region.clone());
    NodeView { id: FOUNDER, provider, region, address }
}

/// The founder as a member. No provider sells its host.
fn founder(key: PeerKey, address: Option<SocketAddr>) -> MemberRecord {
    MemberRecord {
        key,
        addresses: address.into_iter().collect(),
        provider: ProviderName::from("founder"),
        region: RegionName::from("founder"),
        intent: None,
    }
}

/// Starts the node of a host on a thread of its own. It resumes when the host has booted before and its node has
/// joined; otherwise it joins with the ticket in the host's boot document. Components run on `runtime`.
pub(crate) fn start_host(
    home: HostDirectory,
    program: Program,
    registry: Arc<Registry>,
    app_sensors: Vec<rhizo_sensors::AppSensor>,
    runtime: tokio::runtime::Handle,
) -> Result<NodeHandle, NodeError> {
    let kinds = registry.kinds().clone();
    spawn(move |mut ends| async move {
        let dir = home.node_directory();
        make_dir(&dir)?;
        let file = |source| NodeError::File { step: "read the boot document of", path: dir.clone(), source };
        let boot =
            rhizo_protocol::codec::decode_boot(&home.boot().map_err(file)?).map_err(NodeError::Boot)?;
        let app = AppName(boot.app.clone());
        let (journal, records) = Journal::open(&dir.join("journal"))?;
        let identity = Identity::new(&dir);
        let entered = enter(&home, &boot, &app, &identity, records, &mut ends).await?;
        let me = entered.config.me;
        let view = NodeView {
            id: me,
            provider: home.provider().clone(),
            region: home.region().clone(),
            address: home.address(),
        };
        let (traffic, lookups) = traffic(me, &entered.overlay)?;
        let key = entered.sealing_key;
        let host = Host { app, view, dir: &dir, key: key.clone(), traffic: traffic.clone() };
        let components = components(host, &entered.overlay, (registry, runtime), &ends.input)?;
        let (state, ending) = (home.state_directory().to_owned(), home.ending());
        let _sensors = Sensors::of_host(me, home, app_sensors, ends.input.clone());
        let parts = Parts {
            core: Core::new(entered.config),
            dir,
            journal,
            overlay: entered.overlay,
            events: entered.events,
            components,
            traffic,
            lookups,
            input: ends.input,
            inputs: ends.inputs,
            providers: Providers::new(state, program, kinds),
            stop: ends.stop,
            identity,
            sealing_key: key,
            ending: Some(ending),
            members_changed: Box::new(|_| {}),
        };
        Shell::run(parts, entered.opening).await
    })
}

/// A host's node as a member: with its links, and with all that its core and its log need.
struct Entered {
    config: NodeConfig,
    opening: Opening,
    /// The key that opens the application's secrets; none if the members have none.
    sealing_key: Option<SealingKey>,
    overlay: Overlay,
    events: OverlayEvents,
}

/// Makes the node a member, if it is none yet.
async fn enter(
    home: &HostDirectory,
    boot: &Boot,
    app: &AppName,
    identity: &Identity,
    records: Vec<Record>,
    ends: &mut Ends,
) -> Result<Entered, NodeError> {
    let secret = identity.secret()?;
    let resumed = identity.resumed()?;
    let lineage = resumed.as_ref().map_or(boot.lineage, |resumed| resumed.ledger.lineage());
    let shaper: Arc<dyn LinkShaper> = Arc::new(Shaper(home.delay_table()));
    let at = Listen { address: home.address(), port: port_of(resumed.as_ref()), shaper: Some(shaper) };
    let (overlay, mut events) = bind(secret, app, lineage, at).await?;
    let ((config, opening), sealing_key) = match resumed {
        Some(resumed) => (resume(resumed, records), identity.sealing_key()?),
        None => {
            let host = home.host().clone();
            let joined = join::join(boot, host, &overlay, &mut events, &mut ends.stop).await?;
            if let Some(key) = &joined.sealing_key {
                identity.keep_sealing_key(key)?;
            }
            identity.keep(joined.node, &joined.ledger)?;
            let config = NodeConfig { me: joined.node, ledger: joined.ledger, records, genesis: None };
            ((config, Opening::Wait), joined.sealing_key)
        }
    };
    home.mark_joined().map_err(|source| NodeError::File {
        step: "mark as joined",
        path: home.node_directory(),
        source,
    })?;
    Ok(Entered { config, opening, sealing_key, overlay, events })
}

/// The core's input and the log's opening after a restart.
fn resume(resumed: Resumed, records: Vec<Record>) -> (NodeConfig, Opening) {
    let Resumed { node, ledger } = resumed;
    tracing::info!(%node, index = ledger.index, "node resumes after a restart");
    (NodeConfig { me: node, ledger, records, genesis: None }, Opening::Reopen)
}

/// The port at which the other members know a restarted node.
fn port_of(resumed: Option<&Resumed>) -> u16 {
    let member = resumed.and_then(|resumed| resumed.ledger.members.get(&resumed.node));
    member.and_then(|member| member.record.addresses.first()).map_or(NODE_PORT, SocketAddr::port)
}

/// Starts the data plane of a node.
fn traffic(me: NodeId, overlay: &Overlay) -> Result<(Arc<Traffic>, mpsc::Receiver<Lookup>), NodeError> {
    let started = Traffic::start(me, overlay.stream_dialer(), overlay.accept_streams());
    let (traffic, lookups) = started.map_err(|_| NodeError::Ended("its data plane could not be started"))?;
    Ok((Arc::new(traffic), lookups))
}

/// The node that instances run on.
struct Host<'a> {
    app: AppName,
    view: NodeView,
    dir: &'a Path,
    key: Option<SealingKey>,
    traffic: Arc<Traffic>,
}

fn components(
    host: Host<'_>,
    overlay: &Overlay,
    (registry, runtime): (Arc<Registry>, tokio::runtime::Handle),
    input: &mpsc::Sender<Input>,
) -> Result<Components, NodeError> {
    let (reports, mut reported) = mpsc::channel(QUEUE_LEN);
    let input = input.clone();
    tokio::spawn(async move {
        while let Some(report) = reported.recv().await {
            if input.send(Input::Component(report)).await.is_err() {
                return;
            }
        }
    });
    let Host { app, view, dir, key, traffic } = host;
    let artifacts = Artifacts::start(dir, overlay, runtime.clone())?;
    let dir = dir.join("instances");
    let around = Surroundings { app, node: view, dir, registry, runtime, key, traffic, artifacts };
    Ok(Components::new(around, reports))
}

/// Makes a node's directory, which only its owner may enter: it holds the node's key and the ledger.
fn make_dir(dir: &Path) -> Result<(), NodeError> {
    rhizo_private_files::create_dirs(dir).map_err(|source| NodeError::File {
        step: "make",
        path: dir.to_owned(),
        source,
    })
}

/// Where and how a node listens.
struct Listen {
    address: IpAddr,
    /// The wanted port; a free one is taken when it is in use.
    port: u16,
    shaper: Option<Arc<dyn LinkShaper>>,
}

/// Binds the overlay.
async fn bind(
    secret: NodeSecret,
    app: &AppName,
    lineage: Lineage,
    at: Listen,
) -> Result<(Overlay, OverlayEvents), NodeError> {
    let config = |port| {
        let listen = Some(SocketAddr::new(at.address, port));
        let mut config = OverlayConfig::new(secret.clone(), app.clone(), lineage, listen);
        config.shaper.clone_from(&at.shaper);
        config
    };
    match Overlay::bind(config(at.port)).await {
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
