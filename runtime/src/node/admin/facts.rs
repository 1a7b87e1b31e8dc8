//! Composes the answer to `facts`: what this node believes about a subject, with source and age.
//!
//! A pure function of records. Of several sources of one attribute it shows the one that rules read. Read next:
//! `rhizo_knowledge`, which ranks the sources.

use crate::admin::facts::{FactRecord, FactValue, Facts};
use rhizo_knowledge::Knowledge;
use rhizo_overlay::Class;
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
    /// The length of all facts as JSON, at most. A subject narrows the answer down.
    pub(super) bytes_max: usize,
}

/// The length of the facts of one answer: what a message to the command line can carry, with room for the rest of the
/// answer.
pub(super) const FACTS_BYTES_MAX: usize = Class::Admin.body_bytes_max() / 4 * 3;

/// Composes the answer.
pub(super) fn compose(records: &Records<'_>) -> Facts {
    let mut answer = Facts { answered_by: records.me.to_string(), ..Facts::default() };
    let mut last: Option<(&Subject, &AttributeName)> = None;
    let mut room = records.bytes_max;
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
        let record = FactRecord {
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
        };
        match room.checked_sub(bytes_of(&record)) {
            Some(left) if answer.left_out == 0 => {
                room = left;
                answer.facts.push(record);
            }
            // After the first fact that has no room, none follows: the answer is a beginning without gaps.
            _ => answer.left_out += 1,
        }
    }
    answer
}

/// The length of a fact in the answer, with the comma that follows it.
fn bytes_of(record: &FactRecord) -> usize {
    // A fact of texts and a number can always be encoded.
    serde_json::to_vec(record).map_or(usize::MAX, |json| json.len() + ",".len())
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

    fn composed(wanted: Option<&str>, bytes_max: usize) -> Facts {
        let (knowledge, now) = (knowledge(), Time::ZERO.after_ms(1_500));
        let unit: &dyn Fn(&Subject, &AttributeName) -> String = &|_, _| String::new();
        compose(&Records { me: NodeId(1), now, knowledge: &knowledge, unit, wanted, bytes_max })
    }

    #[test]
    fn an_answer_fits_into_a_message_and_counts_the_facts_without_room() {
        let all = composed(None, FACTS_BYTES_MAX);
        assert_eq!((all.facts.len(), all.left_out), (5, 0));
        let length = |facts: &Facts| serde_json::to_vec(&facts.facts).unwrap().len();
        for bytes_max in [0, 1, length(&all) / 2, length(&all) - 2] {
            let part = composed(None, bytes_max);
            assert!(length(&part) <= bytes_max + 2, "two brackets are the only rest");
            assert_eq!(part.facts.len() + part.left_out, 5);
            assert_eq!(part.facts, all.facts[..part.facts.len()]);
        }
    }

    fn shown(wanted: Option<&str>) -> Vec<String> {
        let facts = composed(wanted, FACTS_BYTES_MAX);
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
