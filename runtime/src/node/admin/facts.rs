//! Composes the answer to `facts`: what this node believes about a subject, with source and age.
//!
//! A pure function of records. Of several sources of one attribute it shows the one that rules read. Read next:
//! `rhizo_knowledge`, which ranks the sources.

use crate::admin::facts::{FACTS_MAX, FactRecord, FactValue, Facts};
use rhizo_knowledge::Knowledge;
use rhizo_types::fact::{Source, Subject, Value};
use rhizo_types::{AttributeName, NodeId, Time};

/// The records that the answer is composed of.
pub(super) struct Records<'a> {
    pub(super) me: NodeId,
    pub(super) now: Time,
    pub(super) knowledge: &'a Knowledge,
    /// The unit of an attribute of such a subject; empty if nothing declares it.
    pub(super) unit: &'a dyn Fn(&Subject, &AttributeName) -> String,
    /// The node, copy, component or provider that was asked for; all facts without it.
    pub(super) wanted: Option<&'a str>,
}

/// Composes the answer.
pub(super) fn compose(records: &Records<'_>) -> Facts {
    let mut answer = Facts { answered_by: records.me.to_string(), ..Facts::default() };
    let mut last: Option<(&Subject, &AttributeName)> = None;
    for (subject, attribute, ..) in records.knowledge.iter() {
        // The sources of one attribute follow each other.
        if last.replace((subject, attribute)) == Some((subject, attribute)) {
            continue;
        }
        let Some((source, fact)) = records.knowledge.believe(subject, attribute, records.now) else {
            continue;
        };
        if !records.wanted.is_none_or(|wanted| concerns(subject, source, wanted)) {
            continue;
        }
        if answer.facts.len() == FACTS_MAX {
            answer.left_out += 1;
            continue;
        }
        answer.facts.push(FactRecord {
            kind: kind(subject).to_owned(),
            subject: subject.to_string(),
            attribute: attribute.to_string(),
            value: match &fact.value {
                Value::Number(number) => FactValue::Number(number.get()),
                Value::Text(text) => FactValue::Text(text.clone()),
            },
            unit: (records.unit)(subject, attribute),
            sensor: fact.sensor.to_string(),
            source: match source {
                Source::Measured(node) => node.to_string(),
                Source::Catalogue(provider) => provider.to_string(),
            },
            age_ms: records.now.ms_since(fact.heard),
        });
    }
    answer
}

/// Whether a fact is about the thing with this name, or about a part of it: a node's copies and links, a component's
/// copies, a provider's offers.
fn concerns(subject: &Subject, source: &Source, wanted: &str) -> bool {
    match subject {
        Subject::Node(node) => node.to_string() == wanted,
        Subject::Copy(copy) => {
            copy.to_string() == wanted
                || copy.component.as_str() == wanted
                || matches!(source, Source::Measured(node) if node.to_string() == wanted)
        }
        Subject::Link(from, to) => from.to_string() == wanted || to.to_string() == wanted,
        Subject::Offer(provider, offer) => {
            provider.as_str() == wanted || subject.to_string() == wanted || offer.as_str() == wanted
        }
        Subject::Path(from, to) => from.as_str() == wanted || to.as_str() == wanted,
    }
}

fn kind(subject: &Subject) -> &'static str {
    match subject {
        Subject::Node(_) => "node",
        Subject::Offer(..) => "offer",
        Subject::Link(..) => "link",
        Subject::Path(..) => "path",
        Subject::Copy(_) => "copy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::fact::{Batch, SensorKind, Statement};
    use rhizo_types::{InstanceId, Number, ProviderName, Revision};

    fn stated(subject: Subject, attribute: &str, value: u32, sensor: SensorKind) -> Statement {
        let value = Some(Value::Number(Number::from(value)));
        Statement { subject, attribute: attribute.into(), value, sensor }
    }

    fn knowledge() -> Knowledge {
        let mut knowledge = Knowledge::new();
        let offer = Subject::Offer("lab".into(), "small".into());
        let listed = [stated(offer, "cpu", 2, SensorKind::Catalogue)];
        let lab = Source::Catalogue(ProviderName::from("lab"));
        knowledge.take_catalogue(&lab, &listed, Time::ZERO);
        let node = |id| Subject::Node(NodeId(id));
        let copy = Subject::Copy(InstanceId { component: "web".into(), ordinal: 0 });
        let statements = vec![
            stated(node(2), "load5", 3, SensorKind::Emulated),
            stated(Subject::Link(NodeId(1), NodeId(2)), "rtt_ms", 80, SensorKind::Link),
            stated(copy, "memory", 7, SensorKind::Process),
        ];
        knowledge.merge(&Batch { origin: NodeId(2), revision: Revision(1), statements }, Time::ZERO);
        let statements = vec![stated(node(3), "load5", 1, SensorKind::Emulated)];
        knowledge.merge(&Batch { origin: NodeId(3), revision: Revision(1), statements }, Time::ZERO);
        knowledge
    }

    fn shown(wanted: Option<&str>) -> Vec<String> {
        let (knowledge, now) = (knowledge(), Time::ZERO.after_ms(1_500));
        let unit: &dyn Fn(&Subject, &AttributeName) -> String = &|_, _| String::new();
        let facts = compose(&Records { me: NodeId(1), now, knowledge: &knowledge, unit, wanted });
        let line = |fact: &FactRecord| {
            let FactRecord { kind, subject, attribute, sensor, source, age_ms, .. } = fact;
            format!("{kind} {subject} {attribute} {sensor} {source} {age_ms}")
        };
        facts.facts.iter().map(line).collect()
    }

    #[test]
    fn a_node_has_its_own_facts_and_those_of_its_copies_and_links() {
        assert_eq!(
            shown(Some("n2")),
            [
                "node n2 load5 emulated n2 1500",
                "link n1 to n2 rtt_ms link n2 1500",
                "copy web.0 memory process n2 1500"
            ]
        );
        assert_eq!(shown(Some("web")), ["copy web.0 memory process n2 1500"]);
        assert_eq!(shown(Some("lab")), ["offer lab/small cpu catalogue lab 1500"]);
        assert_eq!(shown(None).len(), 5);
        assert_eq!(shown(Some("n20")), [""; 0]);
    }
}
