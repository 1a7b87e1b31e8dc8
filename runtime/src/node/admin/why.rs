//! Composes the answer to `why`: the place of an instance or node, the rules that refuse others, and the last
//! decisions.
//!
//! A pure function of records. The decisions are those of planning. Nothing is computed here in another way than by
//! the coordinator. The command line adds the events, which every node keeps for itself.

use crate::admin::Why;
use rhizo_planning::{Posed, Record};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::status::Status;
use rhizo_types::{ComponentName, InstanceId};

/// The records that the answer is composed of.
pub(super) struct Records<'a> {
    /// The instance or node that was asked for; none for the application as a whole.
    pub(super) subject: Option<String>,
    pub(super) ledger: &'a Ledger,
    /// The core's view of the application.
    pub(super) core: Status,
    /// The problem that the coordinator would pose now; none without a spec, or when no instance was asked for.
    pub(super) posed: Option<Posed>,
    /// The last decisions, newest first.
    pub(super) decisions: Vec<Record>,
}

/// Composes the answer. Sentences about the subject come before those about the application.
pub(super) fn compose(records: Records<'_>) -> Why {
    let Records { subject, ledger, mut core, posed, decisions } = records;
    let mut sentences = Vec::new();
    if let Some(plan) = &ledger.plan {
        let about =
            |reason: &&String| subject.as_ref().is_none_or(|subject| reason.contains(subject.as_str()));
        sentences.extend(plan.verdict.reasons.iter().filter(about).cloned());
    }
    if let Some(subject) = &subject {
        sentences.extend(of_instance(subject, ledger, &mut core, posed.as_ref()));
        sentences.extend(of_node(subject, ledger));
    }
    sentences.extend(core.problems);
    Why { subject, sentences, decisions, events: Vec::new() }
}

/// The place of an instance, its last failure, and the rule that refuses each other machine.
fn of_instance(subject: &str, ledger: &Ledger, core: &mut Status, posed: Option<&Posed>) -> Vec<String> {
    let Some((id, placed)) = ledger.instance_named(subject) else { return not_placed(subject, ledger, core) };
    let region = ledger.members.get(&placed.node).map(|member| member.record.region.to_string());
    let mut sentences = vec![format!("{id} is on {} in {}", placed.node, region.unwrap_or_default())];
    if ledger.pinned_to(id) == Some(placed.node) {
        sentences.push(format!("{id} stays on {}: its data is there, and its state is pinned", placed.node));
    }
    sentences.extend(failure(id, core).or_else(|| failure_of_version(&id.component, ledger, core)));
    let refusals = posed.into_iter().flat_map(|posed| posed.refusals.iter().map(move |each| (posed, each)));
    for (posed, ((_, machine), refusal)) in
        refusals.filter(|(_, ((component, _), _))| *component == id.component)
    {
        let machine = &posed.problem.machines[*machine];
        let at = format!("{} in {}", machine.name, machine.region);
        sentences.push(format!("not on {at}: rule `{}` refuses it ({})", refusal.rule, refusal.reason));
    }
    sentences
}

/// The last failure of an instance, with the end of its action's output.
fn failure(id: &InstanceId, core: &mut Status) -> Option<String> {
    let (_, report) = core.reports.remove(id)?;
    let text = report.failure?;
    Some(format!("{id} failed {} times in a row, the last time because: {text}", report.failures))
}

/// A failing component, or an instance of it that is on no node: the instance is gone, its last failure is not.
fn not_placed(subject: &str, ledger: &Ledger, core: &Status) -> Vec<String> {
    let (component, ordinal) = match subject.rsplit_once('.') {
        Some((component, ordinal)) => (ComponentName::from(component), Some(ordinal)),
        None => (ComponentName::from(subject), None),
    };
    let replicas = ledger.spec().and_then(|spec| spec.components.get(&component)).map(|each| each.replicas);
    let is_wanted = |ordinal: &str| {
        ordinal.parse::<u32>().is_ok_and(|ordinal| replicas.is_some_and(|replicas| ordinal < replicas.max))
    };
    if !ledger.failing.contains_key(&component) || !ordinal.is_none_or(is_wanted) {
        return Vec::new();
    }
    let place = ordinal.map(|_| format!("{subject} is on no node"));
    place.into_iter().chain(failure_of_version(&component, ledger, core)).collect()
}

