//! Execution of the orders for this node's instances: start, stop, re-bind, and the actions of their life-cycles.
//!
//! It makes no choice: `rhizo-protocol` decides which instance runs where, and the time of each step. This module
//! executes one order after the other and reports each result. Every service and every action has a task of its own,
//! on the application's runtime. Read next: [`exec`] for programs, [`embedded`] for Rust closures, [`action`] for
//! actions.

pub(crate) mod action;
mod action_output;
pub(crate) mod artifacts;
pub(crate) mod closure_output;
mod control_group;
mod data_directory;
mod draining;
pub(crate) mod embedded;
mod exec;
pub(crate) mod function;
mod http_client;
pub(crate) mod import;
pub(crate) mod imports;
mod instance_log;
mod last_line;
mod launch;
mod listeners;
pub(crate) mod live;
pub(crate) mod log_reader;
mod node_view;
pub(crate) mod packed;
mod ports;
mod probe;
mod processes;
mod program;
pub(crate) mod registry;
mod run_report;
mod running_copy;
mod start_check;
mod surroundings;
mod template;

pub use node_view::NodeView;
pub(crate) use run_report::{RunOutcome, RunReport};
pub(crate) use running_copy::RunningCopy;
pub(crate) use surroundings::Surroundings;

use crate::secrets::Opened;
use action::Act;
use artifacts::Artifacts;
use data_directory::DataDirectory;
use draining::SpentGrace;
use imports::{ExporterNodes, FreePorts, LocalImports, SeenImports};
use instance_log::InstanceLog;
use launch::Launch;
use live::Live;
use node_view::Members;
use ports::{AllocatedPorts, Wanted};
use processes::{Mark, Processes};
use rhizo_protocol::event::ActResult;
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::turn::{ActCall, ActionId, RunId, StartCall};
use rhizo_protocol::{Bound, BoundImports};
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::{Component, Run};
use rhizo_types::{Generation, InstanceId, PortName};
use start_check::{START_MS_MAX, StartCheck, declared_start_ms_max};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;
use template::{Scope, installed};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Addresses an instance offers at its exports.
pub(crate) type ExportTable = BTreeMap<PortName, SocketAddr>;

/// A start check is reported when it takes longer than this: most starts are faster, and need no report between.
const START_TOLD_MS_MIN: u64 = 1_000;

/// Time that a halting node adds to the grace of its instances: to notice the halt, and to reap killed processes.
const HALT_MARGIN_MS: u64 = 10_000;

/// The inputs and outputs of the service of one instance.
struct Task {
    run: RunId,
    component: Arc<Component>,
    scope: Scope,
    imports: watch::Receiver<SeenImports>,
    attributes: watch::Receiver<Values>,
    members: watch::Receiver<Members>,
    stop: watch::Receiver<bool>,
    /// The part of its grace that is over when it is ordered to stop.
    spent_grace: SpentGrace,
    start_check: Arc<StartCheck>,
    /// The process id of its program, for sensors; zero before it was launched.
    leader: Arc<AtomicI32>,
    log: Arc<InstanceLog>,
    reports: mpsc::Sender<RunReport>,
}

impl Task {
    async fn report(&self, outcome: RunOutcome) {
        // A program may print its secrets, and the reason of a failure has its last output.
        let outcome = match outcome {
            RunOutcome::StartFailed(reason) => RunOutcome::StartFailed(self.scope.secrets.redact(reason)),
            RunOutcome::Failed(reason) => RunOutcome::Failed(self.scope.secrets.redact(reason)),
            other => other,
        };
        report(&self.reports, self.run.clone(), outcome).await;
    }
}

async fn report(reports: &mpsc::Sender<RunReport>, run: RunId, outcome: RunOutcome) {
    // The receiver is gone only when the node has stopped, and then the report has no reader.
    let _gone = reports.send(RunReport { run, outcome }).await;
}

/// Resolves when the flag is raised, or when its sender is gone.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    let _sender_gone = flag.wait_for(|raised| *raised).await;
}

/// All instances of this node.
pub(crate) struct Components {
    around: Surroundings,
    /// The control group of this host; none where it has none.
    host_group: Option<PathBuf>,
    /// The ports of this host that exports without a fixed port are given.
    ports: AllocatedPorts,
    /// The local addresses of imports.
    local_imports: LocalImports,
    reports: mpsc::Sender<RunReport>,
    members: watch::Sender<Members>,
    /// The last run of each instance.
    live: BTreeMap<InstanceId, Live>,
    /// Earlier runs whose services or actions have not ended yet.
    replaced: Vec<Live>,
    /// Tasks that end the processes which a run left behind.
    endings: JoinSet<()>,
}

