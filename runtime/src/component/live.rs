//! The state of one run of one instance on this node: its addresses and bindings, and the flags that end its tasks.
//!
//! Nothing is started or ended here. Read next: [`super::Components`], which owns the runs.

use super::draining::SpentGrace;
use super::imports::{ExporterNodes, SeenImports};
use super::instance_log::InstanceLog;
use super::launch::Launch;
use super::run_report::RunOutcome;
use super::start_check::StartCheck;
use super::{ExportTable, RunningCopy};
use rhizo_artifacts::store::Lease;
use rhizo_protocol::BoundImports;
use rhizo_protocol::turn::RunId;
use rhizo_types::InstanceId;
use rhizo_types::lifecycle::Values;
use rhizo_types::spec::{Closure, Component, Stop};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use tokio::sync::watch;

/// One run of one instance, from its first order until its last process has ended.
pub(crate) struct Live {
    pub(crate) run: RunId,
    pub(super) exports: ExportTable,
    /// The addresses of the run before it.
    pub(super) last_exports: ExportTable,
    /// Its component, from the first order on.
    pub(super) component: Option<Arc<Component>>,
    /// The exporters that its imports are bound to, with their own addresses, and their nodes.
    pub(super) bound: BoundImports,
    pub(super) nodes: ExporterNodes,
    /// Its imports as its program sees them.
    pub(super) imports: watch::Sender<SeenImports>,
    pub(super) attributes: watch::Sender<Values>,
    pub(super) log: Arc<InstanceLog>,
    /// How its processes are ended; none before the first order that may launch one.
    pub(super) stop: Option<Stop>,
    /// The closure that its programs run with, kept from being collected until the run is forgotten.
    pub(super) closure: Option<(Arc<Lease>, Closure)>,
    /// The flag that stops its service, while there is one.
    pub(super) service: Option<watch::Sender<bool>>,
    pub(super) spent_grace: SpentGrace,
    /// The start check of its service.
    pub(super) start_check: Arc<StartCheck>,
    /// The flags that cancel its actions, by number.
    pub(super) actions: BTreeMap<u32, watch::Sender<bool>>,
    /// How the programs of sensors are launched for it; none before the first order that may launch a program.
    pub(super) sensing: Option<Launch>,
    /// The process id of its program; zero without one.
    pub(super) leader: Arc<AtomicI32>,
}

impl Live {
    /// A run that no order has reached yet. `last_exports` are the addresses of the run before it.
    pub(super) fn new(run: RunId, last_exports: ExportTable, log: Arc<InstanceLog>) -> Self {
        Self {
            run,
            exports: ExportTable::new(),
            last_exports,
            component: None,
            bound: BoundImports::new(),
            nodes: ExporterNodes::new(),
            imports: watch::channel(SeenImports::new()).0,
            attributes: watch::channel(Values::new()).0,
            log,
            stop: None,
            closure: None,
            service: None,
            spent_grace: SpentGrace::default(),
            start_check: Arc::default(),
            actions: BTreeMap::new(),
            sensing: None,
            leader: Arc::default(),
        }
    }

    /// Returns what sensors need of the run; none before its first order that may launch a program.
    pub(crate) fn running(&self) -> Option<RunningCopy> {
        let launch = self.sensing.clone()?;
        Some(RunningCopy::new(self.run.clone(), launch, self.leader.clone()))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.service.is_none() && self.actions.is_empty()
    }

    pub(super) fn reported(&mut self, outcome: &RunOutcome) {
        match outcome {
            RunOutcome::Started(exports) => {
                self.start_check.end();
                self.exports.extend(exports.clone());
            }
            RunOutcome::StartFailed(_) | RunOutcome::Failed(_) | RunOutcome::Stopped => self.service = None,
            RunOutcome::Acted { number, .. } => {
                self.actions.remove(number);
            }
            RunOutcome::Published(_) => {}
        }
    }

    pub(super) fn stop_all(&self) {
        for flag in self.service.iter().chain(self.actions.values()) {
            flag.send_replace(true);
        }
    }
}

/// The ports of the exports of all runs.
pub(super) fn chosen_ports(live: &BTreeMap<InstanceId, Live>) -> BTreeSet<u16> {
    live.values().flat_map(|live| live.exports.values()).map(SocketAddr::port).collect()
}