/// The last failure of a component's version, as the ledger has it. `None` for a component that keeps failing: that is
/// a problem of the application, and every answer has those.
fn failure_of_version(component: &ComponentName, ledger: &Ledger, core: &Status) -> Option<String> {
    let record = ledger.failing.get(component).filter(|_| !core.failing.contains_key(component))?;
    let times = record.failures;
    Some(format!("{component} failed {times} times in a row, the last time because: {}", record.error))
}

/// The host under a node.
fn of_node(subject: &str, ledger: &Ledger) -> Option<String> {
    let (node, member) = ledger.members.iter().find(|(node, _)| node.to_string() == subject)?;
    let region = &member.record.region;
    Some(match member.record.intent {
        Some(intent) => format!("{node} is a member in {region}, on the host of {intent}"),
        None => format!("{node} is a member in {region}, on a host that no intent acquired"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_protocol::status::OverlayState;
    use rhizo_types::failure::Failing;
    use rhizo_types::ledger::SetSpec;
    use rhizo_types::message::{InstancePhase, InstanceReport};
    use rhizo_types::spec::{Component, Replicas, Run, Spec};
    use rhizo_types::target::{Configuration, Placed};
    use rhizo_types::{Generation, NodeId, Revision, Term};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    fn instance(ordinal: u32) -> InstanceId {
        InstanceId { component: "web".into(), ordinal }
    }

    fn core() -> Status {
        Status {
            term: Term(2),
            coordinator: Some(NodeId(3)),
            state: OverlayState::Changing,
            coordinates: true,
            reports: BTreeMap::new(),
            suspects: BTreeSet::new(),
            intents_open: BTreeSet::new(),
            intents_unknown: BTreeSet::new(),
            target: Revision::ZERO,
            settled: Revision::ZERO,
            failing: BTreeMap::new(),
            problems: vec!["of the application".to_owned()],
            no_quorum: None,
        }
    }

    fn failed(text: &str) -> (NodeId, InstanceReport) {
        let report = InstanceReport {
            failures: 2,
            failure: Some(text.to_owned()),
            ..InstanceReport::idle(Generation(1), Revision(1), InstancePhase::Waiting)
        };
        (NodeId(3), report)
    }

    #[test]
    fn only_the_failure_of_the_instance_that_was_asked_for_is_in_the_answer() {
        let placed = Placed { node: NodeId(3), generation: Generation(1), version: Revision(1) };
        let instances = BTreeMap::from([(instance(0), placed), (instance(1), placed)]);
        let target = Arc::new(Configuration { instances, ..Configuration::default() });
        let ledger = Ledger { target, ..Ledger::default() };
        let reports = [(instance(0), failed("no such table")), (instance(1), failed("no such file"))];
        let core = Status { reports: reports.into(), ..core() };
        let subject = Some("web.0".to_owned());
        let sentences =
            compose(Records { subject, ledger: &ledger, core, posed: None, decisions: Vec::new() }).sentences;
        assert_eq!(sentences.len(), 3, "{sentences:?}");
        assert!(sentences[0].starts_with("web.0 is on n3"), "{sentences:?}");
        assert!(sentences[1].contains("failed 2 times in a row"), "{sentences:?}");
        assert!(sentences[1].ends_with("no such table"), "{sentences:?}");
        assert_eq!(sentences[2], "of the application");
    }

    #[test]
    fn an_instance_that_is_gone_leaves_its_last_failure() {
        let error = "no such table".to_owned();
        let failing = Failing { version: Revision(1), failures: 2, error, nodes: BTreeSet::new() };
        let web = Component { replicas: Replicas { min: 1, max: 2 }, ..Component::new(Run::Nothing) };
        let spec = Spec::new("shop", [("web".into(), web)].into());
        let set = SetSpec { revision: Revision(1), spec, source: String::new() };
        let ledger = Ledger {
            failing: [("web".into(), failing)].into(),
            specs: [(Revision(1), set)].into(),
            ..Ledger::default()
        };
        let answer = |subject: &str| {
            let subject = Some(subject.to_owned());
            compose(Records { subject, ledger: &ledger, core: core(), posed: None, decisions: Vec::new() })
                .sentences
        };
        let failure = "web failed 2 times in a row, the last time because: no such table";
        assert_eq!(answer("web.0"), ["web.0 is on no node", failure, "of the application"]);
        assert_eq!(answer("web"), [failure, "of the application"]);
        assert_eq!(answer("db.0"), ["of the application"]);
        for no_instance in ["web.2", "web.99", "web.x"] {
            assert_eq!(answer(no_instance), ["of the application"], "{no_instance}");
        }
    }
}
