//! An immutable copy of the fresh facts at one moment, with the source of each. One solver run reads one snapshot; the
//! problem is stated elsewhere.

use crate::knowledge::{Knowledge, is_fresh, ordered};
use rhizo_types::fact::{SensorKind, Source, Subject, Value};
use rhizo_types::{AttributeName, NodeId, RegionName, Time};
use std::collections::BTreeMap;

/// The attribute of round-trip times, in milliseconds.
pub const RTT_MS: &str = "rtt_ms";

/// A value with its source and age.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Believed {
    /// The value.
    pub value: Value,
    /// Its source.
    pub source: Source,
    /// Milliseconds since this node received it last.
    pub age_ms: u64,
    /// The kind of sensor that read it.
    pub sensor: SensorKind,
}

/// The fresh facts at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Snapshot {
    /// The moment.
    pub at: Time,
    facts: BTreeMap<Subject, BTreeMap<AttributeName, Believed>>,
    paths: BTreeMap<(RegionName, RegionName), Believed>,
}

impl Snapshot {
    /// Copies the facts that are fresh at `now`. `region_of` maps members to regions, so that measured links become
    /// measured paths between regions. Of several links between two regions the smallest round-trip time is kept, since
    /// queueing only adds to it. Without such a link, a measurement of a former link counts before the catalogue.
    pub fn cut(knowledge: &Knowledge, region_of: &BTreeMap<NodeId, RegionName>, now: Time) -> Self {
        let mut snapshot = Self { at: now, ..Self::default() };
        for (subject, attribute, source, fact) in knowledge.iter() {
            if !is_fresh(source, fact, now) {
                continue;
            }
            let believed = Believed {
                value: fact.value.clone(),
                source: source.clone(),
                age_ms: now.ms_since(fact.heard),
                sensor: fact.sensor,
            };
            match subject {
                Subject::Link(a, b) if attribute.as_str() == RTT_MS => {
                    if let (Some(from), Some(to)) = (region_of.get(a), region_of.get(b)) {
                        snapshot.offer_path(from, to, believed);
                    }
                }
                Subject::Path(from, to) if attribute.as_str() == RTT_MS => {
                    snapshot.offer_path(from, to, believed);
                }
                _ => {
                    // Sources are iterated in ascending rank, so the last fresh one is kept.
                    let facts = snapshot.facts.entry(subject.clone()).or_default();
                    facts.insert(attribute.clone(), believed);
                }
            }
        }
        for (key, (source, fact)) in knowledge.paths(now) {
            let age_ms = now.ms_since(fact.heard);
            let (value, source, sensor) = (fact.value.clone(), source.clone(), fact.sensor);
            let believed = Believed { value, source, age_ms, sensor };
            let live =
                snapshot.paths.get(key).is_some_and(|known| matches!(known.source, Source::Measured(_)));
            if !live {
                snapshot.paths.insert(key.clone(), believed);
            }
        }
        snapshot
    }

    fn offer_path(&mut self, from: &RegionName, to: &RegionName, believed: Believed) {
        let key = ordered(from, to);
        let measured = |believed: &Believed| matches!(believed.source, Source::Measured(_));
        let better = self
            .paths
            .get(&key)
            .is_none_or(|known| (measured(&believed), &known.value) > (measured(known), &believed.value));
        if better {
            self.paths.insert(key, believed);
        }
    }

    /// The value of an attribute of a subject; none if it is not known.
    #[must_use]
    pub fn get(&self, subject: &Subject, attribute: &AttributeName) -> Option<&Believed> {
        self.facts.get(subject)?.get(attribute)
    }

