//! The store of facts and its merge rules. Snapshots for the solver are in [`crate::snapshot`].

use rhizo_types::fact::{Batch, SensorKind, Source, Statement, Subject, Value};
use rhizo_types::{AttributeName, NodeId, RegionName, Revision, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Most facts kept: enough for 5,000 nodes with some twenty attributes each. The bound keeps a member that invents
/// subjects from exhausting memory.
pub const FACTS_MAX: usize = 131_072;

/// A measurement that is older than this is ignored: its source is disconnected, and the catalogue's value is the
/// better estimate. The facts of a node that left are removed at once, and a sensor that fails withdraws its facts, so
/// this is needed in partitions only. A node in a large overlay repeats its facts every minute or two.
pub const FRESH_MS_MAX: u64 = 300_000;

/// A measured round-trip time between two regions counts for this time after its last link. Without it, a placement
/// that was left because of a measurement would look as good as before as soon as it is left, and be taken again.
pub const PATH_MS_MAX: u64 = 3_600_000;

/// Most remembered paths: every pair of 180 regions.
const PATHS_MAX: usize = 16_384;

/// One value of an attribute, from one source.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fact {
    /// The value.
    pub value: Value,
    /// The revision of the last batch that contained it.
    pub revision: Revision,
    /// When this node received it last, in its own time.
    pub heard: Time,
    /// The kind of sensor that read it.
    pub sensor: SensorKind,
}

/// The result of a merge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Merged {
    /// Number of values that are new, different or withdrawn. Values of copies that no rule reads are not counted.
    pub changed: usize,
    /// Number of statements refused because the store is full.
    pub refused: usize,
}

/// All facts of one node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Knowledge {
    facts: BTreeMap<(Subject, AttributeName), BTreeMap<Source, Fact>>,
    heard: BTreeMap<NodeId, Revision>,
    /// The last measured round-trip times between regions, each with its source.
    paths: BTreeMap<(RegionName, RegionName), (Source, Fact)>,
    count: usize,
    /// The attributes of copies that rules read.
    read_of_copies: BTreeSet<AttributeName>,
}

impl Knowledge {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the attributes of copies that rules read. [`Merged::changed`] leaves out all others: the memory of a busy
    /// copy changes all the time, and must not cause a run of the solver that does not depend on it.
    pub fn count_changes_of(&mut self, read_of_copies: BTreeSet<AttributeName>) {
        self.read_of_copies = read_of_copies;
    }

    /// Merges a batch of a node. A batch that is not newer than the last one of its origin changes nothing.
    pub fn merge(&mut self, batch: &Batch, now: Time) -> Merged {
        let last = self.heard.get(&batch.origin).copied().unwrap_or(Revision::ZERO);
        if batch.revision <= last {
            return Merged::default();
        }
        self.heard.insert(batch.origin, batch.revision);
        let source = Source::Measured(batch.origin);
        self.state(&source, batch.revision, &batch.statements, now)
    }

    /// Replaces a provider's catalogue: facts that it no longer lists are removed.
    pub fn take_catalogue(&mut self, source: &Source, statements: &[Statement], now: Time) -> Merged {
        let listed: BTreeSet<_> =
            statements.iter().map(|said| (said.subject.clone(), said.attribute.clone())).collect();
        let mut gone = 0;
        self.facts.retain(|key, by_source| {
            if !listed.contains(key) && by_source.remove(source).is_some() {
                gone += 1;
            }
            !by_source.is_empty()
        });
        self.count -= gone;
        let mut merged = self.state(source, Revision::ZERO, statements, now);
        merged.changed += gone;
        merged
    }

    fn state(&mut self, source: &Source, revision: Revision, statements: &[Statement], now: Time) -> Merged {
        let mut merged = Merged::default();
        for said in statements {
            let key = (said.subject.clone(), said.attribute.clone());
            let matters =
                !matches!(said.subject, Subject::Copy(_)) || self.read_of_copies.contains(&said.attribute);
            let Some(value) = &said.value else {
                if let Some(by_source) = self.facts.get_mut(&key) {
                    if by_source.remove(source).is_some() {
                        self.count -= 1;
                        merged.changed += usize::from(matters);
                    }
                    if by_source.is_empty() {
                        self.facts.remove(&key);
                    }
                }
                continue;
            };
            let known = self.facts.get(&key).and_then(|by_source| by_source.get(source));
            if known.is_none() && self.count >= FACTS_MAX {
                merged.refused += 1;
                continue;
            }
            if known.is_none() {
                self.count += 1;
            }
            if known.is_none_or(|fact| fact.value != *value) {
                merged.changed += usize::from(matters);
            }
            let fact = Fact { value: value.clone(), revision, heard: now, sensor: said.sensor };
            self.facts.entry(key).or_default().insert(source.clone(), fact);
        }
        merged
    }

