//! The answer to `status`: composed from records of the core, the ledger and the facts, without a judgement of its own.
//!
//! The words for states are the core's (`rhizo_protocol::words`). The command line prints its text and its JSON from
//! the one record that is made here.

use crate::admin::{
    BindingStatus, ExportStatus, FailingStatus, InstanceStatus, IntentCounts, NodeStatus, ScriptStatus,
    Status,
};
use crate::node::facts::{Facts, ProblemKind};
use rhizo_protocol::ledger::{Ledger, Member};
use rhizo_protocol::{Survival, reasons, status, words};
use rhizo_types::intent::Intent;
use rhizo_types::message::InstanceReport;
use rhizo_types::state::Home;
use rhizo_types::target::Placed;
use rhizo_types::{ComponentName, InstanceId, NodeId, PortName, Time};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The records that a status is composed from, all of one moment.
pub(super) struct Records<'a> {
    pub(super) me: NodeId,
    pub(super) now: Time,
    pub(super) ledger: &'a Ledger,
    /// The core's view of the overlay.
    pub(super) core: status::Status,
    pub(super) facts: &'a Facts,
    /// The utility of the configuration in force.
    pub(super) utility: Option<f64>,
    /// Problems that the core does not know of.
    pub(super) problems: Vec<String>,
}

/// Composes the status.
pub(super) fn compose(records: Records<'_>) -> Status {
    let nodes = nodes(&records);
    let components = instances(&records);
    let stated = stated_problems(&records);
    let Records { me, ledger, core, utility, mut problems, .. } = records;
    problems.splice(0..0, core.problems);
    problems.extend(stated);
    let count = |set: &BTreeSet<_>| u32::try_from(set.len()).unwrap_or(u32::MAX);
    Status {
        app: ledger.genesis.as_ref().map(|genesis| genesis.app.to_string()).unwrap_or_default(),
        lineage: ledger.lineage(),
        term: core.term.0,
        coordinator: core.coordinator.map(|node| node.to_string()),
        state: core.state.word().to_owned(),
        utility,
        cost_per_hour: ledger.spending_micros() as f64 / 1e6,
        nodes,
        components,
        intents: IntentCounts { open: count(&core.intents_open), unknown: count(&core.intents_unknown) },
        problems,
        unwound: ledger.unwound.keys().map(ToString::to_string).collect(),
        failing: core.failing.iter().map(failing).collect(),
        no_quorum: core.no_quorum,
        survival: Survival::of_ledger(ledger),
        answered_by: me.to_string(),
        spec: ledger.spec_revision(),
        target: ledger.target.revision,
        applied: ledger.index,
        script: ledger.script.as_ref().map(|run| {
            let words::ScriptWords { state, line, statement, reason } = words::script(run);
            ScriptStatus { number: run.number, state: state.to_owned(), line, statement, reason }
        }),
    }
}

/// A sentence for each problem that a member states about itself.
fn stated_problems(records: &Records<'_>) -> Vec<String> {
    let of_node = |node: &NodeId| {
        let (node, facts, now) = (*node, records.facts, records.now);
        ProblemKind::ALL
            .into_iter()
            .filter_map(move |kind| Some(kind.sentence(node, facts.problem(node, kind, now)?)))
    };
    records.ledger.members.keys().flat_map(of_node).collect()
}

fn failing((component, failing): (&ComponentName, &status::FailingComponent)) -> FailingStatus {
    FailingStatus {
        name: component.to_string(),
        failures: failing.failures,
        error: failing.error.clone(),
        wait_ms: failing.wait_ms,
        next_try_ms: failing.next_try_ms,
        nodes: failing.nodes.iter().map(ToString::to_string).collect(),
    }
}

/// Members, then the hosts whose node has not joined yet.
fn nodes(records: &Records<'_>) -> Vec<NodeStatus> {
    let ledger = records.ledger;
    let members = ledger.members.iter().map(|(node, member)| joined(records, *node, member));
    members.chain(ledger.arriving().map(arriving)).collect()
}

fn joined(records: &Records<'_>, node: NodeId, member: &Member) -> NodeStatus {
    let ledger = records.ledger;
    let intent = member.record.intent.and_then(|intent| ledger.intents.get(&intent));
    let placed = ledger.target.instances.iter().filter(|(_, placed)| placed.node == node);
    NodeStatus {
        id: node.to_string(),
        provider: member.record.provider.to_string(),
        region: member.record.region.to_string(),
        state: words::member(member).to_owned(),
        voter: ledger.voters.contains(&node),
        pid: records.facts.process_id(node, records.now),
        address: member.record.addresses.first().map(ToString::to_string),
        key: Some(crate::app_dir::to_hex(&member.record.key.0)),
        host: intent.and_then(|intent| intent.host.as_ref()).map(|bound| bound.host.to_string()),
        components: placed.map(|(instance, _)| instance.to_string()).collect(),
    }
}

fn arriving(intent: &Intent) -> NodeStatus {
    NodeStatus {
        id: intent.id.to_string(),
        provider: intent.order.provider.to_string(),
        region: intent.order.region.to_string(),
        state: words::ARRIVING.to_owned(),
        voter: false,
        pid: None,
        address: None,
        key: None,
        host: intent.host.as_ref().map(|bound| bound.host.to_string()),
        components: Vec::new(),
    }
}

