//! Running the instances of this node: starting, watching, re-binding and stopping them, and their actions, as
//! ordered.
//!
//! It makes no choice: which instance runs where, and what is done when, is decided by `rhizo-protocol`; this
//! module carries out one order after the other and reports what became of it. Every service and every action has
//! a task of its own, on the application's own runtime. Read next: [`exec`] for programs, [`embedded`] for Rust
//! closures, [`action`] for actions.

pub mod action;
mod action_output;
pub mod embedded;
mod exec;
mod http_client;
pub mod instance_log;
mod ports;
mod probe;
mod program;
mod run_report;
mod template;

pub use run_report::{RunOutcome, RunReport};

use action::Act;
use embedded::Registry;
use instance_log::InstanceLog;
use rhizo_protocol::event::ActResult;
use rhizo_protocol::turn::{ActCall, ActionId, RunId, StartCall};
use rhizo_protocol::{Bound, BoundImports};
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::{Component, Run};
use rhizo_types::{AppName, InstanceId, NodeId, PortName, ProviderName, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use template::Scope;
use tokio::sync::{mpsc, watch};

/// Addresses an instance offers at its exports.
pub type ExportTable = BTreeMap<PortName, SocketAddr>;

/// An instance that has not started within this time has failed, unless its life-cycle gives up earlier. Long
/// enough for a program that warms up its caches, short enough for an operator who waits.
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

/// What the service of one instance works with.
struct Task {
    run: RunId,
    component: Arc<Component>,
    scope: Scope,
    imports: watch::Receiver<BoundImports>,
    attributes: watch::Receiver<Values>,
    stop: watch::Receiver<bool>,
    log: Arc<InstanceLog>,
    reports: mpsc::Sender<RunReport>,
}

impl Task {
    async fn report(&self, outcome: RunOutcome) {
        tell(&self.reports, self.run.clone(), outcome).await;
    }
}

async fn tell(reports: &mpsc::Sender<RunReport>, run: RunId, outcome: RunOutcome) {
    // The loop is gone only when the whole node stops: nobody is left to tell.
    let _gone = reports.send(RunReport { run, outcome }).await;
}

/// Resolves when the flag is raised, or when whoever could raise it is gone.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    let _sender_gone = flag.wait_for(|raised| *raised).await;
}

/// One run of one instance, from its first action to whatever ends it.
struct Live {
    run: RunId,
    exports: ExportTable,
    imports: watch::Sender<BoundImports>,
    attributes: watch::Sender<Values>,
    log: Arc<InstanceLog>,
    /// The flag that stops its service, while there is one.
    service: Option<watch::Sender<bool>>,
    /// The flags that cancel its actions, by number.
    actions: BTreeMap<u32, watch::Sender<bool>>,
}

impl Live {
    fn is_idle(&self) -> bool {
        self.service.is_none() && self.actions.is_empty()
    }

    fn stop_all(&self) {
        for flag in self.service.iter().chain(self.actions.values()) {
            flag.send_replace(true);
        }
    }
}

/// All instances of this node.
pub struct Components {
    app: AppName,
    node: NodeView,
    dir: PathBuf,
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
    reports: mpsc::Sender<RunReport>,
    live: BTreeMap<InstanceId, Live>,
}

impl Components {
    /// Prepares to run instances below `dir`, on `runtime`; outcomes go to `reports`.
    pub fn new(
        app: AppName,
        node: NodeView,
        dir: PathBuf,
        registry: Arc<Registry>,
        runtime: tokio::runtime::Handle,
        reports: mpsc::Sender<RunReport>,
    ) -> Self {
        Self { app, node, dir, registry, runtime, reports, live: BTreeMap::new() }
    }

    /// The run, which begins with the first order that names it; an earlier run of the instance is told to end.
    fn live(&mut self, run: &RunId) -> &mut Live {
        let current = self.live.get(&run.instance).is_some_and(|live| live.run == *run);
        if !current {
            let live = Live {
                run: run.clone(),
                exports: ExportTable::new(),
                imports: watch::channel(BoundImports::new()).0,
                attributes: watch::channel(Values::new()).0,
                log: Arc::new(InstanceLog::new(self.dir_of(run))),
                service: None,
                actions: BTreeMap::new(),
            };
            if let Some(older) = self.live.insert(run.instance.clone(), live) {
                older.stop_all();
            }
        }
        self.live.get_mut(&run.instance).expect("it was there, or was just inserted")
    }

    fn dir_of(&self, run: &RunId) -> PathBuf {
        self.dir.join(format!("{}-g{}", run.instance, run.generation))
    }

    /// What a run knows now; its ports are chosen when it is asked for the first time.
    fn scope(
        &mut self,
        run: &RunId,
        component: &Component,
        imports: BoundImports,
        values: Values,
    ) -> Result<Scope, String> {
        let (node, dir, app) = (self.node.clone(), self.dir_of(run), self.app.clone());
        let live = self.live(run);
        live.attributes.send_replace(component.attributes.clone());
        live.imports.send_replace(imports.clone());
        // A closure listens itself, at a port that the kernel gives it for good.
        if !matches!(component.run, Run::Embedded) && live.exports.is_empty() {
            live.exports = ports::choose(node.address, &component.exports)
                .map_err(|error| format!("its ports could not be taken: {error}"))?;
        }
        let (exports, attributes) = (live.exports.clone(), component.attributes.clone());
        let instance = run.instance.clone();
        Ok(Scope { app, instance, node, dir, exports, imports, attributes, values })
    }