    /// Keeps a measured round-trip time between two regions, for [`PATH_MS_MAX`] after its link is gone. The order of
    /// the regions does not matter.
    pub fn remember_path(
        &mut self,
        between: (&RegionName, &RegionName),
        origin: NodeId,
        value: &Value,
        now: Time,
    ) {
        let key = ordered(between.0, between.1);
        if self.paths.len() < PATHS_MAX || self.paths.contains_key(&key) {
            let fact =
                Fact { value: value.clone(), revision: Revision::ZERO, heard: now, sensor: SensorKind::Link };
            self.paths.insert(key, (Source::Measured(origin), fact));
        }
    }

    /// The remembered paths that still count.
    pub(crate) fn paths(
        &self,
        now: Time,
    ) -> impl Iterator<Item = (&(RegionName, RegionName), &(Source, Fact))> {
        self.paths.iter().filter(move |(_, (_, fact))| now.ms_since(fact.heard) <= PATH_MS_MAX)
    }

    /// Removes the facts that come from nodes, or describe nodes, that are not members any more.
    pub fn keep_nodes(&mut self, members: &BTreeSet<NodeId>) {
        let mut count = 0;
        self.heard.retain(|node, _| members.contains(node));
        self.facts.retain(|(subject, _), by_source| {
            let about_member = match subject {
                Subject::Node(node) => members.contains(node),
                Subject::Link(a, b) => members.contains(a) && members.contains(b),
                Subject::Offer(..) | Subject::Path(..) | Subject::Copy(_) => true,
            };
            by_source.retain(|source, _| match source {
                Source::Measured(node) => about_member && members.contains(node),
                Source::Catalogue(_) => about_member,
            });
            count += by_source.len();
            !by_source.is_empty()
        });
        self.count = count;
    }

    /// The fact of the greatest fresh source; none if there is no fresh one. A catalogue is always fresh.
    #[must_use]
    pub fn believe(
        &self,
        subject: &Subject,
        attribute: &AttributeName,
        now: Time,
    ) -> Option<(&Source, &Fact)> {
        self.facts
            .get(&(subject.clone(), attribute.clone()))?
            .iter()
            .rev()
            .find(|(source, fact)| is_fresh(source, fact, now))
    }

    /// Every fact, in the order of subjects, attributes and sources.
    pub fn iter(&self) -> impl Iterator<Item = (&Subject, &AttributeName, &Source, &Fact)> {
        self.facts.iter().flat_map(|((subject, attribute), by_source)| {
            by_source.iter().map(move |(source, fact)| (subject, attribute, source, fact))
        })
    }