impl Components {
    /// Prepares to run instances; results are sent to `reports`.
    pub(crate) fn new(around: Surroundings, reports: mpsc::Sender<RunReport>) -> Self {
        Self {
            local_imports: LocalImports::new(around.traffic.clone(), around.node.address),
            around,
            host_group: control_group::of_host(),
            ports: AllocatedPorts::of_host(),
            reports,
            members: watch::channel(Members::default()).0,
            live: BTreeMap::new(),
            replaced: Vec::new(),
            endings: JoinSet::new(),
        }
    }

    /// The files of components.
    pub(crate) fn artifacts(&self) -> &Artifacts {
        &self.around.artifacts
    }

    /// Shows the members of the ledger to the closures of this node.
    pub(crate) fn show_members(&self, ledger: &Ledger) {
        self.members.send_replace(node_view::members_of(ledger));
    }

    /// The address of this host.
    pub(crate) fn address(&self) -> IpAddr {
        self.around.node.address
    }

    /// Returns the run. The first order that names it begins it and ends an earlier run of the instance.
    fn live(&mut self, run: &RunId) -> &mut Live {
        let current = self.live.get(&run.instance).is_some_and(|live| live.run == *run);
        if !current {
            let last = self.live.get(&run.instance);
            // A run whose ports could not be taken hands on those of the run before it.
            let last_exports = last.map(|last| {
                if last.exports.is_empty() { last.last_exports.clone() } else { last.exports.clone() }
            });
            let log = Arc::new(InstanceLog::new(self.dir_of(run)));
            let live = Live::new(run.clone(), last_exports.unwrap_or_default(), log);
            if let Some(older) = self.live.insert(run.instance.clone(), live) {
                older.stop_all();
                self.replaced.push(older);
                self.end_replaced();
            }
        }
        self.live.get_mut(&run.instance).expect("it was there, or was just inserted")
    }

    /// Ends the processes that replaced runs left behind once their services and actions are over.
    fn end_replaced(&mut self) {
        let (idle, busy): (Vec<_>, Vec<_>) = self.replaced.drain(..).partition(Live::is_idle);
        self.replaced = busy;
        for live in idle {
            self.end_processes_of(&live);
        }
        while self.endings.try_join_next().is_some() {}
    }

    /// Begins to end all processes of a run, also those that its actions left behind on purpose.
    fn end_processes_of(&mut self, live: &Live) {
        let Some(stop) = &live.stop else { return };
        let processes = Processes::below(Mark::of_run(
            &self.dir_of(&live.run),
            live.run.attempt,
            self.host_group.as_deref(),
        ));
        let (signal, grace) = (launch::stop_signal(stop), Duration::from_millis(stop.grace_ms));
        self.endings.spawn_on(processes.end(signal, grace, std::future::ready(())), &self.around.runtime);
    }

    fn dir_of(&self, run: &RunId) -> PathBuf {
        self.around.dir.join(format!("{}-g{}", run.instance, run.generation))
    }

    /// Returns the facts that templates of the run can name now. The first call chooses the run's ports.
    fn scope(
        &mut self,
        run: &RunId,
        component: &Arc<Component>,
        (bound, nodes): (BoundImports, ExporterNodes),
        values: Values,
        data: Option<Generation>,
    ) -> Result<Scope, String> {
        let (node, dir, app) = (self.around.node.clone(), self.dir_of(run), self.around.app.clone());
        let opened = Opened::open(&component.secrets, &run.instance.component, self.around.key.as_ref());
        let secrets = opened.map_err(|error| crate::error::chain(&error))?;
        let host_group = self.host_group.clone();
        let artifacts = &self.around.artifacts;
        let leased = component.closure.clone().map(|closure| (artifacts.lease(&closure), closure));
        let live = self.live(run);
        live.attributes.send_replace(component.attributes.clone());
        live.component = Some(component.clone());
        live.closure.clone_from(&leased);
        (live.bound, live.nodes) = (bound.clone(), nodes.clone());
        live.stop = Some(component.stop.clone());
        if live.exports.is_empty() {
            let exports = self.choose_ports(run, component)?;
            self.live(run).exports = exports;
        }
        let ports = FreePorts { allocated: &self.ports, chosen: live::chosen_ports(&self.live) };
        let imports = self.local_imports.see(&run.instance, component, &bound, &nodes, &ports)?;
        self.live(run).imports.send_replace(imports.clone());
        let (exports, attributes) = (self.live(run).exports.clone(), component.attributes.clone());
        let (instance, attempt) = (run.instance.clone(), run.attempt);
        let parent = self.around.dir.clone();
        let data = data.map(|since| DataDirectory { parent, instance: instance.clone(), since });
        let scope = Scope {
            app,
            instance,
            attempt,
            node,
            dir,
            data,
            host_group,
            exports,
            imports,
            attributes,
            values,
            secrets,
            leased,
            packed: None,
        };
        // A placeholder without a value fails the start or the action, with its reason.
        self.live(run).sensing = Launch::new(component, &scope, "sensor").ok();
        Ok(scope)
    }