fn instances(records: &Records<'_>) -> Vec<InstanceStatus> {
    let (target, reports) = (&records.ledger.target, &records.core.reports);
    let bindings = |id: &InstanceId| {
        let imports = target.bindings.get(id).into_iter().flatten();
        let all = imports.flat_map(|(import, exporters)| exporters.iter().map(move |to| (import, to)));
        all.map(|(import, to)| BindingStatus { import: import.to_string(), to: to.to_string() }).collect()
    };
    let status = |(id, placed): (&InstanceId, &Placed)| InstanceStatus {
        name: id.component.to_string(),
        instance: id.to_string(),
        node: placed.node.to_string(),
        state: words::instance(reports.get(id).map(|(_, report)| report)).to_owned(),
        reason: reasons::of_instance(id, records.ledger, reports),
        exports: reports.get(id).map(|(_, report)| exports(report)).unwrap_or_default(),
        bindings: bindings(id),
    };
    let waiting = records.ledger.waiting_for_data();
    let waiting = waiting.filter(|(id, _)| !target.instances.contains_key(*id)).map(waiting_for_data);
    target.instances.iter().map(status).chain(waiting).collect()
}

/// A copy that is on no node, because its data is on a lost host.
fn waiting_for_data((id, home): (&InstanceId, &Home)) -> InstanceStatus {
    InstanceStatus {
        name: id.component.to_string(),
        instance: id.to_string(),
        node: home.node.to_string(),
        state: words::WAITING_FOR_DATA.to_owned(),
        reason: Some(format!("{} is lost", home.node)),
        exports: Vec::new(),
        bindings: Vec::new(),
    }
}

fn exports(report: &InstanceReport) -> Vec<ExportStatus> {
    let status = |(export, address): (&PortName, &SocketAddr)| ExportStatus {
        export: export.to_string(),
        address: address.to_string(),
    };
    report.addresses.iter().map(status).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_protocol::status::OverlayState;
    use rhizo_types::intent::{AcquireOrder, IntentState};
    use rhizo_types::ledger::MemberRecord;
    use rhizo_types::message::InstancePhase;
    use rhizo_types::target::Configuration;
    use rhizo_types::{Generation, IntentId, PeerKey, Revision, Term};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn instance(ordinal: u32) -> InstanceId {
        InstanceId { component: "web".into(), ordinal }
    }

    fn intent(id: u64, state: IntentState, node: Option<NodeId>) -> (IntentId, Intent) {
        let order = AcquireOrder {
            provider: "local".into(),
            offer: "small".into(),
            region: "eu".into(),
            price_micros_per_hour: 250_000,
            capacity: BTreeMap::new(),
            attributes: BTreeMap::new(),
        };
        (IntentId(id), Intent { id: IntentId(id), order, state, host: None, node })
    }

    fn ledger() -> Ledger {
        let record = MemberRecord {
            key: PeerKey([7; 32]),
            addresses: vec!["127.0.0.2:4747".parse().unwrap()],
            provider: "local".into(),
            region: "eu".into(),
            intent: Some(IntentId(1)),
        };
        let placed = |generation| Placed { node: NodeId(1), generation, version: Revision(1) };
        let instances = (0..3).map(|ordinal| (instance(ordinal), placed(Generation(1)))).collect();
        Ledger {
            members: BTreeMap::from([(NodeId(1), Member { record, draining: true })]),
            voters: BTreeSet::from([NodeId(1)]),
            intents: BTreeMap::from([
                intent(1, IntentState::Bound, Some(NodeId(1))),
                intent(2, IntentState::Unknown, None),
                intent(3, IntentState::Releasing, None),
                intent(4, IntentState::Absent, None),
            ]),
            target: Arc::new(Configuration { instances, ..Configuration::default() }),
            ..Ledger::default()
        }
    }

    fn report(phase: InstancePhase, failure: Option<&str>) -> (NodeId, InstanceReport) {
        let report = InstanceReport {
            failures: failure.iter().count() as u32,
            failure: failure.map(str::to_owned),
            ..InstanceReport::idle(Generation(1), Revision(1), phase)
        };
        (NodeId(1), report)
    }

    fn core() -> status::Status {
        status::Status {
            term: Term(2),
            coordinator: Some(NodeId(1)),
            state: OverlayState::Changing,
            coordinates: true,
            reports: BTreeMap::from([
                (instance(0), report(InstancePhase::Started, None)),
                (instance(1), report(InstancePhase::Waiting, Some("no such file"))),
            ]),
            suspects: BTreeSet::new(),
            intents_open: BTreeSet::from([IntentId(3)]),
            intents_unknown: BTreeSet::from([IntentId(2)]),
            target: Revision::ZERO,
            settled: Revision::ZERO,
            failing: BTreeMap::new(),
            problems: vec!["of the core".to_owned()],
            no_quorum: None,
        }
    }

    #[test]
    fn a_status_has_every_member_every_awaited_host_and_every_placed_instance() {
        let (ledger, facts) = (ledger(), Facts::new(NodeId(1)));
        let status = compose(Records {
            me: NodeId(1),
            now: Time::ZERO,
            ledger: &ledger,
            core: core(),
            facts: &facts,
            utility: Some(0.5),
            problems: vec!["of a provider".to_owned()],
        });
        let nodes: Vec<(&str, &str)> =
            status.nodes.iter().map(|node| (node.id.as_str(), node.state.as_str())).collect();
        // Intents that are being released or are closed are not awaited.
        assert_eq!(nodes, [("n1", "draining"), ("i2", "joining")]);
        let components: Vec<(&str, &str)> =
            status.components.iter().map(|each| (each.instance.as_str(), each.state.as_str())).collect();
        assert_eq!(components, [("web.0", "started"), ("web.1", "failed"), ("web.2", "unknown")]);
        assert_eq!(status.nodes[0].components, ["web.0", "web.1", "web.2"]);
        assert_eq!((status.intents.open, status.intents.unknown), (1, 1));
        assert_eq!(status.problems, ["of the core", "of a provider"]);
        assert_eq!(status.cost_per_hour, 0.75, "all intents that may cost something are counted");
    }
}