    /// The subjects with at least one known attribute, in their order.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.facts.keys()
    }

    /// The round-trip times between regions, each pair once.
    pub fn paths(&self) -> impl Iterator<Item = (&(RegionName, RegionName), &Believed)> {
        self.paths.iter()
    }

    /// All known attributes of a subject.
    pub fn about(&self, subject: &Subject) -> impl Iterator<Item = (&AttributeName, &Believed)> {
        self.facts.get(subject).into_iter().flatten()
    }

    /// The round-trip time between two regions, in milliseconds; a measured one if there is one, else the catalogue's.
    #[must_use]
    pub fn path(&self, from: &RegionName, to: &RegionName) -> Option<&Believed> {
        self.paths.get(&ordered(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::PATH_MS_MAX;
    use rhizo_types::fact::{Batch, Statement};
    use rhizo_types::{Number, Revision};

    fn rtt(subject: Subject, ms: u32) -> Statement {
        let value = Some(Value::Number(Number::from(ms)));
        Statement { subject, attribute: RTT_MS.into(), value, sensor: SensorKind::Link }
    }

    fn regions() -> BTreeMap<NodeId, RegionName> {
        (1..=4).map(|id| (NodeId(id), RegionName(if id % 2 == 1 { "west" } else { "east" }.into()))).collect()
    }

    fn path_ms(knowledge: &Knowledge, now: Time) -> Option<(Value, Source)> {
        let snapshot = Snapshot::cut(knowledge, &regions(), now);
        snapshot.path(&"west".into(), &"east".into()).map(|b| (b.value.clone(), b.source.clone()))
    }

    #[test]
    fn a_measured_path_wins_over_the_catalogue_even_when_it_is_longer() {
        let mut knowledge = Knowledge::new();
        let catalogue = Source::Catalogue("lab".into());
        let path = Subject::Path("east".into(), "west".into());
        knowledge.take_catalogue(&catalogue, &[rtt(path, 10)], Time::ZERO);
        assert_eq!(path_ms(&knowledge, Time::ZERO), Some((Value::Number(10.into()), catalogue)));
        let statements = vec![
            rtt(Subject::Link(NodeId(1), NodeId(2)), 80),
            rtt(Subject::Link(NodeId(1), NodeId(4)), 70),
            rtt(Subject::Link(NodeId(1), NodeId(3)), 1),
        ];
        knowledge.merge(&Batch { origin: NodeId(1), revision: Revision(1), statements }, Time::ZERO);
        let measured = Source::Measured(NodeId(1));
        assert_eq!(path_ms(&knowledge, Time::ZERO), Some((Value::Number(70.into()), measured)));
    }

    #[test]
    fn a_measured_path_outlives_its_link_and_then_the_catalogue_counts_again() {
        let mut knowledge = Knowledge::new();
        let catalogue = Source::Catalogue("lab".into());
        knowledge.take_catalogue(
            &catalogue,
            &[rtt(Subject::Path("east".into(), "west".into()), 10)],
            Time::ZERO,
        );
        let value = Value::Number(200.into());
        knowledge.remember_path((&"west".into(), &"east".into()), NodeId(1), &value, Time::ZERO);
        let measured = Source::Measured(NodeId(1));
        let end = Time::ZERO.after_ms(PATH_MS_MAX);
        assert_eq!(path_ms(&knowledge, end), Some((value, measured.clone())));
        assert_eq!(path_ms(&knowledge, end.after_ms(1)), Some((Value::Number(10.into()), catalogue)));

        let statements = vec![rtt(Subject::Link(NodeId(1), NodeId(2)), 300)];
        knowledge.merge(&Batch { origin: NodeId(1), revision: Revision(1), statements }, Time::ZERO);
        assert_eq!(
            path_ms(&knowledge, Time::ZERO),
            Some((Value::Number(300.into()), measured)),
            "a link wins"
        );
    }

    #[test]
    fn an_absent_fact_is_absent_and_not_zero() {
        let snapshot = Snapshot::cut(&Knowledge::new(), &regions(), Time::ZERO);
        assert_eq!(snapshot.get(&Subject::Node(NodeId(1)), &"load5".into()), None);
        assert_eq!(snapshot.path(&"west".into(), &"east".into()), None);
    }
}