    /// The number of facts kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no fact is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A pair of regions without a direction.
pub(crate) fn ordered(a: &RegionName, b: &RegionName) -> (RegionName, RegionName) {
    if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

/// Whether a fact is fresh at `now`.
#[must_use]
pub fn is_fresh(source: &Source, fact: &Fact, now: Time) -> bool {
    matches!(source, Source::Catalogue(_)) || now.ms_since(fact.heard) <= FRESH_MS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::{InstanceId, Number, OfferName, ProviderName};

    const HOST: SensorKind = SensorKind::Host;

    fn number(value: f64) -> Option<Value> {
        Number::try_from(value).ok().map(Value::Number)
    }

    fn batch(origin: u64, revision: u64, value: f64) -> Batch {
        let subject = Subject::Node(NodeId(origin));
        let statement = Statement { subject, attribute: "load5".into(), value: number(value), sensor: HOST };
        Batch { origin: NodeId(origin), revision: Revision(revision), statements: vec![statement] }
    }

    fn load5(knowledge: &Knowledge, node: u64, now: Time) -> Option<Value> {
        let subject = Subject::Node(NodeId(node));
        knowledge.believe(&subject, &"load5".into(), now).map(|(_, fact)| fact.value.clone())
    }

    #[test]
    fn a_late_batch_never_wins() {
        let mut knowledge = Knowledge::new();
        assert_eq!(knowledge.merge(&batch(1, 2, 7.0), Time::ZERO).changed, 1);
        assert_eq!(knowledge.merge(&batch(1, 1, 3.0), Time::ZERO).changed, 0);
        assert_eq!(load5(&knowledge, 1, Time::ZERO), number(7.0));
    }

    #[test]
    fn batches_of_different_origins_merge_in_any_order() {
        let batches = [batch(1, 1, 1.0), batch(2, 5, 2.0), batch(3, 2, 3.0)];
        let mut forwards = Knowledge::new();
        let mut backwards = Knowledge::new();
        for each in &batches {
            forwards.merge(each, Time::ZERO);
            forwards.merge(each, Time::ZERO);
        }
        for each in batches.iter().rev() {
            backwards.merge(each, Time::ZERO);
        }
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn a_measurement_beats_the_catalogue_until_it_is_stale() {
        let subject = Subject::Node(NodeId(1));
        let catalogue = Source::Catalogue(ProviderName::from("lab"));
        let said = Statement {
            subject: subject.clone(),
            attribute: "load5".into(),
            value: number(1.0),
            sensor: HOST,
        };
        let mut knowledge = Knowledge::new();
        knowledge.take_catalogue(&catalogue, &[said], Time::ZERO);
        knowledge.merge(&batch(1, 1, 9.0), Time::ZERO);
        assert_eq!(load5(&knowledge, 1, Time::ZERO.after_ms(FRESH_MS_MAX)), number(9.0));
        assert_eq!(load5(&knowledge, 1, Time::ZERO.after_ms(FRESH_MS_MAX + 1)), number(1.0));
    }

    #[test]
    fn a_catalogue_forgets_what_it_no_longer_lists() {
        let source = Source::Catalogue(ProviderName::from("lab"));
        let offer = |name: &str| Statement {
            subject: Subject::Offer("lab".into(), OfferName::from(name)),
            attribute: "price".into(),
            value: number(1.0),
            sensor: SensorKind::Catalogue,
        };
        let mut knowledge = Knowledge::new();
        knowledge.take_catalogue(&source, &[offer("a"), offer("b")], Time::ZERO);
        let merged = knowledge.take_catalogue(&source, &[offer("b")], Time::ZERO);
        assert_eq!((merged.changed, knowledge.len()), (1, 1));
    }

    #[test]
    fn the_store_is_bounded() {
        let mut knowledge = Knowledge::new();
        let mut refused = 0;
        for origin in 0..=FACTS_MAX as u64 {
            refused += knowledge.merge(&batch(origin, 1, 1.0), Time::ZERO).refused;
        }
        assert_eq!((knowledge.len(), refused), (FACTS_MAX, 1));
    }

    #[test]
    fn what_a_former_member_said_is_forgotten() {
        let mut knowledge = Knowledge::new();
        knowledge.merge(&batch(1, 1, 1.0), Time::ZERO);
        knowledge.merge(&batch(2, 1, 2.0), Time::ZERO);
        knowledge.keep_nodes(&BTreeSet::from([NodeId(2)]));
        assert_eq!(knowledge.len(), 1);
        assert_eq!(load5(&knowledge, 1, Time::ZERO), None);
    }

    #[test]
    fn a_change_of_a_copy_counts_only_if_a_rule_reads_the_attribute() {
        let mut knowledge = Knowledge::new();
        knowledge.count_changes_of(BTreeSet::from(["queue".into()]));
        let mut state = |revision, attribute: &str, value| {
            let copy = InstanceId { component: "web".into(), ordinal: 0 };
            let (subject, sensor) = (Subject::Copy(copy), SensorKind::Process);
            let statement = Statement { subject, attribute: attribute.into(), value, sensor };
            let batch =
                Batch { origin: NodeId(1), revision: Revision(revision), statements: vec![statement] };
            knowledge.merge(&batch, Time::ZERO).changed
        };
        assert_eq!((state(1, "memory", number(1.0)), state(2, "queue", number(1.0))), (0, 1));
        assert_eq!((state(3, "memory", None), state(4, "queue", None)), (0, 1));
    }
}