    /// Starts the service of an instance. Its outcome is reported.
    pub fn start(&mut self, call: StartCall) {
        let StartCall { run, component, version: _, imports, values } = call;
        let scope = self.scope(&run, &component, imports, values);
        let registry = self.registry.clone();
        let reports = self.reports.clone();
        let live = self.live(&run);
        let (stop, stop_seen) = watch::channel(false);
        live.service = Some(stop);
        let (imports, attributes) = (live.imports.subscribe(), live.attributes.subscribe());
        let log = live.log.clone();
        self.runtime.spawn(async move {
            let scope = match scope {
                Ok(scope) => scope,
                Err(reason) => return tell(&reports, run, RunOutcome::StartFailed(reason)).await,
            };
            let task = Task { run, component, scope, imports, attributes, stop: stop_seen, log, reports };
            let name = &task.run.instance.component;
            match (&task.component.run, registry.closure(name)) {
                (Run::Embedded, Some(closure)) => embedded::run(task, closure).await,
                (Run::Embedded, None) => {
                    let reason = format!("this binary has no closure for component `{name}`");
                    task.report(RunOutcome::StartFailed(reason)).await;
                }
                (Run::Exec { .. } | Run::Script { .. } | Run::Nothing, _) => exec::run(task).await,
            }
        });
    }

    /// Begins an action. Its outcome is reported.
    pub fn act(&mut self, call: ActCall) {
        let ActCall { id: ActionId { run, number }, step, action, component, version: _, imports, values } =
            call;
        tracing::debug!(instance = %run.instance, step, number, "action begins");
        let scope = self.scope(&run, &component, imports, values);
        let registry = self.registry.clone();
        let reports = self.reports.clone();
        let live = self.live(&run);
        let (cancel, cancel_seen) = watch::channel(false);
        live.actions.insert(number, cancel);
        let log = live.log.clone();
        self.runtime.spawn(async move {
            let result = match scope {
                Ok(scope) => {
                    action::carry_out(Act { action, component, scope, log, registry, cancel: cancel_seen })
                        .await
                }
                Err(reason) => ActResult::Failed { reason },
            };
            tell(&reports, run, RunOutcome::Acted { number, result }).await;
        });
    }

    /// Ends an action; its one outcome follows. Returns whether there was such an action.
    pub fn cancel(&mut self, action: &ActionId) -> bool {
        let live = self.current(&action.run);
        let flag = live.and_then(|live| live.actions.get(&action.number));
        flag.map(|flag| flag.send_replace(true)).is_some()
    }

    /// Tells a run that one import has changed; a run that is gone is left alone.
    pub fn rebind(&mut self, run: &RunId, import: &PortName, bound: Bound, unbound: &BTreeSet<InstanceId>) {
        let Some(live) = self.current(run) else { return };
        live.imports.send_modify(|told| {
            let exporters = told.entry(import.clone()).or_default();
            exporters.retain(|exporter, _| !unbound.contains(exporter));
            exporters.extend(bound);
        });
    }

    /// Tells a run its component's attributes; a run that is gone is left alone.
    pub fn set_attributes(&mut self, run: &RunId, attributes: Values) {
        if let Some(live) = self.current(run) {
            live.attributes.send_replace(attributes);
        }
    }

    /// Tells a service to stop; [`RunOutcome::Stopped`] follows. Returns whether there was such a service.
    pub fn stop(&mut self, run: &RunId) -> bool {
        let flag = self.current(run).and_then(|live| live.service.as_ref());
        flag.map(|flag| flag.send_replace(true)).is_some()
    }

    fn current(&self, run: &RunId) -> Option<&Live> {
        self.live.get(&run.instance).filter(|live| live.run == *run)
    }

    /// Takes note of a report; returns whether it is of a run that is still the instance's last.
    pub fn reported(&mut self, report: &RunReport) -> bool {
        let live = self.live.get_mut(&report.run.instance).filter(|live| live.run == report.run);
        let Some(live) = live else { return false };
        match &report.outcome {
            RunOutcome::Started(exports) => live.exports.extend(exports.clone()),
            RunOutcome::StartFailed(_) | RunOutcome::Failed(_) | RunOutcome::Stopped => live.service = None,
            RunOutcome::Acted { number, .. } => {
                live.actions.remove(number);
            }
            RunOutcome::Published(_) => {}
        }
        true
    }

    /// Forgets runs of which nothing runs, but for those of instances that there still are.
    pub fn keep(&mut self, exists: impl Fn(&InstanceId) -> bool) {
        self.live.retain(|instance, live| !live.is_idle() || exists(instance));
    }

    /// Whether nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.live.values().all(Live::is_idle)
    }

    /// Tells every service to stop, and cancels every action.
    pub fn stop_all(&mut self) {
        self.live.values().for_each(Live::stop_all);
    }
}
