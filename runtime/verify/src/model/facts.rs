//! Facts derived from one host alone, computed once for every different host.
//!
//! Properties read these facts instead of the agent, so that most of their work is done once per host and not once per
//! state. Properties of two hosts together are in [`crate::property`].

use super::host::{Host, Run, has_service};
use crate::explore::Breach;
use crate::fingerprint::Fingerprint;
use crate::rule::{Rule, Rules};
use rhizo_protocol::agent::{InstanceView, UserState};
use rhizo_types::Generation;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::message::{InstancePhase, Report, UseId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// One use of an exporter that a running instance was notified of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoundUse {
    /// The importer's number for it.
    pub id: UseId,
    /// The instance that imports.
    pub importer: InstanceId,
    /// The node of the exporter.
    pub node: NodeId,
    /// The instance that exports.
    pub exporter: InstanceId,
    /// The export of that instance.
    pub export: PortName,
    /// The address that the importer received.
    pub address: Option<SocketAddr>,
    /// Whether the exporter has a service, so that the address is that of its current run.
    pub is_service: bool,
}

/// One use of an instance of the host, as the exporter's agent sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The importer's node and number.
    pub by: (NodeId, UseId),
    /// The instance that is used.
    pub exporter: InstanceId,
    /// Its progress between request and release.
    pub state: UserState,
    /// Whether the export is active and the target contains its instance.
    pub can_serve: bool,
}

/// The facts of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The report of its agent.
    pub report: Report,
    /// The report's fingerprint.
    pub report_fingerprint: Fingerprint,
    /// The rules whose condition is met here.
    pub occurred: Rules,
    /// The rules that are broken here.
    pub breaches: Vec<Breach>,
    /// The uses that its running instances were notified of.
    pub bound_uses: Vec<BoundUse>,
    /// The uses of its instances, and those that wait.
    pub held: Vec<Held>,
    /// Instances that work, with the generation of the run and, for each import, the bound exporters.
    pub up: BTreeMap<InstanceId, (Generation, BTreeMap<PortName, BTreeSet<InstanceId>>)>,
    /// Instances that failed and do not run again yet.
    pub failed: BTreeSet<InstanceId>,
    /// Instances that are ordered to stop and wait until their users have released them.
    pub draining: BTreeSet<InstanceId>,
    /// Nodes whose agents it shares uses with.
    pub partners: BTreeSet<NodeId>,
    /// Whether the agent waits for a time.
    pub waits: bool,
    /// Number of agents that this host has had.
    pub session: u64,
}

impl Facts {
    /// Derives the facts of a host.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let agent = &host.agent;
        let report = agent.situation();
        let mut facts = Self {
            report_fingerprint: Fingerprint::of(&report),
            occurred: Rules::default(),
            breaches: Vec::new(),
            bound_uses: bound_uses(host),
            held: held(host),
            up: up(host),
            failed: BTreeSet::new(),
            draining: BTreeSet::new(),
            partners: agent
                .uses()
                .map(|(_, used)| used.node)
                .chain(agent.users().map(|user| user.0))
                .collect(),
            waits: host.waits(),
            session: host.session(),
            report,
        };
        for (instance, reported) in &facts.report.instances {
            if reported.failures > 0 && reported.phase == InstancePhase::Waiting {
                facts.failed.insert(instance.clone());
            }
            if reported.phase == InstancePhase::Draining {
                facts.draining.insert(instance.clone());
            }
        }
        facts
    }

    /// Records that a rule's condition is met, and a breach when the rule does not hold.
    pub(crate) fn rule(&mut self, rule: Rule, holds: bool, detail: impl FnOnce() -> String) {
        self.occurred.add(rule);
        if !holds {
            self.breaches.push(Breach { property: rule.name(), detail: detail() });
        }
    }
}

fn bound_uses(host: &Host) -> Vec<BoundUse> {
    let mut all = Vec::new();
    // An instance that stops receives no more changes of its imports.
    let bound = |phase| !matches!(phase, InstancePhase::Waiting | InstancePhase::Stopping);
    for view in host.agent.instances().filter(|view| bound(view.phase)) {
        for (id, used) in host.agent.uses().filter(|(_, used)| used.importer == *view.instance) {
            let served = view.bound_imports.get(&used.import).and_then(|told| told.get(&used.exporter));
            let import = view.component.imports.get(&used.import);
            if let (Some(_), Some(served), Some(import)) = (&used.served, served, import) {
                let exporter = host.ledger.target.instances.get(&used.exporter);
                let component =
                    exporter.and_then(|placed| host.ledger.component_of(&used.exporter, placed.version));
                all.push(BoundUse {
                    id,
                    importer: used.importer.clone(),
                    node: used.node,
                    exporter: used.exporter.clone(),
                    export: import.export.clone(),
                    address: served.address,
                    is_service: component.is_some_and(|component| has_service(component)),
                });
            }
        }
    }
    all
}

fn held(host: &Host) -> Vec<Held> {
    let held = host.agent.users().map(|(node, id, user)| {
        let view = host.agent.instances().find(|view| *view.instance == user.exporter);
        let can_serve = view.is_some_and(|view| {
            let wanted = host.ledger.target.instances.get(view.instance) == Some(view.placed);
            view.placed.generation == user.generation
                && wanted
                && view.is_active(&user.export)
                && matches!(view.phase, InstancePhase::Started | InstancePhase::Resting)
        });
        Held { by: (node, id), exporter: user.exporter.clone(), state: user.state, can_serve }
    });
    held.collect()
}

fn up(host: &Host) -> BTreeMap<InstanceId, (Generation, BTreeMap<PortName, BTreeSet<InstanceId>>)> {
    let works = |view: &InstanceView<'_>| {
        if has_service(view.component) && view.phase != InstancePhase::Resting {
            matches!(host.runs.get(view.instance), Some(Run::Up(_)))
        } else {
            matches!(view.phase, InstancePhase::Started | InstancePhase::Resting)
        }
    };
    let up = host.agent.instances().filter(works).map(|view| {
        let told = view.bound_imports.iter();
        let told = told.map(|(port, told)| (port.clone(), told.keys().cloned().collect())).collect();
        (view.instance.clone(), (view.placed.generation, told))
    });
    up.collect()
}

/// Returns how many exporters serve an import of an instance, by its agent.
pub(crate) fn exporters_held(host: &Host, importer: &InstanceId, port: &PortName) -> usize {
    let uses = host.agent.uses();
    uses.filter(|(_, used)| used.importer == *importer && used.import == *port && used.served.is_some())
        .count()
}

/// Whether an instance executes a behaviour that a script pushed to it, which may stop it for any reason.
pub(crate) fn is_pushed(view: &InstanceView<'_>) -> bool {
    let marking = view.marking();
    marking.active.is_some() && marking.number > 0
}
