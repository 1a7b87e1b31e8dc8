//! Running the instances of this node: starting, watching, re-binding and stopping them, as ordered.
//!
//! It makes no choice: which instance runs where, and when, is decided by `rhizo-protocol`; this module
//! carries out one order per instance and reports what became of it. One task per instance, on the
//! application's own runtime. Read next: [`exec`] for programs, [`embedded`] for Rust closures.

pub mod embedded;
mod exec;
pub mod logs;
mod probe;
mod template;

use embedded::{Embedded, Registry};
use rhizo_protocol::Told;
use rhizo_types::message::Served;
use rhizo_types::spec::{Component, Run};
use rhizo_types::{
    AppName, ComponentName, Generation, InstanceId, NodeId, PortName, ProviderName, RegionName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Addresses an instance is given for its imports: empty when nothing is bound.
pub type ImportTable = BTreeMap<PortName, Vec<SocketAddr>>;

/// Addresses an instance offers at its exports.
pub type ExportTable = BTreeMap<PortName, SocketAddr>;

/// An instance that has not started within this time has failed. Long enough for a program that warms up
/// its caches, short enough for an operator who waits; a life-cycle with its own time-outs will replace it.
const START_MS_MAX: u64 = 60_000;

/// What a component may know of the node it runs on.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// The node's number in the overlay.
    pub id: NodeId,
    /// The provider the host comes from.
    pub provider: ProviderName,
    /// The region the host is in.
    pub region: RegionName,
    /// The address instances listen on.
    pub address: IpAddr,
}

/// An order to start one instance.
#[derive(Clone, Debug)]
pub struct Order {
    /// The application it belongs to.
    pub app: AppName,
    /// Which instance.
    pub instance: InstanceId,
    /// The fence it was started under; every report carries it back.
    pub generation: Generation,
    /// What it is, from the spec.
    pub component: Arc<Component>,
    /// What its imports are bound to at the start.
    pub imports: Told,
}

/// What became of an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It works and listens at these addresses.
    Started(ExportTable),
    /// It could not be started, for this reason.
    StartFailed(String),
    /// It had started and came to an end by itself or failed its health check, for this reason.
    Failed(String),
    /// It was stopped as ordered; nothing of it runs any more.
    Stopped,
}

/// One thing an instance's task has to tell the node's event loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Which instance.
    pub instance: InstanceId,
    /// The fence under which it was started.
    pub generation: Generation,
    /// What became of it.
    pub outcome: Outcome,
}

/// What the task of one instance works with.
struct Task {
    order: Order,
    node: NodeView,
    dir: PathBuf,
    imports: watch::Receiver<ImportTable>,
    stop: watch::Receiver<bool>,
    reports: mpsc::Sender<Report>,
}

impl Task {
    async fn report(&self, outcome: Outcome) {
        let Order { instance, generation, .. } = &self.order;
        let report = Report { instance: instance.clone(), generation: *generation, outcome };
        // The loop is gone only when the whole node stops: nobody is left to tell.
        let _gone = self.reports.send(report).await;
    }
}

/// Resolves when the flag is raised, or when whoever could raise it is gone.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    let _sender_gone = flag.wait_for(|raised| *raised).await;
}

struct Running {
    generation: Generation,
    told: Told,
    imports: watch::Sender<ImportTable>,
    stop: watch::Sender<bool>,
}

fn addresses(told: &BTreeMap<InstanceId, Served>) -> Vec<SocketAddr> {
    told.values().filter_map(|served| served.address).collect()
}

/// All instances of this node.
pub struct Components {
    node: NodeView,
    dir: PathBuf,
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
    reports: mpsc::Sender<Report>,
    running: BTreeMap<InstanceId, Running>,
}

impl Components {
    /// Prepares to run instances below `dir`, on `runtime`; outcomes go to `reports`.
    pub fn new(
        node: NodeView,
        dir: PathBuf,
        registry: Arc<Registry>,
        runtime: tokio::runtime::Handle,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        Self { node, dir, registry, runtime, reports, running: BTreeMap::new() }
    }

    /// Starts an instance. Its outcome is reported; an older generation of it is told to stop first.
    pub fn start(&mut self, order: Order) {
        let table = order.imports.iter().map(|(port, told)| (port.clone(), addresses(told))).collect();
        let (imports, imports_seen) = watch::channel(table);
        let (stop, stop_seen) = watch::channel(false);
        let told = order.imports.clone();
        let running = Running { generation: order.generation, told, imports, stop };
        if let Some(older) = self.running.insert(order.instance.clone(), running) {
            older.stop.send_replace(true);
        }
        let task = Task {
            dir: self.dir.join(format!("{}-g{}", order.instance, order.generation)),
            node: self.node.clone(),
            imports: imports_seen,
            stop: stop_seen,
            reports: self.reports.clone(),
            order,
        };
        let embedded = self.embedded(&task.order.instance.component, &task.order.component.run);
        self.runtime.spawn(async move {
            match embedded {
                Err(reason) => task.report(Outcome::StartFailed(reason)).await,
                Ok(Some(closure)) => embedded::run(task, closure).await,
                Ok(None) => exec::run(task).await,
            }
        });
    }

    fn embedded(&self, name: &ComponentName, run: &Run) -> Result<Option<Embedded>, String> {
        match run {
            Run::Exec { .. } | Run::Script { .. } | Run::Nothing => Ok(None),
            Run::Embedded => match self.registry.get(name) {
                Some(closure) => Ok(Some(closure.clone())),
                None => Err(format!("this binary has no closure for component `{name}`")),
            },
        }
    }

    /// Tells an instance that one import has changed; an instance that is gone is left alone.
    pub fn rebind(
        &mut self,
        instance: &InstanceId,
        generation: Generation,
        import: &PortName,
        bound: BTreeMap<InstanceId, Served>,
        unbound: &BTreeSet<InstanceId>,
    ) {
        let running = self.running.get_mut(instance).filter(|running| running.generation == generation);
        let Some(running) = running else { return };
        let told = running.told.entry(import.clone()).or_default();
        told.retain(|exporter, _| !unbound.contains(exporter));
        told.extend(bound);
        let addresses = addresses(told);
        running.imports.send_if_modified(|table| {
            let differs = table.get(import) != Some(&addresses);
            table.insert(import.clone(), addresses);
            differs
        });
    }

    /// Tells an instance to stop; [`Outcome::Stopped`] follows. Returns whether there was such an instance.
    pub fn stop(&mut self, instance: &InstanceId, generation: Generation) -> bool {
        match self.running.get(instance) {
            Some(running) if running.generation == generation => {
                running.stop.send_replace(true);
                true
            }
            _ => false,
        }
    }

    /// Forgets an instance whose last report has arrived.
    pub fn ended(&mut self, instance: &InstanceId, generation: Generation) {
        if self.running.get(instance).is_some_and(|running| running.generation == generation) {
            self.running.remove(instance);
        }
    }

    /// Whether every instance has ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Tells every instance to stop.
    pub fn stop_all(&mut self) {
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
    }
}
