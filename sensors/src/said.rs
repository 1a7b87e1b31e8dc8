//! What one sensor has said so far, so that it can be withdrawn when the sensor falls silent.

use crate::sensor::{Sample, SensorError};
use rhizo_types::fact::{Statement, Subject};
use rhizo_types::{AttributeName, NodeId};
use std::collections::BTreeSet;

/// Failures in a row after which what a sensor said is withdrawn.
///
/// One failed reading must not move an application; three in a row mean that nobody knows any more.
pub(crate) const FAILURES_MAX: u32 = 3;

/// Most samples taken from one reading; a batch of facts holds 512, for all sensors of a node together.
pub(crate) const SAMPLES_MAX: usize = 64;

/// The standing statements of one sensor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Said {
    subject: Subject,
    standing: BTreeSet<AttributeName>,
    failures: u32,
}

/// What changed in the sensor's health with one reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Health {
    /// It answers, as before.
    Answers,
    /// It answers again.
    Recovered,
    /// It failed for the first time in a row.
    Failed,
    /// It failed again.
    StillFails,
}

impl Said {
    pub(crate) fn new(node: NodeId) -> Self {
        Self { subject: Subject::Node(node), standing: BTreeSet::new(), failures: 0 }
    }

    /// The statements that follow from one reading, and how the sensor is.
    pub(crate) fn take(&mut self, reading: &Result<Vec<Sample>, SensorError>) -> (Vec<Statement>, Health) {
        match reading {
            Ok(samples) => {
                let health = if self.failures == 0 { Health::Answers } else { Health::Recovered };
                self.failures = 0;
                (self.state(&samples[..samples.len().min(SAMPLES_MAX)]), health)
            }
            Err(_) => {
                let health = if self.failures == 0 { Health::Failed } else { Health::StillFails };
                self.failures = self.failures.saturating_add(1);
                let statements = if self.failures >= FAILURES_MAX { self.state(&[]) } else { Vec::new() };
                (statements, health)
            }
        }
    }

    /// States these samples and withdraws everything else.
    fn state(&mut self, samples: &[Sample]) -> Vec<Statement> {
        let now: BTreeSet<AttributeName> = samples.iter().map(|sample| sample.attribute.clone()).collect();
        let stated = samples.iter().map(|sample| (sample.attribute.clone(), Some(sample.value.clone())));
        let withdrawn = self.standing.difference(&now).map(|attribute| (attribute.clone(), None));
        let statements = stated
            .chain(withdrawn)
            .map(|(attribute, value)| Statement { subject: self.subject.clone(), attribute, value })
            .collect();
        self.standing = now;
        statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::fact::Value;

    fn reading(samples: &[(&str, f64)]) -> Result<Vec<Sample>, SensorError> {
        Ok(samples.iter().filter_map(|(name, number)| Sample::number(name, *number)).collect())
    }

    fn failure() -> Result<Vec<Sample>, SensorError> {
        Err(SensorError::NotFinite { sensor: "s".into() })
    }

    fn shown(statements: &[Statement]) -> Vec<String> {
        statements
            .iter()
            .map(|said| match &said.value {
                Some(Value::Number(number)) => format!("{}={number}", said.attribute),
                other => format!("{}={other:?}", said.attribute),
            })
            .collect()
    }

    #[test]
    fn a_quantity_that_is_no_longer_read_is_withdrawn() {
        let mut said = Said::new(NodeId(1));
        assert_eq!(shown(&said.take(&reading(&[("a", 1.0), ("b", 2.0)])).0), ["a=1", "b=2"]);
        assert_eq!(shown(&said.take(&reading(&[("b", 0.0)])).0), ["b=0", "a=None"]);
        assert_eq!(shown(&said.take(&reading(&[("b", 0.0)])).0), ["b=0"], "withdrawn once");
    }

    #[test]
    fn a_dead_sensor_yields_absent_and_not_zero_after_three_failures() {
        let mut said = Said::new(NodeId(1));
        said.take(&reading(&[("a", 1.0)]));
        assert_eq!(said.take(&failure()), (vec![], Health::Failed));
        assert_eq!(said.take(&failure()), (vec![], Health::StillFails));
        let (statements, health) = said.take(&failure());
        assert_eq!((shown(&statements), health), (vec!["a=None".to_owned()], Health::StillFails));
        assert_eq!(said.take(&failure()).0, vec![], "withdrawn once");
        let (statements, health) = said.take(&reading(&[("a", 5.0)]));
        assert_eq!((shown(&statements), health), (vec!["a=5".to_owned()], Health::Recovered));
    }

    #[test]
    fn a_recovery_in_time_withdraws_nothing() {
        let mut said = Said::new(NodeId(1));
        said.take(&reading(&[("a", 1.0)]));
        for _ in 0..2 {
            said.take(&failure());
        }
        said.take(&reading(&[("a", 1.0)]));
        assert_eq!(said.take(&failure()), (vec![], Health::Failed), "the count starts anew");
    }

    #[test]
    fn one_reading_is_bounded() {
        let many: Vec<Sample> =
            (0..1_000).filter_map(|number| Sample::number(&format!("a{number}"), 1.0)).collect();
        assert_eq!(Said::new(NodeId(1)).take(&Ok(many)).0.len(), SAMPLES_MAX);
    }
}