    /// Chooses the ports of a run, the same as those of the instance's last run here where they are free.
    fn choose_ports(&self, run: &RunId, component: &Component) -> Result<ExportTable, String> {
        let nothing = ExportTable::new();
        let last = self.live.get(&run.instance).map_or(&nothing, |live| &live.last_exports);
        let others = self.live.iter().filter(|(instance, _)| **instance != run.instance);
        let others = others.flat_map(|(_, live)| live.exports.values()).map(SocketAddr::port).collect();
        let (address, instance, exports) = (self.around.node.address, &run.instance, &component.exports);
        let chosen = Wanted { address, instance, exports, last, others: &others }.choose(&self.ports);
        chosen.map_err(|reason| format!("its ports could not be taken: {reason}"))
    }

    /// Starts the service of an instance; the result is reported.
    pub(crate) fn start(&mut self, call: StartCall, nodes: ExporterNodes) {
        let StartCall { run, component, version: _, imports, values, data } = call;
        let scope = self.scope(&run, &component, (imports, nodes), values, data);
        let registry = self.around.registry.clone();
        let reports = self.reports.clone();
        let live = self.live(&run);
        let (stop, stop_seen) = watch::channel(false);
        live.service = Some(stop);
        let (imports, attributes) = (live.imports.subscribe(), live.attributes.subscribe());
        let (log, start_check) = (live.log.clone(), live.start_check.clone());
        let (spent_grace, leader) = (live.spent_grace.clone(), live.leader.clone());
        let members = self.members.subscribe();
        start_check.begin(declared_start_ms_max(&component).unwrap_or(START_MS_MAX));
        let artifacts = self.around.artifacts.clone();
        self.around.runtime.spawn(async move {
            let scope = match installed(template::prepared(scope).await, &artifacts).await {
                Ok(scope) => scope,
                Err(reason) => return report(&reports, run, RunOutcome::StartFailed(reason)).await,
            };
            let task = Task {
                run,
                component,
                scope,
                imports,
                attributes,
                members,
                stop: stop_seen,
                spent_grace,
                start_check,
                leader,
                log,
                reports,
            };
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

    /// Returns the last answer of each start check that has not passed for a while, and how far the fetch of its files is.
    pub(crate) fn not_ready(&self) -> Vec<(RunId, String)> {
        let starting = self.live.values().filter(|live| live.service.is_some());
        let answer = |live: &Live| {
            let fetched = live.closure.as_ref().and_then(|(_, closure)| self.artifacts().progress(closure));
            Some((live.run.clone(), fetched.or_else(|| live.start_check.answer(START_TOLD_MS_MIN))?))
        };
        starting.filter_map(answer).collect()
    }

    /// Begins an action; the result is reported.
    pub(crate) fn act(&mut self, call: ActCall, nodes: ExporterNodes) {
        let ActCall { id, step, action, component, version: _, imports, values, data } = call;
        let ActionId { run, number } = id;
        tracing::debug!(instance = %run.instance, step, number, "action begins");
        let scope = self.scope(&run, &component, (imports, nodes), values, data);
        let registry = self.around.registry.clone();
        let reports = self.reports.clone();
        let live = self.live(&run);
        let (cancel, cancel_seen) = watch::channel(false);
        live.actions.insert(number, cancel);
        let log = live.log.clone();
        let artifacts = self.around.artifacts.clone();
        self.around.runtime.spawn(async move {
            let result = match installed(template::prepared(scope).await, &artifacts).await {
                Ok(scope) => {
                    let secrets = scope.secrets.clone();
                    let act = Act { number, action, component, scope, log, registry, cancel: cancel_seen };
                    match action::execute(act).await {
                        ActResult::Failed { reason } => ActResult::Failed { reason: secrets.redact(reason) },
                        other => other,
                    }
                }
                Err(reason) => ActResult::Failed { reason },
            };
            report(&reports, run, RunOutcome::Acted { number, result }).await;
        });
    }

    /// Cancels an action; its result follows. Returns false when there is no such action.
    pub(crate) fn cancel(&mut self, action: &ActionId) -> bool {
        let live = self.current(&action.run);
        let flag = live.and_then(|live| live.actions.get(&action.number));
        flag.map(|flag| flag.send_replace(true)).is_some()
    }

    /// Changes the exporters that one import of a run is bound to. Does nothing when the run is not the instance's
    /// last.
    pub(crate) fn rebind(
        &mut self,
        run: &RunId,
        name: &PortName,
        (bound, nodes): (Bound, ExporterNodes),
        unbound: &BTreeSet<InstanceId>,
    ) {
        let ports = FreePorts { allocated: &self.ports, chosen: live::chosen_ports(&self.live) };
        let Some(live) = self.live.get_mut(&run.instance).filter(|live| live.run == *run) else { return };
        let exporters = live.bound.entry(name.clone()).or_default();
        exporters.retain(|exporter, _| !unbound.contains(exporter));
        exporters.extend(bound);
        live.nodes.extend(nodes);
        let import = (name, live.component.as_ref().and_then(|component| component.imports.get(name)));
        let seen = self.local_imports.see_one(&run.instance, import, exporters, &live.nodes, &ports);
        match seen {
            Ok(seen) => live.imports.send_modify(|all| drop(all.insert(name.clone(), seen))),
            Err(reason) => {
                tracing::warn!(instance = %run.instance, import = %name, reason, "import not bound")
            }
        }
    }

    /// Returns the last run of an instance; none before its first order.
    pub(crate) fn last_run(&self, instance: &InstanceId) -> Option<&Live> {
        self.live.get(instance)
    }

    /// Changes the component's attributes in a run. Does nothing when the run is not the instance's last.
    pub(crate) fn set_attributes(&mut self, run: &RunId, attributes: Values) {
        if let Some(live) = self.current(run) {
            live.attributes.send_replace(attributes);
        }
    }

    /// Stops a service when the connections that nodes relay to it have ended, see [`draining`];
    /// [`RunOutcome::Stopped`] follows. Returns false when there is no such service.
    pub(crate) fn stop(&mut self, run: &RunId) -> bool {
        let Some(live) = self.current(run) else { return false };
        let Some(flag) = live.service.clone() else { return false };
        let traffic = self.local_imports.traffic();
        if !traffic.is_serving(&run.instance) {
            flag.send_replace(true);
            return true;
        }
        let grace_ms = live.stop.as_ref().map_or(0, |stop| stop.grace_ms);
        let (traffic, spent) = (traffic.clone(), live.spent_grace.clone());
        self.around.runtime.spawn(draining::stop_when_drained(
            traffic,
            run.instance.clone(),
            grace_ms,
            spent,
            flag,
        ));
        true
    }

    fn current(&self, run: &RunId) -> Option<&Live> {
        self.live.get(&run.instance).filter(|live| live.run == *run)
    }

    /// Takes a report into account. Returns false when its run is not the instance's last: then the core ignores it.
    pub(crate) fn reported(&mut self, report: &RunReport) -> bool {
        if let Some(live) = self.replaced.iter_mut().find(|live| live.run == report.run) {
            live.reported(&report.outcome);
            self.end_replaced();
            return false;
        }
        let live = self.live.get_mut(&report.run.instance).filter(|live| live.run == report.run);
        live.map(|live| live.reported(&report.outcome)).is_some()
    }

    /// Drops the runs of instances that no longer exist, once they are idle, and ends the processes that they left
    /// behind.
    pub(crate) fn keep(&mut self, exists: impl Fn(&InstanceId) -> bool) {
        let gone = self.live.extract_if(.., |instance, live| live.is_idle() && !exists(instance));
        self.replaced.extend(gone.map(|(_, live)| live));
        self.local_imports.keep(exists);
        self.end_replaced();
    }

    /// Whether no service and no action runs.
    #[must_use]
    pub(crate) fn is_idle(&self) -> bool {
        self.replaced.is_empty() && self.live.values().all(Live::is_idle)
    }

    /// The longest time that [`Self::stop_all`] and then [`Self::end_all`] may take by what the spec allows, in
    /// milliseconds: the grace of a service, then the grace of the processes that actions left behind.
    #[must_use]
    pub(crate) fn halt_ms_max(&self) -> u64 {
        let runs = self.live.values().chain(&self.replaced);
        let grace_ms = runs.filter_map(|live| Some(live.stop.as_ref()?.grace_ms)).max().unwrap_or(0);
        HALT_MARGIN_MS.saturating_add(grace_ms.saturating_mul(2))
    }

    /// Ends every process that actions of any run left behind; returns when none is left.
    pub(crate) async fn end_all(&mut self) {
        for live in std::mem::take(&mut self.live).into_values().chain(std::mem::take(&mut self.replaced)) {
            self.end_processes_of(&live);
        }
        while self.endings.join_next().await.is_some() {}
    }

    /// Stops every service and cancels every action.
    pub(crate) fn stop_all(&mut self) {
        self.live.values().for_each(Live::stop_all);
    }
}
