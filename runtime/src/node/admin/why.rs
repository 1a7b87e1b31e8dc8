//! Composes the answer to `why`: the place of an instance or node, the rules that refuse others, and the last decisions.
//!
//! A pure function of records. The decisions are those of planning. Nothing is computed here in another way than by
//! the coordinator. The command line adds the events, which every node keeps for itself.

use crate::admin::Why;
use rhizo_planning::{Posed, Record};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::status::Status;
use rhizo_types::InstanceId;

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
    let Some((id, placed)) = ledger.instance_named(subject) else { return Vec::new() };
    let region = ledger.members.get(&placed.node).map(|member| member.record.region.to_string());
    let mut sentences = vec![format!("{id} is on {} in {}", placed.node, region.unwrap_or_default())];
    sentences.extend(failure(id, core));
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
    use rhizo_types::message::{InstancePhase, InstanceReport};
    use rhizo_types::target::{Configuration, Placed};
    use rhizo_types::{Generation, NodeId, Revision, Term};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    fn instance(ordinal: u32) -> InstanceId {
        InstanceId { component: "web".into(), ordinal }
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
        let core = Status {
            term: Term(2),
            coordinator: Some(NodeId(3)),
            state: OverlayState::Changing,
            coordinates: true,
            reports: BTreeMap::from([
                (instance(0), failed("no such table")),
                (instance(1), failed("no such file")),
            ]),
            suspects: BTreeSet::new(),
            intents_open: BTreeSet::new(),
            intents_unknown: BTreeSet::new(),
            target: Revision::ZERO,
            settled: Revision::ZERO,
            failing: BTreeMap::new(),
            problems: vec!["of the application".to_owned()],
            no_quorum: None,
        };
        let subject = Some("web.0".to_owned());
        let sentences =
            compose(Records { subject, ledger: &ledger, core, posed: None, decisions: Vec::new() }).sentences;
        assert_eq!(sentences.len(), 3, "{sentences:?}");
        assert!(sentences[0].starts_with("web.0 is on n3"), "{sentences:?}");
        assert!(sentences[1].contains("failed 2 times in a row"), "{sentences:?}");
        assert!(sentences[1].ends_with("no such table"), "{sentences:?}");
        assert_eq!(sentences[2], "of the application");
    }
}
